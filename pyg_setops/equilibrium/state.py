"""What stored parameters tell, before they are loaded."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.parameter import is_lazy

from .resolver import EnergyFactory

# Where PyG's class of the same name keeps its parameters, and this one.
PYG_NAMES = {
    "potential.": "energy_function.potential.",
    "lamb": "energy_function.lamb",
    "optimizer.": "solver.",
}


def rename_published(state: dict[str, Any], prefix: str) -> None:
    """Gives the parameters of PyG's class the names that they have here, in place."""
    for theirs, ours in PYG_NAMES.items():
        for key in [key for key in state if key.startswith(prefix + theirs)]:
            state[prefix + ours + key.removeprefix(prefix + theirs)] = state.pop(key)


def stored_width(
    make_energy: EnergyFactory,
    out_channels: int | None,
    state: dict[str, Any],
    prefix: str,
) -> int | None:
    """The ``in_channels`` of a stored energy, whatever its parameters are.

    Args:
        make_energy: What made it.
        out_channels: Its output width, or ``None`` for that of the input.
        state: Where it is stored.
        prefix: In front of the names of its parameters.

    Returns:
        The width, or ``None`` if nothing stored tells it.
    """
    with torch.device("meta"):
        one, two = (make_energy(width, out_channels or width) for width in (1, 2))
    for (name, a), b in zip(one.named_parameters(), two.parameters(), strict=True):
        known = state.get(prefix + name)
        if known is None or is_lazy(known):
            continue
        for size, at_one, at_two in zip(known.shape, a.shape, b.shape, strict=True):
            if at_one != at_two:  # sizes grow linearly with the width
                return 1 + (size - at_one) // (at_two - at_one)
    return None
