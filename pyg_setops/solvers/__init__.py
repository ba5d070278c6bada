"""Inner optimisers, and the ways of differentiating what they find.

Everything here works on a batch of independent problems, a row of ``y`` each, and no
row ever influences another: what decides is a mask per row. Nothing here knows of sets
or of learned parameters.
"""

from .objective import Objective
from .result import SolveResult, Status

__all__ = classes = ["Objective", "SolveResult", "Status"]
