"""Features that rotate, on edges: the maths behind the SE(3)-Transformer.

Here belong what an edge knows (harmonics, radial functions, the envelope of the
cutoff), the product of features with harmonics, and the attention that fades at the
cutoff. Features are irreps of O(3) in e3nn's layout; e3nn is imported when the first
module is made. Groups and lifts belong in ``lie/``.
"""

from .attention import fading_softmax
from .edges import EdgeGeometry
from .norm import IrrepsNorm
from .product import HarmonicProduct

__all__ = ["EdgeGeometry", "HarmonicProduct", "IrrepsNorm", "fading_softmax"]
