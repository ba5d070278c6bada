"""The core: the only code that knows index, ptr, sorting and empty sets.

Here belong the description of a ragged batch (:class:`SetIndex`), the primitives
that reduce, spread, scan and pair inside sets, and the backends that compute them.
Every primitive takes elements on the first dimension, is differentiable to any
order, keeps sets apart (a NaN in one set stays there) and gives zero rows for
empty sets. No learned parameter and no operator's mathematics belongs here.
"""

from .blocks import Block, blocks
from .edges import edge_dot, edge_sum
from .fold import fold, unfold
from .groups import SizeGroup, SizeGroups, size_groups
from .pairs import pair_blocks, pair_index
from .products import segment_matvec, segment_outer
from .scan import segment_cummean, segment_cumsum
from .segment import (
    gather,
    segment_logsumexp,
    segment_max,
    segment_mean,
    segment_softmax,
    segment_sum,
)
from .set_index import SetIndex

__all__ = [
    "Block",
    "SetIndex",
    "SizeGroup",
    "SizeGroups",
    "blocks",
    "edge_dot",
    "edge_sum",
    "fold",
    "gather",
    "pair_blocks",
    "pair_index",
    "segment_cummean",
    "segment_cumsum",
    "segment_logsumexp",
    "segment_matvec",
    "segment_max",
    "segment_mean",
    "segment_outer",
    "segment_softmax",
    "segment_sum",
    "size_groups",
    "unfold",
]
