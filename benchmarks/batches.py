"""The ragged batches that every benchmark runs on: sizes of sets."""

import torch
from torch import Tensor

POINTS = 16_384


def equal() -> Tensor:
    """64 sets of 256."""
    return torch.full((64,), 256)


def molecules() -> Tensor:
    """About as many sets as QM9's molecules of 18 atoms take for the same points."""
    draw = torch.randn(POINTS // 18, generator=torch.Generator().manual_seed(0))
    return draw.mul(3).add(18).round().clamp(3, 29).long()


def log_normal() -> Tensor:
    """64 sets of exp(N(mu, 1)) in 16..1024, with mu such that all points are used."""
    draw = torch.randn(64, generator=torch.Generator().manual_seed(0))
    low, high = 0.0, 10.0
    for _ in range(50):
        mu = (low + high) / 2
        sizes = (draw + mu).exp().round().clamp(16, 1024).long()
        low, high = (mu, high) if sizes.sum() <= POINTS else (low, mu)
    sizes = (draw + low).exp().round().clamp(16, 1024).long()
    # Rounding leaves a few points over; a set inside the range takes them.
    middle = sizes.argsort()[32]
    sizes[middle] += POINTS - sizes.sum()
    return sizes


def giant() -> Tensor:
    """One set of half the points among small ones of 16."""
    small = torch.full((256,), 16)
    return torch.cat([small, torch.tensor([POINTS // 2]), small])


BATCHES = {
    "equal": equal,
    "molecules": molecules,
    "log-normal": log_normal,
    "giant": giant,
}
