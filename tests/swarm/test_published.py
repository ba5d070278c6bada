"""Weights in the published form."""

import pytest
import torch

from pyg_setops.swarm import SwarmLayer, load_published
from tests.oracles import swarm as oracle

SHAPES = {
    "w_input": (24, 3),
    "b_input": (24,),
    "w_hidden": (24, 6),
    "w_pooled": (24, 6),
    "w_output": (5, 12),
    "b_output": (5,),
}
HERE = {
    "w_input": "cell.lin_x.weight",
    "b_input": "cell.lin_x.bias",
    "w_hidden": "cell.lin_h.weight",
    "w_pooled": "cell.lin_p.weight",
    "w_output": "lin_out.weight",
    "b_output": "lin_out.bias",
}


def published(trailing):
    return {
        name: torch.randn(*shape, *(1,) * (trailing if name[0] == "w" else 0))
        for name, shape in SHAPES.items()
    }


@pytest.mark.parametrize("trailing", [0, 1, 2], ids=["linear", "conv1d", "conv2d"])
def test_loads(trailing):
    layer = SwarmLayer(3, 5, 6, num_iterations=4)
    tensors = published(trailing)
    load_published(layer, **tensors)
    weights = {HERE[name]: t.view(SHAPES[name]) for name, t in tensors.items()}
    for name, parameter in layer.named_parameters():
        assert torch.equal(parameter, weights[name])
        assert parameter.requires_grad
    x = torch.randn(4, 3)
    expected = oracle.layer(x, [0] * 4, weights, 4, oracle.mean)
    torch.testing.assert_close(layer(x).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("change", ["longer", "transposed", "trailing two"])
def test_a_wrong_shape_leaves_the_layer_as_it_was(name, change):
    layer = SwarmLayer(3, 5, 6, num_iterations=4)
    before = [parameter.clone() for parameter in layer.parameters()]
    tensors = published(1)
    tensors[name] = {
        "longer": lambda t: torch.cat([t, t[:1]]),
        "transposed": lambda t: t.movedim(0, -1)[None],
        "trailing two": lambda t: torch.stack([t, t], -1),
    }[change](tensors[name])
    got = ", ".join(str(size) for size in tensors[name].shape)
    with pytest.raises(ValueError, match=rf"'{name}' must have shape .*got \[{got}\]"):
        load_published(layer, **tensors)
    for parameter, expected in zip(layer.parameters(), before, strict=True):
        assert torch.equal(parameter, expected)


def test_a_layer_without_these_weights_is_refused():
    lazy, apart = SwarmLayer(-1, 5, 6, 4), SwarmLayer(3, 5, 6, 4, pool=None)
    with pytest.raises(ValueError, match="'layer' must have the width of 'w_input'"):
        load_published(lazy, **published(0))
    with pytest.raises(ValueError, match="'layer' must have a pool"):
        load_published(apart, **published(0))
