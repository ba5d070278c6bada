"""Sums along edges against dense matrices, at any order, in blocks."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from pyg_setops.ragged import edge_dot, edge_sum, edges

NODES, EDGES = 6, 17


@pytest.fixture(params=[1, 2**18], ids=["blocks", "whole"])
def given(request, monkeypatch):
    """Edges in any order, some of them twice; weights; nodes."""
    monkeypatch.setattr(edges, "BLOCK_CPU", request.param)
    weight, x = torch.randn(EDGES).double(), torch.randn(NODES, 3).double()
    edge_index = torch.randint(NODES, (2, EDGES))
    return x.requires_grad_(), weight.requires_grad_(), edge_index


def test_sum_is_a_product_with_the_adjacency(given):
    x, weight, edge_index = given
    adjacency = torch.zeros(NODES, NODES, dtype=torch.float64)
    adjacency = adjacency.index_put(tuple(edge_index), weight, accumulate=True)
    torch.testing.assert_close(edge_sum(x, weight, edge_index), adjacency @ x)


def test_dot_is_an_entry_of_the_gram_matrix(given):
    x, _, edge_index = given
    y = torch.randn_like(x)
    expected = (x @ y.T)[tuple(edge_index)]
    torch.testing.assert_close(edge_dot(x, y, edge_index), expected)


def test_derivatives(given):
    x, weight, edge_index = given
    y = torch.randn_like(x).requires_grad_()
    for run, inputs in ((edge_sum, (x, weight)), (edge_dot, (x, y))):
        check = lambda *values, run=run: run(*values, edge_index)  # noqa: E731
        assert gradcheck(check, inputs)
        assert gradgradcheck(check, inputs)


def test_nothing_is_kept_but_the_arguments(given):
    x, weight, edge_index = given
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda t: t):
        edge_sum(x, weight, edge_index)
    known = {t.untyped_storage().data_ptr() for t in given}
    assert {t.untyped_storage().data_ptr() for t in kept} <= known


def test_transforms_see_plain_operations(given):
    x, weight, edge_index = given
    run = lambda x: edge_sum(x, weight, edge_index).square().sum()  # noqa: E731
    (expected,) = torch.autograd.grad(run(x), x)
    torch.testing.assert_close(torch.func.grad(run)(x), expected)


def test_no_edges():
    x, none = torch.randn(3, 2), torch.zeros(2, 0, dtype=torch.long)
    assert not edge_sum(x, torch.zeros(0), none).any()
    assert edge_dot(x, x, none).shape == (0,)


def test_half_is_added_up_in_single():
    edge_index = torch.stack([torch.zeros(1000), torch.arange(1000)]).long()
    x = torch.ones(1000, 1, dtype=torch.bfloat16)
    assert edge_sum(x, x[:, 0], edge_index)[0] == 1000
