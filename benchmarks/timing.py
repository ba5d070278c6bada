"""Times that can be compared on a noisy machine, and bytes kept for backward."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from statistics import median

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

Run = Callable[[], object]


@dataclass(frozen=True)
class Times:
    """Seconds of each candidate, round by round."""

    rounds: dict[str, list[float]]

    def seconds(self, name: str) -> float:
        return median(self.rounds[name])

    def ratio(self, name: str, reference: str) -> float:
        """The median of the rounds' ratios: noise that hits a round hits both."""
        pairs = zip(self.rounds[name], self.rounds[reference], strict=True)
        return median(one / other for one, other in pairs)

    def best(self) -> str:
        return min(self.rounds, key=self.seconds)


@contextmanager
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def interleave(candidates: dict[str, Run], rounds: int = 15, warmup: int = 2) -> Times:
    """Runs all candidates once a round, so that they meet the same machine.

    Every round has an order of its own: a candidate that always followed the same
    one would always find its inputs in cache, or never.
    """
    times: dict[str, list[float]] = {name: [] for name in candidates}
    order, shuffle = list(candidates), Random(0).shuffle
    with one_thread():
        for number in range(-warmup, rounds):
            shuffle(order)
            for name in order:
                start = time.perf_counter()
                candidates[name]()
                elapsed = time.perf_counter() - start
                if number >= 0:
                    times[name].append(elapsed)
    return Times(times)


def saved_bytes(run: Run, known: tuple[Tensor, ...] = ()) -> int:
    """What autograd keeps of ``run`` for backward, storages of ``known`` not counted.

    A storage is counted once, however many tensors look at it.
    """
    skip = {tensor.untyped_storage().data_ptr() for tensor in known}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in skip:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = run()  # held until counted, so that no storage is used twice
    del out
    return sum(kept.values())


def peak_bytes(run: Run) -> int:
    """The most bytes allocated at once during ``run``, beyond those before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = profiler.profiler.kineto_results.events()
    changes = [event for event in events if event.name() == "[memory]"]
    now = peak = 0
    for event in sorted(changes, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak
