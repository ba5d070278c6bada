import pytest
import torch

from pyg_setops.ragged import fold, segment_sum, unfold
from tests.oracles import ragged as oracle
from tests.ragged.layouts import FORMS, layout

SIZES = [2, 0, 3]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("shape", "dim"),
    [
        ((5, 4), -2),
        ((5, 4), 0),
        ((5, 3, 4), 0),
        ((3, 5, 4), -2),
        ((2, 3, 5, 4), -2),
        ((2, 5, 3, 4), 1),
        ((5, 1, 4), 0),
    ],
)
def test_every_other_dimension_is_a_batch(shape, dim, form):
    sets, index = layout(SIZES, form)
    x = torch.randn(shape, dtype=torch.float64)
    rows, folded = fold(x, sets, dim)
    assert rows.dim() == 2
    assert torch.equal(unfold(rows, x, dim), x)
    out = unfold(segment_sum(rows, folded)[:, :1], x, dim)
    expected = oracle.segment_sum(x.movedim(dim, 0), index, 3).movedim(0, dim)
    torch.testing.assert_close(out, expected[..., :1])


@pytest.mark.parametrize(("shape", "dim"), [((5,), 0), ((5, 4), -1), ((5, 4), 1)])
def test_the_last_dimension_is_for_channels(shape, dim):
    with pytest.raises(ValueError, match="'dim' must be a dimension before"):
        fold(torch.zeros(shape), layout(SIZES, "ptr")[0], dim)
