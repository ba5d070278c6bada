"""Motion that follows from a learned energy."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.parameter import is_lazy

from ..ragged import SetIndex, segment_sum
from ..ragged.eager import is_eager
from .integrators import Integrator, resolve_integrator
from .recompute import recomputed
from .trajectory import Trajectory

Returned = TypeVar("Returned")


def _outside_inference_mode(method: Callable[..., Returned]) -> Callable[..., Returned]:
    """Lets a method take derivatives, which inference mode has none of, of copies."""

    @wraps(method)
    def outside(self: Module, *args: Any, **kwargs: Any) -> Returned:
        if not (is_eager() and torch.is_inference_mode_enabled()):
            return method(self, *args, **kwargs)
        with torch.inference_mode(False), torch.no_grad():
            copies = {key: _copied(value) for key, value in kwargs.items()}
            return method(self, *map(_copied, args), **copies)

    return outside


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


class HamiltonianNet(Module):
    r"""Particles that move by Hamilton's equations in a learned potential.

    .. math::
        H(q, p) = T(p) + V_\theta(q), \qquad
        \dot q = \partial H / \partial p, \quad \dot p = -\partial H / \partial q,

    from the `"Hamiltonian Neural Networks" <https://arxiv.org/abs/1906.01563>`_ paper;
    with a roll-out as in `"LieConv" <https://arxiv.org/abs/2002.12880>`_. The
    derivatives are autograd's, through the whole roll-out. Whatever the potential is
    invariant to, the motion is equivariant to: if it does not change when a system is
    shifted or rotated, momentum or angular momentum are conserved.

    Args:
        potential: :math:`V_\theta`: any module called as ``potential(x, pos, batch)``
            that returns an energy for each system, ``[B]`` or ``[B, 1]``, invariant to
            the order of the particles and twice differentiable.
        kinetic: :math:`T`: a module called as ``kinetic(x, momentum, batch)``, or
            ``None`` for :math:`\sum_i |p_i|^2 / 2 m_i`.
        integrator: ``'leapfrog'``, ``'yoshida4'``, ``'rk4'``, ``'symplectic_euler'``,
            or a function like :func:`~pyg_setops.dynamics.leapfrog`.
        substeps: How many steps the integrator takes between two states.
        recompute: Keep the states only, and take each step again on the way back: the
            memory of a roll-out is then that of one step, and its training takes up
            to half as long again. The result can be differentiated once, in the
            arguments and in the parameters of this module: a potential with weights
            must be a module.

    Shapes:
        - **input:** particles :math:`(N, C)`, positions and momenta :math:`(N, d)`
        - **output:** positions and momenta :math:`(N, T + 1, d)`

    Cost:
        A forward and a backward pass of the potential for each force.

    Example:
        >>> potential = lambda x, pos, batch: pos.square().sum()[None] / 2
        >>> net = HamiltonianNet(potential, integrator="rk4")
        >>> pos, momentum = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> path = net(None, pos, momentum, step=0.1, num_steps=20)
        >>> torch.allclose(path.pos[0].norm(dim=1), torch.ones(21))
        True
    """

    def __init__(
        self,
        potential: Callable[..., Tensor],
        kinetic: Callable[..., Tensor] | None = None,
        integrator: str | Integrator = "leapfrog",
        substeps: int = 1,
        recompute: bool = False,
    ):
        super().__init__()
        if substeps < 1:
            raise ValueError(f"'substeps' must be at least 1, got {substeps}")
        self.potential = potential
        self.kinetic = kinetic
        self.integrator = resolve_integrator(integrator)
        self.substeps = substeps
        self.recompute = recompute

    @_outside_inference_mode
    def forward(
        self,
        x: Tensor | None,
        pos: Tensor,
        momentum: Tensor,
        step: float,
        num_steps: int,
        mass: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Trajectory:
        """Follows the particles.

        Args:
            x: What the potential knows of each particle, ``[N, C]`` (or ``None``).
            pos: Positions ``[N, d]``.
            momentum: Momenta ``[N, d]``.
            step: The time between two states.
            num_steps: The number of states to predict.
            mass: Masses ``[N]`` (default: 1).
            batch: The system of each particle (default: one system).

        Returns:
            The states, the initial one first.

        Raises:
            ValueError: If ``pos`` and ``momentum`` differ in shape, or ``mass`` does
                not match.
        """
        _check(pos, momentum, mass, num_steps)
        return self._follow(x, pos, momentum, step, num_steps, mass, batch)

    def _follow(
        self,
        x: Tensor | None,
        pos: Tensor,
        momentum: Tensor,
        step: float,
        num_steps: int,
        mass: Tensor | None,
        batch: Tensor | None,
    ) -> Trajectory:
        def advance(
            pos: Tensor, momentum: Tensor, x: Tensor | None, mass: Tensor | None
        ) -> tuple[Tensor, Tensor]:
            for _ in range(self.substeps):
                pos, momentum = self.integrator(
                    lambda p: self.velocity(x, p, mass, batch),
                    lambda q: self.force(x, q, batch),
                    pos,
                    momentum,
                    step / self.substeps,
                )
            return pos, momentum

        states = [(pos, momentum)]
        for _ in range(num_steps):
            if self._forgets():
                states.append(recomputed(advance, (*states[-1], x, mass), self))
            else:
                states.append(advance(*states[-1], x, mass))
        return Trajectory(*(torch.stack(each, 1) for each in zip(*states, strict=True)))

    def _forgets(self) -> bool:
        """Whether the next step is to be taken again on the way back."""
        return (
            self.recompute
            and is_eager()
            and torch.is_grad_enabled()
            # Weights without a shape get it in the first step, which is a plain one.
            and not any(is_lazy(weight) for weight in self.parameters())
        )

    @_outside_inference_mode
    def force(
        self, x: Tensor | None, pos: Tensor, batch: Tensor | None = None
    ) -> Tensor:
        r"""Computes :math:`-\partial V / \partial q`, ``[N, d]``."""
        return -_gradient(lambda q: self.potential(x, q, batch), pos)

    @_outside_inference_mode
    def velocity(
        self,
        x: Tensor | None,
        momentum: Tensor,
        mass: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        r"""Computes :math:`\partial T / \partial p`, ``[N, d]``."""
        if self.kinetic is not None:
            kinetic = self.kinetic
            return _gradient(lambda p: kinetic(x, p, batch), momentum)
        return momentum if mass is None else momentum / mass[:, None]

    def energy(
        self,
        x: Tensor | None,
        pos: Tensor,
        momentum: Tensor,
        mass: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        """Computes :math:`H` of each system, ``[B]``."""
        potential = self.potential(x, pos, batch).flatten()
        if self.kinetic is not None:
            return potential + self.kinetic(x, momentum, batch).flatten()
        square = momentum.square().sum(-1)
        square = square / 2 if mass is None else square / (2 * mass)
        sets = SetIndex.build(batch, None, potential.numel(), pos.size(0), pos.device)
        return potential + segment_sum(square, sets)

    @torch.no_grad()
    def energies(
        self,
        x: Tensor | None,
        trajectory: Trajectory,
        mass: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        """Computes :math:`H` of each system at each time, ``[B, T]``, to look at."""
        states = zip(
            trajectory.pos.unbind(1), trajectory.momentum.unbind(1), strict=True
        )
        return torch.stack(
            [self.energy(x, pos, momentum, mass, batch) for pos, momentum in states], 1
        )

    def extra_repr(self) -> str:
        """What the representation says beside the modules."""
        name = getattr(self.integrator, "__name__", repr(self.integrator))
        return f"integrator={name}, substeps={self.substeps}"


def _gradient(function: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    """The gradient of the sum of ``function``, in the grad mode of the caller."""
    if not is_eager():
        return torch.func.grad(lambda point: function(point).sum())(point)
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        if not (differentiable and point.requires_grad):
            point = point.detach().requires_grad_()
        total = function(point).sum()
        (gradient,) = torch.autograd.grad(total, point, create_graph=differentiable)
    return gradient


def _check(pos: Tensor, momentum: Tensor, mass: Tensor | None, num_steps: int) -> None:
    if pos.dim() != 2 or pos.shape != momentum.shape:
        raise ValueError(
            f"'pos' and 'momentum' must have one shape [N, d], got "
            f"{list(pos.shape)} and {list(momentum.shape)}"
        )
    if mass is not None and mass.shape != pos.shape[:1]:
        raise ValueError(
            f"'mass' must have shape {list(pos.shape[:1])}, got {list(mass.shape)}"
        )
    if num_steps < 0:
        raise ValueError(f"'num_steps' must not be negative, got {num_steps}")
