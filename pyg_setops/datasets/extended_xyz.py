"""Reader of extended XYZ: text files of molecules, one after another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn "
    "Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce "
    "Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At "
    "Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn "
    "Nh Fl Mc Lv Ts Og"
)
_NUMBERS = {symbol: number for number, symbol in enumerate(_SYMBOLS.split(), 1)}
# Keys and values may be quoted, in one of four ways, and stand apart from the sign.
_QUOTED = r"""\"(?:[^"\\]|\\.)*\"|'[^']*'|\{[^}]*\}|\[[^]]*\]"""
_ENTRY = re.compile(rf"({_QUOTED}|[^\s=]+)\s*=\s*({_QUOTED}|\S+)")
_IS_QUOTED = re.compile(_QUOTED)
_FORCES, _ENERGIES = ("forces", "force"), ("energy", "Energy", "E")


@dataclass(frozen=True)
class Frame:
    """A molecule of the file, in the file's units.

    Attributes:
        z: atomic numbers ``[n]``.
        pos: positions ``[n, 3]``.
        force: forces ``[n, 3]``, if the file has them.
        energy: the energy, if the file has it.
    """

    z: NDArray[np.int64]
    pos: NDArray[np.float64]
    force: NDArray[np.float64] | None
    energy: float | None


def read_extended_xyz(file: TextIO, name: str | Path) -> Iterator[Frame]:
    """Read molecule by molecule.

    Args:
        file: the open file.
        name: what errors call it.

    Raises:
        ValueError: with the line, where the file is not extended XYZ, ends early, or
            is periodic, which is not supported.
    """
    lines = enumerate(file, 1)
    for number, line in lines:
        if not line.strip():
            continue
        try:
            yield _read_frame(int(line), [next(lines)[1] for _ in range(int(line) + 1)])
        except StopIteration:
            raise ValueError(
                f"{name}: ends inside the molecule of line {number}"
            ) from None
        except (ValueError, KeyError) as error:
            raise ValueError(
                f"{name}: the molecule of line {number} is not extended XYZ without "
                f"periodic boundaries: {error}"
            ) from error


def _read_frame(size: int, lines: list[str]) -> Frame:
    if size < 1:
        raise ValueError(f"expected at least one atom, got {size}")
    header = {_bare(key): _bare(value) for key, value in _ENTRY.findall(lines[0])}
    _refuse_periodic(header)
    columns = _columns(header.get("Properties", "species:S:1:pos:R:3"))
    cells = [line.split() for line in lines[1:]]
    width = max(column.stop for column in columns.values())
    if min(map(len, cells)) < width:
        raise ValueError(f"expected {width} columns for each of {size} atoms")
    energies = [header[key] for key in _ENERGIES if key in header]
    forces = [columns[key] for key in _FORCES if key in columns]
    return Frame(
        _species(cells, columns),
        _numbers(cells, columns["pos"]),
        _numbers(cells, forces[0]) if forces else None,
        float(energies[0]) if energies else None,
    )


def _bare(text: str) -> str:
    return text[1:-1] if _IS_QUOTED.fullmatch(text) else text


def _refuse_periodic(header: dict[str, str]) -> None:
    """By the format's rule, a lattice alone says that all directions are periodic."""
    pbc = header.get("pbc", "T T T" if "Lattice" in header else "F F F")
    if any(flag[0] in "Tt1" for flag in re.findall(r"\w+", pbc)):
        stated = f"pbc={pbc!r}" if "pbc" in header else "a Lattice without pbc='F F F'"
        raise ValueError(stated)


def _species(cells: list[list[str]], columns: dict[str, slice]) -> NDArray[np.int64]:
    """Atomic numbers, of symbols or as they stand."""
    if "species" not in columns and "Z" in columns:
        return np.array([int(row[columns["Z"].start]) for row in cells])
    return np.array([_NUMBERS[row[columns["species"].start]] for row in cells])


def _columns(properties: str) -> dict[str, slice]:
    """Where each property stands, of ``name:type:count:name:type:count...``."""
    words, start, found = properties.split(":"), 0, {}
    for name, count in zip(words[::3], words[2::3], strict=True):
        found[name] = slice(start, start + int(count))
        start += int(count)
    return found


def _numbers(cells: list[list[str]], columns: slice) -> NDArray[np.float64]:
    values = np.array([[float(cell) for cell in row[columns]] for row in cells])
    if values.shape != (len(cells), 3):
        raise ValueError(f"expected 3 numbers an atom, got shape {values.shape}")
    return values
