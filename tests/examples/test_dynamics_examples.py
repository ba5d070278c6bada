import dynamics_ethanol
import dynamics_gravity
import dynamics_springs
import pytest
import torch
from dynamics import position_error, position_loss, repeated
from dynamics.forces import ENERGIES, EnergyAndForces
from dynamics.movers import MOVERS, Straight
from dynamics.potentials import POTENTIALS, true_potential
from torch_geometric.data import Batch, Data

from pyg_setops.datasets import MDTrajectory, SpringDynamics
from pyg_setops.dynamics import HamiltonianNet

# What is only invariant to translation, or to rotation on average over lifts.
SHIFTS_ALONE = {
    "LieTransformer, T(3)",
    "LieTransformer, SE(3)",
    "LieTransformer, SE(3), a frame a set",
    "LieTransformer, T(3) with 12 turns",
    "SWARM on coordinates",
}


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def turn(dim: int) -> torch.Tensor:
    matrix = torch.linalg.qr(torch.randn(dim, dim))[0]
    return matrix * torch.linalg.det(matrix)  # a rotation, in odd dimensions


@pytest.fixture(params=["charge", "mass"])
def particles(request) -> Batch:
    torch.manual_seed(0)
    sizes = (5, 3)
    return Batch.from_data_list(
        [
            Data(
                pos=torch.randn(n, 3),
                vel=torch.randn(n, 3),
                **{request.param: torch.rand(n) + 0.2},
            )
            for n in sizes
        ]
    )


@pytest.mark.parametrize("name", MOVERS)
def test_where_particles_go_moves_with_them(particles, name):
    torch.manual_seed(1)
    mover = MOVERS[name]().eval()
    with torch.no_grad():
        out = mover(particles, 1.0)
        assert not torch.allclose(out, Straight()(particles, 1.0))
        shifted = particles.clone()
        shifted.pos = particles.pos + 1.7
        torch.testing.assert_close(mover(shifted, 1.0), out + 1.7, rtol=0, atol=1e-9)
        rotation, turned = turn(3), particles.clone()
        turned.pos, turned.vel = particles.pos @ rotation, particles.vel @ rotation
        turns_along = torch.allclose(mover(turned, 1.0), out @ rotation, atol=1e-5)
    assert turns_along == (name not in SHIFTS_ALONE)


@pytest.mark.parametrize("name", MOVERS)
def test_systems_of_a_batch_are_apart(particles, name):
    torch.manual_seed(1)
    mover = MOVERS[name]().eval()
    with torch.no_grad():
        together = mover(particles, 1.0)
        alone = mover(particles[0], 1.0)
    torch.testing.assert_close(alone, together[:5])


@pytest.mark.parametrize("name", ENERGIES)
def test_forces_are_minus_the_gradient_of_the_energy(name):
    torch.manual_seed(0)
    data = [MDTrajectory("ethanol")[number] for number in range(2)]
    batch = Batch.from_data_list(data)
    batch.pos = batch.pos.double()
    network = EnergyAndForces(ENERGIES[name](), offset=-41.0).eval()
    _, force = network(batch)
    assert force.isfinite().all()
    direction = torch.randn_like(batch.pos)
    ends = []
    for sign in (1, -1):
        moved = batch.clone()
        moved.pos = batch.pos + sign * 1e-5 * direction
        ends.append(network(moved)[0].sum().detach())
    slope = (ends[0] - ends[1]) / 2e-5
    expected = -(force * direction).sum()
    torch.testing.assert_close(slope, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["EGNN", "SE3Transformer", "distances, SWARM readout"])
def test_energies_of_molecules_do_not_turn(name):
    torch.manual_seed(0)
    batch = Batch.from_data_list([MDTrajectory("ethanol")[0]])
    batch.pos = batch.pos.double()
    network = EnergyAndForces(ENERGIES[name](), offset=-41.0).eval()
    energy, force = network(batch)
    rotation, turned = turn(3), batch.clone()
    turned.pos = batch.pos @ rotation + 2
    torch.testing.assert_close(network(turned)[0], energy, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        network(turned)[1], force @ rotation, rtol=1e-4, atol=1e-5
    )


def test_networks_for_molecules_learn_from_forces():
    batch = Batch.from_data_list([MDTrajectory("ethanol")[0]])
    batch.pos, batch.force = batch.pos.double(), batch.force.double()
    network = EnergyAndForces(ENERGIES["EGNN"](), offset=-41.0)
    values = dynamics_ethanol.loss(network, batch)
    values["loss"].backward()
    assert all(weight.grad is not None for weight in network.network.lin.parameters())
    with torch.inference_mode():
        torch.testing.assert_close(
            dynamics_ethanol.loss(network.eval(), batch)["force"], values["force"]
        )


def test_the_true_potential_follows_the_data(tmp_path):
    data = SpringDynamics("test", 3, num_frames=5, root=tmp_path)
    batch = Batch.from_data_list(list(data))
    for key in ("pos", "vel", "mass", "stiffness", "pos_t", "vel_t"):
        batch[key] = batch[key].double()
    net = HamiltonianNet(true_potential, integrator="yoshida4", substeps=4)
    with torch.no_grad():
        error = dynamics_springs.loss(net, batch)["loss"]
    assert error < 1e-10  # what is left is the float32 of the data


@pytest.mark.parametrize("name", POTENTIALS)
def test_potentials_of_springs_have_forces(tmp_path, name):
    data = SpringDynamics("test", 2, root=tmp_path)
    batch = Batch.from_data_list(list(data))
    x = torch.stack([batch.mass, batch.stiffness], 1).double()
    net = HamiltonianNet(POTENTIALS[name]()).double()
    force = net.force(x, batch.pos.double(), batch.batch)
    assert force.isfinite().all()
    assert force.abs().max() > 0


def test_batches_repeat_what_is_few():
    data = SpringDynamics("train", 3)
    masses = [batch.mass.sum() for batch in repeated(data, 4, 5, 32)]
    assert len(masses) == 5
    torch.testing.assert_close(masses, [masses[0]] * 5)  # each holds all three
    again = [batch.pos for batch in repeated(data, 4, 5, 2)]
    other = [batch.pos for batch in repeated(data, 4, 5, 2)]
    assert all(torch.equal(*pair) for pair in zip(again, other, strict=True))
    assert len(again) == 5


def test_straight_motion_is_a_row_to_beat(particles):
    systems = particles.to_data_list()
    for system in systems:
        system.y = system.pos + 2 * system.vel
    batch = Batch.from_data_list(systems)
    assert position_loss(Straight(), batch, 2.0)["loss"] < 1e-30
    assert position_error(Straight(), systems, 2.0) < 1e-30
    systems[1].y = systems[1].y + 1
    assert position_error(Straight(), systems, 2.0) == pytest.approx(3 / 8)


def test_errors_are_relative_to_straight_motion():
    errors = {"straight motion": [[2.0, 4.0]], "a": [[1.0, 1.0], [2.0, 8.0]]}
    assert dynamics_gravity.relative(errors, "a") == [[0.5, 0.25], [1.0, 2.0]]


def test_a_heavier_body_moves_less():
    """The momentum that pairs exchange is the same; velocities go by masses."""
    torch.manual_seed(0)
    data = Data(pos=torch.randn(2, 3), vel=torch.zeros(2, 3))
    data.mass = torch.tensor([0.5, 1.5])
    moved = MOVERS["HamiltonianNet, pairs"]()(data, 1.0) - data.pos
    torch.testing.assert_close(moved[0] * 0.5, -moved[1] * 1.5)
    assert moved.abs().max() > 0
