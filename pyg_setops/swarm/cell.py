"""The recurrent cell that all elements share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import Linear

Exchange = Callable[[Tensor], Tensor]


class SwarmCell(torch.nn.Module):
    r"""An LSTM cell with a constant input and a pooled one.

    .. math::
        a_i &= W_x x_i + b + W_h h_i + W_p p_i, \qquad
        (i, f, o, g) = (\sigma, \sigma, \sigma, \tanh)(a_i) \\
        c_i &\leftarrow f \odot c_i + i \odot g, \qquad
        h_i \leftarrow o \odot \tanh(c_i)

    from the `"Learning Set-equivariant Functions with SWARM Mappings"
    <https://arxiv.org/abs/1906.09400>`_ cell; gates lie in the order i, f, o, g.

    Args:
        in_channels: The width of :math:`x`.
        hidden_channels: The width :math:`H` of the state.
        pooled_channels: The width of :math:`p` (default: :math:`H`); 0 if nothing is
            ever pooled.
        forget_bias: What the bias of the forget gate is raised by at the start.
        dropout: The probability with which an entry of :math:`h` is zeroed after
            each iteration, in training.
    """

    lin_p: Linear

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        pooled_channels: int | None = None,
        forget_bias: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        pooled = hidden_channels if pooled_channels is None else pooled_channels
        self.hidden_channels = hidden_channels
        self.forget_bias = forget_bias
        self.lin_x = Linear(in_channels, 4 * hidden_channels)
        self.lin_h = Linear(hidden_channels, 4 * hidden_channels, bias=False)
        # A weight that no forward pass reads would break DistributedDataParallel.
        if pooled:
            self.lin_p = Linear(pooled, 4 * hidden_channels, bias=False)
        self.dropout = torch.nn.Dropout(dropout)
        self._raise_forget_bias()

    def reset_parameters(self) -> None:
        r"""Draws all weights anew from :math:`U(\pm 1/\sqrt{fan_{in}})`."""
        for child in self.children():
            if isinstance(child, Linear):
                child.reset_parameters()
        self._raise_forget_bias()

    def _raise_forget_bias(self) -> None:
        hidden = self.hidden_channels
        with torch.no_grad():
            self.lin_x.bias[hidden : 2 * hidden] += self.forget_bias

    def forward(
        self,
        x: Tensor,
        num_iterations: int,
        exchange: Exchange | None = None,
        exchange_once: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Iterates the cell on every element, from a zero state.

        Args:
            x: Elements ``[N, in_channels]``.
            num_iterations: How often the cell is applied, :math:`T`.
            exchange: Maps the states ``[N, H]`` to what the pool adds to the gates of
                each element, ``[N, 4H]``; called before every iteration but the first.
            exchange_once: Call it before the second iteration only, and keep what it
                gave.

        Returns:
            The last ``h`` and ``c``, each ``[N, H]``.

        Cost:
            :math:`O(T N H^2)` and the exchanges; every iteration is kept for backward.
        """
        constant = self.lin_x(x)
        h, c = self.update(constant, None)
        pooled = None
        for _ in range(num_iterations - 1):
            if exchange is not None and (pooled is None or not exchange_once):
                pooled = exchange(h)
            a = constant + self.lin_h(h)
            h, c = self.update(a if pooled is None else a + pooled, c)
        return h, c

    def update(self, a: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Applies the gates ``a`` ``[N, 4H]`` to the state (zero for ``None``)."""
        i, f, o, g = a.chunk(4, dim=-1)
        new = i.sigmoid() * g.tanh()
        c = new if c is None else f.sigmoid() * c + new
        return self.dropout(o.sigmoid() * c.tanh()), c
