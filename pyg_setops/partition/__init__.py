"""Linear maps between tensors over sets that commute with permutations.

Here belong set partitions and the diagrams made of them, the plan by which a layer
multiplies with all of them at once, the layers, and drawings. Where the entries of a
tensor over ragged sets lie is known in ``ragged/tensor_index.py``; the face that PyG
sees is in ``aggr/pair.py``.
"""

from .diagrams import Diagram, Half, diagrams
from .drawing import plot_diagrams
from .linear import EquivariantLinear
from .pair_linear import PairLinear
from .set_partitions import (
    diagrams_to_orbits,
    moebius,
    orbits_to_diagrams,
    set_partitions,
    zeta,
)

__all__ = classes = [
    "Diagram",
    "EquivariantLinear",
    "Half",
    "PairLinear",
    "diagrams",
    "diagrams_to_orbits",
    "moebius",
    "orbits_to_diagrams",
    "plot_diagrams",
    "set_partitions",
    "zeta",
]
