import pytest
import torch

from pyg_setops.datasets import QM9
from pyg_setops.training.sources import open_source


def test_a_saved_list_is_split_at_random_and_always_alike(saved_molecules):
    source = open_source(str(saved_molecules), "1")
    assert [len(part) for part in source.parts] == [32, 4, 4]
    pieces = [graph.pos for part in source.parts for graph in part]
    saved = [graph.pos for graph in torch.load(saved_molecules, weights_only=False)]
    assert {tuple(pos.flatten().tolist()) for pos in pieces} == {
        tuple(pos.flatten().tolist()) for pos in saved
    }
    torch.manual_seed(1)
    again = open_source(str(saved_molecules), "1").parts
    assert torch.equal(again[0][0].pos, source.parts[0][0].pos)
    assert not torch.equal(saved[0], pieces[0])


def test_qm9_is_known_by_name_with_units(tmp_path, monkeypatch):
    monkeypatch.setenv("PYG_SETOPS_HOME", str(tmp_path))
    source = open_source("qm9")
    assert (source.target, source.column, source.unit) == ("homo", 2, "eV")
    assert [len(part) for part in source.parts] == [7643, 1357, 1000]


def test_energies_are_taken_without_those_of_the_atoms(tmp_path, monkeypatch):
    monkeypatch.setenv("PYG_SETOPS_HOME", str(tmp_path))
    column = QM9.targets["u0"].column
    less = open_source("qm9", "u0")
    assert less.target == "u0 less atoms"
    assert float(less.parts[2][0].y[0, column]) > -200
    whole = open_source("qm9:subtract_atomrefs=false", "u0")
    assert whole.target == "u0"
    assert float(whole.parts[2][0].y[0, column]) < -1000


def test_a_class_of_pyg():
    source = open_source("FakeDataset:num_graphs=20,avg_num_nodes=5")
    assert source.name == "FakeDataset:num_graphs=20,avg_num_nodes=5"
    assert [len(part) for part in source.parts] == [16, 2, 2]


def test_errors(saved_molecules, tmp_path):
    with pytest.raises(ValueError, match="datasets or the path"):
        open_source("NoSuchDataset")
    for other in ("warnings", "Data", "__name__"):
        with pytest.raises(ValueError, match="datasets or the path"):
            open_source(other)
    with pytest.raises(ValueError, match=r"'TUDataset' cannot .* argument: 'name'"):
        open_source("TUDataset")
    with pytest.raises(ValueError, match=r"'qm9:size=9' cannot .* argument 'size'"):
        open_source("qm9:size=9")
    with pytest.raises(ValueError, match="'target' must be a column"):
        open_source(str(saved_molecules), "homo")
    few = tmp_path / "few.pt"
    torch.save(torch.load(saved_molecules, weights_only=False)[:9], few)
    with pytest.raises(ValueError, match=r"at least ten graphs .* got 9"):
        open_source(str(few))


@pytest.mark.parametrize("size", [0, 20, 2000])
def test_a_damaged_list_is_refused(saved_molecules, size):
    saved_molecules.write_bytes(saved_molecules.read_bytes()[:size])
    with pytest.raises((ValueError, OSError)):
        open_source(str(saved_molecules))
    saved_molecules.write_bytes(b"no list of graphs")
    with pytest.raises(ValueError, match=r"'data' .* is damaged"):
        open_source(str(saved_molecules))
