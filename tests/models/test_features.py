import numpy as np
import pytest
import torch

from pyg_setops.models import FeatureEncoder


def test_real_features_are_mapped_linearly():
    encoder = FeatureEncoder(3, 5).double()
    x = torch.randn(4, 3, dtype=torch.float64)
    expected = x @ encoder.lin.weight.t() + encoder.lin.bias
    torch.testing.assert_close(encoder(x), expected)
    assert FeatureEncoder(1, 5)(torch.randn(4)).shape == (4, 5)
    assert FeatureEncoder(np.int64(1), 5)(torch.randn(4)).shape == (4, 5)


def test_every_column_has_its_own_vectors():
    encoder = FeatureEncoder((2, 3), 5)
    weight = encoder.lin.weight
    out = encoder(torch.tensor([[1, 0], [0, 2]]))
    torch.testing.assert_close(out[0], weight[1] + weight[2])
    torch.testing.assert_close(out[1], weight[0] + weight[4])


@pytest.mark.parametrize(
    ("features", "x"),
    [
        (3, torch.zeros(2, 4)),
        (3, torch.zeros(2, 3, dtype=torch.long)),
        ((3,), torch.zeros(2, 1)),
        ((3,), torch.zeros(2, 2, dtype=torch.long)),
    ],
)
def test_other_columns_are_refused(features, x):
    with pytest.raises(ValueError, match="'x' must have"):
        FeatureEncoder(features, 5)(x)


@pytest.mark.parametrize("row", [[2, 0], [0, -1], [0, 3]])
def test_values_of_another_column_are_refused(row):
    with pytest.raises(ValueError, match="'x' must have values from 0 to below"):
        FeatureEncoder((2, 3), 5)(torch.tensor([[0, 0], row]))


def test_repr():
    assert repr(FeatureEncoder((2, 3), 5)) == "FeatureEncoder((2, 3))"
