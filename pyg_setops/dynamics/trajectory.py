"""States over time, and how far they are from where they should be."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Trajectory(NamedTuple):
    """The states of particles at times of equal distance, a tuple of two tensors."""

    pos: Tensor
    """Positions ``[N, T, d]``."""
    momentum: Tensor
    """Momenta ``[N, T, d]``."""


def rollout_error(predicted: Trajectory, true: Trajectory) -> Tensor:
    """Computes the mean square error of the state, positions and momenta, at each time.

    Args:
        predicted: What a network says.
        true: What it should say, of the same shape.

    Returns:
        ``[T]``.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> import torch
        >>> still = Trajectory(torch.zeros(3, 2, 1), torch.zeros(3, 2, 1))
        >>> rollout_error(still, Trajectory(still.pos + 2, still.momentum))
        tensor([2., 2.])
    """
    pairs = list(zip(predicted, true, strict=True))
    for one, other in pairs:
        if one.shape != other.shape:
            raise ValueError(
                f"'predicted' and 'true' must have one shape, got {list(one.shape)} "
                f"and {list(other.shape)}"
            )
    pos, momentum = ((one - other).square().mean((0, 2)) for one, other in pairs)
    return (pos + momentum) / 2


def rollout_loss(
    predicted: Trajectory, true: Trajectory, include_initial: bool = False
) -> Tensor:
    """Averages :func:`rollout_error` over the times.

    Args:
        predicted: What a network says.
        true: What it should say.
        include_initial: Whether to count the initial state, where the error is 0, as
            published results do.
    """
    return rollout_error(predicted, true)[0 if include_initial else 1 :].mean()


def energy_drift(energy: Tensor) -> Tensor:
    """Computes the mean over systems of :math:`|E_t - E_0|`, at each time.

    Args:
        energy: ``[B, T]``, such as
            :meth:`~pyg_setops.dynamics.HamiltonianNet.energies` gives.

    Returns:
        ``[T]``, in the unit of the energy.

    Example:
        >>> import torch
        >>> energy_drift(torch.tensor([[1.0, 1.5], [2.0, 1.0]]))
        tensor([0.0000, 0.7500])
    """
    return (energy - energy[:, :1]).abs().mean(0)
