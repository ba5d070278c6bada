"""A network around a set function."""

from __future__ import annotations

from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Batch


class SetNetwork(Module):
    """A network on elements, a set function, and a network on sets.

    Args:
        on_elements: Maps elements ``[N, F]``.
        readout: Called with elements and ``index``, gives sets ``[B, C]``.
        on_sets: Maps these.
    """

    def __init__(self, on_elements: Module, readout: Module, on_sets: Module):
        super().__init__()
        self.on_elements = on_elements
        self.readout = readout
        self.on_sets = on_sets

    def forward(self, batch: Batch) -> Tensor:
        """Maps the elements ``x`` of a batch to one output for each set."""
        return self.on_sets(self.readout(self.on_elements(batch.x), batch.batch))
