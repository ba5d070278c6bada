"""The product of features with harmonics, channel by channel."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .e3nn import import_o3


class Path(NamedTuple):
    """One way for an input to meet a harmonic and give an output.

    Attributes:
        source: The place of the input's irrep.
        degree: The degree of the harmonic.
        irrep: The irrep of the output.
    """

    source: int
    degree: int
    irrep: Any


class HarmonicProduct(torch.nn.Module):
    r"""The depthwise ("uvu") tensor product of features with spherical harmonics.

    For every path :math:`l_1 \otimes l_2 \to l_3` and channel :math:`u`,

    .. math::
        t_{u k} = \sqrt{2 l_3 + 1} \sum_{i j} C^{l_1 l_2 l_3}_{i j k}\, x_{u i}\, Y_j

    with Wigner's 3j symbols :math:`C` from e3nn. Paths keep apart, so that weights of
    the caller can scale each channel of each path. The symbols are exact in the type
    of the module, whatever types it had before.

    Args:
        irreps_in: The irreps of the features.
        max_degree: The largest degree of the harmonics.
        irreps_wanted: Only paths to these irreps are taken.

    Attributes:
        irreps_out: One entry for each path, in the order of the paths.
        num_channels: The channels of all paths, :math:`W`.

    Raises:
        ValueError: If there is no path.
    """

    symbols: Tensor

    def __init__(self, irreps_in: Any, max_degree: int, irreps_wanted: Any):
        super().__init__()
        o3 = import_o3(type(self).__name__)
        self.irreps_in = o3.Irreps(irreps_in)
        wanted = {irrep for _, irrep in o3.Irreps(irreps_wanted)}
        self.paths = [
            Path(source, degree, irrep)
            for source, (_, feature) in enumerate(self.irreps_in)
            for degree in range(max_degree + 1)
            for irrep in feature * o3.Irrep(degree, (-1) ** degree)
            if irrep in wanted
        ]
        if not self.paths:
            raise ValueError(
                f"no product of {self.irreps_in} with harmonics up to degree "
                f"{max_degree} gives one of {irreps_wanted}"
            )
        self.irreps_out = o3.Irreps(
            [(self.irreps_in[path.source].mul, path.irrep) for path in self.paths]
        )
        self.num_channels = self.irreps_out.num_irreps
        # torch.compile does not follow e3nn's irreps; forward sees numbers.
        self._inputs = [(mul, irrep.dim) for mul, irrep in self.irreps_in]
        self._outputs = [(mul, irrep.dim) for mul, irrep in self.irreps_out]
        self._meets = [(path.source, path.degree) for path in self.paths]
        symbols = [self._symbol(o3, path) for path in self.paths]
        self._sizes = [symbol.numel() for symbol in symbols]
        self._exact = torch.cat([symbol.flatten() for symbol in symbols])
        dtype = torch.get_default_dtype()
        self.register_buffer("symbols", self._exact.to(dtype), persistent=False)

    def _symbol(self, o3: Any, path: Path) -> Tensor:
        """``[j, i k]``: what takes a harmonic to the matrix that acts on features."""
        feature = self.irreps_in[path.source].ir
        symbol = o3.wigner_3j(
            feature.l, path.degree, path.irrep.l, dtype=torch.float64, device="cpu"
        )
        return symbol.transpose(0, 1).flatten(1) * path.irrep.dim**0.5

    def _apply(self, fn: Any, recurse: bool = True) -> HarmonicProduct:
        super()._apply(fn, recurse)
        self.symbols = self._exact.to(self.symbols)  # not from what it was rounded to
        return self

    def forward(self, x: Tensor, harmonics: Tensor) -> list[Tensor]:
        """The product for every path.

        Args:
            x: Features ``[E, irreps_in.dim]``.
            harmonics: ``[E, (max_degree + 1)²]``, normalised by component.

        Returns:
            ``[E, u, 2 l + 1]`` for each path.
        """
        features = _split(x, self._inputs)
        symbols = self.symbols.split(self._sizes)
        product = []
        for (source, degree), symbol in zip(self._meets, symbols, strict=True):
            feature = features[source]
            y = harmonics[:, degree**2 : (degree + 1) ** 2]
            matrix = y @ symbol.view(y.size(1), -1)
            matrix = matrix.unflatten(1, (feature.size(2), -1))
            single = feature.size(2) == 1
            # Batched products of 1 x 1 matrices take a hundred times as long.
            product.append(feature * matrix if single else feature @ matrix)
        return product

    def contract(self, query: Tensor, product: list[Tensor]) -> Tensor:
        """The scalar products of ``[E, irreps_out.dim]`` with it, ``[E, W]``."""
        parts = _split(query, self._outputs)
        sums = [(q * t).sum(dim=-1) for q, t in zip(parts, product, strict=True)]
        return torch.cat(sums, dim=-1)

    def scale(self, product: list[Tensor], weight: Tensor) -> Tensor:
        """It by a weight for each channel ``[E, W]``, as ``[E, irreps_out.dim]``."""
        weights = weight.split([mul for mul, _ in self._outputs], dim=-1)
        parts = [
            (w.unsqueeze(-1) * t).flatten(1)
            for w, t in zip(weights, product, strict=True)
        ]
        return torch.cat(parts, dim=-1)


def _split(x: Tensor, shapes: list[tuple[int, int]]) -> list[Tensor]:
    """e3nn's layout as ``[E, mul, dim]`` for each irrep."""
    parts = x.split([mul * dim for mul, dim in shapes], dim=-1)
    return [
        part.unflatten(-1, shape) for part, shape in zip(parts, shapes, strict=True)
    ]
