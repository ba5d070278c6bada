"""Layers on lifted points under the checks of layers: elements are the points."""

import pytest
import torch
from torch import Tensor

from pyg_setops import testing
from pyg_setops.lie import KNN
from pyg_setops.ragged import SetIndex
from pyg_setops.registry import Operator, operators
from pyg_setops.testing import random_sets

CHANNELS = 3
CHECKS = [
    check
    for check in testing.LAYER_CHECKS
    # Pairs are quadratic in a set, and their number depends on data.
    if check not in (testing.assert_memory_linear, testing.assert_compiles)
]


class OnPoints(torch.nn.Module):
    """A layer on lifts as a set-to-set layer: features are the positions, too.

    So what is said of elements is said of both, derivatives too. One orientation a
    set, or the output would depend on the order of a set by way of the lift.
    """

    def __init__(self, conv: torch.nn.Module):
        super().__init__()
        self.conv = conv

    def reset_parameters(self):
        self.conv.reset_parameters()

    def forward(
        self, x: Tensor, index: Tensor | None = None, ptr: Tensor | None = None
    ):
        sets = SetIndex.build(index, ptr, None, len(x))
        lifted = self.conv.group.lift(x, sets, 2, frames="set", fixed=True)
        return lifted.mean(self.conv(lifted.repeat(x), lifted))


@pytest.mark.parametrize(
    "options",
    [{}, {"max_pairs": 0}, {"neighbors": KNN(3), "max_pairs": 0}],
    ids=["full", "recomputed", "nearest"],
)
@pytest.mark.parametrize(
    "operator", operators("lifts to lifts"), ids=lambda operator: operator.name
)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__[7:])
def test_holds_on_points(operator: Operator, check, options):
    torch.manual_seed(0)
    conv = operator.example(CHANNELS, **options)
    sets = random_sets(CHANNELS, [3, 0, 2, 1, 4], dtype=torch.float64)
    check(OnPoints(conv).double(), sets)


@pytest.mark.parametrize("operator", operators("lifts to lifts"), ids=lambda o: o.name)
def test_lazy(operator: Operator):
    testing.assert_lazy(OnPoints(operator.example()), random_sets(CHANNELS))
