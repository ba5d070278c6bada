"""The names of the package's operators in PyG, and the table of operators.

Nothing is registered before it is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch_geometric.nn import aggr
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.resolver import normalize_string

from .operators import OPERATORS, Operator, operators

TABLE_BEGIN, TABLE_END = "<!-- operators:begin -->", "<!-- operators:end -->"

_registered: dict[str, type] = {}


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
        ('swarm', 'implicit_equilibrium', 'slots', 'ign', 'lie')
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
        taken = _queries(cls.__name__) | _queries(name)
        if cls is not _registered.get(name) and taken & _queries(
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
