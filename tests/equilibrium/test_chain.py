"""Values, gradients and their derivatives of all residual energies."""

from itertools import pairwise

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from pyg_setops.equilibrium import ResNetEnergy, chain_function
from pyg_setops.equilibrium.activation import PlainActivation
from pyg_setops.equilibrium.chain import chain_gradient
from pyg_setops.ragged import SetIndex
from pyg_setops.solvers import Momentum, Unrolled
from tests.equilibrium.chains import BATCHES, IN, OUT, SHAPES, batch, make, oracle_of

each_shape = pytest.mark.parametrize("shape", SHAPES)
each_batch = pytest.mark.parametrize("sizes", BATCHES.values(), ids=BATCHES)
# One that keeps every kind of map, for checks that take long.
FULL = ["resnet, unequal layers", "squared, both kinds of skip"]


@pytest.fixture(autouse=True)
def blocks_of_four(monkeypatch):
    monkeypatch.setattr(chain_function, "BLOCK_BYTES", 4 * 6 * 8)


@pytest.fixture(params=["blocks", "plain"])
def path(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(
            "pyg_setops.equilibrium.chain_objective.is_fusible", lambda y: False
        )
    return request.param


def close(actual, expected, tolerance=1e-12):
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def gradients(out, inputs, **kwargs):
    v = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    kwargs = {"allow_unused": True, "materialize_grads": True, **kwargs}
    return torch.autograd.grad(out, inputs, v, **kwargs)


@each_shape
@each_batch
def test_value_and_gradient_are_those_of_the_oracle(shape, sizes, path):
    energy = make(shape)
    x, y, index, sets = batch(sizes)
    objective = energy.bind(x, sets)
    assert (objective.parts is None) == (path == "plain")
    if sizes:
        value = oracle_of(energy, shape)(x, y, index)
        close(objective.value(y), value)
        close(objective.grad(y), torch.autograd.grad(value.sum(), y)[0])
    assert objective.grad(y).shape == (len(sizes), OUT)


@each_shape
@each_batch
def test_gradient_is_differentiated_as_autograd_would(shape, sizes, path):
    energy = make(shape)
    x, y, index, sets = batch(sizes)
    inputs = [x, y, *energy.parameters()]
    actual = gradients(energy.bind(x, sets).grad(y), inputs)
    if sizes:
        value = oracle_of(energy, shape)(x, y, index)
        (grad,) = torch.autograd.grad(value.sum(), y, create_graph=True)
        for here, there in zip(actual, gradients(grad, inputs), strict=True):
            close(here, there)
    else:
        assert all(bool((gradient == 0).all()) for gradient in actual)


@pytest.mark.parametrize("shape", FULL)
def test_first_and_second_derivatives(shape, path):
    energy = make(shape)
    x, y, _, sets = batch([3, 0, 2])
    names = [name for name, _ in energy.named_parameters()]

    def run(x, y, *values):
        state = {f"energy.{n}": v for n, v in zip(names, values, strict=True)}
        return torch.func.functional_call(Bound(energy, sets), state, (x, y))

    inputs = [x, y, *energy.parameters()]
    assert gradcheck(run, inputs, fast_mode=True)
    assert gradgradcheck(run, inputs, fast_mode=True)


class Bound(torch.nn.Module):
    def __init__(self, energy, sets):
        super().__init__()
        self.energy = energy
        self.sets = sets

    def forward(self, x, y):
        return self.energy.bind(x, self.sets).grad(y)


@pytest.mark.parametrize("shape", FULL)
def test_sets_do_not_see_each_other(shape):
    energy = make(shape)
    sizes = [3, 0, 6, 2]
    x, y, _, sets = batch(sizes, shuffled=False)
    out = energy.bind(x, sets).grad(y)
    (grad_x,) = gradients(out, [x])
    ends = [0, *torch.tensor(sizes).cumsum(0).tolist()]
    v = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    for number, (start, end) in enumerate(pairwise(ends)):
        alone = SetIndex.build(num_elements=end - start, device=x.device)
        own = x[start:end].detach().requires_grad_()
        row = energy.bind(own, alone).grad(y[number : number + 1])
        close(row[0], out[number])
        (grad,) = torch.autograd.grad(row[0], own, v[number])
        close(grad, grad_x[start:end])


@pytest.mark.parametrize("shape", FULL)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_values_that_are_no_numbers_stay_in_their_set(shape, value, path):
    energy = make(shape)
    x, y, index, sets = batch([3, 4, 5])
    out = energy.bind(x, sets).grad(y)
    (grad_x,) = gradients(out, [x])
    spoiled = x.detach().masked_fill((index == 1)[:, None], value).requires_grad_()
    beside = energy.bind(spoiled, sets).grad(y)
    (grad_beside,) = gradients(beside, [spoiled])
    assert beside[1].isnan().all()
    close(beside[[0, 2]], out[[0, 2]])
    close(grad_beside[index != 1], grad_x[index != 1])


@pytest.mark.parametrize("shape", FULL)
def test_empty_set_has_no_gradient_at_its_start(shape):
    energy = make(shape)
    x, _, _, sets = batch([2, 0, 1])
    objective = energy.bind(x, sets)
    assert objective.occupied.tolist() == [True, False, True]
    assert (objective.grad(objective.start())[1] == 0).all()


@pytest.mark.parametrize("shape", FULL)
def test_half_precision_is_solved_in_float32(shape):
    energy = make(shape)
    x, y, _, sets = batch([4, 3])
    expected = energy.bind(x, sets).grad(y)
    half = energy.bfloat16().bind(x.bfloat16(), sets)
    assert half.start().dtype == torch.float32
    error = (half.grad(y.float()) - expected).abs().max() / expected.abs().max()
    assert error < 0.05


@pytest.mark.parametrize("shape", FULL)
def test_functional_transforms_and_autocast_take_the_plain_path(shape, monkeypatch):
    energy = make(shape)
    x, y, _, sets = batch([4, 3])
    objective = energy.bind(x, sets)
    expected = gradients(objective.grad(y), [y])[0]

    def fail(*_):
        raise AssertionError("the blocks were taken")

    monkeypatch.setattr("pyg_setops.equilibrium.chain_objective.fused_gradient", fail)
    with pytest.raises(AssertionError, match="blocks"):
        objective.grad(y)
    _, pull = torch.func.vjp(objective.grad, y)
    v = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    close(pull(v)[0], expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert objective.grad(y).isfinite().all()


def test_fast_tanh_is_near_enough_in_float32():
    energy = make("squared, both kinds of skip").float()
    x, y, _, sets = batch([40, 7])
    x, y = x.detach().float(), y.detach().float()
    results = []
    for fused in (True, False):
        objective = energy.bind(x, sets)
        call = (objective.chain, y, objective.sets)
        out = (
            chain_function.fused_gradient(*call, objective.parts)
            if fused
            else chain_gradient(*call, PlainActivation.of)
        )
        results.append([out, *gradients(out, [*energy.parameters()])])
    for here, there in zip(*results, strict=True):
        scale = there.abs().max().clamp(min=1)
        close(here / scale, there / scale, 1e-5)


def saved_bytes(energy, x, sets, steps):
    skip = {parameter.data_ptr() for parameter in energy.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in skip:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = Unrolled()(Momentum(steps), energy.bind(x, sets)).y
    assert out.requires_grad
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("shape", FULL)
def test_steps_keep_nothing_per_element(shape):
    energy = make(shape)
    x, _, _, sets = batch([300, 200])
    few, many = (saved_bytes(energy, x, sets, steps) for steps in (2, 20))
    assert many - few < 18 * 500  # bytes: less than one per element and step


class Products(TorchDispatchMode):
    """Counts matrix products that take a row for each element."""

    def __init__(self, rows):
        super().__init__()
        self.rows, self.count = rows, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in ("mm", "addmm", "addmm_"):
            a, b = args[-2:]
            sizes = (*a.shape, b.shape[1])
            self.count += self.rows in sizes and min(sizes) > 0
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("num_layers", "forward", "backward"),
    [([6], 0, 0), ([6, 6], 2, 6), ([6] * 3, 4, 12)],
)
def test_products_per_element(num_layers, forward, backward, monkeypatch):
    monkeypatch.setattr(chain_function, "BLOCK_BYTES", 2**20)
    energy = ResNetEnergy(IN, OUT, num_layers)
    x, sets = torch.randn(50, IN), SetIndex.build(num_elements=50)
    objective = energy.bind(x, sets)
    y = torch.randn(1, OUT, requires_grad=True)
    with Products(50) as products:
        out = objective.grad(y)
    assert products.count == forward
    with Products(50) as products:
        torch.autograd.grad(out.sum(), y)
    assert products.count == backward
