"""What every solver does: each row by itself, and how it ended."""

import pytest
import torch

from pyg_setops.solvers import LBFGS, Momentum, Nesterov, Newton, Status
from tests.solvers.objectives import Convex, Slope, Well, minima, parameters

SOLVERS = {
    "newton": lambda steps=50, tol=1e-12: Newton(steps, tol),
    "momentum": lambda steps=400, tol=1e-12: Momentum(steps, 0.1, 0.7, tol),
    "nesterov": lambda steps=400, tol=1e-12: Nesterov(steps, 0.1, 0.7, tol),
    "lbfgs": lambda steps=200, tol=1e-12: LBFGS(steps, 5, tol),
}

each_solver = pytest.mark.parametrize("make", SOLVERS.values(), ids=SOLVERS)


@each_solver
def test_finds_the_minima(make):
    theta = parameters()
    result = make()(Convex(theta))
    torch.testing.assert_close(result.y, minima(theta), rtol=0, atol=1e-9)
    assert result.status.tolist() == [Status.CONVERGED] * 4 + [Status.EMPTY]
    assert (result.residual[:4] <= 2e-12).all()
    assert result.num_steps[4] == 0


@each_solver
def test_rows_do_not_disturb_each_other(make):
    theta = parameters().detach()
    spoiled = theta.clone()
    spoiled[1], spoiled[3] = torch.nan, torch.inf
    expected, found = (make()(Convex(each)) for each in (theta, spoiled))
    others = [0, 2, 4]
    for name in ("y", "status", "num_steps", "residual"):
        one, other = getattr(found, name)[others], getattr(expected, name)[others]
        assert torch.equal(one, other), name
    assert found.status[[1, 3]].tolist() == [Status.NONFINITE] * 2


@each_solver
def test_alone_it_ends_as_in_company(make):
    theta = parameters().detach()
    together = make()(Convex(theta))
    for row in range(4):
        alone = make()(Convex(theta[[row, 4]]))
        torch.testing.assert_close(alone.y[0], together.y[row])


@each_solver
def test_says_when_steps_were_too_few(make):
    result = make(1)(Convex(parameters()))
    assert result.status.tolist() == [Status.MAX_STEPS] * 4 + [Status.EMPTY]
    assert result.num_steps.tolist() == [1] * 4 + [0]


@each_solver
def test_no_rows(make):
    result = make()(Convex(torch.zeros(0, 3)))
    assert result.y.shape == (0, 3)
    assert result.status.shape == (0,)


def test_newton_stalls_on_an_endless_slope():
    result = Newton(30)(Slope(parameters()))
    assert result.status.tolist() == [Status.STALLED] * 4 + [Status.EMPTY]
    assert (result.y == 0).all()


def test_newton_halves_steps_that_go_too_far():
    # From far below, the exponential is flat and a full step goes too far.
    theta = parameters()
    result = Newton(40, 1e-12)(Convex(theta, start=-6.0))
    torch.testing.assert_close(result.y[:4], minima(theta)[:4], rtol=0, atol=1e-9)
    assert (result.num_steps[:4] > 5).all()


def test_newton_reaches_what_the_type_allows():
    for dtype, residual in ((torch.float32, 7e-6), (torch.float64, 2e-12)):
        result = Newton()(Convex(parameters().to(dtype)))
        assert (result.status[:4] == Status.CONVERGED).all()
        assert result.residual[:4].max() < residual
        assert result.residual.dtype == dtype


def test_lbfgs_descends_into_wells():
    theta = parameters()
    result = LBFGS(200, tol=1e-10)(Well(theta, start=0.1))
    assert (result.status[:4] == Status.CONVERGED).all()
    torch.testing.assert_close(result.y[:4].abs(), theta.abs()[:4])


def test_momentum_is_the_heavy_ball():
    theta = parameters()
    objective, y = Convex(theta), torch.zeros(5, 3, dtype=torch.float64)
    velocity = torch.zeros_like(y)
    for _ in range(7):
        velocity = 0.7 * velocity - 0.1 * objective.grad(y)
        y = y + velocity
    torch.testing.assert_close(Momentum(7, 0.1, 0.7)(objective).y[:4], y[:4])


def test_nesterov_looks_ahead_and_stops_each_row():
    theta, tol = parameters(), 0.3
    objective, y = Convex(theta), torch.zeros(5, 3, dtype=torch.float64)
    velocity, taken = torch.zeros_like(y), [0] * 5
    for _ in range(12):
        grad = objective.grad(y + 0.7 * velocity)
        velocity = 0.7 * velocity - 0.1 * grad
        for row in range(4):
            if grad[row].abs().max() >= tol:
                y[row] = (y[row] + velocity[row]).detach()
                taken[row] += 1
    result = Nesterov(12, 0.1, 0.7, tol)(objective)
    torch.testing.assert_close(result.y[:4], y[:4])
    assert result.num_steps.tolist() == taken
    assert len(set(taken[:4])) > 1


def test_rates_start_as_in_pyg():
    momentum = Momentum()
    torch.testing.assert_close(momentum._lr.detach(), torch.tensor([0.1]))
    torch.testing.assert_close(momentum._mom.detach(), torch.tensor([0.9]))
    momentum._lr.data.fill_(3)
    momentum.reset_parameters()
    torch.testing.assert_close(momentum._lr.detach(), torch.tensor([0.1]))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Momentum(0), "'steps'"),
        (lambda: Momentum(3, -1.0), "'learning_rate'"),
        (lambda: Nesterov(3, 0.1, 1.0), "'momentum'"),
        (lambda: LBFGS(memory=0), "'memory'"),
    ],
)
def test_refuses_what_cannot_be(make, name):
    with pytest.raises(ValueError, match=name):
        make()


@each_solver
def test_compiles_to_one_graph(make):
    theta, solver, objective = parameters().detach(), make(6), Convex

    def run(theta):
        result = solver(objective(theta))
        return result.y, result.status, result.num_steps

    torch.compiler.reset()
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    for one, other in zip(compiled(theta), run(theta), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    torch.compiler.reset()
