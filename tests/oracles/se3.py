"""The SE(3)-Transformer's layer as loops over edges, from the equations, in float64.

An irrep is a pair ``(l, p)``; irreps are lists of ``(multiplicity, (l, p))``, in e3nn's
layout. The 3j symbols are e3nn's, as constants; all else is written out.
"""

import math

import torch
from e3nn.o3 import wigner_3j

SOFTENING = 0.01


def harmonics(x, y, z, degree):
    """Spherical harmonics of degree 0, 1 or 2 with e3nn's axes, of mean square 1."""
    if degree == 0:
        return [1.0]
    if degree == 1:
        return [math.sqrt(3) * x, math.sqrt(3) * y, math.sqrt(3) * z]
    return [
        math.sqrt(15) * x * z,
        math.sqrt(15) * x * y,
        math.sqrt(5) * (y * y - (x * x + z * z) / 2),
        math.sqrt(15) * y * z,
        math.sqrt(15) / 2 * (z * z - x * x),
    ]


def split(features, irreps):
    """The channels of each irrep: a list of lists of vectors."""
    parts, start = [], 0
    for mul, (degree, _) in irreps:
        size = 2 * degree + 1
        parts.append([features[start + u * size :][:size] for u in range(mul)])
        start += mul * size
    return parts


def linear(parts, irreps_in, irreps_out, weight):
    """A map between channels of the same irrep, by the root of how many there are."""
    out = [[0.0] * mul for mul, _ in irreps_out]
    inputs = [sum(m for m, a in irreps_in if a == b) for _, b in irreps_out]
    start = 0
    for i, (mul_in, irrep_in) in enumerate(irreps_in):
        for o, (mul_out, irrep_out) in enumerate(irreps_out):
            if irrep_in != irrep_out:
                continue
            for u in range(mul_in):
                for w in range(mul_out):
                    factor = weight[start + u * mul_out + w] / math.sqrt(inputs[o])
                    out[o][w] = out[o][w] + factor * parts[i][u]
            start += mul_in * mul_out
    for o, (mul, (degree, _)) in enumerate(irreps_out):
        for w in range(mul):
            out[o][w] = out[o][w] + torch.zeros(2 * degree + 1, dtype=torch.float64)
    return out


def paths(irreps, max_degree, wanted):
    """Which input meets which degree to give which irrep."""
    found = []
    for source, (_, (l1, p1)) in enumerate(irreps):
        for l2 in range(max_degree + 1):
            for l3 in range(abs(l1 - l2), l1 + l2 + 1):
                irrep = (l3, p1 * (-1) ** l2)
                if irrep in wanted:
                    found.append((source, l2, irrep))
    return found


def product(parts, irreps, found, direction):
    """Every channel of every path."""
    out = []
    for source, l2, (l3, _) in found:
        l1 = irreps[source][1][0]
        symbol = wigner_3j(l1, l2, l3, dtype=torch.float64)
        sphere = harmonics(*direction, l2)
        channels = []
        for x in parts[source]:
            value = []
            for k in range(2 * l3 + 1):
                total = 0.0
                for i in range(2 * l1 + 1):
                    for j in range(2 * l2 + 1):
                        total = total + symbol[i, j, k] * x[i] * sphere[j]
                value.append(math.sqrt(2 * l3 + 1) * total)
            channels.append(torch.stack(value))
        out.append(channels)
    return out


def edge(vector, cutoff, num_radial):
    """The softened direction, Gaussians of the distance, and the envelope."""
    square = sum((v / cutoff) ** 2 for v in vector)
    distance = torch.sqrt(square + SOFTENING**2)
    direction = [v / cutoff / distance for v in vector]
    step = 1 / (num_radial - 1)
    gaussians = [
        torch.exp(-0.5 * ((distance - k * step) / step) ** 2) for k in range(num_radial)
    ]
    if square >= 1:
        return direction, gaussians, torch.zeros((), dtype=torch.float64)
    s = square
    return direction, gaussians, 1 - 10 * s**3 + 15 * s**4 - 6 * s**5


def radial_weights(inputs, weights):
    """The MLP: linear, swish, linear."""
    hidden = weights["radial.0.weight"] @ torch.stack(inputs) + weights["radial.0.bias"]
    hidden = hidden / (1 + torch.exp(-hidden))
    return weights["radial.2.weight"] @ hidden + weights["radial.2.bias"]


def conv(x, pos, edges, edge_attr, weights, irreps, cutoff, heads, max_degree=2):
    """The layer; ``irreps`` has the keys ``in``, ``hidden`` and ``out``."""
    first, hidden, last = irreps["in"], irreps["hidden"], irreps["out"]
    found = paths(hidden, max_degree, {irrep for _, irrep in last})
    inner = [(hidden[source][0], irrep) for source, _, irrep in found]
    asked = {irrep for _, irrep in first}
    size = sum(m * (2 * ir[0] + 1) for m, ir in inner if ir in asked) / heads
    num_radial = weights["radial.0.weight"].size(1) - len(edge_attr[0])
    rows = []
    for node in range(len(x)):
        own = split(x[node], first)
        query = linear(own, first, inner, weights["lin_query.weight"])
        heard = []
        for number, (source, target) in enumerate(edges):
            if target != node:
                continue
            sent = linear(
                split(x[source], first), first, hidden, weights["lin_source.weight"]
            )
            vector = [pos[source][d] - pos[target][d] for d in range(3)]
            direction, gaussians, envelope = edge(vector, cutoff, num_radial)
            w = radial_weights([*gaussians, *edge_attr[number]], weights)
            t = product(sent, hidden, found, direction)
            scores = [torch.zeros((), dtype=torch.float64) for _ in range(heads)]
            column = 0
            for p, (mul, _) in enumerate(inner):
                for u in range(mul):
                    match = (query[p][u] * t[p][u]).sum() * w[column]
                    scores[u * heads // mul] = scores[u * heads // mul] + match
                    column += 1
            terms = [envelope * torch.exp(s / math.sqrt(size)) for s in scores]
            heard.append((terms, t, w[column:]))
        totals = [1 + sum(terms[h] for terms, _, _ in heard) for h in range(heads)]
        mixed = []
        column = 0
        for p, (mul, (degree, _)) in enumerate(inner):
            channels = []
            for u in range(mul):
                value = torch.zeros(2 * degree + 1, dtype=torch.float64)
                for terms, t, w in heard:
                    h = u * heads // mul
                    value = value + terms[h] / totals[h] * w[column] * t[p][u]
                channels.append(value)
                column += 1
            mixed.append(channels)
        out = linear(mixed, inner, last, weights["lin_out.weight"])
        root = linear(own, first, last, weights["lin_root.weight"])
        rows.append(
            torch.cat(
                [
                    a + b
                    for one, two in zip(out, root, strict=True)
                    for a, b in zip(one, two, strict=True)
                ]
            )
        )
    return torch.stack(rows)
