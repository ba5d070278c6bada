"""Weights of the published SWARM layer."""

from __future__ import annotations

import torch
from torch import Tensor

from .layer import SwarmLayer


def load_published(
    layer: SwarmLayer,
    *,
    w_input: Tensor,
    b_input: Tensor,
    w_hidden: Tensor,
    w_pooled: Tensor,
    w_output: Tensor,
    b_output: Tensor,
) -> None:
    r"""Copies the four weight tensors of a published SWARM layer into ``layer``.

    The published layer keeps its maps as 1x1 convolutions; trailing dimensions of
    size 1 are dropped. Gates lie in the order i, f, o, g in both.

    =============  ===========================  =====================
    published      what it is                   here
    =============  ===========================  =====================
    ``w_input``    input to gates, with bias    ``cell.lin_x``
    ``w_hidden``   own state to gates           ``cell.lin_h``
    ``w_pooled``   pooled state to gates        ``cell.lin_p``
    ``w_output``   ``[h; c]`` to output, with   ``lin_out``
                   bias
    =============  ===========================  =====================

    Args:
        layer: Where to copy them, of a known width and with a pool; untouched if a
            shape does not fit.
        w_input: :math:`[4H, C_{in}]`, perhaps with trailing ones.
        b_input: :math:`[4H]`.
        w_hidden: :math:`[4H, H]`.
        w_pooled: :math:`[4H, H]`.
        w_output: :math:`[C_{out}, 2H]`.
        b_output: :math:`[C_{out}]`.

    Raises:
        ValueError: If a tensor does not have the shape that the layer has.
    """
    if layer.in_channels == -1:
        raise ValueError("'layer' must have the width of 'w_input', got -1")
    if layer.pool is None:
        raise ValueError("'layer' must have a pool, which 'w_pooled' is for, got None")
    pairs = {
        "w_input": (layer.cell.lin_x.weight, w_input),
        "b_input": (layer.cell.lin_x.bias, b_input),
        "w_hidden": (layer.cell.lin_h.weight, w_hidden),
        "w_pooled": (layer.cell.lin_p.weight, w_pooled),
        "w_output": (layer.lin_out.weight, w_output),
        "b_output": (layer.lin_out.bias, b_output),
    }
    for name, (parameter, tensor) in pairs.items():
        shape = tuple(tensor.shape)
        ones = (1,) * (tensor.dim() - parameter.dim())
        if shape != tuple(parameter.shape) + ones:
            raise ValueError(
                f"'{name}' must have shape {list(parameter.shape)}, perhaps with "
                f"trailing ones, got {list(shape)}"
            )
    with torch.no_grad():
        for parameter, tensor in pairs.values():
            parameter.copy_(tensor.view_as(parameter))
