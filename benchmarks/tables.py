"""Tables of results, as Markdown, with what they were measured on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch
import torch_geometric


@dataclass(frozen=True)
class Table:
    """A table of a benchmark.

    Attributes:
        title: What was measured.
        header: The names of the columns.
        rows: The cells.
        note: What a reader must know to read it.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    note: str = ""

    def markdown(self) -> str:
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return "\n\n".join(
            part for part in (f"## {self.title}", self.note, body) if part
        )


def write(name: str, tables: list[Table], command: str, folder: Path) -> Path:
    """Writes a page of tables, atomically."""
    machine = (
        f"Measured on {date.today()} with PyTorch {torch.__version__} and PyG "
        f"{torch_geometric.__version__}, one thread of {_processor()}, by "
        f"`{command}`."
    )
    parts = [f"# {name}", machine, *(table.markdown() for table in tables)]
    folder.mkdir(parents=True, exist_ok=True)
    page, draft = folder / f"{name}.md", folder / f".{name}.md.part"
    draft.write_text("\n\n".join(parts) + "\n")
    os.replace(draft, page)
    return page


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x.split(": ")[1] for x in lines if x.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        return platform.processor() or platform.machine()
