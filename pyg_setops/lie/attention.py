"""Attention over pairs of lifted elements, block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from ..ragged import SetIndex, gather, segment_softmax, segment_sum
from .kernel import Normalize
from .pairs import EdgeBlock, EdgePairs, FullPairs, LiftedPairs
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
    """All pairs of sets of equal size at a time, elements on the last dimension."""

    def arrange(rows: Tensor) -> Tensor:
        return rows.index_select(0, pairs.order).permute(1, 2, 0).contiguous()

    hear = _split(_map(arrange, target), pairs.block_sizes)
    heard = _split(_map(arrange, source), pairs.group_sizes)
    values = arrange(value).split(pairs.group_sizes, dim=-1)
    g_i, g_j = pairs.g.split(pairs.block_sizes), pairs.g.split(pairs.group_sizes)
    run, parts = _runner(scores, pairs.recompute), []
    for number, block in enumerate(pairs.blocks):
        side, group = hear[number], block.group
        pair = None if pairs.coordinates is None else pairs.coordinates[number]
        parts.append(
            run(
                _full_block,
                *(scores, pairs, block.num_sets),
                *(side, heard[group], values[group]),
                *(g_i[number], g_j[group], pair),
            )
        )
    out = torch.cat(parts, dim=-1).permute(2, 0, 1)
    return out.index_select(0, pairs.inverse)


def _full_block(
    evaluate: Callable[..., Tensor],
    scores: PairScores,
    pairs: FullPairs,
    num_sets: int,
    target: Side,
    source: Side,
    value: Tensor,
    g_i: Tensor,
    g_j: Tensor,
    pair: Tensor | None,
) -> Tensor:
    """What ``r`` targets of each of ``G`` sets hear, ``[h, d, G r]``."""

    def by_set(x: Tensor) -> Tensor:
        return x.unflatten(-1, (num_sets, -1))

    target, source, value = _map(by_set, target), _map(by_set, source), by_set(value)
    if not scores.needs_pairs:
        pair = None
    elif pair is None:
        pair = pairs.embed(g_i, g_j, num_sets)
    content, query, key = None, target.content, source.content
    if query is not None and key is not None:
        if scores.kernel.content == "dot":
            content = query.permute(0, 2, 3, 1) @ key.transpose(1, 2)
        else:
            content = _outer_sum(query, key).squeeze(1)
    location = _outer_sum(target.location, source.location)
    joint = _outer_sum(target.joint, source.joint)
    score = evaluate(content, location, joint, pair)
    weight = _normalize(score, scores.kernel.normalize)
    return (value.transpose(1, 2) @ weight.mT).transpose(1, 2).flatten(2)


def _attend_edges(
    scores: PairScores, target: Side, source: Side, value: Tensor, pairs: EdgePairs
) -> Tensor:
    """The edges of some targets at a time, elements on the first dimension."""
    hear = _split(target, pairs.block_sizes, dim=0)
    run, parts = _runner(scores, pairs.recompute), []
    for number, block in enumerate(pairs.blocks):
        pair = None if pairs.coordinates is None else pairs.coordinates[number]
        parts.append(
            run(
                _edge_block,
                *(scores, pairs, block, hear[number], source, value, pairs.g, pair),
            )
        )
    return torch.cat(parts)


def _edge_block(
    evaluate: Callable[..., Tensor],
    scores: PairScores,
    pairs: EdgePairs,
    block: EdgeBlock,
    target: Side,
    source: Side,
    value: Tensor,
    g: Tensor,
    pair: Tensor | None,
) -> Tensor:
    """What the targets of ``E`` edges hear, ``[r, h, d]``."""
    targets, sources = block.targets, block.sources
    if not scores.needs_pairs:
        pair = None
    elif pair is None:
        pair = pairs.embed(g, block)
    target = _map(lambda rows: gather(rows, targets), target)
    source = _map(lambda rows: gather(rows, sources), source)
    content, query, key = None, target.content, source.content
    if query is not None and key is not None:
        dot = scores.kernel.content == "dot"
        content = (query * key if dot else query + key).sum(-1).t()
    location = _edge_sum(target.location, source.location)
    joint = _edge_sum(target.joint, source.joint)
    score = evaluate(content, location, joint, pair).t()
    weight = _normalize_edges(score, scores.kernel.normalize, targets)
    return segment_sum(weight[..., None] * gather(value, sources), targets)


def _outer_sum(target: Tensor | None, source: Tensor | None) -> Any:
    """Of ``[h, w, G, r]`` and ``[h, w, G, n]``, ``[h, w, G, r, n]``."""
    if target is None or source is None:
        return None if target is None else target[..., None]
    return target[..., None] + source[..., None, :]


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


def _normalize_edges(score: Tensor, how: Normalize, targets: SetIndex) -> Tensor:
    """Weights of scores ``[E, h]``, by target."""
    if how == "softmax":
        return segment_softmax(score, targets)
    count = gather(targets.sizes, targets)[:, None].to(score.dtype)
    return (score.exp() if how == "exp" else score) / count


def _map(function: Callable[[Tensor], Tensor], side: Side) -> Side:
    return Side(*[None if part is None else function(part) for part in side])


def _split(side: Side, sizes: Sequence[int], dim: int = -1) -> list[Side]:
    """Runs of the elements; slices one by one would each have a full-size gradient."""
    parts = [
        [None] * len(sizes) if part is None else part.split(list(sizes), dim)
        for part in side
    ]
    return [Side(*each) for each in zip(*parts, strict=True)]


def _runner(scores: PairScores, recompute: bool) -> Callable[..., Tensor]:
    """Calls a block's function, and forgets what it computed if ``recompute``.

    A compiler has its own ways to save memory.
    """
    if not recompute or not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return lambda function, *args: function(scores, *args)
    # The weights of now: `functional_call` lends a module others for a forward only.
    weights: dict[str, Tensor] = dict(scores.named_parameters())

    def evaluate(*args: Tensor | None) -> Tensor:
        return functional_call(scores, weights, args)

    def run(function: Callable[..., Tensor], *args: Any) -> Tensor:
        return checkpoint(
            function, evaluate, *args, use_reentrant=False, preserve_rng_state=False
        )

    return run
