"""SlotAggregation: readouts, and what it passes to the layer."""

import pytest
import torch

from pyg_setops.aggr import SlotAggregation
from pyg_setops.testing import random_sets

SIZES = [3, 0, 1, 5, 0]


@pytest.fixture
def sets():
    return random_sets(3, SIZES, dtype=torch.float64)


@pytest.mark.parametrize("readout", ["mean", "attention", "concat"])
@pytest.mark.parametrize("select", [None, "gumbel"])
def test_readouts(readout, select, sets):
    aggregation = SlotAggregation(3, 4, 2, readout, 6, select=select).double().eval()
    slots = aggregation.layer(sets.x, sets.index, dim_size=len(SIZES))
    slots, kept = slots if select else (slots, torch.ones(len(SIZES), 2).double())
    out = aggregation(sets.x, sets.index, dim_size=len(SIZES))
    for number in (0, 2, 3):
        mine, keep = slots[number], kept[number]
        if readout == "mean":
            read = (mine * keep[:, None]).sum(0) / keep.sum()
        elif readout == "attention":
            score = aggregation.lin_score(mine)[:, 0].exp() * keep
            read = (mine * score[:, None]).sum(0) / score.sum()
        else:
            read = (mine * keep[:, None]).flatten()
        torch.testing.assert_close(out[number], aggregation.lin_out(read))
    assert not out[[1, 4]].any()


def test_widths_follow_the_output():
    aggregation = SlotAggregation(3, 8, hidden_channels=5, heads=2)
    assert aggregation.layer.slot_channels == 8
    assert aggregation.layer.lin_hidden.out_features == 5
    assert aggregation.layer.heads == 2
    assert SlotAggregation(3).layer.lin_hidden.out_features == 6


def test_a_dropped_slot_of_any_score_is_not_read():
    aggregation = SlotAggregation(3, 4, 2, "attention", 1, select="gumbel")
    aggregation.lin_score.weight.data.fill_(1e4)
    kept = torch.tensor([[0.0, 1.0]], requires_grad=True)
    out = aggregation._read(torch.tensor([[[2.0], [1.0]]]), kept)
    assert out.item() == 1
    out.backward()
    assert kept.grad.isfinite().all()


@pytest.mark.parametrize("head_mode", ["per_head", "joint"])
def test_heads_divide_a_width_that_is_not_known_yet(head_mode, sets):
    aggregation = SlotAggregation(heads=3, head_mode=head_mode).double()
    assert aggregation(sets.x, sets.index).shape == (4, 3)
    lazy = SlotAggregation(heads=2).double()
    with pytest.raises(ValueError, match="must be divisible by 'heads', got 3 and 2"):
        lazy(sets.x, sets.index)
    assert lazy(sets.x[:, :2], sets.index).shape == (4, 2)


def test_learned_slots_make_training_repeatable(sets):
    aggregation = SlotAggregation(3).double().train()
    out = aggregation(sets.x, sets.index)
    assert torch.equal(aggregation(sets.x, sets.index), out)


def test_gaussian_slots_differ_in_training_and_not_in_evaluation(sets):
    aggregation = SlotAggregation(3, init="gaussian").double()
    run = lambda: aggregation(sets.x, sets.index)  # noqa: E731
    assert not torch.allclose(run(), run())
    aggregation.eval()
    assert torch.equal(run(), run())


def test_assignments_on_request(sets):
    aggregation = SlotAggregation(num_slots=2).double()
    shares = aggregation.assign(sets.x, sets.index)
    assert shares.shape == (len(sets.x), 2)
    torch.testing.assert_close(shares.sum(1), torch.ones(len(sets.x)).double())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"readout": "sum"}, "'readout' must be"),
        ({"readout": "concat", "init": "gaussian"}, "readout='concat' needs slots"),
        ({"num_slots": 0}, "'num_slots' must be at least 1"),
        ({"heads": 2}, "'slot_channels' must be divisible"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        SlotAggregation(3, **arguments)
