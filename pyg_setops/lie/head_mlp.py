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
            Parameter(torch.empty(heads, b, a)) for a, b in pairwise(widths)
        )
        self.biases = torch.nn.ParameterList(
            Parameter(torch.empty(heads, b, 1)) for b in widths[1:]
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all weights anew, as a linear layer does."""
        for weight, bias in zip(self.weights, self.biases, strict=True):
            bound = 1 / max(weight.size(2), 1) ** 0.5
            torch.nn.init.uniform_(weight, -bound, bound)
            torch.nn.init.uniform_(bias, -bound, bound)

    def share(self, x: Tensor, first: int = 0) -> Tensor:
        """The first layer of inputs ``[M, n]``, from ``first`` on: ``[M, h, w]``."""
        weight = self.weights[0][:, :, first : first + x.size(1)]
        return (x @ weight.flatten(0, 1).t()).unflatten(1, weight.shape[:2])

    def pair_share(self, x: Tensor) -> Tensor:
        """The first layer of the first inputs ``[*, n]`` of pairs: ``[h, w, *]``."""
        weight = self.weights[0][:, :, : x.size(-1)]
        out = weight.flatten(0, 1) @ x.flatten(0, -2).t()
        return out.view(*weight.shape[:2], *x.shape[:-1])

    def scalar_share(self, x: Tensor, place: int) -> Tensor:
        """The first layer of an input of each head, ``[h, *]``: ``[h, w, *]``."""
        weight = self.weights[0][:, :, place]
        return x[:, None] * weight.view(*weight.shape, *[1] * (x.dim() - 1))

    def forward(self, z: Tensor) -> Tensor:
        """From the sum of the shares and the bias, ``[h, w, *]``, to ``[h, *]``."""
        shape = z.shape[2:]
        z = silu(z).flatten(2)
        z = silu(torch.baddbmm(self.biases[1], self.weights[1], z))
        z = torch.baddbmm(self.biases[2], self.weights[2], z)
        return (silu(z) if self.act_last else z).view(-1, *shape)
