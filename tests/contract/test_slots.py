"""Sets to slots: their slots, side by side, are what an aggregation returns."""

import pytest
import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation

from pyg_setops import SlotAttention, testing
from pyg_setops.registry import Operator, operators
from pyg_setops.testing import random_sets

CHANNELS = 3
CHECKS = [
    check
    for check in testing.AGGREGATION_CHECKS
    if check
    not in (
        testing.assert_empty_sets_zero,  # an empty set keeps the slots it starts with
        testing.assert_leading_dimensions,  # elements are rows
        testing.assert_errors,  # of other dimensions
    )
]
VARIANTS = {
    "gaussian": {},
    "learned": {"init": "learned"},
    "heads": {"heads": 2},
    "projected": {"heads": 4, "num_iterations": 2},
    "joint": {"heads": 2, "head_mode": "joint"},
    "sinkhorn": {"attn": "sinkhorn"},
    "mesh": {"attn": "mesh"},
    "gumbel": {"select": "gumbel"},
    "implicit": {"grad": "implicit"},
    "bilevel": {"init": "learned", "grad": "bilevel"},
}


class SideBySide(Aggregation):
    """The slots of each set as one row."""

    def __init__(self, layer: torch.nn.Module):
        super().__init__()
        self.layer = layer

    def reset_parameters(self):
        self.layer.reset_parameters()

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
    ) -> Tensor:
        slots = self.layer(x, index, ptr, dim_size=dim_size)
        return (slots[0] if isinstance(slots, tuple) else slots).flatten(1)


@pytest.fixture(params=operators("sets to slots"), ids=lambda operator: operator.name)
def operator(request) -> Operator:
    return request.param


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__[7:])
def test_holds(operator: Operator, check):
    module = SideBySide(operator.example(CHANNELS)).double().eval()
    check(module, random_sets(CHANNELS, [3, 0, 2, 1, 4], dtype=torch.float64))


def test_lazy(operator: Operator):
    testing.assert_lazy(SideBySide(operator.example()).eval(), random_sets(CHANNELS))


def variant(name: str) -> SideBySide:
    arguments = {"num_slots": 3, "hidden_channels": 5, **VARIANTS[name]}
    return SideBySide(SlotAttention(CHANNELS, 4, **arguments)).double().eval()


@pytest.mark.parametrize(
    "check",
    [
        testing.assert_permutation_invariant,
        testing.assert_batch_independent,
        testing.assert_index_matches_ptr,
        testing.assert_dtypes,
        testing.assert_grad_modes,
    ],
    ids=lambda check: check.__name__[7:],
)
@pytest.mark.parametrize("name", list(VARIANTS)[1:])
def test_holds_for_variants(name: str, check):
    check(variant(name), random_sets(CHANNELS, [3, 0, 2, 1], dtype=torch.float64))


@pytest.mark.parametrize(
    "name",
    [
        "projected",
        "sinkhorn",
        *(
            pytest.param(n, marks=pytest.mark.slow)
            for n in ("heads", "joint", "gumbel")
        ),
    ],
)
def test_derivatives_of_variants(name: str):
    """Of all but those whose gradient is not the derivative, on purpose."""
    sets = random_sets(CHANNELS, [3, 0, 2, 1], dtype=torch.float64)
    testing.assert_derivatives(variant(name), sets)


@pytest.mark.slow
@pytest.mark.parametrize(
    "check",
    [
        testing.assert_copies,
        testing.assert_memory_linear,
        testing.assert_compiles,
    ],
    ids=lambda check: check.__name__[7:],
)
@pytest.mark.parametrize("name", VARIANTS)
def test_holds_for_variants_slowly(name: str, check):
    sets = random_sets(CHANNELS, [3, 0, 2, 1, 4], dtype=torch.float64)
    check(variant(name), sets)
