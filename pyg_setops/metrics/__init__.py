"""How good predicted sets are: scores of clusterings and of detected objects.

Here belong the measures on ragged batches that `torchmetrics` lacks, as functions of
tensors and their layout, and the matching that they and set losses need. Nothing here
knows models, data sets or training.
"""

from .average_precision import average_precision
from .matching import match
from .rand_index import adjusted_rand_index

__all__ = classes = [
    "adjusted_rand_index",
    "average_precision",
    "match",
]
