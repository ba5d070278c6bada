"""What a comparison leaves behind: a table on the screen, CSV, Markdown, a picture."""

from __future__ import annotations

from datetime import date

import torch
import torch_geometric
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .. import __version__
from ..datasets.cache import atomic_path
from .figure import draw
from .leaderboard import Leaderboard
from .options import CompareOptions
from .store import write_text


def write_report(
    leaderboard: Leaderboard, options: CompareOptions, console: Console
) -> None:
    """Prints the leaderboard and writes it to the output folder.

    The files are ``leaderboard.csv`` (bare numbers), ``leaderboard.md`` (for people,
    with everything needed to do it again) and ``leaderboard.png``.
    """
    folder = options.output
    facts = describe(leaderboard, options)
    write_text(folder / "leaderboard.csv", leaderboard.frame.to_csv(index=False))
    write_text(folder / "leaderboard.md", _markdown(leaderboard, facts))
    with atomic_path(folder / "leaderboard.png") as path:
        draw(leaderboard).savefig(path, format="png", dpi=150)
    console.print(_table(leaderboard))
    for name, fact in facts.items():
        console.print(f"{name}: {fact}", style="dim", markup=False, highlight=False)
    console.print(f"Table, numbers and picture: {folder}/leaderboard.(md|csv|png)")


def describe(leaderboard: Leaderboard, options: CompareOptions) -> dict[str, str]:
    """Says what was compared, and how."""
    task, source = leaderboard.task, leaderboard.task.source
    sizes = [len(part) for part in (task.train, task.val, task.test)]
    data = (
        f"{source.name}: {sizes[0]:,} training, {sizes[1]:,} validation and "
        f"{sizes[2]:,} test graphs ({source.split} split)"
    )
    if task.fraction < 1:
        data += f"; a subset, {task.fraction:.1%} of the data"
    if task.num_unlabelled:
        data += f"; {task.num_unlabelled:,} graphs without the target left out"
    steps = leaderboard.frame["num_steps"].max()
    graphs = options.batch_size * options.devices * options.num_nodes
    kind = "value" if task.num_classes is None else "class"
    return {
        "data": data,
        "target": f"{source.target}; the best constant {kind} has {task.metric} "
        f"{task.quantity(task.baseline())}",
        "network": f"set function as {options.where}, width {options.hidden}, "
        f"{options.layers} layers",
        "budget": f"{options.epochs} epochs = {steps:,} steps of {graphs:,} "
        f"graphs; tested with the best epoch's weights",
        "seeds": ", ".join(map(str, options.seeds)),
        "versions": ", ".join(f"{name} {v}" for name, v in versions().items()),
        "date": date.today().isoformat(),
        "command": options.command(),
    }


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    return {
        "pyg_setops": __version__,
        "torch": str(torch.__version__),
        "torch_geometric": torch_geometric.__version__,
    }


def _table(leaderboard: Leaderboard) -> Table:
    source = leaderboard.task.source
    table = Table(title=f"{source.target} of {source.name}")
    rows = leaderboard.table()
    name, *numbers = rows.columns
    table.add_column(name, no_wrap=True)
    for heading in numbers:
        table.add_column(escape(heading), justify="right")
    for row in rows.itertuples(index=False):
        table.add_row(*map(escape, row))
    return table


def _markdown(leaderboard: Leaderboard, facts: dict[str, str]) -> str:
    table = leaderboard.table()
    lines = [
        "| " + " | ".join(table.columns) + " |",
        "|---" + "|---:" * (len(table.columns) - 1) + "|",
        *("| " + " | ".join(row) + " |" for row in table.itertuples(index=False)),
        "",
        *(f"- {name}: {fact}" for name, fact in facts.items()),
    ]
    return "\n".join(lines) + "\n"
