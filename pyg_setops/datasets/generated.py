"""What the generated datasets of sets share."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
from torch_geometric.data import Data, Dataset

Split = Literal["train", "val", "test"]


class GeneratedSets(Dataset):
    """Sets that are drawn when they are asked for, without end and without a file.

    A set follows from the seed, the split and its number alone: it is the same on
    every machine and in any order of access.

    Args:
        split: ``'train'``, ``'val'`` or ``'test'``; no set is in two of them.
        num_sets: the length. A longer dataset begins with the sets of a shorter one.
        seed: another seed gives other sets.
        transform: applied to a set at every access.

    Raises:
        ValueError: if an argument is wrong.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")

    def __init__(
        self,
        split: Split,
        num_sets: int,
        seed: int,
        transform: Callable[[Data], Data] | None,
    ) -> None:
        if split not in self.splits:
            raise ValueError(f"split: expected one of {self.splits}, got {split!r}")
        if num_sets < 1 or seed < 0:
            raise ValueError(
                "expected num_sets of at least 1 and a seed of at least 0, got "
                f"num_sets={num_sets} and seed={seed}"
            )
        super().__init__(transform=transform)
        self.split = split
        self.num_sets = num_sets
        self.seed = seed

    def len(self) -> int:
        """Return the number of sets."""
        return self.num_sets

    def get(self, idx: int) -> Data:
        """Draw set number ``idx``."""
        place = self.splits.index(self.split)
        return self.draw(np.random.default_rng([self.seed, place, idx]))

    def draw(self, rng: np.random.Generator) -> Data:
        """Draw a set."""
        raise NotImplementedError
