"""SWARM: an LSTM-like cell shared by the elements of a set, iterated with pooling.

Here belong the cell, its pooling variants, the set-to-set layer and its fast path.
The faces that PyG sees are in ``aggr/swarm.py`` and ``conv/swarm.py``.
"""

from .cell import SwarmCell
from .layer import SwarmLayer, SwarmState
from .pooling import (
    AggregationPooling,
    CausalPooling,
    MapsPooling,
    MaxPooling,
    MeanPooling,
    Pooling,
    SumPooling,
)
from .published import load_published

__all__ = classes = [
    "AggregationPooling",
    "CausalPooling",
    "MapsPooling",
    "MaxPooling",
    "MeanPooling",
    "Pooling",
    "SumPooling",
    "SwarmCell",
    "SwarmLayer",
    "SwarmState",
    "load_published",
]
