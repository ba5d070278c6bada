"""What fails in PyG's EquilibriumAggregation, and does not here.

Every test shows the fault in PyG's class first: where PyG repairs it, the test says so
by failing.
"""

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch_geometric.nn.aggr import EquilibriumAggregation as Published

from pyg_setops.aggr import EquilibriumAggregation
from pyg_setops.ragged import SetIndex
from pyg_setops.solvers import Momentum, Status
from pyg_setops.testing import measure_memory, random_sets

CHANNELS, LAYERS = 4, [16, 16]
SIZES = [3, 1, 5, 2]


def theirs(**kwargs):
    torch.manual_seed(0)
    return Published(CHANNELS, CHANNELS, LAYERS, **kwargs)


def ours(steps=5):
    torch.manual_seed(0)
    return EquilibriumAggregation(CHANNELS, CHANNELS, LAYERS, Momentum(steps))


def sets(sizes=SIZES):
    return random_sets(CHANNELS, sizes, dtype=torch.float32)


def largest_difference(a, b):
    return (a - b).abs().max().item()


def test_fault_1_output_depends_on_the_other_sets():
    batch = sets()
    first = batch.x[: SIZES[0]]
    index = torch.zeros(SIZES[0], dtype=torch.long)

    def drift(aggregation):
        whole = aggregation(batch.x, batch.index)
        padded = aggregation(batch.x, batch.index, dim_size=100)
        alone = aggregation(first, index)
        return (
            largest_difference(whole[0], alone[0]),
            largest_difference(whole, padded[: len(SIZES)]),
        )

    assert min(drift(theirs())) > 0.01
    assert max(drift(ours())) < 1e-5


def test_fault_2_no_grad_builds_a_graph():
    batch = sets()
    with torch.no_grad():
        assert theirs()(batch.x, batch.index).requires_grad
        assert not ours()(batch.x, batch.index).requires_grad


def test_fault_3_inference_mode_raises():
    batch = sets()
    with torch.inference_mode():
        with pytest.raises(RuntimeError):
            theirs()(batch.x, batch.index)
        out = ours()(batch.x, batch.index)
    torch.testing.assert_close(out, ours()(batch.x, batch.index))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_fault_4_half_precision_raises(dtype):
    batch = sets()
    x = batch.x.to(dtype)
    with pytest.raises(RuntimeError):
        theirs().to(dtype)(x, batch.index)
    out = ours().to(dtype)(x, batch.index)
    assert out.dtype == dtype
    expected = ours()(x.float(), batch.index)
    assert largest_difference(out.float(), expected) < 0.05 * expected.abs().max()


def test_fault_5_float64_begins_in_float32():
    batch = sets()
    assert theirs().double().init_output(3).dtype == torch.float32
    aggregation = ours().double()
    x = batch.x.double()
    assert aggregation(x, batch.index).dtype == torch.float64
    layout = SetIndex.build(batch.index)
    objective = aggregation.energy_function.bind(x, layout)
    assert objective.start().dtype == torch.float64


def test_fault_6_ptr_alone_raises():
    batch = sets()
    with pytest.raises(NotImplementedError):
        theirs()(batch.x, ptr=batch.ptr)
    aggregation = ours()
    torch.testing.assert_close(
        aggregation(batch.x, ptr=batch.ptr), aggregation(batch.x, batch.index)
    )


def test_fault_7_three_dimensions_raise():
    batch = sets()
    x = torch.stack([batch.x, 2 * batch.x])
    with pytest.raises(RuntimeError):
        theirs()(x, batch.index)
    aggregation = ours()
    out = aggregation(x, batch.index)
    for heads, plane in zip(out, x, strict=True):
        torch.testing.assert_close(heads, aggregation(plane, batch.index))


def test_fault_8_does_not_compile_to_one_graph():
    batch = sets()

    def compiled(aggregation):
        torch.compiler.reset()
        run = torch.compile(aggregation, fullgraph=True, backend="aot_eager")
        return run(batch.x, batch.index, dim_size=len(SIZES))

    with pytest.raises(torch._dynamo.exc.Unsupported):
        compiled(theirs())
    torch.testing.assert_close(compiled(ours()), ours()(batch.x, batch.index))
    torch.compiler.reset()


@pytest.fixture
def one_process(tmp_path):
    dist.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("one_process")
def test_fault_9_distributed_training_raises():
    batch = sets()

    def train(aggregation):
        model = DistributedDataParallel(aggregation)
        for _ in range(2):
            model(batch.x, batch.index, dim_size=len(SIZES)).sum().backward()

    with pytest.raises(RuntimeError, match="Expected to have finished reduction"):
        train(theirs())
    train(ours())


def test_fault_10_and_12_does_not_converge_nor_tells():
    batch = sets()
    weights = theirs()
    y = weights(batch.x, batch.index).detach().requires_grad_()
    energy = weights.energy(batch.x, y, batch.index)
    residual = torch.autograd.grad(energy.sum(), y)[0].norm(dim=1)
    assert residual.median() > 0.01
    assert not hasattr(weights, "solve")

    few, many = ours(), ours(500)
    result = few.solve(batch.x, batch.index)
    assert (result.status == Status.MAX_STEPS).all()
    assert (result.residual > 1e-3).all()
    result = many.solve(batch.x, batch.index)
    assert (result.status == Status.CONVERGED).all()
    assert (result.residual < 1e-5).all()
    grad = many.energy_grad(batch.x, result.y, batch.index)
    assert grad.norm(dim=1).max() < 1e-5


def test_fault_11_memory_grows_with_the_steps():
    batch = random_sets(CHANNELS, [200, 300], dtype=torch.float32)
    kept = "bytes saved for backward"

    def growth(make):
        few, many = (measure_memory(make(steps), batch)[kept] for steps in (2, 12))
        return (many - few) / (10 * len(batch.x))

    assert growth(lambda steps: theirs(grad_iter=steps)) > 500
    assert growth(ours) < 4  # bytes for each element and step


def test_what_works_in_pyg_works_here():
    batch = sets([3, 0, 2])
    for aggregation in (theirs(), ours()):
        out = aggregation(batch.x, batch.index, dim_size=3)
        assert (out[1] == 0).all()
        nothing = aggregation(batch.x[:0], torch.zeros(0, dtype=torch.long), dim_size=2)
        assert nothing.tolist() == [[0.0] * CHANNELS] * 2
        grad = torch.func.grad(lambda x, a=aggregation: a(x, batch.index).sum())
        assert grad(batch.x).isfinite().all()
