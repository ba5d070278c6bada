"""Make the sample from the compact form of the whole of QM9.

Command: python datasets/qm9/make_sample.py qm9_130831.npz datasets/qm9/qm9_10k.npz

It draws 10,000 of the 130,831 molecules uniformly (numpy's default_rng(0)) and
keeps their order. README.md says how the compact form was made.
"""

import argparse
from pathlib import Path

import numpy as np

PER_MOLECULE = ("idx", "n_atoms", "y", "n_bonds")
PER_ATOM = ("z", "pos_1e4")
NUM_SAMPLES = 10_000


def main() -> None:
    """Read the whole, write the sample."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("whole", type=Path)
    parser.add_argument("sample", type=Path)
    arguments = parser.parse_args()
    with np.load(arguments.whole, allow_pickle=False) as archive:
        whole = dict(archive)
    num_molecules = len(whole["idx"])
    chosen = np.zeros(num_molecules, dtype=bool)
    chosen[np.random.default_rng(0).permutation(num_molecules)[:NUM_SAMPLES]] = True

    sample = dict(whole)
    sample |= {key: whole[key][chosen] for key in PER_MOLECULE}
    atoms = np.repeat(chosen, whole["n_atoms"])
    sample |= {key: whole[key][atoms] for key in PER_ATOM}
    sample["bonds"] = whole["bonds"][np.repeat(chosen, whole["n_bonds"])]
    smiles = whole["smiles_utf8"].tobytes().decode().split("\n")
    kept = [text for text, keep in zip(smiles, chosen, strict=True) if keep]
    sample["smiles_utf8"] = np.frombuffer("\n".join(kept).encode(), dtype=np.uint8)
    np.savez_compressed(arguments.sample, **sample)


if __name__ == "__main__":
    main()
