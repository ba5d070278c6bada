"""Elements one by one, against the full pass of a causal layer."""

import pytest
import torch

from pyg_setops.swarm import SwarmLayer

LENGTH = 6


@pytest.mark.parametrize("num_sets", [1, 3])
@pytest.mark.parametrize("num_iterations", [1, 2, 5])
@pytest.mark.parametrize("pool_once", [False, True])
def test_equals_the_full_pass(num_sets, num_iterations, pool_once):
    layer = SwarmLayer(3, 5, 8, num_iterations, pool="causal", pool_once=pool_once)
    layer.double()
    x = torch.randn(num_sets, LENGTH, 3, dtype=torch.float64, requires_grad=True)
    full = layer(x.flatten(0, 1), ptr=torch.arange(num_sets + 1) * LENGTH)
    full = full.view(num_sets, LENGTH, 5)
    exchanges = min(1, num_iterations - 1) if pool_once else num_iterations - 1
    state, outs = None, []
    for each in x.unbind(1):
        out, state = layer.step(each, state)
        assert state.sums.shape == (exchanges, num_sets, 8)
        outs.append(out)
    assert state.count == LENGTH
    steps = torch.stack(outs, 1)
    torch.testing.assert_close(steps, full, rtol=1e-12, atol=1e-13)
    weight = torch.randn_like(full)
    inputs = [x, layer.cell.lin_x.weight, layer.cell.lin_h.weight]
    inputs = inputs[: 2 if num_iterations == 1 else 3]
    torch.testing.assert_close(
        torch.autograd.grad(steps, inputs, weight),
        torch.autograd.grad(full, inputs, weight),
    )


def test_a_state_can_be_continued_in_two_ways():
    layer = SwarmLayer(3, 5, 8, 4, pool="causal").double()
    first, *continuations = torch.randn(3, 1, 3, dtype=torch.float64)
    _, state = layer.step(first)
    for each in continuations:
        out, _ = layer.step(each, state)
        torch.testing.assert_close(out[0], layer(torch.cat([first, each]))[1])


def test_needs_a_causal_pool():
    with pytest.raises(ValueError, match="'step' needs a layer with pool='causal'"):
        SwarmLayer(3, 5, 8, 4).step(torch.randn(1, 3))


def test_checks_the_width():
    layer = SwarmLayer(3, 5, 8, 4, pool="causal")
    with pytest.raises(ValueError, match="3 channels"):
        layer.step(torch.randn(1, 2))


def test_takes_the_width_from_the_first_element():
    layer = SwarmLayer(-1, 5, 8, 4, pool="causal")
    layer.step(torch.randn(1, 3))
    assert layer.in_channels == 3


@torch.no_grad()
def test_sums_of_half_precision_do_not_stop_growing():
    layer = SwarmLayer(3, 5, 8, 4, pool="causal").bfloat16()
    x = torch.rand(1000, 3).bfloat16()
    state = None
    for each in x.split(1):
        out, state = layer.step(each, state)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, layer(x)[-1:], atol=4e-3, rtol=0)


def test_a_state_of_other_sets_is_refused():
    layer = SwarmLayer(3, 5, 8, 4, pool="causal")
    _, state = layer.step(torch.randn(4, 3))
    with pytest.raises(ValueError, match="'x' must have a row for each of the 4 sets"):
        layer.step(torch.randn(1, 3), state)
