"""A small SE(3)-Transformer: molecules and particles to scalars, vectors, tensors."""

from __future__ import annotations

from copy import copy
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import silu
from torch_geometric.data import Data

from ..conv.se3_transformer import SE3TransformerConv
from ..ragged import SetIndex, segment_mean, segment_sum
from ..se3 import IrrepsNorm
from ..se3.e3nn import import_nn, import_o3

Readout = Literal["mean", "sum", "none"]
_POOLS = {"mean": segment_mean, "sum": segment_sum}


class SE3TransformerBlock(torch.nn.Module):
    r"""Attention and e3nn's gate beside the identity: :math:`x + W g(A(n(x)))`.

    Args:
        irreps: The irreps of the nodes.
        cutoff: The cutoff of the attention.
        **kwargs: Of :class:`~pyg_setops.conv.SE3TransformerConv`.

    Shapes:
        - **input:** nodes :math:`(N, \mathrm{dim})`, positions :math:`(N, 3)`, edges
          :math:`(2, E)`
        - **output:** nodes :math:`(N, \mathrm{dim})`
    """

    def __init__(self, irreps: Any, cutoff: float, **kwargs: Any):
        super().__init__()
        o3 = import_o3(type(self).__name__)
        gate = _gate(o3.Irreps(irreps))
        self.norm = IrrepsNorm(irreps)
        self.conv = SE3TransformerConv(
            irreps, gate.irreps_in, cutoff, **{"irreps_hidden": irreps, **kwargs}
        )
        self.gate = gate
        self.lin = o3.Linear(gate.irreps_out, irreps)

    def forward(
        self, x: Tensor, pos: Tensor, edge_index: Tensor, edge_attr: Tensor | None
    ) -> Tensor:
        """Transforms every node, in the light of its neighbours in space."""
        heard = self.conv(self.norm(x), pos, edge_index, edge_attr)
        return x + self.lin(self.gate(heard))


def _gate(irreps: Any) -> Any:
    """e3nn's gate: SiLU for even scalars, tanh for odd ones, a sigmoid for the rest."""
    scalars, others = (
        [each for each in irreps if (each.ir.l > 0) == high] for high in (False, True)
    )
    activations = [silu if each.ir.p == 1 else torch.tanh for each in scalars]
    gates = [(each.mul, (0, 1)) for each in others]
    gate = import_nn("SE3TransformerBlock").Gate
    return gate(scalars, activations, gates, [torch.sigmoid] * len(gates), others)


class SE3Transformer(torch.nn.Module):
    r"""Invariant and equivariant predictions of point clouds.

    Blocks of :class:`~pyg_setops.conv.SE3TransformerConv` and e3nn's gates, in the
    spirit of the `"SE(3)-Transformers" <https://arxiv.org/abs/2006.10503>`_ paper,
    then a gated map of every node to ``irreps_out``, and the mean or sum of each
    graph. Scalars (``0e``) stay when the input is moved, vectors (``1o``) turn with
    it: energies, dipoles. Forces are gradients; see :meth:`energy_and_forces`.

    Args:
        irreps_out: The irreps of the prediction, such as ``'0e'`` or ``'0e + 1o'``.
        cutoff: Where neighbours fade to nothing, in the unit of ``pos``.
        irreps_hidden: The irreps of the nodes, ``0e`` among them, with multiplicities
            that ``heads`` divides.
        num_layers: The number of blocks.
        heads: The number of heads.
        num_types: The number of values of ``z``, 0 to ignore it (default: atomic
            numbers).
        irreps_x: The irreps of node features ``x``, such as ``'2x0e + 1x1o'`` for two
            numbers and a velocity; ``None`` to ignore them.
        readout: ``'mean'`` or ``'sum'`` over each graph, or ``'none'`` for a
            prediction of every node.
        **kwargs: Of :class:`~pyg_setops.conv.SE3TransformerConv`: ``max_degree``,
            ``num_radial``, ``radial_channels``, ``edge_channels`` (the width of
            ``edge_attr``, which is otherwise ignored), ``max_edges``.

    Shapes:
        - **input:** a batch of :math:`B` graphs with ``pos``, ``edge_index`` and
          ``z`` or ``x``
        - **output:** :math:`(B, \mathrm{irreps\_out.dim})`, or :math:`(N, *)`

    Raises:
        ImportError: If e3nn is missing.
        ValueError: If an argument does not fit the others.

    Cost:
        ``num_layers`` times that of the layer.

    Example:
        >>> from pyg_setops.transforms import RadiusEdges
        >>> water = Data(z=torch.tensor([8, 1, 1]), pos=torch.randn(3, 3))
        >>> model = SE3Transformer("0e + 1o", "4x0e + 4x1o", num_layers=1)
        >>> model(RadiusEdges(cutoff=5.0)(water)).shape
        torch.Size([1, 4])
    """

    def __init__(
        self,
        irreps_out: Any = "0e",
        irreps_hidden: Any = "32x0e + 16x1o + 8x2e",
        cutoff: float = 5.0,
        num_layers: int = 3,
        heads: int = 4,
        num_types: int = 119,
        irreps_x: Any = None,
        readout: Readout = "mean",
        **kwargs: Any,
    ):
        super().__init__()
        o3 = import_o3(type(self).__name__)
        hidden, out = o3.Irreps(irreps_hidden), o3.Irreps(irreps_out)
        unknown = [str(irrep) for _, irrep in out if irrep not in hidden]
        if unknown:
            raise ValueError(
                f"'irreps_hidden' must have the irreps of the prediction, {out}; "
                f"{', '.join(unknown)} is not in {hidden}"
            )
        if "0e" not in hidden:
            raise ValueError(f"'irreps_hidden' must have '0e' among them, got {hidden}")
        if readout not in (*_POOLS, "none"):
            raise ValueError(
                f"'readout' must be 'mean', 'sum' or 'none', got {readout!r}"
            )
        if num_types < 1 and irreps_x is None:
            raise ValueError("expected 'num_types' of at least 1, or 'irreps_x'")
        self.irreps_out, self.readout = out, readout
        self.edge_channels = kwargs.get("edge_channels", 0)
        self.embedding = self.lin_x = None
        if num_types > 0:
            scalars = sum(mul for mul, irrep in hidden if irrep.is_scalar())
            self.embedding = torch.nn.Embedding(num_types, scalars)
            self.lin_z = o3.Linear([(scalars, (0, 1))], hidden)
        if irreps_x is not None:
            self.lin_x = o3.Linear(irreps_x, hidden)
        self.blocks = torch.nn.ModuleList(
            SE3TransformerBlock(hidden, cutoff, heads=heads, **kwargs)
            for _ in range(num_layers)
        )
        gate = _gate(hidden)
        self.head = torch.nn.Sequential(
            IrrepsNorm(hidden),
            o3.Linear(hidden, gate.irreps_in, biases=True),
            gate,
            o3.Linear(gate.irreps_out, out, biases=True),
        )

    def forward(self, data: Data) -> Tensor:
        """Predicts for every graph of a batch, or every node.

        Raises:
            ValueError: If the data lacks something.
        """
        self._check(data)
        x = self._nodes(data)
        edge_attr = data.edge_attr if self.edge_channels > 0 else None
        for block in self.blocks:
            x = block(x, data.pos, data.edge_index, edge_attr)
        x = self.head(x)
        if self.readout == "none":
            return x
        count = 1 if data.batch is None else getattr(data, "num_graphs", None)
        sets = SetIndex.build(data.batch, None, count, x.size(0), x.device)
        return _POOLS[self.readout](x, sets)

    def _check(self, data: Data) -> None:
        needed = {
            "pos": True,
            "edge_index": True,
            "edge_attr": self.edge_channels > 0,
            "z": self.embedding is not None,
            "x": self.lin_x is not None,
        }
        missing = [
            name
            for name in needed
            if needed[name] and getattr(data, name, None) is None
        ]
        if missing:
            raise ValueError(f"'data' must have {missing} for this model, got {data}")

    def _nodes(self, data: Data) -> Tensor:
        nodes = []
        if self.embedding is not None:
            nodes.append(self.lin_z(self.embedding(data.z)))
        if self.lin_x is not None:
            nodes.append(self.lin_x(data.x))
        return torch.stack(nodes).sum(dim=0)

    def energy_and_forces(self, data: Data) -> tuple[Tensor, Tensor]:
        """Energies, the first scalar of the prediction, and minus their gradients.

        Args:
            data: A batch of graphs; it is left as it is.

        Returns:
            Energies ``[B]`` and forces ``[N, 3]``, which can be differentiated in
            training mode: for a loss of forces. In evaluation they keep no graph, and
            are had under ``torch.no_grad`` and ``torch.inference_mode`` too.

        Raises:
            ValueError: If the prediction does not begin with a scalar, or is one of
                nodes.

        Example:
            >>> from pyg_setops.transforms import RadiusEdges
            >>> water = Data(z=torch.tensor([8, 1, 1]), pos=torch.randn(3, 3))
            >>> model = SE3Transformer("0e", "4x0e + 4x1o", readout="sum")
            >>> energy, forces = model.energy_and_forces(RadiusEdges(5.0)(water))
            >>> forces.shape, bool(forces.sum(0).norm() < 1e-5)
            (torch.Size([3, 3]), True)
        """
        if not self.irreps_out[0].ir.is_scalar() or self.readout == "none":
            raise ValueError(
                f"forces need a prediction of graphs that begins with '0e', got "
                f"{self.irreps_out} with readout={self.readout!r}"
            )
        differentiable = self.training and torch.is_grad_enabled()
        infers = torch.is_inference_mode_enabled()
        # Forces are derivatives, which inference mode has none of.
        with torch.inference_mode(False), torch.enable_grad():
            data = data.clone() if infers else copy(data)
            data.pos = data.pos.detach().requires_grad_()
            energy = self(data)[:, 0]
            (gradient,) = torch.autograd.grad(
                energy.sum(), data.pos, create_graph=differentiable
            )
        return energy if differentiable else energy.detach(), -gradient
