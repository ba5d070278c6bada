"""Steps that are repeated while any row needs them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch._higher_order_ops.while_loop import while_loop

from ..ragged.eager import is_eager

State = tuple[Tensor, ...]


def repeat(
    step: Callable[..., State],
    state: State,
    is_active: Callable[..., Tensor],
    max_steps: int,
) -> State:
    """Applies ``step`` until no row is active, at most ``max_steps`` times.

    A step must leave rows that are not active as they are: then stopping early changes
    nothing. Compiled, the loop becomes one operation; under ``torch.func``, where
    values cannot be read, all steps are taken.

    Args:
        step: Maps the tensors of the state to new ones.
        state: The first state.
        is_active: Which rows of a state go on, ``[B]``.
        max_steps: The bound.

    Returns:
        The last state.
    """
    if torch.compiler.is_compiling():
        return _compiled(step, state, is_active, max_steps)
    for _ in range(max_steps):
        if is_eager() and not is_active(*state).any():
            break
        state = step(*state)
    return state


def _compiled(
    step: Callable[..., State],
    state: State,
    is_active: Callable[..., Tensor],
    max_steps: int,
) -> State:
    def goes_on(count: Tensor, *state: Tensor) -> Tensor:
        return is_active(*state).any() & (count < max_steps)

    def counted(count: Tensor, *state: Tensor) -> State:
        return (count + 1, *step(*state))

    count = torch.zeros((), dtype=torch.long, device=state[0].device)
    return while_loop(goes_on, counted, (count, *state))[1:]
