"""The SE(3)-Transformer's layer, on irreps of O(3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear, Sequential, SiLU
from torch.nn.functional import one_hot
from torch.utils.checkpoint import checkpoint
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.inits import reset
from torch_geometric.typing import Adj

from ..lending import call_with
from ..ragged import SetIndex, blocks, segment_sum
from ..ragged.eager import is_eager
from ..se3 import EdgeGeometry, HarmonicProduct, fading_softmax
from ..se3.e3nn import import_o3, to_irreps
from ..se3.exact import exactly
from .adjacency import as_edges


class SE3TransformerConv(MessagePassing):
    r"""Attention among neighbours in space, with features that rotate along.

    Features are irreps of O(3): scalars, vectors, and higher tensors, even or odd.
    With the product :math:`t_{ij} = (W_s x_j) \otimes Y(r_{ij})` of features and
    spherical harmonics of :math:`r_{ij} = p_j - p_i`, channel by channel, and weights
    :math:`(w^k_{ij}, w^v_{ij}) = \mathrm{MLP}(|r_{ij}|, e_{ij})`,

    .. math::
        s_{ij}^h = \frac{1}{\sqrt{n}} \big\langle W_q x_i,\;
        w^k_{ij} \odot t_{ij} \big\rangle_h , \qquad
        a_{ij}^h = \frac{c_{ij} \exp s_{ij}^h}{1 + \sum_k c_{ik} \exp s_{ik}^h} ,
        \qquad
        y_i = W_o \sum_j a_{ij}\, w^v_{ij} \odot t_{ij} + W_r x_i ,

    over the neighbours within the cutoff, where :math:`c` falls to 0. The product is
    computed once for keys and values, heads divide the channels, and all linear maps
    are e3nn's. From the `"SE(3)-Transformers" <https://arxiv.org/abs/2006.10503>`_
    paper, whose products are fully connected.

    The output moves with the input under every rotation, reflection and translation,
    and is smooth in the positions: points may meet, or leave at the cutoff.

    Args:
        irreps_in: The irreps of the nodes, such as ``'16x0e + 8x1o'``, or a number of
            scalars.
        irreps_out: The irreps of the output.
        cutoff: The distance at which neighbours fade to nothing, in the unit of
            positions.
        irreps_hidden: The irreps that neighbours send; their multiplicities must be
            divisible by ``heads`` (default: those of ``irreps_in``, as many as in
            ``irreps_out`` where they are there too, rounded up).
        heads: The number of heads.
        max_degree: The largest degree of the harmonics.
        num_radial: The number of Gaussians of the distance.
        radial_channels: The hidden width of the MLP on them.
        edge_channels: The width of invariant features of edges :math:`e`.
        max_edges: How many edges are worked on at once; where there are more, each
            part is computed again in the backward pass, and memory stays bounded.

    Shapes:
        - **input:** nodes :math:`(N, \mathrm{irreps\_in.dim})` in e3nn's layout,
          positions :math:`(N, 3)`, edges :math:`(2, E)` or sparse, edge features
          :math:`(E, \mathrm{edge\_channels})`
        - **output:** nodes :math:`(N, \mathrm{irreps\_out.dim})`

    Raises:
        ImportError: If e3nn is missing.
        ValueError: If an argument is out of range, or does not fit the others.

    Cost:
        :math:`O(E D + N D^2)` time with :math:`D` the components of the product. Kept
        for backward: the edges and :math:`O(N D)`, or all :math:`O(E D)` with no more
        than ``max_edges`` edges.

    Example:
        >>> conv = SE3TransformerConv("4x0e", "4x0e + 2x1o", cutoff=5.0, heads=2)
        >>> pos, edge_index = torch.randn(3, 3), torch.tensor([[0, 1, 2], [1, 2, 1]])
        >>> conv(torch.randn(3, 4), pos, edge_index).shape
        torch.Size([3, 10])
    """

    propagate: Callable[..., Tensor]  # of PyG, which is not typed
    head: Tensor

    def __init__(
        self,
        irreps_in: Any,
        irreps_out: Any,
        cutoff: float,
        irreps_hidden: Any = None,
        heads: int = 1,
        max_degree: int = 2,
        num_radial: int = 16,
        radial_channels: int = 32,
        edge_channels: int = 0,
        max_edges: int = 2**14,
    ):
        super().__init__(aggr=None)
        name = type(self).__name__
        o3 = import_o3(name)
        if not cutoff > 0:
            raise ValueError(f"'cutoff' must be positive, got {cutoff}")
        _check_least(
            heads=(heads, 1),
            max_degree=(max_degree, 0),
            num_radial=(num_radial, 2),
            radial_channels=(radial_channels, 1),
            edge_channels=(edge_channels, 0),
            max_edges=(max_edges, 1),
        )
        self.irreps_in = to_irreps(irreps_in, name)
        self.irreps_out = to_irreps(irreps_out, name)
        self.in_channels, self.out_channels = self.irreps_in.dim, self.irreps_out.dim
        self.heads = heads
        self.edge_channels = edge_channels
        self.max_edges = max_edges
        self.irreps_hidden = to_irreps(irreps_hidden or self._default_hidden(), name)
        if any(mul % heads for mul, _ in self.irreps_hidden):
            raise ValueError(
                f"the multiplicities of 'irreps_hidden' must be divisible by the "
                f"{heads} 'heads', got {self.irreps_hidden}"
            )
        self.geometry = EdgeGeometry(cutoff, max_degree, num_radial)
        self.product = HarmonicProduct(self.irreps_hidden, max_degree, self.irreps_out)
        components = self.product.irreps_out
        self.lin_query = o3.Linear(self.irreps_in, components)
        self.lin_source = o3.Linear(self.irreps_in, self.irreps_hidden)
        self.lin_out = o3.Linear(components, self.irreps_out)
        self.lin_root = o3.Linear(self.irreps_in, self.irreps_out)
        self.radial = Sequential(
            Linear(num_radial + edge_channels, radial_channels),
            SiLU(),
            Linear(radial_channels, 2 * self.product.num_channels),
        )
        asked = sum(each.dim for each in components if each.ir in self.irreps_in)
        self.scale = (max(asked, 1) / heads) ** -0.5
        numbers = [torch.arange(mul) * heads // mul for mul, _ in components]
        head = one_hot(torch.cat(numbers), heads).to(torch.get_default_dtype())
        self.register_buffer("head", head, persistent=False)

    def _default_hidden(self) -> list[tuple[int, Any]]:
        counts = {
            irrep: self.irreps_out.count(irrep) or self.irreps_in.count(irrep)
            for _, irrep in self.irreps_in
        }
        return [
            (-(-count // self.heads) * self.heads, irrep)
            for irrep, count in counts.items()
        ]

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        super().reset_parameters()
        for lin in (self.lin_query, self.lin_source, self.lin_out, self.lin_root):
            torch.nn.init.normal_(lin.weight)
        reset(self.radial)

    @exactly
    def forward(
        self, x: Tensor, pos: Tensor, edge_index: Adj, edge_attr: Tensor | None = None
    ) -> Tensor:
        """Transforms every node, in the light of its neighbours in space.

        Args:
            x: Nodes ``[N, irreps_in.dim]``.
            pos: Positions ``[N, 3]``.
            edge_index: Edges ``[2, E]`` from source to target, or a transposed sparse
                adjacency matrix. Those at the cutoff or beyond change nothing.
            edge_attr: Invariant features of edges ``[E, edge_channels]``.

        Returns:
            Nodes ``[N, irreps_out.dim]``.
        """
        edge_index = as_edges(edge_index)
        self._check_shapes(x, pos, edge_index, edge_attr)
        nodes = self.lin_source(x), self.lin_query(x), pos
        if edge_index.size(1) <= self.max_edges or not is_eager():
            sets = SetIndex.build(edge_index[1], dim_size=x.size(0))
            heard = self._attend(*nodes, pos, edge_index[0], edge_attr, sets)
        else:
            heard = self._attend_in_parts(*nodes, edge_index, edge_attr)
        return self.lin_out(heard) + self.lin_root(x)

    @exactly
    def attention(
        self, x: Tensor, pos: Tensor, edge_index: Adj, edge_attr: Tensor | None = None
    ) -> Tensor:
        """The weights :math:`a` of all edges, ``[E, heads]``, to look at.

        Those of a node's edges add up to less than 1. Arguments are those of
        :meth:`forward`.
        """
        edge_index = as_edges(edge_index)
        self._check_shapes(x, pos, edge_index, edge_attr)
        source, target = edge_index
        sets = SetIndex.build(target, dim_size=x.size(0))
        sent, query = self.lin_source(x)[source], self.lin_query(x)[target]
        return self._weigh(sent, query, pos[source] - pos[target], edge_attr, sets)[1]

    def _attend_in_parts(
        self,
        source: Tensor,
        query: Tensor,
        pos: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor | None,
    ) -> Tensor:
        """A run of whole neighbourhoods at a time, recomputed in the backward pass."""
        sets = SetIndex.build(edge_index[1], dim_size=pos.size(0))
        sets, order = sets.sorted()
        if order is not None:
            edge_index = edge_index[:, order]
            edge_attr = None if edge_attr is None else edge_attr[order]
        weights, parts = dict(self.named_parameters()), []
        for block in blocks(sets, self.max_edges, wait=True):
            own = None if edge_attr is None else edge_attr[block.rows]
            heard = checkpoint(
                call_with,
                *(self, weights, self._attend),
                *(source, query[block.numbers], pos, pos[block.numbers]),
                *(edge_index[0, block.rows], own, block.sets),
                use_reentrant=False,
                preserve_rng_state=False,
            )
            parts.append(heard)
        return torch.cat(parts)

    def _attend(
        self,
        source: Tensor,
        query: Tensor,
        pos_source: Tensor,
        pos_target: Tensor,
        number: Tensor,
        edge_attr: Tensor | None,
        sets: SetIndex,
    ) -> Tensor:
        """What targets hear of the sources of these numbers."""
        return self.propagate(
            torch.stack([number, sets.index]),
            size=(source.size(0), query.size(0)),
            source=(source, None),
            query=(None, query),
            pos=(pos_source, pos_target),
            edge_attr=edge_attr,
            sets=sets,
        )

    def message(
        self,
        source_j: Tensor,
        query_i: Tensor,
        pos_j: Tensor,
        pos_i: Tensor,
        edge_attr: Tensor | None,
        sets: SetIndex,
    ) -> Tensor:
        """What a neighbour sends: its values, by its share of the attention."""
        product, share, value_weight = self._weigh(
            source_j, query_i, pos_j - pos_i, edge_attr, sets
        )
        return self.product.scale(product, share @ self.head.t() * value_weight)

    def _weigh(
        self,
        source: Tensor,
        query: Tensor,
        vector: Tensor,
        edge_attr: Tensor | None,
        sets: SetIndex,
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Of every edge: the product, its share of the attention, and value weights."""
        harmonics, radial, envelope = self.geometry(vector)
        if edge_attr is not None:
            radial = torch.cat([radial, edge_attr], dim=-1)
        key_weight, value_weight = self.radial(radial).chunk(2, dim=-1)
        product = self.product(source, harmonics)
        score = self.product.contract(query, product) * key_weight
        share = fading_softmax(score @ self.head * self.scale, envelope, sets)
        return product, share, value_weight

    def aggregate(self, inputs: Tensor, sets: SetIndex) -> Tensor:
        """Adds up what is heard."""
        return segment_sum(inputs, sets)

    def _check_shapes(
        self, x: Tensor, pos: Tensor, edge_index: Tensor, edge_attr: Tensor | None
    ) -> None:
        expected: dict[str, tuple[Tensor | None, list[int]]] = {
            "x": (x, [pos.size(0), self.in_channels]),
            "pos": (pos, [x.size(0), 3]),
        }
        if edge_attr is not None or self.edge_channels > 0:
            shape = [edge_index.size(1), self.edge_channels]
            expected["edge_attr"] = (edge_attr, shape)
        for name, (tensor, shape) in expected.items():
            found = None if tensor is None else list(tensor.shape)
            if found != shape:
                raise ValueError(f"'{name}' must have shape {shape}, got {found}")

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.irreps_in}, {self.irreps_out}, "
            f"cutoff={self.geometry.cutoff}, heads={self.heads})"
        )


def _check_least(**limits: tuple[int, int]) -> None:
    for name, (value, least) in limits.items():
        if value < least:
            raise ValueError(f"'{name}' must be at least {least}, got {value}")
