"""The convex energy against a loop over elements, and SciPy's minimum of it."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from pyg_setops.aggr import EquilibriumAggregation
from pyg_setops.equilibrium import ConvexEnergy
from pyg_setops.equilibrium.convex import ConvexObjective
from pyg_setops.equilibrium.sigmoid_sums import Layout, lay_out, sigmoid_moments
from pyg_setops.ragged import SetIndex
from pyg_setops.solvers import Implicit, Newton, Status
from tests.oracles import equilibrium as oracle

IN, OUT, HIDDEN = 3, 4, 6
INDEX = torch.tensor([2, 0, 0, 2, 4, 2, 0, 4, 5, 0])
NUM_SETS = 6
SCALES = ["mean", "sum", "log"]


@pytest.fixture
def x():
    return torch.randn(len(INDEX), IN, dtype=torch.float64)


@pytest.fixture
def sets():
    return SetIndex.build(INDEX, dim_size=NUM_SETS)


def convex(scale="mean"):
    energy = ConvexEnergy(IN, OUT, HIDDEN, lift_channels=5, scale=scale).double()
    for parameter in energy.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
    return energy


def of_set(energy):
    weights = {name: p.detach() for name, p in energy.named_parameters()}
    return lambda y, elements: oracle.convex_energy(weights, y, elements, energy.scale)


@pytest.mark.parametrize("scale", SCALES)
class TestOracle:
    def test_value_and_gradient(self, scale, x, sets):
        energy = convex(scale)
        objective, expected = energy.bind(x, sets), of_set(energy)
        y = torch.randn(NUM_SETS, OUT, dtype=torch.float64, requires_grad=True)
        grad = objective.grad(y)
        for number in (0, 2, 4, 5):
            value = expected(y[number], x[number == INDEX])
            torch.testing.assert_close(objective.value(y)[number], value)
            (row,) = torch.autograd.grad(value, y)
            torch.testing.assert_close(grad[number], row[number])

    def test_hessian(self, scale, x, sets):
        energy = convex(scale)
        y = torch.randn(NUM_SETS, OUT, dtype=torch.float64)
        _, product = energy.bind(x, sets).curvature(y)
        with torch.no_grad():
            columns = product(torch.eye(OUT).double()[:, None].expand(-1, NUM_SETS, -1))
        for number in (0, 2, 4, 5):
            elements = x[number == INDEX]
            hessian = torch.autograd.functional.hessian(
                lambda v, e=elements: of_set(energy)(v, e), y[number]
            )
            torch.testing.assert_close(columns[:, number], hessian)

    def test_newton_finds_the_minimum_of_scipy(self, scale, x, sets):
        energy = convex(scale)
        found = Newton()(energy.bind(x, sets))
        expected = oracle.minimisers(of_set(energy), x, INDEX, NUM_SETS, OUT)
        torch.testing.assert_close(found.y, expected, rtol=0, atol=1e-9)

    def test_implicit_gradient_is_that_of_scipys_minima(self, scale, x, sets):
        energy = convex(scale)
        x = x.requires_grad_()
        y = Implicit()(Newton(), energy.bind(x, sets)).y
        (grad,) = torch.autograd.grad(y.sum(), x)
        step = 1e-5
        for row in (0, 4):
            change = torch.zeros_like(x)
            change[row, 1] = step
            ends = [
                oracle.minimisers(
                    of_set(energy), x + sign * change, INDEX, NUM_SETS, OUT
                ).sum()
                for sign in (1, -1)
            ]
            slope = (ends[0] - ends[1]) / (2 * step)
            torch.testing.assert_close(grad[row, 1], slope, rtol=1e-4, atol=1e-6)


def test_has_one_minimum(x, sets, monkeypatch):
    objective = convex().bind(x, sets)
    expected = Newton()(objective).y
    elsewhere = 3 * torch.randn_like(expected)
    monkeypatch.setattr(ConvexObjective, "start", lambda self: elsewhere)
    result = Newton()(objective)
    occupied = torch.bincount(INDEX, minlength=NUM_SETS) > 0
    torch.testing.assert_close(result.y[occupied], expected[occupied])
    assert (result.status[occupied] == Status.CONVERGED).all()


def test_without_units_it_is_a_linear_mean(x, sets):
    energy = convex("mean")
    energy.raw_amplitude.data.fill_(-torch.inf)
    found = Newton()(energy.bind(x, sets)).y
    ridge = torch.nn.functional.softplus(energy.raw_curvature) + 1e-3
    for number in (0, 2, 4, 5):
        mean = energy.lin_out(x[number == INDEX].mean(0)) / ridge
        torch.testing.assert_close(found[number], mean, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("scale", "same"), [("mean", True), ("sum", False)])
def test_doubling_every_element(scale, same, x):
    energy = convex(scale)
    once = Newton()(energy.bind(x, SetIndex.build(INDEX))).y
    twice = Newton()(energy.bind(x.repeat(2, 1), SetIndex.build(INDEX.repeat(2)))).y
    assert torch.allclose(once, twice, rtol=0, atol=1e-9) == same


def test_needs_few_steps_and_converges_in_float32():
    sizes = torch.randint(1, 60, (50,))
    index = torch.arange(50).repeat_interleave(sizes)
    objective = ConvexEnergy(16, 16).bind(
        torch.randn(len(index), 16), SetIndex.build(index)
    )
    result = Newton()(objective)
    assert result.num_steps.max() <= 4
    assert objective.grad(result.y).norm(dim=1).max() < 1e-5


def test_refuses_an_unknown_scale():
    with pytest.raises(ValueError, match="'scale' must be"):
        ConvexEnergy(2, 2, scale="median")


class TestSigmoidMoments:
    @pytest.fixture
    def arguments(self):
        p = torch.randn(len(INDEX), HIDDEN, dtype=torch.float64, requires_grad=True)
        c = torch.randn(NUM_SETS, HIDDEN, dtype=torch.float64, requires_grad=True)
        return p, c

    @pytest.mark.parametrize("row_bytes", [1, 2**18, 2**30])
    def test_groups_change_nothing(self, arguments, sets, row_bytes):
        p, c = arguments
        expected = sigmoid_moments(p, c, Layout(sets))
        laid, layout = lay_out(p, sets, row_bytes)
        found = sigmoid_moments(laid, c, layout)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)
            assert (one[1] == 0).all()
        weight = torch.randn_like(c)
        for one, other in zip(
            torch.autograd.grad(found[0], arguments, weight),
            torch.autograd.grad(expected[0], arguments, weight),
            strict=True,
        ):
            torch.testing.assert_close(one, other)

    def test_derivatives(self, arguments, sets):
        _, layout = lay_out(arguments[0], sets, 2**18)
        for check in (gradcheck, gradgradcheck):
            assert check(lambda p, c: sigmoid_moments(p, c, layout)[0], arguments)

    def test_keeps_nothing_but_its_arguments(self, arguments, sets):
        p, c = arguments
        (_, layout), kept = lay_out(p, sets, 2**18), set()

        def pack(tensor):
            kept.add(tensor.data_ptr())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            sigmoid_moments(p, c, layout)
        assert kept == {p.data_ptr(), c.data_ptr()}


def test_maps_over_batches_of_elements(x):
    aggregation = EquilibriumAggregation(energy=convex())
    batch = torch.stack([x, 2 * x])
    mapped = torch.func.vmap(lambda x: aggregation(x, INDEX, dim_size=NUM_SETS))(batch)
    expected = aggregation(batch, INDEX, dim_size=NUM_SETS)
    torch.testing.assert_close(mapped, expected)
