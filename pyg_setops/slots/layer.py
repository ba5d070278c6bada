"""Slot Attention as a layer: sets to slots."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import GRUCell, LayerNorm, Linear
from torch.nn.functional import layer_norm
from torch.nn.init import orthogonal_, xavier_uniform_, zeros_

from ..lazy import LazyChannels
from ..ragged import SetIndex
from ..ragged.precision import accumulator
from .assignment import Shares, gather_shares
from .initial import GaussianSlots, LearnedSlots, most_slots
from .layout import Layout, lay_out
from .normalise import normalise
from .readers import (
    FoldedReader,
    ProjectedReader,
    Projections,
    Reader,
    Weighting,
    folding_pays,
)
from .update import Update

HeadMode = Literal["per_head", "joint"]
Init = Literal["gaussian", "learned"]
Gradient = Literal["unrolled", "implicit", "bilevel"]


class SlotAttention(LazyChannels):
    r"""Distils each set into slots that compete for its elements.

    From the `"Object-Centric Learning with Slot Attention"
    <https://arxiv.org/abs/2006.15055>`_ paper. Slots :math:`s_k` start at random and
    then, :math:`T` times, share every element among them and move towards what they
    won:

    .. math::
        A_{ik} = \mathrm{softmax}_k \big( (W_k x_i)^\top W_q s_k / \sqrt{D} \big),
        \qquad s_k \leftarrow \mathrm{MLP}\Big(\mathrm{GRU}\big(
        \textstyle\sum_i w_{ik} W_v x_i,\; s_k \big)\Big), \qquad
        w_{ik} = \frac{A_{ik} + \epsilon}{\sum_j (A_{jk} + \epsilon)}

    with normalised :math:`x` and :math:`s`, and a residual MLP. Permuting elements
    changes nothing; permuting the initial slots permutes the result.

    Args:
        in_channels: The width of the elements, or -1 to take it from the first input.
        slot_channels: The width :math:`D` of the slots.
        num_slots: The slots :math:`K` of a set, where a call does not say otherwise.
        num_iterations: :math:`T`.
        hidden_channels: The width of the MLP.
        heads: The number of heads :math:`H`.
        head_mode: ``'per_head'``: slots compete in each head, and a linear map joins
            the heads; or ``'joint'``: all heads of all slots compete.
        init: ``'gaussian'``: slots are drawn from a learned distribution, anew at each
            call in training and as one fixed draw for all sets in evaluation; or
            ``'learned'``: :math:`K` learned queries, with noise of the relative size
            ``layer.init.sigma`` in training (0 unless set).
        grad: ``'unrolled'``: through all iterations; ``'implicit'``: through the last
            alone, from the `"Object Representations as Fixed Points"
            <https://arxiv.org/abs/2207.00787>`_ paper; or ``'bilevel'``: through the
            last alone, and straight on to the learned queries, from the `"Improving
            Object-centric Learning with Query Optimization"
            <https://arxiv.org/abs/2210.08990>`_ paper, which also adds 1 to the sum of
            the weights in place of :math:`\epsilon` to each.
        eps: :math:`\epsilon`.
        norm_eps: What layer normalisation adds to a variance.
        bias: Whether keys and values (and, where it matters, queries) have a bias.

    Shapes:
        - **input:** elements :math:`(N, C_{in})`, in any order
        - **output:** slots :math:`(B, K, D)`, or :math:`(S, D)` and their boundaries
          :math:`(B + 1)` where ``num_slots`` is given for each set

    A set without elements has finite slots, which depend on the initial ones alone.

    Cost:
        :math:`O(T N K (C + D))` time for one head: keys and values are never computed.
        What is kept for the backward pass is the normalised elements, and a few rows
        for each slot and iteration.

    Example:
        >>> import torch
        >>> layer = SlotAttention(in_channels=5, slot_channels=16, num_slots=3)
        >>> x, index = torch.randn(7, 5), torch.tensor([0, 0, 0, 0, 1, 1, 1])
        >>> slots, attention = layer(x, index, return_attention=True)
        >>> slots.shape, attention.shape
        (torch.Size([2, 3, 16]), torch.Size([7, 3]))
        >>> slots, slot_ptr = layer(x, index, num_slots=torch.tensor([4, 2]))
        >>> slots.shape, slot_ptr.tolist()
        (torch.Size([6, 16]), [0, 4, 6])
    """

    width_key = "lin_k.weight"

    def __init__(
        self,
        in_channels: int,
        slot_channels: int,
        num_slots: int,
        num_iterations: int = 3,
        hidden_channels: int = 128,
        heads: int = 1,
        head_mode: HeadMode = "per_head",
        init: Init = "gaussian",
        grad: Gradient = "unrolled",
        eps: float = 1e-8,
        norm_eps: float = 1e-5,
        bias: bool = False,
    ):
        super().__init__()
        _check_positive(
            slot_channels=slot_channels,
            num_slots=num_slots,
            num_iterations=num_iterations,
            hidden_channels=hidden_channels,
            heads=heads,
        )
        _check_choice("head_mode", head_mode, HeadMode)
        _check_choice("init", init, Init)
        _check_choice("grad", grad, Gradient)
        if slot_channels % heads != 0:
            raise ValueError(
                f"'slot_channels' must be divisible by 'heads', got {slot_channels} "
                f"and {heads}"
            )
        if (grad == "bilevel" and init != "learned") or (
            grad == "implicit" and init == "learned"
        ):
            raise ValueError(
                f"grad={grad!r} does not train the slots of init={init!r}: learned "
                f"queries want 'bilevel' or 'unrolled', gaussian ones another gradient"
            )
        self.slot_channels = slot_channels
        self.num_slots = num_slots
        self.num_iterations = num_iterations
        self.heads = heads
        self.head_mode = head_mode
        self.grad = grad
        self.eps = eps
        self.norm_eps = norm_eps
        self.bias = bias
        joint = heads > 1 and head_mode == "joint"
        self.init = (GaussianSlots if init == "gaussian" else LearnedSlots)(
            slot_channels, num_slots
        )
        if grad == "implicit":  # the last step alone has a gradient
            self.init.requires_grad_(False)
        # A shift of all slots' queries cannot matter where they share a softmax.
        self.norm_slots = LayerNorm(slot_channels, norm_eps, bias=joint)
        self.lin_q = Linear(slot_channels, slot_channels, bias=bias and joint)
        self.gru = GRUCell(slot_channels, slot_channels)
        self.norm_mlp = LayerNorm(slot_channels, norm_eps)
        self.lin_hidden = Linear(slot_channels, hidden_channels)
        self.lin_out = Linear(hidden_channels, slot_channels)
        if heads > 1 and not joint:
            self.lin_heads = Linear(slot_channels, slot_channels, bias=False)
        self._reset_slots()
        self.start(in_channels)

    def build(self, in_channels: int) -> None:
        """Creates the maps of the elements."""
        self.norm_in = LayerNorm(in_channels, self.norm_eps)
        self.lin_k = Linear(in_channels, self.slot_channels, self.bias)
        self.lin_v = Linear(in_channels, self.slot_channels, self.bias)
        self._reset_elements()

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        self._reset_slots()
        if self.in_channels != -1:
            self._reset_elements()

    def _reset_slots(self) -> None:
        self.init.reset_parameters()
        self.norm_slots.reset_parameters()
        self.norm_mlp.reset_parameters()
        _reset_linear(self.lin_q, self.lin_hidden, self.lin_out)
        if self.heads > 1 and self.head_mode == "per_head":
            _reset_linear(self.lin_heads)
        xavier_uniform_(self.gru.weight_ih)
        orthogonal_(self.gru.weight_hh)
        zeros_(self.gru.bias_ih)
        zeros_(self.gru.bias_hh)

    def _reset_elements(self) -> None:
        self.norm_in.reset_parameters()
        _reset_linear(self.lin_k, self.lin_v)

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        *,
        dim_size: int | None = None,
        num_slots: int | Tensor | None = None,
        slots_init: Tensor | None = None,
        generator: torch.Generator | None = None,
        return_attention: bool | Literal["all"] = False,
    ) -> Any:
        """Distils each set.

        Args:
            x: Elements ``[N, in_channels]``.
            index: The set of each element, in any order; one set if neither this nor
                ``ptr`` is given.
            ptr: The boundaries of sets that lie one after another.
            dim_size: The number of sets.
            num_slots: The slots of every set, or ``[B]`` of each.
            slots_init: The slots to start from, in the form of the output.
            generator: Draws the slots to start from, also in evaluation.
            return_attention: Whether to return how the last iteration, or ``'all'``
                iterations in a list, shared the elements.

        Returns:
            The slots ``[B, K, D]``; or ``[S, D]`` and ``slot_ptr``, ``[B + 1]``, where
            ``num_slots`` is a tensor. Then, if wanted, the shares of each element,
            which sum to 1: ``[N, K]``, or
            :class:`~pyg_setops.slots.RaggedShares`, in the order of ``x``. Heads are
            averaged, joint ones added.

        Raises:
            TypeError: If ``index`` or ``ptr`` does not hold integers.
            ValueError: If the layout is not one, or an argument has another shape or
                range than it must have.
        """
        if x.dim() != 2:
            raise ValueError(f"'x' must be [N, in_channels], got {list(x.shape)}")
        sets = SetIndex.build(index, ptr, dim_size, x.size(0), x.device)
        self.see(x)
        layout = lay_out(sets, self._counts(num_slots, sets))
        start = self._start(layout, slots_init, generator)
        with torch.autocast(x.device.type, enabled=False):
            slots, shares = self._compete(x, layout, start, return_attention)
        slots = layout.slots_back(slots).to(x.dtype)
        counts = layout.num_slots
        result: tuple[Any, ...]
        if isinstance(counts, int):
            result = (slots.unflatten(0, (sets.num_sets, counts)),)
        else:
            result = (slots, torch.cat([counts.new_zeros(1), counts.cumsum(0)]))
        if return_attention:
            result += (shares if return_attention == "all" else shares[0],)
        return result if len(result) > 1 else result[0]

    def _compete(
        self,
        x: Tensor,
        layout: Layout,
        start: Tensor,
        return_attention: bool | Literal["all"],
    ) -> tuple[Tensor, list[Shares]]:
        """The slots, laid out, and how the elements were shared where wanted."""
        # Competition amplifies rounding: slots are float32 even of half elements.
        dtype = accumulator(x.dtype)
        reader = self._reader(x, layout, dtype)
        layers = self.lin_hidden, self.lin_out
        update = Update(self.gru, self.norm_mlp, layers, dtype)
        slots = start = layout.lay_slots(start.to(dtype))
        asked = []
        for number in range(self.num_iterations):
            last = number == self.num_iterations - 1
            if last and self.grad == "implicit":
                slots = slots.detach()
            elif last and self.grad == "bilevel":
                slots = slots.detach() + start - start.detach()
            tracked = last or self.grad == "unrolled"
            with torch.set_grad_enabled(torch.is_grad_enabled() and tracked):
                normal = self._normalised(slots)
                asked.append(normal)
                slots = update(reader.read(normal), reader.weight, slots)
        wanted = {False: 0, True: 1, "all": len(asked)}[return_attention]
        shown = asked[len(asked) - wanted :]
        return slots, [gather_shares(reader.shares(s), layout, x) for s in shown]

    def _counts(self, num_slots: int | Tensor | None, sets: SetIndex) -> int | Tensor:
        if num_slots is None:
            return self.num_slots
        if isinstance(num_slots, int):
            if num_slots < 1:
                raise ValueError(f"'num_slots' must be at least 1, got {num_slots}")
            return num_slots
        if num_slots.shape != (sets.num_sets,) or num_slots.is_floating_point():
            raise ValueError(
                f"'num_slots' must be an integer or one integer for each of "
                f"{sets.num_sets} sets, got {num_slots.dtype} of shape "
                f"{list(num_slots.shape)}"
            )
        if bool((num_slots < 0).any()):
            raise ValueError("'num_slots' must not be negative")
        return num_slots.long()

    def _start(
        self,
        layout: Layout,
        slots_init: Tensor | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        """The first slots, ``[S, D]``, in the order of the batch."""
        if slots_init is None:
            return self.init(layout, generator)
        shape = [layout.total_slots, self.slot_channels]
        if isinstance(layout.num_slots, int):
            shape = [layout.sets.num_sets, layout.num_slots, self.slot_channels]
        if list(slots_init.shape) != shape:
            raise ValueError(
                f"'slots_init' must have shape {shape}, got {list(slots_init.shape)}"
            )
        return slots_init.reshape(-1, self.slot_channels)

    def _reader(self, x: Tensor, layout: Layout, dtype: torch.dtype) -> Reader:
        rows = normalise(x, layout, self.norm_eps)
        joint = self.heads > 1 and self.head_mode == "joint"
        gates = self.gru.weight_ih.to(dtype)
        if self.heads > 1 and not joint:
            gates = gates @ self.lin_heads.weight.to(dtype)
        bias = self.lin_q.bias
        maps = Projections(
            self.lin_q.weight.to(dtype),
            None if bias is None else bias.to(dtype),
            self._of_normalised(self.lin_k, dtype),
            self._of_normalised(self.lin_v, dtype),
            gates,
            self.heads,
        )
        offset = 1.0 if self.grad == "bilevel" else 0.0
        weighting = Weighting(self.eps, offset, joint)
        reads = self.num_iterations * most_slots(layout)
        widths = self.in_channels, self.slot_channels
        if self.heads == 1 or joint or folding_pays(*widths, self.heads, reads):
            return FoldedReader(rows, layout, maps, weighting)
        return ProjectedReader(rows, layout, maps, weighting)

    def _of_normalised(self, layer: Linear, dtype: torch.dtype) -> Tensor:
        """A map of the elements as one of ``[x ; 1]``, for normalised ``x``."""
        weight = layer.weight.to(dtype)
        shift = weight @ self.norm_in.bias.to(dtype)
        if layer.bias is not None:
            shift = shift + layer.bias.to(dtype)
        return torch.cat([weight * self.norm_in.weight.to(dtype), shift[:, None]], 1)

    def _normalised(self, slots: Tensor) -> Tensor:
        norm, dtype = self.norm_slots, slots.dtype
        bias = None if norm.bias is None else norm.bias.to(dtype)
        width = slots.shape[-1:]
        return layer_norm(slots, width, norm.weight.to(dtype), bias, norm.eps)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.slot_channels}, "
            f"num_slots={self.num_slots}, num_iterations={self.num_iterations})"
        )


def _reset_linear(*layers: Any) -> None:
    for layer in layers:
        xavier_uniform_(layer.weight)
        if layer.bias is not None:
            zeros_(layer.bias)


def _check_positive(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"'{name}' must be at least 1, got {value}")


def _check_choice(name: str, value: str, choices: Any) -> None:
    if value not in get_args(choices):
        raise ValueError(f"'{name}' must be one of {get_args(choices)}, got {value!r}")
