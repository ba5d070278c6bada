import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_setops.transforms import RandomMotion
from pyg_setops.transforms.random_motion import random_rotations


def graph(n):
    return Data(pos=torch.randn(n, 3), v=torch.randn(n, 3), dipole=torch.randn(1, 3))


@pytest.mark.parametrize("dim", [2, 3, 4])
def test_rotations_are_rotations_without_a_mean(dim):
    r = random_rotations(4000, dim, torch.Generator().manual_seed(0))
    eye = torch.eye(dim, dtype=r.dtype).expand_as(r)
    torch.testing.assert_close(r @ r.mT, eye)
    torch.testing.assert_close(torch.linalg.det(r), r.new_ones(4000))
    assert r.mean(0).abs().max() < 0.04
    # The trace of a uniform rotation has mean square 1 (2 in the plane).
    square = r.diagonal(dim1=1, dim2=2).sum(1).square().mean()
    assert abs(float(square) - (2 if dim == 2 else 1)) < 0.1


def test_each_graph_of_a_batch_moves_rigidly_on_its_own():
    graphs = [graph(n) for n in (4, 1, 5)]
    moved = RandomMotion(0.5, vectors=("v", "dipole"))(Batch.from_data_list(graphs))
    turns = []
    for before, after in zip(graphs, moved.to_data_list(), strict=True):
        torch.testing.assert_close(
            torch.cdist(after.pos, after.pos), torch.cdist(before.pos, before.pos)
        )
        # One rotation takes differences, velocities and dipoles along.
        old = torch.cat([before.pos - before.pos[0], before.v, before.dipole])
        new = torch.cat([after.pos - after.pos[0], after.v, after.dipole])
        torch.testing.assert_close(old @ old.T, new @ new.T, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(before.pos, after.pos)
        turns.append(torch.linalg.lstsq(old, new).solution if len(old) > 5 else None)
    assert not torch.allclose(turns[0], turns[2])


def test_translates_only():
    data = graph(5)
    before = data.pos.clone()
    shift = RandomMotion(0.5, rotate=False)(data).pos - before
    torch.testing.assert_close(shift, shift[:1].expand(5, 3))
    assert shift.abs().max() > 0


def test_is_reproduced_by_a_generator():
    first, second = (
        RandomMotion(generator=torch.Generator().manual_seed(1))(
            Data(pos=torch.ones(3, 3))
        ).pos
        for _ in range(2)
    )
    assert torch.equal(first, second)


def motion(**kwargs):
    return RandomMotion(0.0, generator=torch.Generator().manual_seed(2), **kwargs)


@pytest.mark.parametrize("num_times", [1, 4, 9])
def test_vectors_at_several_times_turn_with_their_node(num_times):
    batch = Batch.from_data_list([graph(n) for n in (4, 5)])
    batch.v_t = torch.randn(9, num_times, 3, dtype=torch.float64)
    moved = motion(vectors=("v_t",))(batch.clone())
    assert moved.v_t.dtype == torch.float64
    for time in range(num_times):
        each = batch.clone()
        each.v = batch.v_t[:, time].float()
        expected = motion(vectors=("v",))(each).v
        torch.testing.assert_close(moved.v_t[:, time].float(), expected)


def test_graphs_are_told_apart_by_batch_alone():
    batch = Batch.from_data_list([graph(n) for n in (4, 5)])
    plain = Data(pos=batch.pos, batch=batch.batch)
    assert torch.equal(motion()(plain).pos, motion()(batch).pos)


def test_what_is_not_vectors_is_named():
    for shape in ((5, 2), (3, 3)):
        data = Data(pos=torch.randn(5, 3), v=torch.randn(shape))
        with pytest.raises(ValueError, match="'v' must be vectors of 5 nodes"):
            motion(vectors=("v",))(data)


def test_errors():
    with pytest.raises(ValueError, match="'pos'"):
        RandomMotion()(Data(x=torch.ones(2, 1)))
    with pytest.raises(ValueError, match="'translation'"):
        RandomMotion(-1.0)
    assert repr(RandomMotion()) == "RandomMotion(translation=0.5, rotate=True)"
