"""The residual potential of PyG's EquilibriumAggregation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import LayerNorm, Linear, ModuleList, Parameter, Sequential, Tanh
from torch.nn.functional import linear, softplus
from torch_geometric.nn.inits import reset

from ..ragged import SetIndex, segment_sum
from ..ragged.precision import accumulator
from ..solvers import Objective
from .chain import Affine, Chain, Layer, LinearHead
from .chain_objective import ChainObjective, arrange
from .energy import Energy


class Composed(NamedTuple):
    """Affine maps of the input, composed past all activations.

    Attributes:
        inner: The weight of the activations before.
        outer: The weight of the input.
        bias: The bias.
    """

    inner: Tensor
    outer: Tensor
    bias: Tensor


class ResNetPotential(torch.nn.Module):
    r"""A residual network of :math:`z = [x; y]` with one output, of either sign.

    .. math::
        h_0 = z, \qquad
        h_{l+1} = \tanh(\mathrm{LN}_l(A_l h_l + a_l)) + R_l z + r_l, \qquad
        F = w \cdot h_L + w_0 + R_L z + r_L

    Parameters have the names and shapes that they have in PyG. Biases that are a
    constant of the output cannot influence a minimum: they are buffers.

    Args:
        in_channels: The width of :math:`z`.
        num_layers: The widths of the :math:`L` hidden layers.
    """

    def __init__(self, in_channels: int, num_layers: Sequence[int]):
        super().__init__()
        widths = [in_channels, *num_layers]
        self.layers = ModuleList(
            Sequential(Linear(before, after), LayerNorm(after), Tanh())
            for before, after in pairwise(widths)
        )
        self.layers.append(Linear(widths[-1], 1))
        self.res_trans = ModuleList(
            Linear(in_channels, width) for width in [*num_layers, 1]
        )
        for constant in (self.layers[-1], *self.res_trans[-2:]):
            _make_bias_buffer(constant)

    @property
    def linears(self) -> list[Linear]:
        r"""The maps :math:`A_0, \dots, A_{L-1}` and :math:`w`."""
        hidden: list[Any] = list(self.layers[:-1])
        return [*[layer[0] for layer in hidden], cast(Linear, self.layers[-1])]

    @property
    def norms(self) -> list[LayerNorm]:
        """The norms of the hidden layers."""
        hidden: list[Any] = list(self.layers[:-1])
        return [layer[1] for layer in hidden]

    @property
    def skips(self) -> list[Linear]:
        r"""The maps :math:`R_0, \dots, R_L`."""
        return cast(list[Linear], list(self.res_trans))

    def composed(self) -> list[Composed]:
        r"""How :math:`z` reaches each norm, and at last the output."""
        first, *others = self.linears
        result = [Composed(first.weight[:, :0], first.weight, first.bias)]
        result += [
            Composed(main.weight, main.weight @ skip.weight, main(skip.bias))
            for main, skip in zip(others, self.skips, strict=False)
        ]
        inner, outer, bias = result.pop()
        last = self.skips[-1]
        return [*result, Composed(inner, outer + last.weight, bias + last.bias)]


class ResNetEnergy(Energy):
    r"""The energy of PyG's :class:`~torch_geometric.nn.aggr.EquilibriumAggregation`.

    .. math::
        E_b(y) = \frac{1}{n_b} \sum_{i \in b} F([x_i; y])
        + \mathrm{softplus}(\lambda) |y|^2

    with the potential :math:`F` of :class:`ResNetPotential`; it has a gradient of its
    own, of two products per element and step for two layers where PyG takes eight, and
    keeps nothing but :math:`y` for the backward pass of a step.

    Args:
        in_channels: The width of the elements.
        out_channels: The width of :math:`y`.
        num_layers: The widths of the hidden layers.
        lamb: The first :math:`\lambda`.
        batch_scaled_regulariser: Divide the regulariser by the number of sets, as PyG
            does. Results then depend on the batch that a set is in.

    Cost:
        :math:`O(N H^2)` time a step for :math:`L` layers of width :math:`H`, in
        :math:`2 (L - 1)` products; :math:`O(N L H)` memory, whatever the number of
        steps.

    Example:
        >>> import torch
        >>> from pyg_setops.ragged import SetIndex
        >>> energy = ResNetEnergy(3, 2, num_layers=[16, 16])
        >>> sets = SetIndex.build(torch.tensor([0, 0, 1, 1, 1]))
        >>> objective = energy.bind(torch.randn(5, 3), sets)
        >>> objective.grad(objective.start()).shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_layers: Sequence[int] = (128, 128),
        lamb: float = 0.1,
        batch_scaled_regulariser: bool = False,
    ):
        super().__init__(in_channels, out_channels)
        self.initial_lamb = lamb
        self.batch_scaled_regulariser = batch_scaled_regulariser
        self.potential = ResNetPotential(in_channels + out_channels, num_layers)
        self.lamb = Parameter(torch.full((1,), lamb))

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        reset(self.potential)
        with torch.no_grad():
            self.lamb.fill_(self.initial_lamb)

    def bind(self, x: Tensor, sets: SetIndex) -> Objective:
        """Fixes the elements ``[N, in_channels]``, leaving a function of ``y``."""
        x, sets = arrange(x, sets)
        *composed, output = [self._parts(x, each) for each in self.potential.composed()]
        layers = tuple(
            Layer(Affine(*parts), norm.weight, norm.bias)
            for parts, norm in zip(composed, self.potential.norms, strict=True)
        )
        constant, inner, slope = output
        sizes = sets.sizes[:, None].to(accumulator(x.dtype))
        scale = torch.where(sizes > 0, 1 / sizes, 0)
        weight = softplus(self.lamb.to(scale.dtype)).expand_as(scale)
        return ChainObjective(
            Chain(layers, LinearHead(inner.squeeze(0))),
            sets,
            scale=scale,
            weight=weight / len(weight) if self.batch_scaled_regulariser else weight,
            slope=torch.where(sizes > 0, slope.to(scale.dtype), 0),
            offset=scale.squeeze(1) * segment_sum(constant.squeeze(1).to(scale), sets),
        )

    def _parts(self, x: Tensor, composed: Composed) -> tuple[Tensor, Tensor, Tensor]:
        """The parts of an :class:`Affine` on the elements."""
        widths = [self.in_channels, self.out_channels]
        from_x, from_y = composed.outer.split(widths, dim=1)
        return linear(x, from_x, composed.bias), composed.inner, from_y

    def extra_repr(self) -> str:
        """The arguments that no submodule shows."""
        return f"batch_scaled_regulariser={self.batch_scaled_regulariser}"


def _make_bias_buffer(module: Linear) -> None:
    bias = module.bias.detach()
    del module.bias
    module.register_buffer("bias", bias)
