"""Slot Attention as an aggregation."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Linear

from ..ragged import SetIndex
from ..slots import SlotAttention
from ..slots.weights import Assignment, Gradient, HeadMode, Init, Selection
from .base import SetAggregation


class SlotAggregation(SetAggregation):
    r"""Slots that compete for the elements of a set, and are then read out.

    The :class:`~pyg_setops.SlotAttention` of the `"Object-Centric Learning with Slot
    Attention" <https://arxiv.org/abs/2006.15055>`_ paper, followed by

    .. math::
        y = W_o \, \mathrm{readout}_k\, s_k + b_o .

    By default slots start from learned queries, so that a result is never drawn.

    Args:
        in_channels: The input width, or -1 to take it from the first input.
        out_channels: The output width; ``None`` keeps the input's.
        num_slots: The slots of each set.
        readout: ``'mean'`` of the slots; ``'attention'``, a mean with learned weights;
            or ``'concat'``, for which slots need an order, so not of gaussian ones.
        slot_channels: The width of the slots; ``None`` takes the output's.
        num_iterations: The number of iterations.
        hidden_channels: The width of the slots' MLP; ``None`` takes twice that of the
            slots.
        heads: The number of heads.
        head_mode: ``'per_head'`` or ``'joint'``, as are the following; see
            :class:`~pyg_setops.SlotAttention`.
        init: ``'learned'`` or ``'gaussian'``.
        attn: ``'softmax'``, ``'sinkhorn'`` or ``'mesh'``.
        grad: ``'unrolled'``, ``'implicit'`` or ``'bilevel'``.
        select: ``None`` or ``'gumbel'``: slots that are not kept are not read.
        eps: What is added to the share of each element.
        norm_eps: What layer normalisation adds to a variance.
        bias: Whether keys and values have a bias.

    Shapes:
        - **input:** elements :math:`(*, N, C_{in})`, in any order
        - **output:** sets :math:`(*, B, C_{out})`, zeros for empty sets

    Cost:
        :math:`O(T N K (C + D) + T B K D^2)` time, :math:`O(N C + T B K D)` memory.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import SAGEConv
        >>> conv = SAGEConv(8, 16, aggr=SlotAggregation(num_slots=2))
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 1]])
        >>> conv(torch.randn(3, 8), edge_index).shape
        torch.Size([3, 16])
    """

    width_key = "layer.lin_k.weight"

    def __init__(
        self,
        in_channels: int = -1,
        out_channels: int | None = None,
        num_slots: int = 4,
        readout: Literal["mean", "attention", "concat"] = "mean",
        slot_channels: int | None = None,
        num_iterations: int = 3,
        hidden_channels: int | None = None,
        heads: int = 1,
        head_mode: HeadMode = "per_head",
        init: Init = "learned",
        attn: Assignment = "softmax",
        grad: Gradient = "unrolled",
        select: Selection | None = None,
        eps: float = 1e-8,
        norm_eps: float = 1e-5,
        bias: bool = False,
    ):
        super().__init__(in_channels, out_channels)
        if readout not in ("mean", "attention", "concat"):
            raise ValueError(
                f"'readout' must be 'mean', 'attention' or 'concat', got {readout!r}"
            )
        if readout == "concat" and init == "gaussian":
            raise ValueError(
                "readout='concat' needs slots in an order, and those of "
                "init='gaussian' have none: use init='learned' or another readout"
            )
        self.num_slots = num_slots
        self.readout = readout
        self.slot_channels = slot_channels
        self.hidden_channels = hidden_channels
        self._arguments: dict[str, Any] = {
            "num_iterations": num_iterations,
            "heads": heads,
            "head_mode": head_mode,
            "init": init,
            "attn": attn,
            "grad": grad,
            "select": select,
            "eps": eps,
            "norm_eps": norm_eps,
            "bias": bias,
        }
        self.any_channels = max(heads, 1)  # they divide the width
        self.start(in_channels)

    def create(self, in_channels: int, out_channels: int) -> None:
        """Creates the layer and the readout."""
        width = out_channels if self.slot_channels is None else self.slot_channels
        hidden = 2 * width if self.hidden_channels is None else self.hidden_channels
        self.layer = SlotAttention(
            in_channels,
            width,
            self.num_slots,
            hidden_channels=hidden,
            **self._arguments,
        )
        read = width * (self.num_slots if self.readout == "concat" else 1)
        self.lin_out = Linear(read, out_channels)
        # The bias of a score is common to all slots of a set.
        score = self.readout == "attention"
        self.lin_score = Linear(width, 1, bias=False) if score else None

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        if self.in_channels == -1:
            return
        for part in (self.layer, self.lin_out, self.lin_score):
            if part is not None:
                part.reset_parameters()

    def aggregate(self, x: Tensor, sets: SetIndex) -> Tensor:
        """Maps elements ``[N, in_channels]`` to sets ``[B, out_channels]``."""
        slots, kept = self.layer.distil(x, sets)
        return self.lin_out(self._read(slots, kept))

    def _read(self, slots: Tensor, kept: Tensor | None) -> Tensor:
        """Reads slots ``[B, K, D]`` of which ``kept``, ``[B, K]``, are not dropped."""
        if self.readout == "concat":
            return (slots if kept is None else slots * kept[..., None]).flatten(1)
        weight = slots.new_ones(*slots.shape[:2], 1)
        if kept is not None:
            weight = kept[..., None]
        if self.lin_score is not None:
            score = self.lin_score(slots)
            # In units of the best that is kept: with it, no sum is zero.
            best = score.masked_fill(weight == 0, -torch.inf).amax(1, keepdim=True)
            weight = weight * (score - best.detach()).clamp(max=0).exp()
        return (slots * weight).sum(1) / weight.sum(1)

    def assign(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """How the last iteration shares each element among the slots, ``[N, K]``.

        Args:
            x: Elements ``[N, in_channels]``.
            index: The set of each element.
        """
        self.see(x)
        return self.layer(x, index, return_attention=True)[-1]
