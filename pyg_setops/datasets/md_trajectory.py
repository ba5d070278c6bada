"""Conformations of molecules with energies and forces."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data, InMemoryDataset

from pyg_setops.datasets.embedded import embedded
from pyg_setops.datasets.extended_xyz import Frame, read_extended_xyz

_SAMPLES = ("ethanol",)
# The names in the archives of MD17 and of revised MD17.
_NAMES = {
    "z": ("z", "nuclear_charges"),
    "pos": ("R", "coords"),
    "energy": ("E", "energies"),
    "force": ("F", "forces"),
}


class MDTrajectory(InMemoryDataset):
    r"""Conformations of molecules, from molecular dynamics, with energies and forces.

    ``'ethanol'`` comes with the package: 1,000 + 1,000 conformations of rMD17, with
    energies and forces computed anew (PBE/def2-SVP) for `BOTNet
    <https://arxiv.org/abs/2205.06643>`_; they are not those of MD17 or rMD17. Any
    extended XYZ file (``.xyz``, ``.extxyz``), and ``.npz`` archives as MD17's and
    rMD17's, are read too; molecules of a file may differ.

    A conformation has ``z`` ``[n]``, ``pos`` ``[n, 3]`` in Å, ``energy`` ``[1]`` in
    eV (float64, as a total energy has many digits) and ``force`` ``[n, 3]`` in eV/Å.

    Args:
        source: ``'ethanol'`` or the path of a file (default: ``'ethanol'``).
        split: ``'train'`` or ``'test'``, for the sample only (default: ``'train'``).
        unit: the unit of energy in the file, whose lengths are in Å: ``'eV'``,
            ``'kcal/mol'`` (MD17 and rMD17) or ``'Ha'`` (default: ``'eV'``).
        references: the energy of an isolated atom, in the file's unit, by atomic
            number; their sum is taken off (default: those of the sample, none of a
            file).
        transform: applied to a conformation at every access (default: ``None``).

    Raises:
        ValueError: if an argument is wrong, or the file is not what it should be.
        FileNotFoundError: if there is no such file.
        ChecksumError: if the sample is damaged.

    Cost: the sample takes milliseconds, XYZ about a second for 10,000 molecules.

    Example:
        >>> data = MDTrajectory("ethanol", "test")[0]
        >>> data.pos.shape, data.force.shape, round(float(data.energy), 4)
        (torch.Size([9, 3]), torch.Size([9, 3]), -41.8595)
    """

    #: The energy in eV of each unit.
    units: ClassVar[Mapping[str, float]] = {
        "eV": 1.0,
        "kcal/mol": 0.0433641042,
        "Ha": 27.211386245988,
    }

    def __init__(
        self,
        source: str | Path = "ethanol",
        split: Literal["train", "test"] | None = None,
        unit: Literal["eV", "kcal/mol", "Ha"] = "eV",
        references: Mapping[int, float] | None = None,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        if unit not in self.units:
            raise ValueError(f"unit: expected one of {[*self.units]}, got {unit!r}")
        is_sample = source in _SAMPLES
        if split not in (("train", "test", None) if is_sample else (None,)):
            raise ValueError(
                f"split: expected 'train' or 'test' for a sample, and None for a file, "
                f"got {split!r} for source={str(source)!r}"
            )
        super().__init__(transform=transform)
        path = Path(source).expanduser()
        if is_sample:
            path = embedded(str(source), f"{split or 'train'}.npz")
        frames, known = _read(path)
        if not frames:
            raise ValueError(f"{path}: expected at least one molecule, got none")
        references = known if references is None else references
        scale = self.units[unit]
        self.data, self.slices = self.collate(
            [_to_data(frame, scale, references) for frame in frames]
        )


def _read(path: Path) -> tuple[Sequence[Frame], Mapping[int, float]]:
    """The molecules of a file, and the energies of isolated atoms that it knows."""
    if path.suffix == ".npz":
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(path):
                raise ValueError(f"{path}: expected an archive, as of numpy.savez")
            with np.load(file, allow_pickle=False) as archive:
                return _read_npz(path, archive)
    if path.suffix not in (".xyz", ".extxyz"):
        raise ValueError(
            f"source: expected one of {_SAMPLES} or a .xyz, .extxyz or .npz file, got "
            f"{str(path)!r}"
        )
    with open(path) as file:
        frames = list(read_extended_xyz(file, path))
    keys = {(frame.energy is None, frame.force is None) for frame in frames}
    if len(keys) > 1:
        raise ValueError(f"{path}: some molecules have energies or forces, others none")
    return frames, {}


def _read_npz(
    path: Path, archive: Mapping[str, NDArray[Any]]
) -> tuple[Sequence[Frame], Mapping[int, float]]:
    found: dict[str, Any] = dict.fromkeys(_NAMES)
    for key, names in _NAMES.items():
        for name in names:
            if name in archive:
                found[key] = archive[name]
        if found[key] is None and key in ("z", "pos"):
            raise ValueError(
                f"{path}: expected an array called {' or '.join(names)}, got "
                f"{sorted(archive)}"
            )
    z, pos, energy, force = (
        found["z"].astype(np.int64),
        *(found[key] for key in ("pos", "energy", "force")),
    )
    shape = (len(pos), len(z), 3)
    for key, array, known in (
        ("positions", pos, [shape]),
        ("forces", force, [shape]),
        ("energies", energy, [(len(pos),), (len(pos), 1)]),
    ):
        if array is not None and array.shape not in known:
            raise ValueError(
                f"{path}: expected {key} of shape {' or '.join(map(str, known))} for "
                f"{len(z)} atoms, got {array.shape}"
            )
    frames = [
        Frame(
            z,
            pos[row],
            None if force is None else force[row],
            None if energy is None else float(energy[row].item()),
        )
        for row in range(len(pos))
    ]
    isolated = (archive.get(key, np.empty(0)).tolist() for key in ("E0_z", "E0"))
    return frames, dict(zip(*isolated, strict=True))


def _to_data(frame: Frame, scale: float, references: Mapping[int, float]) -> Data:
    data = Data(z=torch.from_numpy(frame.z), pos=torch.from_numpy(frame.pos).float())
    if frame.energy is not None:
        missing = set(frame.z.tolist()) - set(references)
        if references and missing:
            raise ValueError(
                f"references: expected an energy for each atomic number, got none for "
                f"{sorted(missing)}"
            )
        atoms = sum(references.get(number, 0.0) for number in frame.z.tolist())
        data.energy = torch.tensor([scale * (frame.energy - atoms)], dtype=torch.double)
    if frame.force is not None:
        data.force = scale * torch.from_numpy(frame.force).float()
    return data
