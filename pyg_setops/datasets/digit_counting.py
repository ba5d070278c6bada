"""Sets of real handwritten digits, whose classes are to be counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch_geometric.data import Data

from pyg_setops.datasets.digits import Digits
from pyg_setops.datasets.generated import GeneratedSets

NUM_CLASSES = 10


class DigitCounting(GeneratedSets):
    """Sets of images of digits; how many different digits are in each?

    A set has :math:`c` of the ten classes, each at least once, in :math:`c` to
    ``max_elements`` images; :math:`c` and the number of images are uniform in their
    ranges. The images are those of the same split of
    :class:`~pyg_setops.datasets.Digits`: no image is in two splits.

    A set has the images ``x`` ``[n, size * size]`` with ink in :math:`[0, 1]`, their
    classes ``label`` ``[n]``, and the count ``y`` ``[1]``.

    Args:
        size: 8 or 14, the side of an image (default: 8).
        split: ``'train'`` or ``'test'`` (default: ``'train'``).
        num_sets: the length (default: 10,000). A longer dataset begins with the sets
            of a shorter one.
        max_elements: the largest size of a set, at least 10 (default: 20).
        seed: another seed gives other sets (default: 0).
        transform: applied to a set at every access (default: ``None``).

    Raises:
        ValueError: if an argument is wrong.
        ImportError: if the package that holds the digits is missing.

    Example:
        >>> data = DigitCounting()[0]
        >>> int(data.y) == len(data.label.unique())
        True
    """

    def __init__(
        self,
        size: int = 8,
        split: Literal["train", "test"] = "train",
        num_sets: int = 10_000,
        max_elements: int = 20,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        digits = Digits(size, split)
        super().__init__(split, num_sets, seed, transform)
        if max_elements < NUM_CLASSES:
            raise ValueError(
                f"max_elements: expected at least {NUM_CLASSES}, got {max_elements}"
            )
        self.max_elements = max_elements
        levels = torch.stack([digit.level for digit in digits])
        self.images = levels.float() / (Digits.num_levels - 1)
        label = np.array([int(digit.y) for digit in digits])
        self.rows = [np.flatnonzero(label == k) for k in range(NUM_CLASSES)]

    def draw(self, rng: np.random.Generator) -> Data:
        """Draw a set."""
        count = int(rng.integers(1, NUM_CLASSES, endpoint=True))
        size = int(rng.integers(count, self.max_elements, endpoint=True))
        classes = rng.choice(NUM_CLASSES, count, replace=False)
        others = rng.choice(classes, size - count)
        label = rng.permutation(np.concatenate([classes, others]))
        chosen = np.array([rng.choice(self.rows[k]) for k in label])
        return Data(
            x=self.images[torch.from_numpy(chosen)],
            label=torch.from_numpy(label),
            y=torch.tensor([count]),
        )
