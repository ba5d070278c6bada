"""What the examples on particles share: batches, networks beside ours, animations.

Nothing here knows a task.
"""

from .animation import animate
from .batches import repeated
from .egnn import EquivariantNetwork
from .errors import position_error, position_loss

__all__ = [
    "EquivariantNetwork",
    "animate",
    "pick_rate",
    "position_error",
    "position_loss",
    "repeated",
]


def pick_rate(name: str, common: float, lie: float) -> float:
    """The learning rate of a model: LieTransformers have one of their own."""
    return lie if name.startswith("LieTransformer") else common
