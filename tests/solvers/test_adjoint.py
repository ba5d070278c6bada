"""Derivatives of minima, against long unrolled solves and finite differences."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from pyg_setops.solvers import (
    LBFGS,
    Implicit,
    Momentum,
    Nesterov,
    Newton,
    OneStep,
    Status,
    Unrolled,
)
from tests.solvers.objectives import Convex, Smooth, Well, minima, parameters

CONVERGING = {
    "newton": (Implicit(1), lambda: Newton(), Convex),
    "newton, twice": (Implicit(2), lambda: Newton(), Convex),
    "newton, thrice": (Implicit(3), lambda: Newton(), Convex),
    "lbfgs": (Implicit(), lambda: LBFGS(200, tol=1e-11), Smooth),
    "momentum": (Implicit(), lambda: Momentum(400, 0.1, 0.7), Smooth),
    "unrolled": (Unrolled(), lambda: Momentum(400, 0.1, 0.7), Smooth),
}


def first_and_second(y, theta):
    weight = torch.arange(1.0, y.numel() + 1).view_as(y).to(y)
    (first,) = torch.autograd.grad((weight * y).sum(), theta, create_graph=True)
    if not first.requires_grad:
        return first, None
    return first, torch.autograd.grad(first.square().sum(), theta)[0]


@pytest.mark.parametrize(
    ("adjoint", "solver", "objective"), CONVERGING.values(), ids=CONVERGING
)
def test_gradient_is_that_of_a_long_unrolled_solve(adjoint, solver, objective):
    theta = parameters()
    expected, _ = first_and_second(minima(theta), theta)
    y = adjoint(solver(), objective(theta)).y
    torch.testing.assert_close(y, minima(theta), rtol=0, atol=1e-9)
    (found,) = torch.autograd.grad(
        (torch.arange(1.0, y.numel() + 1).view_as(y).to(y) * y).sum(), theta
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-8)


def test_implicit_is_exact_to_its_order():
    theta = parameters()
    expected = first_and_second(minima(theta), theta)[1]
    for order in (1, 2, 3):
        y = Implicit(order)(Newton(), Convex(theta)).y
        found = first_and_second(y, theta)[1]
        right = found is not None and torch.allclose(found, expected, atol=1e-7)
        assert right == (order >= 2)


@pytest.mark.parametrize("order", [1, 2])
def test_implicit_under_gradcheck(order):
    def solve(theta):
        return Implicit(order)(Newton(), Convex(theta)).y

    theta = parameters()
    assert gradcheck(solve, (theta,))
    assert gradgradcheck(solve, (theta,), raise_exception=False) == (order == 2)


def test_unrolled_is_exact_without_convergence():
    theta = parameters()
    for solver in (Momentum(3, 0.1, 0.7), Nesterov(3, 0.1, 0.7)):

        def solve(theta, solver=solver):
            return Unrolled()(solver, Smooth(theta)).y[:4]

        assert gradcheck(solve, (theta,))
        assert gradgradcheck(solve, (theta,))


def test_one_step_replaces_the_inverse_hessian():
    theta, eta = parameters(), 0.2
    y = OneStep(eta)(LBFGS(200, tol=1e-12), Smooth(theta)).y
    (found,) = torch.autograd.grad(y.sum(), theta)
    # dg/dtheta is minus the identity.
    expected = torch.full_like(theta, eta)
    expected[4] = 0
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(y, minima(theta), rtol=0, atol=1e-9)


def test_unrolled_refuses_steps_that_cannot_be_differentiated():
    for solver in (Newton(), LBFGS()):
        with pytest.raises(ValueError, match="'adjoint'"):
            Unrolled().check(solver)
    Unrolled().check(Momentum())


def test_implicit_refuses_no_order():
    with pytest.raises(ValueError, match="'order'"):
        Implicit(0)


def test_without_grad_there_is_no_graph_and_the_same_value():
    theta = parameters()
    for adjoint, solver, objective in CONVERGING.values():
        expected = adjoint(solver(), objective(theta)).y
        with torch.no_grad():
            found = adjoint(solver(), objective(theta)).y
        assert not found.requires_grad
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_a_row_that_is_not_convex_is_marked_and_takes_one_step():
    # Between the wells the gradient vanishes on a ridge, and a solver may rest there.
    theta = parameters()
    result = Implicit()(LBFGS(), Well(theta))
    (found,) = torch.autograd.grad((result.y + theta * 0).sum(), theta)
    assert result.status[:4].tolist() == [Status.INDEFINITE] * 4
    assert found.isfinite().all()


@pytest.mark.parametrize("adjoint", [Implicit(1), Implicit(2), OneStep()])
def test_nan_stays_in_its_row_of_the_gradient(adjoint):
    theta = parameters().detach()
    grads = []
    for value in (1.0, torch.nan):
        each = theta.clone()
        each[1] = value
        each.requires_grad_()
        result = adjoint(Newton(), Convex(each))
        assert result.y[1].isnan().all() == (value != 1.0)
        (grad,) = torch.autograd.grad(result.y[[0, 2, 3]].sum(), each)
        grads.append(grad[[0, 2, 3, 4]])
    assert torch.equal(*grads)


def test_unconverged_stays_finite():
    theta = parameters()
    result = Implicit()(Momentum(1), Smooth(theta))
    assert (result.status[:4] == Status.MAX_STEPS).all()
    (grad,) = torch.autograd.grad(result.y.sum(), theta)
    assert grad.isfinite().all()
