"""What motions do to the predictions of a network on points, and a picture of it.

Nothing here knows a task or a model.
"""

from .figure import draw_motions
from .measure import Tested, make_batches, measure, moved, turned

__all__ = ["Tested", "draw_motions", "make_batches", "measure", "moved", "turned"]
