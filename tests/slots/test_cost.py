"""What is kept for the backward pass, counted."""

from pyg_setops import SlotAttention
from pyg_setops.testing import measure_memory, random_sets

WIDTH, SLOTS = 16, 3
SIZES = [200, 3, 70, 200, 1]


def kept(num_iterations=3, num_slots=SLOTS, sizes=SIZES, **changes) -> int:
    layer = SlotAttention(
        WIDTH, WIDTH, num_slots, num_iterations, hidden_channels=WIDTH, **changes
    )
    sets = random_sets(WIDTH, sizes)
    return measure_memory(layer, sets)["bytes saved for backward"]


def test_iterations_keep_rows_of_slots_only():
    rows = len(SIZES) * SLOTS * WIDTH * 4
    each = (kept(9) - kept(3)) / 6
    # The state, its norms, what it asks, reads and passes through the gates.
    assert each < 20 * rows
    # And not the least thing for each element: four times of them keep no more.
    large = [4 * size for size in SIZES]
    assert (kept(9, sizes=large) - kept(3, sizes=large)) / 6 == each


def test_elements_are_kept_once_whatever_the_slots():
    small, large = random_sets(WIDTH, SIZES), random_sets(WIDTH, [2 * s for s in SIZES])
    added = (len(large.x) - len(small.x)) * WIDTH * 4
    for num_slots in (2, 8):
        growth = kept(sizes=[2 * s for s in SIZES], num_slots=num_slots)
        growth -= kept(num_slots=num_slots)
        # The normalised elements, a scale for each, and the order there and back.
        assert growth <= added * (1 + 1 / WIDTH + 4 / WIDTH)


def test_implicit_keeps_the_same_for_any_number_of_iterations():
    assert kept(2, grad="implicit") == kept(12, grad="implicit")


def test_nothing_has_the_size_of_elements_times_slots():
    layer = SlotAttention(2, 4, 32, hidden_channels=8)
    sets = random_sets(2, [4000])
    largest = measure_memory(layer, sets)["largest tensor"]
    single = 4000 * 32 * 4  # one set is one group
    assert largest <= 2 * single
    sets = random_sets(2, [40] * 400)
    assert measure_memory(layer, sets)["largest tensor"] < 4 * single / 2
