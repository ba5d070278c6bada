"""Pictures of diagrams: what a layer consists of, for people who learn the algebra."""

from __future__ import annotations

from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

from .diagrams import diagrams
from .set_partitions import Partition, num_blocks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The colour and the meaning of a block: of both sides, of inputs, of outputs alone.
KINDS = {
    "through": ("C0", "follows an axis"),
    "input": ("C3", "summed"),
    "output": ("C2", "repeated"),
}


def plot_diagrams(order_in: int, order_out: int, columns: int = 8) -> Figure:
    """Draws all diagrams of :class:`~pyg_setops.EquivariantLinear` of these orders.

    Input points are below, output points above; the points of a block are joined. A
    block on both sides carries an axis of the input to axes of the output; one of the
    input alone is summed over; one of the output alone is repeated along. Points of one
    side in one block are a diagonal. The diagrams are in the order of the layer's
    weights, each with its partition, outputs before inputs.

    Args:
        order_in: The order :math:`k` of the input.
        order_out: The order :math:`l` of the output.
        columns: How many diagrams stand in a row.

    Returns:
        The figure, of Bell(k + l) small pictures.

    Raises:
        ImportError: If matplotlib is missing.
        ValueError: If an order is negative, or there are no columns.

    Example:
        >>> figure = plot_diagrams(2, 2)
        >>> len([axes for axes in figure.axes if axes.lines])
        15
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "plot_diagrams needs matplotlib: pip install 'pyg-setops[train]'"
        ) from error
    if min(order_in, order_out) < 0 or columns < 1:
        raise ValueError(
            f"expected orders of at least 0 and at least one column, got "
            f"{order_in}, {order_out} and columns={columns}"
        )
    partitions = [diagram.partition for diagram in diagrams(order_in, order_out)]
    columns = min(columns, len(partitions))
    rows = ceil(len(partitions) / columns)
    width = 0.35 + 0.4 * max(order_in, order_out, 1)
    size = (max(columns * width, 5.0), rows * 1.25 + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, partition in zip(grid.flat, partitions, strict=False):
        _draw(axes, partition, order_out)
    _add_legend(figure)
    return figure


def _draw(axes: Axes, partition: Partition, order_out: int) -> None:
    """One diagram: both rows of points are centred."""
    order_in = len(partition) - order_out
    longest = max(order_in, order_out, 1)
    above = [(longest - order_out) / 2 + place for place in range(order_out)]
    below = [(longest - order_in) / 2 + place for place in range(order_in)]
    for block in range(num_blocks(partition)):
        top = [
            x for x, b in zip(above, partition[:order_out], strict=True) if b == block
        ]
        bottom = [
            x for x, b in zip(below, partition[order_out:], strict=True) if b == block
        ]
        kind = "through" if top and bottom else "input" if bottom else "output"
        color = KINDS[kind][0]
        _join(axes, top, 1.0, -0.3, color)
        _join(axes, bottom, 0.0, 0.3, color)
        if kind == "through":
            axes.plot([top[0], bottom[0]], [1, 0], color=color, lw=2)
    axes.set(xlim=(-0.6, longest - 0.4), ylim=(-0.25, 1.25))
    axes.set_title("".join(map(str, partition)), fontsize=8, y=-0.12, color="0.4")


def _join(
    axes: Axes, places: list[float], height: float, bulge: float, color: str
) -> None:
    """Points of a block on one side, and bows between neighbours."""
    steps = [step / 20 for step in range(21)]
    for left, right in pairwise(places):
        xs = [left + (right - left) * step for step in steps]
        ys = [height + bulge * 4 * step * (1 - step) for step in steps]
        axes.plot(xs, ys, color=color, lw=2)
    axes.plot(places, [height] * len(places), "o", color=color, ms=6)


def _add_legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=color, marker="o", label=label)
        for color, label in KINDS.values()
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9
    )
