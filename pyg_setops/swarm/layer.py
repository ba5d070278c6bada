"""The set-to-set layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import Linear
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.nn.inits import reset

from ..arguments import check_positive
from ..lazy import LazyChannels
from ..ragged import SetIndex, fold, unfold
from ..ragged.precision import accumulator
from .cell import SwarmCell
from .fused import fused_swarm, is_fusible
from .pooling import CausalPooling, Pooling, exchange_through, resolve_pooling


@dataclass(frozen=True)
class SwarmState:
    """What a causal layer remembers of the elements that it has seen.

    Attributes:
        sums: The sum of the states that went into each exchange, ``[T - 1, B, H]``;
            of half precision, in float32.
        count: The number of elements seen.
    """

    sums: Tensor
    count: int


class SwarmLayer(LazyChannels):
    r"""Lets the elements of each set exchange their states, and transforms them.

    :math:`T` iterations of one :class:`~pyg_setops.swarm.SwarmCell` per element,
    each but the first preceded by pooling the states of the set, and a linear map
    :math:`y_i = W_o [h_i ; c_i] + b_o`; from the `"Learning Set-equivariant Functions
    with SWARM Mappings" <https://arxiv.org/abs/1906.09400>`_ paper.

    Args:
        in_channels: The input width, or -1 to take it from the first input.
        out_channels: The output width.
        hidden_channels: The width :math:`H` of the states.
        num_iterations: :math:`T`; there are :math:`T - 1` exchanges.
        pool: ``'mean'``, ``'sum'``, ``'max'``, ``'causal'`` (the mean up to the
            element itself, in the order given), ``'maps'`` (a linear attention), any
            :class:`~pyg_setops.swarm.Pooling` or any PyG aggregation that keeps the
            width; ``None`` keeps elements apart.
        pool_once: Pool after the first iteration only and keep the result.
        forget_bias: What the bias of the forget gate is raised by at the start.
        dropout: The dropout probability on the states.
        mode: What is kept for the backward pass. ``'keep'``: all states, the fastest.
            ``'recompute'``: none; they are computed again, in about 40 % more
            time. ``'plain'``: the textbook implementation, the exact reference. The
            first two take the sets in blocks that fit the cache, for the pools mean,
            sum and causal; elsewhere, in half precision, under autocast, dropout and
            ``torch.compile``, the plain one serves. Their tanh is a sigmoid's, with
            an absolute error of 1e-7 in float32.

    Shapes:
        - **input:** elements :math:`(*, N, C_{in})`
        - **output:** elements :math:`(*, N, C_{out})`

    Cost:
        :math:`O(T N H^2)` time, half of it saved where the pool is one row per set.

    Example:
        >>> import torch
        >>> layer = SwarmLayer(3, 5, hidden_channels=16, num_iterations=4)
        >>> layer(torch.randn(6, 3), index=torch.tensor([0, 0, 0, 1, 1, 2])).shape
        torch.Size([6, 5])
    """

    width_key = "cell.lin_x.weight"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int,
        num_iterations: int,
        pool: str | Pooling | Aggregation | None = "mean",
        pool_once: bool = False,
        forget_bias: float = 0.0,
        dropout: float = 0.0,
        mode: Literal["keep", "recompute", "plain"] = "keep",
    ):
        super().__init__()
        check_positive(
            out_channels=out_channels,
            hidden_channels=hidden_channels,
            num_iterations=num_iterations,
        )
        if mode not in ("keep", "recompute", "plain"):
            raise ValueError(
                f"'mode' must be 'keep', 'recompute' or 'plain', got {mode!r}"
            )
        self.out_channels = out_channels
        self.hidden_channels = hidden_channels
        self.num_iterations = num_iterations
        self.pool = None if pool is None else resolve_pooling(pool)
        self.pool_once = pool_once
        self.forget_bias = forget_bias
        self.dropout = dropout
        self.mode = mode
        self.lin_out = Linear(2 * hidden_channels, out_channels)
        self.start(in_channels)

    def build(self, in_channels: int) -> None:
        """Creates the cell; see :class:`~pyg_setops.lazy.LazyChannels`."""
        hidden = self.hidden_channels
        heard = 0 if self.pool is None else self.pool.out_channels(hidden)
        self.cell = SwarmCell(
            in_channels, hidden, heard, self.forget_bias, self.dropout
        )

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        if self.in_channels != -1:
            self.cell.reset_parameters()
        reset(self.pool)
        self.lin_out.reset_parameters()

    def forward(
        self, x: Tensor, index: Tensor | None = None, ptr: Tensor | None = None
    ) -> Tensor:
        """Transforms every element, in the light of its set.

        Args:
            x: Elements ``[*, N, in_channels]``.
            index: The set of each element, in any order unless the pool is causal;
                one set if neither this nor ``ptr`` is given.
            ptr: The boundaries of sets that lie one after another.

        Returns:
            Elements ``[*, N, out_channels]``.

        Raises:
            TypeError: If ``index`` or ``ptr`` does not hold integers.
            ValueError: If the layout is not one, ``x`` has not the width that the
                layer has, or the pool is causal and ``index`` is not sorted.
        """
        sets = SetIndex.build(index, ptr, None, x.size(-2), x.device)
        rows, sets = fold(x, sets)
        h, c = self.states(rows, sets)
        return unfold(self.lin_out(torch.cat([h, c], dim=-1)), x)

    def states(self, x: Tensor, sets: SetIndex) -> tuple[Tensor, Tensor]:
        """The last states ``h`` and ``c``, ``[N, H]`` each, of elements ``[N, C]``."""
        if isinstance(self.pool, CausalPooling):
            sets.require_sorted("causal pooling")
        self.see(x)
        pool = self.pool
        if pool is not None and self._is_fusible(pool, x):
            return fused_swarm(
                self.cell,
                pool,
                x,
                sets,
                self.num_iterations,
                recompute=self.mode == "recompute",
            )
        exchange = pool and partial(exchange_through, pool, self.cell, sets)
        return self.cell(x, self.num_iterations, exchange, self.pool_once)

    def _is_fusible(self, pool: Pooling, x: Tensor) -> bool:
        return (
            self.mode != "plain"
            and not self.pool_once
            and not (self.training and self.dropout > 0)
            and is_fusible(self.cell, pool, x)
        )

    def step(
        self, x: Tensor, state: SwarmState | None = None
    ) -> tuple[Tensor, SwarmState]:
        """Adds one element to each set of a causal layer.

        Equals the last row that :meth:`forward` gives for the longer sets; what it
        gave for the elements before does not change.

        Args:
            x: The new element of each of ``B`` sets, ``[B, in_channels]``.
            state: What the step before returned; ``None`` for the first elements.

        Returns:
            The output ``[B, out_channels]`` and the new state.

        Raises:
            ValueError: If the pool is not causal, or ``x`` has not the width of the
                layer or a row for each set of ``state``.

        Cost:
            :math:`T` applications of the cell, whatever the number of elements seen.
        """
        if not isinstance(self.pool, CausalPooling):
            raise ValueError("'step' needs a layer with pool='causal'")
        if state is not None and state.sums.size(1) != x.size(0):
            raise ValueError(
                f"'x' must have a row for each of the {state.sums.size(1)} sets of "
                f"'state', got {x.size(0)}"
            )
        self.see(x)
        count = 1 if state is None else state.count + 1
        sums: list[Tensor] = []

        def hear(h: Tensor) -> Tensor:
            wide = h.to(accumulator(h.dtype))
            sums.append(wide if state is None else state.sums[len(sums)] + wide)
            return self.cell.lin_p((sums[-1] / count).to(h.dtype))

        h, c = self.cell(x, self.num_iterations, hear, self.pool_once)
        new = SwarmState(torch.stack(sums) if sums else h.new_zeros(0, *h.shape), count)
        return self.lin_out(torch.cat([h, c], dim=-1)), new

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, "
            f"hidden_channels={self.hidden_channels}, "
            f"num_iterations={self.num_iterations}, pool={self.pool})"
        )
