"""The layer against a plain loop over sets, iterations and heads."""

import pytest
import torch

from pyg_setops import SlotAttention
from tests.slots.batches import (
    CHANNELS,
    COUNTS,
    SIZES,
    WIDTH,
    batch,
    expected,
    randomised,
)

VARIANTS = {
    "plain": {},
    "bias": {"bias": True},
    "no eps": {"eps": 0.0},
    "large eps": {"eps": 0.1},
    "implicit": {"grad": "implicit"},
    "bilevel": {"init": "learned", "grad": "bilevel"},
    "heads": {"heads": 2, "bias": True},
    "heads projected": {"heads": 4, "num_iterations": 9, "bias": True},
    "sinkhorn": {"attn": "sinkhorn", "bias": True},
    "mesh": {"attn": "mesh", "bias": True},
    "joint": {"heads": 2, "head_mode": "joint", "bias": True},
}


@pytest.fixture(params=VARIANTS, ids=lambda name: name.replace(" ", "_"))
def layer(request) -> SlotAttention:
    torch.manual_seed(0)
    return randomised(
        SlotAttention(CHANNELS, WIDTH, 3, hidden_channels=7, **VARIANTS[request.param])
    ).eval()


@pytest.mark.parametrize("counts", [[3] * len(SIZES), COUNTS], ids=["equal", "ragged"])
def test_equals_the_oracle(layer: SlotAttention, counts):
    given = batch(counts)
    slots, shares = expected(layer, given)
    if counts is COUNTS:
        arguments = {"num_slots": torch.tensor(counts), "slots_init": given.start}
    else:
        arguments = {"slots_init": given.start.unflatten(0, (-1, 3))}
    out, *ptr, found = layer(
        given.x, given.index, dim_size=len(SIZES), return_attention="all", **arguments
    )
    actual = out.reshape(-1, WIDTH)
    torch.testing.assert_close(actual, slots, rtol=0, atol=1e-12)
    for each, wanted in zip(found, shares, strict=True):
        values = each.values if ptr else each.flatten()
        rows = torch.cat([wanted[number] for number in given.order.tolist()])
        torch.testing.assert_close(values, rows, rtol=0, atol=1e-12)
    if layer.grad != "unrolled":
        return
    weight = torch.randn_like(slots)
    leaves = [given.rows, given.start]
    leaves += [p for name, p in layer.named_parameters() if not name.startswith("init")]
    for gradient, wanted in zip(
        torch.autograd.grad(actual, leaves, weight),
        torch.autograd.grad(slots, leaves, weight),
        strict=True,
    ):
        torch.testing.assert_close(gradient, wanted, rtol=1e-12, atol=1e-11)
