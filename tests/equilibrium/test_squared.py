"""The energy of the paper: what it is beside its gradient."""

import math

import pytest
import torch

from pyg_setops.equilibrium import SquaredResidualEnergy
from pyg_setops.ragged import SetIndex
from pyg_setops.solvers import Momentum
from tests.equilibrium.chains import IN, OUT, SHAPES, batch, make

each_shape = pytest.mark.parametrize("shape", [s for s in SHAPES if "squared" in s])


@each_shape
def test_energy_is_positive_and_zero_without_elements(shape):
    energy = make(shape)
    x, y, _, sets = batch([3, 0, 5])
    value = energy.bind(x, sets).value(y)
    assert (value[[0, 2]] > 0).all()
    assert value[1] == 0


def test_factor_scales_the_whole_energy():
    energy = make("squared, both kinds of skip")
    x, y, _, _ = batch([4])

    def bracket(times):
        sets = SetIndex.build(num_elements=4 * times)
        value = energy.bind(x.repeat(times, 1), sets).value(y).squeeze()
        return value * (4 * times + 1e-8) / math.log2(4 * times + 1)

    regulariser = torch.nn.functional.softplus(energy.lamb) * y.square().sum()
    twice = 2 * bracket(1) - regulariser.squeeze()
    torch.testing.assert_close(bracket(2), twice, rtol=1e-12, atol=1e-12)


@each_shape
def test_every_parameter_learns(shape):
    energy = make(shape)
    x, _, _, sets = batch([3, 4])
    Momentum(3)(energy.bind(x, sets)).y.square().sum().backward()
    for name, parameter in energy.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_skips_are_learned_where_the_width_changes():
    energy = SquaredResidualEnergy(IN, OUT, [IN + OUT, 8, 8, 4])
    kinds = [type(skip).__name__ for skip in energy.skips]
    assert kinds == ["Identity", "Linear", "Identity"]


def test_reset_draws_everything_anew():
    energy = SquaredResidualEnergy(IN, OUT, [5, 5, 4], lamb=0.3)
    with torch.no_grad():
        for value in energy.parameters():
            value.fill_(7.0)
    energy.reset_parameters()
    assert not any((value == 7).any() for value in energy.parameters())
    assert energy.lamb.item() == pytest.approx(0.3)


def test_a_stage_is_needed():
    with pytest.raises(ValueError, match="'num_layers'"):
        SquaredResidualEnergy(IN, OUT, [])
