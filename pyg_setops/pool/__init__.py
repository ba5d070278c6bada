"""Poolings: graphs to graphs of fewer nodes, in the form of PyG's.

One operator a file, a thin PyG face over the mathematics in the floors below.
"""

from .slots import PooledGraph, SlotPooling

__all__ = ["PooledGraph", "SlotPooling"]
