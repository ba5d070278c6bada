"""What the fast path costs, counted: bytes saved for backward, and products."""

from itertools import pairwise

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.peers.dense_swarm import DenseSwarm
from pyg_setops.ragged import SetIndex
from pyg_setops.swarm import SwarmLayer, fused
from pyg_setops.testing import random_sets

HIDDEN = 6


def bytes_saved(layer, *inputs):
    parameters = {each.untyped_storage().data_ptr() for each in layer.parameters()}
    saved = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = layer(*inputs)
    assert out.requires_grad
    return sum(size for key, size in saved.items() if key not in parameters)


def saved_by(mode, num_iterations):
    layer = SwarmLayer(64, 128, 128, num_iterations, mode=mode)
    sets = random_sets(64, [50, 0, 200, 6])
    return bytes_saved(layer, sets.x.requires_grad_(), sets.index)


def test_recompute_saves_a_twentieth_of_dense():
    dense = bytes_saved(
        DenseSwarm(64, 128, 128, 10),
        torch.randn(1, 256, 64, requires_grad=True),
        torch.ones(1, 256, 1),
    )
    assert saved_by("recompute", 10) <= dense / 20
    assert saved_by("keep", 10) <= 1.05 * dense


def test_bytes_and_iterations():
    assert saved_by("recompute", 2) == saved_by("recompute", 12)
    kept = [saved_by("keep", num_iterations) for num_iterations in range(1, 5)]
    growth = [after - before for before, after in pairwise(kept)]
    assert growth[0] > 0
    assert growth[0] == growth[1] == growth[2]


def test_nothing_is_kept_without_gradients(monkeypatch):
    tapes = []
    original = fused.run_forward

    def run_forward(*args):
        out = original(*args)
        tapes.append(out[2])
        return out

    monkeypatch.setattr(fused, "run_forward", run_forward)
    sets = random_sets(3)
    with torch.no_grad():
        SwarmLayer(3, 3, HIDDEN, 4)(sets.x, sets.index)
    SwarmLayer(3, 3, HIDDEN, 4).requires_grad_(False)(sets.x, sets.index)
    assert tapes == [[], []]
    SwarmLayer(3, 3, HIDDEN, 4)(sets.x, sets.index)
    assert len(tapes[-1]) == 4 * 4 - 2


class CountProducts(TorchDispatchMode):
    """Counts the multiplications of matrix products, below autograd."""

    def __init__(self):
        super().__init__()
        self.multiplications = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__.rstrip("_")
        if name in ("mm", "addmm"):
            a, b = args[-2:]
            self.multiplications += a.size(0) * a.size(1) * b.size(1)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("mode", "passes"), [("plain", 3), ("keep", 3), ("recompute", 4)]
)
@pytest.mark.parametrize("pool", ["mean", "sum", "causal"])
def test_products_are_taken_on_sets(mode, passes, pool):
    sizes = [50, 3, 20]
    sets = random_sets(3, sizes)
    layer = SwarmLayer(3, 3, HIDDEN, 4, pool=pool, mode=mode)
    elements, channels, iterations = sum(sizes), 3, layer.num_iterations
    heard = elements if pool == "causal" else len(sizes)
    once = elements * channels * 4 * HIDDEN
    once += (iterations - 1) * (elements + heard) * 4 * HIDDEN**2
    with CountProducts() as products:
        h, c = layer.states(sets.x.requires_grad_(), SetIndex.build(ptr=sets.ptr))
    assert products.multiplications == once
    with products:
        (h + c).sum().backward()
    assert products.multiplications == passes * once
