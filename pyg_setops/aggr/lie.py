"""Attention of a set to its elements, invariant to the motions of a group."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import Linear, Parameter

from ..lie.group import LieGroup
from ..lie.head_mlp import HeadMLP
from ..lie.lifted import LiftedSet
from ..ragged import (
    SetIndex,
    gather,
    segment_mean,
    segment_softmax,
    segment_sum,
    unfold,
)
from .base import SetAggregation


class LieAggregation(SetAggregation):
    r"""A learned query for each set attends to its elements, and to where they are.

    .. math::
        y = W_o\, \Vert_h \sum_i a^h_i W^h_V f_i, \qquad a^h = \mathrm{softmax}_i
        \big( q^h \cdot W^h_K f_i / \sqrt d + \ell^h(g_i^{-1} c) \big), \qquad
        q = q_0 + W_Q\, \mathrm{mean}_i\, f_i

    with the centre :math:`c` of the set, as the frame of each element sees it, which
    does not change when points and lift are moved. The readout of the attention in the
    `"LieTransformer" <https://arxiv.org/abs/2012.10885>`_ paper's spirit. Without
    ``group``, or without a lift, the location :math:`\ell` is left out, so that it
    serves as ``aggr=`` in any convolution.

    Args:
        in_channels: The input width, or -1 to take it from the first input.
        out_channels: The output width; ``None`` keeps the input's.
        heads: The number of heads.
        group: The group of the lifts that will be given.
        hidden_channels: The width of the location network.

    Shapes:
        - **input:** elements :math:`(*, N, C_{in})`, in any order
        - **output:** sets :math:`(*, B, C_{out})`, zeros for empty sets

    Cost:
        :math:`O(N C^2)` time, :math:`O(N C)` memory.

    Example:
        >>> from pyg_setops.lie import SE3
        >>> aggregation = LieAggregation(8, 16, heads=2, group=SE3())
        >>> index = torch.tensor([0, 0, 0, 2, 2])
        >>> sets = SetIndex.build(index, dim_size=3)
        >>> lifted = SE3().lift(torch.randn(5, 3), sets)
        >>> aggregation(torch.randn(5, 8), index, lifted=lifted).shape
        torch.Size([3, 16])
    """

    width_key = "lin_key.weight"

    def __init__(
        self,
        in_channels: int = -1,
        out_channels: int | None = None,
        heads: int = 4,
        group: LieGroup | None = None,
        hidden_channels: int = 16,
    ):
        super().__init__(in_channels, out_channels)
        if heads < 1:
            raise ValueError(f"'heads' must be positive, got {heads}")
        if hidden_channels < 1:
            raise ValueError(
                f"'hidden_channels' must be positive, got {hidden_channels}"
            )
        self.heads = heads
        self.group = group
        self.location = None
        if group is not None:
            inputs = group.dim + group.orbit_dim
            self.location = HeadMLP(heads, inputs, hidden_channels, act_last=False)
        self.start(in_channels)

    def create(self, in_channels: int, out_channels: int) -> None:
        """Creates the weights; heads share the width as evenly as they can."""
        width = self.heads * -(-out_channels // self.heads)
        self.query = Parameter(torch.empty(width))
        self.lin_query = Linear(in_channels, width)
        self.lin_key = Linear(in_channels, width)
        self.lin_value = Linear(in_channels, width)
        self.lin_out = Linear(width, out_channels)
        torch.nn.init.normal_(self.query)

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        if self.location is not None:
            self.location.reset_parameters()
        if self.in_channels != -1:
            torch.nn.init.normal_(self.query)
            for lin in (self.lin_query, self.lin_key, self.lin_value, self.lin_out):
                lin.reset_parameters()

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
        lifted: LiftedSet | None = None,
    ) -> Tensor:
        """Aggregates the elements of each set.

        Args:
            x: Elements on dimension ``dim``, channels last.
            index: The set of each element, in any order.
            ptr: The boundaries of sets that lie one after another.
            dim_size: The number of sets.
            dim: The dimension of the elements.
            lifted: Where the elements are: a lift to ``group`` with an element for each
                row of ``x``, ``[M, C]``.

        Returns:
            ``x`` with the sets in the place of the elements and ``out_channels``
            channels; zeros for empty sets.

        Raises:
            TypeError: If ``index`` or ``ptr`` does not hold integers.
            ValueError: If the layout is not one, or the lift is not of the elements.
        """
        if lifted is not None:
            self._check(x, lifted)  # before the first input tells the width
        rows, sets = self.read(x, index, ptr, dim_size, dim)
        location = None if lifted is None else self._location(lifted, sets)
        weight = self.weights(rows, sets, location)
        value = self.lin_value(rows).unflatten(-1, (self.heads, -1))
        out = self.lin_out(segment_sum(weight[..., None] * value, sets).flatten(1))
        out = torch.where((sets.sizes > 0)[:, None], out, 0)
        return unfold(out, x, dim)

    def weights(
        self, x: Tensor, sets: SetIndex, location: Tensor | None = None
    ) -> Tensor:
        """How much a set attends to each of its elements, ``[N, heads]``."""
        shape = (self.heads, -1)
        query = self.query + self.lin_query(segment_mean(x, sets))
        query = gather(query, sets).unflatten(-1, shape)
        key = self.lin_key(x).unflatten(-1, shape)
        score = (query * key).sum(-1) / key.size(-1) ** 0.5
        return segment_softmax(score if location is None else score + location, sets)

    def _check(self, x: Tensor, lifted: LiftedSet) -> None:
        if self.location is None or repr(lifted.group) != repr(self.group):
            raise ValueError(
                f"'lifted' must be a lift to the 'group' of the aggregation, "
                f"{self.group}, got one to {lifted.group}"
            )
        rows = math.prod(x.shape[:-1])
        if len(lifted.g) != rows:
            raise ValueError(
                f"'lifted' must have an element for each of the {rows} rows, got "
                f"{len(lifted.g)}"
            )

    def _location(self, lifted: LiftedSet, sets: SetIndex) -> Tensor:
        assert self.location is not None
        network = self.location
        inputs = torch.cat([_seen_centre(lifted, sets), lifted.orbit], dim=-1)
        z = network.share(inputs).permute(1, 2, 0) + network.biases[0]
        return network(z.contiguous()).t()


def _seen_centre(lifted: LiftedSet, sets: SetIndex) -> Tensor:
    """The centre of its set as the frame of each element sees it, ``[M, dim]``."""
    group = lifted.group
    linear, pos = group.split(lifted.g)
    if not group.translations:
        pos = lifted.repeat(lifted.pos)
    centre = gather(segment_mean(pos, sets), sets)
    if group.translations:
        # Far from the origin a centre is rounded; that of what is left is not.
        rest = pos - centre
        centre = gather(segment_mean(rest, sets), sets) - rest
    return group.points.act(group.points.inverse(linear), centre)
