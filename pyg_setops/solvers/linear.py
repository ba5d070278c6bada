r"""Linear systems :math:`H_b z_b = v_b`, a symmetric one for each row of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..ragged.eager import is_eager
from .objective import HessianProduct

LinearMap = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LinearSolution:
    """What conjugate gradients found.

    Attributes:
        z: The solutions, ``[B, Y]``.
        converged: Which rows are solved, ``[B]``.
        indefinite: Which rows met a direction of no positive curvature, ``[B]``.
    """

    z: Tensor
    converged: Tensor
    indefinite: Tensor


def attainable(dtype: torch.dtype) -> float:
    """The relative tolerance that rounding leaves within reach, with a margin."""
    return torch.finfo(dtype).eps ** 0.75


def step_tolerance(dtype: torch.dtype) -> float:
    """The relative tolerance of a solution that is a step, to be followed by others.

    Three such steps reach what rounding allows.
    """
    return torch.finfo(dtype).eps ** (1 / 3)


def conjugate_gradients(
    product: HessianProduct, v: Tensor, tol: float, max_steps: int
) -> LinearSolution:
    """Solves each row until its residual is ``tol`` of its right-hand side.

    A row that is done, or that meets no positive curvature, is left alone.

    Args:
        product: The product of each row's matrix with a vector.
        v: The right-hand sides, ``[B, Y]``.
        tol: The relative tolerance.
        max_steps: The largest number of steps.
    """
    z, residual, direction = torch.zeros_like(v), v.clone(), v
    square = _dot(v, v)
    goal = tol**2 * square
    active = square > goal
    indefinite = torch.zeros_like(active)
    for _ in range(max_steps):
        if not active.any():
            break
        image = product(direction)
        curvature = _dot(direction, image)
        indefinite = indefinite | (active & ~(curvature > 0))
        active = active & (curvature > 0)
        # Rows that rest go no length; they divide by 1, as 0 / 0 would be NaN.
        length = torch.where(active, square / torch.where(active, curvature, 1), 0)
        z.addcmul_(length[:, None], direction)
        residual.addcmul_(length[:, None], image, value=-1)
        smaller = torch.where(active, _dot(residual, residual), square)
        turn = smaller / torch.where(active, square, 1)
        direction = torch.addcmul(residual, turn[:, None], direction)
        square = smaller
        active = active & (square > goal)
    # Products that are NaN have reached rows that had nothing to solve.
    z = torch.where(goal[:, None] > 0, z, 0)
    return LinearSolution(z, square <= goal, indefinite)


def solve_positive(product: HessianProduct, v: Tensor, tol: float) -> Tensor:
    """Solves systems that are positive definite, row by row.

    By conjugate gradients; a row on which they stall, by Cholesky. Where they cannot
    stop early (compiled, transformed) all rows are solved by Cholesky.

    Args:
        product: The product of each row's matrix with a vector, for any leading
            dimensions.
        v: The right-hand sides, ``[B, Y]``.
        tol: The relative tolerance of the conjugate gradients.

    Returns:
        The solutions; zero where ``v`` is, whatever the matrix holds.
    """
    if not is_eager():
        return solve_by_cholesky(product, v)
    # Beyond about Y products a factorisation is as cheap.
    found = conjugate_gradients(product, v, tol, max_steps=max(8, v.size(1)))
    if bool(found.converged.all()):
        return found.z
    exact = solve_by_cholesky(product, v)
    return torch.where(found.converged[:, None], found.z, exact)


def solve_by_cholesky(product: HessianProduct, v: Tensor) -> Tensor:
    """Solves systems that are positive definite by factorising them.

    Differentiable in ``v``; the matrices are constants. One that is not positive
    definite, or not finite, counts as the identity; its row does not disturb others.
    """
    with torch.no_grad():
        eye = torch.eye(v.size(1), dtype=v.dtype, device=v.device)
        matrix = product(eye[:, None].expand(-1, v.size(0), -1)).transpose(0, 1)
        finite = matrix.isfinite().flatten(1).all(1)[:, None, None]
        factor, info = torch.linalg.cholesky_ex(torch.where(finite, matrix, eye))
        factor = torch.where((info == 0)[:, None, None], factor, eye)
    return torch.cholesky_solve(v[..., None], factor).squeeze(-1)


def differentiable(inverse: LinearMap, v: Tensor, adjoint: LinearMap) -> Tensor:
    """``inverse(v)`` for a constant symmetric map, whose adjoint is itself.

    Args:
        inverse: The map.
        v: What it is applied to.
        adjoint: The same map for the backward pass, as exact as derivatives must be.
    """
    return _Symmetric.apply(v, inverse, adjoint)


class _Symmetric(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor, inverse: LinearMap, adjoint: LinearMap) -> Tensor:
        ctx.adjoint = adjoint
        return inverse(v)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _Symmetric.apply(grads[0], ctx.adjoint, ctx.adjoint), None, None


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1)
