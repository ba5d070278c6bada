"""Attention over pairs of lifted elements, block by block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..ragged import SetIndex, gather, segment_softmax, segment_sum
from .kernel import Normalize
from .pairs import Block, EdgePairs, FullPairs, LiftedPairs
from .scores import PairScores, Side


def attend(
    scores: PairScores, target: Side, source: Side, value: Tensor, pairs: LiftedPairs
) -> Tensor:
    r"""Sums the values of the neighbours, weighted by normalised scores.

    Args:
        scores: The scores.
        target: The elements as targets.
        source: The elements as sources.
        value: Their values ``[M, h, d]``.
        pairs: Who hears whom.

    Returns:
        ``[M, h, d]``; zero where there is nobody to hear.
    """
    if not pairs.blocks:
        return value
    if isinstance(pairs, FullPairs):
        return _attend_full(scores, target, source, value, pairs)
    return _attend_edges(scores, target, source, value, pairs)


def _attend_full(
    scores: PairScores, target: Side, source: Side, value: Tensor, pairs: FullPairs
) -> Tensor:
    """All pairs of sets of equal size at a time, elements on the last dimensions."""

    def arrange(rows: Tensor) -> Tensor:
        return rows[pairs.order].permute(1, 2, 0).contiguous()

    target, source = _map(arrange, target), _map(arrange, source)
    value = arrange(value)
    run, parts = _runner(pairs.recompute), []
    for block, kept in zip(pairs.blocks, pairs.kept(), strict=True):

        def compute(
            target: Side,
            source: Side,
            value: Tensor,
            g_i: Tensor,
            g_j: Tensor,
            count: int = block.num_sets,
            pair: Tensor | None = kept,
        ) -> Tensor:
            def split(x: Tensor) -> Tensor:
                return x.unflatten(-1, (count, -1))

            target, source = _map(split, target), _map(split, source)
            if scores.needs_pairs:
                pair = pairs.embed(g_i, g_j, count) if pair is None else pair
            score = scores(
                _content(scores, target.content, source.content),
                _outer_sum(target.location, source.location),
                _outer_sum(target.joint, source.joint),
                pair if scores.needs_pairs else None,
            )
            weight = _normalize(score, scores.kernel.normalize)
            return (split(value).transpose(1, 2) @ weight.mT).transpose(1, 2).flatten(2)

        hear, heard = block.targets, block.sources
        sides = _columns(target, hear), _columns(source, heard)
        value_j, g_i, g_j = value[..., heard], pairs.g[hear], pairs.g[heard]
        parts.append(run(compute, *sides, value_j, g_i, g_j))
    return torch.cat(parts, dim=-1).permute(2, 0, 1)[pairs.inverse]


def _attend_edges(
    scores: PairScores, target: Side, source: Side, value: Tensor, pairs: EdgePairs
) -> Tensor:
    """The edges of some targets at a time, elements on the first dimension."""
    run, parts = _runner(pairs.recompute), []
    for block, kept in zip(pairs.blocks, pairs.kept(), strict=True):

        def compute(
            target: Side,
            source: Side,
            value: Tensor,
            g: Tensor,
            block: Block = block,
            pair: Tensor | None = kept,
        ) -> Tensor:
            hear, heard = pairs.ends(block)
            if scores.needs_pairs:
                pair = pairs.embed(g, block) if pair is None else pair
            here = _map(lambda rows: gather(rows, hear), target)
            there = _map(lambda rows: gather(rows, heard), source)
            score = scores(
                _edge_content(scores, here.content, there.content),
                _edge_sum(here.location, there.location),
                _edge_sum(here.joint, there.joint),
                pair if scores.needs_pairs else None,
            )
            layout = pairs.layout(block)
            weight = _normalize_edges(score.t(), scores.kernel.normalize, layout)
            return segment_sum(weight[..., None] * gather(value, heard), layout)

        parts.append(run(compute, target, source, value, pairs.g))
    return torch.cat(parts)


def _content(scores: PairScores, q: Tensor | None, k: Tensor | None) -> Tensor | None:
    """Of ``[h, d, G, r]`` and ``[h, d, G, n]``, ``[h, G, r, n]``."""
    if q is None or k is None:
        return None
    if scores.kernel.content == "dot":
        return q.permute(0, 2, 3, 1) @ k.transpose(1, 2)
    return (q[..., None] + k[..., None, :]).squeeze(1)


def _outer_sum(target: Tensor | None, source: Tensor | None) -> Tensor | None:
    """Of ``[h, w, G, r]`` and ``[h, w, G, n]``, ``[h, w, G, r, n]``."""
    if target is None:
        return None
    return (
        target[..., None]
        if source is None
        else (target[..., None] + source[..., None, :])
    )


def _edge_content(
    scores: PairScores, q: Tensor | None, k: Tensor | None
) -> Tensor | None:
    """Of ``[E, h, d]``, ``[h, E]``."""
    if q is None or k is None:
        return None
    product = q * k if scores.kernel.content == "dot" else q + k
    return product.sum(-1).t()


def _edge_sum(target: Tensor | None, source: Tensor | None) -> Tensor | None:
    """Of ``[E, h, w]``, ``[h, w, E]``."""
    if target is None:
        return None
    total = target if source is None else target + source
    return total.permute(1, 2, 0).contiguous()


def _normalize(score: Tensor, how: Normalize) -> Tensor:
    """Weights of scores ``[*, n]`` of the ``n`` neighbours of each target."""
    if how == "softmax":
        return score.softmax(-1)
    return (score.exp() if how == "exp" else score) / score.size(-1)


def _normalize_edges(score: Tensor, how: Normalize, layout: SetIndex) -> Tensor:
    """Weights of scores ``[E, h]``, by target."""
    if how == "softmax":
        return segment_softmax(score, layout)
    count = gather(layout.sizes, layout)[:, None].to(score.dtype)
    return (score.exp() if how == "exp" else score) / count


def _map(function: Callable[[Tensor], Tensor], side: Side) -> Side:
    return Side(*[None if part is None else function(part) for part in side])


def _columns(side: Side, chosen: slice) -> Side:
    return _map(lambda part: part[..., chosen], side)


def _runner(recompute: bool) -> Callable[..., Tensor]:
    """Calls a function, and forgets what it computed if ``recompute``."""
    if not recompute or not torch.is_grad_enabled():
        return lambda function, *args: function(*args)

    def run(function: Callable[..., Tensor], *args: Any) -> Tensor:
        return checkpoint(
            function, *args, use_reentrant=False, preserve_rng_state=False
        )

    return run
