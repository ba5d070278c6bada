"""The mathematics of Slot Attention: slots that compete for the elements of a set.

Here belong the layout of slots beside elements, the pass over the elements, the ways
to assign and to start slots, and the layer. Faces for PyG are in ``aggr/`` and
``pool/``.
"""

from .assignment import RaggedShares
from .layer import SlotAttention

__all__ = ["RaggedShares", "SlotAttention"]
