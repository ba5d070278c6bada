from itertools import permutations
from math import log

import digit_sets
import pytest
import scenes
import slots_clustering
import slots_digits
import slots_sprites
import slots_tetrominoes
import torch
from digit_sets import finder
from sklearn.metrics import adjusted_rand_score
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
)
from torch_geometric.data import Batch

from pyg_setops.datasets import DigitScenes, GaussianMixtures, SpriteScenes
from pyg_setops.ragged import SetIndex, segment_sum

COUNTS = torch.tensor([3, 5, 4, 2])
BUDGET = scenes.Budget(num_slots=6, steps=10, batch_size=4)


def make_batch(num_sets=4):
    return Batch.from_data_list(list(SpriteScenes(num_sets=num_sets)))


def make_network(name="unrolled"):
    torch.manual_seed(0)
    return scenes.make_network(slots_sprites.VARIANTS[name], BUDGET).eval()


@pytest.mark.parametrize("name", slots_sprites.VARIANTS)
@pytest.mark.parametrize("num_slots", [6, COUNTS])
def test_a_point_is_painted_by_the_slots_of_its_scene(name, num_slots):
    batch, network = make_batch(), make_network(name)
    with torch.no_grad():
        decoded = network(batch, num_slots)
        alone = network(
            Batch.from_data_list(batch[1:2]),
            num_slots[1:2] if (isinstance(num_slots, torch.Tensor)) else num_slots,
        )
    sizes = decoded.points.sizes
    expected = torch.full((4,), 6) if isinstance(num_slots, int) else num_slots
    assert torch.equal(sizes, expected[batch.batch])
    totals = segment_sum(decoded.mask, decoded.points)
    torch.testing.assert_close(totals, torch.ones(batch.num_nodes))
    shares = segment_sum(decoded.share, decoded.scenes)
    torch.testing.assert_close(shares, torch.ones(4))
    torch.testing.assert_close(
        decoded.colour[batch.batch == 1], alone.colour, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", slots_sprites.VARIANTS)
def test_every_weight_of_a_variant_is_trained(name):
    batch, network = make_batch(), make_network(name).train()
    variant = slots_sprites.VARIANTS[name]
    network.steps += 9  # late enough for penalties
    values = scenes.training.loss(network, batch, variant, BUDGET)
    values["loss"].backward()
    still = {
        n
        for n, p in network.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.any())
    }
    assert not still


def test_what_slots_in_use_cost():
    batch, network = make_batch(1), make_network()
    with torch.no_grad():
        decoded = network(batch, 6)
    even = decoded._replace(share=torch.full((6,), 1 / 6))
    spread = scenes.penalty(even, scenes.Variant(spread=2.0))
    assert float(spread) == pytest.approx(2 * log(6))
    half = decoded._replace(kept=torch.tensor([1.0, 0, 1, 0, 1, 0]))
    assert float(scenes.penalty(half, scenes.Variant(kept=3.0))) == 1.5


def test_slots_that_hold_the_same_points_are_merged():
    # The last slot wins nothing; the first two share points in both scenes, and in the
    # second they share few with the third: on average an overlap of 0.19.
    shares = torch.tensor(
        [
            [0.5, 0.5, 0.0, 0.0],
            [0.4, 0.6, 0.0, 0.0],
            [0.0, 0.0, 1.0, 0.0],
            [0.6, 0.4, 0.0, 0.0],
            [0.4, 0.6, 0.0, 0.0],
            [0.0, 0.3, 0.7, 0.0],
        ]
    )
    sets = SetIndex.build(ptr=torch.tensor([0, 3, 6, 6]))

    def groups(until):
        names = scenes.merge_slots(shares, sets, until)
        assert (names[:2, 3] == -1).all()
        assert (names[2] == -1).all()
        return [len(names[s, :3].unique()) for s in (0, 1)]

    assert groups(0.99) == [3, 3]
    assert groups(0.9) == [2, 3]
    assert groups(0.3) == [2, 2]
    assert groups(0.15) == [2, 1]
    assert groups(torch.tensor([3, 2, 1])) == [3, 2]
    assert groups(torch.tensor([1, 1, 1])) == [1, 1]


def test_clusters_are_scored_and_counted():
    batch, network = make_batch(), make_network()
    with torch.no_grad():
        decoded = network(batch, 6)
    found = scenes.find_clusters(network, batch, 6, until=1.0)
    assert torch.equal(found.mask, decoded.mask.view(-1, 6).argmax(dim=1))
    assert torch.equal(found.attention, decoded.attention.view(-1, 6).argmax(dim=1))
    # Nothing overlaps by 1, and nothing is merged.
    for each in (found.attention, found.merged):
        expected = [
            adjusted_rand_score(batch.y[batch.batch == s], each[batch.batch == s])
            for s in range(4)
        ]
        ours = scenes.score(batch, each)
        torch.testing.assert_close(ours, torch.tensor(expected, dtype=torch.double))
    measured = scenes.measure(network, batch, 6, threshold=1.0)
    used = [len(found.mask[batch.batch == s].unique()) for s in range(4)]
    assert measured.used[0] == sum(used) / 4


def test_clusters_take_the_number_of_the_object_they_cover():
    truth = torch.tensor([0, 0, 0, 1, 1, 2])
    clusters = torch.tensor([9, 9, 4, 7, 7, 7])
    assert scenes.recolour(clusters, truth).tolist()[:2] == [0, 0]
    assert scenes.recolour(clusters, truth).tolist()[3:] == [1, 1, 1]
    assert len(scenes.recolour(clusters, truth).unique()) == 3


def test_a_training_epoch_is_the_same_whenever_it_is_asked_for():
    data = list(SpriteScenes(num_sets=20))
    variant = slots_tetrominoes.VARIANTS["unrolled"]
    task = scenes.training.make_task(variant, BUDGET, 1, data, make_batch())
    first, again, other = (
        torch.cat([batch.x for batch in task.train(number)]) for number in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert first.shape != other.shape or not torch.equal(first, other)


def make_digits(num_sets=5):
    return Batch.from_data_list(list(DigitScenes(split="test", num_sets=num_sets)))


def random_answers(num_sets):
    torch.manual_seed(0)
    return digit_sets.Answers(
        torch.randn(num_sets, 6),
        4 * torch.rand(num_sets, 6, 2),
        torch.randn(num_sets, 6, 10),
    )


def test_the_matching_loss_is_the_least_over_all_permutations():
    batch = Batch.from_data_list(
        [data for data in DigitScenes(num_sets=40) if int(data.count) < 4][:4]
    )
    answers = random_answers(4)
    losses = digit_sets.matching_loss(answers, batch)
    labels, centers = (
        each.split(batch.count.tolist()) for each in (batch.label, batch.center)
    )
    for number, (label, center) in enumerate(zip(labels, centers, strict=True)):
        options = []
        for chosen in permutations(range(6), len(label)):
            present = torch.zeros(6)
            present[list(chosen)] = 1
            total = binary_cross_entropy_with_logits(
                answers.present[number], present, reduction="sum"
            )
            for k, own, place in zip(chosen, label, center, strict=True):
                said = answers.center[number, k], answers.label[number, k]
                total = total + huber_loss(said[0], 4 * place, reduction="sum")
                total = total + cross_entropy(said[1], own)
            options.append(float(total))
        assert float(losses[number]) == pytest.approx(min(options), rel=1e-5)


def test_true_answers_are_right_at_every_distance():
    batch = make_digits()
    answers = digit_sets.Answers(
        torch.full((5, 6), -1.0), torch.zeros(5, 6, 2), torch.zeros(5, 6, 10)
    )
    rows = torch.cat([torch.arange(count) for count in batch.count.tolist()])
    sets = torch.arange(5).repeat_interleave(batch.count)
    answers.present[sets, rows] = 0.9
    answers.center[sets, rows] = 4 * batch.center
    answers.label[sets, rows, batch.label] = 1
    precision, right = digit_sets.evaluate(answers, batch)
    assert precision == [pytest.approx(1.0)] * 5
    assert right == 1
    # Nearly half a side of an image to the right.
    moved = answers._replace(center=answers.center + torch.tensor([0.45, 0.0]))
    precision, _ = digit_sets.evaluate(moved, batch)
    assert precision[1] > 0.9
    assert precision[3] < 0.2


@pytest.mark.parametrize("name", slots_digits.MODELS)
def test_digits_are_found_whatever_the_order_of_the_pixels(name):
    torch.manual_seed(0)
    network = digit_sets.make_finder(slots_digits.MODELS[name]).eval()
    (scene,) = slots_digits.make_scenes("test", 1)
    order = torch.randperm(scene.num_nodes)
    with torch.no_grad():
        expected, pixels = network(Batch.from_data_list([scene]))
        again, others = network(Batch.from_data_list([scene.subgraph(order)]))
    assert expected.center.shape == (1, 6, 2)
    for a, b in zip(expected, again, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    for a, b in zip(pixels, others, strict=True):
        torch.testing.assert_close(a[order], b, rtol=1e-4, atol=1e-5)


def test_a_convolution_over_pixels_is_one_over_the_image():
    """Each offset has its matrix; where there is no ink there is nothing to add."""
    torch.manual_seed(0)
    network = digit_sets.make_finder(slots_digits.Mean)
    (scene,) = slots_digits.make_scenes("test", 1)
    image = torch.zeros(1, 1, 32, 32)
    column, row = (scene.pos * 31).round().long().t()
    image[0, 0, row, column] = scene.x[:, 0]
    near = network.near
    weight = torch.zeros(32, 1, 7, 7)
    for (x, y), matrix in zip(finder.OFFSETS, near.weight.detach(), strict=True):
        weight[:, 0, 3 + y, 3 + x] = matrix[0]
    weight[:, 0, 3, 3] = near.root.detach()[0]
    expected = torch.nn.functional.conv2d(image, weight, near.bias, padding=3)
    with torch.no_grad():
        found = near(scene.x, scene.edge_index, scene.edge_type)
    torch.testing.assert_close(found, expected[0, :, row, column].t())


def test_what_pixels_say_is_of_their_own_digit():
    batch = make_digits()
    first = batch.count.cumsum(0) - batch.count
    own = first[batch.batch] + batch.y
    label = 50 * torch.nn.functional.one_hot(batch.label[own], 10).float()
    center = 4 * batch.center[own]
    said = digit_sets.PixelAnswers(center, label)
    assert digit_sets.pixel_loss(said, batch) < 1e-6
    moved = digit_sets.PixelAnswers(center + 2, label)
    assert float(digit_sets.pixel_loss(moved, batch)) == pytest.approx(3.0)
    wrong = said._replace(label=label.roll(1, dims=1))
    assert float(digit_sets.pixel_loss(wrong, batch)) == pytest.approx(50, rel=1e-3)


def test_slots_that_a_set_has_not_take_no_points():
    torch.manual_seed(0)
    test = GaussianMixtures("clustering", "test", 3)
    batch = Batch.from_data_list(list(test))
    counts = slots_clustering.components(batch)
    assert counts.tolist() == [len(data.weight) for data in test]
    network = slots_clustering.SlotClusters().eval()
    with torch.no_grad():
        shares = network(batch.pos, batch.ptr, counts).exp()
    there = torch.arange(10) < counts[batch.batch][:, None]
    assert (shares[~there] < 1e-5).all()
    totals = (shares * there).sum(dim=1)
    torch.testing.assert_close(totals, torch.ones(len(totals)), rtol=0, atol=1e-4)
