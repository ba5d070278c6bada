"""Attention over pairs of lifted elements, block by block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..ragged import SetIndex, segment_softmax, segment_sum
from .kernel import Normalize
from .pairs import EdgePairs, FullPairs, LiftedPairs
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
    if isinstance(pairs, FullPairs):
        return _attend_full(scores, target, source, value, pairs)
    return _attend_edges(scores, target, source, value, pairs)


def _attend_full(
    scores: PairScores, target: Side, source: Side, value: Tensor, pairs: FullPairs
) -> Tensor:
    order = pairs.order
    target, source, value = _take(target, order), _take(source, order), value[order]
    run = _runner(pairs.recompute)
    parts = []
    for number, block in enumerate(pairs.blocks):
        coordinates = _kept(scores, pairs, number)

        def compute(
            target: Side,
            source: Side,
            value: Tensor,
            g_i: Tensor,
            g_j: Tensor,
            count: int = block.num_sets,
            pair: Tensor | None = coordinates,
        ) -> Tensor:
            if pair is None and scores.needs_pairs:
                pair = pairs.embed(g_i, g_j, count)
            shape = (count, -1)
            score = scores(_fold(target, shape), _fold(source, shape), pair, True)
            weight = _normalize(score, scores.kernel.normalize)
            out = weight @ value.unflatten(0, shape).movedim(-2, 0)
            return out.movedim(0, -2).flatten(0, 1)

        hear, heard = block.targets, block.sources
        sides = _take(target, hear), _take(source, heard)
        parts.append(run(compute, *sides, value[heard], pairs.g[hear], pairs.g[heard]))
    if not parts:
        return value
    return torch.cat(parts)[pairs.inverse]


def _attend_edges(
    scores: PairScores, target: Side, source: Side, value: Tensor, pairs: EdgePairs
) -> Tensor:
    run = _runner(pairs.recompute)
    parts = []
    for number, block in enumerate(pairs.blocks):
        coordinates = _kept(scores, pairs, number)
        hear = pairs.targets.index[block.sources]
        heard = pairs.source[block.sources]
        layout = pairs.layout(block)

        def compute(
            target: Side,
            source: Side,
            value: Tensor,
            g: Tensor,
            hear: Tensor = hear,
            heard: Tensor = heard,
            layout: SetIndex = layout,
            pair: Tensor | None = coordinates,
        ) -> Tensor:
            if pair is None and scores.needs_pairs:
                pair = pairs.embed(g[hear], g[heard])
            score = scores(_take(target, hear), _take(source, heard), pair, False)
            weight = _normalize_edges(score.t(), scores.kernel.normalize, layout)
            return segment_sum(weight[..., None] * value[heard], layout)

        parts.append(run(compute, target, source, value, pairs.g))
    return torch.cat(parts) if parts else value


def _kept(scores: PairScores, pairs: LiftedPairs, number: int) -> Tensor | None:
    if pairs.coordinates is None or not scores.needs_pairs:
        return None
    return pairs.coordinates[number]


def _normalize(score: Tensor, how: Normalize) -> Tensor:
    """Weights of scores ``[*, n]`` of the ``n`` neighbours of each target."""
    if how == "softmax":
        return score.softmax(-1)
    return (score.exp() if how == "exp" else score) / score.size(-1)


def _normalize_edges(score: Tensor, how: Normalize, layout: SetIndex) -> Tensor:
    """Weights of scores ``[E, h]``, by target."""
    if how == "softmax":
        return segment_softmax(score, layout)
    count = layout.sizes[layout.index][:, None].to(score.dtype)
    return (score.exp() if how == "exp" else score) / count


def _take(side: Side, rows: Tensor | slice) -> Side:
    return Side(*[None if part is None else part[rows] for part in side])


def _fold(side: Side, shape: tuple[int, int]) -> Side:
    return Side(*[None if part is None else part.unflatten(0, shape) for part in side])


def _runner(recompute: bool) -> Callable[..., Tensor]:
    """Calls a function, and forgets what it computed if ``recompute``."""
    if not recompute or not torch.is_grad_enabled():
        return lambda function, *args: function(*args)

    def run(function: Callable[..., Tensor], *args: Any) -> Tensor:
        return checkpoint(
            function, *args, use_reentrant=False, preserve_rng_state=False
        )

    return run
