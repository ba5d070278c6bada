"""What finds sets of digits in scenes, and how it is trained and measured."""

from .finder import Answers, DigitFinder, Mean, Seeds, Slots, make_finder
from .matching import THRESHOLDS, evaluate, matching_loss

__all__ = [
    "THRESHOLDS",
    "Answers",
    "DigitFinder",
    "Mean",
    "Seeds",
    "Slots",
    "evaluate",
    "make_finder",
    "matching_loss",
]
