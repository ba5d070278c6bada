"""The mathematics of Slot Attention: slots that compete for the elements of a set.

Here belong the layout of slots beside elements, the pass over the elements, the ways
to assign and to start slots, the layer, and what shares make of a graph. Faces for PyG
are in ``aggr/`` and ``pool/``.
"""

from .assignment import RaggedShares
from .coarsen import CoarseningLosses
from .layer import SlotAttention
from .published import load_published

__all__ = ["CoarseningLosses", "RaggedShares", "SlotAttention", "load_published"]
