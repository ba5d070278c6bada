"""Rigid motions drawn at random: rotation augmentation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from ..ragged import SetIndex, gather


class RandomMotion(BaseTransform):
    r"""Moves every graph by a rotation and a translation of its own.

    :math:`p_i \leftarrow R (p_i + t)` with :math:`R` uniform among the rotations (by
    Haar's measure) and :math:`t \sim \mathcal{N}(0, \sigma^2)`. What turns along with
    the positions, such as velocities and forces, can be named.

    Args:
        translation: The deviation :math:`\sigma`, in the unit of ``pos``.
        rotate: Whether to rotate.
        vectors: The names of vectors ``[N, *, D]`` or, one for a graph, ``[B, *, D]``.
        generator: Where motions are drawn from.

    Shapes:
        - **input:** ``pos`` :math:`(N, D)`, and ``batch`` where the data is a batch
        - **output:** the same data, its positions and vectors replaced

    Raises:
        ValueError: If the data has no ``pos``, or what is named is not vectors.

    Example:
        >>> data = Data(pos=torch.randn(5, 3), force=torch.randn(5, 3))
        >>> moved = RandomMotion(0.5, vectors=("force",))(data)
        >>> moved.pos.shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        translation: float = 0.5,
        rotate: bool = True,
        vectors: tuple[str, ...] = (),
        generator: torch.Generator | None = None,
    ):
        if not translation >= 0:
            raise ValueError(f"'translation' must not be negative, got {translation}")
        self.translation = translation
        self.rotate = rotate
        self.vectors = vectors
        self.generator = generator

    def forward(self, data: Data) -> Data:
        """Returns the data, moved."""
        pos = data.pos
        if pos is None:
            raise ValueError("'data' must have positions ('pos') to be moved")
        count = 1 if data.batch is None else getattr(data, "num_graphs", None)
        sets = SetIndex.build(data.batch, None, count, len(pos), pos.device)
        num_graphs = sets.num_sets
        shift = torch.randn(
            num_graphs, pos.size(1), generator=self.generator, dtype=pos.dtype
        ).to(pos.device)
        pos = pos + gather(self.translation * shift, sets)
        if not self.rotate:
            data.pos = pos
            return data
        turn = random_rotations(num_graphs, pos.size(1), self.generator).to(pos)
        at_nodes = gather(turn, sets)
        data.pos = _turn(at_nodes, pos)
        for name in self.vectors:
            value = data[name]
            own = at_nodes if len(value) == len(pos) else turn
            if len(value) != len(own) or value.size(-1) != pos.size(1):
                raise ValueError(
                    f"'{name}' must be vectors of {len(pos)} nodes or {num_graphs} "
                    f"graphs in {pos.size(1)} dimensions, got {list(value.shape)}"
                )
            data[name] = _turn(own, value)
        return data

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(translation={self.translation}, "
            f"rotate={self.rotate})"
        )


def random_rotations(
    count: int, dim: int, generator: torch.Generator | None = None
) -> Tensor:
    """Haar-uniform rotation matrices ``[count, dim, dim]``, float64.

    Example:
        >>> r = random_rotations(10, 3)
        >>> torch.allclose(torch.linalg.det(r), torch.ones(10, dtype=torch.float64))
        True
    """
    normal = torch.randn(count, dim, dim, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(normal)
    q = q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None]  # unique, hence uniform
    improper = torch.linalg.det(q) < 0
    q[improper, :, 0] *= -1
    return q


def _turn(turn: Tensor, vectors: Tensor) -> Tensor:
    """Of ``[N, D, D]`` and ``[N, *, D]``, such as a vector at several times."""
    return torch.einsum("nij,n...j->n...i", turn.to(vectors.dtype), vectors)
