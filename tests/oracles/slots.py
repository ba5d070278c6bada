"""Slot Attention from the equations: one set, one iteration, one head at a time."""

import torch
from torch import Tensor
from torch.nn.functional import layer_norm


def slot_attention(
    x: Tensor,
    slots: Tensor,
    weights: dict[str, Tensor],
    num_iterations: int = 3,
    heads: int = 1,
    joint: bool = False,
    eps: float = 1e-8,
    offset: float | None = None,
    norm_eps: float = 1e-5,
    attn: str = "softmax",
) -> tuple[Tensor, list[Tensor]]:
    """The slots ``[K, D]`` of one set ``[n, C]``, and how each iteration shares it.

    ``offset`` is what the sum of the weights is raised by, instead of ``eps`` to each.
    """

    def get(name: str) -> Tensor | None:
        return weights.get(name)

    def linear(name: str, rows: Tensor) -> Tensor:
        out = rows @ weights[f"{name}.weight"].T
        bias = get(f"{name}.bias")
        return out if bias is None else out + bias

    def norm(name: str, rows: Tensor) -> Tensor:
        width = rows.shape[-1:]
        gamma, beta = get(f"{name}.weight"), get(f"{name}.bias")
        return layer_norm(rows, width, gamma, beta, norm_eps)

    def advance(u: Tensor, s: Tensor) -> Tensor:
        s = gru(u, s, weights)
        hidden = linear("lin_hidden", norm("norm_mlp", s)).relu()
        return s + linear("lin_out", hidden)

    n, num_slots, width = len(x), len(slots), slots.shape[1] // heads
    xh = norm("norm_in", x)
    k, v = linear("lin_k", xh), linear("lin_v", xh)
    history = []
    for _ in range(num_iterations):
        asking = norm("norm_slots", slots)
        q = linear("lin_q", asking)
        if attn != "softmax" and n * num_slots > 0:
            log_a = linear("element_mass.2", linear("element_mass.0", xh).relu())[:, 0]
            log_b = linear("slot_mass.2", linear("slot_mass.0", asking).relu())[:, 0]
            a = num_slots * log_a.softmax(0)
            b = num_slots * log_b.softmax(0)
            p = transport_plan(torch.cdist(k, q), a, b, mesh=attn == "mesh")
            history.append(p / p.sum(1, keepdim=True))
            slots = advance(p.T @ v, slots)
            continue
        logits = torch.stack(
            [
                k[:, h * width : (h + 1) * width]
                @ q[:, h * width : (h + 1) * width].T
                * width**-0.5
                for h in range(heads)
            ]
        )  # [H, n, K]
        if joint:
            flat = logits.permute(1, 0, 2).reshape(n, heads * num_slots)
            a = flat.softmax(1).reshape(n, heads, num_slots).permute(1, 0, 2)
            history.append(a.sum(0))
        else:
            a = logits.softmax(2)
            history.append(a.mean(0))
        updates = []
        for h in range(heads):
            if n == 0:
                updates.append(slots.new_zeros(num_slots, width))
                continue
            if offset is None:
                w = (a[h] + eps) / (a[h] + eps).sum(0)
            else:
                w = a[h] / (a[h].sum(0) + offset)
            updates.append(w.T @ v[:, h * width : (h + 1) * width])
        u = torch.cat(updates, 1)
        if heads > 1 and not joint:
            u = linear("lin_heads", u)
        slots = advance(u, slots)
    return slots, history


def gru(u: Tensor, s: Tensor, weights: dict[str, Tensor]) -> Tensor:
    gi = u @ weights["gru.weight_ih"].T + weights["gru.bias_ih"]
    gh = s @ weights["gru.weight_hh"].T + weights["gru.bias_hh"]
    d = s.shape[1]
    r = torch.sigmoid(gi[:, :d] + gh[:, :d])
    z = torch.sigmoid(gi[:, d : 2 * d] + gh[:, d : 2 * d])
    n = torch.tanh(gi[:, 2 * d :] + r * gh[:, 2 * d :])
    return (1 - z) * n + z * s


def sinkhorn(
    cost: Tensor, a: Tensor, b: Tensor, v: Tensor | None = None, sweeps: int = 5
) -> tuple[Tensor, Tensor]:
    """The plan of one set ``[n, K]``, and the potentials of the slots."""
    v = torch.zeros_like(b) if v is None else v
    for _ in range(sweeps):
        u = a.log() - torch.logsumexp(v[None, :] - cost, 1)
        v = b.log() - torch.logsumexp(u[:, None] - cost, 0)
    return (u[:, None] + v[None, :] - cost).exp(), v


def transport_plan(
    cost: Tensor, a: Tensor, b: Tensor, mesh: bool, steps: int = 4, rate: float = 8.0
) -> Tensor:
    v = None
    if mesh:
        sharp = cost.detach()
        for _ in range(steps):
            sharp = sharp.requires_grad_()
            with torch.enable_grad():
                p, new = sinkhorn(sharp, a.detach(), b.detach(), v)
                (slope,) = torch.autograd.grad(entropy(p), sharp)
            sharp = (sharp - rate * slope / slope.norm().clamp(min=1e-12)).detach()
            v = new.detach()
        cost = cost + (sharp - cost).detach()
    return sinkhorn(cost, a, b, v)[0]


def entropy(p: Tensor) -> Tensor:
    return -(p * p.log()).sum()
