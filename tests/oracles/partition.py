"""Equivariant linear maps as explicit matrices, entry by entry, in float64.

Weights are a list of ``(partition, matrix)``; a partition names the block of each of
the ``l + k`` axes, those of the output first.
"""

from functools import cache
from itertools import product

import torch


def partitions(points):
    """All ways to part a list into blocks: each point joins a block or opens one."""
    if not points:
        return [[]]
    found = []
    for blocks in partitions(points[:-1]):
        found.append([*blocks, [points[-1]]])
        for chosen in range(len(blocks)):
            joined = [list(block) for block in blocks]
            joined[chosen].append(points[-1])
            found.append(joined)
    return found


def bell(num_points):
    return len(partitions(list(range(num_points))))


def _equal(index, partition):
    """Whether the index has one value in each block."""
    values = {}
    for block, value in zip(partition, index, strict=True):
        if values.setdefault(block, value) != value:
            return False
    return True


@cache
def diagram(partition, order_out, order_in, size):
    """The matrix of a diagram, ``[size ** order_out, size ** order_in]``."""
    rows = list(product(range(size), repeat=order_out))
    columns = list(product(range(size), repeat=order_in))
    matrix = torch.zeros(len(rows), len(columns), dtype=torch.float64)
    for r, row in enumerate(rows):
        for c, column in enumerate(columns):
            matrix[r, c] = float(_equal((*row, *column), partition))
    return matrix


def orbit(partition, order_out, order_in, size):
    """The matrix that is 1 where indices are equal exactly within blocks."""
    matrix = diagram(partition, order_out, order_in, size).clone()
    rows = list(product(range(size), repeat=order_out))
    columns = list(product(range(size), repeat=order_in))
    for r, row in enumerate(rows):
        for c, column in enumerate(columns):
            distinct = len({*row, *column})
            if distinct != len(set(partition)):
                matrix[r, c] = 0
    return matrix


def num_summed(partition, order_out):
    """How many blocks have points of the input alone."""
    return len(set(partition[order_out:]) - set(partition[:order_out]))


def matrix(weights, order_out, order_in, size, aggr):
    """The whole map of a set, ``[size ** l, C_out, size ** k, C_in]``."""
    total = 0
    for partition, weight in weights:
        scale = 1.0
        if aggr == "mean":
            scale = 1.0 / max(size, 1) ** num_summed(partition, order_out)
        entries = diagram(partition, order_out, order_in, size)
        total = total + scale * torch.einsum("rc,oi->roci", entries, weight.double())
    return total


def linear(x, sizes, weights, biases, order_out, order_in, aggr):
    """The outputs of sets of these sizes, each by itself, one below the other."""
    outs, start = [], 0
    for size in sizes:
        rows = x[start : start + size**order_in].double()
        start += size**order_in
        whole = matrix(weights, order_out, order_in, size, aggr)
        y = torch.einsum("roci,ci->ro", whole, rows)
        for partition, bias in biases:
            y = y + diagram(partition, order_out, 0, size) * bias.double()
        outs.append(y)
    return torch.cat(outs)
