"""Set functions by name, in a place where only the width is known."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch_geometric.nn.aggr
from torch import Tensor
from torch_geometric.nn import MLP
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.resolver import normalize_string

# What the parameters of PyG's aggregations are called, and what serves for them in a
# place of a given width. The first group is filled in only where there is no default.
_REQUIRED: dict[str, Callable[[int], Any]] = {
    "in_channels": lambda channels: channels,
    "out_channels": lambda channels: channels,
    "channels": lambda channels: channels,
    "hidden_channels": lambda channels: channels,
    "num_layers": lambda channels: [channels],
    "processing_steps": lambda channels: 3,
    "gate_nn": lambda channels: torch.nn.Linear(channels, 1),
}
# Without networks DeepSets would be a plain sum under another name.
_NETWORKS: dict[str, Callable[[int], Any]] = {
    "local_nn": lambda channels: MLP([channels, channels, channels], norm=None),
    "global_nn": lambda channels: MLP([channels, channels, channels], norm=None),
}


class SetFunction(Aggregation):
    """An aggregation by name that keeps the width, whatever the aggregation does.

    Names are those of PyG's resolver (``'mean'``, ``'set2set'``,
    ``'set_transformer'``) and, after :func:`pyg_setops.register`, ours (``'swarm'``).
    Arguments that the aggregation needs and that are not given follow from the width,
    or from the examples in PyG's documentation. If its output has another width, a
    linear map brings it back.

    Args:
        name: The name, or an aggregation, which is taken as it is.
        channels: The width.
        **kwargs: Arguments of the aggregation.

    Raises:
        ValueError: If there is no such name, or an argument is missing.

    Example:
        >>> SetFunction("set2set", 8)
        SetFunction(Set2Set(8, 16), 8)
        >>> SetFunction("softmax", 8, learn=True)(torch.randn(3, 8)).shape
        torch.Size([1, 8])
    """

    def __init__(self, name: str | Aggregation, channels: int, **kwargs: Any):
        super().__init__()
        self.channels = channels
        self.aggr = build_aggregation(name, channels, **kwargs)
        width = _output_width(self.aggr, channels)
        self.lin = torch.nn.Linear(width, channels) if width != channels else None

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        self.aggr.reset_parameters()
        if self.lin is not None:
            self.lin.reset_parameters()

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
    ) -> Tensor:
        """Aggregates the elements of each set, as every PyG aggregation does."""
        out = self.aggr(x, index, ptr=ptr, dim_size=dim_size, dim=dim)
        return out if self.lin is None else self.lin(out)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.aggr}, {self.channels})"


def build_aggregation(
    name: str | Aggregation, channels: int, **kwargs: Any
) -> Aggregation:
    """Creates the aggregation of this name for elements of this width."""
    if isinstance(name, Aggregation):
        return name
    aggregation = find_aggregation(name)
    parameters = inspect.signature(aggregation).parameters
    for key, parameter in parameters.items():
        needed = parameter.default is parameter.empty and key in _REQUIRED
        if key not in kwargs and (needed or key in _NETWORKS):
            kwargs[key] = (_REQUIRED | _NETWORKS)[key](channels)
    try:
        return aggregation(**kwargs)
    except TypeError as error:
        raise ValueError(f"'{name}' cannot be built: {error}") from error


def find_aggregation(name: str) -> type[Aggregation]:
    """The class that PyG's resolver would take for this name.

    Raises:
        ValueError: If there is none, with the names there are.
    """
    aliases = {"add": "sum"}
    query = normalize_string(aliases.get(name, name)).removesuffix("aggregation")
    found = {
        normalize_string(key).removesuffix("aggregation"): value
        for key, value in vars(torch_geometric.nn.aggr).items()
        if isinstance(value, type) and issubclass(value, Aggregation)
    }
    if not query or query not in found:
        names = ", ".join(sorted(filter(None, found)))
        raise ValueError(f"no aggregation is called '{name}'; there are {names}")
    return found[query]


@torch.no_grad()
def _output_width(aggregation: Aggregation, channels: int) -> int:
    """Asks the aggregation itself, which also gives lazy ones their shape."""
    training = aggregation.training
    like = next(aggregation.parameters(), torch.zeros(0))
    x = torch.zeros(1, channels, dtype=like.dtype, device=like.device)
    index = torch.zeros(1, dtype=torch.long, device=like.device)
    try:
        out = aggregation.eval()(x, index, dim_size=1)
    finally:
        aggregation.train(training)
    return out.size(-1)
