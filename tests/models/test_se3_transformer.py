"""The SE(3)-Transformer as a network: scalars, vectors, forces."""

import pytest
import torch
from e3nn import o3
from torch_geometric.data import Batch, Data

from pyg_setops.models import SE3Transformer
from pyg_setops.transforms import RadiusEdges

HIDDEN = "4x0e + 2x0o + 4x1o + 2x1e"


def molecules(sizes=(3, 5, 1), x=None, dtype=torch.float64):
    graphs = []
    for size in sizes:
        data = Data(
            z=torch.randint(1, 9, (size,)), pos=torch.randn(size, 3, dtype=dtype)
        )
        if x is not None:
            data.x = torch.randn(size, o3.Irreps(x).dim, dtype=dtype)
        graphs.append(RadiusEdges(3.0)(data))
    return Batch.from_data_list(graphs)


def make(irreps_out="2x0e + 1x1o + 1x0o", **kwargs):
    options = {"cutoff": 3.0, "num_layers": 2, "heads": 2, **kwargs}
    return SE3Transformer(irreps_out, HIDDEN, **options).double()


def representation(irreps, matrix):
    torch.set_default_dtype(torch.float64)
    try:
        return o3.Irreps(irreps).D_from_matrix(matrix)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("readout", ["mean", "sum", "none"])
@pytest.mark.parametrize("mirror", [1, -1])
def test_predictions_move_along(readout, mirror):
    irreps_x = "1x0e + 1x1o"
    model = make(irreps_x=irreps_x, readout=readout)
    batch = molecules(x=irreps_x)
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    rotation = rotation * rotation.det() * mirror
    moved = batch.clone()
    moved.pos = batch.pos @ rotation.t() + 1
    moved.x = batch.x @ representation(irreps_x, rotation).t()
    out = model(batch)
    assert out.shape == (9 if readout == "none" else 3, 6)
    expected = out @ representation(model.irreps_out, rotation).t()
    torch.testing.assert_close(model(moved), expected, rtol=0, atol=1e-12)
    assert out[:, :5].abs().mean() > 1e-2


def test_a_graph_does_not_see_another():
    model = make()
    batch = molecules()
    alone = torch.cat([model(data) for data in batch.to_data_list()])
    torch.testing.assert_close(model(batch), alone)


def test_depends_on_every_input():
    model = make(irreps_x="1x1o", edge_channels=1, readout="sum")
    batch = molecules(x="1x1o")
    batch.edge_attr = torch.randn(batch.num_edges, 1, dtype=torch.float64)
    inputs = [batch.pos, batch.x, batch.edge_attr]
    for tensor in inputs:
        tensor.requires_grad_()
    for gradient in torch.autograd.grad(model(batch).sum(), inputs):
        assert gradient.abs().max() > 1e-6
    other = batch.clone()
    other.z = batch.z.flip(0)
    assert not torch.allclose(model(other), model(batch))


def test_forces_are_the_gradient_of_the_energy():
    model = make("1x0e + 1x1o", readout="sum").eval()
    batch = molecules(sizes=(4, 3))
    with torch.no_grad():
        energy, forces = model.energy_and_forces(batch)
        step = 1e-5 * torch.randn_like(batch.pos)
        ahead, back = batch.clone(), batch.clone()
        ahead.pos, back.pos = batch.pos + step, batch.pos - step
        change = (model(ahead) - model(back))[:, 0].sum()
    torch.testing.assert_close(-(forces * step).sum() * 2, change, rtol=1e-5, atol=0)
    torch.testing.assert_close(energy, model(batch)[:, 0])
    assert not batch.pos.requires_grad
    total = torch.stack([forces[:4].sum(0), forces[4:].sum(0)])
    torch.testing.assert_close(total, torch.zeros_like(total), rtol=0, atol=1e-12)


def test_forces_are_had_in_inference_mode_and_keep_no_graph():
    model, batch = make("0e", readout="sum").eval(), molecules(sizes=(4, 3))
    expected = model.energy_and_forces(batch)
    with torch.inference_mode():
        # Also of what was made there.
        found = [model.energy_and_forces(each) for each in (batch, batch.clone())]
    for each in (expected, *found):
        assert not any(tensor.requires_grad for tensor in each)
        torch.testing.assert_close(each, expected)
    with torch.no_grad():
        energy, forces = model.train().energy_and_forces(batch)
    assert not energy.requires_grad
    assert not forces.requires_grad


def test_forces_can_be_trained_on():
    model = make("0e", readout="sum").train()
    _, forces = model.energy_and_forces(molecules(sizes=(4, 3)))
    weights = [weight for weight in model.blocks.parameters() if weight.numel() > 0]
    gradients = torch.autograd.grad(forces.square().sum(), weights, allow_unused=True)
    known = [gradient for gradient in gradients if gradient is not None]
    assert len(known) > len(weights) / 2
    assert all(gradient.isfinite().all() for gradient in known)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"irreps_out": "2e"}, "2e is not in"),
        ({"readout": "max"}, "'readout' must be 'mean', 'sum' or 'none', got 'max'"),
        ({"num_types": 0}, "'num_types' of at least 1, or 'irreps_x'"),
        ({"heads": 3}, "divisible by the 3 'heads'"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_hidden_irreps_have_scalars():
    with pytest.raises(ValueError, match="'irreps_hidden' must have '0e'"):
        SE3Transformer("1o", "4x1o", num_types=0, irreps_x="1o", heads=2)


@pytest.mark.parametrize("name", ["pos", "edge_index", "edge_attr", "z", "x"])
def test_what_data_lack_is_named(name):
    model, batch = make(irreps_x="1x0e", edge_channels=2), molecules(x="1x0e")
    batch.edge_attr = torch.randn(batch.num_edges, 2, dtype=torch.float64)
    assert model(batch).shape == (3, 6)
    del batch[name]
    with pytest.raises(ValueError, match=rf"'data' must have \['{name}'\]"):
        model(batch)


def test_graphs_are_told_apart_by_batch_alone():
    model, batch = make(), molecules()
    plain = Data(**{key: batch[key] for key in ("z", "pos", "edge_index", "batch")})
    torch.testing.assert_close(model(plain), model(batch))


def test_forces_need_an_energy():
    with pytest.raises(ValueError, match="begins with '0e', got 1x1o"):
        make("1o").energy_and_forces(molecules())
