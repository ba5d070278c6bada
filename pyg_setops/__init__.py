"""Learnable set functions for PyTorch Geometric, on ragged batches."""

from .pool import SlotPooling
from .registry import register, unregister
from .slots import SlotAttention
from .swarm import SwarmLayer

__version__ = "0.1.0"

__all__ = ["SlotAttention", "SlotPooling", "SwarmLayer", "register", "unregister"]
