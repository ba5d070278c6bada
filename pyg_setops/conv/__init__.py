"""Message-passing layers: set functions of a node's neighbourhood, iterated.

One layer a file, a thin PyG face over the mathematics in the floors below.
"""

from .lie import LieSelfAttention
from .se3_transformer import SE3TransformerConv
from .swarm import SwarmConv

__all__ = classes = ["LieSelfAttention", "SE3TransformerConv", "SwarmConv"]
