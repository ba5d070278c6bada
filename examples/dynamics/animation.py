"""Moving pictures of particles in the plane."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image
from torch import Tensor

from pyg_setops.datasets.cache import atomic_path


def animate(
    paths: dict[str, Tensor],
    path: Path,
    sizes: Sequence[float],
    every: int = 1,
    tail: int = 25,
) -> None:
    """Writes particles side by side, each with the end of its way, as a GIF.

    Args:
        paths: Positions ``[n, T, 2]``, by title.
        path: The file.
        sizes: The size of each particle, such as its mass.
        every: How many states pass between two pictures.
        tail: How many states of the way are shown.
    """
    everything = list(paths.values())
    largest = 1.05 * max(float(pos.abs().max()) for pos in everything[:1])
    pictures = []
    for now in range(0, everything[0].size(1), every):
        figure, row = plt.subplots(
            1, len(paths), figsize=(2.4 * len(paths), 2.8), layout="constrained"
        )
        for axes, (title, pos) in zip(row, paths.items(), strict=True):
            for number in range(len(pos)):
                colour = f"C{number}"
                past = pos[number, max(0, now - tail) : now + 1]
                axes.plot(*past.T, color=colour, lw=1, alpha=0.6)
                axes.scatter(*past[-1], s=12 * sizes[number] + 8, color=colour)
            axes.set(xticks=[], yticks=[], aspect="equal")
            axes.set(xlim=(-largest, largest), ylim=(-largest, largest))
            axes.set_title(title, fontsize=9)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=80)
        plt.close(figure)
        pictures.append(Image.open(buffer).convert("RGB").quantize(64))
    first, *others = pictures
    with atomic_path(path) as temporary:
        first.save(
            temporary,
            "GIF",
            save_all=True,
            append_images=others,
            duration=60,
            loop=0,
            optimize=True,
        )
