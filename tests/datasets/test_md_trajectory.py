import io

import numpy as np
import pytest
import torch

from pyg_setops.datasets import MDTrajectory
from pyg_setops.datasets.embedded import embedded
from pyg_setops.datasets.extended_xyz import read_extended_xyz

WATER = """3
Properties=species:S:1:pos:R:3:forces:R:3 energy=-76.4 comment="a = b" pbc="F F F"
O  0.0  0.00 0.0   0.1 0.0 0.2
H  0.0  0.76 0.5  -0.1 0.0 0.1
H  0.0 -0.76 0.5   0.0 0.0 -0.3
"""
PROTON = "1\nProperties=id:I:1:species:S:1:pos:R:3 energy=0\n7 H 1.0 2.0 3.0\n"


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "a.xyz"
        path.write_text(text)
        return path

    return write


def test_the_sample_has_units_and_two_disjoint_parts():
    train, test = MDTrajectory("ethanol"), MDTrajectory("ethanol", "test")
    assert len(train) == len(test) == 1000
    assert train[0].z.tolist() == [6, 6, 8, 1, 1, 1, 1, 1, 1]
    flat = [part.pos.view(1000, 27) for part in (train, test)]
    assert torch.cdist(*flat).min() > 0.01
    assert train.force.view(1000, 9, 3).sum(1).abs().max() < 1e-5
    # An O-H bond is about 0.97 Å long; the card says how energies vary.
    bond = (train.pos.view(1000, 9, 3)[:, 2] - train.pos.view(1000, 9, 3)[:, 8]).norm(
        dim=1
    )
    assert float(bond.median()) == pytest.approx(0.97, abs=0.03)
    assert float(train.energy.std()) == pytest.approx(0.18, abs=0.02)
    assert train.energy.dtype == torch.double


def test_forces_of_the_sample_are_minus_the_gradient_of_its_energies():
    # Between close conformations, the energy changes by the work of the mean force.
    train = MDTrajectory("ethanol")
    pos, force = (
        getattr(train, key).view(1000, 27).double() for key in ("pos", "force")
    )
    distance = torch.cdist(pos, pos).fill_diagonal_(torch.inf)
    one, other = (distance < 0.45).nonzero().T
    one, other = one[one < other], other[one < other]
    assert len(one) > 20
    work = -((force[one] + force[other]) / 2 * (pos[other] - pos[one])).sum(1)
    change = train.energy[other] - train.energy[one]
    slope = float((work * change).sum() / (work * work).sum())
    assert slope == pytest.approx(1, abs=0.1)


def test_a_checksum_guards_the_sample():
    for name in ("train.npz", "test.npz"):
        assert embedded("ethanol", name).is_file()
    folder = embedded("ethanol", "train.npz").parent
    assert "MIT License" in (folder / "LICENSE").read_text()


def test_extended_xyz_is_read(write):
    (data,) = MDTrajectory(write(WATER))
    assert data.z.tolist() == [8, 1, 1]
    torch.testing.assert_close(data.pos[1], torch.tensor([0.0, 0.76, 0.5]))
    torch.testing.assert_close(data.force[2], torch.tensor([0.0, 0.0, -0.3]))
    assert float(data.energy) == -76.4


def test_columns_may_stand_in_any_order_and_forces_may_be_missing():
    (frame,) = read_extended_xyz(io.StringIO(PROTON), "p")
    assert frame.z.tolist() == [1]
    assert frame.pos.tolist() == [[1, 2, 3]]
    assert frame.force is None
    assert frame.energy == 0


@pytest.mark.parametrize(
    "entry",
    [
        "energy=-1.5",
        "energy = -1.5",
        '"energy"=-1.5',
        "'energy' = {-1.5}",
        'energy="-1.5" pbc="F F F" Lattice="9 0 0 0 9 0 0 0 9"',
        "pbc=[false, false, False] energy=-1.5",
        "Lattice={9 0 0 0 9 0 0 0 9} pbc={0 0 0} energy=[-1.5]",
        r'comment="not \"energy=7\", no" energy=-1.5 dft.energy=7',
        "ready energy=-1.5 and energy_gap=7",
    ],
)
def test_entries_may_be_quoted_and_stand_apart(entry):
    (frame,) = read_extended_xyz(io.StringIO(f"1\n{entry}\nH 0 0 0\n"), "h")
    assert frame.energy == -1.5


@pytest.mark.parametrize(
    "entry",
    [
        "pbc={F F T}",
        "pbc=[T, T, T]",
        'pbc="true false false"',
        'pbc="0 0 1"',
        'Lattice="9 0 0 0 9 0 0 0 9"',  # periodic, unless it is said not to be
    ],
)
def test_periodic_ones_are_refused_however_they_say_so(entry):
    with pytest.raises(ValueError, match="pbc"):
        list(read_extended_xyz(io.StringIO(f"1\n{entry}\nH 0 0 0\n"), "h"))


def test_atomic_numbers_may_take_the_place_of_symbols():
    text = "2\nProperties=pos:R:3:Z:I:1\n0 0 0 1\n0 0 1 8\n"
    (frame,) = read_extended_xyz(io.StringIO(text), "oh")
    assert frame.z.tolist() == [1, 8]
    assert frame.pos.tolist() == [[0, 0, 0], [0, 0, 1]]


def test_units_and_references(write):
    (data,) = MDTrajectory(write(WATER), unit="Ha", references={8: -75.0, 1: -0.5})
    assert float(data.energy) == pytest.approx(-0.4 * 27.211386245988)
    assert float(data.force[0, 0]) == pytest.approx(0.1 * 27.211386245988, rel=1e-6)
    with pytest.raises(ValueError, match=r"references.*\[1\]"):
        MDTrajectory(write(WATER), references={8: -75.0})


@pytest.mark.parametrize(
    ("names", "shape"),
    [
        (("z", "R", "E", "F"), (4, 1)),
        (("nuclear_charges", "coords", "energies", "forces"), (4,)),
    ],
)
def test_archives_of_md17_and_of_its_revision_are_read(tmp_path, names, shape):
    rng = np.random.default_rng(0)
    arrays = np.array([8, 1, 1]), rng.normal(size=(4, 3, 3)), rng.normal(size=shape)
    path = tmp_path / "a.npz"
    force = rng.normal(size=(4, 3, 3))
    np.savez(path, **dict(zip(names, (*arrays, force), strict=True)))
    dataset = MDTrajectory(path, unit="kcal/mol")
    assert len(dataset) == 4
    assert float(dataset[2].energy) == pytest.approx(arrays[2].flat[2] * 0.0433641)
    np.testing.assert_allclose(dataset[3].pos, arrays[1][3], rtol=1e-6)
    np.testing.assert_allclose(dataset[3].force, force[3] * 0.0433641, rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (WATER[:-30], "ends inside|not extended XYZ"),
        (WATER + "3\n", "line 6"),
        (WATER.replace("O ", "Xx "), "line 1.*Xx"),
        (WATER.replace("F F F", "T T T"), "pbc"),
        (WATER.replace("0.76", "oops"), "oops"),
        (WATER.replace(" 0.5", ""), "expected 7 columns for each of 3"),
        ("2\n\nH 0 0 0\n\n", "expected 4 columns for each of 2"),
        ("-1\n", "at least one atom, got -1"),
        (WATER + PROTON, "some molecules"),
        ("", "at least one"),
    ],
)
def test_what_is_not_extended_xyz_is_refused(write, text, match):
    with pytest.raises(ValueError, match=match):
        MDTrajectory(write(text))


def test_wrong_arguments_are_named(tmp_path, write):
    for arguments in ({"split": "val"}, {"unit": "J"}, {"source": "benzene.pdb"}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            MDTrajectory(**arguments)
    with pytest.raises(ValueError, match="split"):
        MDTrajectory(write(WATER), "test")
    path = tmp_path / "bad.npz"
    np.savez(path, z=np.array([1, 1]), R=np.zeros((3, 3, 3)))
    with pytest.raises(ValueError, match="shape"):
        MDTrajectory(path)
    np.savez(path, z=np.array([1, 1]))
    with pytest.raises(ValueError, match="called R"):
        MDTrajectory(path)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"E": np.zeros(5)}, r"energies of shape \(4,\) or \(4, 1\).*got \(5,\)"),
        ({"E": np.zeros(2)}, r"energies.*got \(2,\)"),
        ({"E": np.zeros((4, 2))}, r"energies.*got \(4, 2\)"),
        ({"F": np.zeros((4, 3, 2))}, r"forces.*got \(4, 3, 2\)"),
        ({"R": np.zeros((0, 3, 3))}, "at least one molecule"),
    ],
)
def test_archives_of_other_shapes_are_refused(tmp_path, changes, match):
    path = tmp_path / "a.npz"
    np.savez(path, **{"z": np.array([8, 1, 1]), "R": np.zeros((4, 3, 3)), **changes})
    with pytest.raises(ValueError, match=match):
        MDTrajectory(path)


def test_what_an_archive_has_besides_does_not_matter(tmp_path):
    path = tmp_path / "a.npz"
    note = np.array({"by": "someone"}, dtype=object)
    np.savez(path, z=np.array([1]), R=np.zeros((2, 1, 3)), note=note)
    assert len(MDTrajectory(path)) == 2


def test_what_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(FileNotFoundError):
        MDTrajectory(path)
    path.write_bytes(b"not an archive")
    with pytest.raises(ValueError, match=r"a\.npz: expected an archive"):
        MDTrajectory(path)
