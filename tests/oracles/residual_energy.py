"""The residual energies of one set after another, from their equations.

``state`` is the state dict of an energy; only its names and shapes are relied on.
"""

import math

import torch
from torch.nn.functional import linear


def _norm(a, gamma, beta):
    centred = a - a.mean(-1, keepdim=True)
    variance = (centred * centred).mean(-1, keepdim=True)
    return gamma * centred / torch.sqrt(variance + 1e-5) + beta


def _affine(state, name, z):
    return linear(z, state[f"{name}.weight"], state[f"{name}.bias"])


def _each_set(x, y, index, energy):
    members = [(index == number).nonzero().squeeze(1) for number in range(len(y))]
    return torch.stack([energy(x[rows], y[b]) for b, rows in enumerate(members)])


def resnet(state, x, y, index, num_layers, batch_scaled=False):
    """PyG's, the share of each set; ``batch_scaled`` divides the regulariser."""
    lamb = torch.log1p(state["lamb"].exp()).squeeze()
    lamb = lamb / len(y) if batch_scaled else lamb

    def energy(x, y):
        regulariser = lamb * (y * y).sum()
        if len(x) == 0:
            return regulariser
        z = h = torch.cat([x, y.expand(len(x), -1)], dim=1)
        for number in range(num_layers):
            layer = f"potential.layers.{number}"
            a = _affine(state, f"{layer}.0", h)
            t = torch.tanh(
                _norm(a, state[f"{layer}.1.weight"], state[f"{layer}.1.bias"])
            )
            h = t + _affine(state, f"potential.res_trans.{number}", z)
        out = _affine(state, f"potential.layers.{num_layers}", h)
        out = out + _affine(state, f"potential.res_trans.{num_layers}", z)
        return out.mean() + regulariser

    return _each_set(x, y, index, energy)


def squared(state, x, y, index, num_layers):
    """The paper's; ``num_layers`` counts the stages with a norm."""
    lamb = torch.log1p(state["lamb"].exp()).squeeze()

    def energy(x, y):
        h = torch.cat([x, y.expand(len(x), -1)], dim=1)
        for number in range(num_layers):
            a = _affine(state, f"lins.{number}", h)
            gamma, beta = (state[f"norms.{number}.{key}"] for key in ("weight", "bias"))
            same = f"skips.{number}.weight" not in state
            skip = h if same else _affine(state, f"skips.{number}", h)
            h = skip + torch.tanh(_norm(a, gamma, beta))
        out = _affine(state, f"lins.{num_layers}", h)
        data = (out * out).sum() / out.shape[1]
        factor = math.log2(len(x) + 1) / (len(x) + 1e-8)
        return factor * (data + lamb * (y * y).sum())

    return _each_set(x, y, index, energy)
