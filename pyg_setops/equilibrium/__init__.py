"""Energies whose minimiser is the aggregate of a set.

Here belong the energies and their closed-form derivatives. How they are minimised and
differentiated is in ``solvers/``; the face that PyG sees is ``aggr/equilibrium.py``.
"""

from .energy import Energy

__all__ = classes = ["Energy"]
