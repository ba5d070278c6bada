"""Layers that learn their input width from the first batch they see."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.parameter import UninitializedParameter, is_lazy


class LazyChannels(torch.nn.Module):
    """A module that accepts ``in_channels=-1`` and fills it in at first use.

    Until then its parameters exist but have no shape, so that an optimiser, a
    ``.to(...)`` or a ``state_dict`` taken early holds the right objects. A subclass
    creates everything that depends on the width in :meth:`build`, ends its
    ``__init__`` with :meth:`start` and its ``forward`` begins with :meth:`see`.

    Attributes:
        in_channels: The input width, -1 while unknown.
        any_channels: A width that can be built, to name the parameters before.
        width_key: The name of a parameter whose last dimension is ``in_channels``,
            by which a loaded state tells the width.
    """

    in_channels: int
    any_channels: int = 1
    width_key: str

    def build(self, in_channels: int) -> None:
        """Creates submodules and parameters for this width."""
        raise NotImplementedError

    def start(self, in_channels: int) -> None:
        """Builds for ``in_channels``, or, for -1, puts shapeless parameters in place.

        Raises:
            ValueError: If ``in_channels`` is neither positive nor -1.
        """
        if in_channels < 1 and in_channels != -1:
            raise ValueError(
                f"'in_channels' must be positive, or -1 to be inferred from the "
                f"first input, got {in_channels}"
            )
        self.in_channels = in_channels
        if in_channels != -1:
            self.build(in_channels)
            return
        # Only the names of the parameters are wanted; any width gives them.
        with torch.device("meta"):
            self.build(self.any_channels)
        for name, parameter in list(self.named_parameters()):
            if parameter.is_meta:
                trained = parameter.requires_grad
                shapeless = UninitializedParameter(requires_grad=trained)
                self._set_parameter(name, shapeless)

    def see(self, x: Tensor) -> None:
        """Takes the width of ``x`` if it is the first input; else checks it.

        Raises:
            ValueError: If the last dimension of ``x`` is not ``in_channels``, or is 0.
        """
        if x.size(-1) < 1:
            raise ValueError(f"'x' must have channels, got shape {list(x.shape)}")
        if self.in_channels == -1:
            self.initialize(x.size(-1))
        elif x.size(-1) != self.in_channels:
            raise ValueError(
                f"'x' must have the {self.in_channels} channels that this "
                f"{type(self).__name__} was built for or first saw, got "
                f"{x.size(-1)}; one instance serves one width"
            )

    # Tensors made in inference mode could never be trained.
    @torch.inference_mode(False)
    @torch.no_grad()
    def initialize(self, in_channels: int) -> None:
        """Gives every parameter its shape and first value, in place."""
        shapeless = {name: p for name, p in self.named_parameters() if is_lazy(p)}
        like = next(iter(shapeless.values()))
        with torch.device(like.device):
            self.build(in_channels)
        self.in_channels = in_channels
        self.to(like.dtype).train(self.training)  # submodules are new
        for name, fresh in list(self.named_parameters()):
            if name not in shapeless or is_lazy(fresh):
                continue
            parameter = cast(UninitializedParameter, shapeless[name])
            parameter.materialize(fresh.shape)
            self._set_parameter(name, parameter)
            parameter.copy_(fresh)

    def _set_parameter(self, name: str, parameter: Tensor) -> None:
        owner, _, leaf = name.rpartition(".")
        setattr(self.get_submodule(owner), leaf, parameter)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """As any module's; shapeless parameters are stored as they are."""
        if self.in_channels == -1:
            kwargs["keep_vars"] = True  # what has no shape cannot be detached
        return super().state_dict(*args, **kwargs)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any
    ) -> None:
        known = state_dict.get(prefix + self.width_key)
        if self.in_channels == -1 and known is not None and not is_lazy(known):
            self.initialize(known.size(-1))
        super()._load_from_state_dict(state_dict, prefix, *args)
