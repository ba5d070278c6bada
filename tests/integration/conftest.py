"""Every aggregation of the registry inside what PyG builds on aggregations."""

import pytest
import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation

from pyg_setops.operators import Operator, operators

CHANNELS, NODES, EDGES = 4, 9, 24


@pytest.fixture(params=operators("sets to vectors"), ids=lambda o: o.name)
def operator(request) -> Operator:
    torch.manual_seed(0)
    return request.param


@pytest.fixture
def aggregation(operator: Operator) -> Aggregation:
    """A lazy instance that keeps the width, as users write it."""
    return operator.example(out_channels=None).double()


@pytest.fixture
def x() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(NODES, CHANNELS, dtype=torch.float64, generator=generator)
    return x.requires_grad_()


@pytest.fixture
def edge_index() -> Tensor:
    """Edges in no order; some nodes hear nobody."""
    generator = torch.Generator().manual_seed(2)
    source = torch.randint(NODES, (EDGES,), generator=generator)
    target = torch.randint(NODES - 2, (EDGES,), generator=generator)
    return torch.stack([source, target])


@pytest.fixture
def trains():
    """Checks that an output reaches the elements and every parameter."""

    def check(module: torch.nn.Module, out: Tensor, x: Tensor) -> None:
        assert out.isfinite().all()
        out.square().sum().backward()
        assert x.grad.isfinite().all()
        assert x.grad.abs().sum() > 0
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name

    return check
