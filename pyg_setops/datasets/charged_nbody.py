"""Charged particles in space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import Tensor
from torch_geometric.data import Data

from pyg_setops.datasets.generated import Split
from pyg_setops.datasets.simulated import Arrays, SimulatedSystems
from pyg_setops.datasets.simulation import (
    inverse_square_law,
    move,
    systems_at_once,
)

_STEP, _STEPS_PER_FRAME, _NUM_FRAMES = 0.001, 100, 49
_SPEED, _LARGEST_FORCE = 0.5, 100.0
# How many systems of each split the published code draws, one split after another.
_PUBLISHED = {"train": 10_000, "val": 2000, "test": 2000}


class ChargedNBody(SimulatedSystems):
    r"""Charged particles in space: where are they a time unit later?

    By the protocol of the `"E(n) Equivariant Graph Neural Networks"
    <https://arxiv.org/abs/2102.09844>`_ paper: charges :math:`\pm 1`, unit masses,
    positions :math:`(n/5)^{1/3} N(0,1)`, speed 0.5 in a random direction, forces
    :math:`q_i q_j r_{ij} / |r_{ij}|^3` whose components are clipped to
    :math:`\pm 100`, no walls. Symplectic Euler at a step of 0.001, a frame every 100
    steps (frame 0 is at time 0.1); frames 30 and 40 are the input and the target. All
    quantities are without unit. (The SE(3)-Transformer paper has another task, with
    walls.)

    A system has, for its ``n`` particles: ``pos_t`` and ``vel_t`` ``[n, T, 3]``; their
    first frames ``pos``, ``vel`` and the last position ``y`` ``[n, 3]``; ``charge``
    ``[n]``. As in the published data, velocities are those before the kick at the
    frame's positions.

    Args:
        split: ``'train'``, ``'val'`` or ``'test'``; no system is in two of them
            (default: ``'train'``).
        num_systems: the length (default: the published 3,000 for training, 2,000
            else). A longer dataset begins with the systems of a shorter one.
        num_particles: the size of a system, or several, each as likely (default: 5).
        frames: the frames shown, ascending, 0 to 48 (default: 30 and 40).
        published: start from the very draws of the published code, a single stream of
            random numbers; at most 10,000 systems for training and 2,000 else.
            Otherwise every system has a stream of its own (default: ``False``).
        seed: another seed gives other systems (default: the published 43).
        root: folder of the simulated blocks (default: ``$PYG_SETOPS_HOME`` or the
            user's cache folder, in a subfolder ``ChargedNBody``).
        transform: applied to a system at every access (default: ``None``).

    Raises:
        ValueError: if an argument is wrong.

    Cost: simulating 1,000 systems of 5, 20 and 100 particles takes about 2, 20 and
    400 seconds on one core; reading them, much less.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     system = ChargedNBody("test", 2, frames=(0, 1), root=root)[0]
        >>> system.pos.shape, system.charge.abs()
        (torch.Size([5, 3]), tensor([1., 1., 1., 1., 1.]))
    """

    #: The time between two frames.
    step: ClassVar[float] = _STEP * _STEPS_PER_FRAME

    def __init__(
        self,
        split: Split = "train",
        num_systems: int | None = None,
        num_particles: int | Sequence[int] = 5,
        frames: Sequence[int] = (30, 40),
        published: bool = False,
        seed: int = 43,
        root: str | Path | None = None,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        self.frames = check_frames(frames, _NUM_FRAMES)
        self.published = published
        if published:
            if np.ndim(num_particles) > 0:
                raise ValueError(
                    "num_particles: expected one size for published=True, got "
                    f"{num_particles!r}"
                )
            most = _PUBLISHED.get(split)
            if most is not None and num_systems is not None and num_systems > most:
                raise ValueError(
                    f"num_systems: expected at most {most} for published=True and "
                    f"split={split!r}, got {num_systems}"
                )
        law = {"frames": self.frames, "published": published}
        super().__init__(split, num_systems, num_particles, seed, root, transform, law)

    def start(self, number: int) -> Arrays:
        """Draw how system ``number`` starts."""
        if not self.published:
            return super().start(number)
        splits = list(_PUBLISHED)
        before = sum(_PUBLISHED[split] for split in splits[: splits.index(self.split)])
        # The last block is drawn whole, also where it is longer than the split.
        number = min(number, _PUBLISHED[self.split] - 1)
        stream = _published_stream(self.seed, self.num_particles[0])
        return {key: value[before + number] for key, value in stream.items()}

    def draw(self, rng: np.random.Generator, num_particles: int) -> Arrays:
        """Draw charges, positions and velocities."""
        vel = rng.normal(size=(num_particles, 3))
        return {
            "charge": rng.choice([-1.0, 1.0], num_particles),
            "pos": (num_particles / 5) ** (1 / 3) * rng.normal(size=(num_particles, 3)),
            "vel": _SPEED * vel / np.linalg.norm(vel, axis=1, keepdims=True),
        }

    def simulate(self, start: Arrays) -> Arrays:
        """Move by symplectic Euler."""
        stops = [(frame + 1) * _STEPS_PER_FRAME for frame in self.frames]
        charge, moved = start["charge"], []
        at_once = systems_at_once(charge.shape[1])
        for first in range(0, len(charge), at_once):
            part = slice(first, first + at_once)
            strength = charge[part, :, None] * charge[part, None]
            law = inverse_square_law(strength, largest=_LARGEST_FORCE)
            here = start["pos"][part], start["vel"][part]
            moved.append(move(law, *here, _STEP, stops, synchronised=False))
        pos_t, vel_t = (np.concatenate(parts) for parts in zip(*moved, strict=True))
        return {"pos_t": pos_t, "vel_t": vel_t, "charge": charge}

    def pair_energy(
        self, data: Data, source: Tensor, target: Tensor, square: Tensor
    ) -> Tensor:
        """Return ``q_i q_j / r`` of pairs, the energy where nothing is clipped."""
        return (data.charge[source] * data.charge[target])[:, None] / square.sqrt()


def check_frames(frames: Sequence[int], num_frames: int) -> tuple[int, ...]:
    """Return ``frames`` as a tuple.

    Raises:
        ValueError: if they are none, not ascending or out of range.
    """
    found = tuple(int(frame) for frame in frames)
    if (
        not found
        or list(found) != sorted(set(found))
        or found[0] < 0
        or found[-1] >= num_frames
    ):
        raise ValueError(
            f"frames: expected ascending numbers from 0 to {num_frames - 1}, got "
            f"{frames!r}"
        )
    return found


@cache
def _published_stream(seed: int, num_particles: int) -> Arrays:
    """The starts of all published systems, in their order."""
    rng = np.random.RandomState(seed)
    shape = 3, num_particles
    drawn: dict[str, list[np.ndarray]] = {"charge": [], "pos": [], "vel": []}
    for _ in range(sum(_PUBLISHED.values())):
        # Neutral particles are among the candidates, with probability 0.
        charge = rng.choice([-1.0, 0.0, 1.0], (num_particles, 1), p=[0.5, 0, 0.5])
        pos = rng.randn(*shape) * (num_particles / 5) ** (1 / 3)
        vel = rng.randn(*shape)
        vel = vel * _SPEED / np.sqrt((vel**2).sum(axis=0))
        # Noise of amplitude 0 is drawn for every frame.
        rng.randn(2, _NUM_FRAMES, *shape)
        for key, value in zip(drawn, (charge[:, 0], pos.T, vel.T), strict=True):
            drawn[key].append(value)
    return {key: np.stack(values) for key, values in drawn.items()}
