"""Scenes of real handwritten digits, as sets of ink pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data

from pyg_setops.datasets.digits import Digits
from pyg_setops.datasets.generated import GeneratedSets


class DigitScenes(GeneratedSets):
    """One to ``max_digits`` handwritten digits on a canvas: what is where?

    The images are those of the same split of :class:`~pyg_setops.datasets.Digits`: no
    image is in two splits. Their number is uniform, and each lies at a random place
    where its square touches no other's, on a canvas four images wide and high.

    A set has the ink pixels alone: their places ``pos`` ``[n, 2]`` in the unit square,
    their ink ``x`` ``[n, 1]`` in :math:`(0, 1]`` and the digit ``y`` ``[n]`` of each;
    and the truth about its ``count`` ``[1]`` digits: the class ``label`` ``[count]``
    and the centre ``center`` ``[count, 2]`` of each square.

    Args:
        size: 8 or 14, the side of an image (default: 8).
        split: ``'train'`` or ``'test'`` (default: ``'train'``).
        num_sets: the length (default: 10,000). A longer dataset begins with the sets
            of a shorter one.
        max_digits: the most digits of a scene, 1 to 6 (default: 6).
        seed: another seed gives other scenes (default: 0).
        transform: applied to a set at every access (default: ``None``).

    Raises:
        ValueError: if an argument is wrong.
        ImportError: if the package that holds the digits is missing.

    Cost: about 1 ms a scene.

    Example:
        >>> scene = DigitScenes()[0]
        >>> int(scene.count) == len(scene.label) == int(scene.y.max()) + 1
        True
    """

    #: The side of the canvas, in images.
    canvas = 4

    def __init__(
        self,
        size: int = 8,
        split: Literal["train", "test"] = "train",
        num_sets: int = 10_000,
        max_digits: int = 6,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        digits = Digits(size, split)
        super().__init__(split, num_sets, seed, transform)
        if not 1 <= max_digits <= 6:
            raise ValueError(f"max_digits: expected 1 to 6, got {max_digits}")
        self.size = size
        self.max_digits = max_digits
        levels = torch.stack([digit.level for digit in digits]).numpy()
        self.images = levels.reshape(-1, size, size) / (Digits.num_levels - 1)
        self.label = torch.cat([digit.y for digit in digits])

    def draw(self, rng: np.random.Generator) -> Data:
        """Draw a scene."""
        count = int(rng.integers(1, self.max_digits, endpoint=True))
        corner = self._corners(rng, count)
        chosen = rng.integers(len(self.images), size=count)
        y, row, column = np.nonzero(self.images[chosen])
        ink = self.images[chosen][y, row, column]
        pixel = corner[y] + np.stack([column, row], axis=1)
        last = self.canvas * self.size - 1
        center = (corner + (self.size - 1) / 2) / last
        return Data(
            x=torch.from_numpy(ink).float()[:, None],
            pos=torch.from_numpy(pixel / last).float(),
            y=torch.from_numpy(y),
            label=self.label[torch.from_numpy(chosen)],
            center=torch.from_numpy(center).float(),
            count=torch.tensor([count]),
        )

    def _corners(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Corners ``[count, 2]`` of squares that do not overlap, uniform among all."""
        while True:
            corner = rng.integers(
                (self.canvas - 1) * self.size, size=(count, 2), endpoint=True
            )
            gap = abs(corner[:, None] - corner).max(axis=2)
            if (gap[np.triu_indices(count, 1)] >= self.size).all():
                return corner
