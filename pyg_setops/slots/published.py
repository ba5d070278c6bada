"""Weights of the package ``slot-attention``."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .layer import SlotAttention

_NAMES = {
    "slots_mu": "init.mu",
    "slots_logsigma": "init.logsigma",
    "to_q.weight": "lin_q.weight",
    "to_k.weight": "lin_k.weight",
    "to_k.bias": "lin_k.bias",
    "to_v.weight": "lin_v.weight",
    "to_v.bias": "lin_v.bias",
    "gru.weight_ih": "gru.weight_ih",
    "gru.weight_hh": "gru.weight_hh",
    "gru.bias_ih": "gru.bias_ih",
    "gru.bias_hh": "gru.bias_hh",
    "mlp.0.weight": "lin_hidden.weight",
    "mlp.0.bias": "lin_hidden.bias",
    "mlp.2.weight": "lin_out.weight",
    "mlp.2.bias": "lin_out.bias",
    "norm_input.weight": "norm_in.weight",
    "norm_input.bias": "norm_in.bias",
    "norm_slots.weight": "norm_slots.weight",
    "norm_pre_ff.weight": "norm_mlp.weight",
    "norm_pre_ff.bias": "norm_mlp.bias",
}
# What is common to the queries of all slots cannot matter.
_WITHOUT_EFFECT = {"to_q.bias", "norm_slots.bias"}


def load_published(layer: SlotAttention, state: Mapping[str, Tensor]) -> None:
    """Copies the state of a ``SlotAttention`` of the package ``slot-attention``.

    ==================  =========================  ====================
    there               what it is                 here
    ==================  =========================  ====================
    ``slots_mu``        the mean of first slots    ``init.mu``
    ``slots_logsigma``  and of their deviation     ``init.logsigma``
    ``to_q``            the queries                ``lin_q``
    ``to_k``            the keys                   ``lin_k``
    ``to_v``            the values                 ``lin_v``
    ``gru``             the gated step             ``gru``
    ``mlp.0``           the network                ``lin_hidden``
    ``mlp.2``                                      ``lin_out``
    ``norm_input``      the norm of elements       ``norm_in``
    ``norm_slots``      of slots                   ``norm_slots``
    ``norm_pre_ff``     before the network         ``norm_mlp``
    ==================  =========================  ====================

    The biases of ``to_q`` and ``norm_slots`` are left out: they have no effect.

    Args:
        layer: Where to copy them, of one head, with ``init='gaussian'`` and
            ``bias=True``, and of a known width; untouched if anything does not fit.
        state: The ``state_dict`` of the package's layer.

    Raises:
        ValueError: If names are missing, unknown, or a shape is not the layer's.
    """
    if layer.in_channels == -1:
        raise ValueError("'layer' must have the state's 'in_channels', got -1")
    parameters = dict(layer.named_parameters())
    unknown = state.keys() - _NAMES.keys() - _WITHOUT_EFFECT
    missing = _NAMES.keys() - state.keys()
    without = set(_NAMES.values()) ^ parameters.keys()
    if unknown or missing or without:
        raise ValueError(
            f"'state' must be of one head, and 'layer' likewise with init='gaussian', "
            f"attn='softmax' and bias=True; unknown in 'state': {sorted(unknown)}, "
            f"missing: {sorted(missing)}; not matched in 'layer': {sorted(without)}"
        )
    for there, here in _NAMES.items():
        if state[there].shape != parameters[here].shape:
            raise ValueError(
                f"'{there}' must have shape {list(parameters[here].shape)}, got "
                f"{list(state[there].shape)}"
            )
    with torch.no_grad():
        for there, here in _NAMES.items():
            parameters[here].copy_(state[there])
