"""Data sets as PyG datasets, and the generators of synthetic ones.

Here belong the dataset classes and what they need to fetch, check and cache data;
the data themselves (cards, licences, samples) are in the repository's `datasets/`,
and nothing here knows about models or training.
"""

from pyg_setops.datasets.charged_nbody import ChargedNBody
from pyg_setops.datasets.constellations import Constellations
from pyg_setops.datasets.delaunay import Delaunay
from pyg_setops.datasets.digit_counting import DigitCounting
from pyg_setops.datasets.digit_scenes import DigitScenes
from pyg_setops.datasets.digits import Digits
from pyg_setops.datasets.gaussian_mixtures import GaussianMixtures
from pyg_setops.datasets.gravity_nbody import GravityNBody
from pyg_setops.datasets.md_trajectory import MDTrajectory
from pyg_setops.datasets.qm9 import QM9
from pyg_setops.datasets.random_graphs import RandomGraphs
from pyg_setops.datasets.scalar_sets import ScalarSets
from pyg_setops.datasets.spring_dynamics import SpringDynamics
from pyg_setops.datasets.sprite_scenes import SpriteScenes
from pyg_setops.datasets.tetrominoes import Tetrominoes

__all__ = [
    "QM9",
    "ChargedNBody",
    "Constellations",
    "Delaunay",
    "DigitCounting",
    "DigitScenes",
    "Digits",
    "GaussianMixtures",
    "GravityNBody",
    "MDTrajectory",
    "RandomGraphs",
    "ScalarSets",
    "SpringDynamics",
    "SpriteScenes",
    "Tetrominoes",
]

classes = __all__
