"""Particles in the plane, each pair joined by a spring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor
from torch_geometric.data import Data

from pyg_setops.datasets.generated import Split
from pyg_setops.datasets.simulated import Array, Arrays, SimulatedSystems

_NUM_TIMES, _DURATION = 500, 5.0


class SpringDynamics(SimulatedSystems):
    r"""Particles in the plane, each pair joined by a spring.

    The task of the `"LieConv" <https://arxiv.org/abs/2002.12880>`_ and
    `"LieTransformer" <https://arxiv.org/abs/2012.10885>`_ papers, with

    .. math::
        H = \sum_i \frac{|p_i|^2}{2 m_i} + \sum_{i<j} k_i k_j |q_i - q_j|^2,

    masses :math:`m \sim 3\,U(0,1) + 0.1`, stiffness :math:`k \sim 5\,U(0,1)`, positions
    :math:`q \sim 0.4\,N(0, 1)` and momenta :math:`p \sim 0.6\,N(0,1)`. A system shows
    ``num_frames`` consecutive states of the 500 at equal distances in the times 0 to
    5, from a random one on. All quantities are without unit.

    The forces are linear, so states are exact: by normal modes, at no step size
    (relative error of the energy below :math:`10^{-9}`). The published data are
    integrated by RK4 at the distance of the states, where the stiffest springs lose
    energy: ``solution='rk4'``.

    A system has, for its ``n`` particles: ``pos_t`` and ``vel_t`` ``[n, T, 2]``; their
    first frames ``pos``, ``vel`` and the last position ``y`` ``[n, 2]``; ``mass`` and
    ``stiffness`` ``[n]``. Momenta are ``mass * vel``.

    Args:
        split: ``'train'``, ``'val'`` or ``'test'``; no system is in two of them
            (default: ``'train'``).
        num_systems: the length (default: the published 3,000 for training, 2,000
            else). A longer dataset begins with the systems of a shorter one.
        num_particles: the size of a system, or several, each as likely (default: 6).
        num_frames: the number of states, the first included (default: 5).
        centre: ``'particles'``: the centre of a system is at rest, as was surely
            meant. ``'published'``: as the published code does, the mean over *systems*
            is subtracted from the momenta, here of the block of 1,000 made together.
            ``None``: neither (default: ``'particles'``).
        solution: ``'exact'`` or ``'rk4'`` (default: ``'exact'``).
        seed: another seed gives other systems (default: 0).
        root: folder of the simulated blocks (default: ``$PYG_SETOPS_HOME`` or the
            user's cache folder, in a subfolder ``SpringDynamics``).
        transform: applied to a system at every access (default: ``None``).

    Raises:
        ValueError: if an argument is wrong.

    Cost: simulating 3,000 systems takes about a second, reading them much less.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     system = SpringDynamics("test", 10, num_frames=100, root=root)[0]
        >>> system.pos_t.shape, system.mass.shape
        (torch.Size([6, 100, 2]), torch.Size([6]))
    """

    #: The time between two states.
    step = _DURATION / (_NUM_TIMES - 1)
    block = 1000

    def __init__(
        self,
        split: Split = "train",
        num_systems: int | None = None,
        num_particles: int | Sequence[int] = 6,
        num_frames: int = 5,
        centre: Literal["particles", "published"] | None = "particles",
        solution: Literal["exact", "rk4"] = "exact",
        seed: int = 0,
        root: str | Path | None = None,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        if not 1 <= num_frames <= _NUM_TIMES:
            raise ValueError(
                f"num_frames: expected 1 to {_NUM_TIMES}, got {num_frames}"
            )
        if centre not in ("particles", "published", None):
            raise ValueError(
                f"centre: expected 'particles', 'published' or None, got {centre!r}"
            )
        if solution not in ("exact", "rk4"):
            raise ValueError(f"solution: expected 'exact' or 'rk4', got {solution!r}")
        self.num_frames, self.centre, self.solution = num_frames, centre, solution
        law = {"num_frames": num_frames, "centre": centre, "solution": solution}
        super().__init__(split, num_systems, num_particles, seed, root, transform, law)

    def draw(self, rng: np.random.Generator, num_particles: int) -> Arrays:
        """Draw masses, stiffnesses, positions, momenta and the first time shown."""
        n = num_particles
        # Not an integer of a range: that would take as many bits as the range needs.
        first = np.floor(rng.uniform() * (_NUM_TIMES - self.num_frames + 1))
        return {
            "mass": 3 * rng.uniform(size=n) + 0.1,
            "stiffness": 5 * rng.uniform(size=n),
            "pos": 0.4 * rng.normal(size=(n, 2)),
            "momentum": 0.6 * rng.normal(size=(n, 2)),
            "first": np.full(n, first),
        }

    def simulate(self, start: Arrays) -> Arrays:
        """Solve in normal modes."""
        mass, stiffness, momentum = (
            start[key] for key in ("mass", "stiffness", "momentum")
        )
        if self.centre is not None:
            axis = 1 if self.centre == "particles" else 0
            momentum = momentum - momentum.mean(axis, keepdims=True)
        numbers = start["first"][:, :1] + np.arange(self.num_frames)
        vel = momentum / mass[..., None]
        propagate = exact_motion if self.solution == "exact" else rk4_motion
        pos_t, vel_t = solve(
            mass, stiffness, start["pos"], vel, numbers, self.step, propagate
        )
        return {"pos_t": pos_t, "vel_t": vel_t, "mass": mass, "stiffness": stiffness}

    def pair_energy(
        self, data: Data, source: Tensor, target: Tensor, square: Tensor
    ) -> Tensor:
        """Return ``k_i k_j r²`` of pairs."""
        return (data.stiffness[source] * data.stiffness[target])[:, None] * square


Motion = Callable[[Array, Array, float], tuple[Array, Array, Array]]


def solve(
    mass: Array,
    stiffness: Array,
    pos: Array,
    vel: Array,
    numbers: Array,
    step: float,
    motion: Motion,
) -> tuple[Array, Array]:
    """Positions and velocities ``[S, n, T, d]`` after numbers of steps ``[S, T]``."""
    coupling = 2 * stiffness[:, :, None] * stiffness[:, None]
    rows = np.arange(coupling.shape[1])
    coupling[:, rows, rows] = 0.0
    hessian = -coupling
    hessian[:, rows, rows] = coupling.sum(2)
    root = np.sqrt(mass)
    square, modes = np.linalg.eigh(hessian / (root[:, :, None] * root[:, None]))
    frequency = np.sqrt(square.clip(min=0.0))
    # Amplitudes of the modes, [S, n, 1, d], in coordinates where all masses are 1.
    place, speed = (
        (modes.swapaxes(1, 2) @ (root[..., None] * x))[:, :, None] for x in (pos, vel)
    )
    cosine, sine, ratio = (
        x[..., None] for x in motion(frequency[:, :, None], numbers[:, None], step)
    )
    moved = cosine * place + ratio * speed, cosine * speed - sine * place
    back = modes / root[..., None]
    place, speed = (np.einsum("sij,sjtd->sitd", back, x) for x in moved)
    return place, speed


def exact_motion(
    frequency: Array, number: Array, step: float
) -> tuple[Array, Array, Array]:
    """Return cos(ωt), ω sin(ωt) and sin(ωt) / ω, which is t where ω is 0."""
    time = number * step
    phase = frequency * time
    ratio = time * np.sinc(phase / np.pi)
    return np.cos(phase), frequency**2 * ratio, ratio


def rk4_motion(
    frequency: Array, number: Array, step: float
) -> tuple[Array, Array, Array]:
    """Return the same for RK4, whose step multiplies a mode by a polynomial of iωh."""
    z = 1j * frequency * step
    factor = (1 + z + z**2 / 2 + z**3 / 6 + z**4 / 24) ** number
    is_free = frequency * step < 1e-6
    safe = np.where(is_free, 1.0, frequency)
    ratio = np.where(is_free, number * step, factor.imag / safe)
    return factor.real, frequency * factor.imag, ratio
