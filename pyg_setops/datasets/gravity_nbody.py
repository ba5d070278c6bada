"""Masses in space that attract each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import Tensor
from torch_geometric.data import Data

from pyg_setops.datasets.charged_nbody import check_frames
from pyg_setops.datasets.generated import Split
from pyg_setops.datasets.simulated import Arrays, SimulatedSystems
from pyg_setops.datasets.simulation import (
    inverse_square_law,
    move,
    systems_at_once,
)

_STEP, _STEPS_PER_FRAME, _NUM_FRAMES = 0.001, 100, 51


class GravityNBody(SimulatedSystems):
    r"""Masses in space that attract each other, with Plummer's softening.

    .. math::
        H = \sum_i \frac{m_i |v_i|^2}{2}
        - \sum_{i<j} \frac{G m_i m_j}{\sqrt{|r_i - r_j|^2 + \epsilon^2}}

    with :math:`G = 1` and :math:`\epsilon = 0.1`; masses uniform in 0.1 to 1, positions
    :math:`(n/5)^{1/3} N(0,1)`, velocities :math:`0.5\,(n/5)^{1/3} N(0,1)`, which keeps
    systems of all sizes near the balance of the virial theorem; the centre of mass
    rests at the origin. Leapfrog at a step of 0.001, a frame every 100 steps, from
    frame 0 at time 0 to frame 50 at time 5. All quantities are without unit.

    A system has, for its ``n`` particles: ``pos_t`` and ``vel_t`` ``[n, T, 3]``; their
    first frames ``pos``, ``vel`` and the last position ``y`` ``[n, 3]``; ``mass``
    ``[n]``.

    Args:
        split: ``'train'``, ``'val'`` or ``'test'``; no system is in two of them
            (default: ``'train'``).
        num_systems: the length (default: 3,000 for training, 2,000 else). A longer
            dataset begins with the systems of a shorter one.
        num_particles: the size of a system, or several, each as likely (default: 5).
        frames: the frames shown, ascending, 0 to 50 (default: 0 and 10).
        seed: another seed gives other systems (default: 0).
        root: folder of the simulated blocks (default: ``$PYG_SETOPS_HOME`` or the
            user's cache folder, in a subfolder ``GravityNBody``).
        transform: applied to a system at every access (default: ``None``).

    Raises:
        ValueError: if an argument is wrong.

    Cost: as :class:`~pyg_setops.datasets.ChargedNBody`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     systems = GravityNBody("test", 2, (3, 8), frames=(0, 1), root=root)
        >>> systems[0].pos_t.shape
        torch.Size([8, 2, 3])
    """

    #: Newton's constant.
    constant: ClassVar[float] = 1.0
    #: Plummer's length.
    softening: ClassVar[float] = 0.1
    #: The time between two frames.
    step: ClassVar[float] = _STEP * _STEPS_PER_FRAME

    def __init__(
        self,
        split: Split = "train",
        num_systems: int | None = None,
        num_particles: int | Sequence[int] = 5,
        frames: Sequence[int] = (0, 10),
        seed: int = 0,
        root: str | Path | None = None,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        self.frames = check_frames(frames, _NUM_FRAMES)
        law = {"frames": self.frames}
        super().__init__(split, num_systems, num_particles, seed, root, transform, law)

    def draw(self, rng: np.random.Generator, num_particles: int) -> Arrays:
        """Draw masses, positions and velocities."""
        scale = (num_particles / 5) ** (1 / 3)
        mass = rng.uniform(0.1, 1.0, num_particles)
        pos = scale * rng.normal(size=(num_particles, 3))
        vel = 0.5 * scale * rng.normal(size=(num_particles, 3))
        share = mass / mass.sum()
        return {"mass": mass, "pos": pos - share @ pos, "vel": vel - share @ vel}

    def simulate(self, start: Arrays) -> Arrays:
        """Move by leapfrog."""
        stops = [frame * _STEPS_PER_FRAME for frame in self.frames]
        mass, moved = start["mass"], []
        at_once = systems_at_once(mass.shape[1])
        for first in range(0, len(mass), at_once):
            part = slice(first, first + at_once)
            # An acceleration is proportional to the mass of the other.
            strength = np.broadcast_to(
                -self.constant * mass[part, None], (*mass[part].shape, mass.shape[1])
            )
            law = inverse_square_law(strength, self.softening)
            moved.append(
                move(law, start["pos"][part], start["vel"][part], _STEP, stops)
            )
        pos_t, vel_t = (np.concatenate(parts) for parts in zip(*moved, strict=True))
        return {"pos_t": pos_t, "vel_t": vel_t, "mass": mass}

    def pair_energy(
        self, data: Data, source: Tensor, target: Tensor, square: Tensor
    ) -> Tensor:
        """Return ``-G m_i m_j / sqrt(r² + ε²)`` of pairs."""
        masses = (data.mass[source] * data.mass[target])[:, None]
        return -self.constant * masses / (square + self.softening**2).sqrt()
