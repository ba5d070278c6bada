"""Learning curves, errors before and after a motion, and changes by angle."""

from __future__ import annotations

import matplotlib.pyplot as plt
from experiment import Fitted, draw_curves
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .measure import ANGLES, Tested


def draw_motions(
    fits: dict[str, Fitted], tests: dict[str, Tested], unit: str
) -> Figure:
    """Draws what was measured, side by side."""
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(16, 4.6), layout="constrained"
    )
    draw_curves(left, fits, "mae", {}, "upper right")
    left.set(title=f"validation MAE [{unit}]", yscale="log")
    _bars(middle, tests)
    middle.set(title=f"test MAE [{unit}]")
    _angles(right, tests)
    right.set(title=f"mean change of a prediction by a rotation [{unit}]")
    return figure


def _bars(axes: Axes, tests: dict[str, Tested]) -> None:
    for shift, (label, values) in enumerate(
        {
            "as given": [tested.mae for tested in tests.values()],
            "moved at random": [tested.moved_mae for tested in tests.values()],
        }.items()
    ):
        places = [number + 0.4 * shift for number in range(len(values))]
        axes.barh(places, values, 0.4, label=label)
    axes.set_yticks([number + 0.2 for number in range(len(tests))], list(tests))
    axes.invert_yaxis()
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _angles(axes: Axes, tests: dict[str, Tested]) -> None:
    for name, tested in tests.items():
        axes.plot(ANGLES[1:], tested.by_angle[1:], "o-", ms=4, label=name)
    axes.set(
        xlabel="angle, about random axes [°]", yscale="log", xticks=range(0, 181, 45)
    )
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8)
