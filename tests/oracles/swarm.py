"""SWARM as plain loops over iterations and elements, from the equations, in float64.

``weights`` is the ``state_dict`` of a layer. A pool maps the list of the states of a
set to the list of what each element hears.
"""

import torch


def _sigmoid(a):
    return 1 / (1 + torch.exp(-a))


def iterate(xs, weights, num_iterations, hear=None, once=False):
    """The outputs, one for each of the elements ``xs``, that hear by ``hear``."""
    if not xs:
        return []
    w = {name.removeprefix("cell."): w.double() for name, w in weights.items()}
    hidden = w["lin_h.weight"].size(1)
    h = [torch.zeros(hidden, dtype=torch.float64) for _ in xs]
    c = [torch.zeros(hidden, dtype=torch.float64) for _ in xs]
    heard = None
    for t in range(num_iterations):
        if t == 1 or (t > 1 and not once):
            heard = hear(h) if hear else None
        for e in range(len(xs)):
            a = w["lin_x.weight"] @ xs[e].double() + w["lin_x.bias"]
            if t > 0:
                a = a + w["lin_h.weight"] @ h[e]
            if heard is not None:
                a = a + w["lin_p.weight"] @ heard[e]
            i, f = _sigmoid(a[:hidden]), _sigmoid(a[hidden : 2 * hidden])
            o, g = _sigmoid(a[2 * hidden : 3 * hidden]), torch.tanh(a[3 * hidden :])
            c[e] = f * c[e] + i * g
            h[e] = o * torch.tanh(c[e])
    return [
        w["lin_out.weight"] @ torch.cat([h[e], c[e]]) + w["lin_out.bias"]
        for e in range(len(xs))
    ]


def layer(x, index, weights, num_iterations, hear=None, once=False):
    """The outputs of sets, each by itself; ``index`` lists the set of each element."""
    out = torch.zeros(len(index), len(weights["lin_out.bias"]), dtype=torch.float64)
    for number in set(index):
        members = [e for e in range(len(index)) if index[e] == number]
        xs = [x[e] for e in members]
        for e, y in zip(
            members, iterate(xs, weights, num_iterations, hear, once), strict=True
        ):
            out[e] = y
    return out


def conv(x, edges, weights, num_iterations):
    """The outputs of nodes that hear the mean of those with an edge to them."""

    def hear(h):
        heard = []
        for node in range(len(h)):
            sent = [h[source] for source, target in edges if target == node]
            heard.append(sum(sent) / len(sent) if sent else torch.zeros_like(h[node]))
        return heard

    outs = iterate(list(x), weights, num_iterations, hear)
    return torch.stack(outs)


def mean(h):
    return [sum(h) / len(h)] * len(h)


def sum_(h):
    return [sum(h)] * len(h)


def max_(h):
    largest = h[0]
    for row in h:
        largest = torch.where(row > largest, row, largest)
    return [largest] * len(h)


def causal(h):
    return [sum(h[: e + 1]) / (e + 1) for e in range(len(h))]


def maps(num_slices):
    def hear(h):
        width = len(h[0]) - 2 * num_slices
        heard = [torch.zeros(width, dtype=torch.float64) for _ in h]
        for s in range(num_slices):
            write = [torch.exp(row[width + s]) for row in h]
            z = sum(b * row[:width] for b, row in zip(write, h, strict=True))
            for e, row in enumerate(h):
                heard[e] = heard[e] + row[width + num_slices + s] * z / sum(write)
        return heard

    return hear


def softmax(h):
    """What PyG's SoftmaxAggregation gives."""
    total = sum(torch.exp(row) for row in h)
    return [sum(torch.exp(row) / total * row for row in h)] * len(h)
