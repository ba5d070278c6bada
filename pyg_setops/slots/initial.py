"""The slots before the first iteration."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.nn.init import uniform_, xavier_uniform_

from .layout import Layout


class GaussianSlots(Module):
    r"""Slots drawn from one learned normal distribution, so that they can be exchanged.

    :math:`s = \mu + e^{\sigma} \epsilon`. In training :math:`\epsilon` is drawn anew
    for every slot. In evaluation it is one fixed matrix, the same for all sets: a
    result can be repeated, and does not depend on a set's company.

    Args:
        channels: The width of a slot.
        num_slots: The rows of noise to keep; more are made where needed.
    """

    noise: Tensor

    def __init__(self, channels: int, num_slots: int):
        super().__init__()
        self.mu = Parameter(torch.empty(1, 1, channels))
        self.logsigma = Parameter(torch.empty(1, 1, channels))
        self.register_buffer("noise", _fixed_noise(num_slots, channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the distribution anew, as Keras does; the noise is as it ever is."""
        bound = (6 / (1 + self.mu.size(-1))) ** 0.5
        uniform_(self.mu, -bound, bound)
        uniform_(self.logsigma, -bound, bound)
        self.noise.copy_(_fixed_noise(*self.noise.shape))

    def forward(self, layout: Layout, generator: torch.Generator | None) -> Tensor:
        """The slots of a batch, ``[S, D]``, in the order of the batch."""
        mu, sigma = self.mu.view(-1), self.logsigma.view(-1).exp()
        if self.training or generator is not None:
            noise = draw((layout.total_slots, mu.numel()), mu, generator)
        else:
            noise = first_rows(self._noise(layout), layout)
        return mu + sigma * noise

    def _noise(self, layout: Layout) -> Tensor:
        wanted = most_slots(layout)
        if wanted <= self.noise.size(0):
            return self.noise
        return _fixed_noise(wanted, self.noise.size(1)).to(self.noise)


class LearnedSlots(Module):
    """A learned row for each slot of a set.

    Args:
        channels: The width of a slot.
        num_slots: The number of rows.

    Attributes:
        sigma: In training, noise of this size relative to each value is added; to be
            annealed to 0 by the training loop.
    """

    def __init__(self, channels: int, num_slots: int):
        super().__init__()
        self.queries = Parameter(torch.empty(num_slots, channels))
        self.sigma = 0.0
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the rows anew."""
        xavier_uniform_(self.queries)

    def forward(self, layout: Layout, generator: torch.Generator | None) -> Tensor:
        """The slots of a batch, ``[S, D]``, in the order of the batch."""
        if most_slots(layout) > self.queries.size(0):
            raise ValueError(
                f"'num_slots' must be at most {self.queries.size(0)}, the number of "
                f"learned queries, got {most_slots(layout)}"
            )
        slots = first_rows(self.queries, layout)
        if self.training and self.sigma > 0:
            noise = draw(slots.shape, slots, generator)
            slots = slots + noise * self.sigma * slots.detach()
        return slots


def draw(
    shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Normal noise, drawn in one type: a seed means the same in every precision."""
    if generator is None:  # given as ``None``, sizes that are symbols are refused
        return torch.randn(shape, device=like.device).to(like)
    return torch.randn(shape, generator=generator, device=generator.device).to(like)


def most_slots(layout: Layout) -> int:
    """The largest number of slots of a set."""
    counts = layout.num_slots
    if isinstance(counts, int):
        return counts
    return int(counts.max()) if counts.numel() > 0 else 0


def first_rows(rows: Tensor, layout: Layout) -> Tensor:
    """The first rows, as many as a set has slots, for each set: ``[S, D]``."""
    counts = layout.num_slots
    if isinstance(counts, int):
        each = rows[:counts].expand(layout.sets.num_sets, -1, -1)
        return each.flatten(0, 1)
    start = (counts.cumsum(0) - counts).repeat_interleave(
        counts, output_size=layout.total_slots
    )
    number = torch.arange(layout.total_slots, device=counts.device) - start
    return rows.index_select(0, number)


def _fixed_noise(num_slots: int, channels: int) -> Tensor:
    """Normal noise whose first rows are the same however many there are."""
    rows = [
        torch.randn(
            channels, generator=torch.Generator("cpu").manual_seed(number), device="cpu"
        )
        for number in range(num_slots)
    ]
    return torch.stack(rows) if rows else torch.empty(0, channels)
