"""Sets of numbers, whose quantiles are to be found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data

from pyg_setops.datasets.generated import GeneratedSets, Split

Sampler = Callable[[np.random.Generator, int], NDArray[np.float64]]


class ScalarSets(GeneratedSets):
    r"""Sets of numbers, each from one of three distributions, and their quantiles.

    The median task of the `"Equilibrium Aggregation"
    <https://arxiv.org/abs/2202.12795>`_ literature, with sets of all sizes: normal of
    mean 0.5 and deviation 0.4, gamma of shape 0.2 and rate 0.5, or uniform on
    :math:`[0, 1]`, in equal shares.

    A set has ``x`` ``[n, 1]`` and the quantiles ``y`` ``[1, Q]`` of these very
    numbers, interpolated linearly.

    Args:
        quantiles: the levels in :math:`[0, 1]` (default: the median).
        num_elements: the least and the largest size (default: 5 to 100).
        split: ``'train'``, ``'val'`` or ``'test'``; no set is in two of them
            (default: ``'train'``).
        num_sets: the length (default: 10,000). A longer dataset begins with the sets
            of a shorter one.
        seed: another seed gives other sets (default: 0).
        transform: applied to a set at every access (default: ``None``).

    Raises:
        ValueError: if an argument is wrong.

    Example:
        >>> data = ScalarSets(quantiles=(0.1, 0.9))[7]
        >>> data.y.shape, bool((data.x < data.y[0, 1]).float().mean() > 0.8)
        (torch.Size([1, 2]), True)
    """

    samplers: ClassVar[tuple[Sampler, ...]] = (
        lambda rng, size: rng.normal(0.5, 0.4, size),
        lambda rng, size: rng.gamma(0.2, 1 / 0.5, size),
        lambda rng, size: rng.uniform(0, 1, size),
    )

    def __init__(
        self,
        quantiles: Sequence[float] = (0.5,),
        num_elements: tuple[int, int] = (5, 100),
        split: Split = "train",
        num_sets: int = 10_000,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        super().__init__(split, num_sets, seed, transform)
        if not all(0 <= level <= 1 for level in quantiles):
            raise ValueError(f"quantiles: expected levels in [0, 1], got {quantiles}")
        if not 1 <= num_elements[0] <= num_elements[1]:
            raise ValueError(
                "num_elements: expected a least and a largest size of at least 1, got "
                f"{num_elements}"
            )
        self.quantiles = tuple(quantiles)
        self.num_elements = num_elements

    def draw(self, rng: np.random.Generator) -> Data:
        """Draw a set."""
        size = int(rng.integers(*self.num_elements, endpoint=True))
        x = self.samplers[rng.integers(len(self.samplers))](rng, size)
        y = np.quantile(x, self.quantiles)
        return Data(
            x=torch.from_numpy(x).float()[:, None],
            y=torch.from_numpy(y).float()[None],
        )
