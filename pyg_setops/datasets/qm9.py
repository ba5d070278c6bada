"""QM9: 130,831 small molecules with geometry and 19 quantum-chemical targets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import CodeType
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset
from tqdm import tqdm

from pyg_setops.datasets.cache import atomic_path, cache_home
from pyg_setops.datasets.embedded import embedded
from pyg_setops.datasets.qm9_raw.graphs import to_graphs
from pyg_setops.datasets.qm9_raw.molecules import Molecules
from pyg_setops.datasets.qm9_raw.npz import read_npz
from pyg_setops.datasets.qm9_raw.sources import download_official, read_raw
from pyg_setops.datasets.qm9_raw.targets import (
    ELEMENTS,
    TARGETS,
    Target,
    atom_references,
    find_target,
)

#: Part of the cache's name: raise it whenever `process` changes what it makes.
_LAYOUT_VERSION = 1
_NUM_MOLECULES = {"sample": 10_000, "full": 130_831}


class QM9(InMemoryDataset):
    """Small organic molecules with relaxed geometry and 19 quantum-chemical targets.

    A drop-in for :class:`torch_geometric.datasets.QM9` that works offline (10,000
    real molecules come with the package), knows its units and its published split,
    and checks what it reads. From the paper `"Quantum chemistry structures and
    properties of 134 kilo molecules" <https://doi.org/10.1038/sdata.2014.22>`_.

    A molecule has ``z``, ``pos`` (Å), ``y`` ``[1, 19]`` in PyG's columns and units,
    ``edge_index`` in both directions, ``edge_attr`` (one-hot single, double, triple,
    aromatic), ``smiles``, ``name`` (``gdb_1`` is the first) and ``idx`` (0 is the
    first). ``x`` has PyG's 11 columns: five one-hot elements H, C, N, O, F; the
    atomic number; four columns (aromatic, sp, sp2, sp3) that are zero, as they are
    in PyG, which does not perceive them; the number of bonded hydrogens.

    What depends on the source: MoleculeNet's SDF (a PyG raw folder) gives its own
    bond orders, and ``smiles`` with explicit hydrogens, like PyG. The sample, the
    compact .npz and the official archive give the SMILES of GDB-17, and bond orders
    from it, which differ from the SDF's on about 0.6% of the edges (mostly the other
    Kekulé form); the edges are the same. The official archive has positions to
    ten decimals, the others to four.

    Args:
        root: folder for downloads and processed data (default: ``$PYG_SETOPS_HOME``
            or the user's cache folder, in a subfolder ``QM9``).
        variant: ``'sample'``, the 10,000 molecules in the package, or ``'full'``, all
            130,831 (default: ``'sample'``).
        raw: a local copy for ``variant='full'``: a compact .npz, or a folder with
            gdb9.sdf, gdb9.sdf.csv and uncharacterized.txt, or with
            dsgdb9nsd.xyz.tar.bz2 and uncharacterized.txt. By default the last two
            are downloaded (87 MB). Folders need ``pip install 'pyg-setops[chem]'``.
        subtract_atomrefs: take the energies of the free atoms off u0, u298, h298 and
            g298, in float64, before they are rounded to float32 (default: ``False``).
        transform: applied to a molecule at every access (default: ``None``).
        pre_transform: applied once, before saving (default: ``None``).
        pre_filter: keeps the molecules for which it is true (default: ``None``).
        force_reload: process again; needed after a change in what ``pre_transform`` or
            ``pre_filter`` calls or closes over (default: ``False``).

    Raises:
        ValueError: if an argument is wrong, or the data are truncated or hold NaN
            targets, unknown atoms or impossible bonds. No cache is left behind.
        ChecksumError: if a file is not the published one.
        ConnectionError: if the download fails; the next call resumes it.
        ImportError: if reading a folder needs rdkit.

    Cost: the first call takes a second for the sample, seconds for a full .npz, about
    a minute for folders; later calls load the processed data (a second, 330 MB).
    A processed file that cannot be read is made again.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     train, val, test = QM9(root).split()
        >>> len(train), len(val), len(test)
        (7643, 1357, 1000)
        >>> homo = QM9.targets["homo"]
        >>> homo.column, homo.unit
        (2, 'eV')
        >>> train[0].y[:, homo.column].shape
        torch.Size([1])
    """

    #: All 19 targets by name, in column order; the first 12 are the usual benchmark.
    targets: ClassVar[Mapping[str, Target]] = TARGETS

    def __init__(
        self,
        root: str | Path | None = None,
        variant: Literal["sample", "full"] = "sample",
        raw: str | Path | None = None,
        subtract_atomrefs: bool = False,
        transform: Callable[[Data], Data] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        force_reload: bool = False,
    ) -> None:
        if variant not in _NUM_MOLECULES:
            raise ValueError(f"variant: expected 'sample' or 'full', got {variant!r}")
        if raw is not None and variant != "full":
            raise ValueError(f"raw: only variant='full' reads a copy, got {raw}")
        self.variant = variant
        self.raw = None if raw is None else Path(raw).expanduser().resolve()
        self.subtract_atomrefs = subtract_atomrefs
        super().__init__(
            str(cache_home() / "QM9" if root is None else root),
            transform,
            pre_transform,
            pre_filter,
            force_reload=force_reload,
        )
        try:
            self.load(self.processed_paths[0])
        except Exception:  # what a damaged file makes torch raise can be anything
            self.process()
            self.load(self.processed_paths[0])

    @property
    def raw_file_names(self) -> list[str]:
        """Nothing that PyG should look for: `process` fetches what it needs."""
        return []

    @property
    def processed_dir(self) -> str:
        """A folder of its own for every version of the data."""
        parts = [self.variant, f"v{_LAYOUT_VERSION}"]
        if self.subtract_atomrefs:
            parts.append("atomrefs")
        origin = [
            "" if self.raw is None else _identify_copy(self.raw),
            "" if self.pre_filter is None else _identify_callable(self.pre_filter),
            ""
            if self.pre_transform is None
            else _identify_callable(self.pre_transform),
        ]
        if any(origin):
            parts.append(hashlib.sha256("\n".join(origin).encode()).hexdigest()[:12])
        return str(Path(self.root) / "processed" / "-".join(parts))

    @property
    def processed_file_names(self) -> str:
        """The one file of collated molecules."""
        return "data.pt"

    def process(self) -> None:
        """Read, check, convert; the processed file appears whole or not at all."""
        molecules = self._read()
        data, slices = to_graphs(molecules)
        if self.subtract_atomrefs:
            data.y = torch.from_numpy(_without_references(molecules)).float()
        if self.pre_filter is not None or self.pre_transform is not None:
            self._data, self.slices = data, dict(slices)
            data, slices = self._customise()
        with atomic_path(Path(self.processed_paths[0])) as path:
            torch.save((data.to_dict(), slices, Data), path)

    def _read(self) -> Molecules:
        if self.variant == "sample":
            return read_npz(embedded("qm9", "qm9_10k.npz"))
        if self.raw is not None:
            return read_raw(self.raw)
        return read_raw(download_official(Path(self.raw_dir)))

    def _customise(self) -> tuple[Data, Mapping[str, Tensor]]:
        kept = []
        for row in tqdm(range(self.len()), desc="Customising QM9", leave=False):
            data = self.get(row)
            if self.pre_filter is None or self.pre_filter(data):
                kept.append(
                    data if self.pre_transform is None else self.pre_transform(data)
                )
        if not kept:
            raise ValueError("pre_filter: expected it to keep a molecule, it kept none")
        return self.collate(kept)

    def split(self) -> tuple[QM9, QM9, QM9]:
        """Return the published training, validation and test parts.

        Over ascending numbers, ``RandomState(0).permutation`` of all molecules gives
        100,000 / 17,748 / 13,083 of them; the sample's 10,000 are dealt out by the
        same rule into 7,643 / 1,357 / 1,000. A shuffled dataset has the same parts.

        Raises:
            ValueError: if some of the variant's molecules are missing.
        """
        expected = _NUM_MOLECULES[self.variant]
        rows = np.array(self.indices())
        place = rows.argsort()
        if not np.array_equal(rows[place], np.arange(expected)):
            raise ValueError(
                f"the split of variant={self.variant!r} needs all {expected:,} "
                f"molecules, this dataset has {len(np.unique(rows)):,} (a pre_filter, "
                "a selection or an incomplete raw copy)"
            )
        train, val, test = (self[place[part]] for part in split_indices(expected))
        return train, val, test

    def mean(self, target: int | str) -> float:
        """Return the mean of a target, by column or name, over this dataset."""
        return float(self._column(target).mean())

    def std(self, target: int | str) -> float:
        """Return the standard deviation of a target over this dataset."""
        return float(self._column(target).std())

    def atomref(self, target: int | str) -> Tensor | None:
        """Return the energies of free atoms, ``[100, 1]`` by atomic number.

        Like PyG's: in eV for u0, u298, h298, g298, zeros for zpve and cv, and
        ``None`` for targets that are not sums over atoms.
        """
        found = find_target(target)
        if found.name not in ("zpve", "u0", "u298", "h298", "g298", "cv"):
            return None
        references = torch.zeros(100, 1)
        references[list(ELEMENTS), 0] = torch.from_numpy(atom_references(found)).float()
        return references

    def _column(self, target: int | str) -> Tensor:
        # In float64: a float32 sum over 130,831 energies loses the third decimal.
        column = self._data.y[:, find_target(target).column]
        return column[torch.as_tensor(list(self.indices()))].double()


def split_indices(
    num_molecules: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Deal molecules out by the published rule, scaled to their number.

    Returns:
        Rows for training (100,000 of 130,831), validation (the rest), test (a tenth).
    """
    num_train = num_molecules * 100_000 // _NUM_MOLECULES["full"]
    num_test = num_molecules // 10
    order = np.random.RandomState(0).permutation(num_molecules)
    train, val, test = np.split(order, [num_train, num_molecules - num_test])
    return train, val, test


def _without_references(molecules: Molecules) -> NDArray[np.float64]:
    references = np.stack([atom_references(target) for target in TARGETS.values()])
    return molecules.y - molecules.composition @ references.T


def _identify_copy(raw: Path | None) -> str:
    """Path, size and time of the files: another copy is another dataset."""
    if raw is None:
        return ""
    files = sorted(raw.iterdir()) if raw.is_dir() else [raw]
    stats = [(str(file), file.stat()) for file in files if file.is_file()]
    return repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])


def _identify_callable(function: Callable[[Data], object] | None) -> str:
    """What a function is and does, or a transform's repr, across processes."""
    if function is None:
        return ""
    code = getattr(function, "__code__", None)
    if code is None:
        return re.sub(r" at 0x[0-9a-f]+", "", repr(function))
    defaults = (function.__defaults__, function.__kwdefaults__)
    name = f"{function.__module__}.{function.__qualname__}"
    return re.sub(r" at 0x[0-9a-f]+", "", f"{name} {_content(code)} {defaults}")


def _content(code: CodeType) -> tuple[object, ...]:
    """What a function does, and the functions and generators inside it."""
    constants = [
        _content(value)
        if isinstance(value, CodeType)
        # The order of a set of strings is another in every process.
        else sorted(map(repr, value))
        if isinstance(value, frozenset)
        else value
        for value in code.co_consts
    ]
    return code.co_code, constants, code.co_names
