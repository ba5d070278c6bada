"""The package ``slot-attention``: its weights, its results, and what it cannot do."""

import pytest
import torch

from pyg_setops import SlotAttention
from pyg_setops.slots import load_published
from pyg_setops.testing import random_sets

WIDTH, SLOTS = 8, 3


def state() -> dict[str, torch.Tensor]:
    """A state of the package's layer, by its names and shapes."""
    shapes = {
        "slots_mu": (1, 1, WIDTH),
        "slots_logsigma": (1, 1, WIDTH),
        "gru.weight_ih": (3 * WIDTH, WIDTH),
        "gru.weight_hh": (3 * WIDTH, WIDTH),
        "gru.bias_ih": (3 * WIDTH,),
        "gru.bias_hh": (3 * WIDTH,),
        "mlp.0.weight": (16, WIDTH),
        "mlp.0.bias": (16,),
        "mlp.2.weight": (WIDTH, 16),
        "mlp.2.bias": (WIDTH,),
    }
    for name in ("to_q", "to_k", "to_v"):
        shapes |= {f"{name}.weight": (WIDTH, WIDTH), f"{name}.bias": (WIDTH,)}
    for name in ("norm_input", "norm_slots", "norm_pre_ff"):
        shapes |= {f"{name}.weight": (WIDTH,), f"{name}.bias": (WIDTH,)}
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def layer(**changes) -> SlotAttention:
    arguments = {"hidden_channels": 16, "bias": True, **changes}
    return SlotAttention(WIDTH, WIDTH, SLOTS, **arguments)


def test_every_parameter_is_loaded():
    ours, given = layer(), state()
    before = {name: p.clone() for name, p in ours.named_parameters()}
    load_published(ours, given)
    for name, parameter in ours.named_parameters():
        assert not torch.equal(parameter, before[name]), name
    torch.testing.assert_close(ours.lin_out.weight, given["mlp.2.weight"])


@pytest.mark.parametrize(
    ("changes", "drop"),
    [({"bias": False}, ()), ({"heads": 2}, ()), ({}, ("gru.bias_hh",))],
)
def test_what_does_not_fit_is_refused(changes, drop):
    ours, given = layer(**changes), state()
    before = {name: p.clone() for name, p in ours.named_parameters()}
    with pytest.raises(ValueError, match="'state' must be of one head"):
        load_published(ours, {n: t for n, t in given.items() if n not in drop})
    for name, parameter in ours.named_parameters():
        assert torch.equal(parameter, before[name])


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"'mlp.0.weight' must have shape \[9, 8\]"):
        load_published(layer(hidden_channels=9), state())


def test_a_width_that_is_not_known_is_refused():
    lazy = SlotAttention(-1, WIDTH, SLOTS, bias=True)
    with pytest.raises(ValueError, match="'layer' must have the state's 'in_channels'"):
        load_published(lazy, state())
    assert lazy.in_channels == -1


@pytest.fixture
def peer():
    package = pytest.importorskip("slot_attention")
    return package.SlotAttention(SLOTS, WIDTH, iters=3, hidden_dim=16).double()


def test_results_are_the_package_s_set_by_set(peer):
    for parameter in peer.parameters():
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    ours = layer().double()
    load_published(ours, peer.state_dict())
    sets = random_sets(WIDTH, [5, 1, 9], dtype=torch.float64)
    starts, slots = [], []
    for number, x in enumerate(sets.x.split(sets.sizes)):
        torch.manual_seed(number)
        slots.append(peer(x[None]))
        torch.manual_seed(number)
        noise = torch.randn(1, SLOTS, WIDTH, dtype=torch.float64)
        starts.append(peer.slots_mu + peer.slots_logsigma.exp() * noise)
    out = ours(sets.x, sets.index, slots_init=torch.cat(starts))
    torch.testing.assert_close(out, torch.cat(slots), rtol=0, atol=1e-12)


def test_padding_changes_the_package_s_result_and_cannot_ours(peer):
    x = torch.randn(1, 40, WIDTH, dtype=torch.float64)
    found = []
    for rows in (50, 500):
        torch.manual_seed(0)
        padding = x.new_zeros(1, rows - 40, WIDTH)
        found.append(peer(torch.cat([x, padding], 1)))
    assert (found[0] - found[1]).abs().max() > 1e-3
    ours = layer().double().eval()
    alone = ours(x[0])
    beside = ours(
        torch.cat([x[0], x.new_zeros(460, WIDTH)]), ptr=torch.tensor([0, 40, 500])
    )
    torch.testing.assert_close(beside[:1], alone, rtol=0, atol=1e-13)


def test_evaluation_of_the_package_is_drawn_and_ours_is_not(peer):
    x = torch.randn(40, WIDTH, dtype=torch.float64)
    peer.eval()
    assert (peer(x[None]) - peer(x[None])).abs().max() > 0.1
    ours = layer().double().eval()
    assert torch.equal(ours(x), ours(x))
