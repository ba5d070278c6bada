"""Rotations in full precision, whatever autocast says."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

Method = Callable[..., Tensor]


def exactly(method: Method) -> Method:
    """Lets a method on nodes, positions and edges run in the type of the weights.

    e3nn's maps do not follow autocast, and rotations would be rounded.
    """

    @wraps(method)
    def exact(
        self: Any,
        x: Tensor,
        pos: Tensor,
        edge_index: Any,
        edge_attr: Tensor | None = None,
    ) -> Tensor:
        if torch.is_autocast_enabled(x.device.type):
            dtype = self.lin_root.weight.dtype
            x, pos = x.to(dtype), pos.to(dtype)
            edge_attr = None if edge_attr is None else edge_attr.to(dtype)
            with torch.autocast(x.device.type, enabled=False):
                return method(self, x, pos, edge_index, edge_attr)
        return method(self, x, pos, edge_index, edge_attr)

    return exact
