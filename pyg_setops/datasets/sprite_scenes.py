"""Scenes of coloured sprites that cover one another, as sets of pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data

from pyg_setops.datasets.generated import GeneratedSets, Split

Plane = NDArray[np.float64]

GRID = 32  # pixels on a side
FEWEST_SPRITES, FEWEST_PIXELS = 2, 41  # of a scene that is kept


def _square(u: Plane, v: Plane) -> NDArray[np.bool_]:
    return np.maximum(abs(u), abs(v)) < 0.85


def _ellipse(u: Plane, v: Plane) -> NDArray[np.bool_]:
    return u**2 + (v / 0.6) ** 2 < 1


def _heart(u: Plane, v: Plane) -> NDArray[np.bool_]:
    return (u**2 + v**2 - 0.35) ** 3 / 0.6 - u**2 * v**3 < 0


_SHAPES = (_square, _ellipse, _heart)


class SpriteScenes(GeneratedSets):
    """Two to five squares, ellipses and hearts of random colours on a plane.

    The scenes of Multi-dSprites, from a recipe of our own, as point sets: the pixels
    of a grid of 32 x 32 that a sprite covers, the background left out. Later sprites
    cover earlier ones; scenes where fewer than two remain visible, or fewer than 41
    pixels, are drawn again. A scene has about 108 pixels and 3.6 sprites.

    A set has the places ``pos`` ``[n, 2]`` of its pixels in the unit square, their
    colours ``x`` ``[n, 3]`` in :math:`[0, 1]`, the sprite ``y`` ``[n]`` of each, and
    how many sprites are visible, ``count`` ``[1]``.

    Args:
        split: ``'train'``, ``'val'`` or ``'test'``; no scene is in two of them
            (default: ``'train'``).
        num_sets: the length (default: 4,000). A longer dataset begins with the sets of
            a shorter one.
        seed: another seed gives other scenes (default: 0).
        transform: applied to a set at every access (default: ``None``).

    Raises:
        ValueError: if an argument is wrong.

    Cost: about 0.3 ms a scene.

    Example:
        >>> scene = SpriteScenes()[0]
        >>> int(scene.count) == len(scene.y.unique()), bool(scene.pos.max() <= 1)
        (True, True)
    """

    def __init__(
        self,
        split: Split = "train",
        num_sets: int = 4_000,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        super().__init__(split, num_sets, seed, transform)
        ticks = np.arange(GRID) / (GRID - 1)
        self.grid = np.stack(np.meshgrid(ticks, ticks), axis=2)

    def draw(self, rng: np.random.Generator) -> Data:
        """Draw a scene."""
        while True:
            owner, colours = self._paint(rng)
            covered = owner >= 0
            visible, y = np.unique(owner[covered], return_inverse=True)
            if len(visible) >= FEWEST_SPRITES and len(y) >= FEWEST_PIXELS:
                return Data(
                    x=torch.from_numpy(colours[owner[covered]]).float(),
                    pos=torch.from_numpy(self.grid[covered]).float(),
                    y=torch.from_numpy(y),
                    count=torch.tensor([len(visible)]),
                )

    def _paint(
        self, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The last sprite on each pixel, -1 where there is none, and all colours."""
        num_sprites = int(rng.integers(2, 5, endpoint=True))
        owner = np.full((GRID, GRID), -1)
        for sprite in range(num_sprites):
            centre = rng.uniform(0.12, 0.88, 2)
            size, angle = rng.uniform(0.08, 0.17), rng.uniform(0, 2 * np.pi)
            cos, sin = np.cos(angle), np.sin(angle)
            # Places by the sprite's own axes, in units of its size.
            u, v = np.moveaxis((self.grid - centre) / size, 2, 0)
            inside = _SHAPES[rng.integers(len(_SHAPES))](
                cos * u + sin * v, cos * v - sin * u
            )
            owner[inside] = sprite
        return owner, rng.uniform(size=(num_sprites, 3))
