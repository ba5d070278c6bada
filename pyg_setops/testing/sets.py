"""Ragged batches to test with, and one way to run whatever is tested on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation


@dataclass(frozen=True)
class RaggedSets:
    """A batch of sets that lie one after another, in both of PyG's forms.

    Attributes:
        x: The elements, ``[N, C]``.
        index: The set of each element, ``[N]``.
        ptr: The boundaries of the sets, ``[B + 1]``.
    """

    x: Tensor
    index: Tensor
    ptr: Tensor

    @property
    def num_sets(self) -> int:
        """The number of sets, empty ones included."""
        return self.ptr.numel() - 1

    @property
    def sizes(self) -> list[int]:
        """The number of elements of each set."""
        return self.ptr.diff().tolist()

    def __getitem__(self, number: int) -> Tensor:
        """The elements of one set."""
        return self.x[self.ptr[number] : self.ptr[number + 1]]


def random_sets(
    channels: int,
    sizes: Sequence[int] | None = None,
    *,
    dtype: torch.dtype | None = None,
    seed: int = 0,
) -> RaggedSets:
    """Draws a ragged batch with normally distributed elements.

    Args:
        channels: The width of an element.
        sizes: The number of elements of each set (default: eight sets of two to nine
            elements, among which an empty set and a singleton).
        dtype: The type of the elements (default: torch's default).
        seed: The same seed gives the same batch.

    Returns:
        The batch, sorted by set.

    Example:
        >>> sets = random_sets(channels=4, sizes=[2, 0, 3])
        >>> sets.x.shape, sets.index.tolist(), sets.ptr.tolist()
        (torch.Size([5, 4]), [0, 0, 2, 2, 2], [0, 2, 2, 5])
    """
    generator = torch.Generator().manual_seed(seed)
    if sizes is None:
        drawn = torch.randint(2, 10, (6,), generator=generator).tolist()
        sizes = [*drawn[:3], 0, *drawn[3:], 1]
    x = torch.randn(sum(sizes), channels, generator=generator, dtype=dtype)
    return layout(x, sizes)


def layout(x: Tensor, sizes: Sequence[int]) -> RaggedSets:
    """Cuts elements into sets of these sizes."""
    counts = torch.tensor(sizes, dtype=torch.long, device=x.device)
    ptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    index = torch.arange(len(sizes), device=x.device).repeat_interleave(counts)
    return RaggedSets(x, index, ptr)


def evaluate(
    module: torch.nn.Module,
    x: Tensor,
    index: Tensor | None = None,
    ptr: Tensor | None = None,
    dim_size: int | None = None,
    dim: int = -2,
) -> Tensor:
    """Calls an aggregation, or a set-to-set layer, which knows no ``dim_size``."""
    if isinstance(module, Aggregation):
        return module(x, index, ptr, dim_size, dim)
    return module(x, index, ptr)


def value_and_gradient(
    module: torch.nn.Module,
    x: Tensor,
    index: Tensor | None = None,
    ptr: Tensor | None = None,
    dim_size: int | None = None,
    dim: int = -2,
) -> tuple[Tensor, Tensor]:
    """The output, and the gradient of a fixed combination of its channels.

    The combination is the same for every row, so that the gradient of a set does not
    depend on where in a batch it lies. An output without a graph has gradient zero:
    only :func:`~pyg_setops.testing.assert_derivatives` judges derivatives as such.
    """
    run = partial(evaluate, module)
    return differentiate(run, x, index, ptr, dim_size, dim)


def differentiate(
    run: Callable[..., Tensor], x: Tensor, *layout: object
) -> tuple[Tensor, Tensor]:
    """:func:`value_and_gradient` of ``run(x, *layout)``."""
    x = x.detach().clone().requires_grad_()
    out = run(x, *layout)
    if not out.requires_grad:
        return out, torch.zeros_like(x)
    number = torch.arange(out.size(-1), dtype=out.dtype, device=out.device)
    weight = (1 + number).cos().expand_as(out)
    (gradient,) = torch.autograd.grad(
        out, x, weight, allow_unused=True, materialize_grads=True
    )
    return out.detach(), gradient


def split(module: torch.nn.Module, out: Tensor, sets: RaggedSets) -> list[Tensor]:
    """The rows of each set: one of an aggregation, one per element of a layer."""
    if isinstance(module, Aggregation):
        return list(out[:, None].unbind())
    return list(out.split(sets.sizes))


def assert_same(actual: Tensor, expected: Tensor, claim: str) -> None:
    """Asserts equality up to rounding, relative to the largest value expected."""
    eps = torch.finfo(expected.dtype).eps
    finite = expected[expected.isfinite()].abs()
    largest = finite.max().item() if finite.numel() > 0 else 0.0
    torch.testing.assert_close(
        actual,
        expected,
        rtol=0,
        atol=eps**0.6 * largest + 100 * eps,
        equal_nan=True,
        msg=lambda detail: f"{claim}.\n{detail}",
    )
