"""All groups, small, and irreps that all of them have."""

from pyg_setops.lie import (
    E2,
    E3,
    O2,
    O3,
    SE2,
    SE3,
    SO2,
    SO3,
    Cyclic,
    Dihedral,
    Octahedral,
    RxSO2,
    T,
    Tetrahedral,
    Trivial,
)

ROTATIONS = [SO2(), O2(), RxSO2(), SO3(), O3()]
MOTIONS = [T(2), T(3), SE2(), E2(), SE3(), E3()]
FINITE = [Cyclic(4), Dihedral(3), Tetrahedral(), Octahedral(inversion=True)]
GROUPS = [Trivial(3), *ROTATIONS, *MOTIONS, *FINITE]
SAMPLED = [group for group in GROUPS if group.num_lifts is None]
IRREPS = "2x0e + 1x0o + 2x1o + 1x1e + 1x2e"
