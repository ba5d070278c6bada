"""The energies that are chains, in all shapes, each with its oracle."""

from functools import partial

import torch

from pyg_setops.equilibrium import ResNetEnergy, SquaredResidualEnergy
from pyg_setops.ragged import SetIndex
from tests.oracles import residual_energy as oracle

IN, OUT = 3, 2
SHAPES = {
    "resnet, no layer": (ResNetEnergy, []),
    "resnet, one layer": (ResNetEnergy, [5]),
    "resnet, two layers": (ResNetEnergy, [6, 6]),
    "resnet, unequal layers": (ResNetEnergy, [5, 7, 4]),
    "squared, linear": (SquaredResidualEnergy, [4]),
    "squared, one stage": (SquaredResidualEnergy, [6, 3]),
    "squared, identity at the entry": (SquaredResidualEnergy, [IN + OUT, 3]),
    "squared, both kinds of skip": (SquaredResidualEnergy, [6, 6, 7, 4]),
}
BATCHES = {
    "usual": [3, 1, 5, 2],
    "larger than a block": [2, 11, 3],
    "empty sets": [0, 4, 0, 0, 4, 3, 0],
    "no elements": [0, 0],
    "no sets": [],
}


def make(shape):
    """An energy in float64 with all of its parameters drawn at random."""
    kind, num_layers = SHAPES[shape]
    energy = kind(IN, OUT, num_layers).double()
    for parameter in energy.parameters():
        parameter.data += 0.5 * torch.randn_like(parameter)
    return energy


def oracle_of(energy, shape):
    """The values of the sets as a function of ``(x, y, index)`` and parameters."""
    kind, num_layers = SHAPES[shape]
    if kind is ResNetEnergy:
        function = partial(oracle.resnet, num_layers=len(num_layers))
    else:
        function = partial(oracle.squared, num_layers=len(num_layers) - 1)
    return partial(function, {**energy.state_dict(keep_vars=True)})


def batch(sizes, shuffled=True):
    """Elements, ``y``, the index of each element and the layout."""
    index = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes).long())
    if shuffled:
        index = index[torch.randperm(len(index))]
    x = torch.randn(len(index), IN, dtype=torch.float64, requires_grad=True)
    y = torch.randn(len(sizes), OUT, dtype=torch.float64, requires_grad=True)
    return x, y, index, SetIndex.build(index, dim_size=len(sizes))
