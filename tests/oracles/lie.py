"""Attention over lifted points, pair by pair, from the paper's equations.

Elements are written as matrices, so that nothing is shared with the package's
quaternions: of a group of space or plane, a linear map and a translation.
"""

import torch
from torch import Tensor


def swish(x: Tensor) -> Tensor:
    return x / (1 + (-x).exp())


def lie_self_attention(
    state: dict[str, Tensor],
    x: Tensor,
    coordinates,
    neighbours: list[list[int]],
    heads: int,
    content: str | None,
    location: str | None,
    combine: str,
    normalize: str,
    act_last: bool = True,
) -> Tensor:
    """Features of all elements, one after another.

    Args:
        state: The weights, by their names in the layer.
        x: Features of the elements.
        coordinates: ``coordinates(i, j)``, what the location network sees of a pair.
        neighbours: Who is heard by each element.
        heads: The number of heads.
        content: ``'dot'``, ``'concat'`` or ``None``.
        location: ``'mlp'``, ``'raw'`` or ``None``.
        combine: ``'sum'``, ``'product'`` or ``'mlp'``.
        normalize: ``'softmax'``, ``'exp'`` or ``'constant'``.
        act_last: Whether swish follows the last layer of the networks.
    """

    def linear(name: str, v: Tensor) -> Tensor:
        return state[f"{name}.weight"] @ v + state[f"{name}.bias"]

    def network(name: str, head: int, v: Tensor) -> Tensor:
        for layer in range(3):
            weight = state[f"scores.{name}.weights.{layer}"][head]
            bias = state[f"scores.{name}.biases.{layer}"][head, :, 0]
            v = weight @ v + bias
            if layer < 2 or act_last:
                v = swish(v)
        return v

    def score(i: int, j: int, head: int) -> Tensor:
        parts = []  # what the joint network sees: coordinates, content, location
        content_part = None
        if content is not None:
            query = linear("scores.lin_query", x[i]).chunk(heads)[head]
            key = linear("scores.lin_key", x[j]).chunk(heads)[head]
            content_part = (
                (query @ key / len(query) ** 0.5)[None]
                if content == "dot"
                else query + key
            )
        location_part = None
        if location == "mlp":
            location_part = network("location", head, coordinates(i, j))
        if combine == "mlp":
            weight = state["scores.joint.weights.0"][head]
            z = state["scores.joint.biases.0"][head, :, 0]
            if location == "raw":
                parts.append(coordinates(i, j))
            if content == "dot":
                parts.append(content_part)
            elif content == "concat":
                z = z + content_part
            if location == "mlp":
                parts.append(location_part)
            if parts:
                z = z + weight @ torch.cat(parts)
            v = swish(z)
            v = swish(
                state["scores.joint.weights.1"][head] @ v
                + state["scores.joint.biases.1"][head, :, 0]
            )
            v = (
                state["scores.joint.weights.2"][head] @ v
                + state["scores.joint.biases.2"][head, :, 0]
            )
            return swish(v).squeeze() if act_last else v.squeeze()
        if content_part is None:
            return location_part.squeeze()
        if location_part is None:
            return content_part.squeeze()
        if combine == "product":
            return (content_part * location_part).squeeze()
        return (content_part + location_part).squeeze()

    rows = []
    for i, heard in enumerate(neighbours):
        by_head = []
        for head in range(heads):
            total = 0.0
            if heard:
                raw = torch.stack([score(i, j, head) for j in heard])
                if normalize == "softmax":
                    weight = raw.exp() / raw.exp().sum()
                elif normalize == "exp":
                    weight = raw.exp() / len(heard)
                else:
                    weight = raw / len(heard)
                for a, j in zip(weight, heard, strict=True):
                    total = total + a * linear("lin_value", x[j]).chunk(heads)[head]
            else:
                total = 0 * linear("lin_value", x[i]).chunk(heads)[head]
            by_head.append(total)
        rows.append(linear("lin_out", torch.cat(by_head)))
    return torch.stack(rows)


def motion_coordinates(matrices: Tensor, translations: Tensor):
    """Entries of ``R_j^T R_i`` and ``R_j^T (t_i - t_j)``."""

    def coordinates(i: int, j: int) -> Tensor:
        turn = matrices[j].T @ matrices[i]
        shift = matrices[j].T @ (translations[i] - translations[j])
        return torch.cat([turn.flatten(), shift])

    return coordinates


def sets_as_neighbours(index: Tensor) -> list[list[int]]:
    """All elements of the same set."""
    sets = index.tolist()
    return [[j for j, other in enumerate(sets) if other == own] for own in sets]


def nearest(pos: Tensor, index: Tensor, k: int) -> list[list[int]]:
    """The ``k`` nearest points of the same set, itself first."""
    found = []
    for i in range(len(pos)):
        same = [j for j in range(len(pos)) if index[j] == index[i]]
        same.sort(key=lambda j: (float((pos[i] - pos[j]).norm()), j != i))
        found.append(same[:k])
    return found
