"""What the layer promises: symmetries, sets apart, draws, gradients, errors."""

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

from pyg_setops import SlotAttention
from tests.slots.batches import CHANNELS, COUNTS, SIZES, WIDTH, batch, randomised

SLOTS = 3


def layer(**changes) -> SlotAttention:
    arguments = {"hidden_channels": 7, **changes}
    return randomised(SlotAttention(CHANNELS, WIDTH, SLOTS, **arguments)).eval()


def elements(sizes: list[int]) -> tuple[Tensor, Tensor]:
    x = torch.randn(sum(sizes), CHANNELS, dtype=torch.float64)
    return x, torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))


def test_slots_are_equivariant():
    slots = layer()
    x, index = elements(SIZES)
    start = torch.randn(len(SIZES), SLOTS, WIDTH, dtype=torch.float64)
    order = torch.tensor([2, 0, 1])
    out, shares = slots(x, index, slots_init=start, return_attention=True)
    again = slots(x, index, slots_init=start[:, order], return_attention=True)
    torch.testing.assert_close(again[0], out[:, order], rtol=0, atol=1e-13)
    torch.testing.assert_close(again[1], shares[:, order], rtol=0, atol=1e-13)


def test_numbers_of_slots_equal_calls_of_their_own():
    slots = layer()
    given = batch(COUNTS)
    out, ptr = slots(
        given.rows,
        given.index.sort().values,
        dim_size=len(SIZES),
        num_slots=torch.tensor(COUNTS),
        slots_init=given.start,
    )
    assert ptr.tolist() == [0, *torch.tensor(COUNTS).cumsum(0).tolist()]
    for number, (x, start) in enumerate(
        zip(given.rows.split(SIZES), given.start.split(COUNTS), strict=True)
    ):
        if COUNTS[number] > 0:
            alone = slots(x, num_slots=COUNTS[number], slots_init=start[None])
            mine = out[ptr[number] : ptr[number + 1]]
            torch.testing.assert_close(mine, alone[0], rtol=0, atol=1e-13)


def test_one_slot_reads_the_mean():
    slots = layer(eps=0.0, num_iterations=1)
    x, _ = elements([6])
    start = torch.randn(1, 1, WIDTH, dtype=torch.float64)
    out, shares = slots(x, num_slots=1, slots_init=start, return_attention=True)
    assert torch.equal(shares, torch.ones_like(shares))
    value = slots.lin_v(slots.norm_in(x)).mean(0, keepdim=True)
    state = slots.gru(value, start[0])
    hidden = slots.lin_hidden(slots.norm_mlp(state)).relu()
    torch.testing.assert_close(out[0], state + slots.lin_out(hidden))


def test_an_empty_set_depends_on_its_first_slots_alone():
    slots = layer()
    x, index = elements([4, 0])
    start = torch.randn(2, SLOTS, WIDTH, dtype=torch.float64)
    out = slots(x.requires_grad_(), index, dim_size=2, slots_init=start)
    (gradient,) = torch.autograd.grad(out[1].sum(), x, retain_graph=True)
    assert not gradient.any()
    assert out[1].isfinite().all()
    alone = slots(x[:0], dim_size=1, index=index[:0], slots_init=start[1:])
    torch.testing.assert_close(out[1:], alone, rtol=0, atol=1e-14)


@pytest.mark.parametrize("counts", [None, torch.tensor([2, 0, 3])])
def test_nothing_at_all(counts):
    slots = layer()
    x, index = elements([0, 0, 0])
    out = slots(x, index, dim_size=3, num_slots=counts, return_attention=True)
    assert out[0].isfinite().all()
    assert out[0].shape[:-1] == ((3, SLOTS) if counts is None else (5,))
    none = slots(x, index, dim_size=0)
    assert none.shape == (0, SLOTS, WIDTH)


@pytest.mark.parametrize("attn", ["sinkhorn", "mesh"])
def test_elements_of_hardly_any_mass_are_shared_too(attn):
    slots = layer(attn=attn)
    slots.element_mass[2].weight.data.mul_(1e4)
    x, _ = elements([9])
    _, shares = slots(x, return_attention=True)
    torch.testing.assert_close(shares.sum(1), torch.ones(9, dtype=torch.float64))


class TestDraws:
    def test_evaluation_repeats_itself_and_knows_no_company(self):
        slots = layer()
        x, index = elements([5, 3, 5])
        out = slots(x, index)
        assert torch.equal(slots(x, index), out)
        torch.testing.assert_close(slots(x[5:8]), out[1:2], rtol=0, atol=1e-14)

    def test_more_slots_than_were_built_for(self):
        slots = layer()
        x, _ = elements([5])
        out = slots.init.noise
        many = slots(x, num_slots=9)
        assert many.shape == (1, 9, WIDTH)
        assert slots.init.noise is out
        first = slots(x, num_slots=torch.tensor([9]))[0]
        torch.testing.assert_close(first, many[0], rtol=0, atol=1e-14)

    def test_a_layer_made_of_empty_memory_has_the_same_noise(self):
        with torch.device("meta"):
            slots = SlotAttention(CHANNELS, WIDTH, SLOTS)
        slots.to_empty(device="cpu").init.noise.fill_(torch.nan)
        slots.reset_parameters()
        assert torch.equal(slots.init.noise, layer().init.noise.float())

    def test_training_draws_anew_for_every_set(self):
        slots = layer().train()
        x, _ = elements([5])
        twice = slots(torch.cat([x, x]), torch.arange(2).repeat_interleave(5))
        assert not torch.allclose(twice[0], twice[1])
        assert not torch.allclose(slots(x), slots(x))

    @pytest.mark.parametrize("training", [False, True])
    @pytest.mark.parametrize("attn", ["softmax", "mesh"])
    def test_a_generator_repeats_a_draw(self, training, attn):
        slots = layer(attn=attn).train(training)
        x, _ = elements([5])
        draw = [
            slots(x, generator=torch.Generator().manual_seed(seed))
            for seed in (1, 1, 2)
        ]
        assert torch.equal(draw[0], draw[1])
        assert not torch.allclose(draw[0], draw[2])

    def test_given_slots_win(self):
        slots = layer().train()
        x, _ = elements([5])
        start = torch.randn(1, SLOTS, WIDTH, dtype=torch.float64)
        one = slots(x, slots_init=start, generator=torch.Generator().manual_seed(0))
        assert torch.equal(one, slots(x, slots_init=start))

    def test_learned_queries_take_noise_in_training_only(self):
        slots = layer(init="learned").train()
        x, _ = elements([5])
        expected = slots(x)
        assert torch.equal(slots(x), expected)
        slots.init.sigma = 0.5
        assert not torch.allclose(slots(x), expected)
        assert torch.equal(slots.eval()(x), expected)


class TestGradients:
    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"bias": True},
            {"heads": 2},
            {"heads": 4, "bias": True, "num_iterations": 9},
            {"heads": 2, "head_mode": "joint", "bias": True},
            {"init": "learned"},
            {"init": "learned", "grad": "bilevel"},
            {"grad": "implicit"},
            {"attn": "sinkhorn", "bias": True},
            {"attn": "mesh"},
        ],
        ids=str,
    )
    def test_every_parameter_gets_one(self, changes):
        slots = layer(**changes).train()
        x, index = elements([5, 3, 7])
        out = slots(x, index)
        out.backward(torch.randn_like(out))
        for name, parameter in slots.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None, name
                assert parameter.grad.abs().max() > 1e-12, name

    def test_implicit_is_that_of_the_last_step(self):
        slots, last = layer(grad="implicit"), layer(num_iterations=1)
        last.load_state_dict(slots.state_dict())
        before = layer(num_iterations=2)
        before.load_state_dict(slots.state_dict())
        x, index = elements(SIZES)
        x.requires_grad_()
        start = slots.init(_Layout(len(SIZES)), None).unflatten(0, (len(SIZES), SLOTS))
        with torch.no_grad():
            middle = before(x, index, dim_size=len(SIZES), slots_init=start)
        expected = last(x, index, dim_size=len(SIZES), slots_init=middle)
        out = slots(x, index, dim_size=len(SIZES))
        torch.testing.assert_close(out, expected, rtol=0, atol=1e-13)
        weight = torch.randn_like(out)
        torch.testing.assert_close(
            torch.autograd.grad(out, x, weight),
            torch.autograd.grad(expected, x, weight),
        )
        assert not any(p.requires_grad for p in slots.init.parameters())

    def test_bilevel_passes_straight_to_the_queries(self):
        slots = layer(init="learned", grad="bilevel")
        x, index = elements([5, 3])
        start = slots.init.queries.detach().expand(2, -1, -1).clone().requires_grad_()
        out = slots(x, index, slots_init=start)
        torch.testing.assert_close(out, slots(x, index), rtol=0, atol=1e-14)
        weight = torch.randn_like(out)
        (by_slot,) = torch.autograd.grad(out, start, weight)
        (by_query,) = torch.autograd.grad(slots(x, index), slots.init.queries, weight)
        torch.testing.assert_close(by_query, by_slot.sum(0))
        # And is the gradient in the slots that the last iteration began with.
        last = layer(init="learned", grad="bilevel", num_iterations=1)
        last.load_state_dict(slots.state_dict())
        before = layer(init="learned", grad="bilevel", num_iterations=2)
        before.load_state_dict(slots.state_dict())
        middle = before(x, index).detach().requires_grad_()
        (expected,) = torch.autograd.grad(
            last(x, index, slots_init=middle), middle, weight
        )
        torch.testing.assert_close(by_slot, expected)


class _Layout:
    """As much of a layout as `GaussianSlots` reads."""

    def __init__(self, num_sets: int):
        self.num_slots = SLOTS
        self.total_slots = num_sets * SLOTS
        self.sets = type("Sets", (), {"num_sets": num_sets})


class TestHalf:
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    @pytest.mark.parametrize("eps", [1e-8, 0.0])
    def test_large_logits_stay_finite(self, dtype, eps):
        slots = layer(eps=eps)
        slots.lin_k.weight.data.mul_(100)
        slots = slots.to(dtype)
        x = elements([40, 3])[0].to(dtype).requires_grad_()
        out = slots(x, ptr=torch.tensor([0, 40, 43]))
        assert out.dtype == dtype
        assert out.isfinite().all()
        assert torch.autograd.grad(out.sum(), x)[0].isfinite().all()


class TestErrors:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"num_iterations": 0}, "'num_iterations' must be at least 1, got 0"),
            ({"heads": 3}, "'slot_channels' must be divisible by 'heads', got 8 and 3"),
            ({"attn": "hard"}, "'attn' must be one of"),
            ({"head_mode": "both"}, "'head_mode' must be one of"),
            ({"select": "all"}, "'select' must be one of"),
            ({"grad": "bilevel"}, "grad='bilevel' cannot train"),
            ({"grad": "implicit", "init": "learned"}, "grad='implicit' cannot train"),
            ({"attn": "mesh", "heads": 2}, "attn='mesh' has one head"),
        ],
    )
    def test_arguments(self, changes, message):
        with pytest.raises(ValueError, match=message):
            layer(**changes)

    def test_calls(self):
        slots = layer(init="learned")
        x, index = elements([5, 3])
        with pytest.raises(ValueError, match="'num_slots' must be at most 3"):
            slots(x, index, num_slots=4)
        with pytest.raises(ValueError, match="'num_slots' must be at most 3"):
            slots(x, index, num_slots=torch.tensor([1, 4]))
        with pytest.raises(ValueError, match="'num_slots' must be at least 1"):
            slots(x, index, num_slots=0)
        with pytest.raises(ValueError, match="one integer for each of 2 sets"):
            slots(x, index, num_slots=torch.tensor([1, 1, 1]))
        with pytest.raises(ValueError, match="'num_slots' must not be negative"):
            slots(x, index, num_slots=torch.tensor([1, -1]))
        with pytest.raises(ValueError, match=r"must have shape \[2, 3, 8\]"):
            slots(x, index, slots_init=torch.zeros(2, 2, WIDTH))
        with pytest.raises(ValueError, match=r"'x' must be \[N, in_channels\]"):
            slots(x[None], index)
        with pytest.raises(ValueError, match=r"'return_attention' must.*got 'last'"):
            slots(x, index, return_attention="last")

    def test_a_refused_number_of_slots_leaves_the_width_open(self):
        lazy = SlotAttention(-1, WIDTH, SLOTS)
        x, index = elements([5, 3])
        for wrong in (0, torch.tensor([1, -1]), torch.tensor([1])):
            with pytest.raises(ValueError, match="'num_slots'"):
                lazy(x, index, num_slots=wrong)
        assert lazy.in_channels == -1


@pytest.mark.parametrize("counts", [None, COUNTS], ids=["equal", "ragged"])
@pytest.mark.parametrize(
    "changes", [{}, {"heads": 4, "num_iterations": 9}, {"attn": "mesh"}], ids=str
)
def test_transforms_take_the_plain_path_to_the_same(counts, changes):
    """``torch.func`` sees plain operations, as devices and the compiler do."""
    slots = layer(**changes)
    x, index = elements(SIZES)
    order = torch.randperm(len(x))
    x, index = x[order].requires_grad_(), index[order]
    given = {"dim_size": len(SIZES)}
    if counts is not None:
        given["num_slots"] = torch.tensor(counts)

    def run(x: Tensor) -> Tensor:
        out, *_, shares = slots(x, index, return_attention=True, **given)
        shares = shares if counts is None else shares.values
        return out.square().sum() + shares.square().sum()

    (expected,) = torch.autograd.grad(run(x), x)
    found = torch.func.grad(run)(x.detach())
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("randomness", ["same", "different"])
@pytest.mark.parametrize(
    "changes", [{}, {"attn": "mesh"}, {"init": "learned", "select": "gumbel"}], ids=str
)
def test_draws_for_each_of_a_vmap(changes, randomness):
    slots = layer(**changes).train()
    x, index = elements([5, 3])

    def run(x: Tensor) -> Tensor:
        out = slots(x, index, dim_size=2)
        return out[1] if isinstance(out, tuple) else out

    torch.manual_seed(0)
    first, *others = torch.func.vmap(run, randomness=randomness)(x.repeat(9, 1, 1))
    same = all(torch.allclose(first, other) for other in others)
    assert same == (randomness == "same")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"init": "learned"},
        pytest.param({"attn": "mesh"}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_training_compiles_for_any_number_of_sets_and_elements(changes):
    slots = layer(**changes).train()
    slots.init.sigma = 0.5  # of learned ones
    torch.compiler.reset()
    counter = CompileCounterWithBackend("eager")
    compiled = torch.compile(slots, backend=counter, fullgraph=True)
    frames = []
    for sizes in ([5, 3], [2, 4, 3], [6, 2, 2, 2]):
        x, index = elements(sizes)
        out = compiled(x, index, dim_size=len(sizes))
        assert out.shape == (len(sizes), SLOTS, WIDTH)
        frames.append(counter.frame_count)
    assert frames[-1] == frames[1]
    torch.compiler.reset()


def test_numbers_of_slots_leave_the_compiled_graph():
    slots = layer().requires_grad_(False)
    torch.compiler.reset()
    counter = CompileCounterWithBackend("eager")
    compiled = torch.compile(
        lambda x, *given, **numbers: slots(x.sin(), *given, **numbers)[0].cos(),
        backend=counter,
    )
    frames = []
    for sizes, counts in (
        ([5, 3], [1, 3]),
        ([2, 0, 3], [0, 2, 2]),
        ([6, 1, 3, 2], [3, 1, 1, 5]),
        ([1, 5, 3, 2, 2], [2, 1, 1, 5, 2]),
    ):
        x, index = elements(sizes)
        given = {"dim_size": len(sizes), "num_slots": torch.tensor(counts)}
        expected = slots(x.sin(), index, **given)[0].cos()
        torch.testing.assert_close(compiled(x, index, **given), expected)
        frames.append(counter.frame_count)
    assert frames[-1] == frames[2]
    torch.compiler.reset()
