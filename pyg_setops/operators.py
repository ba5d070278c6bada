"""The operators of the package, one entry each.

An entry is all that the contract suite, the operator tables of README and docs, and
PyG's ``aggr='...'`` need to know of an operator. Nothing is imported before it is asked
for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal

from torch.nn import Module

Maps = Literal[
    "sets to vectors",
    "sets to sets",
    "sets to slots",
    "graphs to graphs",
    "graphs to smaller graphs",
    "tensors to tensors",
    "pairs to pairs",
    "pairs to vectors",
    "points to points",
    "lifts to lifts",
]


@dataclass(frozen=True)
class Operator:
    """One operator of the package.

    Attributes:
        name: The name; of an aggregation, the one in PyG: ``aggr='swarm'``. Where PyG
            has a class of the same name, a longer one, such as
            ``'implicit_equilibrium'``.
        path: Where the class is imported from.
        maps: What it maps: ``'sets to vectors'`` (an aggregation), ``'sets to sets'``,
            ``'sets to slots'``, ``'graphs to graphs'`` (a convolution),
            ``'points to points'`` (a convolution in space,
            ``conv(x, pos, edge_index)``), ``'lifts to lifts'`` (points in space, lifted
            to a group), ``'graphs to smaller graphs'`` (a pooling);
            ``'tensors to tensors'`` over sets, ``'pairs to pairs'`` (nodes and edges)
            or ``'pairs to vectors'`` (an aggregation that takes all pairs of a set).
        summary: What it does, in a line.
        paper: The title of its paper.
        link: The paper's address.
        cost: Time, in elements :math:`N`, channels and iterations.
        small: Keyword arguments of an instance that is small enough to test, or what
            makes them where that takes an import.
        leading: Arguments that come before the width: the orders of tensors.
        in_pairs: Whether memory grows with the pairs of elements of each set, and not
            with the elements.
    """

    name: str
    path: str
    maps: Maps
    summary: str
    paper: str
    link: str
    cost: str
    small: Mapping[str, Any] | Callable[[], Mapping[str, Any]]
    leading: tuple[Any, ...] = ()
    in_pairs: bool = False

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
        return self.cls(*self.leading, in_channels, **{**small, **changes})


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


_SLOTS = "Object-Centric Learning with Slot Attention"
_SLOTS_LINK = "https://arxiv.org/abs/2006.15055"
_SMALL_SLOTS = MappingProxyType(
    {"slot_channels": 4, "num_slots": 3, "hidden_channels": 5}
)
_IGN = "Invariant and Equivariant Graph Networks"
_IGN_LINK = "https://arxiv.org/abs/1812.09902"
_PARTITION = (
    "Fast computation of permutation equivariant layers with the partition algebra"
)
_PARTITION_LINK = "https://arxiv.org/abs/2303.06208"

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
        name="slots",
        path="pyg_setops.aggr.SlotAggregation",
        maps="sets to vectors",
        summary="slots that compete for the elements, then a readout",
        paper=_SLOTS,
        link=_SLOTS_LINK,
        cost="O(T N K C + T B K D²)",
        small=MappingProxyType({"out_channels": 4, "num_slots": 3}),
    ),
    Operator(
        name="slot_attention",
        path="pyg_setops.SlotAttention",
        maps="sets to slots",
        summary="the same slots, any number for each set",
        paper=_SLOTS,
        link=_SLOTS_LINK,
        cost="O(T N K C + T S D²)",
        small=_SMALL_SLOTS,
    ),
    Operator(
        name="slot_pooling",
        path="pyg_setops.pool.SlotPooling",
        maps="graphs to smaller graphs",
        summary="the same slots, as the nodes of a coarser graph",
        paper=_SLOTS,
        link=_SLOTS_LINK,
        cost="O(T N K C + E K + N K²)",
        small=_SMALL_SLOTS,
    ),
    Operator(
        name="equivariant_linear",
        path="pyg_setops.EquivariantLinear",
        maps="tensors to tensors",
        summary="all linear maps of order k to l that commute with permutations",
        paper=_PARTITION,
        link=_PARTITION_LINK,
        cost="O(Σ nᵏ + Σ nˡ)",
        small=MappingProxyType({"out_channels": 3}),
        leading=(1, 1),
    ),
    Operator(
        name="pair_linear",
        path="pyg_setops.PairLinear",
        maps="pairs to pairs",
        summary="the 15 maps of order 2, on the nodes and edges of sparse graphs",
        paper=_IGN,
        link=_IGN_LINK,
        cost="O((N + E) H²)",
        small=MappingProxyType({"out_channels": 3}),
    ),
    Operator(
        name="pair",
        path="pyg_setops.aggr.PairAggregation",
        maps="pairs to vectors",
        summary="the sums of all pairs and of the diagonal, mixed",
        paper=_IGN,
        link=_IGN_LINK,
        cost="O(P H)",
        small=MappingProxyType({"out_channels": 3}),
        in_pairs=True,
    ),
    Operator(
        name="ign",
        path="pyg_setops.aggr.IGNAggregation",
        maps="sets to vectors",
        summary="equivariant layers on all pairs of elements, then their sums",
        paper=_IGN,
        link=_IGN_LINK,
        cost="O(T P H²)",
        small=MappingProxyType(
            {"out_channels": 3, "hidden_channels": 4, "num_layers": 1}
        ),
        in_pairs=True,
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
)


def operators(maps: Maps) -> tuple[Operator, ...]:
    """The operators that map one kind of thing.

    Example:
        >>> [operator.name for operator in operators("graphs to graphs")]
        ['swarm_conv']
    """
    return tuple(operator for operator in OPERATORS if operator.maps == maps)
