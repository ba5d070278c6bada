"""The potential of PyG: its parameters, and what it is on its own."""

import pytest
import torch
from torch_geometric.nn.aggr import EquilibriumAggregation as Published

from pyg_setops.equilibrium import ResNetEnergy
from pyg_setops.ragged import SetIndex
from pyg_setops.solvers import Momentum
from tests.equilibrium.chains import IN, OUT, batch

each_depth = pytest.mark.parametrize("num_layers", [[], [5], [5, 7, 4]])


def published(num_layers):
    """PyG's class, and an energy of ours with its weights."""
    theirs = Published(IN, OUT, num_layers).double()
    ours = ResNetEnergy(IN, OUT, num_layers, batch_scaled_regulariser=True).double()
    state = theirs.state_dict()
    names = [name for name in state if not name.startswith("optimizer")]
    ours.load_state_dict({name: state[name] for name in names}, strict=True)
    return theirs, ours


@each_depth
def test_energy_is_that_of_pyg(num_layers):
    theirs, ours = published(num_layers)
    x, y, index, sets = batch([3, 0, 4, 1])
    expected = theirs.energy(x, y, index, dim_size=4)
    value = ours.bind(x, sets).value(y)
    torch.testing.assert_close(value.sum(), expected.squeeze(), rtol=1e-14, atol=1e-14)
    (grad,) = torch.autograd.grad(expected, y)
    torch.testing.assert_close(ours.bind(x, sets).grad(y), grad, rtol=0, atol=1e-13)


@each_depth
def test_state_has_the_names_and_shapes_of_pyg(num_layers):
    theirs, ours = published(num_layers)
    shapes = {
        name: value.shape
        for name, value in theirs.state_dict().items()
        if not name.startswith("optimizer")
    }
    assert {n: v.shape for n, v in ours.state_dict().items()} == shapes


def test_regulariser_is_that_of_the_set_unless_asked():
    x, y, _, sets = batch([3, 4])
    energy = ResNetEnergy(IN, OUT, [5]).double()
    both = energy.bind(x, sets).value(y)
    energy.batch_scaled_regulariser = True
    weight = torch.nn.functional.softplus(energy.lamb)
    half = weight / 2 * y.square().sum(1)
    torch.testing.assert_close(energy.bind(x, sets).value(y), both - half)


@each_depth
def test_every_parameter_learns(num_layers):
    energy = ResNetEnergy(IN, OUT, num_layers).double()
    x, _, _, sets = batch([3, 4])
    Momentum(3)(energy.bind(x, sets)).y.square().sum().backward()
    for name, parameter in energy.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@each_depth
def test_constants_of_the_output_are_no_parameters(num_layers):
    energy = ResNetEnergy(IN, OUT, num_layers)
    depth = len(num_layers)
    last = [f"potential.layers.{depth}.bias", f"potential.res_trans.{depth}.bias"]
    before = [f"potential.res_trans.{depth - 1}.bias"] if depth else []
    assert {name for name, _ in energy.named_buffers()} == {*last, *before}


def test_reset_draws_everything_anew():
    energy = ResNetEnergy(IN, OUT, [5, 7], lamb=0.3)
    with torch.no_grad():
        for value in energy.state_dict().values():
            value.fill_(7.0)
    energy.reset_parameters()
    assert not any((value == 7).any() for value in energy.state_dict().values())
    assert energy.lamb.item() == pytest.approx(0.3)


def test_twice_the_elements_change_nothing():
    energy = ResNetEnergy(IN, OUT, [5, 7]).double()
    x, y, _, _ = batch([4])
    once = energy.bind(x, SetIndex.build(num_elements=4))
    twice = energy.bind(torch.cat([x, x]), SetIndex.build(num_elements=8))
    torch.testing.assert_close(once.grad(y), twice.grad(y), rtol=1e-12, atol=1e-12)


def test_constants_need_not_add_up_within_half_precision():
    energy = ResNetEnergy(IN, OUT, [5]).half()
    torch.nn.init.ones_(energy.potential.res_trans[-1].weight)
    x = (100 * torch.rand(2000, IN) + 100).half()
    y = torch.randn(1, OUT)
    sets = SetIndex.build(num_elements=2000)
    value = energy.bind(x, sets).value(y)
    expected = energy.double().bind(x.double(), sets).value(y.double())
    torch.testing.assert_close(value.double(), expected, atol=0.1, rtol=0.01)
