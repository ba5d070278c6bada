"""Transforms that prepare graphs once, before training, or vary them while training.

Here belong maps from one :class:`~torch_geometric.data.Data` to another; no learned
parameter and nothing that reads or writes files does. They are not
registered under PyG's functional names, which are global.
"""

from .radius_edges import RadiusEdges
from .random_motion import RandomMotion

__all__ = classes = ["RadiusEdges", "RandomMotion"]
