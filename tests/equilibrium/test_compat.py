"""PyG's weights and PyG's numbers, from its own class with its start in float64."""

import pytest
import torch
from torch_geometric.nn.aggr import EquilibriumAggregation as Published

from pyg_setops.aggr import EquilibriumAggregation
from pyg_setops.testing import random_sets

IN, OUT, SIZES = 4, 3, [3, 1, 0, 6, 2]
each_depth = pytest.mark.parametrize("num_layers", [[], [5], [5, 7], [6, 6, 4]])


class Float64Start(Published):
    """PyG's class begins in float32, whatever its type."""

    def init_output(self, dim_size):
        return super().init_output(dim_size).to(self.lamb.dtype)


def pair(num_layers, **kwargs):
    """PyG's class, and ours with its weights."""
    torch.manual_seed(0)
    theirs = Float64Start(IN, OUT, num_layers, **kwargs).double()
    for parameter in theirs.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    ours = EquilibriumAggregation(IN, OUT, num_layers, compat="pyg", **kwargs).double()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def outcome(aggregation, x, index):
    x = x.clone().requires_grad_()
    out = aggregation(x, index, dim_size=len(SIZES))
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    aggregation.zero_grad()
    (out * weight).sum().backward()
    return out.detach(), x.grad


def published_state(ours):
    """The state of ours under the names of PyG."""
    return {
        name.removeprefix("energy_function.").replace("solver.", "optimizer."): value
        for name, value in ours.state_dict(keep_vars=True).items()
    }


@each_depth
@pytest.mark.parametrize("grad_iter", [5, 12])
def test_numbers_are_those_of_pyg(num_layers, grad_iter):
    theirs, ours = pair(num_layers, grad_iter=grad_iter)
    batch = random_sets(IN, SIZES, dtype=torch.float64)
    (expected, expected_x), (out, grad_x) = (
        outcome(aggregation, batch.x, batch.index) for aggregation in (theirs, ours)
    )
    torch.testing.assert_close(out, expected, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(grad_x, expected_x, rtol=1e-13, atol=1e-13)
    state = published_state(ours)
    for name, parameter in theirs.named_parameters():
        # Some of PyG's parameters never have a gradient: ours are buffers.
        if parameter.grad is not None:
            here = state[name].grad
            torch.testing.assert_close(here, parameter.grad, rtol=1e-13, atol=1e-13)


def test_numbers_are_near_in_float32():
    theirs, ours = (each.float() for each in pair([5, 7]))
    batch = random_sets(IN, SIZES, dtype=torch.float32)
    expected = theirs(batch.x, batch.index, dim_size=len(SIZES))
    out = ours(batch.x, batch.index, dim_size=len(SIZES))
    assert (out - expected).abs().max() < 2e-6 * expected.abs().max()


@each_depth
def test_states_go_both_ways(num_layers):
    theirs, ours = pair(num_layers)
    again = Published(IN, OUT, num_layers).double()
    again.load_state_dict(published_state(ours), strict=True)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)


def test_weights_of_pyg_serve_with_a_regulariser_per_set():
    theirs, _ = pair([5, 7])
    ours = EquilibriumAggregation(IN, OUT, [5, 7]).double()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    batch = random_sets(IN, SIZES, dtype=torch.float64)
    whole = ours(batch.x, batch.index, dim_size=len(SIZES))
    # Alone, PyG divides by one set: there, both regularisers are the same.
    for number in (0, 1, 3, 4):
        x = batch[number]
        alone = theirs(x, torch.zeros(len(x), dtype=torch.long))
        torch.testing.assert_close(whole[number], alone[0], rtol=1e-12, atol=1e-12)


def test_arguments_are_those_of_pyg():
    torch.manual_seed(0)
    theirs = Published(IN, OUT, num_layers=[5], grad_iter=7, lamb=0.4)
    ours = EquilibriumAggregation(
        IN, OUT, num_layers=[5], grad_iter=7, lamb=0.4, compat="pyg"
    )
    ours.load_state_dict(theirs.state_dict(), strict=True)
    fresh = EquilibriumAggregation(IN, OUT, [5], grad_iter=7, lamb=0.4, compat="pyg")
    state = published_state(fresh)
    for name in ("lamb", "optimizer._lr", "optimizer._mom"):
        torch.testing.assert_close(state[name].detach(), theirs.state_dict()[name])
    batch = random_sets(IN, SIZES, dtype=torch.float32)
    torch.testing.assert_close(
        ours(batch.x, batch.index, dim_size=len(SIZES)),
        theirs(batch.x, batch.index, dim_size=len(SIZES)),
    )
