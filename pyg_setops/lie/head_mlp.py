"""Small networks with weights of their own for each head."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.functional import silu


class HeadMLP(torch.nn.Module):
    """Three layers for each head, to one number, with swish in between.

    The first layer is linear, so it is taken apart: the share of what depends on one
    element only is computed once for the element, not once for each pair.

    Args:
        heads: The number of heads.
        in_channels: The inputs of the first layer.
        hidden_channels: The width.
        act_last: Whether swish follows the last layer too.
    """

    def __init__(
        self, heads: int, in_channels: int, hidden_channels: int, act_last: bool
    ):
        super().__init__()
        self.act_last = act_last
        widths = (in_channels, hidden_channels, hidden_channels, 1)
        self.weights = torch.nn.ParameterList(
            Parameter(torch.empty(heads, a, b)) for a, b in pairwise(widths)
        )
        self.biases = torch.nn.ParameterList(
            Parameter(torch.empty(heads, 1, b)) for b in widths[1:]
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all weights anew, as a linear layer does."""
        for weight, bias in zip(self.weights, self.biases, strict=True):
            bound = 1 / max(weight.size(1), 1) ** 0.5
            torch.nn.init.uniform_(weight, -bound, bound)
            torch.nn.init.uniform_(bias, -bound, bound)

    def share(self, x: Tensor, first: int) -> Tensor:
        """The first layer of inputs ``[*, n]``, from ``first`` on: ``[*, h, w]``."""
        weight = self.weights[0][:, first : first + x.size(-1)]
        heads, _, width = weight.shape
        return (x @ weight.transpose(0, 1).flatten(1)).unflatten(-1, (heads, width))

    def share_scalar(self, x: Tensor, place: int) -> Tensor:
        """The first layer of an input that each head has its own of: ``[h, *]``."""
        return x.movedim(0, -1)[..., None] * self.weights[0][:, place]

    def forward(self, z: Tensor) -> Tensor:
        """From the sum of the shares ``[*, h, w]`` to numbers ``[h, *]``."""
        shape = z.shape[:-2]
        z = silu(z + self.biases[0].squeeze(1)).flatten(0, -3).transpose(0, 1)
        z = silu(torch.baddbmm(self.biases[1], z, self.weights[1]))
        z = torch.baddbmm(self.biases[2], z, self.weights[2])
        return (silu(z) if self.act_last else z).view(-1, *shape)
