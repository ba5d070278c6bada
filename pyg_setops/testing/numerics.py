"""Precision, derivatives and the modes in which autograd can be."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call
from torch_geometric.nn.aggr import Aggregation

from .sets import RaggedSets, assert_same, evaluate

TOLERANCES: Mapping[torch.dtype, float] = {torch.float32: 1e-4, torch.bfloat16: 5e-2}


def assert_dtypes(
    module: torch.nn.Module,
    sets: RaggedSets,
    tolerances: Mapping[torch.dtype, float] = TOLERANCES,
) -> None:
    """Asserts that every precision works, and is as near to float64 as it can be.

    Args:
        module: An aggregation, or a set-to-set layer ``layer(x, index, ptr)``; copies
            of it are cast.
        sets: The batch to test with.
        tolerances: The error allowed to a type, relative to the largest value of the
            float64 result (default: ``{float32: 1e-4, bfloat16: 5e-2}``). The
            bfloat16 tolerance also holds for a float32 copy under autocast.

    Raises:
        AssertionError: If a type is not kept, the error is larger, or a gradient is
            not finite; with the error measured.

    Example:
        >>> from pyg_setops.testing import random_sets
        >>> from torch_geometric.nn.aggr import MeanAggregation
        >>> assert_dtypes(MeanAggregation(), random_sets(channels=4))
    """
    x = sets.x.bfloat16()  # exact in every type that is compared
    expected = _cast(module, torch.float64, x, sets).detach()
    for dtype, tolerance in tolerances.items():
        out = _cast(module, dtype, x, sets)
        _assert_near(out, expected, tolerance, f"in {dtype}")
    with torch.autocast(x.device.type, torch.bfloat16):
        out = _cast(module, torch.float32, x, sets, kept=False)
    _assert_near(out, expected, tolerances[torch.bfloat16], "under bfloat16 autocast")


def assert_derivatives(module: torch.nn.Module, sets: RaggedSets) -> None:
    """Asserts that first and second derivatives are right, by index and by ptr.

    Elements and parameters are varied by finite differences in float64. Second
    derivatives are what forces and inner optimisers train through.

    Args:
        module: An aggregation, or a set-to-set layer ``layer(x, index, ptr)``; a
            float64 copy of it is tested.
        sets: The batch to test with; small, as every check runs the module often.

    Raises:
        AssertionError: With the way the sets were given, the order of the derivative,
            and both Jacobians.

    Example:
        >>> from pyg_setops.testing import random_sets
        >>> from torch_geometric.nn.aggr import MeanAggregation
        >>> assert_derivatives(MeanAggregation(), random_sets(channels=2))
        Traceback (most recent call last):
        AssertionError: The second derivative by ptr is wrong...
    """
    module = deepcopy(module).double()
    given = {"dim_size": sets.num_sets} if isinstance(module, Aggregation) else {}
    names = [name for name, _ in module.named_parameters()]
    inputs = [
        value.detach().double().clone().requires_grad_()
        for value in (sets.x, *module.parameters())
    ]
    for way, index, ptr in (("index", sets.index, None), ("ptr", None, sets.ptr)):

        def run(x: Tensor, *values: Tensor, index=index, ptr=ptr) -> Tensor:
            parameters = dict(zip(names, values, strict=True))
            return functional_call(module, parameters, (x, index, ptr), given)

        for order, check in (("first", gradcheck), ("second", gradgradcheck)):
            try:
                check(run, inputs, fast_mode=True, nondet_tol=1e-10)
            except Exception as error:
                raise AssertionError(
                    f"The {order} derivative by {way} is wrong: {error}"
                ) from error


def assert_grad_modes(module: torch.nn.Module, sets: RaggedSets) -> None:
    """Asserts that inference gives the values of training, and keeps no graph.

    Args:
        module: An aggregation, or a set-to-set layer ``layer(x, index, ptr)``.
        sets: The batch to test with.

    Raises:
        AssertionError: If values differ under ``no_grad`` or ``inference_mode``, or
            the result requires a gradient.

    Example:
        >>> from pyg_setops.testing import random_sets
        >>> from torch_geometric.nn.aggr import MeanAggregation
        >>> assert_grad_modes(MeanAggregation(), random_sets(channels=4))
    """
    expected = evaluate(module, sets.x, sets.index, None, sets.num_sets).detach()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            out = evaluate(module, sets.x, sets.index, None, sets.num_sets)
        assert_same(out, expected, f"The output changes under {mode.__name__}")
        if out.requires_grad:
            raise AssertionError(f"The output has a graph under {mode.__name__}")


def _cast(
    module: torch.nn.Module,
    dtype: torch.dtype,
    x: Tensor,
    sets: RaggedSets,
    kept: bool = True,
) -> Tensor:
    x = x.to(dtype, copy=True).requires_grad_()
    copy = deepcopy(module).to(dtype)
    out = evaluate(copy, x, sets.index, None, sets.num_sets)
    if kept and out.dtype != dtype:
        raise AssertionError(f"Elements in {dtype} give an output in {out.dtype}")
    if out.requires_grad:
        (gradient,) = torch.autograd.grad(
            out.sum(), x, allow_unused=True, materialize_grads=True
        )
        if not bool(gradient.isfinite().all()):
            raise AssertionError(f"The gradient in {dtype} is not finite")
    return out


def _assert_near(actual: Tensor, expected: Tensor, tolerance: float, way: str) -> None:
    error, largest = (actual.double() - expected).abs().max(), expected.abs().max()
    if not error <= tolerance * largest:  # both may be zero
        raise AssertionError(
            f"The output {way} is off by {error / largest:.2g} of the largest value in "
            f"float64; allowed are {tolerance:g}"
        )
