"""Against another library of implicit layers, where it is installed."""

import pytest
import torch

from pyg_setops.aggr import EquilibriumAggregation

torchdeq = pytest.importorskip("torchdeq")


def test_minimum_and_gradient_are_those_of_torchdeq():
    torch.manual_seed(0)
    layer = EquilibriumAggregation(3, 4).double()
    index = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2])
    x = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 4, dtype=torch.float64)
    solve = torchdeq.get_deq(
        ift=True,
        f_solver="anderson",
        b_solver="anderson",
        f_max_iter=300,
        b_max_iter=300,
        f_tol=1e-12,
        b_tol=1e-12,
    )
    start = torch.zeros(3, 4, dtype=torch.float64)
    found, _ = solve(lambda y: y - 0.5 * layer.energy_grad(x, y, index), start)
    inputs = [x, *layer.parameters()]
    y = layer(x, index)
    torch.testing.assert_close(y, found[-1], rtol=0, atol=1e-8)
    ours = torch.autograd.grad((weight * y).sum(), inputs)
    theirs = torch.autograd.grad((weight * found[-1]).sum(), inputs)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)
