"""Systems of many conditions, solved row by row."""

import torch
from torch.autograd import gradcheck, gradgradcheck

from pyg_setops.solvers.linear import (
    conjugate_gradients,
    differentiable,
    solve_by_cholesky,
    solve_positive,
)

ROWS, WIDTH = 4, 6


def matrices():
    root = torch.randn(ROWS, WIDTH, WIDTH, dtype=torch.float64)
    eye = torch.eye(WIDTH, dtype=torch.float64)
    return root @ root.mT + torch.tensor([1e-3, 0.1, 1, 10])[:, None, None] * eye


def product(matrix):
    return lambda v: torch.einsum("bij,...bj->...bi", matrix, v)


def right():
    return torch.randn(ROWS, WIDTH, dtype=torch.float64)


def test_conjugate_gradients_reach_their_tolerance():
    matrix, v = matrices(), right()
    found = conjugate_gradients(product(matrix), v, 1e-10, 100)
    assert found.converged.all()
    assert not found.indefinite.any()
    residual = (product(matrix)(found.z) - v).norm(dim=1)
    assert (residual <= 1e-9 * v.norm(dim=1)).all()


def test_conjugate_gradients_say_which_rows_are_indefinite():
    matrix, v = matrices(), right()
    matrix[2] = -matrix[2]
    found = conjugate_gradients(product(matrix), v, 1e-10, 100)
    assert found.indefinite.tolist() == [False, False, True, False]
    assert found.converged.tolist() == [True, True, False, True]


def test_cholesky_serves_where_conjugate_gradients_stall():
    # Of this condition, eight steps or so never suffice.
    scales = torch.logspace(-6, 6, 40, dtype=torch.float64)
    basis = torch.linalg.qr(torch.randn(40, 40, dtype=torch.float64)).Q
    matrix = ((basis * scales) @ basis.mT)[None]
    v = torch.randn(1, 40, dtype=torch.float64)
    assert not conjugate_gradients(product(matrix), v, 1e-3, 40).converged.any()
    z = solve_positive(product(matrix), v, 1e-3)
    torch.testing.assert_close(z, torch.linalg.solve(matrix, v), rtol=1e-3, atol=0)


def test_a_row_of_nan_disturbs_no_other():
    matrix, v = matrices(), right()
    spoiled = matrix.clone()
    spoiled[1, 0, 0] = torch.nan
    others = [0, 2, 3]
    expected = solve_by_cholesky(product(matrix), v)
    found = solve_by_cholesky(product(spoiled), v)
    assert torch.equal(found[others], expected[others])
    v[1] = 0
    for tol in (1e-3, 1e-12):
        one, other = (
            solve_positive(product(each), v, tol)[others] for each in (matrix, spoiled)
        )
        torch.testing.assert_close(one, other)
        assert (solve_positive(product(spoiled), v, tol)[1] == 0).all()


def test_derivatives_of_a_constant_symmetric_map():
    matrix = matrices()

    def inverse(v):
        return solve_by_cholesky(product(matrix), v)

    v = right().requires_grad_()
    for check in (gradcheck, gradgradcheck):
        assert check(lambda v: differentiable(inverse, v, inverse).sin(), (v,))
