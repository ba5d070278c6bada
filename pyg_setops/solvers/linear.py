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
    z, residual, direction = torch.zeros_like(v), v, v
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
        # Rows that rest divide by 1, as 0 / 0 would spread to them.
        length = square / torch.where(active, curvature, 1)
        moving = active[:, None]
        z = torch.where(moving, z + length[:, None] * direction, z)
        residual = torch.where(moving, residual - length[:, None] * image, residual)
        smaller = torch.where(active, _dot(residual, residual), square)
        turn = smaller / torch.where(active, square, 1)
        direction = torch.where(moving, residual + turn[:, None] * direction, direction)
        square = smaller
        active = active & (square > goal)
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

    A matrix that is not, or not finite, counts as the identity; its row does not
    disturb others.
    """
    eye = torch.eye(v.size(1), dtype=v.dtype, device=v.device)
    basis = eye[:, None].expand(-1, v.size(0), -1)
    matrix = product(basis).transpose(0, 1)
    matrix = torch.where(matrix.isfinite().all(-1, True).all(-2, True), matrix, eye)
    factor, info = torch.linalg.cholesky_ex(matrix)
    factor = torch.where((info == 0)[:, None, None], factor, eye)
    return torch.cholesky_solve(v[..., None], factor).squeeze(-1)


def differentiable(inverse: LinearMap, v: Tensor) -> Tensor:
    """``inverse(v)`` for a constant symmetric map, which is its own adjoint."""
    return _Symmetric.apply(v, inverse)


class _Symmetric(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor, inverse: LinearMap) -> Tensor:
        ctx.inverse = inverse
        return inverse(v)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return _Symmetric.apply(grads[0], ctx.inverse), None


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1)
