"""Attention between ragged sets and a few vectors, never padded."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import LayerNorm, Linear, Parameter

from ..ragged import SetIndex, segment_matvec, segment_outer, segment_softmax


class AttentionBlock(torch.nn.Module):
    r"""The weights of a multi-head attention block, and what follows attention.

    .. math::
        h = \mathrm{norm}(x + W_o\, \mathrm{attended}), \qquad
        y = \mathrm{norm}(h + \mathrm{relu}(W h))

    Args:
        channels: The width.
        heads: The number of heads; it divides the width.

    Raises:
        ValueError: If it does not.
    """

    def __init__(self, channels: int, heads: int):
        super().__init__()
        if heads < 1 or channels % heads:
            raise ValueError(
                f"'heads' must divide 'channels', got {heads} heads for {channels} "
                "channels"
            )
        self.heads = heads
        self.lin_query = Linear(channels, channels)
        self.lin_key = Linear(channels, channels)
        self.lin_value = Linear(channels, channels)
        self.lin_out = Linear(channels, channels)
        self.lin_feed = Linear(channels, channels)
        self.norm_attention = LayerNorm(channels)
        self.norm_feed = LayerNorm(channels)

    def split(self, x: Tensor) -> Tensor:
        """Splits the channels into heads: ``[*, C]`` to ``[*, heads, C / heads]``."""
        return x.unflatten(-1, (self.heads, -1))

    def queries(self, x: Tensor) -> Tensor:
        r"""Queries by heads, scaled by :math:`1/\sqrt d`."""
        query = self.split(self.lin_query(x))
        return query / query.size(-1) ** 0.5

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Adds what was attended to, and what a layer makes of it."""
        h = self.norm_attention(x + self.lin_out(attended))
        return self.norm_feed(h + self.lin_feed(h).relu())


class PoolingByAttention(AttentionBlock):
    r"""A few learned vectors attend to the elements of each set.

    The `"Set Transformer" <https://arxiv.org/abs/1810.00825>`_ paper's
    :math:`\mathrm{MAB}(S, X)`, with seeds or inducing points :math:`S`.

    Args:
        channels: The width.
        num_seeds: The number :math:`m` of vectors.
        heads: The number of heads.

    Cost:
        :math:`O(N C (C + m))`.
    """

    def __init__(self, channels: int, num_seeds: int, heads: int):
        super().__init__(channels, heads)
        self.seeds = Parameter(torch.empty(num_seeds, channels))
        torch.nn.init.xavier_uniform_(self.seeds)

    def forward(self, x: Tensor, sets: SetIndex) -> Tensor:
        """Maps elements ``[N, C]`` to vectors ``[B, m, C]``."""
        query, key = self.queries(self.seeds), self.split(self.lin_key(x))
        value = self.split(self.lin_value(x))
        weight = segment_softmax(torch.einsum("nhd,mhd->nhm", key, query), sets)
        heads = [
            segment_outer(weight[:, head], value[:, head], sets)
            for head in range(self.heads)
        ]
        return self.finish(self.seeds, torch.cat(heads, dim=2))


class ReadingByAttention(AttentionBlock):
    r"""The elements of each set attend to a few vectors of their set.

    Args:
        channels: The width.
        heads: The number of heads.

    Cost:
        :math:`O(N C (C + m))` for :math:`m` vectors.
    """

    def forward(self, x: Tensor, memory: Tensor, sets: SetIndex) -> Tensor:
        """Maps elements ``[N, C]`` and vectors ``[B, m, C]`` to elements."""
        query = self.queries(x)
        key, value = (
            self.split(self.lin_key(memory)),
            self.split(self.lin_value(memory)),
        )
        heads = []
        for head in range(self.heads):
            score = segment_matvec(key[:, :, head], query[:, head], sets)
            mixer = value[:, :, head].transpose(1, 2)
            heads.append(segment_matvec(mixer, score.softmax(dim=1), sets))
        return self.finish(x, torch.cat(heads, dim=1))


class InducedSetAttention(torch.nn.Module):
    r"""Elements that attend to each other through a few inducing points.

    The `"Set Transformer" <https://arxiv.org/abs/1810.00825>`_ paper's
    :math:`\mathrm{ISAB}(X) = \mathrm{MAB}(X, \mathrm{MAB}(I, X))`.

    Args:
        channels: The width.
        num_inducing: The number :math:`m` of inducing points.
        heads: The number of heads.
    """

    def __init__(self, channels: int, num_inducing: int, heads: int):
        super().__init__()
        self.write = PoolingByAttention(channels, num_inducing, heads)
        self.read = ReadingByAttention(channels, heads)

    def forward(self, x: Tensor, sets: SetIndex) -> Tensor:
        """Maps elements ``[N, C]`` to elements ``[N, C]``."""
        return self.read(x, self.write(x, sets), sets)
