r"""Assignment by entropic optimal transport, and its sharpening.

Each element :math:`i` of a set brings a mass :math:`a_i`, each slot :math:`k` takes
:math:`b_k`, and moving one to the other costs :math:`C_{ik}`. Sweeps of Sinkhorn's
iteration find potentials for which the plan
:math:`P_{ik} = e^{u_i + v_k - C_{ik}}` has these marginals.
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor
from torch.nn.functional import linear

from ..ragged import (
    SetIndex,
    gather,
    segment_logsumexp,
    segment_matvec,
    segment_outer,
    segment_sum,
)
from .layout import Layout, Part
from .readers import Projections

NUM_SWEEPS = 5
# Those of the paper: steps, their length, and the noise that tells equal slots apart.
NUM_STEPS, STEP, NOISE = 4, 8.0, 1e-3


def sinkhorn(
    cost: Tensor,
    log_a: Tensor,
    log_b: Tensor,
    sets: SetIndex,
    start: Tensor | None = None,
    num_sweeps: int = NUM_SWEEPS,
) -> tuple[Tensor, Tensor]:
    """Moves the masses of the elements of each set to its slots.

    Args:
        cost: ``[n, K]``.
        log_a: The logarithm of the masses of the elements, ``[n]``.
        log_b: That of the masses of the slots, ``[B, K]``.
        sets: The layout of the elements.
        start: Potentials of the slots to start from, ``[B, K]``.
        num_sweeps: How often the marginals are corrected, those of the slots last.

    Returns:
        The logarithm of the plan ``[n, K]``, and the potentials of the slots.

    Cost:
        :math:`O(N K)` time a sweep, and as much memory for the backward pass.
    """
    v = torch.zeros_like(log_b) if start is None else start
    u = torch.zeros_like(log_a)
    for _ in range(num_sweeps):
        u = log_a - (gather(v, sets) - cost).logsumexp(1)
        v = log_b - segment_logsumexp(u[:, None] - cost, sets)
    return u[:, None] + gather(v, sets) - cost, v


def entropy_slope(
    cost: Tensor, log_a: Tensor, log_b: Tensor, sets: SetIndex, start: Tensor
) -> tuple[Tensor, Tensor]:
    """The derivative of the entropy of the plan in the cost, through all sweeps.

    Written out, so that it needs no graph and works wherever its caller does.

    Args:
        cost: As for :func:`sinkhorn`, as is the rest.
        log_a: ``[n]``.
        log_b: ``[B, K]``.
        sets: The layout.
        start: ``[B, K]``, held constant.

    Returns:
        The derivative ``[n, K]``, and the potentials of the slots.
    """
    v, history = start, []
    u = torch.zeros_like(log_a)
    for _ in range(NUM_SWEEPS):
        before = v
        u = log_a - (gather(v, sets) - cost).logsumexp(1)
        v = log_b - segment_logsumexp(u[:, None] - cost, sets)
        # The shares that the two normalisations gave out, as logarithms less the cost.
        of_elements = (u - log_a)[:, None] + gather(before, sets)
        of_slots = u[:, None] + gather(v - log_b, sets)
        history.append((of_elements, of_slots))
    log_plan = u[:, None] + gather(v, sets) - cost
    slope = -log_plan.exp() * (log_plan + 1)
    slope_u, slope_v = slope.sum(1), segment_sum(slope, sets)
    for of_elements, of_slots in reversed(history):
        passed = (of_slots - cost).exp() * gather(slope_v, sets)
        slope, slope_u = slope - passed, slope_u - passed.sum(1)
        passed = (of_elements - cost).exp() * slope_u[:, None]
        slope, slope_v = slope - passed, -segment_sum(passed, sets)
        slope_u = torch.zeros_like(slope_u)
    return -slope, v


def sharpen(
    cost: Tensor, log_a: Tensor, log_b: Tensor, sets: SetIndex
) -> tuple[Tensor, Tensor]:
    """Lowers the entropy of the plan by a few steps on the cost.

    Returns:
        A cost whose derivative is that of ``cost``, and potentials to start from.
    """
    start = torch.zeros_like(log_b)
    with torch.no_grad():
        sharp = cost
        for _ in range(NUM_STEPS):
            slope, start = entropy_slope(sharp, log_a, log_b, sets, start)
            square = segment_sum(slope.square().sum(1, keepdim=True), sets)
            norm = square.sqrt().clamp(min=1e-12)
            sharp = sharp - STEP * slope / gather(norm, sets)
        change = sharp - cost
    return cost + change, start


class TransportReader:
    """Reads elements by a transport plan between them and the slots.

    Args:
        x: Elements ``[N, C]``, normalised and laid out.
        layout: The layout.
        maps: The projections.
        element_mass: The logit of each element's mass, ``[N]``, laid out.
        slot_mass: The map from a normalised slot to the logit of its mass.
        mesh: Whether the plan is sharpened.
        noise: What is added to the cost of each part before, ``[n, K]``; ``None`` for
            nothing.
    """

    def __init__(
        self,
        x: Tensor,
        layout: Layout,
        maps: Projections,
        element_mass: Tensor,
        slot_mass: torch.nn.Module,
        mesh: bool,
        noise: list[Tensor] | None,
    ):
        self.x, self.layout, self.slot_mass = x, layout, slot_mass
        self.mesh, self.noise = mesh, noise
        self.element_mass = element_mass
        self.query, self.query_bias = maps.query, maps.query_bias
        self.keys = linear(x.to(maps.key.dtype), maps.key[:, :-1], maps.key[:, -1])
        self.weight = maps.gates @ maps.value

    def _log_plan(self, slots: Tensor, number: int) -> Tensor:
        """The logarithm of the plan of a part, ``[n, K]``."""
        part = self.layout.parts[number]
        sets, shape = part.sets, (part.sets.num_sets, part.num_slots)
        mine = slots[part.slots]
        cost = self._distance(mine, part)
        mass = self.element_mass[part.rows]
        whole = log(max(part.num_slots, 1))
        log_a = whole + mass - gather(segment_logsumexp(mass, sets), sets)
        weight = self.slot_mass(mine.to(next(self.slot_mass.parameters()).dtype))
        log_b = whole + weight.to(mass.dtype).view(shape).log_softmax(1)
        start = None
        if self.mesh:
            if self.noise is not None:
                cost = cost + self.noise[number]
            cost, start = sharpen(cost, log_a, log_b, sets)
        return sinkhorn(cost, log_a, log_b, sets, start)[0]

    def _distance(self, slots: Tensor, part: Part) -> Tensor:
        queries = linear(slots, self.query, self.query_bias)
        queries = queries.unflatten(0, (part.sets.num_sets, part.num_slots))
        keys = self.keys[part.rows]
        square = keys.square().sum(1, keepdim=True)
        square = square + gather(queries.square().sum(2), part.sets)
        square = square - 2 * segment_matvec(queries, keys, part.sets)
        return square.clamp(min=torch.finfo(square.dtype).eps ** 2).sqrt()

    def read(self, slots: Tensor) -> Tensor:
        """What each normalised slot ``[S, D]`` reads of its set, ``[S, C + 1]``."""
        found = []
        for number, part in enumerate(self.layout.parts):
            if part.num_slots > 0:
                plan = self._log_plan(slots, number).exp()
                x = self.x[part.rows].to(plan.dtype)
                total = segment_outer(plan, x, part.sets)
                mass = segment_sum(plan, part.sets)
                found.append(torch.cat([total, mass[..., None]], 2).flatten(0, 1))
        return self.layout.pad_slots(found, slots.new_zeros(0, self.x.size(1) + 1))

    def shares(self, slots: Tensor) -> list[Tensor]:
        """How each part's elements are shared: ``[n, K]`` that sum to 1."""
        # Of logarithms, as the mass of an element may be too small for a number.
        parts = range(len(self.layout.parts))
        return [self._log_plan(slots, number).softmax(1) for number in parts]
