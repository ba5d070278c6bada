"""What finds sets of digits in scenes, and how it is trained and measured."""

from .finder import (
    PIXELS,
    Answers,
    DigitFinder,
    Mean,
    PixelAnswers,
    Seeds,
    Slots,
    connect,
    make_finder,
)
from .matching import THRESHOLDS, evaluate, matching_loss, pixel_loss

__all__ = [
    "PIXELS",
    "THRESHOLDS",
    "Answers",
    "DigitFinder",
    "Mean",
    "PixelAnswers",
    "Seeds",
    "Slots",
    "connect",
    "evaluate",
    "make_finder",
    "matching_loss",
    "pixel_loss",
]
