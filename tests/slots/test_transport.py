"""Sinkhorn's marginals, and what sharpening does to the entropy."""

import pytest
import torch
from torch import Tensor

from pyg_setops.ragged import SetIndex, gather, segment_sum
from pyg_setops.slots.transport import entropy_slope, sharpen, sinkhorn
from tests.oracles import slots as oracle

SIZES, SLOTS = [5, 1, 0, 3], 3


@pytest.fixture
def sets() -> SetIndex:
    index = torch.arange(len(SIZES)).repeat_interleave(torch.tensor(SIZES))
    return SetIndex.build(index, dim_size=len(SIZES))


@pytest.fixture
def problem(sets: SetIndex) -> tuple[Tensor, Tensor, Tensor]:
    """A cost, and masses that add up to the number of slots in both marginals."""
    cost = 3 * torch.rand(sum(SIZES), SLOTS, dtype=torch.float64)
    weight = torch.rand(sum(SIZES), dtype=torch.float64) + 0.1
    a = SLOTS * weight / gather(segment_sum(weight, sets), sets)
    b = torch.rand(len(SIZES), SLOTS, dtype=torch.float64) + 0.1
    return cost, a.log(), (SLOTS * b / b.sum(1, keepdim=True)).log()


def test_marginals_after_enough_sweeps(problem, sets):
    cost, log_a, log_b = problem
    plan = sinkhorn(cost, log_a, log_b, sets, num_sweeps=300)[0].exp()
    torch.testing.assert_close(plan.sum(1), log_a.exp(), rtol=0, atol=1e-6)
    occupied = sets.sizes > 0
    given = segment_sum(plan, sets)[occupied]
    torch.testing.assert_close(given, log_b.exp()[occupied], rtol=0, atol=1e-6)


def test_five_sweeps_are_those_of_a_loop(problem, sets):
    cost, log_a, log_b = problem
    plan = sinkhorn(cost, log_a, log_b, sets)[0].exp()
    for number in (0, 1, 3):
        mine = sets.index == number
        expected, _ = oracle.sinkhorn(
            cost[mine], log_a[mine].exp(), log_b[number].exp()
        )
        torch.testing.assert_close(plan[mine], expected)


def test_slope_is_autograd_s(problem, sets):
    cost, log_a, log_b = problem
    start = torch.randn_like(log_b)
    cost = cost.requires_grad_()
    log_plan, potentials = sinkhorn(cost, log_a, log_b, sets, start)
    entropy = -(log_plan.exp() * log_plan).sum()
    (expected,) = torch.autograd.grad(entropy, cost)
    slope, v = entropy_slope(cost.detach(), log_a, log_b, sets, start)
    torch.testing.assert_close(slope, expected)
    torch.testing.assert_close(v, potentials)


def test_sharpening_lowers_the_entropy_of_every_set(problem, sets):
    cost, log_a, log_b = problem

    def entropy(*given) -> Tensor:
        log_plan = sinkhorn(*given)[0]
        return -segment_sum(log_plan.exp() * log_plan, sets).sum(1)

    before = entropy(cost, log_a, log_b, sets)
    sharp, start = sharpen(cost, log_a, log_b, sets)
    after = entropy(sharp, log_a, log_b, sets, start)
    assert (after[[0, 3]] < before[[0, 3]] - 0.1).all()
    # One element has no choice.
    torch.testing.assert_close(after[1:3], before[1:3])


def test_sharpening_passes_gradients_straight(problem, sets):
    cost, log_a, log_b = problem
    cost = cost.requires_grad_()
    (gradient,) = torch.autograd.grad(sharpen(cost, log_a, log_b, sets)[0].sum(), cost)
    assert (gradient == 1).all()
