"""Networks of equivariant linear layers between tensors of any order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import silu
from torch_geometric.data import Data
from torch_geometric.nn import MLP

from ..partition.linear import EquivariantLinear
from ..ragged import TensorIndex


class InvariantGraphNetwork(torch.nn.Module):
    r"""Equivariant linear layers with SiLU between them, and a perceptron at the end.

    With all orders 2 and the last 0, the network of the `"Invariant and Equivariant
    Graph Networks" <https://arxiv.org/abs/1812.09902>`_ paper. The orders are free:
    through order 3 it counts triangles and cycles of four, which order 2 cannot tell
    apart; with the last order 2 it predicts pairs.

    Args:
        in_channels: The input width.
        out_channels: The output width.
        hidden_channels: The width in between.
        orders: The orders of the input, of what lies between layers, and of the output.
        aggr: ``'mean'`` or ``'sum'``; see :class:`~pyg_setops.EquivariantLinear`.
        size_exponent: Learn how sums scale with the size of a set.
        typical_size: The size at which that makes no difference.

    Shapes:
        - **input:** a tensor of the first order over each set,
          :math:`(\sum_b n_b^k, C_{in})`
        - **output:** one of the last order

    Raises:
        ValueError: If there are fewer than two orders.

    Cost:
        That of its layers; memory for every tensor in between.

    Example:
        >>> network = InvariantGraphNetwork(1, 3, 8, orders=(2, 3, 2, 0))
        >>> network(torch.rand(2**2 + 4**2, 1), ptr=torch.tensor([0, 2, 6])).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int,
        orders: Sequence[int] = (2, 2, 2, 0),
        aggr: Literal["mean", "sum"] = "mean",
        size_exponent: bool = False,
        typical_size: float = 1.0,
    ):
        super().__init__()
        if len(orders) < 2:
            raise ValueError(f"'orders' must be two or more, got {tuple(orders)}")
        widths = [in_channels, *[hidden_channels] * (len(orders) - 2)]
        self.layers = torch.nn.ModuleList(
            EquivariantLinear(
                order_in,
                order_out,
                width,
                hidden_channels,
                aggr=aggr,
                size_exponent=size_exponent,
                typical_size=typical_size,
            )
            for width, (order_in, order_out) in zip(
                widths, pairwise(orders), strict=True
            )
        )
        self.head = MLP(
            [hidden_channels, hidden_channels, out_channels], act="silu", norm=None
        )

    def forward(
        self,
        x: Tensor,
        index: Tensor | TensorIndex | None = None,
        ptr: Tensor | None = None,
    ) -> Tensor:
        """Maps a tensor over each set to another.

        Args:
            x: A tensor of the first order.
            index: The set of each *element*, or a prepared
                :class:`~pyg_setops.ragged.TensorIndex`.
            ptr: The boundaries of the sets, in elements.
        """
        tensors = self.layers[0].layout(x, index, ptr)  # type: ignore[operator]
        for layer in self.layers:
            x = silu(layer(x, tensors))
        return self.head(x)


def pair_tensor(data: Data) -> tuple[Tensor, TensorIndex]:
    """The graphs of a batch as tensors of order 2: a row for every pair of nodes.

    Pair ``(i, j)`` has the features of the edge from ``j`` to ``i``, a 1 for an edge
    without features, and zeros where there is none; the features of nodes are on the
    diagonal, in channels of their own.

    Args:
        data: A graph or a batch, with ``edge_index`` and, if there are any,
            ``edge_attr`` ``[E, F]`` and ``x`` ``[N, K]``.

    Returns:
        The tensor ``[sum n², F + K]`` and its layout, for the layers that follow.

    Example:
        >>> from torch_geometric.data import Data
        >>> data = Data(edge_index=torch.tensor([[0], [1]]), num_nodes=2)
        >>> pair_tensor(data)[0].flatten().tolist()
        [0.0, 0.0, 1.0, 0.0]
    """
    source, target = data.edge_index
    ptr = data.ptr if "ptr" in data else None
    count = data.num_nodes
    tensors = TensorIndex.build(data.batch, ptr, None, count, source.device)
    edges = data.edge_attr
    if edges is None:
        edges = torch.ones(source.numel(), 1, device=source.device)
    edges = edges[:, None] if edges.dim() == 1 else edges
    nodes = edges.new_zeros(count, 0) if data.x is None else data.x
    edges = edges.to(torch.promote_types(edges.dtype, nodes.dtype))
    width = edges.size(1)
    pairs = edges.new_zeros(tensors.num_rows(2), width + nodes.size(1))
    pairs[tensors.pair_rows(target, source), :width] = edges
    every = torch.arange(count, device=source.device)
    pairs[tensors.pair_rows(every, every), width:] = nodes.to(edges.dtype)
    return pairs, tensors
