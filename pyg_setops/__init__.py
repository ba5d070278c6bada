"""Learnable set functions for PyTorch Geometric, on ragged batches."""

from .partition import EquivariantLinear, PairLinear
from .registry import register, unregister
from .swarm import SwarmLayer

__version__ = "0.1.0"

__all__ = ["EquivariantLinear", "PairLinear", "SwarmLayer", "register", "unregister"]
