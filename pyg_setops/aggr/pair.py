"""The pairs of a set as one vector."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from ..partition.linear import EquivariantLinear
from ..ragged import SetIndex, TensorIndex
from .base import SetAggregation


class PairAggregation(SetAggregation):
    r"""All pairs of the elements of a set, as one vector: every linear invariant.

    .. math::
        y = W_1 \frac{1}{n^2} \sum_{ij} x_{ij} + W_2 \frac{1}{n} \sum_i x_{ii} + b

    :class:`~pyg_setops.EquivariantLinear` from order 2 to order 0. The elements of an
    aggregation are *pairs* here: a set of :math:`n` elements has :math:`n^2` rows, in
    the order of :func:`pyg_setops.ragged.pair_index`, and says so itself: no other
    layout is needed than that of the rows. A pair with itself counts twice, as one of
    all and as one of the diagonal.

    From `"Invariant and Equivariant Graph Networks"
    <https://arxiv.org/abs/1812.09902>`_.

    Args:
        in_channels: The width of a pair, or -1 to take it from the first input.
        out_channels: The output width; ``None`` keeps the input's.
        bias: Whether there is a bias.
        aggr: ``'mean'``, as above, or ``'sum'``, which divides by ``typical_size``
            in the place of :math:`n`.
        size_exponent: Learn a factor :math:`(n / \bar n)^\alpha` for every channel of
            both sums.
        typical_size: :math:`\bar n`, a constant.

    Shapes:
        - **input:** pairs :math:`(*, \sum_b n_b^2, C_{in})`, row-major in each set;
          of an unsorted ``index``, in the order of their rows
        - **output:** sets :math:`(*, B, C_{out})`, zeros for empty sets

    Raises:
        ValueError: Where a set has a number of rows that is no square.

    Cost:
        One pass over the pairs, and two matrix products of a row per set.

    Example:
        >>> import torch
        >>> aggregation = PairAggregation(8, 16)
        >>> pairs = torch.randn(2 * 2 + 3 * 3, 8)
        >>> aggregation(pairs, ptr=torch.tensor([0, 4, 13])).shape
        torch.Size([2, 16])
    """

    width_key = "lin.weight"

    def __init__(
        self,
        in_channels: int = -1,
        out_channels: int | None = None,
        bias: bool = True,
        aggr: Literal["mean", "sum"] = "mean",
        size_exponent: bool = False,
        typical_size: float = 1.0,
    ):
        super().__init__(in_channels, out_channels)
        self.bias = bias
        self.aggr = aggr
        self.size_exponent = size_exponent
        self.typical_size = typical_size
        self.start(in_channels)

    def create(self, in_channels: int, out_channels: int) -> None:
        """Creates the layer."""
        self.lin = EquivariantLinear(
            2,
            0,
            in_channels,
            out_channels,
            self.bias,
            self.aggr,
            self.size_exponent,
            self.typical_size,
        )

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        if self.in_channels != -1:
            self.lin.reset_parameters()

    def aggregate(self, x: Tensor, sets: SetIndex) -> Tensor:
        """Maps pairs ``[sum n², in_channels]`` to sets ``[B, out_channels]``."""
        sets, order = sets.sorted()
        x = x if order is None else x.index_select(0, order)
        return self.lin(x, TensorIndex.of_pairs(sets))
