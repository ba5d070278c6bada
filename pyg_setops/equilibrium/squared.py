"""The residual energy in the form of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import LayerNorm, Linear, Module, ModuleList, Parameter
from torch.nn.functional import linear, pad, softplus
from torch_geometric.nn.inits import reset

from ..ragged import SetIndex
from ..ragged.precision import accumulator
from ..solvers import Objective
from .chain import Affine, Chain, Identity, Layer, SquareHead
from .chain_objective import ChainObjective, arrange
from .energy import Energy


class SquaredResidualEnergy(Energy):
    r"""An energy that is never negative: the squared outputs of a residual network.

    .. math::
        E_b(y) = s_b \Bigl[ \mathrm{softplus}(\lambda) |y|^2
        + \sum_{i \in b} \tfrac1C |f([x_i; y])|^2 \Bigr], \qquad
        s_b = \frac{\log_2(n_b + 1)}{n_b + 10^{-8}}

    from the `"Equilibrium Aggregation: Encoding Sets via Optimization"
    <https://arxiv.org/abs/2202.12795>`_ paper. A stage of :math:`f` is
    :math:`h \mapsto \mathrm{skip}(h) + \tanh(\mathrm{LN}(A h + a))`, where the skip is
    the identity or, where the width changes, a learned affine map; the last stage is
    affine. The factor :math:`s_b` leaves the minimum where it is, that of a sum over
    the set; with it, steps and stopping tests mean the same at all sizes.

    Args:
        in_channels: The width of the elements.
        out_channels: The width of :math:`y`.
        num_layers: The widths of the stages, the last of which is :math:`C`.
        lamb: The first :math:`\lambda`.

    Raises:
        ValueError: If there is no stage.

    Cost:
        As that of :class:`~pyg_setops.equilibrium.ResNetEnergy`.

    Example:
        >>> import torch
        >>> from pyg_setops.ragged import SetIndex
        >>> energy = SquaredResidualEnergy(3, 2, num_layers=[16, 16, 8])
        >>> sets = SetIndex.build(torch.tensor([0, 0, 1, 1, 1]))
        >>> objective = energy.bind(torch.randn(5, 3), sets)
        >>> objective.grad(objective.start()).shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_layers: Sequence[int] = (256, 256, 128, 32),
        lamb: float = 0.1,
    ):
        super().__init__(in_channels, out_channels)
        if len(num_layers) == 0:
            raise ValueError("'num_layers' must have at least one width, got none")
        pairs = list(pairwise([in_channels + out_channels, *num_layers]))
        self.lins = ModuleList(Linear(*pair) for pair in pairs)
        self.norms = ModuleList(LayerNorm(after) for _, after in pairs[:-1])
        self.skips = ModuleList(
            torch.nn.Identity() if before == after else Linear(before, after)
            for before, after in pairs[:-1]
        )
        self.initial_lamb = lamb
        self.lamb = Parameter(torch.full((1,), lamb))

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        for modules in (self.lins, self.norms, self.skips):
            reset(modules)
        with torch.no_grad():
            self.lamb.fill_(self.initial_lamb)

    def bind(self, x: Tensor, sets: SetIndex) -> Objective:
        """Fixes the elements ``[N, in_channels]``, leaving a function of ``y``."""
        x, sets = arrange(x, sets)
        layers = []
        for number, (lin, norm, skip) in enumerate(
            zip(self.lins[:-1], self.norms, self.skips, strict=True)
        ):
            main, beside = self._map(number, x, lin), self._skip(number, x, skip)
            gamma, beta = norm.parameters()
            layers.append(Layer(main, gamma, beta, beside))
        head = SquareHead(self._map(len(layers), x, self.lins[-1]))
        sizes = sets.sizes[:, None].to(accumulator(x.dtype))
        scale = (sizes + 1).log2() / (sizes + 1e-8)
        return ChainObjective(
            Chain(tuple(layers), head),
            sets,
            scale=scale,
            weight=softplus(self.lamb.to(scale.dtype)) * scale,
            slope=scale.new_zeros(len(scale), self.out_channels),
        )

    def _map(self, number: int, x: Tensor, lin: Module) -> Affine:
        """What stage ``number`` maps its input by: the first has :math:`[x; y]`."""
        weight, bias = lin.parameters()
        if number > 0:
            return Affine(bias, weight)
        from_x, from_y = weight.split([self.in_channels, self.out_channels], dim=1)
        return Affine(linear(x, from_x, bias), from_y[:, :0], from_y)

    def _skip(self, number: int, x: Tensor, skip: Module) -> Affine | Identity:
        if isinstance(skip, Linear):
            return self._map(number, x, skip)
        if number > 0:
            return Identity()
        y_rows = torch.eye(self.in_channels + self.out_channels).to(x)
        from_y = y_rows[:, self.in_channels :]
        return Affine(pad(x, (0, self.out_channels)), from_y[:, :0], from_y)
