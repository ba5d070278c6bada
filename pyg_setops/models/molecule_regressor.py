"""A compact network for molecules, with the set function left open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn import MLP, MessagePassing
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.nn.models.schnet import GaussianSmearing

from .features import FeatureEncoder, Features
from .set_function import SetFunction

Where = Literal["readout", "conv", "both"]

#: What stands in the place that the chosen set function does not take.
DEFAULT_CONV, DEFAULT_READOUT = "sum", "mean"


class FilterConv(MessagePassing):
    r"""A convolution whose messages are filtered, channel by channel.

    .. math::
        x_i' = \mathrm{nn}\big(\mathrm{aggr}_{j \in \mathcal{N}(i)}\; x_j \odot w_{ji}
        \big)

    Args:
        nn: What is applied to the aggregated messages.
        aggr: The aggregation of the messages.
    """

    def __init__(self, nn: torch.nn.Module, aggr: Aggregation):
        super().__init__(aggr=aggr)
        self.nn = nn

    def forward(self, x: Tensor, edge_index: Tensor, filters: Tensor | None) -> Tensor:
        """Maps nodes ``[N, C]`` and filters ``[E, C]`` (or none) to nodes."""
        return self.nn(self.propagate(edge_index, x=x, filters=filters))

    def message(self, x_j: Tensor, filters: Tensor | None) -> Tensor:
        """Filters the source's features."""
        return x_j if filters is None else x_j * filters


class MoleculeRegressor(torch.nn.Module):
    r"""A continuous-filter network with any set function as readout, conv, or both.

    In the spirit of `SchNet <https://arxiv.org/abs/1706.08566>`_, with the linear
    filters of `PaiNN <https://arxiv.org/abs/2102.03150>`_: residual layers
    :math:`h_i \leftarrow h_i + \mathrm{MLP}\big(\mathrm{conv}_j\, h_j \odot
    W_l\,\phi(\|p_j - p_i\|)\big)`, with Gaussians :math:`\phi` under a cosine
    envelope, and a prediction :math:`\mathrm{MLP}(\mathrm{readout}_i\, h_i)`. It
    depends on positions through distances only, so it is invariant to rotation,
    reflection and translation.

    The data tell what is used. With ``pos``: distances along ``edge_index``, which
    :class:`~pyg_setops.transforms.RadiusEdges` makes. Without: ``edge_attr`` if there
    is one, else the bare graph. Edges must be sorted by target where the set function
    asks for sorted elements. Nodes start from ``z`` if there is one, else from ``x``.

    Args:
        aggr: The set function: a name that
            :class:`~pyg_setops.models.SetFunction` knows, or an aggregation, which
            all places then share.
        where: Its place; a readout is otherwise a mean, a conv's aggregation a sum.
        hidden_channels: The width.
        num_layers: The number of convolutions.
        out_channels: The width of the prediction.
        node_features: The width of real ``x``, or the number of values of each column
            of integer ``z`` or ``x`` (default: atomic numbers).
        edge_features: The same of ``edge_attr``; ``None`` to ignore it.
        cutoff: Where the envelope reaches zero, in the unit of ``pos``.
        num_radial: The number of Gaussians.
        aggr_kwargs: Arguments of the set function.

    Shapes:
        - **input:** a batch of :math:`B` graphs
        - **output:** :math:`(B, C_{out})`

    Raises:
        ValueError: If ``where`` or ``aggr`` is unknown; at the forward, if the data
            have other features than were said.

    Cost:
        :math:`O(L (E C + N C^2))` beside the set function's.

    Example:
        >>> data = Data(z=torch.tensor([8, 1, 1]), pos=torch.randn(3, 3))
        >>> from pyg_setops.transforms import RadiusEdges
        >>> MoleculeRegressor("softmax")(RadiusEdges(cutoff=5.0)(data)).shape
        torch.Size([1, 1])
    """

    def __init__(
        self,
        aggr: str | Aggregation = DEFAULT_READOUT,
        where: Where = "readout",
        hidden_channels: int = 64,
        num_layers: int = 3,
        out_channels: int = 1,
        node_features: Features = (119,),
        edge_features: Features | None = None,
        cutoff: float = 5.0,
        num_radial: int = 32,
        aggr_kwargs: dict[str, Any] | None = None,
    ):
        super().__init__()
        if where not in ("readout", "conv", "both"):
            raise ValueError(
                f"'where' must be 'readout', 'conv' or 'both', got {where!r}"
            )
        channels = hidden_channels
        self.cutoff = cutoff
        self.node_encoder = FeatureEncoder(node_features, channels)
        self.radial = GaussianSmearing(0.0, cutoff, num_radial)
        self.distance_filters = torch.nn.Linear(num_radial, num_layers * channels)
        self.edge_filters = (
            None
            if edge_features is None
            else FeatureEncoder(edge_features, num_layers * channels)
        )
        updates = [self._mlp(channels, channels) for _ in range(num_layers)]
        self.head = self._mlp(channels, out_channels)
        # Last, so that all set functions start from the same weights elsewhere.
        self.convs = torch.nn.ModuleList()
        for update in updates:
            chosen = where in ("conv", "both")
            conv = self._place(aggr, chosen, DEFAULT_CONV, channels, aggr_kwargs)
            self.convs.append(FilterConv(update, conv))
        chosen = where in ("readout", "both")
        self.readout = self._place(aggr, chosen, DEFAULT_READOUT, channels, aggr_kwargs)

    @staticmethod
    def _mlp(channels: int, out_channels: int) -> MLP:
        return MLP([channels, channels, out_channels], act="silu", norm=None)

    @staticmethod
    def _place(
        aggr: str | Aggregation,
        chosen: bool,
        default: str,
        channels: int,
        aggr_kwargs: dict[str, Any] | None,
    ) -> SetFunction:
        if chosen:
            return SetFunction(aggr, channels, **(aggr_kwargs or {}))
        return SetFunction(default, channels)

    def forward(self, data: Data) -> Tensor:
        """Predicts for every graph of a batch."""
        x = self._nodes(data)
        filters = self._filters(data)
        for conv, chosen in zip(self.convs, filters, strict=True):
            x = x + conv(x, data.edge_index, chosen)
        batch = data.batch
        if batch is None:
            batch = data.edge_index.new_zeros(x.size(0))
            return self.head(self.readout(x, batch, dim_size=1))
        return self.head(self.readout(x, batch, dim_size=data.num_graphs))

    def _nodes(self, data: Data) -> Tensor:
        for features in (data.get("z"), data.x):
            if features is not None:
                return self.node_encoder(features)
        raise ValueError("'data' must have atomic numbers 'z' or node features 'x'")

    def _filters(self, data: Data) -> Sequence[Tensor | None]:
        """The filters of each layer, ``[E, C]`` each, or none."""
        if data.pos is not None:
            source, target = data.edge_index
            distance = (data.pos[source] - data.pos[target]).norm(dim=-1)
            filters = self.distance_filters(self.radial(distance))
            filters = filters * self._envelope(distance)[:, None]
        elif self.edge_filters is not None:
            if data.edge_attr is None:
                raise ValueError("'data' must have 'pos' or the 'edge_attr' expected")
            filters = self.edge_filters(data.edge_attr)
        else:
            return [None] * len(self.convs)
        return filters.chunk(len(self.convs), dim=-1)

    def _envelope(self, distance: Tensor) -> Tensor:
        """A cosine that is 1 at distance 0 and smoothly 0 from the cutoff on."""
        phase = (distance / self.cutoff).clamp(max=1.0) * math.pi
        return 0.5 * (phase.cos() + 1.0)
