r"""What a graph becomes when its nodes are shared among slots.

With shares :math:`S`, ``[n, K]``, and adjacency :math:`A` of a graph, everything here
is made of :math:`S^\top A S` and :math:`S^\top S`, one ``[K, K]`` matrix a graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..ragged import SetIndex, edge_sum, segment_outer, segment_sum


def coarse_adjacency(
    shares: Tensor, edge_index: Tensor, edge_weight: Tensor, sets: SetIndex
) -> Tensor:
    r"""Adds up the edges between slots, :math:`S^\top A S`.

    Args:
        shares: :math:`S`, ``[N, K]``.
        edge_index: Edges inside graphs, ``[2, E]``, from row 0 to row 1.
        edge_weight: ``[E, F]``; each channel is an adjacency of its own.
        sets: The graph of each node.

    Returns:
        ``[B, K, K, F]``, from the slot of dimension 1 to that of dimension 2. What
        all edges weigh together is kept.

    Cost:
        :math:`O(F (E K + N K^2))` time, :math:`O(F (N K + B K^2))` memory beside the
        edges; there is no row or matrix for an edge and no dense adjacency.
    """
    coarse = []
    for weight in edge_weight.unbind(1):
        reached = edge_sum(shares, weight, edge_index)
        coarse.append(segment_outer(shares, reached, sets))
    empty = shares.new_zeros(sets.num_sets, shares.size(1), shares.size(1), 0)
    return torch.stack(coarse, -1) if coarse else empty


@dataclass(frozen=True)
class CoarseningLosses:
    """How well the slots of each graph fit its edges, ``[B]`` each.

    Attributes:
        link: The mean square of :math:`A - S S^T` over the pairs of nodes.
        entropy: The mean entropy of the shares of a node.
        cut: 1 less the weight of edges inside slots, relative to the degrees: 0 where
            no edge is cut.
        orthogonality: The distance of the normalised :math:`S^T S` from the identity:
            0 where nodes are not shared, and slots are equally large.
    """

    link: Tensor
    entropy: Tensor
    cut: Tensor
    orthogonality: Tensor


def coarsening_losses(
    shares: Tensor,
    edge_index: Tensor,
    edge_weight: Tensor,
    coarse: Tensor,
    sets: SetIndex,
) -> CoarseningLosses:
    r"""Computes the losses of graph pooling, none from a matrix of node pairs.

    Args:
        shares: :math:`S`, ``[N, K]``.
        edge_index: ``[2, E]``, without repeated edges.
        edge_weight: ``[E]``.
        coarse: :math:`S^\top A S`, ``[B, K, K]``.
        sets: The graph of each node.
    """
    source = SetIndex.build(edge_index[0], None, shares.size(0))
    graph = SetIndex(
        sets.index[edge_index[0]], None, sets.num_sets, source.num_elements
    )
    overlap = segment_outer(shares, shares, sets)
    inside = coarse.diagonal(dim1=1, dim2=2).sum(1)
    # |A - S S^T|^2 = |A|^2 - 2 <A, S S^T> + |S^T S|^2, and the middle is the trace.
    square = segment_sum(edge_weight.square(), graph)
    pairs = sets.sizes.clamp(min=1).to(shares.dtype).square()
    link = (square - 2 * inside + overlap.square().sum((1, 2))) / pairs
    # The slope of x log x is infinite at 0, where shares may well be.
    log = shares.clamp(min=torch.finfo(shares.dtype).tiny).log()
    entropy = segment_sum(-(shares * log).sum(1), sets) / pairs.sqrt()
    degree = segment_sum(edge_weight, source)
    volume = segment_sum(degree * shares.square().sum(1), sets)
    cut = 1 - inside / volume.masked_fill(volume == 0, 1)
    cut = torch.where(volume == 0, 0, cut)
    # Of these norms, unlike of roots of sums, the derivative at 0 is 0.
    size = overlap.norm(dim=(1, 2), keepdim=True)
    unit = torch.eye(shares.size(1), dtype=shares.dtype, device=shares.device)
    unit = unit / shares.size(1) ** 0.5
    apart = overlap / size.masked_fill(size == 0, 1) - unit
    orthogonality = torch.where(sets.sizes > 0, apart.norm(dim=(1, 2)), 0)
    return CoarseningLosses(link, entropy, cut, orthogonality)


def normalised(coarse: Tensor) -> Tensor:
    r"""Divides ``[B, K, K, F]`` by the roots of its degrees, as a convolution does.

    The degree of a slot is the mean of what leaves and what enters it.
    """
    degree = (coarse.sum(1) + coarse.sum(2)) / 2
    positive = degree > 0
    root = torch.where(positive, degree.masked_fill(~positive, 1).rsqrt(), 0)
    return coarse * root[:, :, None] * root[:, None]
