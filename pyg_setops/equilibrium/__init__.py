"""Energies whose minimiser is the aggregate of a set.

Here belong the energies and their closed-form derivatives. How they are minimised and
differentiated is in ``solvers/``; the face that PyG sees is ``aggr/equilibrium.py``.
"""

from .convex import ConvexEnergy
from .energy import Energy
from .module import ModuleEnergy
from .residual import ResNetEnergy
from .resolver import resolve_energy
from .squared import SquaredResidualEnergy

__all__ = classes = [
    "ConvexEnergy",
    "Energy",
    "ModuleEnergy",
    "ResNetEnergy",
    "SquaredResidualEnergy",
    "resolve_energy",
]
