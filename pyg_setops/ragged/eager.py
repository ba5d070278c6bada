"""Whether a computation runs now, on plain tensors, or is being looked into."""

import torch
from torch import Tensor


def is_eager() -> bool:
    """Whether neither ``torch.compile`` nor ``torch.func`` transforms the caller.

    Autograd functions of our own and kernels with ``out=`` serve plain autograd
    only; everywhere else plain operations take their place.
    """
    return not (
        torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    )


def read(numbers: Tensor) -> list[int]:
    """Integers as the host has them.

    In ``torch.func``, tensors of older versions of PyTorch are read one by one only.
    """
    if torch._C._are_functorch_transforms_active():
        return [int(number) for number in numbers]
    return numbers.tolist()


def is_readable(tensor: Tensor) -> bool:
    """Whether reading a value costs nothing: no device to wait for, no graph."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()
