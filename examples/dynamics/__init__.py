"""What the examples on particles share: batches, networks beside ours, animations.

Nothing here knows a task.
"""

from .animation import animate
from .batches import repeated
from .budget import Budget
from .egnn import EquivariantNetwork
from .errors import position_error, position_loss

__all__ = [
    "Budget",
    "EquivariantNetwork",
    "animate",
    "position_error",
    "position_loss",
    "repeated",
]
