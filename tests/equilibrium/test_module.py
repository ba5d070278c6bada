"""A user's module as an energy."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from pyg_setops.aggr import EquilibriumAggregation
from pyg_setops.equilibrium import ModuleEnergy
from pyg_setops.ragged import SetIndex
from pyg_setops.solvers import LBFGS, Momentum, Newton, Status
from tests.oracles import equilibrium as oracle

IN, OUT, NUM_SETS = 3, 2, 4
INDEX = torch.tensor([0, 2, 0, 3, 2, 0])


class Potential(torch.nn.Module):
    """Convex in ``y``, and of the widths of the test."""

    def __init__(self):
        super().__init__()
        self.lin = torch.nn.Linear(IN, OUT)

    def reset_parameters(self):
        self.lin.reset_parameters()

    def forward(self, x, y):
        return torch.logaddexp(self.lin(x) - y, y - self.lin(x)).sum(-1)


@pytest.fixture
def x():
    return torch.randn(len(INDEX), IN, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("scale", ["mean", "sum"])
def test_finds_the_minimum_of_scipy(x, scale):
    energy = ModuleEnergy(Potential(), IN, OUT, scale).double()
    aggregation = EquilibriumAggregation(energy=energy, solver=LBFGS(tol=1e-11))

    def of_set(y, elements):
        each = energy.module(elements, y.expand(len(elements), -1))
        weight = torch.nn.functional.softplus(energy.lamb)
        return (getattr(each, scale)() + weight * y.square().sum()).sum()

    expected = oracle.minimisers(of_set, x, INDEX, NUM_SETS, OUT)
    found = aggregation(x, INDEX, dim_size=NUM_SETS)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_value_and_gradient_agree(x):
    objective = (
        ModuleEnergy(Potential(), IN, OUT).double().bind(x, SetIndex.build(INDEX))
    )
    y = torch.randn(NUM_SETS, OUT, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(objective.value(y).sum(), y)
    torch.testing.assert_close(objective.grad(y), expected)


def test_derivatives(x):
    unrolled = EquilibriumAggregation(IN, OUT, Potential(), Momentum(3)).double()
    implicit = EquilibriumAggregation(IN, OUT, Potential(), LBFGS(tol=1e-11)).double()
    for aggregation in (unrolled, implicit):
        assert gradcheck(lambda x, a=aggregation: a(x, INDEX), (x,))
    assert gradgradcheck(lambda x: unrolled(x, INDEX), (x,))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_needs_no_graph_around_it(x, mode):
    aggregation = EquilibriumAggregation(IN, OUT, Potential(), LBFGS()).double()
    expected = aggregation(x, INDEX).detach()
    with mode():
        found = aggregation(x.clone(), INDEX)
    assert not found.requires_grad
    torch.testing.assert_close(found, expected)


def test_parameters_learn_and_reset(x):
    aggregation = EquilibriumAggregation(IN, OUT, Potential(), LBFGS()).double()
    aggregation(x, INDEX).sum().backward()
    missing = [n for n, p in aggregation.named_parameters() if p.grad is None]
    assert missing == []
    aggregation.energy_function.lamb.data.fill_(5)
    aggregation.reset_parameters()
    assert aggregation.energy_function.lamb.item() == pytest.approx(0.1)


def test_refuses_newton():
    with pytest.raises(ValueError, match="'solver' Newton needs an energy with"):
        EquilibriumAggregation(IN, OUT, Potential(), Newton())


def test_refuses_to_guess_the_width():
    with pytest.raises(ValueError, match="'in_channels' must be given"):
        EquilibriumAggregation(energy=Potential())


def test_refuses_an_output_that_is_not_a_number_for_each_element(x):
    class Wide(Potential):
        def forward(self, x, y):
            return y

    with pytest.raises(ValueError, match="'energy' must map 6 elements"):
        EquilibriumAggregation(IN, OUT, Wide()).double()(x, INDEX)


def test_refuses_an_unknown_scale():
    with pytest.raises(ValueError, match="'scale' must be"):
        ModuleEnergy(Potential(), IN, OUT, scale="max")


def test_says_when_it_has_not_converged(x):
    aggregation = EquilibriumAggregation(IN, OUT, Potential(), LBFGS(1)).double()
    with pytest.warns(UserWarning, match="3 of 4 sets have not converged"):
        out = aggregation(x, INDEX, dim_size=NUM_SETS)
    assert out.isfinite().all()
    again = aggregation.solve(x, INDEX, dim_size=NUM_SETS)  # does not warn twice
    assert (again.status == Status.MAX_STEPS).sum() == 3
