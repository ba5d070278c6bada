"""Slot Attention as a layer: sets to slots."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from ..ragged import SetIndex
from ..ragged.precision import accumulator, without_autocast
from .assignment import Shares, gather_shares
from .layout import Layout, lay_out
from .weights import Assignment, Gradient, HeadMode, Init, Selection, SlotWeights


class SlotAttention(SlotWeights):
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
        attn: ``'softmax'``; ``'sinkhorn'``: a transport plan between elements and slots
            of learned masses; or ``'mesh'``: one of low entropy; both from the
            `"Unlocking Slot Attention by Changing Optimal Transport Costs"
            <https://arxiv.org/abs/2301.13197>`_ paper.
        grad: ``'unrolled'``: through all iterations; ``'implicit'``: through the last
            alone, from the `"Object Representations as Fixed Points"
            <https://arxiv.org/abs/2207.00787>`_ paper; or ``'bilevel'``: through the
            last alone, and straight on to the learned queries, from the `"Improving
            Object-centric Learning with Query Optimization"
            <https://arxiv.org/abs/2210.08990>`_ paper, which also adds 1 to the sum of
            the weights in place of :math:`\epsilon` to each.
        select: ``None``; or ``'gumbel'``: also decide which slots of a set to keep,
            from the `"Adaptive Slot Attention" <https://arxiv.org/abs/2406.09196>`_
            paper.
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
        attn: Assignment = "softmax",
        grad: Gradient = "unrolled",
        select: Selection | None = None,
        eps: float = 1e-8,
        norm_eps: float = 1e-5,
        bias: bool = False,
    ):
        super().__init__(
            in_channels,
            slot_channels,
            num_slots,
            num_iterations,
            hidden_channels,
            heads,
            head_mode,
            init,
            attn,
            grad,
            select,
            eps,
            norm_eps,
            bias,
        )

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
            generator: Draws the slots to start from, also in evaluation, and whatever
                else is drawn.
            return_attention: Whether to return how the last iteration, or ``'all'``
                iterations in a list, shared the elements.

        Returns:
            The slots ``[B, K, D]``; or ``[S, D]`` and ``slot_ptr``, ``[B + 1]``, where
            ``num_slots`` is a tensor. Then, with ``select``, ones for the slots that
            are kept and zeros, ``[B, K]`` or ``[S]``. Then, if wanted, the shares of
            each element, which sum to 1: ``[N, K]``, or
            :class:`~pyg_setops.slots.RaggedShares`, in the order of ``x``. Heads are
            averaged, joint ones added.

        Raises:
            TypeError: If ``index`` or ``ptr`` does not hold integers.
            ValueError: If the layout is not one, or an argument has another shape or
                range than it must have.
        """
        if isinstance(num_slots, Tensor) and torch.compiler.is_compiling():
            # The host reads them, and no two batches are alike.
            return torch.compiler.disable(self.forward)(
                x,
                index,
                ptr,
                dim_size=dim_size,
                num_slots=num_slots,
                slots_init=slots_init,
                generator=generator,
                return_attention=return_attention,
            )
        if x.dim() != 2:
            raise ValueError(f"'x' must be [N, in_channels], got {list(x.shape)}")
        if return_attention not in (False, True, "all"):
            raise ValueError(
                f"'return_attention' must be False, True or 'all', got "
                f"{return_attention!r}"
            )
        sets = SetIndex.build(index, ptr, dim_size, x.size(0), x.device)
        layout = lay_out(sets, self._counts(num_slots, sets))
        self.see(x)
        start = self._start(layout, slots_init, generator)
        slots, kept, shares = self._run(x, layout, start, generator, return_attention)
        result: list[Any] = [slots, kept]
        counts = layout.num_slots
        if isinstance(counts, int):
            shape = (sets.num_sets, counts)
            result = [r if r is None else r.unflatten(0, shape) for r in result]
        else:
            result.insert(1, torch.cat([counts.new_zeros(1), counts.cumsum(0)]))
        if return_attention:
            result.append(shares if return_attention == "all" else shares[0])
        given = tuple(r for r in result if r is not None)
        return given if len(given) > 1 else given[0]

    def distil(self, x: Tensor, sets: SetIndex) -> tuple[Tensor, Tensor | None]:
        """The slots ``[B, K, D]`` of elements ``[N, C]``, and which are kept."""
        self.see(x)
        layout = lay_out(sets, self.num_slots)
        start = self.init(layout, None)
        slots, kept, _ = self._run(x, layout, start, None, False)
        shape = (sets.num_sets, self.num_slots)
        return slots.unflatten(0, shape), kept if kept is None else kept.view(shape)

    def _run(
        self,
        x: Tensor,
        layout: Layout,
        start: Tensor,
        generator: torch.Generator | None,
        return_attention: bool | Literal["all"],
    ) -> tuple[Tensor, Tensor | None, list[Shares]]:
        """The slots in the order of the batch, which are kept, and the shares."""
        with without_autocast(x):
            slots, shares = self._compete(x, layout, start, generator, return_attention)
        slots = layout.slots_back(slots).to(x.dtype)
        kept = None
        if self.select is not None:
            kept = self.select(slots, layout.slots_of_sets(), generator)
        return slots, kept, shares

    def _compete(
        self,
        x: Tensor,
        layout: Layout,
        start: Tensor,
        generator: torch.Generator | None,
        return_attention: bool | Literal["all"],
    ) -> tuple[Tensor, list[Shares]]:
        """The slots, laid out, and how the elements were shared where wanted."""
        # Competition amplifies rounding: slots are float32 even of half elements.
        dtype = accumulator(x.dtype)
        reader, update = self.reader(x, layout, generator), self.update(dtype)
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
                normal = self.normalised(slots)
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

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.slot_channels}, "
            f"num_slots={self.num_slots}, num_iterations={self.num_iterations})"
        )
