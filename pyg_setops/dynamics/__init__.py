"""Hamiltonian dynamics of particles with a learned energy.

Here belong integrators of separable Hamiltonians, the network whose motion follows
from a learned potential, potentials made of set networks, and how a predicted
trajectory is measured. Simulated data are in ``pyg_setops.datasets``, training loops in
``examples/``.
"""

from .hamiltonian import HamiltonianNet
from .integrators import leapfrog, rk4, symplectic_euler, yoshida4
from .potentials import CentredPotential, PairPotential
from .trajectory import Trajectory, energy_drift, rollout_error, rollout_loss

__all__ = classes = [
    "CentredPotential",
    "HamiltonianNet",
    "PairPotential",
    "Trajectory",
    "energy_drift",
    "leapfrog",
    "rk4",
    "rollout_error",
    "rollout_loss",
    "symplectic_euler",
    "yoshida4",
]
