"""Groups of motions, lifts of points to them, and attention over lifted points.

Here belong the groups as pure functions of tensors of elements, robust exponentials
and logarithms, representations by e3nn, lifts, pairs of lifted points, neighbourhoods
and the kernel of the attention. The faces that PyG sees are in ``conv/lie.py`` and
``aggr/lie.py``.
"""

from .embedding import (
    IndexEmbedding,
    LogEmbedding,
    MatrixEmbedding,
    PairEmbedding,
    RadialEmbedding,
    WignerEmbedding,
)
from .finite import (
    Cyclic,
    Dihedral,
    FiniteRotations,
    Icosahedral,
    Octahedral,
    Tetrahedral,
)
from .group import LieGroup
from .groups import E2, E3, O2, O3, SE2, SE3, SO2, SO3, RxSO2, T, Trivial
from .irreps import back_project, lift_irreps
from .kernel import AttentionKernel
from .lifted import LiftedSet
from .neighbors import KNN, FixedSubset, Neighbors, Radius

__all__ = classes = [
    "AttentionKernel",
    "E2",
    "E3",
    "O2",
    "O3",
    "SE2",
    "SE3",
    "SO2",
    "SO3",
    "Cyclic",
    "Dihedral",
    "FiniteRotations",
    "FixedSubset",
    "Icosahedral",
    "IndexEmbedding",
    "KNN",
    "LieGroup",
    "LiftedSet",
    "LogEmbedding",
    "MatrixEmbedding",
    "Neighbors",
    "Octahedral",
    "PairEmbedding",
    "RadialEmbedding",
    "Radius",
    "RxSO2",
    "T",
    "Tetrahedral",
    "Trivial",
    "WignerEmbedding",
    "back_project",
    "lift_irreps",
]
