"""What torch expects of a module: copies, saved states, lazily found widths."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from .sets import RaggedSets, assert_same, evaluate


def assert_copies(module: torch.nn.Module, sets: RaggedSets) -> None:
    """Asserts that copies give the same results, and that a reset starts afresh.

    Copies are made by ``deepcopy``, by ``pickle`` and through a ``state_dict``, before
    and after a forward and backward pass. ``reset_parameters`` restores every
    parameter, in place, to what the random seed alone decides.

    Args:
        module: An aggregation, or a set-to-set layer ``layer(x, index, ptr)``.
        sets: The batch to test with.

    Raises:
        AssertionError: With the kind of copy, or the parameter not reset.

    Example:
        >>> from pyg_setops.testing import random_sets
        >>> from torch_geometric.nn.aggr import SoftmaxAggregation
        >>> assert_copies(SoftmaxAggregation(learn=True), random_sets(channels=4))
    """
    module = deepcopy(module)
    for moment in ("before", "after"):
        copies = {
            "deepcopy": deepcopy(module),
            "pickle": pickle.loads(pickle.dumps(module)),
            "state_dict": _by_state(module),
        }
        expected = _run(module, sets)
        for kind, copy in copies.items():
            claim = f"A copy by {kind}, {moment} the first use, gives another output"
            assert_same(_run(copy, sets), expected, claim)
        if expected.requires_grad:
            expected.sum().backward()
    _assert_reset(module)


def assert_lazy(module: torch.nn.Module, sets: RaggedSets) -> None:
    """Asserts that a module made with ``in_channels=-1`` is as good as any other.

    It takes its width from the first input, even in inference mode; an optimiser made
    earlier trains it; so do ``.to``, copies and ``state_dict`` work earlier; a state
    can be loaded into it; a second width is refused.

    Args:
        module: An aggregation, or a set-to-set layer ``layer(x, index, ptr)``, that
            has not seen an input.
        sets: The batch to test with.

    Raises:
        AssertionError: With what does not work.

    Example:
        >>> from pyg_setops.testing import random_sets
        >>> from pyg_setops.aggr import SwarmAggregation
        >>> assert_lazy(SwarmAggregation(), random_sets(channels=4))
    """
    if not any(is_lazy(parameter) for parameter in module.parameters()):
        raise AssertionError("Expected a module whose parameters have no shape yet")
    used = deepcopy(module)
    expected = _run(used, sets, seed=0)
    shapeless = [n for n, parameter in used.named_parameters() if is_lazy(parameter)]
    if shapeless:
        raise AssertionError(f"After the first input, no shape yet has: {shapeless}")
    _assert_trains(deepcopy(module), sets)
    _assert_trains_after_inference(deepcopy(module), sets)
    early: dict[str, Callable[[], torch.nn.Module]] = {
        "deepcopy": lambda: deepcopy(module),
        "pickle": lambda: pickle.loads(pickle.dumps(module)),
        "state_dict": lambda: _by_state(module),
    }
    for kind, copy in early.items():
        claim = f"A copy by {kind} before the first input differs at the same seed"
        assert_same(_run(copy(), sets, seed=0), expected, claim)
    loaded = deepcopy(module)
    loaded.load_state_dict(used.state_dict())
    claim = "A state loaded before the first input gives another output"
    assert_same(_run(loaded, sets), expected, claim)
    double = replace(sets, x=sets.x.double())
    moved = _run(deepcopy(module).to(torch.float64), double)
    if moved.dtype != torch.float64:
        raise AssertionError(f"After an early .to(float64) it returns {moved.dtype}")
    _assert_refuses_second_width(used, sets)


def _run(module: torch.nn.Module, sets: RaggedSets, seed: int | None = None) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        return evaluate(module, sets.x, sets.index, None, sets.num_sets)


def _by_state(module: torch.nn.Module) -> torch.nn.Module:
    """A differently drawn copy that then loads the state of ``module``."""
    copy = deepcopy(module)
    for parameter in copy.parameters():
        if not is_lazy(parameter):
            parameter.data.normal_()
    copy.load_state_dict(module.state_dict())
    return copy


def _assert_reset(module: torch.nn.Module) -> None:
    before = dict(module.named_parameters())
    states = []
    for seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for parameter in module.parameters():
                parameter.data.normal_()
            torch.manual_seed(0)
            module.reset_parameters()  # type: ignore[operator]
        states.append({name: p.detach().clone() for name, p in before.items()})
    for name, parameter in module.named_parameters():
        if parameter is not before[name]:
            raise AssertionError(f"reset_parameters() replaces '{name}'")
        if not torch.equal(states[0][name], states[1][name]):
            raise AssertionError(f"reset_parameters() does not restore '{name}'")


def _assert_trains(module: torch.nn.Module, sets: RaggedSets) -> None:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    first = _run(module, sets)
    first.square().mean().backward()
    optimizer.step()
    if torch.equal(_run(module, sets), first):
        raise AssertionError(
            "An optimiser made before the first input does not train the module"
        )


def _assert_trains_after_inference(module: torch.nn.Module, sets: RaggedSets) -> None:
    with torch.inference_mode():
        _run(module, sets)
    try:
        _run(module, sets).sum().backward()
    except RuntimeError as error:
        raise AssertionError(
            f"After a first input in inference mode it cannot be trained: {error}"
        ) from error


def _assert_refuses_second_width(used: torch.nn.Module, sets: RaggedSets) -> None:
    width = sets.x.size(-1)
    wider = replace(sets, x=torch.cat([sets.x, sets.x[:, :1]], -1))
    claim = f"An input of width {width + 1} after one of width {width}"
    try:
        _run(used, wider)
    except ValueError as error:
        if str(width) not in str(error):
            raise AssertionError(f"{claim} is refused, but not by width") from error
    except Exception as error:
        kind = type(error).__name__
        raise AssertionError(f"{claim} raises {kind}, not ValueError") from error
    else:
        raise AssertionError(f"{claim} is not refused")
