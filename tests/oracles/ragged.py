"""Every primitive of ``pyg_setops.ragged`` as a plain loop, in float64.

``index`` is a list with the set of each element, ``num_sets`` their number.
"""

import torch


def _members(index, num_sets):
    return [
        [i for i, s in enumerate(index) if s == number] for number in range(num_sets)
    ]


def _reduce(x, index, num_sets, reduction):
    out = torch.zeros(num_sets, *x.shape[1:], dtype=torch.float64)
    for number, members in enumerate(_members(index, num_sets)):
        if members:
            out[number] = reduction([x[i].double() for i in members])
    return out


def _scan(x, index, num_sets, visit):
    out = torch.zeros(x.shape, dtype=torch.float64)
    for members in _members(index, num_sets):
        visit([(i, x[i].double()) for i in members], out)
    return out


def segment_sum(x, index, num_sets):
    return _reduce(x, index, num_sets, sum)


def segment_mean(x, index, num_sets):
    return _reduce(x, index, num_sets, lambda rows: sum(rows) / len(rows))


def segment_max(x, index, num_sets):
    def largest(rows):
        best = rows[0]
        for row in rows:
            best = torch.where(row > best, row, best)
        return best

    return _reduce(x, index, num_sets, largest)


def segment_logsumexp(x, index, num_sets):
    return _reduce(x, index, num_sets, lambda rows: sum(r.exp() for r in rows).log())


def segment_softmax(x, index, num_sets):
    def visit(rows, out):
        total = sum(row.exp() for _, row in rows)
        for i, row in rows:
            out[i] = row.exp() / total

    return _scan(x, index, num_sets, visit)


def segment_cumsum(x, index, num_sets):
    def visit(rows, out):
        total = 0
        for i, row in rows:
            total = total + row
            out[i] = total

    return _scan(x, index, num_sets, visit)


def segment_cumsum_reverse(x, index, num_sets):
    def visit(rows, out):
        total = 0
        for i, row in reversed(rows):
            total = total + row
            out[i] = total

    return _scan(x, index, num_sets, visit)


def segment_cummean(x, index, num_sets):
    def visit(rows, out):
        for count in range(1, len(rows) + 1):
            out[rows[count - 1][0]] = sum(row for _, row in rows[:count]) / count

    return _scan(x, index, num_sets, visit)


def gather(x, index):
    out = torch.zeros(len(index), *x.shape[1:], dtype=torch.float64)
    for i, number in enumerate(index):
        out[i] = x[number]
    return out


def segment_outer(a, v, index, num_sets):
    out = torch.zeros(num_sets, a.size(1), v.size(1), dtype=torch.float64)
    for i, number in enumerate(index):
        out[number] += a[i].double()[:, None] * v[i].double()[None, :]
    return out


def segment_matvec(m, x, index):
    out = torch.zeros(x.size(0), m.size(1), dtype=torch.float64)
    for i, number in enumerate(index):
        for row in range(m.size(1)):
            out[i, row] = (m[number, row].double() * x[i].double()).sum()
    return out


def pairs(index, loops=True):
    n = range(len(index))
    return [
        (source, target)
        for target in n
        for source in n
        if index[source] == index[target] and (loops or source != target)
    ]
