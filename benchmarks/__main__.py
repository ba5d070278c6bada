"""Runs the benchmarks: ``python -m benchmarks [--only ragged] [--quick]``."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import tyro

from .tables import write

HERE = Path(__file__).parent


def main(
    only: tuple[str, ...] = (),
    quick: bool = False,
    output: Path = HERE.parent / "docs" / "benchmarks",
) -> None:
    """Runs benchmarks, prints their tables and writes them as pages.

    Args:
        only: Names of benchmarks (default: all).
        quick: A few rounds, to see that everything runs; no page is written.
        output: The folder of the pages.
    """
    names = [path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py")]
    unknown = set(only) - set(names)
    if unknown:
        raise SystemExit(f"no benchmark {sorted(unknown)}; there are {sorted(names)}")
    for name in sorted(only or names):
        tables = []
        for table in import_module(f".bench_{name}", __package__).run(quick):
            print(table.markdown(), flush=True, end="\n\n")
            tables.append(table)
        if not quick:
            write(name, tables, f"python -m benchmarks --only {name}", output)


if __name__ == "__main__":
    tyro.cli(main)
