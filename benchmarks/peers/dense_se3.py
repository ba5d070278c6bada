"""SE3TransformerConv on padded sets: all pairs, masked."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Module

from pyg_setops.conv import SE3TransformerConv


class DenseSE3(Module):
    """The maths and the parameters of a ragged layer, on ``[B, n, n]`` pairs."""

    def __init__(self, conv: SE3TransformerConv):
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor, pos: Tensor, mask: Tensor) -> Tensor:
        """Maps ``[B, n, D]`` at ``[B, n, 3]``, where ``mask`` ``[B, n, 1]`` is true."""
        conv, (count, size, _) = self.conv, x.shape
        query, source = conv.lin_query(x), conv.lin_source(x)
        pairs = count, size, size  # targets, then sources
        query = query[:, :, None].expand(*pairs, -1).flatten(0, 2)
        source = source[:, None].expand(*pairs, -1).flatten(0, 2)
        vector = (pos[:, None] - pos[:, :, None]).flatten(0, 2)
        harmonics, radial, envelope = conv.geometry(vector)
        key_weight, value_weight = conv.radial(radial).chunk(2, dim=-1)
        product = conv.product(source, harmonics)
        score = conv.product.contract(query, product) * key_weight @ conv.head
        score = (score * conv.scale).view(*pairs, -1)
        other = ~torch.eye(size, dtype=torch.bool)[None, :, :, None]
        present = mask[:, None] & mask[:, :, None] & other
        envelope = torch.where(present, envelope.view(*pairs, 1), 0)
        shift = score.amax(dim=2, keepdim=True).clamp(min=0).detach()
        weight = envelope * (score - shift).exp()
        share = weight / ((-shift).exp() + weight.sum(dim=2, keepdim=True))
        share = share.flatten(0, 2) @ conv.head.t() * value_weight
        heard = conv.product.scale(product, share).view(*pairs, -1).sum(dim=2)
        return conv.lin_out(heard) + conv.lin_root(x)
