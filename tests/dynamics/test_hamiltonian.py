import copy
import pickle
from weakref import WeakSet

import pytest
import torch

from pyg_setops.aggr import EquilibriumAggregation, SwarmAggregation
from pyg_setops.dynamics import (
    CentredPotential,
    HamiltonianNet,
    PairPotential,
    Trajectory,
    energy_drift,
    rollout_error,
    rollout_loss,
)
from pyg_setops.models import DeepSets

SIZES = [4, 1, 6]
POTENTIALS = {
    "pairs": lambda: PairPotential(2, 8),
    "SWARM": lambda: CentredPotential(
        SwarmAggregation(5, 1, hidden_channels=8, num_iterations=3)
    ),
    "equilibrium": lambda: CentredPotential(EquilibriumAggregation(5, 1)),
}
each_potential = pytest.mark.parametrize("name", POTENTIALS)


class Systems:
    """Three systems of different sizes, in float64 and three dimensions."""

    def __init__(self):
        total = sum(SIZES)
        self.batch = torch.arange(3).repeat_interleave(torch.tensor(SIZES))
        self.x, self.pos, self.momentum = (
            torch.randn(total, width, dtype=torch.double) for width in (2, 3, 3)
        )
        self.mass = torch.rand(total, dtype=torch.double) + 0.5

    def follow(self, net, num_steps=3, step=0.1, **changes):
        values = {**vars(self), **changes}
        state = (values[key] for key in ("x", "pos", "momentum"))
        return net(*state, step, num_steps, values["mass"], values["batch"])


@pytest.fixture
def systems():
    return Systems()


def make(name, **kwargs):
    return HamiltonianNet(POTENTIALS[name](), **kwargs).double()


@each_potential
def test_forces_are_minus_the_gradient_by_finite_differences(systems, name):
    net = make(name)
    force = net.force(systems.x, systems.pos, systems.batch)
    direction = torch.randn_like(systems.pos)
    step = 1e-5
    ends = [
        net.potential(systems.x, systems.pos + sign * step * direction, systems.batch)
        for sign in (1, -1)
    ]
    slope = (ends[0] - ends[1]).sum() / (2 * step)
    expected = -(force * direction).sum()
    torch.testing.assert_close(slope, expected, rtol=1e-5, atol=1e-9)
    assert force.abs().max() > 0


@each_potential
@pytest.mark.parametrize("integrator", ["leapfrog", "rk4"])
def test_recomputed_is_plain(systems, name, integrator):
    results = []
    for recompute in (False, True):
        torch.manual_seed(1)
        net = make(name, integrator=integrator, substeps=2, recompute=recompute)
        inputs = {
            key: getattr(systems, key).clone().requires_grad_()
            for key in ("x", "pos", "momentum", "mass")
        }
        path = systems.follow(net, **inputs)
        loss = path.pos.square().mean() + path.momentum[:, -1].sin().mean()
        weights = list(net.parameters())
        grads = torch.autograd.grad(
            loss, [*inputs.values(), *weights], allow_unused=True
        )
        results.append([path.pos, path.momentum, *grads])
    assert sum(each is not None for each in results[0]) > 6
    for plain, recomputed in zip(*results, strict=True):
        torch.testing.assert_close(recomputed, plain, rtol=1e-10, atol=1e-12)


def test_recomputed_draws_the_same_random_numbers(systems):
    class Noisy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(3, dtype=torch.double))

        def forward(self, x, pos, batch):
            return ((pos * self.weight * torch.rand_like(pos)) ** 2).sum()[None]

    results = []
    for recompute in (False, True):
        torch.manual_seed(2)
        net = HamiltonianNet(Noisy(), recompute=recompute)
        systems.follow(net).pos.square().sum().backward()
        results.append((net.potential.weight.grad, torch.rand(1)))
    torch.testing.assert_close(results[0], results[1])


def test_recomputed_has_the_gradients_of_lent_weights(systems):
    """The backward pass comes when the network has its own weights back."""
    results = []
    for recompute in (False, True):
        torch.manual_seed(5)
        net = make("pairs", recompute=recompute)
        lent = {
            name: (1.5 * weight.detach()).requires_grad_()
            for name, weight in net.named_parameters()
        }
        inputs = systems.x, systems.pos, systems.momentum, 0.1, 3, None, systems.batch
        path = torch.func.functional_call(net, lent, inputs)
        results.append(
            torch.autograd.grad(
                path.pos.square().sum(), list(lent.values()), allow_unused=True
            )
        )
    torch.testing.assert_close(*results)


def test_recomputed_takes_frozen_weights_as_they_are(systems):
    results = []
    for recompute in (False, True):
        torch.manual_seed(5)
        net = make("pairs", recompute=recompute)
        net.potential.mlp.requires_grad_(False)
        systems.follow(net).pos.square().sum().backward()
        results.append([weight.grad for weight in net.parameters()])
    torch.testing.assert_close(*results)


def test_recomputed_makes_a_lazy_potential(systems):
    results = []
    for recompute in (False, True):
        torch.manual_seed(5)
        potential = CentredPotential(SwarmAggregation(-1, 1, hidden_channels=8))
        net = HamiltonianNet(potential.double(), recompute=recompute)
        systems.follow(net).pos.square().sum().backward()
        results.append([weight.grad for weight in net.parameters()])
    torch.testing.assert_close(*results)


def test_recomputed_is_in_the_autocast_of_its_forward():
    seen = []

    class Watched(PairPotential):
        def forward(self, x, pos, batch):
            seen.append(torch.is_autocast_enabled("cpu"))
            return super().forward(x, pos, batch)

    net = HamiltonianNet(Watched(0, 4), recompute=True)
    for enabled in (True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled):
            path = net(None, torch.randn(5, 3), torch.randn(5, 3), 0.1, 3)
        with torch.autocast("cpu", torch.bfloat16, not enabled):
            path.pos.square().sum().backward()
        assert seen == [enabled] * 6
        seen.clear()


class Kept:
    def __init__(self, tensor):
        self.tensor = tensor


def kept_bytes(run):
    """What is still kept for backward after ``run``, each storage once."""
    alive = WeakSet()

    def pack(tensor):
        alive.add(kept := Kept(tensor))
        return kept

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept.tensor):
        out = run()
    storages = [kept.tensor.untyped_storage() for kept in alive]
    del out
    return sum({each.data_ptr(): each.nbytes() for each in storages}.values())


def test_recomputed_keeps_the_states_alone(systems):
    plain, bounded = (make("pairs", recompute=flag) for flag in (False, True))
    grown = {}
    for name, net in (("plain", plain), ("bounded", bounded)):
        counts = [
            kept_bytes(lambda net=net, n=n: systems.follow(net, n)) for n in (4, 12)
        ]
        grown[name] = (counts[1] - counts[0]) / 8
    state = 2 * systems.pos.numel() * 8
    assert grown["bounded"] <= state
    assert grown["plain"] > 20 * state


def test_without_grad_mode_there_is_no_graph(systems):
    net = make("pairs")
    with torch.no_grad():
        quiet = systems.follow(net)
    assert not quiet.pos.requires_grad
    torch.testing.assert_close(quiet, systems.follow(net))


@each_potential
def test_inference_mode(systems, name):
    net = make(name).eval()
    with torch.inference_mode():
        path = systems.follow(net, x=systems.x.clone(), pos=systems.pos.clone())
    torch.testing.assert_close(path, systems.follow(net))


def test_forces_and_velocities_in_inference_mode(systems):
    def kinetic(x, momentum, batch):
        return momentum.square().square().sum()[None]

    net = make("pairs", kinetic=kinetic).eval()
    given = systems.x, systems.pos
    expected = net.force(*given, systems.batch), net.velocity(*given)
    with torch.inference_mode():
        copies = [tensor.clone() for tensor in given]
        found = net.force(*copies, batch=systems.batch.clone()), net.velocity(*copies)
    torch.testing.assert_close(found, expected)


@each_potential
def test_motion_is_equivariant(systems, name):
    net = make(name)
    path = systems.follow(net)
    shifted = systems.follow(net, pos=systems.pos + 2.5)
    torch.testing.assert_close(shifted.pos, path.pos + 2.5, rtol=0, atol=1e-10)
    torch.testing.assert_close(shifted.momentum, path.momentum, rtol=0, atol=1e-10)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.double))[0]
    turned = systems.follow(
        net, pos=systems.pos @ turn, momentum=systems.momentum @ turn
    )
    matches = torch.allclose(turned.pos, path.pos @ turn, rtol=0, atol=1e-10)
    assert matches == (name == "pairs")  # the others are invariant to shifts alone
    order = torch.randperm(len(systems.pos))
    moved = systems.follow(
        net, **{key: value[order] for key, value in vars(systems).items()}
    )
    torch.testing.assert_close(moved.pos, path.pos[order], rtol=0, atol=1e-10)


@each_potential
def test_symmetry_conserves_momentum(systems, name):
    path = systems.follow(make(name), num_steps=20)
    for number in range(3):
        total = path.momentum[systems.batch == number].sum(0)
        torch.testing.assert_close(total, total[:1].expand_as(total))
    angular = torch.linalg.cross(path.pos, path.momentum)[systems.batch == 2].sum(0)
    spread = (angular - angular[0]).abs().max()
    assert bool(spread < 1e-10) == (name == "pairs")


@each_potential
def test_systems_do_not_see_each_other(systems, name):
    net = make(name)
    path = systems.follow(net)
    for number in range(3):
        own = systems.batch == number
        alone = net(
            systems.x[own],
            systems.pos[own],
            systems.momentum[own],
            0.1,
            3,
            systems.mass[own],
        )
        torch.testing.assert_close(alone.pos, path.pos[own])
    spoiled = systems.pos.clone()
    spoiled[systems.batch == 0] = torch.nan
    beside = systems.follow(net, pos=spoiled)
    torch.testing.assert_close(beside.pos[4:], path.pos[4:])


def test_energy_is_conserved_up_to_the_order_of_the_integrator(systems):
    drift = {}
    for integrator in ("leapfrog", "yoshida4"):
        torch.manual_seed(3)
        net = make("pairs", integrator=integrator)
        path = systems.follow(net, num_steps=60, step=0.05)
        energies = net.energies(systems.x, path, systems.mass, systems.batch)
        assert energies.shape == (3, 61)
        drift[integrator] = float(energy_drift(energies).max())
    assert drift["leapfrog"] < 1e-2
    assert drift["yoshida4"] < drift["leapfrog"] / 20


def test_energy_adds_up(systems):
    net = make("pairs")
    energy = net.energy(
        systems.x, systems.pos, systems.momentum, systems.mass, systems.batch
    )
    for number in range(3):
        own = systems.batch == number
        kinetic = (systems.momentum[own] ** 2).sum(1) / (2 * systems.mass[own])
        potential = net.potential(systems.x[own], systems.pos[own], None)
        torch.testing.assert_close(energy[number], kinetic.sum() + potential.squeeze())


def test_a_kinetic_energy_can_be_learned(systems):
    class Kinetic(torch.nn.Module):
        def forward(self, x, momentum, batch):
            square = momentum.square().sum(-1)
            return square.new_zeros(3).index_add(0, batch, (1 + square).sqrt())

    net = make("pairs", kinetic=Kinetic())
    velocity = net.velocity(systems.x, systems.momentum, None, systems.batch)
    norm = (1 + systems.momentum.square().sum(-1, keepdim=True)).sqrt()
    torch.testing.assert_close(velocity, systems.momentum / norm)
    path = systems.follow(net, num_steps=40, step=0.02)
    energies = net.energies(systems.x, path, None, systems.batch)
    assert energy_drift(energies).max() < 1e-3


def test_substeps_are_shorter_steps(systems):
    torch.manual_seed(4)
    coarse = systems.follow(make("pairs", substeps=3), num_steps=2, step=0.3)
    torch.manual_seed(4)
    fine = systems.follow(make("pairs"), num_steps=6, step=0.1)
    torch.testing.assert_close(coarse.pos, fine.pos[:, ::3])


def test_a_roll_out_teaches_the_potential(systems):
    with torch.no_grad():
        target = systems.follow(
            HamiltonianNet(lambda x, pos, batch: pos.square().sum()[None]), num_steps=5
        )
    net = make("pairs", integrator="leapfrog", recompute=True)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        loss = rollout_loss(systems.follow(net, num_steps=5), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_roll_out_has_gradients_of_second_order():
    torch.manual_seed(0)
    net = HamiltonianNet(PairPotential(0, 4)).double()

    def run(pos, momentum):
        return tuple(net(None, pos, momentum, 0.1, 2))

    state = torch.randn(2, 3, 2, dtype=torch.double, requires_grad=True).unbind(0)
    assert torch.autograd.gradcheck(run, state)
    assert torch.autograd.gradgradcheck(run, state)


def test_recomputed_says_that_it_has_none(systems):
    net = make("pairs", recompute=True)
    pos = systems.pos.clone().requires_grad_()
    path = systems.follow(net, pos=pos)
    (grad,) = torch.autograd.grad(path.pos.square().sum(), pos, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_copies(systems):
    net = make("SWARM")
    path = systems.follow(net)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        torch.testing.assert_close(systems.follow(other), path)
    fresh = make("SWARM")
    fresh.load_state_dict(net.state_dict())
    torch.testing.assert_close(systems.follow(fresh), path)


def test_compiles_for_one_system(systems):
    net = make("SWARM").requires_grad_(False)
    run = torch.compile(
        lambda x, pos, p: net(x, pos, p, 0.1, 2).pos,
        fullgraph=True,
        backend="aot_eager",
    )
    inputs = systems.x[:4], systems.pos[:4], systems.momentum[:4]
    torch.testing.assert_close(run(*inputs), net(*inputs, 0.1, 2).pos)


def test_set_networks_are_potentials(systems):
    net = HamiltonianNet(CentredPotential(DeepSets(5, 1, 8, num_layers=2))).double()
    assert systems.follow(net).pos.shape == (11, 4, 3)


def test_pair_potential_without_features_sums_a_function_of_distances():
    potential = PairPotential(0, 8).double()
    pos = torch.randn(3, 2, dtype=torch.double)
    total = 0.0
    for i in range(3):
        for j in range(3):
            if i != j:
                square = ((pos[i] - pos[j]) ** 2).sum()[None, None]
                total += potential.mlp(
                    torch.nn.functional.silu(potential.lin_square(square))
                )
    torch.testing.assert_close(potential(None, pos), total)


def test_errors_are_of_every_time():
    true = Trajectory(torch.zeros(2, 3, 1), torch.zeros(2, 3, 1))
    off = torch.tensor([0.0, 1.0, 2.0])[None, :, None].expand(2, 3, 1)
    predicted = Trajectory(off, 3 * off)
    assert rollout_error(predicted, true).tolist() == [0, 5, 20]
    assert float(rollout_loss(predicted, true)) == 12.5
    assert float(rollout_loss(predicted, true, include_initial=True)) == pytest.approx(
        25 / 3
    )


def test_wrong_arguments_are_named(systems):
    net = make("pairs")
    with pytest.raises(ValueError, match="'substeps'"):
        make("pairs", substeps=0)
    with pytest.raises(ValueError, match="'integrator'"):
        make("pairs", integrator="verlet")
    with pytest.raises(ValueError, match="'momentum'"):
        systems.follow(net, momentum=systems.momentum[:3])
    with pytest.raises(ValueError, match="'mass'"):
        systems.follow(net, mass=systems.mass[:, None])
    with pytest.raises(ValueError, match="'num_steps'"):
        systems.follow(net, num_steps=-1)
    with pytest.raises(ValueError, match="'x' must have 2"):
        systems.follow(net, x=systems.pos)
    with pytest.raises(ValueError, match="'num_layers'"):
        PairPotential(2, num_layers=1)
    path = systems.follow(net)
    with pytest.raises(ValueError, match="one shape"):
        rollout_error(path, Trajectory(path.pos[:, 1:], path.momentum[:, 1:]))
    with pytest.raises(ValueError, match=r"one shape, got \[11, 4, 3\]"):
        rollout_error(path, Trajectory(path.pos, path.momentum[..., :1]))
