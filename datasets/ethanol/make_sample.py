"""Make the sample from the ethanol archive of BOTNet-datasets.

Command: python datasets/ethanol/make_sample.py dataset_ethanol.tar.gz datasets/ethanol

It takes all of train.xyz, test_MD.xyz and isolated_atoms.xyz, in their order, and
writes train.npz and test.npz in the layout of MD17. README.md says where the archive
is from.
"""

import argparse
import io
import tarfile
from pathlib import Path

import numpy as np

from pyg_setops.datasets.extended_xyz import Frame, read_extended_xyz


def read(archive: tarfile.TarFile, name: str) -> list[Frame]:
    """Read a file of the archive."""
    file = archive.extractfile(f"dataset_ethanol/{name}")
    assert file is not None
    return list(read_extended_xyz(io.TextIOWrapper(file), name))


def main() -> None:
    """Read the archive, write the sample."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    with tarfile.open(arguments.archive) as archive:
        parts = {name: read(archive, f"{name}.xyz") for name in ("train", "test_MD")}
        atoms = read(archive, "isolated_atoms.xyz")
    isolated = np.full(119, np.nan)
    for atom in atoms:
        isolated[atom.z[0]] = atom.energy
    for name, frames in parts.items():
        z = frames[0].z
        assert all(np.array_equal(frame.z, z) for frame in frames)
        known = ~np.isnan(isolated)
        np.savez_compressed(
            arguments.folder / f"{name.removesuffix('_MD')}.npz",
            z=z.astype(np.uint8),
            R=np.stack([frame.pos for frame in frames]).astype(np.float32),
            E=np.array([frame.energy for frame in frames]),
            F=np.stack([frame.force for frame in frames]).astype(np.float32),
            E0_z=np.flatnonzero(known).astype(np.uint8),
            E0=isolated[known],
        )


if __name__ == "__main__":
    main()
