"""The layer from pairs to pairs as it is mostly written: 15 dense maps, stacked."""

from __future__ import annotations

import torch
from torch import Tensor


class DensePairs(torch.nn.Module):
    r"""All 15 maps of ``[B, L, L, C]`` as tensors of that size, then one product.

    As published layers of invariant graph networks do it: the sums are taken once,
    every map is spread over all pairs, and mixing comes last. Padding is masked before
    and after; a mean divides by the size of a set.

    Args:
        weight: ``[15, C_out, C_in]``, in the order of :attr:`maps`.
        bias: Of the diagonal and of all pairs, ``[2, C_out]``.
    """

    #: The partitions of the axes, those of the output first.
    maps = (
        (0, 1, 0, 1),
        (0, 1, 1, 0),
        (0, 1, 0, 2),
        (0, 1, 1, 2),
        (0, 1, 2, 0),
        (0, 1, 2, 1),
        (0, 1, 0, 0),
        (0, 1, 1, 1),
        (0, 0, 0, 1),
        (0, 0, 1, 0),
        (0, 0, 0, 0),
        (0, 1, 2, 3),
        (0, 1, 2, 2),
        (0, 0, 1, 2),
        (0, 0, 1, 1),
    )

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        self.weight = torch.nn.Parameter(weight.detach().clone())
        self.bias = torch.nn.Parameter(bias.detach().clone())

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Maps ``[B, L, L, C]``, of which ``mask`` ``[B, L]`` holds."""
        size = x.size(1)
        count: Tensor | int = size
        if mask is not None:
            count = mask.sum(1)[:, None, None].clamp(min=1)
        diagonal = x.diagonal(dim1=1, dim2=2).transpose(1, 2)
        row, column = x.sum(2) / count, x.sum(1) / count
        total = row.sum(1, keepdim=True) / count
        trace = diagonal.sum(1, keepdim=True) / count
        shape = (*x.shape[:3], x.size(3))

        def down(v: Tensor) -> Tensor:
            return v[:, :, None].expand(shape)

        def across(v: Tensor) -> Tensor:
            return v[:, None].expand(shape)

        def placed(v: Tensor) -> Tensor:
            wide = v.expand(-1, size, -1).transpose(1, 2)
            return torch.diag_embed(wide).permute(0, 2, 3, 1)

        stack = torch.stack(
            [
                x,
                x.transpose(1, 2),
                down(row),
                across(row),
                down(column),
                across(column),
                down(diagonal),
                across(diagonal),
                placed(row),
                placed(column),
                placed(diagonal),
                total[:, None].expand(shape),
                trace[:, None].expand(shape),
                placed(total),
                placed(trace),
            ],
            dim=3,
        )
        out = stack.flatten(3) @ self.weight.transpose(1, 2).flatten(0, 1)
        eye = torch.eye(size)[:, :, None]
        out = out + self.bias[1] + self.bias[0] * eye
        if mask is None:
            return out
        return out * (mask[:, :, None] & mask[:, None]).unsqueeze(3)
