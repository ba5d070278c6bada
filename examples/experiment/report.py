"""Tables and pictures of an experiment, with all that is needed to repeat it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console
from rich.table import Table

from pyg_setops.datasets.cache import atomic_path
from pyg_setops.training.report import versions
from pyg_setops.training.store import write_text

from .fit import Fitted


def open_folder(config: Any) -> Path:
    """Makes the folder of a run, or takes up the run that is in it.

    Args:
        config: A dataclass with ``output`` and ``smoke``; a smoke run starts afresh,
            in a folder of its own.

    Raises:
        ValueError: If the folder holds a run of another configuration.
    """
    folder = Path(config.output)
    if config.smoke:
        folder = folder.with_name(f"{folder.name}-smoke")
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    settings = json.dumps(dataclasses.asdict(config), default=str, indent=1)
    known = folder / "config.json"
    if known.exists() and known.read_text() != settings:
        raise ValueError(
            f"{folder} holds a run of another configuration, {known.read_text()}; "
            "remove it or choose another --output"
        )
    write_text(known, settings)
    return folder


@dataclass(frozen=True)
class Report:
    """A table, and what was done to get it.

    Attributes:
        name: What its files are called, the picture's too.
        title: What the table shows.
        command: The command that makes it.
        columns: The names of the columns.
        rows: The cells, as they are printed.
        notes: Sentences below the table: budget, seeds, where published rows are from.
    """

    name: str
    title: str
    command: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]

    def write(self, folder: Path) -> None:
        """Prints the table, and writes it as csv and md."""
        table = Table(title=self.title, caption="\n".join(self.notes))
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        Console().print(table)
        cells = io.StringIO()
        csv.writer(cells, lineterminator="\n").writerows([self.columns, *self.rows])
        write_text(folder / f"{self.name}.csv", cells.getvalue())
        write_text(folder / f"{self.name}.md", self.markdown())

    def markdown(self) -> str:
        """The picture, the table, the command and the notes in Markdown."""
        bars = ["---", *["---:"] * (len(self.columns) - 1)]
        lines = [f"| {' | '.join(row)} |" for row in [self.columns, bars, *self.rows]]
        notes = [f"- {note}" for note in [*self.notes, _circumstances()]]
        parts = [
            f"# {self.title}",
            f"```bash\n{self.command}\n```",
            f"![{self.title}]({self.name}.png)",
            "\n".join(lines),
            "\n".join(notes),
        ]
        return "\n\n".join(parts) + "\n"


def _circumstances() -> str:
    device = "GPU" if torch.cuda.is_available() else "CPU"
    packages = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"{date.today()}, {device}, {torch.get_num_threads()} thread(s); {packages}."


def draw_curves(
    axes: Axes,
    fits: dict[str, Fitted],
    metric: str,
    bound: dict[str, float],
    legend: str = "upper right",
) -> None:
    """Draws the learning curve of each model, and a dashed line for each bound."""
    for name, fitted in fits.items():
        steps = [row["step"] for row in fitted.curve]
        axes.plot(steps, [row[metric] for row in fitted.curve], label=name, lw=1.8)
    for name, value in bound.items():
        axes.axhline(value, color="black", linestyle="--", lw=1.2, label=name)
    axes.set_xlabel("step")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc=legend)


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a small picture, whole or not at all."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, bbox_inches="tight")
    plt.close(figure)
    # 256 colours are plenty here, and a third of the size: these go into the docs.
    picture = Image.open(buffer).convert("RGB").quantize(256)
    with atomic_path(path) as temporary:
        picture.save(temporary, "PNG", optimize=True)
