"""Equivariant layers one diagram at a time, and as explicit matrices."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pyg_setops import EquivariantLinear
from pyg_setops.partition import diagrams
from pyg_setops.ragged import TensorIndex


class PerDiagram:
    """The fast product with each diagram, nothing shared between them.

    Restricts the input to a diagonal, sums, mixes at the lowest order, permutes,
    broadcasts and places, over ragged sets; the sum of all.
    """

    def __init__(self, layer: EquivariantLinear, tensors: TensorIndex):
        self.layer, self.tensors = layer, tensors
        self.diagrams = diagrams(layer.order_in, layer.order_out)

    def __call__(self, x: Tensor) -> Tensor:
        tensors, out = self.tensors, None
        for diagram, weight in zip(self.diagrams, self.layer.weight, strict=True):
            source, target = diagram.source, diagram.target
            blocks = source.order + source.num_summed
            y = tensors.gather(x, source.points, blocks)
            y = tensors.scatter(y, source.kept, blocks)
            if source.num_summed > 0 and self.layer.aggr == "mean":
                sizes = tensors.sizes.clamp(min=1) ** source.num_summed
                y = y / sizes[tensors.rows(source.order).index, None]
            y = F.linear(y, weight)
            turned = tuple(map(diagram.permutation.index, range(source.order)))
            y = tensors.gather(y, turned, source.order)
            blocks = target.order + target.num_summed
            y = tensors.gather(y, target.kept, blocks)
            y = tensors.scatter(y, target.points, blocks)
            out = y if out is None else out + y
        assert out is not None
        return out


class Matrices:
    """The explicit matrix of every diagram, set by set or sets of equal size together.

    The matrices of each size are made beforehand. All diagrams are applied by one
    product, and mixed by another.
    """

    def __init__(self, layer: EquivariantLinear, sizes: list[int], together: bool):
        self.layer = layer
        self.sizes = sizes
        numbers = range(len(sizes))
        self.groups = [[number] for number in numbers]
        if together:
            self.groups = [[i for i in numbers if sizes[i] == n] for n in set(sizes)]
        kinds = diagrams(layer.order_in, layer.order_out)
        self.matrices = {n: self._make(kinds, n) for n in set(sizes)}

    def _make(self, kinds, size: int) -> Tensor:
        mean = self.layer.aggr == "mean"
        made = []
        for diagram in kinds:
            scale = float(size) ** -diagram.source.num_summed if mean else 1.0
            made.append(scale * diagram.matrix(size))
        return torch.stack(made)

    def __call__(self, x: Tensor) -> Tensor:
        order_in, order_out = self.layer.order_in, self.layer.order_out
        parts = x.split([n**order_in for n in self.sizes])
        outs: list[Tensor | None] = [None] * len(parts)
        for numbers in self.groups:
            size = self.sizes[numbers[0]]
            matrices = self.matrices[size]
            together = torch.stack([parts[i] for i in numbers], dim=1).flatten(1)
            spread = matrices.flatten(0, 1) @ together
            shape = (len(matrices), size**order_out, len(numbers), x.size(1))
            mixed = torch.einsum("prgc,poc->gro", spread.view(shape), self.layer.weight)
            for i, out in zip(numbers, mixed, strict=True):
                outs[i] = out
        return torch.cat([out for out in outs if out is not None])
