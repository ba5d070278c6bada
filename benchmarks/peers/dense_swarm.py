"""SWARM as layers for dense batches are written: padded, masked, a product per row."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Linear


class DenseSwarm(torch.nn.Module):
    r"""The maths and the state of ``SwarmLayer`` on batches ``[B, L, C]``.

    What it does not do makes the difference: it takes :math:`W_p` on the row of every
    element, though those of a set are copies of each other, works on padding, and
    leaves all intermediate results to autograd. The product :math:`W_x x` is taken
    once, as in the fastest way to run the published layer.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int,
        num_iterations: int,
        causal: bool = False,
    ):
        super().__init__()
        self.num_iterations = num_iterations
        self.causal = causal
        self.cell = torch.nn.Module()
        self.cell.lin_x = Linear(in_channels, 4 * hidden_channels)
        self.cell.lin_h = Linear(hidden_channels, 4 * hidden_channels, bias=False)
        self.cell.lin_p = Linear(hidden_channels, 4 * hidden_channels, bias=False)
        self.lin_out = Linear(2 * hidden_channels, out_channels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Maps ``[B, L, C]``, of which ``mask`` ``[B, L, 1]`` holds, to outputs."""
        constant = self.cell.lin_x(x)
        h, c = _update(constant, None)
        for _ in range(self.num_iterations - 1):
            pooled = _cumulative(h) if self.causal else _mean(h, mask)
            a = constant + self.cell.lin_h(h) + self.cell.lin_p(pooled)
            h, c = _update(a, c)
        return self.lin_out(torch.cat([h, c], dim=-1))


def _update(a: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
    i, f, o, g = a.chunk(4, dim=-1)
    new = i.sigmoid() * g.tanh()
    c = new if c is None else f.sigmoid() * c + new
    return o.sigmoid() * c.tanh(), c


def _mean(h: Tensor, mask: Tensor) -> Tensor:
    mean = (h * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
    return mean.expand_as(h)


def _cumulative(h: Tensor) -> Tensor:
    count = torch.arange(1, h.size(1) + 1, dtype=h.dtype)
    return h.cumsum(1) / count[:, None]
