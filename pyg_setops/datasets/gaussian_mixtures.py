"""Sets drawn from random Gaussian mixtures, without end and without a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data, Dataset


class Mixture(NamedTuple):
    """The parameters of ``K`` components in the plane."""

    weight: NDArray[np.floating]
    mean: NDArray[np.floating]
    covariance: NDArray[np.floating]


class Protocol(NamedTuple):
    """How a published experiment draws its sets; ranges include their ends."""

    num_components: tuple[int, int]
    num_elements: tuple[int, int]
    draw: Callable[[np.random.Generator, int], Mixture]


def _draw_clustering(rng: np.random.Generator, num_components: int) -> Mixture:
    # An inverse Wishart matrix is the inverse of a sum of outer products.
    factors = rng.normal(0, 0.05**-0.5, (num_components, 4, 2))
    return Mixture(
        np.full(num_components, 1 / num_components),
        rng.normal(size=(num_components, 2)),
        np.linalg.inv(factors.transpose(0, 2, 1) @ factors),
    )


def _draw_mixture(rng: np.random.Generator, num_components: int) -> Mixture:
    return Mixture(
        rng.dirichlet(np.ones(num_components)),
        rng.uniform(-4, 4, (num_components, 2)),
        np.tile(0.3**2 * np.eye(2), (num_components, 1, 1)),
    )


class GaussianMixtures(Dataset):
    r"""Sets of points in the plane, each from a Gaussian mixture of its own.

    A set is made when it is asked for, from the seed, the split and its number alone:
    the same on every machine and in any order of access, and as many as you like.

    ``'clustering'`` is the amortised clustering of the `"Learning Set-equivariant
    Functions with SWARM Mappings" <https://arxiv.org/abs/1906.09400>`_ experiments:
    3 to 10 components of equal weight, :math:`\mu \sim N(0, I)`,
    :math:`\Sigma \sim W^{-1}(0.05 I, 4)`, 100 to 1000 points. ``'mixture'`` is the
    synthetic task of the `"Set Transformer" <https://arxiv.org/abs/1810.00825>`_
    paper: 4 components, :math:`\pi \sim Dir(1)`, :math:`\mu \sim U(-4, 4)^2`,
    :math:`\Sigma = 0.3^2 I`, 100 to 500 points.

    A set has ``pos`` ``[n, 2]``, the component ``y`` ``[n]`` of each point, and the
    truth: ``weight`` ``[K]``, ``mean`` ``[K, 2]``, ``covariance`` ``[K, 2, 2]``.

    Args:
        protocol: ``'clustering'`` or ``'mixture'`` (default: ``'clustering'``).
        split: ``'train'``, ``'val'`` or ``'test'``; no set is in two of them
            (default: ``'train'``).
        num_sets: the length (default: 10,000). A longer dataset begins with the
            sets of a shorter one.
        seed: another seed gives other sets (default: 0).
        transform: applied to a set at every access (default: ``None``).

    Raises:
        ValueError: if an argument is wrong.

    Cost: about 0.2 ms a set.

    Example:
        >>> dataset = GaussianMixtures("mixture", "test")
        >>> dataset[7].mean.shape, 100 <= dataset[7].num_nodes <= 500
        (torch.Size([4, 2]), True)
    """

    protocols: ClassVar[dict[str, Protocol]] = {
        "clustering": Protocol((3, 10), (100, 1000), _draw_clustering),
        "mixture": Protocol((4, 4), (100, 500), _draw_mixture),
    }
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")

    def __init__(
        self,
        protocol: Literal["clustering", "mixture"] = "clustering",
        split: Literal["train", "val", "test"] = "train",
        num_sets: int = 10_000,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        if protocol not in self.protocols:
            raise ValueError(
                f"protocol: expected one of {list(self.protocols)}, got {protocol!r}"
            )
        if split not in self.splits:
            raise ValueError(f"split: expected one of {self.splits}, got {split!r}")
        if num_sets < 1 or seed < 0:
            raise ValueError(
                "expected num_sets of at least 1 and a seed of at least 0, got "
                f"num_sets={num_sets} and seed={seed}"
            )
        super().__init__(transform=transform)
        self.protocol = self.protocols[protocol]
        self.split = split
        self.num_sets = num_sets
        self.seed = seed

    def len(self) -> int:
        """Return the number of sets."""
        return self.num_sets

    def get(self, idx: int) -> Data:
        """Draw set number ``idx``."""
        rng = np.random.default_rng([self.seed, self.splits.index(self.split), idx])
        num_elements = rng.integers(*self.protocol.num_elements, endpoint=True)
        num_components = rng.integers(*self.protocol.num_components, endpoint=True)
        mixture = self.protocol.draw(rng, int(num_components))
        y = rng.choice(num_components, size=num_elements, p=mixture.weight)
        noise = rng.normal(size=(num_elements, 2, 1))
        scale = np.linalg.cholesky(mixture.covariance)
        pos = mixture.mean[y] + (scale[y] @ noise).squeeze(2)
        return Data(
            pos=torch.from_numpy(pos).float(),
            y=torch.from_numpy(y),
            weight=torch.from_numpy(mixture.weight).float(),
            mean=torch.from_numpy(mixture.mean).float(),
            covariance=torch.from_numpy(mixture.covariance).float(),
        )
