"""Layers between tensors, as layers from elements to elements."""

import pytest
import torch

from pyg_setops import testing
from pyg_setops.operators import Operator, operators
from pyg_setops.testing import random_sets

CHANNELS = 3

pytestmark = pytest.mark.parametrize(
    "operator", operators("tensors to tensors"), ids=lambda operator: operator.name
)


@pytest.mark.parametrize(
    "check", testing.LAYER_CHECKS, ids=lambda check: check.__name__[7:]
)
def test_holds_from_elements_to_elements(operator: Operator, check):
    sets = random_sets(CHANNELS, [3, 0, 2, 1, 4], dtype=torch.float64)
    check(operator.example(CHANNELS).double(), sets)


def test_lazy(operator: Operator):
    testing.assert_lazy(operator.example(), random_sets(CHANNELS))
