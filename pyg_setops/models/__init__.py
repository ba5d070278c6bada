"""Small ready networks, built from PyG's parts and our operators.

Here belong whole models that map a batch of graphs or sets to predictions; no
training loop, data loading or operator does.
"""

from .features import FeatureEncoder
from .lie_transformer import LieTransformer, LieTransformerBlock
from .molecule_regressor import MoleculeRegressor
from .se3_transformer import SE3Transformer
from .set_function import SetFunction
from .set_networks import (
    AttentionReadout,
    DeepSets,
    EncoderReadout,
    EquivariantDeepSets,
    InducedSetTransformer,
)

__all__ = classes = [
    "AttentionReadout",
    "DeepSets",
    "EncoderReadout",
    "EquivariantDeepSets",
    "FeatureEncoder",
    "InducedSetTransformer",
    "LieTransformer",
    "LieTransformerBlock",
    "MoleculeRegressor",
    "SE3Transformer",
    "SetFunction",
]
