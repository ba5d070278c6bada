"""Each assertion catches the fault that it is for, and no other one does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation, StdAggregation

from pyg_setops.aggr import SetAggregation
from pyg_setops.ragged import SetIndex, segment_mean, segment_sum
from pyg_setops.testing import (
    AGGREGATION_CHECKS,
    assert_dtypes,
    assert_errors,
    random_sets,
)


class LinearMean(SetAggregation):
    """A sound aggregation: the mean of a nonlinear map."""

    width_key = "lin.weight"

    def __init__(self, in_channels: int = -1, out_channels: int | None = None):
        super().__init__(in_channels, out_channels)
        self.start(in_channels)

    def create(self, in_channels: int, out_channels: int) -> None:
        self.lin = torch.nn.Linear(in_channels, out_channels)

    def reset_parameters(self) -> None:
        self.lin.reset_parameters()

    def aggregate(self, x: Tensor, sets: SetIndex) -> Tensor:
        return segment_mean(self.lin(x).tanh(), sets)


def place_in_set(sets: SetIndex) -> Tensor:
    place = sets.index.argsort(stable=True).argsort()
    return place - (sets.sizes.cumsum(0) - sets.sizes)[sets.index]


class SeesOrder(LinearMean):
    def aggregate(self, x: Tensor, sets: SetIndex) -> Tensor:
        return super().aggregate(x / (1 + place_in_set(sets)[:, None]), sets)


class SeesBatch(LinearMean):
    def forward(self, x, index=None, ptr=None, dim_size=None, dim=-2):
        return super().forward(x, index, ptr, dim_size, dim) / (1 + dim_size)


class LeaksNaN(LinearMean):
    def forward(self, x, index=None, ptr=None, dim_size=None, dim=-2):
        out = super().forward(x, index, ptr, dim_size, dim)
        return out + 0 * x.detach().sum(dim, keepdim=True)[..., :1]


class MistakesPtr(LinearMean):
    def forward(self, x, index=None, ptr=None, dim_size=None, dim=-2):
        out = super().forward(x, index, ptr, dim_size, dim)
        return out if ptr is None else 2 * out


class FillsEmptySets(LinearMean):
    def forward(self, x, index=None, ptr=None, dim_size=None, dim=-2):
        return super().forward(x, index, ptr, dim_size, dim) + 1


class MixesHeads(LinearMean):
    def forward(self, x, index=None, ptr=None, dim_size=None, dim=-2):
        out = super().forward(x, index, ptr, dim_size, dim)
        return out + out.mean(0) if x.dim() > 2 else out


class CancelsDigits(LinearMean):
    def aggregate(self, x: Tensor, sets: SetIndex) -> Tensor:
        out = super().aggregate(x, sets)
        return (out + 1e4) - 1e4 if x.dtype == torch.float32 else out


class CutsGraph(LinearMean):
    def aggregate(self, x: Tensor, sets: SetIndex) -> Tensor:
        return super().aggregate(x, sets) + segment_mean(x.detach(), sets)


class CutsSecondDerivative(LinearMean):
    def aggregate(self, x: Tensor, sets: SetIndex) -> Tensor:
        h = self.lin(x)
        slope = 2 * h.detach()  # the gradient of h², but not its gradient's
        square = h.detach().square() + slope * (h - h.detach())
        return segment_sum(square, sets)


class KeepsGraph(LinearMean):
    def forward(self, x, index=None, ptr=None, dim_size=None, dim=-2):
        if torch.compiler.is_compiling():
            return super().forward(x, index, ptr, dim_size, dim)
        with torch.inference_mode(False), torch.enable_grad():
            return super().forward(x.clone(), index, ptr, dim_size, dim)


class HoldsLambda(LinearMean):
    def create(self, in_channels: int, out_channels: int) -> None:
        super().create(in_channels, out_channels)
        self.activation = lambda h: h.tanh()


class ForgetsToReset(LinearMean):
    def reset_parameters(self) -> None:
        self.lin.weight.data.uniform_()


class Branches(LinearMean):
    def aggregate(self, x: Tensor, sets: SetIndex) -> Tensor:
        out = super().aggregate(x, sets)
        return out if x.numel() == 0 or x.isfinite().sum() >= 0 else -out


class Specialises(LinearMean):
    def aggregate(self, x: Tensor, sets: SetIndex) -> Tensor:
        out = super().aggregate(x, sets)
        return out + 0 if x.size(0) > 12 else out


class Pads(LinearMean):
    def aggregate(self, x: Tensor, sets: SetIndex) -> Tensor:
        width = int(sets.sizes.max()) if len(x) > 0 else 0
        dense = x.new_zeros(sets.num_sets, width, self.out_channels)
        cells = (sets.index, place_in_set(sets))
        dense = dense.index_put(cells, self.lin(x).tanh().to(dense.dtype))
        return dense.sum(1) / sets.sizes.clamp(min=1)[:, None]


class MultipliesOneHot(LinearMean):
    def aggregate(self, x: Tensor, sets: SetIndex) -> Tensor:
        member = sets.index == torch.arange(sets.num_sets)[:, None]
        total = torch.where(member[..., None], self.lin(x).tanh(), 0).sum(1)
        return total / sets.sizes.clamp(min=1)[:, None]


class Counts(LinearMean):
    def create(self, in_channels: int, out_channels: int) -> None:
        super().create(in_channels, out_channels)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x, index=None, ptr=None, dim_size=None, dim=-2):
        self.calls += 1
        return super().forward(x, index, ptr, dim_size, dim)


class TrustsIndex(LinearMean):
    def forward(self, x, index=None, ptr=None, dim_size=None, dim=-2):
        if index is not None and dim_size and not torch.compiler.is_compiling():
            index = index.long().flatten().clamp(0, dim_size - 1)
        return super().forward(x, index, ptr, dim_size, dim)


class NormalisesBatch(LinearMean):
    def create(self, in_channels: int, out_channels: int) -> None:
        super().create(in_channels, out_channels)
        self.norm = torch.nn.BatchNorm1d(out_channels, track_running_stats=False)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self.norm.reset_parameters()

    def aggregate(self, x: Tensor, sets: SetIndex) -> Tensor:
        return segment_mean(self.norm(self.lin(x)), sets)


def test_an_output_of_zero_has_the_right_precision():
    assert_dtypes(StdAggregation(), random_sets(3, [1, 1]))


class BlamesAnother(LinearMean):
    def __call__(self, x, index=None, ptr=None, dim_size=None, dim=-2):
        if dim == -1:
            raise ValueError("'dim_size' is too large for this dimension")
        return super().__call__(x, index, ptr, dim_size, dim)


def test_an_error_that_names_another_argument_is_caught():
    with pytest.raises(AssertionError, match="refused without naming 'dim': 'dim_size"):
        assert_errors(BlamesAnother(), random_sets(3))


class TakesAnyWidth(LinearMean):
    def __call__(self, x, *layout, **named):
        self.see(x)
        return super().__call__(x, *layout, **named)


def test_a_width_taken_from_a_refused_call_is_caught():
    sets = random_sets(3)
    assert_errors(LinearMean(), sets)
    with pytest.raises(AssertionError, match=r"is refused, but changes \['lin"):
        assert_errors(TakesAnyWidth(), sets)


CAUGHT = {
    LinearMean: set(),
    SeesOrder: {"permutation_invariant"},
    SeesBatch: {"batch_independent"},
    LeaksNaN: {"batch_independent"},
    MistakesPtr: {"index_matches_ptr"},
    FillsEmptySets: {"empty_sets_zero"},
    MixesHeads: {"leading_dimensions"},
    CancelsDigits: {"dtypes"},
    CutsGraph: {"derivatives"},
    CutsSecondDerivative: {"derivatives"},
    KeepsGraph: {"grad_modes"},
    HoldsLambda: {"copies"},
    ForgetsToReset: {"copies"},
    Branches: {"compiles"},
    Specialises: {"compiles"},
    Pads: {"memory_linear", "compiles"},  # the width is known at run time only
    MultipliesOneHot: {"memory_linear"},
    Counts: {"errors"},
    TrustsIndex: {"errors"},
    NormalisesBatch: {"batch_independent", "leading_dimensions"},
}


@pytest.mark.parametrize("broken", CAUGHT, ids=lambda broken: broken.__name__)
def test_catches_the_fault_it_is_for(broken: Callable[[int], Aggregation]):
    caught = {}
    for check in AGGREGATION_CHECKS:
        torch.manual_seed(0)
        sets = random_sets(3, [3, 0, 2, 1, 4], dtype=torch.float64)
        try:
            check(broken(3).double(), sets)
        except Exception as error:
            caught[check.__name__[7:]] = error
    assert set(caught) == CAUGHT[broken], caught
