"""Real and categorical features of nodes and edges to vectors."""

from __future__ import annotations

from numbers import Integral

import torch
from torch import Tensor

from ..ragged.eager import is_eager, is_readable

#: The width of real features, or the number of values of each categorical column.
Features = int | tuple[int, ...]


class FeatureEncoder(torch.nn.Module):
    """Embeds features: a linear map of real ones, a sum over categorical columns.

    Args:
        features: The width of real features, or, for integer features, the number of
            values of each column.
        out_channels: The width of the vectors.

    Shapes:
        - **input:** :math:`(N)`, :math:`(N, K)`
        - **output:** :math:`(N, C)`

    Raises:
        ValueError: At a forward, if the columns are not those expected, or a value is
            none of its column's (where that is free to see: on the CPU, in eager mode).

    Example:
        >>> FeatureEncoder((10, 3), 8)(torch.tensor([[9, 0], [0, 2]])).shape
        torch.Size([2, 8])
    """

    offset: Tensor

    def __init__(self, features: Features, out_channels: int):
        super().__init__()
        if isinstance(features, Integral):  # NumPy's are no `int`
            features = int(features)
        self.features = features
        self.lin: torch.nn.Module
        if isinstance(features, int):
            self.lin = torch.nn.Linear(features, out_channels)
            return
        sizes = torch.tensor(features)
        self.register_buffer("offset", sizes.cumsum(0) - sizes)
        self.lin = torch.nn.EmbeddingBag(int(sizes.sum()), out_channels, mode="sum")

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[N]`` or ``[N, K]`` to ``[N, out_channels]``."""
        x = x[:, None] if x.dim() == 1 else x
        real = isinstance(self.features, int)
        width = self.features if isinstance(self.features, int) else len(self.features)
        if x.size(-1) != width or x.is_floating_point() != real:
            raise ValueError(
                f"'x' must have {width} {'real' if real else 'integer'} columns, got "
                f"{x.size(-1)} of {x.dtype}"
            )
        if real:
            return self.lin(x)
        self._expect_values(x)
        return self.lin(x + self.offset)

    def _expect_values(self, x: Tensor) -> None:
        """Refuses what would be read as a value of another column."""
        if not (is_eager() and is_readable(x)):
            return
        wrong = (x < 0) | (x >= x.new_tensor(self.features, dtype=torch.long))
        if wrong.any():
            raise ValueError(
                f"'x' must have values from 0 to below {self.features} in its "
                f"columns, got {x[wrong.any(1)][0].tolist()}"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.features})"
