"""LieTransformer: attention between points, equivariant to a chosen group."""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.nn import LayerNorm, Linear, Sequential, SiLU
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.typing import Adj

from ..aggr.lie import LieAggregation
from ..conv.lie import LieSelfAttention
from ..lie.group import LieGroup
from ..lie.irreps import back_project, lift_irreps
from ..lie.kernel import AttentionKernel
from ..lie.lifted import LiftedSet
from ..lie.neighbors import Neighbors
from ..lie.pairs import LiftedPairs
from ..lie.sampling import Frames
from ..ragged import SetIndex, segment_mean, segment_sum


class LieTransformerBlock(torch.nn.Module):
    r"""Attention and a perceptron, each on normalised features and added to them.

    .. math::
        x \leftarrow x + \mathrm{Attn}(\mathrm{LN}\, x), \qquad
        x \leftarrow x + \mathrm{MLP}(\mathrm{LN}\, x)

    Args:
        channels: The width.
        group: The group.
        **kwargs: Of :class:`~pyg_setops.conv.LieSelfAttention`.
    """

    def __init__(self, channels: int, group: LieGroup, **kwargs: Any):
        super().__init__()
        self.norm_attention = LayerNorm(channels)
        self.attention = LieSelfAttention(channels, channels, group, **kwargs)
        self.norm_mlp = LayerNorm(channels)
        self.mlp = Sequential(
            Linear(channels, channels), SiLU(), Linear(channels, channels), SiLU()
        )

    def forward(self, x: Tensor, lifted: LiftedSet, pairs: LiftedPairs) -> Tensor:
        """Maps features of the lifted elements, ``[M, C]``, to such features."""
        x = x + self.attention(self.norm_attention(x), lifted, pairs=pairs)
        return x + self.mlp(self.norm_mlp(x))


class LieTransformer(torch.nn.Module):
    r"""Lifts points to a group, lets them attend to each other, and reads out.

    From the `"LieTransformer: Equivariant Self-Attention for Lie Groups"
    <https://arxiv.org/abs/2012.10885>`_ paper. Invariant outputs do not change, and
    vectors turn along, when the points are moved by an element of the group: exactly
    where lifts take the whole stabiliser (``T``, ``SO2``, the finite groups, ...) and
    on average over lifts where they are sampled (``SE2``, ``SO3``, ``SE3``, ...).

    Args:
        in_channels: Invariant features of a point.
        out_channels: Invariant outputs.
        group: The group.
        hidden_channels: The width (default: 160).
        num_layers: The number of blocks (default: 5).
        heads: The number of heads.
        kernel: What scores are made of.
        neighbors: Who hears whom; see :class:`~pyg_setops.conv.LieSelfAttention`.
        irreps_in: Vectors and tensors among the inputs, after the invariant features:
            e3nn's ``Irreps`` or their string, such as ``'1x1o'`` for a velocity; in the
            plane, degrees above 0 have two components.
        irreps_out: Likewise of outputs.
        pool: ``'mean'`` or ``'sum'`` over the points of a set, an aggregation (for
            invariant outputs; a :class:`~pyg_setops.aggr.LieAggregation` with a group
            sees where points are), or ``None`` for an output at every point.
        num_lifts: Lifts of each point (default: 1, or the whole finite stabiliser).
        frames: ``'node'``, or ``'set'`` for lifts with one orientation a set.
        resample: When lifts are sampled anew: ``'train'``, in training only, so that
            evaluation is reproducible; ``'always'``; or ``'never'``.
        max_pairs: As of :class:`~pyg_setops.conv.LieSelfAttention`.

    Shapes:
        - **input:** points :math:`(N, C_{in})` with positions :math:`(N, d)`
        - **output:** sets :math:`(B, C_{out})`, or points :math:`(N, C_{out})`; the
          components of ``irreps_out`` come after the ``out_channels``

    Raises:
        ValueError: If an argument is unknown, or there is nothing to put in or out.

    Cost:
        That of ``num_layers`` attentions; derivatives of any order, also in ``pos``.

    Example:
        >>> from pyg_setops.lie import SE3
        >>> model = LieTransformer(5, 1, SE3(), hidden_channels=16, num_layers=2)
        >>> index = torch.tensor([0, 0, 0, 1, 1])
        >>> model(torch.randn(5, 5), torch.randn(5, 3), index).shape
        torch.Size([2, 1])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        group: LieGroup,
        hidden_channels: int = 160,
        num_layers: int = 5,
        heads: int = 8,
        kernel: AttentionKernel | None = None,
        neighbors: Literal["full"] | Neighbors = "full",
        irreps_in: object = None,
        irreps_out: object = None,
        pool: Literal["mean", "sum"] | Aggregation | None = "mean",
        num_lifts: int | None = None,
        frames: Frames = "node",
        resample: Literal["train", "always", "never"] = "train",
        max_pairs: int = 2**16,
    ):
        super().__init__()
        if resample not in ("train", "always", "never"):
            raise ValueError(
                f"'resample' must be 'train', 'always' or 'never', got {resample!r}"
            )
        if isinstance(pool, str) and pool not in ("mean", "sum"):
            raise ValueError(
                f"'pool' must be 'mean', 'sum', an Aggregation or None, got {pool!r}"
            )
        if frames not in ("node", "set"):
            raise ValueError(f"'frames' must be 'node' or 'set', got {frames!r}")
        if num_layers < 1:
            raise ValueError(f"'num_layers' must be positive, got {num_layers}")
        group.count_lifts(num_lifts)
        self.group = group
        self.irreps_in = _with_scalars(irreps_in, in_channels=in_channels)
        self.irreps_out = _with_scalars(irreps_out, out_channels=out_channels)
        if irreps_out is not None and isinstance(pool, Aggregation):
            raise ValueError("'pool' must be 'mean', 'sum' or None with 'irreps_out'")
        self.has_vectors_in = irreps_in is not None
        self.has_vectors_out = irreps_out is not None
        self.pool = pool
        self.num_lifts = num_lifts
        self.frames: Frames = frames
        self.resample = resample
        channels = hidden_channels
        self.lin_in = Linear(_width(group, self.irreps_in, "in_channels"), channels)
        self.blocks = torch.nn.ModuleList(
            LieTransformerBlock(
                channels,
                group,
                heads=heads,
                kernel=kernel,
                neighbors=neighbors,
                max_pairs=max_pairs,
            )
            for _ in range(num_layers)
        )
        self.head = Sequential(
            Linear(channels, channels),
            SiLU(),
            Linear(channels, channels),
            SiLU(),
            Linear(channels, _width(group, self.irreps_out, "out_channels")),
        )

    def forward(
        self,
        x: Tensor,
        pos: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        edge_index: Adj | None = None,
        lifted: LiftedSet | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Predicts for every set, or for every point.

        Args:
            x: Features ``[N, C]`` of the points: invariant ones, then the components of
                ``irreps_in``.
            pos: Positions ``[N, dim]``.
            index: The set of each point, in any order.
            ptr: The boundaries of sets that lie one after another.
            dim_size: The number of sets.
            edge_index: Who hears whom among the lifted elements, instead of the
                ``neighbors``.
            lifted: The lift, if not one made here.
            generator: Where lifts are sampled from.

        Returns:
            ``[B, C]``, or ``[N, C]`` with ``pool=None``.

        Raises:
            ValueError: If ``x``, ``pos`` and the layout do not match.
        """
        if lifted is None:
            sets = SetIndex.build(index, ptr, dim_size, len(pos), pos.device)
            lifted = self.lift(pos, sets, generator)
        shape = [lifted.nodes.num_elements, self.lin_in.in_features]
        if list(x.shape) != shape:
            raise ValueError(f"'x' must have shape {shape}, got {list(x.shape)}")
        if self.has_vectors_in:
            x = lift_irreps(x, self.irreps_in, lifted)
        else:
            x = lifted.repeat(x)
        x = self.lin_in(x)
        attention = cast(LieTransformerBlock, self.blocks[0]).attention
        pairs = attention.pairs(lifted, edge_index)
        if attention.scores.needs_pairs:
            pairs.keep_coordinates()
        for block in self.blocks:
            x = block(x, lifted, pairs)
        return self._read_out(x, lifted)

    def lift(
        self,
        pos: Tensor,
        sets: SetIndex,
        generator: torch.Generator | None = None,
    ) -> LiftedSet:
        """The lift that :meth:`forward` would take now."""
        fixed = self.resample == "never" or (
            self.resample == "train" and not self.training
        )
        return self.group.lift(
            pos, sets, self.num_lifts, generator, frames=self.frames, fixed=fixed
        )

    def _read_out(self, x: Tensor, lifted: LiftedSet) -> Tensor:
        if self.has_vectors_out:
            out = back_project(self.head(x), self.irreps_out, lifted)
            if self.pool is None:
                return out
            reduce = segment_mean if self.pool == "mean" else segment_sum
            return reduce(out, lifted.nodes)
        if self.pool == "mean":
            return self.head(segment_mean(x, lifted.set_index))
        if isinstance(self.pool, LieAggregation) and self.pool.group is not None:
            sets = lifted.set_index
            x = self.pool(x, sets.index, dim_size=sets.num_sets, lifted=lifted)
            return self.head(x)
        x = lifted.mean(x)
        if self.pool == "sum":
            x = segment_sum(x, lifted.nodes)
        elif self.pool is not None:
            nodes = lifted.nodes
            x = self.pool(x, nodes.index, dim_size=nodes.num_sets)
        return self.head(x)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.irreps_in}, {self.irreps_out}, {self.group}, "
            f"hidden_channels={self.lin_in.out_features}, "
            f"num_layers={len(self.blocks)})"
        )


def _with_scalars(irreps: object, **named: int) -> str:
    ((name, channels),) = named.items()
    if channels < 0:
        raise ValueError(f"'{name}' must not be negative, got {channels}")
    scalars = [f"{channels}x0e"] if channels else []
    return "+".join([*scalars, *([] if irreps is None else [str(irreps)])])


def _width(group: LieGroup, irreps: str, name: str) -> int:
    width = group.irreps_dim(irreps)
    if width < 1:
        raise ValueError(f"'{name}' must be positive, or there must be irreps, got 0")
    return width
