import pytest
import torch

from pyg_setops.metrics import average_precision
from pyg_setops.ragged import SetIndex
from tests.oracles import average_precision as oracle

SIZES = [2, 0, 3, 1, 4]
SETS = SetIndex.build(ptr=torch.tensor([0, *SIZES]).cumsum(0))


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.6, float("inf")])
def test_it_is_that_of_the_protocol(threshold):
    generator = torch.Generator().manual_seed(0)
    values = set()
    for _ in range(20):
        confidence = torch.rand(len(SIZES), 6, generator=generator)
        distance = torch.rand(sum(SIZES), 6, generator=generator)
        agrees = torch.rand(sum(SIZES), 6, generator=generator) < 0.6
        distance = distance.where(agrees, torch.inf)
        parts = [each.tolist() for each in distance.split(SIZES)]
        expected = oracle.average_precision(confidence.tolist(), parts, threshold)
        ours = average_precision(confidence, distance, SETS, threshold)
        assert ours == pytest.approx(expected, abs=1e-12)
        values.add(ours)
    assert len(values) > 1 or threshold == 0


def test_perfect_predictions_have_one_and_doubles_are_false_alarms():
    sets = SetIndex.build(num_elements=1)
    both = torch.zeros(1, 2)
    assert average_precision(torch.tensor([[0.9, 0.1]]), both, sets, 0.0) == 1
    near = torch.tensor([[1.0, 0.0]])
    assert average_precision(torch.tensor([[0.9, 0.1]]), near, sets, 0.5) == 0.5


def test_what_agrees_with_nothing_finds_nothing():
    confidence, distance = torch.rand(5, 6), torch.full((10, 6), torch.inf)
    assert average_precision(confidence, distance, SETS, torch.inf) == 0


def test_no_objects_have_no_score():
    sets = SetIndex.build(ptr=torch.tensor([0, 0]))
    score = average_precision(torch.rand(1, 3), torch.rand(0, 3), sets, 1.0)
    assert score != score


def test_wrong_shapes_are_named():
    for shape in [(4, 6), (5,)]:
        with pytest.raises(ValueError, match=r"'confidence' must be \[5, K\], got \["):
            average_precision(torch.rand(shape), torch.rand(10, 6), SETS, 1.0)
    with pytest.raises(ValueError, match=r"'distance' must be \[10, 6\], got \[9, 6\]"):
        average_precision(torch.rand(5, 6), torch.rand(9, 6), SETS, 1.0)
