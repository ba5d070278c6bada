"""The usual networks on sets, as peers to train beside ours: ragged, never padded."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Linear
from torch_geometric.nn import MLP
from torch_geometric.nn.aggr.utils import SetAttentionBlock

from ..ragged import SetIndex, gather, segment_mean
from .set_attention import InducedSetAttention, PoolingByAttention


class EquivariantDeepSets(torch.nn.Module):
    r"""Layers :math:`y_i = A x_i + B\, \mathrm{mean}_j\, x_j + b` with ReLU between.

    The equivariant layers of the `"Deep Sets" <https://arxiv.org/abs/1703.06114>`_
    paper.

    Args:
        in_channels: The input width.
        out_channels: The output width.
        hidden_channels: The width between layers.
        num_layers: The number of layers (default: 5).

    Shapes:
        - **input:** elements :math:`(N, C_{in})`
        - **output:** elements :math:`(N, C_{out})`
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int,
        num_layers: int = 5,
    ):
        super().__init__()
        inner = [hidden_channels] * (num_layers - 1)
        widths = list(zip([in_channels, *inner], [*inner, out_channels], strict=True))
        self.own = torch.nn.ModuleList(Linear(a, b) for a, b in widths)
        self.pooled = torch.nn.ModuleList(Linear(a, b, bias=False) for a, b in widths)

    def forward(
        self, x: Tensor, index: Tensor | None = None, ptr: Tensor | None = None
    ) -> Tensor:
        """Maps elements to elements, as :class:`~pyg_setops.SwarmLayer` does."""
        sets = SetIndex.build(index, ptr, None, x.size(0), x.device)
        for number, (own, pooled) in enumerate(zip(self.own, self.pooled, strict=True)):
            x = x.relu() if number else x
            x = own(x) + gather(pooled(segment_mean(x, sets)), sets)
        return x


class InducedSetTransformer(torch.nn.Module):
    r"""A linear layer, blocks of induced set attention, and a linear layer.

    The encoder of the `"Set Transformer" <https://arxiv.org/abs/1810.00825>`_ paper.

    Args:
        in_channels: The input width.
        out_channels: The output width.
        hidden_channels: The width of the blocks.
        num_layers: The number of blocks (default: 2).
        num_inducing: The number of inducing points (default: 32).
        heads: The number of heads (default: 4).

    Shapes:
        - **input:** elements :math:`(N, C_{in})`
        - **output:** elements :math:`(N, C_{out})`
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int,
        num_layers: int = 2,
        num_inducing: int = 32,
        heads: int = 4,
    ):
        super().__init__()
        self.lin_in = Linear(in_channels, hidden_channels)
        self.blocks = torch.nn.ModuleList(
            InducedSetAttention(hidden_channels, num_inducing, heads)
            for _ in range(num_layers)
        )
        self.lin_out = Linear(hidden_channels, out_channels)

    def forward(
        self, x: Tensor, index: Tensor | None = None, ptr: Tensor | None = None
    ) -> Tensor:
        """Maps elements to elements, as :class:`~pyg_setops.SwarmLayer` does."""
        sets = SetIndex.build(index, ptr, None, x.size(0), x.device)
        x = self.lin_in(x)
        for block in self.blocks:
            x = block(x, sets)
        return self.lin_out(x)


class AttentionReadout(torch.nn.Module):
    r"""The decoder of the Set Transformer: :math:`k` seeds, attention among them.

    Args:
        in_channels: The width of the elements.
        out_channels: The output width, for each seed.
        num_seeds: The number :math:`k` of outputs per set.
        heads: The number of heads (default: 4).

    Shapes:
        - **input:** elements :math:`(N, C_{in})`
        - **output:** sets :math:`(B, k, C_{out})`
    """

    def __init__(
        self, in_channels: int, out_channels: int, num_seeds: int, heads: int = 4
    ):
        super().__init__()
        self.pool = PoolingByAttention(in_channels, num_seeds, heads)
        self.mix = SetAttentionBlock(in_channels, heads)
        self.lin_out = Linear(in_channels, out_channels)

    def forward(
        self, x: Tensor, index: Tensor | None = None, ptr: Tensor | None = None
    ) -> Tensor:
        """Maps elements to ``num_seeds`` vectors for each set."""
        sets = SetIndex.build(index, ptr, None, x.size(0), x.device)
        return self.lin_out(self.mix(self.pool(x, sets)))


class DeepSets(torch.nn.Module):
    r"""A network on elements, their mean, and a network on sets.

    The invariant network of the `"Deep Sets" <https://arxiv.org/abs/1703.06114>`_
    paper.

    Args:
        in_channels: The input width.
        out_channels: The output width.
        hidden_channels: The width in between.
        num_layers: The layers of each of the two networks (default: 4).

    Shapes:
        - **input:** elements :math:`(N, C_{in})`
        - **output:** sets :math:`(B, C_{out})`
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int,
        num_layers: int = 4,
    ):
        super().__init__()
        hidden = [hidden_channels] * num_layers
        self.on_elements = MLP([in_channels, *hidden], norm=None)
        self.on_sets = MLP([*hidden, out_channels], norm=None)

    def forward(
        self, x: Tensor, index: Tensor | None = None, ptr: Tensor | None = None
    ) -> Tensor:
        """Maps elements to one vector for each set."""
        sets = SetIndex.build(index, ptr, None, x.size(0), x.device)
        return self.on_sets(segment_mean(self.on_elements(x), sets))


class EncoderReadout(torch.nn.Module):
    """Elements to elements, then elements to sets.

    Args:
        encoder: Maps elements and their layout to elements.
        readout: Maps elements and their layout to sets.
    """

    def __init__(self, encoder: torch.nn.Module, readout: torch.nn.Module):
        super().__init__()
        self.encoder, self.readout = encoder, readout

    def forward(
        self, x: Tensor, index: Tensor | None = None, ptr: Tensor | None = None
    ) -> Tensor:
        """Maps elements to what the readout gives for each set."""
        return self.readout(self.encoder(x, index, ptr), index, ptr)
