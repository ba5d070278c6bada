"""Attention between points that a group of motions cannot tell from their images."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import Linear
from torch_geometric.nn import MessagePassing
from torch_geometric.typing import Adj
from torch_geometric.utils import is_sparse, to_edge_index

from ..lazy import LazyChannels
from ..lie.attention import attend
from ..lie.group import LieGroup
from ..lie.kernel import AttentionKernel
from ..lie.lifted import LiftedSet
from ..lie.neighbors import Neighbors
from ..lie.pairs import EdgePairs, FullPairs, LiftedPairs
from ..lie.scores import PairScores


class LieSelfAttention(LazyChannels, MessagePassing):
    r"""Multi-head attention between lifted points, equivariant to a group.

    .. math::
        y_i = W_o\, \Vert_h \sum_{j \in \mathcal{N}(i)} a^h_{ij} W^h_V f_j, \qquad
        a^h_{i \cdot} = \mathrm{norm}_j\, \mathrm{combine}\big(
        c^h(f_i, f_j),\, \ell^h(g_j^{-1} g_i)\big)

    From the `"LieTransformer: Equivariant Self-Attention for Lie Groups"
    <https://arxiv.org/abs/2012.10885>`_ paper. As :math:`g_j^{-1} g_i` does not change
    when both elements are moved, neither does the output when points and lift are.

    Args:
        in_channels: The input width, or -1 to take it from the first input.
        out_channels: The output width; the heads divide it.
        group: The group, such as ``SE3()``.
        heads: The number of heads.
        kernel: What scores are made of.
        neighbors: ``'full'`` for all elements of a set, or
            :class:`~pyg_setops.lie.Radius` or :class:`~pyg_setops.lie.KNN`, which look
            at the points' positions.
        max_pairs: How many pairs may keep what they compute for the backward pass, some
            hundreds of numbers each. Where there are more, blocks of them are computed
            again, which bounds the memory.
        **kwargs: Of :class:`~torch_geometric.nn.MessagePassing`.

    Shapes:
        - **input:** features of the lifted elements :math:`(M, C_{in})`
        - **output:** :math:`(M, C_{out})`

    Raises:
        ValueError: If the heads do not divide ``out_channels``, or ``neighbors`` is
            unknown; at the forward, if the lift is not of the group or has not one
            element for each row.

    Cost:
        :math:`O(M C^2 + P (C + h w^2))` time for :math:`P` pairs, :math:`h` heads and
        a location network of width :math:`w`.

    Example:
        >>> import torch
        >>> from pyg_setops.lie import SE3
        >>> conv = LieSelfAttention(8, 16, SE3(), heads=4)
        >>> lifted = SE3().lift(torch.randn(5, 3), k=2)
        >>> conv(torch.randn(10, 8), lifted).shape
        torch.Size([10, 16])
    """

    width_key = "lin_value.weight"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        group: LieGroup,
        heads: int = 8,
        kernel: AttentionKernel | None = None,
        neighbors: Literal["full"] | Neighbors = "full",
        max_pairs: int = 2**16,
        **kwargs: object,
    ):
        super().__init__(aggr="sum", **kwargs)
        if out_channels < 1 or heads < 1 or out_channels % heads:
            raise ValueError(
                f"'heads' must divide 'out_channels', got {heads} heads for "
                f"{out_channels} channels"
            )
        if neighbors != "full" and not isinstance(neighbors, Neighbors):
            raise ValueError(
                f"'neighbors' must be 'full' or a pyg_setops.lie.Neighbors, such as "
                f"Radius or KNN, got {neighbors!r}"
            )
        self.out_channels = out_channels
        self.group = group
        self.heads = heads
        self.kernel = AttentionKernel() if kernel is None else kernel
        self.neighbors = neighbors
        self.max_pairs = max_pairs
        self.lin_out = Linear(out_channels, out_channels)
        self.start(in_channels)

    def build(self, in_channels: int) -> None:
        """Creates the parts; see :class:`~pyg_setops.lazy.LazyChannels`."""
        width = self.out_channels // self.heads
        self.scores = PairScores(
            in_channels, self.heads, width, self.group, self.kernel
        )
        self.lin_value = Linear(in_channels, self.out_channels)

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        super().reset_parameters()
        if self.in_channels != -1:
            self.scores.reset_parameters()
            self.lin_value.reset_parameters()
        self.lin_out.reset_parameters()

    def forward(
        self,
        x: Tensor,
        lifted: LiftedSet,
        edge_index: Adj | None = None,
        pairs: LiftedPairs | None = None,
    ) -> Tensor:
        """Transforms every lifted element, in the light of its neighbours.

        Args:
            x: Features of the lifted elements, ``[M, in_channels]``.
            lifted: The lift of the points, by :meth:`~pyg_setops.lie.LieGroup.lift`.
            edge_index: Who hears whom among the lifted elements, ``[2, E]`` from source
                to target or a transposed sparse matrix, instead of ``neighbors``.
            pairs: What :meth:`pairs` returned, to share it between layers.

        Returns:
            Features ``[M, out_channels]``.
        """
        if x.size(0) != lifted.set_index.num_elements:
            raise ValueError(
                f"'x' must have a row for each of the {lifted.set_index.num_elements} "
                f"lifted elements, got {x.size(0)}"
            )
        if pairs is None:
            pairs = self.pairs(lifted, edge_index)
        self.see(x)
        target, source = self.scores.sides(x, lifted)
        value = self.lin_value(x).unflatten(-1, (self.heads, -1))
        out = attend(self.scores, target, source, value, pairs)
        return self.lin_out(out.flatten(1))

    def pairs(self, lifted: LiftedSet, edge_index: Adj | None = None) -> LiftedPairs:
        """Who hears whom, for layers with the same group and neighbours.

        Args:
            lifted: The lift.
            edge_index: As of :meth:`forward`.
        """
        if repr(lifted.group) != repr(self.group):
            raise ValueError(
                f"'lifted' must be a lift to {self.group}, got one to {lifted.group}"
            )
        if edge_index is None and isinstance(self.neighbors, Neighbors):
            edge_index = self.neighbors(lifted)
        if edge_index is None:
            return FullPairs(lifted, self.group, self.max_pairs)
        if is_sparse(edge_index):  # PyG passes adjacency matrices transposed
            edge_index = to_edge_index(edge_index)[0].flip(0)
        return EdgePairs(lifted, edge_index, self.group, self.max_pairs)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, "
            f"{self.group}, heads={self.heads}, neighbors={self.neighbors!r})"
        )
