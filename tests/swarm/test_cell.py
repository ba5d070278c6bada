"""Initialisation, forget bias and dropout of the cell."""

import pytest
import torch

from pyg_setops.swarm import SwarmCell, SwarmLayer


def test_weights_are_drawn_by_fan_in():
    cell = SwarmCell(in_channels=25, hidden_channels=64)
    for weight, fan_in in (
        (cell.lin_x.weight, 25),
        (cell.lin_x.bias, 25),
        (cell.lin_h.weight, 64),
        (cell.lin_p.weight, 64),
    ):
        bound = fan_in**-0.5
        assert 0.95 * bound < weight.abs().max() <= bound
    assert cell.lin_h.bias is None
    assert cell.lin_p.bias is None


def test_forget_bias_raises_the_second_gate_only():
    biases = []
    for forget_bias in (0.0, 2.0):
        torch.manual_seed(0)
        cell = SwarmCell(3, 4, forget_bias=forget_bias)
        biases.append([cell.lin_x.bias.detach().clone()])
        torch.manual_seed(1)
        cell.reset_parameters()
        biases[-1].append(cell.lin_x.bias.detach().clone())
    for without, with_bias in zip(*biases, strict=True):
        expected = torch.tensor([0.0, 2, 0, 0]).repeat_interleave(4)
        torch.testing.assert_close(with_bias - without, expected)
    assert not torch.equal(*biases[0])


@pytest.mark.parametrize("mode", ["plain", "keep", "recompute"])
def test_dropout_in_training_only(mode):
    layer = SwarmLayer(3, 5, 32, 3, dropout=0.5, mode=mode)
    bare = SwarmLayer(3, 5, 32, 3, mode=mode)
    bare.load_state_dict(layer.state_dict())
    x = torch.randn(6, 3)
    torch.testing.assert_close(layer.eval()(x), bare(x), rtol=0, atol=0)
    outs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        outs.append(layer.train()(x))
    assert torch.equal(outs[0], outs[1])
    assert not torch.allclose(outs[0], outs[2])
    assert not torch.allclose(outs[0], bare(x))


def test_dropout_zeroes_entries_of_h_and_not_of_c():
    cell = SwarmCell(3, 200, dropout=0.5)
    h, c = cell(torch.randn(5, 3), num_iterations=1)
    assert (c != 0).all()
    assert 0.4 < (h == 0).float().mean() < 0.6
