"""Lazily found widths, beyond what every operator is checked for."""

import copy

import pytest
import torch
from torch.nn.parameter import is_lazy

from pyg_setops.lazy import LazyChannels


class Affine(LazyChannels):
    width_key = "block.0.weight"

    def __init__(self, in_channels: int = -1):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.start(in_channels)

    def build(self, in_channels: int) -> None:
        self.block = torch.nn.Sequential(
            torch.nn.Linear(in_channels, 2), torch.nn.Dropout()
        )

    def forward(self, x):
        self.see(x)
        return self.scale * self.block(x)


@pytest.fixture
def x():
    return torch.randn(5, 3)


def test_known_width_is_not_lazy():
    assert not any(is_lazy(p) for p in Affine(3).parameters())


def test_what_does_not_depend_on_the_width_keeps_its_value(x):
    module = Affine()
    with torch.no_grad():
        module.scale.fill_(2.0)
    module(x)
    assert module.scale.item() == 2.0
    assert module.in_channels == 3


def test_frozen_parameters_stay_frozen(x):
    class Frozen(Affine):
        def build(self, in_channels: int) -> None:
            super().build(in_channels)
            self.block.requires_grad_(False)

    module = Frozen()
    assert not module.block[0].weight.requires_grad
    module(x)
    assert not module.block[0].weight.requires_grad
    assert module.scale.requires_grad


def test_same_seed_gives_the_weights_of_a_known_width(x):
    lazy = Affine()
    torch.manual_seed(0)
    lazy(x)
    torch.manual_seed(0)
    known = Affine(3)
    torch.testing.assert_close(lazy.state_dict(), known.state_dict())


def test_first_use_keeps_parameters_mode_and_type(x):
    module = Affine().double().eval()
    before = dict(module.named_parameters())
    module(x.double())
    assert all(p is before[name] for name, p in module.named_parameters())
    assert not any(child.training for child in module.modules())
    assert all(p.dtype == torch.float64 for p in module.parameters())


def test_loads_a_state_under_a_prefix(x):
    used, lazy = Affine(), torch.nn.Sequential(Affine())
    used.eval()(x)
    state = {f"0.{name}": value for name, value in used.state_dict().items()}
    lazy.load_state_dict(state)
    torch.testing.assert_close(lazy.eval()(x), used(x))


def test_lazy_state_loads_into_a_lazy_one():
    lazy = Affine()
    lazy.load_state_dict(copy.deepcopy(Affine()).state_dict())
    assert lazy.in_channels == -1
    assert is_lazy(lazy.block[0].weight)


def test_lazy_state_has_what_that_of_a_known_width_has(x):
    class Shared(Affine):
        def build(self, in_channels: int) -> None:
            super().build(in_channels)
            self.again = self.block
            self.register_buffer("passing", torch.zeros(1), persistent=False)

    assert list(Shared().state_dict()) == list(Shared(3).state_dict())
    lazy = Shared()
    lazy.load_state_dict(Shared().state_dict())
    lazy(x)
    Shared().load_state_dict(lazy.state_dict())


def test_lazy_state_has_the_names_of_a_known_width():
    assert list(Affine().state_dict()) == list(Affine(3).state_dict())


def test_refuses_another_width_and_stays_as_it_was(x):
    module = Affine()
    module(x)
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(ValueError, match=r"3 channels .* got 4"):
        module(torch.randn(5, 4))
    torch.testing.assert_close(module.state_dict(), before)


@pytest.mark.parametrize("width", [0, -3])
def test_refuses_an_impossible_width(width):
    with pytest.raises(ValueError, match=f"'in_channels' must be positive.*{width}"):
        Affine(width)


def test_no_channels_are_refused_and_no_width():
    module = Affine()
    with pytest.raises(ValueError, match=r"'x' must have channels, got shape \[5, 0\]"):
        module(torch.zeros(5, 0))
    assert module.in_channels == -1
