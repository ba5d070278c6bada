"""Learnable set functions for PyTorch Geometric, on ragged batches."""

from .swarm import SwarmLayer

__version__ = "0.1.0"

__all__ = ["SwarmLayer"]
