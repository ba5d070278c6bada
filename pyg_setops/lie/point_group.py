"""What fixes the origin: the rotations, reflections and scalings of a group."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from .series import norm


class PointGroup(ABC):
    """A group of linear maps of space, as functions of parameters ``[*, size]``.

    Attributes:
        dim: The dimension of space.
        size: The parameters of an element.
        algebra_dim: The dimension of the Lie algebra.
        num_uniform: How many uniform numbers make a Haar-uniform element.
        unit: The parameters of the identity.
        fixed: The elements that leave the pole where it is, ``[m, size]``, if they
            are finitely many.
        num_uniform_fixed: Otherwise, how many uniform numbers make one of them.
        has_reflections: Whether elements may turn left into right.
        orbit_dim: The invariants of a point: its length, mostly.
        entries_are_matrix: Whether :meth:`entries` are all those of :meth:`matrix`.
    """

    dim: int
    size: int
    algebra_dim: int
    num_uniform: int
    unit: tuple[float, ...]
    fixed: Tensor | None = None
    num_uniform_fixed: int = 0
    has_reflections: bool = False
    orbit_dim: int = 1
    entries_are_matrix: bool = False

    @abstractmethod
    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        """The product: first ``b``, then ``a``."""

    @abstractmethod
    def inverse(self, a: Tensor) -> Tensor:
        """The inverse."""

    @abstractmethod
    def act(self, a: Tensor, x: Tensor) -> Tensor:
        """Maps vectors ``[*, dim]``."""

    @abstractmethod
    def matrix(self, a: Tensor) -> Tensor:
        """The matrices ``[*, dim, dim]``."""

    @abstractmethod
    def entries(self, a: Tensor) -> Tensor:
        """What tells elements apart, polynomial in the matrix, ``[*, m]``."""

    @abstractmethod
    def exp(self, omega: Tensor) -> Tensor:
        """From the Lie algebra, ``[*, algebra_dim]``."""

    @abstractmethod
    def log(self, a: Tensor) -> Tensor:
        """To the Lie algebra, of the proper part."""

    @abstractmethod
    def sign(self, a: Tensor) -> Tensor:
        """The sign of the determinant, ``[*, 1]``."""

    @abstractmethod
    def jacobian(self, omega: Tensor, t: Tensor) -> Tensor:
        """The translation of the exponential of ``(omega, t)``."""

    @abstractmethod
    def inverse_jacobian(self, omega: Tensor, t: Tensor) -> Tensor:
        """Undoes :meth:`jacobian`."""

    @abstractmethod
    def haar(self, u: Tensor) -> Tensor:
        """Haar-uniform elements from uniform numbers ``[*, num_uniform]``."""

    @abstractmethod
    def from_pole(self, x: Tensor) -> Tensor:
        """An element that maps the pole onto the direction of ``x``."""

    def fix_pole(self, u: Tensor) -> Tensor:
        """Haar-uniform elements that fix the pole, of ``[*, num_uniform_fixed]``."""
        raise NotImplementedError

    @abstractmethod
    def degree_dim(self, degree: int) -> int:
        """The dimension of the irreducible representation of a degree."""

    @abstractmethod
    def wigner(self, degree: int, parity: int, a: Tensor) -> Tensor:
        """The matrices of the representation, ``[*, m, m]``."""

    def identity(self, like: Tensor) -> Tensor:
        """The identity, ``[size]``."""
        return torch.tensor(self.unit, dtype=like.dtype, device=like.device)

    def orbit(self, x: Tensor) -> Tensor:
        """The invariants of points, ``[*, orbit_dim]``."""
        return norm(x)

    def distance(self, a: Tensor) -> Tensor:
        """How far from the identity, ``[*]``: the length of the logarithm."""
        return norm(self.log(a)).squeeze(-1)


class NoRotation(PointGroup):
    """The identity alone.

    Args:
        dim: The dimension of space.
    """

    size = algebra_dim = num_uniform = 0
    unit = ()

    def __init__(self, dim: int):
        self.dim = self.orbit_dim = dim
        self.fixed = torch.empty(1, 0, dtype=torch.float64)

    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        """Nothing."""
        return a + b

    def inverse(self, a: Tensor) -> Tensor:
        """Nothing."""
        return a

    def act(self, a: Tensor, x: Tensor) -> Tensor:
        """Leaves vectors as they are."""
        return x

    def matrix(self, a: Tensor) -> Tensor:
        """Identity matrices."""
        eye = torch.eye(self.dim, dtype=a.dtype, device=a.device)
        return eye.expand(*a.shape[:-1], -1, -1)

    def entries(self, a: Tensor) -> Tensor:
        """Nothing."""
        return a

    def exp(self, omega: Tensor) -> Tensor:
        """Nothing."""
        return omega

    def log(self, a: Tensor) -> Tensor:
        """Nothing."""
        return a

    def sign(self, a: Tensor) -> Tensor:
        """Always 1."""
        return a.new_ones(*a.shape[:-1], 1)

    def jacobian(self, omega: Tensor, t: Tensor) -> Tensor:
        """The translation itself."""
        return t

    inverse_jacobian = jacobian

    def haar(self, u: Tensor) -> Tensor:
        """Nothing."""
        return u

    def from_pole(self, x: Tensor) -> Tensor:
        """Nothing."""
        return x[..., :0]

    def orbit(self, x: Tensor) -> Tensor:
        """The position itself, as nothing moves it."""
        return x

    def degree_dim(self, degree: int) -> int:
        """As under rotations; a scalar or vector where there are none."""
        if degree < 2:
            return (1, self.dim)[degree]
        if self.dim not in (2, 3):
            raise ValueError(
                f"'irreps' may have scalars and vectors in {self.dim} dimensions, "
                f"got degree {degree}"
            )
        return 2 if self.dim == 2 else 2 * degree + 1

    def wigner(self, degree: int, parity: int, a: Tensor) -> Tensor:
        """Identity matrices."""
        size = self.degree_dim(degree)
        eye = torch.eye(size, dtype=a.dtype, device=a.device)
        return eye.expand(*a.shape[:-1], -1, -1)
