"""The batches that the tests of this folder share."""

import random

import torch

from pyg_setops import ragged
from pyg_setops.ragged import SetIndex

SIZES = {
    "no_sets": [],
    "no_elements": [0, 0, 0],
    "empty_first": [0, 2, 3],
    "empty_inside": [2, 0, 0, 3],
    "empty_last": [1, 4, 0],
    "singletons": [1, 1, 1, 1],
    "one": [5],
    "long": [70, 0, 40, 3],
    "many": [n % 7 for n in range(3, 200)],
}
FORMS = ("unsorted", "sorted", "ptr", "both")


def layout(sizes: list[int], form: str) -> tuple[SetIndex, list[int]]:
    """A layout in one of PyG's forms, and the set of each element."""
    index = [number for number, size in enumerate(sizes) for _ in range(size)]
    if form == "unsorted":
        random.Random(0).shuffle(index)
    ptr = torch.tensor([0, *sizes]).cumsum(0)
    arguments = {"dim_size": len(sizes), "num_elements": len(index)}
    if form != "ptr":
        arguments["index"] = torch.tensor(index, dtype=torch.long)
    if form in ("ptr", "both"):
        arguments["ptr"] = ptr
    return SetIndex.build(**arguments), index


def segment_cumsum_reverse(x, sets):
    return ragged.segment_cumsum(x, sets, reverse=True)


REDUCTIONS = {
    name: getattr(ragged, name)
    for name in ("segment_sum", "segment_mean", "segment_max", "segment_logsumexp")
}
SCANS = {
    "segment_cumsum": ragged.segment_cumsum,
    "segment_cumsum_reverse": segment_cumsum_reverse,
    "segment_cummean": ragged.segment_cummean,
}
ELEMENTWISE = {"segment_softmax": ragged.segment_softmax, **SCANS}
# All that map elements [N, *] to sets or elements.
PRIMITIVES = {**REDUCTIONS, **ELEMENTWISE}


def forms(name: str) -> tuple[str, ...]:
    """The forms of a layout that a primitive takes."""
    return FORMS[1:] if name in SCANS else FORMS
