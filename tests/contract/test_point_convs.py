"""Convolutions in space under the checks of layers: elements are points."""

import pytest
import torch
from torch import Tensor

from pyg_setops import testing
from pyg_setops.operators import Operator, operators
from pyg_setops.testing import random_sets

CHANNELS = 3
CHECKS = [
    check
    for check in testing.LAYER_CHECKS
    # The edges of complete graphs are quadratic, and their number depends on data.
    if check not in (testing.assert_memory_linear, testing.assert_compiles)
]


class OnCompleteClouds(torch.nn.Module):
    """A convolution as a set-to-set layer: features are scalars and positions at once.

    So what is said of elements is said of both, derivatives too.
    """

    def __init__(self, conv: torch.nn.Module):
        super().__init__()
        self.conv = conv

    def reset_parameters(self):
        self.conv.reset_parameters()

    def forward(
        self, x: Tensor, index: Tensor | None = None, ptr: Tensor | None = None
    ):
        if index is None:
            index = torch.arange(len(ptr) - 1).repeat_interleave(ptr.diff())
        return self.conv(x, x, (index[:, None] == index).nonzero().t())


@pytest.mark.parametrize(
    "operator", operators("points to points"), ids=lambda operator: operator.name
)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__[7:])
def test_holds_on_complete_clouds(operator: Operator, check):
    layer = OnCompleteClouds(operator.example(CHANNELS)).double()
    check(layer, random_sets(CHANNELS, [3, 0, 2, 1, 4], dtype=torch.float64))
