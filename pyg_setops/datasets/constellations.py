"""Constellations: point clouds in the plane, in which patterns are to be counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data

from pyg_setops.datasets.generated import GeneratedSets, Split

Array = NDArray[np.floating]

NUM_PATTERNS = 8  # each of the four, twice
NUM_POINTS = 34  # of all eight
EXTENT = 24.0  # of the square that patterns are placed in
NOISE = 0.1


def _polygon(corners: int) -> Array:
    angle = 2 * np.pi * np.arange(corners) / corners
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) + 2


def _rotation(angle: float) -> Array:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


class Constellations(GeneratedSets):
    r"""Triangles, squares, pentagons and Ls in the plane; how many of each are there?

    The shape counting task of the `"LieTransformer"
    <https://arxiv.org/abs/2012.10885>`_ experiments. Each of the four patterns comes
    twice, and is left out with probability 1/2 (one always stays). A pattern is turned
    by :math:`U(-1, 1)\,\pi \cdot` ``pattern_rotation`` and moved by :math:`U(0, 24)^2`;
    its corners are shuffled and blurred by :math:`N(0, 0.1^2)`, and the whole is scaled
    and moved so that its coordinates go from -1 to 1. With ``translation`` or
    ``rotation`` the set is then moved as a whole, and is otherwise the same: what a
    network trained without has never seen.

    A set has ``pos`` ``[n, 2]``, features ``x``, the class ``label`` ``[n]`` of each
    point (0 to 3, in the order above), and the counts ``y`` ``[1, 4]``, each 0 to 2.
    Splits are drawn from seeds of their own (the published generator drew the test
    sets from the seed of the training sets).

    Args:
        split: ``'train'``, ``'val'`` or ``'test'``; no set is in two of them
            (default: ``'train'``).
        num_sets: the length (default: 10,000). A longer dataset begins with the sets
            of a shorter one.
        pattern_rotation: the largest turn of a pattern, in units of :math:`\pi`
            (default: 0, as in the published data; its generator also offers 0.33).
        translation: added to all coordinates of a set (default: 0; published: 10).
        rotation: the largest turn of a set about the origin, before the translation,
            in units of :math:`\pi` (default: 0; 1 is any turn).
        features: what ``x`` is: ``'distances'`` of a point to the others, ascending,
            then zeros ``[n, 33]``, or ``'constant'``, a 1 ``[n, 1]`` (default:
            ``'distances'``).
        seed: another seed gives other sets (default: 0).
        transform: applied to a set at every access (default: ``None``).

    Raises:
        ValueError: if an argument is wrong.

    Example:
        >>> data = Constellations("test")[0]
        >>> corners = torch.tensor([3, 4, 5, 5])
        >>> int((data.y * corners).sum()) == data.num_nodes
        True
    """

    #: Class names, in the order of labels.
    names: ClassVar[tuple[str, ...]] = ("triangle", "square", "pentagon", "L")

    patterns: ClassVar[tuple[Array, ...]] = (
        _polygon(3),
        _polygon(4),
        _polygon(5),
        np.array([[1.0, 1], [2, 1], [3, 1], [3, 2], [3, 3]]),
    )

    def __init__(
        self,
        split: Split = "train",
        num_sets: int = 10_000,
        pattern_rotation: float = 0.0,
        translation: float = 0.0,
        rotation: float = 0.0,
        features: Literal["distances", "constant"] = "distances",
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        super().__init__(split, num_sets, seed, transform)
        for name, value in (
            ("pattern_rotation", pattern_rotation),
            ("rotation", rotation),
        ):
            if not 0 <= value <= 1:
                raise ValueError(f"{name}: expected 0 to 1 (times pi), got {value}")
        if features not in ("distances", "constant"):
            raise ValueError(
                f"features: expected 'distances' or 'constant', got {features!r}"
            )
        self.pattern_rotation = pattern_rotation
        self.translation = translation
        self.rotation = rotation
        self.features = features

    def draw(self, rng: np.random.Generator) -> Data:
        """Draw a set."""
        kinds = len(self.patterns)
        present = rng.random(NUM_PATTERNS) < 0.5
        present[rng.integers(NUM_PATTERNS)] |= not present.any()
        numbers = np.flatnonzero(present) % kinds
        clouds = [self._place(rng, self.patterns[number]) for number in numbers]
        label = numbers.repeat([len(cloud) for cloud in clouds])
        pos = np.concatenate(clouds)
        low, high = pos.min(), pos.max()
        pos = 2 * (pos - low) / (high - low) - 1
        turn = self.rotation * np.pi * rng.uniform(-1, 1)
        moved = pos @ _rotation(turn).T + self.translation
        order = rng.permutation(len(pos))
        counts = np.bincount(numbers, minlength=kinds)
        return Data(
            pos=torch.from_numpy(moved[order]).float(),
            x=self._features(torch.from_numpy(pos[order])).float(),
            label=torch.from_numpy(label[order]),
            y=torch.from_numpy(counts)[None],
        )

    def _place(self, rng: np.random.Generator, pattern: Array) -> Array:
        turn = self.pattern_rotation * np.pi * rng.uniform(-1, 1)
        corners = pattern @ _rotation(turn).T + rng.uniform(0, EXTENT, 2)
        return corners + rng.normal(0, NOISE, corners.shape)

    def _features(self, pos: torch.Tensor) -> torch.Tensor:
        if self.features == "constant":
            return pos.new_ones(len(pos), 1)
        # Of the set before it is moved: distances do not change, not by rounding.
        distances = torch.cdist(pos, pos).sort(dim=1).values[:, 1:]
        missing = NUM_POINTS - len(pos)
        return torch.nn.functional.pad(distances, (0, missing))
