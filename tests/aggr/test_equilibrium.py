"""The face: how parts are chosen, what users can ask, how it is stored."""

import copy
import pickle
from functools import partial

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch_geometric.nn import SAGEConv
from torch_geometric.nn.aggr import EquilibriumAggregation as Published

from pyg_setops.aggr import EquilibriumAggregation
from pyg_setops.equilibrium import (
    ConvexEnergy,
    ResNetEnergy,
    SquaredResidualEnergy,
)
from pyg_setops.solvers import (
    LBFGS,
    Implicit,
    Momentum,
    Nesterov,
    Newton,
    OneStep,
    Status,
    Unrolled,
)
from pyg_setops.testing import measure_memory, random_sets

CHANNELS = 3


@pytest.fixture
def sets():
    return random_sets(CHANNELS, [3, 0, 2, 5], dtype=torch.float64)


def make(*args, **kwargs):
    return EquilibriumAggregation(CHANNELS, 4, *args, **kwargs).double()


PARTS = {
    "default": (make, ConvexEnergy, Newton, Implicit),
    "convex": (partial(make, "convex"), ConvexEnergy, Newton, Implicit),
    "resnet": (partial(make, "resnet"), ResNetEnergy, Momentum, Unrolled),
    "paper": (partial(make, "paper"), SquaredResidualEnergy, Nesterov, Unrolled),
    "widths": (partial(make, [6, 5]), ResNetEnergy, Momentum, Unrolled),
    "factory": (
        partial(make, partial(ConvexEnergy, scale="sum"), LBFGS()),
        ConvexEnergy,
        LBFGS,
        Implicit,
    ),
    "one step": (
        partial(make, [4], adjoint=OneStep()),
        ResNetEnergy,
        Momentum,
        OneStep,
    ),
}
each_part = pytest.mark.parametrize(
    ("make", "energy", "solver", "adjoint"), PARTS.values(), ids=PARTS
)


@each_part
def test_parts(make, energy, solver, adjoint, sets):
    aggregation = make()
    assert type(aggregation.energy_function) is energy
    assert type(aggregation.solver) is solver
    assert type(aggregation.adjoint) is adjoint
    names = [part.__name__ for part in (energy, solver, adjoint)]
    assert repr(aggregation) == f"EquilibriumAggregation(3, 4, {', '.join(names)})"
    aggregation(sets.x, sets.index).sum().backward()
    missing = [
        name
        for name, parameter in aggregation.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"energy": "concave"}, "'energy' must be .* got 'concave'"),
        ({"energy": [4], "num_layers": [4]}, "'num_layers' and 'energy'"),
        ({"energy": [4], "solver": Newton()}, "'solver' Newton needs"),
        ({"adjoint": Unrolled()}, r"'adjoint' Unrolled\(\) needs"),
        ({"lamb": 0.2}, "'lamb' is an argument of"),
        ({"grad_iter": 3}, "'grad_iter' is for"),
        ({"energy": [4], "solver": LBFGS(), "grad_iter": 3}, "'grad_iter' is for"),
        ({"compat": "pyg"}, "'compat' needs the widths"),
        ({"energy": [4], "compat": "jax"}, "'compat' must be 'pyg' or None"),
        ({"energy": ConvexEnergy(CHANNELS, 5)}, "'out_channels' must be .* 5, got 4"),
        ({"energy": ConvexEnergy(2, 4)}, "'in_channels' must be .* 2, got 3"),
    ],
)
def test_refuses_parts_that_do_not_suit(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_takes_widths_from_an_energy():
    energy = ConvexEnergy(CHANNELS, 5)
    aggregation = EquilibriumAggregation(energy=energy)
    assert (aggregation.in_channels, aggregation.out_channels) == (CHANNELS, 5)
    assert aggregation.energy_function is energy
    assert list(aggregation.state_dict()) == [
        f"energy_function.{name}" for name in energy.state_dict()
    ]


def test_one_step_freezes_rates_that_cannot_reach_the_output():
    assert not any(
        p.requires_grad for p in make([4], adjoint=OneStep()).solver.parameters()
    )
    assert all(p.requires_grad for p in make([4]).solver.parameters())


class TestSolve:
    def test_says_how_each_set_ended(self, sets):
        aggregation = make()
        result = aggregation.solve(sets.x, sets.index)
        assert [Status(s).name for s in result.status.tolist()] == [
            "CONVERGED",
            "EMPTY",
            "CONVERGED",
            "CONVERGED",
        ]
        torch.testing.assert_close(result.y, aggregation(sets.x, sets.index))
        grad = aggregation.energy_grad(sets.x, result.y, sets.index)
        torch.testing.assert_close(result.residual, grad.norm(dim=-1).detach())
        assert result.residual.max() < 1e-12

    def test_heads(self, sets):
        aggregation = make()
        x = torch.stack([sets.x, -sets.x])
        for heads, dim in ((x, -2), (x.transpose(0, 1), 0)):
            result = aggregation.solve(heads, ptr=sets.ptr, dim=dim)
            out = aggregation(heads, ptr=sets.ptr, dim=dim)
            torch.testing.assert_close(result.y, out)
            assert result.status.shape == out.shape[:-1]
            single = aggregation.solve(-sets.x, ptr=sets.ptr)
            first = result.num_steps[1] if dim == -2 else result.num_steps[:, 1]
            assert first.tolist() == single.num_steps.tolist()

    def test_says_which_set_was_not_finite(self, sets):
        x = sets.x.clone()
        x[1] = torch.nan
        result = make().solve(x, sets.index)
        assert result.status[0] == Status.NONFINITE
        assert result.y[0].isnan().all()
        assert result.y[1:].isfinite().all()


class TestEnergy:
    @pytest.mark.parametrize("energy", ["convex", "resnet", "paper"])
    def test_the_result_is_a_minimum(self, energy, sets):
        aggregation = make(energy, LBFGS(200, tol=1e-10))
        y = aggregation(sets.x, sets.index).detach()
        value = aggregation.energy(sets.x, y, sets.index)
        assert value.shape == (4,)
        for _ in range(5):
            near = y + 0.01 * torch.randn_like(y)
            others = aggregation.energy(sets.x, near, sets.index)
            assert (others[[0, 2, 3]] > value[[0, 2, 3]]).all()

    def test_gradient_is_that_of_the_value(self, sets):
        aggregation = make()
        x = torch.stack([sets.x, 2 * sets.x])
        y = torch.randn(2, 4, 4, dtype=torch.float64, requires_grad=True)
        value = aggregation.energy(x, y, sets.index)
        assert value.shape == (2, 4)
        (expected,) = torch.autograd.grad(value.sum(), y)
        found = aggregation.energy_grad(x, y, sets.index)
        torch.testing.assert_close(found, expected)
        last = aggregation.energy(x[1], y[1], ptr=sets.ptr)
        torch.testing.assert_close(last, value[1])

    def test_refuses_another_width(self, sets):
        with pytest.raises(ValueError, match="'y' must have 4 channels, got 3"):
            make().energy(sets.x, torch.zeros(4, 3), sets.index)
        lazy = EquilibriumAggregation(out_channels=4)
        with pytest.raises(ValueError, match="'y' must have 4 channels, got 3"):
            lazy.energy(sets.x, torch.zeros(4, 3), sets.index)
        assert lazy.in_channels == -1

    @pytest.mark.parametrize("energy", ["convex", "resnet", "paper"])
    def test_takes_the_output_of_half_precision(self, energy, sets):
        aggregation = make(energy).half()
        x = sets.x.half()
        y = aggregation(x, sets.index).detach()
        value = aggregation.energy(x, y, sets.index)
        grad = aggregation.energy_grad(x, y, sets.index)
        assert value.dtype == grad.dtype == torch.float
        x, y, aggregation = x.float(), y.float(), aggregation.float()
        close = {"atol": 0.02, "rtol": 0.02}
        exact = aggregation.energy(x, y, sets.index)
        torch.testing.assert_close(value, exact, **close)
        exact = aggregation.energy_grad(x, y, sets.index)
        torch.testing.assert_close(grad, exact, **close)


class TestTrack:
    def test_keeps_the_last_result(self, sets):
        aggregation = make()
        aggregation(sets.x, sets.index)
        assert aggregation.last_result is None
        aggregation.track = True
        out = aggregation(sets.x.requires_grad_(), sets.index)
        result = aggregation.last_result
        assert not result.y.requires_grad
        torch.testing.assert_close(result.y, out.detach())
        for clone in (copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))):
            assert torch.equal(clone(aggregation).last_result.y, result.y)

    def test_residual_loss(self, sets):
        aggregation = make([5], Momentum(2), track=True)
        with pytest.raises(RuntimeError, match="'residual_loss' needs track=True"):
            aggregation.residual_loss()
        y = aggregation(sets.x, sets.index)
        loss = aggregation.residual_loss()
        grad = aggregation.energy_grad(sets.x, y, sets.index)
        expected = grad[[0, 2, 3]].square().sum(1).mean()
        torch.testing.assert_close(loss, expected)
        loss.backward()
        assert aggregation.energy_function.lamb.grad.abs() > 0
        with pytest.raises(RuntimeError, match="'residual_loss'"):
            copy.deepcopy(aggregation).residual_loss()
        aggregation.eval()(sets.x, sets.index)
        with pytest.raises(RuntimeError, match="'residual_loss'"):
            aggregation.residual_loss()

    def test_descending_the_residual_loss_shortens_the_gradient(self, sets):
        aggregation = make([5], Momentum(2), track=True)
        optimizer = torch.optim.Adam(aggregation.parameters(), 0.02)
        losses = []
        for _ in range(30):
            aggregation(sets.x, sets.index)
            losses.append(aggregation.residual_loss())
            optimizer.zero_grad()
            losses[-1].backward()
            optimizer.step()
        assert losses[-1] < 0.5 * losses[0]


def test_warns_once_where_implicit_gradients_are_wrong(sets):
    aggregation = make([5], Momentum(1), Implicit())
    with pytest.warns(UserWarning, match="3 of 4 sets have not converged"):
        out = aggregation(sets.x.requires_grad_(), sets.index)
    out.sum().backward()
    assert sets.x.grad.isfinite().all()
    aggregation(sets.x, sets.index)  # warnings are errors


class TestStates:
    @pytest.mark.parametrize("compat", [None, "pyg"])
    @pytest.mark.parametrize("width", [CHANNELS, -1])
    def test_takes_those_of_pyg(self, sets, compat, width):
        theirs = Published(CHANNELS, 4, [6, 5], grad_iter=3)
        ours = EquilibriumAggregation(
            width, 4, num_layers=[6, 5], grad_iter=3, lamb=0.1, compat=compat
        )
        ours.load_state_dict(theirs.state_dict())
        x = sets.x.float()
        same = torch.allclose(ours(x, sets.index), theirs(x, sets.index), atol=1e-5)
        assert same == (compat == "pyg")

    @each_part
    def test_a_lazy_one_takes_its_width(self, make, energy, solver, adjoint, sets):
        stored = make()
        name = {ConvexEnergy: "convex", ResNetEnergy: [6, 5]}.get(energy, "paper")
        if energy is ResNetEnergy:
            stored = globals()["make"]([6, 5], stored.solver, stored.adjoint)
        lazy = EquilibriumAggregation(
            -1, 4, name, copy.deepcopy(stored.solver), stored.adjoint
        )
        lazy.load_state_dict(stored.state_dict())
        assert lazy.in_channels == CHANNELS

    def test_a_lazy_one_that_keeps_the_width(self):
        for energy in ("convex", [6]):
            lazy = EquilibriumAggregation(energy=energy)
            lazy.load_state_dict(EquilibriumAggregation(5, energy=energy).state_dict())
            assert (lazy.in_channels, lazy.out_channels) == (5, 5)

    def test_nested(self):
        conv = SAGEConv(CHANNELS, 4, aggr=EquilibriumAggregation())
        conv(torch.randn(4, CHANNELS), torch.tensor([[0, 1], [1, 2]]))
        other = SAGEConv(CHANNELS, 4, aggr=EquilibriumAggregation())
        other.load_state_dict(conv.state_dict())


def test_precision_of_the_solver_does_not_depend_on_that_of_elements(sets):
    aggregation = make().float()
    with torch.autocast("cpu", torch.bfloat16):
        result = aggregation.solve(sets.x.float(), sets.index)
        grad = aggregation.energy_grad(sets.x.float(), result.y, sets.index)
    assert result.y.dtype == grad.dtype == torch.float32
    assert result.residual.max() < 1e-5
    assert grad.norm(dim=1).max() < 1e-5
    result = aggregation.bfloat16().solve(sets.x.bfloat16(), sets.index)
    assert result.y.dtype == torch.bfloat16
    assert (result.status[[0, 2, 3]] == Status.CONVERGED).all()


def test_parameters_have_the_same_gradient_when_compiled(sets):
    aggregation = make()

    def gradients(run):
        aggregation.zero_grad()
        run(sets.x, sets.index, dim_size=4).square().sum().backward()
        return [p.grad.clone() for p in aggregation.parameters()]

    torch.compiler.reset()
    compiled = torch.compile(aggregation, fullgraph=True, backend="aot_eager")
    for one, other in zip(gradients(compiled), gradients(aggregation), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)
    torch.compiler.reset()


def test_saves_a_few_rows_for_each_element_whatever_the_steps():
    batch = random_sets(16, [50] * 20)
    saved = [
        measure_memory(EquilibriumAggregation(16, 16, solver=Newton(tol=tol)), batch)[
            "bytes saved for backward"
        ]
        for tol in (1e-1, 1e-6)
    ]
    assert saved[0] == saved[1]
    # The elements, their lift, the units; a quarter more for rows of sets.
    assert saved[0] < 1.25 * 4 * len(batch.x) * (16 + 32 + 32)


@pytest.fixture
def one_process(tmp_path):
    dist.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("energy", ["convex", [5]])
def test_trains_distributed(energy, sets):
    model = DistributedDataParallel(make(energy))
    for _ in range(2):
        model(sets.x, sets.index, dim_size=4).sum().backward()
