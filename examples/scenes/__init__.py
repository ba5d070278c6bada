"""Slot autoencoders of scenes that are point sets: trained, measured and drawn.

Nothing here knows a data set: a scene has places ``pos``, colours ``x``, the object
``y`` of each point, and their number ``count``.
"""

from .autoencoder import Decoded, SlotAutoencoder
from .measure import Scores, by_count, find_clusters, largest, measure, score
from .merging import merge_slots
from .picture import draw_iterations, draw_scene, recolour, views
from .training import Budget, Variant, describe, make_network, penalty, train_all

__all__ = [
    "Budget",
    "Decoded",
    "Scores",
    "SlotAutoencoder",
    "Variant",
    "by_count",
    "describe",
    "draw_iterations",
    "draw_scene",
    "find_clusters",
    "largest",
    "make_network",
    "measure",
    "merge_slots",
    "penalty",
    "recolour",
    "score",
    "train_all",
    "views",
]
