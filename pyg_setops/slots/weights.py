"""The parameters of Slot Attention, and the maps that are made of them."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import GRUCell, LayerNorm, Linear, ReLU, Sequential
from torch.nn.functional import layer_norm
from torch.nn.init import orthogonal_, xavier_uniform_, zeros_

from ..arguments import check_positive
from ..lazy import LazyChannels
from ..ragged.precision import accumulator
from .initial import GaussianSlots, LearnedSlots, draw, most_slots
from .layout import Layout
from .normalise import normalise
from .readers import (
    FoldedReader,
    ProjectedReader,
    Projections,
    Reader,
    Weighting,
    folding_pays,
)
from .selection import GumbelSelection
from .transport import NOISE, TransportReader
from .update import Update

HeadMode = Literal["per_head", "joint"]
Init = Literal["gaussian", "learned"]
Assignment = Literal["softmax", "sinkhorn", "mesh"]
Gradient = Literal["unrolled", "implicit", "bilevel"]
Selection = Literal["gumbel"]


class SlotWeights(LazyChannels):
    """Holds what Slot Attention learns; :class:`~pyg_setops.SlotAttention` runs it."""

    width_key = "lin_k.weight"

    def __init__(
        self,
        in_channels: int,
        slot_channels: int,
        num_slots: int,
        num_iterations: int,
        hidden_channels: int,
        heads: int,
        head_mode: HeadMode,
        init: Init,
        attn: Assignment,
        grad: Gradient,
        select: Selection | None,
        eps: float,
        norm_eps: float,
        bias: bool,
    ):
        super().__init__()
        check_positive(
            slot_channels=slot_channels,
            num_slots=num_slots,
            num_iterations=num_iterations,
            hidden_channels=hidden_channels,
            heads=heads,
        )
        _check_choices(head_mode, init, attn, grad, select)
        if slot_channels % heads != 0:
            raise ValueError(
                f"'slot_channels' must be divisible by 'heads', got {slot_channels} "
                f"and {heads}"
            )
        if heads > 1 and attn != "softmax":
            raise ValueError(f"attn={attn!r} has one head, got heads={heads}")
        self.slot_channels = slot_channels
        self.num_slots = num_slots
        self.num_iterations = num_iterations
        self.heads = heads
        self.head_mode = head_mode
        self.attn = attn
        self.grad = grad
        self.eps = eps
        self.norm_eps = norm_eps
        self.bias = bias
        self.joint = heads > 1 and head_mode == "joint"
        first = GaussianSlots if init == "gaussian" else LearnedSlots
        self.init = first(slot_channels, num_slots)
        if grad == "implicit":  # the last step alone has a gradient
            self.init.requires_grad_(False)
        # Where all queries of an element share a softmax, what is common to them
        # cannot matter.
        shifted = self.joint or attn != "softmax"
        self.norm_slots = LayerNorm(slot_channels, norm_eps, bias=shifted)
        self.lin_q = Linear(slot_channels, slot_channels, bias=bias and shifted)
        self.gru = GRUCell(slot_channels, slot_channels)
        self.norm_mlp = LayerNorm(slot_channels, norm_eps)
        self.lin_hidden = Linear(slot_channels, hidden_channels)
        self.lin_out = Linear(hidden_channels, slot_channels)
        self.lin_heads = self.slot_mass = self.select = None
        if heads > 1 and not self.joint:
            self.lin_heads = Linear(slot_channels, slot_channels, bias=False)
        if attn != "softmax":
            self.slot_mass = _mass_network(slot_channels, slot_channels)
        if select is not None:
            self.select = GumbelSelection(slot_channels)
        self._reset_slots()
        self.start(in_channels)

    def build(self, in_channels: int) -> None:
        """Creates the maps of the elements."""
        self.norm_in = LayerNorm(in_channels, self.norm_eps)
        self.lin_k = Linear(in_channels, self.slot_channels, self.bias)
        self.lin_v = Linear(in_channels, self.slot_channels, self.bias)
        if self.attn != "softmax":
            self.element_mass = _mass_network(in_channels, self.slot_channels)
        self._reset_elements()

    def reset_parameters(self) -> None:
        """Draws all weights anew, as the published code does in Keras."""
        self._reset_slots()
        if self.in_channels != -1:
            self._reset_elements()

    def _reset_slots(self) -> None:
        self.init.reset_parameters()
        self.norm_slots.reset_parameters()
        self.norm_mlp.reset_parameters()
        _reset_linear(self.lin_q, self.lin_hidden, self.lin_out, self.lin_heads)
        xavier_uniform_(self.gru.weight_ih)
        orthogonal_(self.gru.weight_hh)
        zeros_(self.gru.bias_ih)
        zeros_(self.gru.bias_hh)
        if self.slot_mass is not None:
            _reset_linear(self.slot_mass[0], self.slot_mass[2])
        if self.select is not None:
            self.select.reset_parameters()

    def _reset_elements(self) -> None:
        self.norm_in.reset_parameters()
        _reset_linear(self.lin_k, self.lin_v)
        if self.attn != "softmax":
            _reset_linear(self.element_mass[0], self.element_mass[2])

    def reader(
        self, x: Tensor, layout: Layout, generator: torch.Generator | None
    ) -> Reader:
        """Prepares the elements ``[N, C]`` to be read."""
        dtype = accumulator(x.dtype)
        rows = normalise(x, layout, self.norm_eps)
        gates = self.gru.weight_ih.to(dtype)
        if self.lin_heads is not None:
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
        if self.attn != "softmax":
            return self._transport(rows, layout, maps, generator)
        offset = 1.0 if self.grad == "bilevel" else 0.0
        weighting = Weighting(self.eps, offset, self.joint)
        reads = self.num_iterations * most_slots(layout)
        widths = self.in_channels, self.slot_channels
        if self.heads == 1 or self.joint or folding_pays(*widths, self.heads, reads):
            return FoldedReader(rows, layout, maps, weighting)
        return ProjectedReader(rows, layout, maps, weighting)

    def _transport(
        self,
        rows: Tensor,
        layout: Layout,
        maps: Projections,
        generator: torch.Generator | None,
    ) -> Reader:
        norm, noise = self.norm_in, None
        mass = self.element_mass(rows * norm.weight + norm.bias).squeeze(1)
        if self.attn == "mesh" and (self.training or generator is not None):
            shapes = [(p.sets.num_elements, p.num_slots) for p in layout.parts]
            noise = [NOISE * draw(shape, maps.query, generator) for shape in shapes]
        assert self.slot_mass is not None
        mass = mass.to(maps.query.dtype)
        mesh = self.attn == "mesh"
        return TransportReader(rows, layout, maps, mass, self.slot_mass, mesh, noise)

    def _of_normalised(self, layer: Linear, dtype: torch.dtype) -> Tensor:
        """A map of the elements as one of ``[x ; 1]``, for normalised ``x``."""
        weight = layer.weight.to(dtype)
        shift = weight @ self.norm_in.bias.to(dtype)
        if layer.bias is not None:
            shift = shift + layer.bias.to(dtype)
        return torch.cat([weight * self.norm_in.weight.to(dtype), shift[:, None]], 1)

    def normalised(self, slots: Tensor) -> Tensor:
        """The slots ``[S, D]`` as they ask."""
        norm, dtype = self.norm_slots, slots.dtype
        weight = norm.weight.to(dtype)
        # Zeros, as the kernel is twice as fast with a bias.
        bias = torch.zeros_like(weight) if norm.bias is None else norm.bias.to(dtype)
        return layer_norm(slots, slots.shape[-1:], weight, bias, norm.eps)

    def update(self, dtype: torch.dtype) -> Update:
        """The step from what slots read to the new slots."""
        layers = self.lin_hidden, self.lin_out
        return Update(self.gru, self.norm_mlp, layers, dtype)


def _mass_network(in_channels: int, hidden_channels: int) -> Sequential:
    # Masses are shares of a whole: a last bias could not matter.
    last = Linear(hidden_channels, 1, bias=False)
    return Sequential(Linear(in_channels, hidden_channels), ReLU(), last)


def _reset_linear(*layers: torch.nn.Module | None) -> None:
    for layer in layers:
        if isinstance(layer, Linear):
            xavier_uniform_(layer.weight)
            if layer.bias is not None:
                zeros_(layer.bias)


def _check_choices(
    head_mode: str, init: str, attn: str, grad: str, select: str | None
) -> None:
    for name, value, choices in (
        ("head_mode", head_mode, get_args(HeadMode)),
        ("init", init, get_args(Init)),
        ("attn", attn, get_args(Assignment)),
        ("grad", grad, get_args(Gradient)),
        ("select", select, (None, *get_args(Selection))),
    ):
        if value not in choices:
            raise ValueError(f"'{name}' must be one of {choices}, got {value!r}")
    if (grad, init) in (("bilevel", "gaussian"), ("implicit", "learned")):
        raise ValueError(
            f"grad={grad!r} cannot train the slots of init={init!r}: 'bilevel' is for "
            f"'learned' ones, 'implicit' for 'gaussian' ones"
        )
