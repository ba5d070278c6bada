"""What the datasets of simulated particle systems share."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from operator import index
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset
from tqdm import tqdm

from pyg_setops.datasets.cache import atomic_path, cache_home
from pyg_setops.datasets.generated import Split
from pyg_setops.ragged import SetIndex, pair_index, segment_sum

Array = NDArray[np.float64]
Arrays = dict[str, Array]

#: Part of the cache's name: raise it whenever a simulation changes what it makes.
_VERSION = 1
# What a flipped bit makes of an archive: a failed checksum, a truncated file, or one
# that claims to be encrypted or compressed in unknown ways.
_DAMAGES = (zipfile.BadZipFile, ValueError, EOFError, RuntimeError)
_SIZES = {"train": 3000, "val": 2000, "test": 2000}


class SimulatedSystems(InMemoryDataset):
    """Systems of particles, simulated on first use, in blocks that are kept.

    What system number ``i`` of a split starts from follows from the seed, the split
    and the number alone, so a longer dataset begins with the systems of a shorter one
    and no system is in two splits. Blocks of systems are files whose folder is named
    by the checksum of all that they follow from; a killed simulation goes on after its
    last whole block, and a damaged block is simulated again.

    A subclass draws (:meth:`draw`), simulates (:meth:`simulate`) and says what the
    energy of a pair is (:meth:`pair_energy`).

    Args:
        split: ``'train'``, ``'val'`` or ``'test'``.
        num_systems: the length (``None``: 3,000 for training, else 2,000).
        num_particles: the size of the systems, or several, each as likely.
        seed: another seed gives other systems.
        root: the folder of the blocks (``None``: a subfolder of ``$PYG_SETOPS_HOME``
            or of the user's cache).
        transform: applied to a system at every access.
        law: what the simulation depends on beside the above.

    Raises:
        ValueError: if an argument is wrong.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")
    #: The most systems of a block: what a killed simulation may lose.
    block: ClassVar[int] = 250

    def __init__(
        self,
        split: Split,
        num_systems: int | None,
        num_particles: int | Sequence[int],
        seed: int,
        root: str | Path | None,
        transform: Callable[[Data], Data] | None,
        law: Mapping[str, Any],
    ) -> None:
        if split not in self.splits:
            raise ValueError(f"split: expected one of {self.splits}, got {split!r}")
        num_systems = _SIZES[split] if num_systems is None else num_systems
        sizes = [index(size) for size in np.atleast_1d(num_particles).tolist()]
        seed = index(seed)
        if not sizes or min(sizes) < 2:
            raise ValueError(
                f"num_particles: expected sizes of at least 2, got {num_particles!r}"
            )
        if num_systems < 1 or seed < 0:
            raise ValueError(
                "expected num_systems of at least 1 and a seed of at least 0, got "
                f"num_systems={num_systems} and seed={seed}"
            )
        super().__init__(transform=transform)
        self.split, self.seed = split, seed
        self.num_particles = tuple(sizes)
        # Blocks of large systems are smaller, for their time grows with the pairs.
        self._block = max(10, min(self.block, 2**18 // max(sizes) ** 2))
        described = {
            "class": type(self).__name__,
            "version": _VERSION,
            "split": split,
            "seed": seed,
            "num_particles": self.num_particles,
            "block": self._block,
            **law,
        }
        text = json.dumps(described, indent=1)
        home = cache_home() / type(self).__name__ if root is None else Path(root)
        digest = hashlib.sha256(text.encode()).hexdigest()
        #: Where the blocks are.
        self.folder = home.expanduser() / digest[:16]
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.folder / "parameters.json") as path:
            path.write_text(text + "\n")
        self.data, self.slices = self._collect(num_systems)

    def draw(self, rng: np.random.Generator, num_particles: int) -> Arrays:
        """Draw how a system starts: an array per quantity, particles first."""
        raise NotImplementedError

    def simulate(self, start: Arrays) -> Arrays:
        """Let systems of one size move.

        Args:
            start: what was drawn, ``[S, n, *]``.

        Returns:
            ``pos_t`` and ``vel_t`` ``[S, n, T, d]``, and what else particles have.
        """
        raise NotImplementedError

    def pair_energy(
        self, data: Data, source: Tensor, target: Tensor, square: Tensor
    ) -> Tensor:
        """Return the potential energy of pairs at squared distances, ``[P, T]``."""
        raise NotImplementedError

    def start(self, number: int) -> Arrays:
        """Draw how system ``number`` starts."""
        place = self.splits.index(self.split)
        rng = np.random.default_rng([self.seed, place, number])
        return self.draw(rng, int(rng.choice(self.num_particles)))

    def energy(
        self, data: Data, pos: Tensor | None = None, vel: Tensor | None = None
    ) -> Tensor:
        """Return the total energy under the true law.

        Args:
            data: one system or a batch.
            pos: positions ``[N, T, d]`` (default: ``data.pos_t``).
            vel: velocities ``[N, T, d]`` (default: ``data.vel_t``).

        Returns:
            ``[B, T]``.
        """
        pos = data.pos_t if pos is None else pos
        vel = data.vel_t if vel is None else vel
        batch = data.batch if "batch" in data else None
        sets = SetIndex.build(batch, None, None, pos.size(0), pos.device)
        source, target = pair_index(sets, loops=False)
        square = (pos[source] - pos[target]).square().sum(-1)
        pairs = SetIndex.build(sets.index[target], dim_size=sets.num_sets)
        potential = segment_sum(self.pair_energy(data, source, target, square), pairs)
        mass = data.mass if "mass" in data else pos.new_ones(pos.size(0))
        kinetic = segment_sum(mass[:, None] * vel.square().sum(-1), sets)
        return (kinetic + potential) / 2  # each pair is there twice

    def _collect(self, num_systems: int) -> tuple[Data, dict[str, Tensor]]:
        """Read the blocks of the first systems, simulating those that are missing."""
        starts = range(0, num_systems, self._block)
        known = {first: self._read(first) for first in starts}
        missing = [first for first, block in known.items() if block is None]
        name = f"Simulating {type(self).__name__} ({self.split})"
        for first in tqdm(
            missing, name, unit="block", leave=False, disable=not missing
        ):
            known[first] = self._make(first)
        blocks = [block for block in known.values() if block is not None]
        keys = [key for key in blocks[0] if key != "size"]
        size = np.concatenate([block["size"] for block in blocks])[:num_systems]
        ptr = torch.from_numpy(np.concatenate([[0], size.cumsum()]))
        whole = {
            key: torch.from_numpy(np.concatenate([block[key] for block in blocks]))[
                : int(ptr[-1])
            ]
            for key in keys
        }
        data = Data(
            pos=whole["pos_t"][:, 0],
            vel=whole["vel_t"][:, 0],
            y=whole["pos_t"][:, -1],
            **whole,
        )
        return data, dict.fromkeys(data.keys(), ptr)

    def _path(self, first: int) -> Path:
        return self.folder / f"{first:06d}.npz"

    def _read(self, first: int) -> dict[str, NDArray[Any]] | None:
        """A block, or ``None`` if it is not there or damaged."""
        try:
            # All of it at once: a wrong place in it is then no error of the system.
            file = BytesIO(self._path(first).read_bytes())
            with np.load(file, allow_pickle=False) as archive:
                block = dict(archive)
        except (FileNotFoundError, *_DAMAGES):
            return None
        # What comes last is there unless the archive's table is cut short.
        return block if "size" in block else None

    def _make(self, first: int) -> dict[str, NDArray[Any]]:
        """Simulate a block and keep it: all particles, system after system."""
        starts = [self.start(first + number) for number in range(self._block)]
        size = np.array([len(next(iter(start.values()))) for start in starts])
        done: list[Arrays] = [{}] * len(starts)
        for n in np.unique(size):
            numbers = np.flatnonzero(size == n)
            same = [starts[number] for number in numbers]
            moved = self.simulate(
                {key: np.stack([start[key] for start in same]) for key in same[0]}
            )
            for row, number in enumerate(numbers):
                done[number] = {key: value[row] for key, value in moved.items()}
        block: dict[str, NDArray[Any]] = {
            key: np.concatenate([each[key] for each in done]).astype(np.float32)
            for key in done[0]
        }
        block["size"] = size
        with atomic_path(self._path(first)) as path, open(path, "wb") as file:
            np.savez(file, allow_pickle=False, **block)
        return block
