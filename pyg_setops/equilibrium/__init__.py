"""Energies whose minimiser is the aggregate of a set.

Here belong the energies and their closed-form derivatives. How they are minimised and
differentiated is in ``solvers/``; the face that PyG sees is ``aggr/equilibrium.py``.
"""

from .convex import ConvexEnergy
from .energy import Energy
from .module import ModuleEnergy
from .resolver import resolve_energy

__all__ = classes = ["ConvexEnergy", "Energy", "ModuleEnergy", "resolve_energy"]
