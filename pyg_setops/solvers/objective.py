"""What a solver minimises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

HessianProduct = Callable[[Tensor], Tensor]


class Objective(ABC):
    r"""A function :math:`E_b(y_b)` for each row :math:`b` of a batch.

    Attributes:
        has_curvature: Whether :meth:`curvature` is available, that is, whether the
            function is strictly convex with products of its Hessian at hand.
    """

    has_curvature: ClassVar[bool] = False

    @abstractmethod
    def start(self) -> Tensor:
        """Where to begin, ``[B, Y]``."""

    @property
    @abstractmethod
    def occupied(self) -> Tensor:
        """Which rows have anything to minimise, ``[B]``; the others stay at 0."""

    def detach(self) -> Objective:
        """The same function, constant in all but ``y``."""
        return self

    @abstractmethod
    def value(self, y: Tensor) -> Tensor:
        """The value of each row, ``[B]``."""

    @abstractmethod
    def grad(self, y: Tensor) -> Tensor:
        """The gradient of each row's value in its ``y``, ``[B, Y]``, differentiable."""

    def curvature(self, y: Tensor) -> tuple[Tensor, HessianProduct]:
        """The gradient, and the product of each row's Hessian with a vector.

        The gradient is differentiable, the Hessian a constant. Its product takes
        vectors ``[*, B, Y]`` with any leading dimensions.

        Raises:
            NotImplementedError: If :attr:`has_curvature` is false.
        """
        raise NotImplementedError(f"{type(self).__name__} has no curvature")
