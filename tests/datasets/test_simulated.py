import json

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from pyg_setops.datasets import ChargedNBody, GravityNBody, SpringDynamics
from pyg_setops.datasets import simulated as module

# Short simulations: what is tested does not depend on the length.
DATASETS = {
    SpringDynamics: {},
    ChargedNBody: {"frames": (0, 1)},
    GravityNBody: {"frames": (0, 1)},
}


@pytest.fixture(params=DATASETS, ids=lambda cls: cls.__name__)
def make(request, tmp_path, monkeypatch):
    """Makes a small dataset of each class."""
    monkeypatch.setattr(request.param, "block", 10)

    def build(split="train", num_systems=25, num_particles=(3, 7), **kwargs):
        kwargs = {"root": tmp_path, **DATASETS[request.param], **kwargs}
        return request.param(split, num_systems, num_particles, **kwargs)

    return build


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one.keys())  # noqa: SIM118


def test_a_batch_mixes_sizes(make):
    batch = next(iter(DataLoader(make(), 25)))
    assert set(batch.ptr.diff().tolist()) == {3, 7}
    assert batch.pos.size(0) == batch.num_nodes == int(batch.ptr[-1])
    assert torch.equal(batch.pos, batch.pos_t[:, 0])
    assert torch.equal(batch.vel, batch.vel_t[:, 0])
    assert torch.equal(batch.y, batch.pos_t[:, -1])


def test_a_longer_dataset_begins_with_a_shorter_one(make, tmp_path):
    long = make(num_systems=25)
    short = make(num_systems=12, root=tmp_path / "other")
    for number in range(12):
        assert_equal(long[number], short[number])


def test_systems_follow_from_the_seed(make, tmp_path):
    first = make(num_systems=3)
    assert_equal(first[2], make(num_systems=3, root=tmp_path / "other")[2])
    assert not torch.equal(first[0].pos[:3], make(num_systems=3, seed=7)[0].pos[:3])


def test_no_system_is_in_two_splits(make):
    rows = torch.cat(
        [
            torch.stack([data.pos[:3].flatten() for data in make(split)])
            for split in ("train", "val", "test")
        ]
    )
    assert len(rows.unique(dim=0)) == len(rows) == 75


def test_a_killed_simulation_goes_on_after_the_last_whole_block(make, monkeypatch):
    whole = make(seed=3)
    path = sorted(whole.folder.glob("*.npz"))
    assert [file.name for file in path] == ["000000.npz", "000010.npz", "000020.npz"]
    path[1].unlink()
    path[2].write_bytes(path[2].read_bytes()[:-100])  # damaged
    simulated = []
    original = module.SimulatedSystems._make

    def count(self, first):
        if len(simulated) == 1:
            raise KeyboardInterrupt("killed")
        simulated.append(first)
        return original(self, first)

    monkeypatch.setattr(module.SimulatedSystems, "_make", count)
    with pytest.raises(KeyboardInterrupt):
        make(seed=3)
    assert simulated == [10]
    simulated.clear()
    resumed = make(seed=3)
    assert simulated == [20]  # the block that the kill cost, and no other
    for one, other in zip(whole, resumed, strict=True):
        assert_equal(one, other)
    simulated.clear()
    make(seed=3)
    assert simulated == []
    assert not list(whole.folder.glob(".*"))  # nothing half-written


def test_a_flipped_byte_is_noticed(make):
    whole = make(num_systems=5)
    (path,) = whole.folder.glob("*.npz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert_equal(make(num_systems=5)[4], whole[4])


def test_a_flipped_bit_anywhere_in_the_table_of_a_block_is_noticed(make):
    dataset = make(num_systems=5)
    (path,) = dataset.folder.glob("*.npz")
    content, whole = path.read_bytes(), dataset._read(0)
    for place in range(content.index(b"PK\1\2"), len(content)):
        for bit in (1, 128):
            damaged = bytearray(content)
            damaged[place] ^= bit
            path.write_bytes(damaged)
            block = dataset._read(0)
            if block is not None:  # the bit says nothing of the content
                np.testing.assert_equal(block, whole)


def test_numbers_may_be_those_of_numpy(make):
    plain = make(num_systems=2, num_particles=(3, 7), seed=5)
    sizes = np.array([3, 7])
    for num_particles in (sizes, list(sizes)):
        dataset = make(
            num_systems=np.int64(2), num_particles=num_particles, seed=np.int64(5)
        )
        assert dataset.folder == plain.folder
    assert make(num_systems=2, num_particles=sizes[0])[0].num_nodes == 3


def test_the_folder_says_what_is_in_it(make):
    dataset = make(num_systems=2)
    said = json.loads((dataset.folder / "parameters.json").read_text())
    assert said["num_particles"] == [3, 7]
    assert said["class"] == type(dataset).__name__
    assert make(num_systems=2, seed=5).folder != dataset.folder


def test_energy_is_that_of_each_system(make):
    dataset = make(num_systems=6)
    together = dataset.energy(Batch.from_data_list(list(dataset)))
    apart = torch.cat([dataset.energy(data) for data in dataset])
    torch.testing.assert_close(together, apart)
    assert together.shape == (6, dataset[0].pos_t.size(1))


def test_moving_and_turning_a_system_keeps_its_energy(make):
    dataset = make(num_systems=2)
    batch = Batch.from_data_list(list(dataset))
    pos, vel = batch.pos_t.double(), batch.vel_t.double()
    turn = torch.linalg.qr(torch.randn(pos.size(-1), pos.size(-1)).double())[0]
    torch.testing.assert_close(
        dataset.energy(batch, pos @ turn + 3, vel @ turn),
        dataset.energy(batch, pos, vel),
    )


def test_a_turned_start_gives_a_turned_trajectory(make):
    dataset = make(num_systems=2, num_particles=4)
    starts = [dataset.start(number) for number in range(2)]
    start = {key: np.stack([each[key] for each in starts]) for key in starts[0]}
    dim = start["pos"].shape[-1]
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(dim, dim)))[0]
    turned = {
        key: value @ turn if value.shape[-1] == dim and value.ndim == 3 else value
        for key, value in start.items()
    }
    moved, there = dataset.simulate(start), dataset.simulate(turned)
    for key in ("pos_t", "vel_t"):
        np.testing.assert_allclose(there[key], moved[key] @ turn, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("split", "dev"),
        ("num_systems", 0),
        ("seed", -1),
        ("num_particles", 1),
        ("num_particles", ()),
    ],
)
def test_wrong_arguments_are_named(make, name, value):
    with pytest.raises(ValueError, match=name):
        make(**{name: value})


def test_drawing_and_simulating_are_of_whole_blocks(make):
    dataset = make(num_systems=1, num_particles=4)
    (path,) = dataset.folder.glob("*.npz")
    with np.load(path) as block:
        assert block["size"].tolist() == [4] * 10
