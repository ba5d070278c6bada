"""Small ready networks, built from PyG's parts and our operators.

Here belong whole models that map a batch of graphs or sets to predictions; no
training loop, data loading or operator does.
"""

from .features import FeatureEncoder
from .molecule_regressor import MoleculeRegressor
from .set_function import SetFunction

__all__ = classes = ["FeatureEncoder", "MoleculeRegressor", "SetFunction"]
