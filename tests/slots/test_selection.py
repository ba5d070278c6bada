"""Which slots are kept."""

import pytest
import torch

from pyg_setops import SlotAttention
from pyg_setops.ragged import SetIndex
from pyg_setops.slots.selection import GumbelSelection

SETS = SetIndex(torch.tensor([0, 0, 0, 1, 3, 3]), None, 4, 6)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("bias", [-50.0, 0.0, 50.0])
def test_every_set_keeps_one(training, bias):
    selection = GumbelSelection(4).train(training)
    selection.lin.bias.data = torch.tensor([0.0, bias])
    slots = torch.randn(6, 4)
    kept = selection(slots, SETS, None)
    assert set(kept.tolist()) <= {0.0, 1.0}
    count = [int(part.sum()) for part in kept.split([3, 1, 2])]
    if bias < 0:  # the least bad of each
        assert count == [1, 1, 1]
        margin = selection.lin(slots)
        margin = margin[:, 1] - margin[:, 0]
        if not training:
            assert kept[:3].argmax() == margin[:3].argmax()
    elif bias > 0:
        assert count == [3, 1, 2]
    assert min(count) >= 1


def test_gradient_is_that_of_the_probability():
    selection = GumbelSelection(4).eval()
    slots = torch.randn(6, 4, requires_grad=True)
    weight = torch.randn(6)
    kept = selection(slots, SETS, None)
    soft = selection.lin(slots).softmax(1)[:, 1]
    torch.testing.assert_close(
        torch.autograd.grad(kept, slots, weight),
        torch.autograd.grad(soft, slots, weight),
    )


def test_layer_returns_the_mask_beside_its_slots():
    layer = SlotAttention(5, 8, 3, select="gumbel")
    x, index = torch.randn(7, 5), torch.tensor([0, 0, 0, 0, 1, 1, 1])
    slots, kept = layer(x, index)
    assert kept.shape == slots.shape[:2] == (2, 3)
    slots, ptr, kept, shares = layer(
        x, index, num_slots=torch.tensor([4, 1]), return_attention=True
    )
    assert kept.shape == (5,)
    assert kept[4] == 1
    assert ptr.tolist() == [0, 4, 5]
    assert shares.ptr[-1] == 4 * 4 + 3 * 1
    kept.sum().backward()
    assert layer.select.lin.weight.grad.abs().sum() > 0


def test_a_generator_repeats_the_choice():
    layer = SlotAttention(5, 8, 30, select="gumbel")
    x = torch.randn(7, 5)
    draws = [
        layer(x, generator=torch.Generator().manual_seed(seed))[1] for seed in (1, 1, 2)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
