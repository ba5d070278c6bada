"""Set functions that the equilibrium examples compare, and how they are measured.

Nothing here knows a task.
"""

from .measure import mean_and_deviation, predict
from .network import SetNetwork
from .peers import make_readouts

__all__ = ["SetNetwork", "make_readouts", "mean_and_deviation", "predict"]
