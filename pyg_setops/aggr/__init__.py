"""Aggregations: sets to vectors, usable as ``aggr=`` in every PyG convolution.

One operator a file, a thin PyG face over the mathematics; ``classes`` drives the
documentation. What several operators share belongs in the floors below.
"""

from .base import SetAggregation
from .equilibrium import EquilibriumAggregation
from .lie import LieAggregation
from .swarm import SwarmAggregation

__all__ = classes = [
    "EquilibriumAggregation",
    "LieAggregation",
    "SetAggregation",
    "SwarmAggregation",
]
