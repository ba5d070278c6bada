"""The operators of the package: one entry each, and their names in PyG.

An entry is all that the contract suite, the operator tables of README and docs, and
PyG's ``aggr='...'`` need to know of an operator. Nothing is imported or registered
before it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from torch.nn import Module
from torch_geometric.nn import aggr
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.resolver import normalize_string

Maps = Literal[
    "sets to vectors",
    "sets to sets",
    "graphs to graphs",
    "lifts to lifts",
    "points to points",
]

TABLE_BEGIN, TABLE_END = "<!-- operators:begin -->", "<!-- operators:end -->"


@dataclass(frozen=True)
class Operator:
    """One operator of the package.

    Attributes:
        name: The name; of an aggregation, the one in PyG: ``aggr='swarm'``. Where PyG
            has a class of the same name, a longer one, such as
            ``'implicit_equilibrium'``.
        path: Where the class is imported from.
        maps: What it maps: ``'sets to vectors'`` (an aggregation), ``'sets to sets'``,
            ``'graphs to graphs'`` (a convolution), ``'lifts to lifts'`` (points in
            space, lifted to a group) or ``'points to points'`` (a convolution in space,
            ``conv(x, pos, edge_index)``).
        summary: What it does, in a line.
        paper: The title of its paper.
        link: The paper's address.
        cost: Time, in elements :math:`N`, channels and iterations.
        small: Keyword arguments of an instance that is small enough to test, or what
            makes them where that takes an import.
    """

    name: str
    path: str
    maps: Maps
    summary: str
    paper: str
    link: str
    cost: str
    small: Mapping[str, Any] | Callable[[], Mapping[str, Any]]

    @property
    def cls(self) -> type[Module]:
        """The class, imported now."""
        module, _, name = self.path.rpartition(".")
        return getattr(import_module(module), name)

    @property
    def registered_name(self) -> str:
        """The class name by which PyG finds an aggregation as :attr:`name`."""
        words = "".join(word.capitalize() for word in self.name.split("_"))
        return f"{words}Aggregation"

    def example(self, in_channels: int = -1, **changes: Any) -> Any:
        """A small instance, with some of its arguments changed."""
        small = self.small() if callable(self.small) else self.small
        return self.cls(in_channels, **{**small, **changes})


_SWARM = "Learning Set-equivariant Functions with SWARM Mappings"
_SWARM_LINK = "https://arxiv.org/abs/1906.09400"
_SMALL_SWARM = MappingProxyType(
    {"out_channels": 3, "hidden_channels": 4, "num_iterations": 3}
)
_LIE = "LieTransformer: Equivariant Self-Attention for Lie Groups"
_LIE_LINK = "https://arxiv.org/abs/2012.10885"


def _small_lie() -> Mapping[str, Any]:
    from .lie import SE3

    return {"out_channels": 4, "group": SE3(), "heads": 2}


OPERATORS: tuple[Operator, ...] = (
    Operator(
        name="swarm",
        path="pyg_setops.aggr.SwarmAggregation",
        maps="sets to vectors",
        summary="recurrent cells that exchange the mean of their states, then a pool",
        paper=_SWARM,
        link=_SWARM_LINK,
        cost="O(T N H²)",
        small=_SMALL_SWARM,
    ),
    Operator(
        name="swarm_layer",
        path="pyg_setops.SwarmLayer",
        maps="sets to sets",
        summary="the same exchange, with an output for each element",
        paper=_SWARM,
        link=_SWARM_LINK,
        cost="O(T N H²)",
        small=_SMALL_SWARM,
    ),
    Operator(
        name="swarm_conv",
        path="pyg_setops.conv.SwarmConv",
        maps="graphs to graphs",
        summary="the same exchange, among the neighbours in a graph",
        paper=_SWARM,
        link=_SWARM_LINK,
        cost="O(T (N H² + E H))",
        small=_SMALL_SWARM,
    ),
    Operator(
        name="implicit_equilibrium",
        path="pyg_setops.aggr.EquilibriumAggregation",
        maps="sets to vectors",
        summary="the minimiser of a learned energy, with exact derivatives",
        paper="Equilibrium Aggregation: Encoding Sets via Optimization",
        link="https://arxiv.org/abs/2202.12795",
        cost="O(T N H + N C H)",
        small=MappingProxyType({"out_channels": 3}),
    ),
    Operator(
        name="lie_self_attention",
        path="pyg_setops.conv.LieSelfAttention",
        maps="lifts to lifts",
        summary="attention between points by what no motion of a group can change",
        paper=_LIE,
        link=_LIE_LINK,
        cost="O(N H² + P H)",
        small=_small_lie,
    ),
    Operator(
        name="lie",
        path="pyg_setops.aggr.LieAggregation",
        maps="sets to vectors",
        summary="attention of the set to its elements, and to where they are",
        paper=_LIE,
        link=_LIE_LINK,
        cost="O(N H²)",
        small=MappingProxyType({"out_channels": 3, "heads": 2}),
    ),
    Operator(
        name="se3_transformer_conv",
        path="pyg_setops.conv.SE3TransformerConv",
        maps="points to points",
        summary="attention among neighbours in space, with vectors that turn along",
        paper="SE(3)-Transformers: 3D Roto-Translation Equivariant Attention Networks",
        link="https://arxiv.org/abs/2006.10503",
        cost="O(E D + N D²)",
        small=MappingProxyType(
            {"irreps_out": "2x0e + 1x1o", "cutoff": 3.0, "num_radial": 4}
        ),
    ),
)

_registered: dict[str, type] = {}


def operators(maps: Maps) -> tuple[Operator, ...]:
    """The operators that map one kind of thing.

    Example:
        >>> [operator.name for operator in operators("graphs to graphs")]
        ['swarm_conv']
    """
    return tuple(operator for operator in OPERATORS if operator.maps == maps)


def register() -> tuple[str, ...]:
    """Makes PyG resolve the package's aggregations by name, as in ``aggr='swarm'``.

    PyG finds an aggregation among the classes of ``torch_geometric.nn.aggr``; this
    adds ours to them, for the whole process. It can be called again at will, and
    :func:`unregister` undoes it.

    Returns:
        The names that now resolve.

    Raises:
        ValueError: If PyG, or another package, has a name already; nothing is
            registered then, as that would change what others mean by the name.

    Example:
        >>> from torch_geometric.nn import SAGEConv
        >>> register()
        ('swarm', 'implicit_equilibrium', 'lie')
        >>> SAGEConv(8, 16, aggr="swarm").aggr_module
        SwarmAggregation(-1, -1)
        >>> unregister()
    """
    entries = operators("sets to vectors")
    for operator in entries:
        _refuse_taken_name(operator)
    for operator in entries:
        name = operator.registered_name
        if name not in _registered:
            _registered[name] = _named(operator.cls, name)
            setattr(aggr, name, _registered[name])
    return tuple(operator.name for operator in entries)


def unregister() -> None:
    """Removes from PyG what :func:`register` added to it, and nothing else."""
    for name, cls in _registered.items():
        if vars(aggr).get(name) is cls:
            delattr(aggr, name)
    _registered.clear()


def operator_table() -> str:
    """The table of operators, in Markdown, that README and docs show."""
    rows = ["| operator | maps | how | cost | paper |", "|---|---|---|---|---|"]
    for operator in OPERATORS:
        name = f"`{operator.path.rpartition('.')[2]}`"
        if operator.maps == "sets to vectors":
            name += f", `aggr='{operator.name}'`"
        paper = f"[{operator.paper}]({operator.link})"
        cells = (name, operator.maps, operator.summary, operator.cost, paper)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def with_operator_table(text: str) -> str:
    """``text`` with the table of today between the markers of the table.

    Args:
        text: Markdown that holds ``<!-- operators:begin -->`` and
            ``<!-- operators:end -->``.

    Raises:
        ValueError: If a marker is missing.

    Example:
        >>> page = "# Operators <!-- operators:begin --> old <!-- operators:end -->"
        >>> "SwarmAggregation" in with_operator_table(page)
        True
    """
    head, begin, rest = text.partition(TABLE_BEGIN)
    _, end, tail = rest.partition(TABLE_END)
    if not begin or not end:
        raise ValueError(f"Expected the markers {TABLE_BEGIN} and {TABLE_END}")
    return f"{head}{begin}\n{operator_table()}\n{end}{tail}"


def update_operator_table(path: str | Path) -> None:
    """Brings the table in a Markdown file up to date."""
    path = Path(path)
    draft = path.with_suffix(".draft")
    draft.write_text(with_operator_table(path.read_text()))
    draft.replace(path)


def _refuse_taken_name(operator: Operator) -> None:
    """Raises where a query that will find ``operator`` finds another class today."""
    for name, cls in vars(aggr).items():
        if not (isinstance(cls, type) and issubclass(cls, Aggregation)):
            continue
        if cls is not _registered.get(name) and _queries(cls.__name__) & _queries(
            operator.registered_name
        ):
            raise ValueError(
                f"'{operator.name}' cannot be registered: PyG resolves it to "
                f"{cls.__module__}.{cls.__name__}; give {operator.path} another 'name' "
                f"in its entry"
            )


def _queries(class_name: str) -> set[str]:
    """The normalised queries by which PyG finds a class, and the class's name."""
    name = normalize_string(class_name)
    return {name, name.replace("aggregation", "")} - {""}


def _named(cls: type, name: str) -> type:
    """``cls`` under ``name``: calling either makes an ordinary ``cls``."""
    if cls.__name__ == name:
        return cls

    def create(_: type, *args: Any, **kwargs: Any) -> Any:
        return cls(*args, **kwargs)

    members = {"__new__": create, "__doc__": cls.__doc__, "__module__": __name__}
    return type(name, (cls,), members)
