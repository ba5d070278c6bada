"""Inner optimisers, and the ways of differentiating what they find.

Everything here works on a batch of independent problems, a row of ``y`` each, and no
row ever influences another: what decides is a mask per row. Nothing here knows of sets
or of learned parameters but the rates of a solver.
"""

from .adjoint import Adjoint, Implicit, OneStep, Unrolled
from .lbfgs import LBFGS
from .momentum import Momentum
from .nesterov import Nesterov
from .newton import Newton
from .objective import HessianProduct, Objective
from .result import SolveResult, Status
from .solver import Solver

__all__ = classes = [
    "LBFGS",
    "Adjoint",
    "HessianProduct",
    "Implicit",
    "Momentum",
    "Nesterov",
    "Newton",
    "Objective",
    "OneStep",
    "SolveResult",
    "Solver",
    "Status",
    "Unrolled",
]
