"""Equivariant linear maps as explicit matrices, entry by entry, in float64.

Weights are a list of ``(partition, matrix)``; a partition names the block of each of
the ``l + k`` axes, those of the output first.
"""

from functools import cache
from itertools import product

import torch


def partitions(points):
    """All ways to part a list into blocks: each point joins a block or opens one."""
    if not points:
        return [[]]
    found = []
    for blocks in partitions(points[:-1]):
        found.append([*blocks, [points[-1]]])
        for chosen in range(len(blocks)):
            joined = [list(block) for block in blocks]
            joined[chosen].append(points[-1])
            found.append(joined)
    return found


def bell(num_points):
    return len(partitions(list(range(num_points))))


def _equal(index, partition):
    """Whether the index has one value in each block."""
    values = {}
    for block, value in zip(partition, index, strict=True):
        if values.setdefault(block, value) != value:
            return False
    return True


@cache
def diagram(partition, order_out, order_in, size):
    """The matrix of a diagram, ``[size ** order_out, size ** order_in]``."""
    rows = list(product(range(size), repeat=order_out))
    columns = list(product(range(size), repeat=order_in))
    matrix = torch.zeros(len(rows), len(columns), dtype=torch.float64)
    for r, row in enumerate(rows):
        for c, column in enumerate(columns):
            matrix[r, c] = float(_equal((*row, *column), partition))
    return matrix


def orbit(partition, order_out, order_in, size):
    """The matrix that is 1 where indices are equal exactly within blocks."""
    matrix = diagram(partition, order_out, order_in, size).clone()
    rows = list(product(range(size), repeat=order_out))
    columns = list(product(range(size), repeat=order_in))
    for r, row in enumerate(rows):
        for c, column in enumerate(columns):
            distinct = len({*row, *column})
            if distinct != len(set(partition)):
                matrix[r, c] = 0
    return matrix


def num_summed(partition, order_out):
    """How many blocks have points of the input alone."""
    return len(set(partition[order_out:]) - set(partition[:order_out]))


def matrix(weights, order_out, order_in, size, aggr):
    """The whole map of a set, ``[size ** l, C_out, size ** k, C_in]``."""
    total = 0
    for partition, weight in weights:
        scale = 1.0
        if aggr == "mean":
            scale = 1.0 / max(size, 1) ** num_summed(partition, order_out)
        entries = diagram(partition, order_out, order_in, size)
        total = total + scale * torch.einsum("rc,oi->roci", entries, weight.double())
    return total


def linear(x, sizes, weights, biases, order_out, order_in, aggr):
    """The outputs of sets of these sizes, each by itself, one below the other."""
    outs, start = [], 0
    for size in sizes:
        rows = x[start : start + size**order_in].double()
        start += size**order_in
        whole = matrix(weights, order_out, order_in, size, aggr)
        y = torch.einsum("roci,ci->ro", whole, rows)
        for partition, bias in biases:
            y = y + diagram(partition, order_out, 0, size) * bias.double()
        outs.append(y)
    return torch.cat(outs)


def pair_linear(x, edge_attr, edges, batch, weights, aggr):
    """The outputs of nodes and edges, term by term; ``edges`` lists (source, target).

    ``weights`` is the ``state_dict`` of a layer: rows of ``lin_graph`` go to nodes and
    edges, of ``lin_node`` to nodes, edges into and edges out of them.
    """

    def pooled(rows, width):
        total = torch.zeros(width, dtype=torch.float64)
        for row in rows:
            total = total + row
        return total / len(rows) if rows and aggr == "mean" else total

    node, edge = x.size(1), edge_attr.size(1)
    graph_w, graph_b = weights["lin_graph.weight"], weights["lin_graph.bias"]
    width = len(graph_b) // 2
    node_w, edge_w = weights["lin_node.weight"], weights["lin_edge.weight"]
    own, above = [], []  # of nodes: themselves and the sums of their edges; their graph
    for i in range(len(x)):
        into = [edge_attr[e] for e, (_, t) in enumerate(edges) if t == i]
        out_of = [edge_attr[e] for e, (s, _) in enumerate(edges) if s == i]
        own.append(torch.cat([x[i], pooled(into, edge), pooled(out_of, edge)]))
        nodes = [x[j] for j in range(len(x)) if batch[j] == batch[i]]
        inside = [
            edge_attr[e] for e, (s, _) in enumerate(edges) if batch[s] == batch[i]
        ]
        whole = torch.cat([pooled(nodes, node), pooled(inside, edge)])
        above.append(graph_w @ whole + graph_b)
    new_x = [above[i][:width] + node_w[:width] @ own[i] for i in range(len(x))]
    new_edges = []
    for e, (s, t) in enumerate(edges):
        y = above[t][width:] + edge_w[:width] @ edge_attr[e]
        y = y + node_w[width : 2 * width] @ own[t] + node_w[2 * width :] @ own[s]
        if (t, s) in edges:
            y = y + edge_w[width:] @ edge_attr[edges.index((t, s))]
        new_edges.append(y)
    return torch.stack(new_x), torch.stack(new_edges)
