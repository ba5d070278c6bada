"""What the examples on particles share: batches, networks beside ours, animations.

Nothing here knows a task.
"""

from .animation import animate
from .batches import repeated
from .egnn import EquivariantNetwork

__all__ = ["EquivariantNetwork", "animate", "repeated"]
