"""The norm of the elements and the gated step, against torch's own."""

import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import GRUCell
from torch.nn.functional import layer_norm

from pyg_setops.ragged import SetIndex
from pyg_setops.slots.gated import gated_step
from pyg_setops.slots.layout import lay_out
from pyg_setops.slots.normalise import normalise


def layout():
    return lay_out(SetIndex.build(torch.tensor([2, 0, 1, 0, 0])), 2)


def test_norm_is_torch_s_and_keeps_its_result_only():
    laid, x = layout(), torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.append(t) or t, lambda t: t
    ):
        out = normalise(x, laid, 1e-3)
    expected = layer_norm(x, (4,), eps=1e-3)[laid.order]
    torch.testing.assert_close(out, expected)
    assert not any(
        t.untyped_storage().data_ptr() == x.untyped_storage().data_ptr() for t in kept
    )
    weight = torch.randn_like(out)
    torch.testing.assert_close(
        torch.autograd.grad(out, x, weight), torch.autograd.grad(expected, x, weight)
    )


def test_derivatives_of_the_norm():
    laid, x = layout(), torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: normalise(x, laid, 1e-3), [x])
    assert gradgradcheck(lambda x: normalise(x, laid, 1e-3), [x])


def test_step_is_torch_s():
    cell = GRUCell(3, 4).double()
    read = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    state = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    weights = (cell.weight_ih, cell.bias_ih, cell.weight_hh, cell.bias_hh)
    out, expected = gated_step(read, state, *weights), cell(read, state)
    torch.testing.assert_close(out, expected)
    leaves, weight = [read, state, *weights], torch.randn_like(out)
    torch.testing.assert_close(
        torch.autograd.grad(out, leaves, weight),
        torch.autograd.grad(expected, leaves, weight),
    )
    assert gradgradcheck(gated_step, leaves, fast_mode=True)
