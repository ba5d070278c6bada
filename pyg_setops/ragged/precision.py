"""Half-precision elements are accumulated in float32, forward and backward."""

from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor

from .set_index import SetIndex

Primitive = Callable[[Tensor, SetIndex], Tensor]


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The type in which values of ``dtype`` are added up."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def without_autocast(like: Tensor) -> torch.autocast:
    """A context in which products keep the type of their factors."""
    return torch.autocast(like.device.type, enabled=False)


def accumulated(primitive: Primitive) -> Primitive:
    """Lets a primitive see half-precision elements as float32.

    In bfloat16, 256 + 1 is 256: a sum, or the gradient of a gather, would stop
    growing there.
    """

    @wraps(primitive)
    def wide(x: Tensor, sets: SetIndex) -> Tensor:
        dtype = accumulator(x.dtype)
        if dtype == x.dtype:
            return primitive(x, sets)
        return primitive(x.to(dtype), sets).to(x.dtype)

    return wide
