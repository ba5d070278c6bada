"""Weights that are lent to a module for one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call


def call_with(
    module: torch.nn.Module,
    weights: Mapping[str, Tensor],
    function: Callable[..., Any],
    *args: Any,
) -> Any:
    """Calls ``function(*args)``, while ``module``, which it uses, has these weights.

    What is computed again in a backward pass needs the weights of the forward pass:
    ``torch.func.functional_call`` lends a module others for a forward only.

    Args:
        module: The module.
        weights: By their names in it.
        function: What to call.
        args: Its arguments.
    """
    named = {f"module.{name}": weight for name, weight in weights.items()}
    return functional_call(_Call(module, function), named, args)


class _Call(torch.nn.Module):
    """A function as a module that holds what the function uses."""

    def __init__(self, module: torch.nn.Module, function: Callable[..., Any]):
        super().__init__()
        self.module = module
        self.function = function

    def forward(self, *args: Any) -> Any:
        return self.function(*args)
