r"""Energies whose minimum is a reduction that everybody knows.

Each is a function of an element and of a channel of ``y``, summed over the set; a test
gives its value and two derivatives, and `EquilibriumAggregation` minimises it.
"""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from pyg_setops.aggr import EquilibriumAggregation
from pyg_setops.equilibrium import Energy
from pyg_setops.ragged import gather, segment_max, segment_mean, segment_sum
from pyg_setops.solvers import LBFGS, Newton, Objective, Status

CHANNELS = 3
SIZES = [37, 0, 5, 1, 21]
EPS = 1e-4
SHARPNESS = 1e4


class Elementwise(NamedTuple):
    """An energy by its value and derivatives at ``(x, y)``, and where to begin."""

    value: Callable[[Tensor, Tensor], Tensor]
    first: Callable[[Tensor, Tensor], Tensor]
    second: Callable[[Tensor, Tensor], Tensor]
    start: Callable = segment_mean


class ElementwiseEnergy(Energy):
    has_curvature = True

    def __init__(self, function):
        super().__init__(CHANNELS, CHANNELS)
        self.function = function

    def bind(self, x, sets):
        return ElementwiseObjective(self.function, x, sets)


class ElementwiseObjective(Objective):
    has_curvature = True

    def __init__(self, function, x, sets):
        self.function = function
        self.x = x
        self.sets = sets

    @property
    def occupied(self):
        return self.sets.sizes > 0

    def start(self):
        return self.function.start(self.x, self.sets)

    def value(self, y):
        return self._sum(self.function.value, y).sum(1)

    def grad(self, y):
        return self._sum(self.function.first, y)

    def curvature(self, y):
        diagonal = self._sum(self.function.second, y).detach()
        return self.grad(y), lambda v: diagonal * v

    def _sum(self, function, y):
        return segment_sum(function(self.x, gather(y, self.sets)), self.sets)


def root(t):
    return (t.square() + EPS**2).sqrt()


def smooth_quantile(q):
    return Elementwise(
        lambda x, y: (root(x - y) + (2 * q - 1) * (x - y)) / 2,
        lambda x, y: -((x - y) / root(x - y) + 2 * q - 1) / 2,
        lambda x, y: EPS**2 / root(x - y) ** 3 / 2,
    )


SQUARE = Elementwise(
    lambda x, y: (x - y).square(),
    lambda x, y: 2 * (y - x),
    lambda x, y: torch.full_like(y, 2.0),
)


@pytest.fixture
def x():
    return torch.randn(sum(SIZES), CHANNELS, dtype=torch.float64)


@pytest.fixture
def index():
    return torch.arange(len(SIZES)).repeat_interleave(torch.tensor(SIZES))


def aggregate(function, x, index, solver=None):
    solver = Newton(tol=1e-10) if solver is None else solver
    aggregation = EquilibriumAggregation(
        energy=ElementwiseEnergy(function), solver=solver
    )
    result = aggregation.solve(x, index, dim_size=len(SIZES))
    ended = [Status.EMPTY if size == 0 else Status.CONVERGED for size in SIZES]
    assert result.status.tolist() == ended
    return result.y


def expect(reduce, found, x, atol):
    for row, elements in zip(found, x.split(SIZES), strict=True):
        expected = reduce(elements) if len(elements) else torch.zeros(CHANNELS)
        torch.testing.assert_close(row, expected.double(), rtol=0, atol=atol)


def test_mean(x, index):
    expect(lambda e: e.mean(0), aggregate(SQUARE, x, index), x, 1e-12)


def test_power_mean(x, index):
    x = x.abs()
    cubes = aggregate(SQUARE, x**3, index)
    expect(lambda e: (e**3).mean(0) ** (1 / 3), cubes ** (1 / 3), x, 1e-12)


def test_sum(x, index):
    sizes = torch.tensor(SIZES, dtype=torch.float64)[index][:, None]
    energy = Elementwise(
        lambda x, y: y.square() / (2 * sizes) - x * y,
        lambda x, y: y / sizes - x,
        lambda x, y: 1 / sizes + 0 * y,
    )
    expect(lambda e: e.sum(0), aggregate(energy, x, index), x, 1e-12)


def test_softmax_attention(x, index):
    scores = torch.randn(len(x), 1, dtype=torch.float64)
    weight = scores.exp()
    energy = Elementwise(
        lambda x, y: weight * (x - y).square(),
        lambda x, y: 2 * weight * (y - x),
        lambda x, y: 2 * weight + 0 * y,
    )
    found = aggregate(energy, x, index)
    for row, v, s in zip(found, x.split(SIZES), scores.split(SIZES), strict=True):
        torch.testing.assert_close(row, (s.softmax(0) * v).sum(0), rtol=0, atol=1e-12)


def test_logsumexp(x, index):
    sizes = torch.tensor(SIZES, dtype=torch.float64)[index][:, None]
    energy = Elementwise(
        lambda x, y: y / sizes + (x - y).exp(),
        lambda x, y: 1 / sizes - (x - y).exp(),
        lambda x, y: (x - y).exp(),
        segment_max,
    )
    expect(lambda e: e.logsumexp(0), aggregate(energy, x, index), x, 1e-7)


def test_max(x, index):
    sizes = torch.tensor(SIZES, dtype=torch.float64)[index][:, None]
    energy = Elementwise(
        lambda x, y: y / sizes + SHARPNESS / 2 * (x - y).relu().square(),
        lambda x, y: 1 / sizes - SHARPNESS * (x - y).relu(),
        lambda x, y: SHARPNESS * (x >= y).to(y),
        segment_max,
    )
    found = aggregate(energy, x, index)
    expect(lambda e: e.max(0).values - 1 / SHARPNESS, found, x, 1e-8)


def test_median(x, index):
    found = aggregate(smooth_quantile(0.5), x, index, LBFGS(2000, 8, 1e-6))
    expect(lambda e: e.median(0).values, found, x, 1e-6)


@pytest.mark.parametrize("q", [0.1, 0.9])
def test_quantile(x, index, q):
    found = aggregate(smooth_quantile(q), x, index, LBFGS(2000, 8, 1e-6))

    def quantile(elements):
        rank = q * len(elements)  # the element at which the slope changes its sign
        return elements.sort(0).values[int(rank)]

    # Smoothing moves a single element's quantile by 4/3 EPS.
    expect(quantile, found, x, 1.5 * EPS)
