"""LieSelfAttention as it is published: padded sets, all pairs, a mask."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import silu

from pyg_setops.conv import LieSelfAttention


class DenseLieSelfAttention(torch.nn.Module):
    """The maths of a layer with dot product, location network and sum.

    It takes the first layer of the location network on every pair, for every head from
    a copy of the coordinates, works on padding, and leaves all intermediate results to
    autograd, as the published code does. Coordinates are those of our groups.

    Args:
        layer: Whose weights are taken.
    """

    def __init__(self, layer: LieSelfAttention):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, g: Tensor, mask: Tensor) -> Tensor:
        """Maps ``[B, L, C]`` at ``[B, L, e]``, of which ``mask`` ``[B, L]`` holds."""
        layer = self.layer
        heads, scores = layer.heads, layer.scores
        query, key, value = (
            lin(x).unflatten(-1, (heads, -1)).transpose(1, 2)
            for lin in (scores.lin_query, scores.lin_key, layer.lin_value)
        )
        content = query @ key.mT / query.size(-1) ** 0.5
        pair = layer.group.pair(g[:, :, None], g[:, None])
        z = pair[..., None, :].repeat(1, 1, 1, heads, 1)
        network = scores.location
        for weight, bias in zip(network.weights, network.biases, strict=True):
            z = silu(torch.einsum("bijhc,hdc->bijhd", z, weight) + bias.squeeze(2))
        score = content + z.squeeze(-1).permute(0, 3, 1, 2)
        real = mask[:, None, None]
        if scores.kernel.normalize == "softmax":
            weight = score.masked_fill(~real, -torch.inf).softmax(-1)
        else:
            weight = score.masked_fill(~real, 0) / mask.sum(1).view(-1, 1, 1, 1)
        out = (weight @ value).transpose(1, 2).flatten(2)
        return layer.lin_out(out) * mask[..., None]
