"""An invariant graph network over the pairs of a set, as an aggregation."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import ModuleList
from torch.nn.functional import silu
from torch_geometric.nn.inits import reset

from ..partition.linear import EquivariantLinear
from ..ragged import SetIndex, TensorIndex
from .base import SetAggregation


class IGNAggregation(SetAggregation):
    r"""Elements to their pairs, pairs to pairs, and pairs to one vector.

    .. math::
        y = L_{2 \to 0} \circ \sigma \circ L_{2 \to 2} \circ \dots \circ \sigma \circ
        L_{1 \to 2}\; x

    with all linear maps that commute with permutations
    (:class:`~pyg_setops.EquivariantLinear`) and SiLU between them: an `invariant graph
    network <https://arxiv.org/abs/1812.09902>`_ as a readout, which sees every pair of
    elements together.

    Args:
        in_channels: The input width, or -1 to take it from the first input.
        out_channels: The output width; ``None`` keeps the input's.
        hidden_channels: The width of pairs; ``None`` takes the output's.
        num_layers: The number of layers that end at pairs, at least 1.
        aggr: ``'mean'`` divides every sum over elements by the size of the set,
            ``'sum'`` by ``typical_size``.
        size_exponent: Learn a factor :math:`(n / \bar n)^\alpha` of every sum.
        typical_size: :math:`\bar n`, a constant.

    Shapes:
        - **input:** elements :math:`(*, N, C_{in})`, in any order
        - **output:** sets :math:`(*, B, C_{out})`, zeros for empty sets

    Cost:
        :math:`O(P H^2)` time and :math:`O(P H)` memory for :math:`P = \sum_b n_b^2`
        pairs of width :math:`H`, for each layer.

    Example:
        >>> import torch
        >>> aggregation = IGNAggregation(8, 16, hidden_channels=4)
        >>> aggregation(torch.randn(5, 8), torch.tensor([0, 0, 1, 1, 1])).shape
        torch.Size([2, 16])
    """

    width_key = "layers.0.weight"

    def __init__(
        self,
        in_channels: int = -1,
        out_channels: int | None = None,
        hidden_channels: int | None = None,
        num_layers: int = 2,
        aggr: Literal["mean", "sum"] = "mean",
        size_exponent: bool = False,
        typical_size: float = 1.0,
    ):
        super().__init__(in_channels, out_channels)
        if num_layers < 1:
            raise ValueError(f"'num_layers' must be at least 1, got {num_layers}")
        self.hidden_channels = hidden_channels
        self.num_layers = num_layers
        self.aggr = aggr
        self.size_exponent = size_exponent
        self.typical_size = typical_size
        self.start(in_channels)

    def create(self, in_channels: int, out_channels: int) -> None:
        """Creates the layers."""
        hidden = out_channels if self.hidden_channels is None else self.hidden_channels
        orders = [1, *[2] * self.num_layers, 0]
        widths = [in_channels, *[hidden] * self.num_layers, out_channels]
        self.layers = ModuleList(
            EquivariantLinear(
                orders[i],
                orders[i + 1],
                widths[i],
                widths[i + 1],
                aggr=self.aggr,
                size_exponent=self.size_exponent,
                typical_size=self.typical_size,
            )
            for i in range(self.num_layers + 1)
        )

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        if self.in_channels != -1:
            for layer in self.layers.children():
                reset(layer)

    def aggregate(self, x: Tensor, sets: SetIndex) -> Tensor:
        """Maps elements ``[N, in_channels]`` to sets ``[B, out_channels]``."""
        tensors = TensorIndex.of(sets)
        for layer in self.layers[:-1]:
            x = silu(layer(x, tensors))
        return self.layers[-1](x, tensors)
