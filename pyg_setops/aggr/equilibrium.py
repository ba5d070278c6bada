"""Equilibrium Aggregation."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Module

from ..equilibrium import Energy
from ..equilibrium.resolver import (
    EnergyFactory,
    check_widths,
    module_energy,
    resolve_adjoint,
    resolve_energy,
    resolve_solver,
)
from ..equilibrium.state import rename_published, stored_width
from ..ragged import SetIndex, unfold
from ..ragged.eager import is_eager
from ..ragged.precision import accumulator
from ..solvers import (
    Adjoint,
    Implicit,
    Objective,
    Solver,
    SolveResult,
    Unrolled,
)
from .base import SetAggregation


class EquilibriumAggregation(SetAggregation):
    r"""The minimiser of a learned energy of the set.

    .. math::
        y_b = \operatorname*{argmin}_y E_b(y)

    from the `"Equilibrium Aggregation: Encoding Sets via Optimization"
    <https://arxiv.org/abs/2202.12795>`_ paper. With the default, a convex energy and
    Newton's method, there is one minimum, it is found in a few steps, and its
    derivatives are exact.

    Args:
        in_channels: The input width, or -1 to take it from the first input.
        out_channels: The output width; ``None`` keeps the input's.
        energy: ``'convex'`` (the default), ``'resnet'`` (PyG's, whose widths a list
            gives), ``'paper'`` (squared residual net), an
            :class:`~pyg_setops.equilibrium.Energy`, a function that makes one for
            given ``(in_channels, out_channels)``, or a module
            :math:`F(x_i, y_{b(i)})`; see
            :class:`~pyg_setops.equilibrium.ModuleEnergy`.
        solver: A :class:`~pyg_setops.solvers.Solver`; by default
            :class:`~pyg_setops.solvers.Newton` where the energy has curvature,
            :class:`~pyg_setops.solvers.Nesterov` for ``'paper'``, else
            :class:`~pyg_setops.solvers.Momentum`.
        adjoint: An :class:`~pyg_setops.solvers.Adjoint`; by default ``Unrolled()``
            where the solver's steps can be differentiated, else ``Implicit(order=2)``.
        num_layers: PyG's name for a list as ``energy``.
        grad_iter: PyG's name for the steps of the default ``Momentum`` (5).
        lamb: PyG's name for the first weight of :math:`\lVert y \rVert^2`, before
            softplus, in the residual energies (0.1).
        compat: ``'pyg'`` computes what
            :class:`torch_geometric.nn.aggr.EquilibriumAggregation` does, which divides
            that weight by the number of sets: results then depend on the batch. The
            states of that class can be loaded with and without.
        track: Keep how the last forward pass ended in ``last_result``, and what
            :meth:`residual_loss` needs.

    Attributes:
        last_result: The last :class:`~pyg_setops.solvers.SolveResult`, detached, with
            a row for each set; ``None`` without ``track``.

    Shapes:
        - **input:** elements :math:`(*, N, C_{in})`, in any order
        - **output:** sets :math:`(*, B, C_{out})`, zeros for empty sets

    Raises:
        ValueError: If the parts do not suit each other.

    Cost:
        That of the energy's gradient for each step of the solver.

    Example:
        >>> import torch
        >>> from pyg_setops.solvers import Status
        >>> from torch_geometric.nn import SAGEConv
        >>> conv = SAGEConv(8, 16, aggr=EquilibriumAggregation())
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 1]])
        >>> conv(torch.randn(3, 8), edge_index).shape
        torch.Size([3, 16])
        >>> aggregation = EquilibriumAggregation(8, 4)
        >>> result = aggregation.solve(torch.randn(5, 8), torch.tensor([0, 0, 0, 2, 2]))
        >>> [Status(status).name for status in result.status.tolist()]
        ['CONVERGED', 'EMPTY', 'CONVERGED']
    """

    width_key = ""  # no single one: see `_load_from_state_dict`

    def __init__(
        self,
        in_channels: int = -1,
        out_channels: int | None = None,
        energy: str | Sequence[int] | EnergyFactory | Module | None = None,
        solver: Solver | None = None,
        adjoint: Adjoint | None = None,
        *,
        num_layers: Sequence[int] | None = None,
        grad_iter: int | None = None,
        lamb: float | None = None,
        compat: Literal["pyg"] | None = None,
        track: bool = False,
    ):
        if compat not in (None, "pyg"):
            raise ValueError(f"'compat' must be 'pyg' or None, got {compat!r}")
        if num_layers is not None:
            if energy is not None:
                raise ValueError("'num_layers' and 'energy' exclude each other")
            energy = num_layers
        if isinstance(energy, Module) and not isinstance(energy, Energy):
            energy = module_energy(energy, in_channels, out_channels)
        factory = resolve_energy(energy, lamb, compat == "pyg")
        if isinstance(energy, Energy):
            check_widths(energy, in_channels, out_channels)
            in_channels, out_channels = energy.in_channels, energy.out_channels
        super().__init__(in_channels, out_channels)
        self.track = track
        self.last_result: SolveResult | None = None
        self._last_training: tuple[Objective, Tensor] | None = None
        self._warned = False
        self._make_energy = None if isinstance(energy, Energy) else factory
        if isinstance(energy, Energy):
            self.energy_function = energy
        self.start(in_channels)
        self.solver = resolve_solver(solver, self.energy_function, grad_iter)
        self.adjoint = resolve_adjoint(adjoint, self.solver)
        if not isinstance(self.adjoint, Unrolled):
            # What its steps learn could not influence the output.
            self.solver.requires_grad_(False)

    def create(self, in_channels: int, out_channels: int) -> None:
        """Creates the energy, unless it was given."""
        if self._make_energy is not None:
            self.energy_function = self._make_energy(in_channels, out_channels)

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        if self.in_channels != -1:
            self.energy_function.reset_parameters()
        self.solver.reset_parameters()

    def aggregate(self, x: Tensor, sets: SetIndex) -> Tensor:
        """Maps elements ``[N, in_channels]`` to sets ``[B, out_channels]``."""
        objective = self.energy_function.bind(x, sets)
        result = self._minimise(objective, measured=self.track)
        if self.track:
            self.last_result = replace(result, y=result.y.detach())
            training = self.training and torch.is_grad_enabled()
            self._last_training = (objective, result.y) if training else None
        return result.y.to(x.dtype)

    def solve(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
    ) -> SolveResult:
        """Aggregates as a call does, of the same arguments, and says how it ended.

        Returns:
            The minimisers in the form of the output, and a status, the number of
            steps and the norm of the gradient for each.
        """
        rows, sets = self.read(x, index, ptr, dim_size, dim)
        objective = self.energy_function.bind(rows, sets)
        result = self._minimise(objective, measured=True)

        def lay(values: Tensor) -> Tensor:
            return unfold(values[:, None], x, dim).squeeze(-1)

        return SolveResult(
            unfold(result.y.to(x.dtype), x, dim),
            lay(result.status),
            lay(result.num_steps),
            lay(result.residual),
        )

    def energy(
        self,
        x: Tensor,
        y: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim: int = -2,
    ) -> Tensor:
        """The energy of each set at any ``y``, differentiable; never in half precision.

        Args:
            x: Elements, as for :meth:`forward`.
            y: Sets, in the form of the output.
            index: The set of each element.
            ptr: The boundaries of the sets.
            dim: The dimension of both.

        Returns:
            The form of ``y`` without its channels.
        """
        objective, rows = self._at(x, y, index, ptr, dim)
        with full_precision(rows):
            return unfold(objective.value(rows)[:, None], x, dim).squeeze(-1)

    def energy_grad(
        self,
        x: Tensor,
        y: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim: int = -2,
    ) -> Tensor:
        """The gradient of :meth:`energy` in ``y``, differentiable, in its form."""
        objective, rows = self._at(x, y, index, ptr, dim)
        with full_precision(rows):
            return unfold(objective.grad(rows), x, dim)

    def residual_loss(self) -> Tensor:
        r"""The mean over non-empty sets of :math:`\lVert \nabla E_b(y_b) \rVert^2`.

        Of the last forward pass in training: an auxiliary loss for solvers of few
        steps, as the paper has one; close to zero where they converge.

        Raises:
            RuntimeError: If there was no such pass with ``track=True``.
        """
        if self._last_training is None:
            raise RuntimeError(
                "'residual_loss' needs track=True and a forward pass in training mode"
            )
        objective, y = self._last_training
        with full_precision(y):
            square = objective.grad(y).square().sum(1)
        occupied = objective.occupied
        return torch.where(occupied, square, 0).sum() / occupied.sum().clamp(min=1)

    def _minimise(self, objective: Objective, measured: bool) -> SolveResult:
        """Solves, and if wanted measures where the last step went."""
        with full_precision(objective.occupied):
            result = self.adjoint(self.solver, objective)
            if measured:
                with torch.no_grad():
                    residual = objective.grad(result.y).norm(dim=1)
                result = replace(result, residual=residual)
        if isinstance(self.adjoint, Implicit) and is_eager():
            self._warn_once(result.failed)
        return result

    def _warn_once(self, failed: Tensor) -> None:
        if not self._warned and bool(failed.any()):
            self._warned = True
            warnings.warn(
                f"{int(failed.sum())} of {failed.numel()} sets have not converged: "
                f"their implicit gradients are wrong; see 'solve' (said once)",
                stacklevel=2,
            )

    def _at(
        self, x: Tensor, y: Tensor, index: Tensor | None, ptr: Tensor | None, dim: int
    ) -> tuple[Objective, Tensor]:
        width = x.size(-1) if self.out_channels == -1 else self.out_channels
        if y.size(-1) != width:
            raise ValueError(f"'y' must have {width} channels, got {y.size(-1)}")
        rows, sets = self.read(x, index, ptr, y.size(dim), dim)
        y = y.movedim(dim, -2).reshape(-1, width).to(accumulator(y.dtype))
        return self.energy_function.bind(rows, sets), y

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any
    ) -> None:
        rename_published(state_dict, prefix)
        if self.in_channels == -1 and self._make_energy is not None:
            out_channels = None if self.out_channels == -1 else self.out_channels
            energy = f"{prefix}energy_function."
            width = stored_width(self._make_energy, out_channels, state_dict, energy)
            if width is not None:
                self.initialize(width)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def __getstate__(self) -> dict[str, Any]:
        # The graph of a forward pass can be neither copied nor stored.
        return {**super().__getstate__(), "_last_training": None}

    def __repr__(self) -> str:
        parts = (self.energy_function, self.solver, self.adjoint)
        names = ", ".join(type(part).__name__ for part in parts)
        return f"{super().__repr__()[:-1]}, {names})"


def full_precision(like: Tensor) -> torch.autocast:
    """Without autocast: no solver converges in half precision."""
    return torch.autocast(like.device.type, enabled=False)
