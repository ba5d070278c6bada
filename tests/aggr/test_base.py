"""The face that aggregations share: what is not in the contract of each of them."""

import pytest
import torch
from torch import Tensor

from pyg_setops.aggr import SetAggregation
from pyg_setops.ragged import SetIndex, segment_sum


class Recorder(SetAggregation):
    """Sums, and remembers what it was given."""

    width_key = "weight"

    def __init__(self, in_channels: int = -1, out_channels: int | None = None):
        super().__init__(in_channels, out_channels)
        self.start(in_channels)

    def create(self, in_channels: int, out_channels: int) -> None:
        self.weight = torch.nn.Parameter(torch.ones(out_channels, in_channels))

    def aggregate(self, x: Tensor, sets: SetIndex) -> Tensor:
        self.given = x, sets
        return segment_sum(x @ self.weight.t(), sets) + 1


@pytest.mark.parametrize(
    ("shape", "dim", "sets", "out"),
    [
        ((6, 3), -2, 4, (4, 5)),
        ((6, 3), 0, 4, (4, 5)),
        ((2, 6, 3), -2, 8, (2, 4, 5)),
        ((6, 2, 3), 0, 8, (4, 2, 5)),
        ((2, 7, 6, 3), 2, 56, (2, 7, 4, 5)),
    ],
)
def test_operators_see_rows_of_elements(shape, dim, sets, out):
    aggregation = Recorder(3, 5)
    index = torch.tensor([0, 3, 0, 1, 1, 3])
    result = aggregation(torch.randn(shape), index, dim_size=4, dim=dim)
    rows, layout = aggregation.given
    assert rows.shape == (torch.Size(shape).numel() // 3, 3)
    assert layout.num_sets == sets
    assert result.shape == out


def test_zeroes_what_an_operator_gives_to_empty_sets():
    index = torch.tensor([0, 2])
    out = Recorder(3)(torch.zeros(2, 3), index, dim_size=4)
    assert out.tolist() == [[1.0] * 3, [0.0] * 3, [1.0] * 3, [0.0] * 3]


def test_zero_rows_pass_no_nan_back():
    aggregation = Recorder(3)
    with torch.no_grad():
        aggregation.weight.fill_(torch.nan)
    x = torch.zeros(0, 3, requires_grad=True)
    aggregation(x, x.new_zeros(0).long(), dim_size=2).sum().backward()
    assert aggregation.weight.grad.isfinite().all()


@pytest.mark.parametrize(("given", "known"), [(None, 3), (5, 5)])
def test_out_channels_are_told(given, known):
    aggregation = Recorder(out_channels=given)
    assert aggregation.out_channels == (given or -1)
    aggregation(torch.randn(4, 3))
    assert aggregation.out_channels == known
    assert repr(aggregation) == f"Recorder(3, {known})"


@pytest.mark.parametrize("width", [0, -1])
def test_refuses_an_impossible_output_width(width):
    with pytest.raises(
        ValueError, match=f"'out_channels' must be positive, got {width}"
    ):
        Recorder(3, width)


def test_a_wrong_dim_is_named_before_anything_else():
    aggregation = Recorder()
    with pytest.raises(
        ValueError, match="'dim' must be a dimension before the channels"
    ):
        aggregation(torch.randn(6, 3), torch.zeros(6).long(), dim=1)
    assert aggregation.in_channels == -1
