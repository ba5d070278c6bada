import torch
from torch.nn.functional import linear, silu

from pyg_setops.aggr import IGNAggregation, PairAggregation


def pairs_of(size, channels=2):
    return torch.randn(size * size, channels, dtype=torch.float64)


def test_is_the_mean_of_all_pairs_and_of_the_diagonal():
    sizes = [3, 0, 1, 4]
    aggregation = PairAggregation(2, 5).double()
    torch.nn.init.normal_(aggregation.lin.bias)
    parts = [pairs_of(size) for size in sizes]
    ptr = torch.tensor([0] + [size**2 for size in sizes]).cumsum(0)
    out = aggregation(torch.cat(parts), ptr=ptr)
    weights = dict(aggregation.lin.per_diagram())
    for number, (size, part) in enumerate(zip(sizes, parts, strict=True)):
        if size == 0:
            assert not out[number].any()
            continue
        square = part.view(size, size, 2)
        trace = sum(square[i, i] for i in range(size)) / size
        expected = (
            linear(part.mean(0), weights[0, 1])
            + linear(trace, weights[0, 0])
            + aggregation.lin.bias[0]
        )
        torch.testing.assert_close(out[number], expected)


def test_sum_and_exponents_reach_the_layer():
    aggregation = PairAggregation(2, 3, False, "sum", True, 4.0)
    assert aggregation.lin.bias is None
    assert aggregation.lin.aggr == "sum"
    assert aggregation.lin.typical_size == 4.0
    assert aggregation.lin.exponent.shape == (2, 2)


def test_network_is_its_layers_on_dense_pairs():
    """One layer by hand: all pairs of one set, from its definition."""
    aggregation = IGNAggregation(2, 3, hidden_channels=4, num_layers=1).double()
    x = torch.randn(5, 2, dtype=torch.float64)
    first, last = aggregation.layers
    hidden = torch.einsum("rcoi,ci->ro", first.dense_weight(5), x)
    joined, apart = first.bias
    hidden = hidden + apart + joined * torch.eye(5).reshape(-1, 1)
    out = torch.einsum("rcoi,ci->ro", last.dense_weight(5), silu(hidden))
    torch.testing.assert_close(aggregation(x), out + last.bias)
