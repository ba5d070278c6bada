"""The layer: all linear maps between tensors of two orders that commute with S_n."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Literal

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn import functional as F

from ..lazy import LazyChannels
from ..ragged import TensorIndex, gather
from .diagrams import diagrams, halves
from .plan import Level, make_plan
from .set_partitions import Partition
from .transfer import lift, lift_from_sets, pool, pool_to_sets


class EquivariantLinear(LazyChannels):
    r"""Every linear map from order-:math:`k` to order-:math:`l` tensors that commutes
    with permutations of the elements, over ragged sets.

    .. math::
        y = \sum_\pi D_\pi\, x\, W_\pi^\top + \sum_\rho D_\rho\, b_\rho, \qquad
        (D_\pi)_{ij} = 1 \text{ where indices in one block of } \pi \text{ are equal,
        else } 0

    over the partitions :math:`\pi` of the :math:`l + k` axes and :math:`\rho` of the
    :math:`l` axes: 15 matrices and 2 biases from pairs to pairs. As in `"Invariant and
    Equivariant Graph Networks" <https://arxiv.org/abs/1812.09902>`_, multiplied by
    pooling, mixing at the lowest order and lifting, as in `"Fast computation of
    permutation equivariant layers with the partition algebra"
    <https://arxiv.org/abs/2303.06208>`_, with everything that diagrams have in common
    computed once.

    Args:
        order_in: :math:`k`: 0 for one row per set, 1 for elements, 2 for pairs, ...
        order_out: :math:`l`.
        in_channels: The input width, or -1 to take it from the first input.
        out_channels: The output width.
        bias: Whether there are biases.
        aggr: ``'mean'`` divides every sum over an axis by the size of the set,
            ``'sum'`` by the ``typical_size``, so that it grows with the set.
        size_exponent: Learn, for every channel of every pooled tensor, a factor
            :math:`(n / \bar n)^\alpha`, from :math:`\alpha = 0`. Of means over one
            axis, :math:`\alpha = 1` makes sums.
        typical_size: :math:`\bar n`, a constant.

    Shapes:
        - **input:** :math:`(*, \sum_b n_b^k, C_{in})`, set after set, row-major inside
        - **output:** :math:`(*, \sum_b n_b^l, C_{out})`

    Cost:
        :math:`O(n^k + n^l)` additions a channel for a set of :math:`n` elements; a
        matrix product of :math:`\sum_b n_b^t` rows for each :math:`t \le \min(k, l)`.

    Example:
        >>> layer = EquivariantLinear(2, 1, 3, 8)  # pairs to elements
        >>> layer(torch.randn(2**2 + 4**2, 3), ptr=torch.tensor([0, 2, 6])).shape
        torch.Size([6, 8])
    """

    width_key = "weight"

    def __init__(
        self,
        order_in: int,
        order_out: int,
        in_channels: int,
        out_channels: int,
        bias: bool = True,
        aggr: Literal["mean", "sum"] = "mean",
        size_exponent: bool = False,
        typical_size: float = 1.0,
    ):
        super().__init__()
        for name, order in (("order_in", order_in), ("order_out", order_out)):
            if order < 0:
                raise ValueError(f"'{name}' must not be negative, got {order}")
        if out_channels < 1:
            raise ValueError(f"'out_channels' must be positive, got {out_channels}")
        if aggr not in ("mean", "sum"):
            raise ValueError(f"'aggr' must be 'mean' or 'sum', got {aggr!r}")
        if not typical_size > 0:
            raise ValueError(f"'typical_size' must be positive, got {typical_size}")
        self.order_in, self.order_out = order_in, order_out
        self.out_channels, self.aggr = out_channels, aggr
        self.size_exponent, self.typical_size = size_exponent, typical_size
        self.plan = make_plan(order_in, order_out)
        self.bias = None
        if bias:
            self.bias = Parameter(torch.zeros(len(halves(order_out, 0)), out_channels))
        self.start(in_channels)

    def build(self, in_channels: int) -> None:
        """Creates the weights; see :class:`~pyg_setops.lazy.LazyChannels`."""
        count = len(diagrams(self.order_in, self.order_out))
        self.weight = Parameter(torch.empty(count, self.out_channels, in_channels))
        self.exponent = None
        if self.size_exponent:
            self.exponent = Parameter(torch.empty(len(self.plan.pooled), in_channels))
        self._reset_weight()

    def reset_parameters(self) -> None:
        """Draws all weights anew, and sets biases and exponents to zero.

        Uniformly, with a variance that keeps that of the entries off all diagonals.
        """
        if self.in_channels != -1:
            self._reset_weight()
        if self.bias is not None:
            torch.nn.init.zeros_(self.bias)

    @torch.no_grad()
    def _reset_weight(self) -> None:
        generic = tuple(range(self.order_out))
        kinds = diagrams(self.order_in, self.order_out)
        terms = sum(diagram.target.points == generic for diagram in kinds)
        bound = (3 / (terms * self.weight.size(-1))) ** 0.5
        self.weight.uniform_(-bound, bound)
        if self.exponent is not None:
            self.exponent.zero_()

    def forward(
        self,
        x: Tensor,
        index: Tensor | TensorIndex | None = None,
        ptr: Tensor | None = None,
    ) -> Tensor:
        """Maps a tensor over each set to another.

        Args:
            x: A tensor of order ``order_in`` over each set.
            index: The set of each *element*, whatever the orders are; or a
                :class:`~pyg_setops.ragged.TensorIndex`, which several layers share.
                Where neither this nor ``ptr`` is given, ``x`` is over one set. An
                unsorted one is understood as
                :meth:`pyg_setops.ragged.TensorIndex.build` says.
            ptr: The boundaries of the sets, counted in elements.

        Returns:
            A tensor of order ``order_out`` over each set.

        Raises:
            TypeError: If ``index`` or ``ptr`` does not hold integers.
            ValueError: If the layout is not one, or ``x`` has not the rows of a tensor
                of this order over it, or not the width that the layer has.
        """
        tensors = self.layout(x, index, ptr)
        rows = x
        if x.dim() > 2:
            tensors = tensors.repeat(prod(x.shape[:-2]))
            rows = x.reshape(-1, x.size(-1))
        tensors.expect(rows, self.order_in)
        self.see(rows)
        if self.order_in == 1 and tensors.order is not None:
            rows = rows.index_select(0, tensors.order)
        through_sets = len(self.plan.levels) == 1
        out = (self._through_sets if through_sets else self._map)(rows, tensors)
        if self.order_out == 1 and tensors.order is not None:
            out = out.index_select(0, tensors.order.argsort())
        return out.view(*x.shape[:-2], -1, self.out_channels)

    def layout(
        self, x: Tensor, index: Tensor | TensorIndex | None, ptr: Tensor | None
    ) -> TensorIndex:
        """The layout that :meth:`forward` is told."""
        if isinstance(index, TensorIndex):
            if ptr is not None:
                raise ValueError("'ptr' must not be given beside a 'TensorIndex'")
            return index
        count = x.size(-2) if self.order_in == 1 else None
        if index is None and ptr is None:
            if self.order_in == 0:
                raise ValueError("expected 'index' or 'ptr': sets have any size here")
            count = round(x.size(-2) ** (1 / self.order_in))
        dim_size = x.size(-2) if self.order_in == 0 else None
        return TensorIndex.build(index, ptr, dim_size, count, x.device)

    def _map(self, x: Tensor, tensors: TensorIndex) -> Tensor:
        """Pool, mix order by order, lift."""
        levels = self.plan.levels
        sources = [bundle for level in levels for bundle in level.pooled]
        pooled = iter(pool(x, tensors, self.plan.pooling, sources))
        mixed: list[Tensor] = []
        for level in levels:
            sides = [next(pooled) for _ in level.pooled]
            together = sides[0] if len(sides) == 1 else torch.cat(sides, dim=1)
            scaled = self._scale(together, tensors, level)
            parts = self._mix(scaled.to(x.dtype), level)
            parts = [
                tensors.gather(part, axes, level.order)
                for part, axes in zip(parts, level.permutations, strict=True)
            ]
            for part in parts[1:]:
                parts[0] = part.add_(parts[0])
            widths = [count * self.out_channels for _, count in level.lifted]
            mixed += parts[0].split(widths, dim=1)
        targets = [bundle for level in levels for bundle, _ in level.lifted]
        return lift(mixed, tensors, self.plan.lifting, targets)

    def _through_sets(self, x: Tensor, tensors: TensorIndex) -> Tensor:
        """The same where one of the orders is 0, so that only sums of sets pass."""
        (level,) = self.plan.levels
        pooled = self._scale(pool_to_sets(x, tensors, level), tensors, level)
        (mixed,) = self._mix(pooled.to(x.dtype), level)
        return lift_from_sets(mixed, tensors, level)

    def _scale(self, pooled: Tensor, tensors: TensorIndex, level: Level) -> Tensor:
        """Divides sums by sizes, and multiplies them by learned powers of these."""
        factors = self._factors(tensors.sizes, level, pooled)
        if factors is None:
            return pooled
        rows = factors.flatten(1)
        if level.order > 0:
            rows = gather(rows, tensors.rows(level.order))
        shape = (len(level.sources), -1)
        return (pooled.unflatten(1, shape) * rows.unflatten(1, shape)).flatten(1)

    def _factors(self, sizes: Tensor, level: Level, like: Tensor) -> Tensor | None:
        """What multiplies each pooled tensor of each set, ``[B, sources, 1 or C]``."""
        if level.order == self.order_in:  # the input itself
            return None
        sizes = sizes.clamp(min=1).to(like.dtype)[:, None, None]
        factors = None
        if self.aggr == "mean" or self.typical_size != 1:
            powers = like.new_tensor([-side.num_summed for side in level.sources])
            mean = self.aggr == "mean"
            base = sizes if mean else torch.full_like(sizes, self.typical_size)
            factors = base ** powers[:, None]
        if self.exponent is not None:
            start = self.plan.pooled.index(level.sources[0])
            exponent = self.exponent[start : start + len(level.sources)]
            learned = (sizes / self.typical_size) ** exponent
            factors = learned if factors is None else factors * learned
        return factors

    def _mix(self, pooled: Tensor, level: Level) -> list[Tensor]:
        """Products of all pooled tensors of an order, one for each permutation.

        From ``[M, sources * C_in]`` to ``[M, targets * C_out]`` each.
        """
        sources, targets = len(level.sources), len(level.targets)
        shape = (len(level.permutations), targets, sources)
        weight = self.weight[slice(*level.weights)].unflatten(0, shape)
        weight = weight.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        # A bias is what an input of order 0 that is 1 would give.
        bias = (
            self.bias.flatten() if level.order == 0 and self.bias is not None else None
        )
        return [F.linear(pooled, each, bias) for each in weight.unbind()]

    def per_diagram(self) -> list[tuple[Partition, Tensor]]:
        """The matrix ``[C_out, C_in]`` of each diagram.

        A diagram is a partition of the axes, those of the output first:
        ``(0, 1, 0, 1)`` is the identity on pairs, ``(0, 1, 1, 0)`` the transpose.
        """
        kinds = diagrams(self.order_in, self.order_out)
        return [(d.partition, w) for d, w in zip(kinds, self.weight, strict=True)]

    def biases(self) -> list[tuple[Partition, Tensor]]:
        """The bias ``[C_out]`` of each partition of the output's axes, if there are."""
        if self.bias is None:
            return []
        sides = halves(self.order_out, 0)
        return [(s.points, b) for s, b in zip(sides, self.bias, strict=True)]

    @torch.no_grad()
    def load_diagrams(self, weights: Iterable[tuple[Partition, Tensor]]) -> None:
        """Sets the matrices of all diagrams, in any order: undoes :meth:`per_diagram`.

        Raises:
            ValueError: If a diagram is missing, unknown or named twice, or a matrix has
                not the shape of the layer's; nothing is changed then.
        """
        given = list(weights)
        kinds = [d.partition for d in diagrams(self.order_in, self.order_out)]
        if sorted(partition for partition, _ in given) != sorted(kinds):
            raise ValueError(
                f"'weights' must have each of the {len(kinds)} partitions of "
                f"{self.order_out} + {self.order_in} axes once, got "
                f"{[partition for partition, _ in given]}"
            )
        for partition, matrix in given:
            if matrix.shape != self.weight.shape[1:]:
                raise ValueError(
                    f"the matrix of {partition} must have shape "
                    f"{list(self.weight.shape[1:])}, got {list(matrix.shape)}"
                )
        for partition, matrix in given:
            self.weight[kinds.index(partition)].copy_(matrix)

    def dense_weight(self, size: int) -> Tensor:
        """The whole matrix for a set of this size, to look at.

        Returns:
            ``[size ** order_out, size ** order_in, C_out, C_in]``, without biases.
        """
        sizes = torch.tensor([size], device=self.weight.device)
        kinds = diagrams(self.order_in, self.order_out)
        terms = []
        for diagram, weight in zip(kinds, self.weight, strict=True):
            level = self.plan.levels[diagram.source.order]
            factors = self._factors(sizes, level, self.weight)
            if factors is not None:
                weight = weight * factors[0, level.sources.index(diagram.source)]
            terms.append(diagram.matrix(size).to(weight)[:, :, None, None] * weight)
        return torch.stack(terms).sum(0)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.order_in}, {self.order_out}, "
            f"{self.in_channels}, {self.out_channels}, aggr='{self.aggr}')"
        )
