import equilibrium_counting
import equilibrium_landscape
import equilibrium_quantiles
import pytest
import readouts
import torch
from torch_geometric.data import Batch

from pyg_setops.datasets import DigitCounting, ScalarSets
from pyg_setops.ragged import SetIndex
from pyg_setops.solvers import Momentum, Newton

OURS = ["Equilibrium, convex", "Equilibrium, residual", "SWARM"]
LARGE = 40  # sets in a batch; alone is the other extreme


def spread(name: str) -> float:
    torch.manual_seed(0)
    network = equilibrium_quantiles.make_models(1)[name]().eval()
    test = ScalarSets(split="test", num_sets=LARGE)
    alone, together = (readouts.predict(network, test, size) for size in (1, LARGE))
    return float((alone - together).abs().max())


@pytest.mark.parametrize("name", [*OURS, "Equilibrium, convex, on MLP"])
def test_our_outputs_do_not_depend_on_the_batch_size(name):
    assert spread(name) < 1e-5


def test_those_of_pyg_do():
    assert spread("PyG's Equilibrium") > 1e-3


@pytest.mark.parametrize("name", readouts.make_readouts(1, 16))
def test_readouts_work_in_inference_mode_and_have_gradients(name):
    torch.manual_seed(0)
    readout = readouts.make_readouts(3, 8)[name]()
    x, index = torch.randn(9, 3), torch.tensor([0, 0, 0, 1, 2, 2, 2, 2, 2])
    readout(x, index).sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in readout.parameters())
    expected = readout(x, index).detach()
    with torch.inference_mode():
        torch.testing.assert_close(readout.eval()(x, index), expected)


def test_residual_readouts_have_the_same_weights_but_for_three_constants():
    ours, theirs = (
        readouts.make_readouts(1, 16)[name]()
        for name in ("Equilibrium, residual", "PyG's Equilibrium")
    )
    ours.load_state_dict(theirs.aggr.state_dict())
    sizes = [sum(p.numel() for p in each.parameters()) for each in (ours, theirs)]
    # Two single biases, and one as wide as the last hidden layer, move no minimum.
    assert sizes[1] - sizes[0] == 1 + 1 + readouts.peers.WIDTHS[-1]


def test_error_is_the_root_of_the_mean_square():
    sets = ScalarSets(quantiles=(0.1, 0.9), num_sets=3)
    off = torch.tensor([[3.0, 0.0], [4.0, 0.0], [0.0, 0.0]])
    error = equilibrium_quantiles.rmse(equilibrium_quantiles.targets(sets) + off, sets)
    torch.testing.assert_close(error, torch.tensor([(25 / 3) ** 0.5, 0.0]))


def test_counts_are_numbered_from_one():
    class Knowing(torch.nn.Module):
        def forward(self, batch):
            return torch.nn.functional.one_hot(batch.y - 1, 10).float()

    test = DigitCounting(split="test", num_sets=40)
    answers = equilibrium_counting.counts(Knowing(), test)
    assert (answers == equilibrium_counting.targets(test)).all()
    batch = Batch.from_data_list(list(test))
    assert equilibrium_counting.loss(Knowing(), batch)["accuracy"] == 1


@pytest.mark.parametrize("name", equilibrium_landscape.MODELS)
def test_paths_are_those_of_one_longer_solve(name):
    torch.manual_seed(0)
    aggregation = equilibrium_landscape.MODELS[name]().double().aggregation
    batch = Batch.from_data_list(equilibrium_landscape.draw_sets(4, 0))
    sets = SetIndex.build(ptr=batch.ptr)
    objective = aggregation.energy_function.bind(batch.x.double(), sets).detach()
    path = equilibrium_landscape.follow(Momentum, objective, 4)
    learning_rate, momentum = Momentum().double().rates(path)
    before, here, after = path[1:4]
    expected = momentum * (here - before) - learning_rate * objective.grad(here)
    torch.testing.assert_close(after - here, expected.detach())


def test_newton_reaches_the_minimum_of_the_convex_energy():
    torch.manual_seed(0)
    aggregation = equilibrium_landscape.make_convex().double().aggregation
    batch = Batch.from_data_list(equilibrium_landscape.draw_sets(4, 0))
    sets = SetIndex.build(ptr=batch.ptr)
    objective = aggregation.energy_function.bind(batch.x.double(), sets).detach()
    path = equilibrium_landscape.follow(Newton, objective, 5)
    norms = equilibrium_landscape.residuals(path, objective)
    assert (norms[0] > 1e-2).all()
    assert (norms[-1] < 1e-12).all()
