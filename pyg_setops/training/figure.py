"""The picture of a comparison: how errors fell, where they ended, what it cost."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from .leaderboard import Leaderboard

#: Okabe and Ito's colours, which colour-blind readers can tell apart.
_COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#8C6D31",
)
_GREY = "#666666"


def draw(leaderboard: Leaderboard) -> Figure:
    """Draws learning curves, test metric, time and memory side by side."""
    frame = leaderboard.frame
    colours = {
        aggr: _COLOURS[number % len(_COLOURS)]
        for number, aggr in enumerate(frame["aggr"])
    }
    height = max(3.6, 1.6 + 0.42 * len(frame))
    figure = Figure(figsize=(12.5, height), layout="constrained")
    curves, score, time, memory = figure.subplots(1, 4, width_ratios=[2.3, 1.5, 1, 1])
    source = leaderboard.task.source
    figure.suptitle(f"{source.target} of {source.name}: which set function?")
    figure.supxlabel(_caption(leaderboard), fontsize="small", color=_GREY)
    _draw_curves(curves, leaderboard, colours)
    _draw_score(score, leaderboard, colours)
    _draw_cost(time, frame, "seconds_per_epoch", 1.0, ("Time", "s per epoch"), colours)
    saved = ("Memory", "MB for backward")
    _draw_cost(memory, frame, "saved_bytes", 1e-6, saved, colours)
    for axes in (time, memory):
        axes.tick_params(labelleft=False)
    return figure


def _caption(leaderboard: Leaderboard) -> str:
    epochs = max(len(run.history) for run in leaderboard.results)
    seeds = leaderboard.frame["num_seeds"].max()
    text = f"{len(leaderboard.task.train):,} training graphs, {epochs} epochs"
    if seeds == 1:
        return text + ", 1 seed"
    return text + f", {seeds} seeds (bars and bands: ± one standard deviation)"


def _label(leaderboard: Leaderboard) -> str:
    task = leaderboard.task
    return task.metric + (f" [{task.unit}]" if task.unit else "")


def _draw_curves(axes: Axes, leaderboard: Leaderboard, colours: dict[str, str]) -> None:
    task = leaderboard.task
    ends = {}
    for number, (aggr, colour) in enumerate(colours.items()):
        curves = _validation(leaderboard, aggr)
        if curves.empty:
            continue
        mean, std = curves.mean(axis=1), curves.std(axis=1).fillna(0)
        style = "-" if number < len(_COLOURS) else "--"  # the colours begin again
        axes.plot(mean.index, mean, style, color=colour, linewidth=1.8)
        axes.fill_between(
            mean.index, mean - std, mean + std, color=colour, alpha=0.15, linewidth=0
        )
        ends[aggr] = (mean.index[-1], mean.iloc[-1])
    if task.num_classes is None:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(ScalarFormatter())
    axes.set_title("Learning curves", loc="left")
    axes.set_xlabel("Epoch")
    axes.set_ylabel(f"Validation {_label(leaderboard)}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    _name_lines(axes, ends, colours)


def _name_lines(
    axes: Axes, ends: dict[str, tuple[int, float]], colours: dict[str, str]
) -> None:
    """Names each line at its end; lines that end together get names side by side."""
    to_fraction = axes.transData + axes.transAxes.inverted()
    heights = {name: to_fraction.transform(end)[1] for name, end in ends.items()}
    names = sorted(heights, key=lambda name: heights[name])
    line = 19 / axes.bbox.height  # in pixels, of which matplotlib has 100 per inch
    places = [heights[name] for name in names]
    for number in range(1, len(places)):
        places[number] = max(places[number], places[number - 1] + line)
    for name, place in zip(names, places, strict=True):
        axes.annotate(
            name,
            (ends[name][0], place),
            xycoords=("data", "axes fraction"),
            xytext=(5, 0),
            textcoords="offset points",
            color=colours[name],
            va="center",
        )


def _validation(leaderboard: Leaderboard, aggr: str) -> pd.DataFrame:
    """The validation metric by epoch (rows) and seed (columns), in its unit."""
    columns = {
        run.seed: pd.Series(
            {int(row["epoch"]): row["val_metric"] for row in run.history}, dtype=float
        )
        for run in leaderboard.runs(aggr)
    }
    return pd.DataFrame(columns) * leaderboard.task.scale


def _draw_score(axes: Axes, leaderboard: Leaderboard, colours: dict[str, str]) -> None:
    """One dot for each set function, the deviation over seeds, each seed's run."""
    for row in leaderboard.frame.to_dict("records"):
        aggr = row["aggr"]
        place = list(colours).index(aggr)
        runs = [run.test_metric for run in leaderboard.runs(aggr)]
        values = pd.Series(runs, dtype=float).dropna() * leaderboard.task.scale
        deviation = 0.0 if pd.isna(row["test_std"]) else row["test_std"]
        axes.errorbar(
            row["test"], place, xerr=deviation, fmt="o", capsize=4, color=colours[aggr]
        )
        if len(values) > 1:
            axes.plot(values, [place] * len(values), "|", color=_GREY, alpha=0.7)
        _write(axes, row["test"], place, leaderboard.score(row), above=True)
    _list_names(axes, list(colours))
    axes.set_title(f"Test {leaderboard.task.metric}", loc="left")
    axes.set_xlabel(_label(leaderboard))
    axes.margins(x=0.3)
    axes.grid(axis="x", alpha=0.3)


def _draw_cost(
    axes: Axes,
    frame: pd.DataFrame,
    column: str,
    scale: float,
    words: tuple[str, str],
    colours: dict[str, str],
) -> None:
    values = frame[column] * scale
    axes.barh(range(len(frame)), values, color=list(colours.values()), height=0.5)
    for place, value in enumerate(values):
        _write(axes, value, place, f" {value:.3g}", above=False)
    _list_names(axes, list(colours))
    title, unit = words
    axes.set_title(title, loc="left")
    axes.set_xlabel(unit)
    axes.set_xlim(0, values.max() * 1.3 or 1)


def _write(axes: Axes, x: float, place: int, text: str, above: bool) -> None:
    """Writes beside the place of a value, at the left edge where there is none."""
    missing = pd.isna(x)
    axes.annotate(
        text,
        (0.02 if missing else x, place),
        xycoords=axes.get_yaxis_transform() if missing else "data",
        xytext=(0, 6) if above and not missing else (0, 0),
        textcoords="offset points",
        ha="center" if above and not missing else "left",
        va="bottom" if above and not missing else "center",
        fontsize="small",
        color=_GREY,
    )


def _list_names(axes: Axes, names: list[str]) -> None:
    """The best at the top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
