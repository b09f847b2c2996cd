"""What garments are cut like: where they begin and end, and how wide they hang.

Heights and widths are in metres for a person of 1.75 m.
"""

from __future__ import annotations

from dataclasses import dataclass

from .spec import BottomCut, TopCut


@dataclass(frozen=True)
class TopShape:
    """A garment of the upper body."""

    hem: float
    """Height of its lower edge."""
    collar: float
    """Height of its upper edge, at the side of the neck."""
    ease: float
    """Distance from the skin."""
    flare: float
    """By how much it is wider at the hem."""
    sleeve: float
    """Share of the arm that is covered, from the shoulder to the wrist."""
    sleeve_ease: float
    """Distance of the sleeve from the arm."""
    gathered: bool = False
    """Whether the hem is drawn in by an elastic band."""


@dataclass(frozen=True)
class BottomShape:
    """A garment of the lower body."""

    hem: float
    """Height of the lower edge; of trousers, of each leg."""
    ease_hips: float
    """Distance from the skin at the hips."""
    ease_knee: float
    """The same at the knee."""
    ease_hem: float
    """The same at the hem; of a skirt, by how much it is wider there."""
    legs: bool = True
    """Whether it has a tube for each leg."""


TOPS: dict[TopCut, TopShape] = {
    "tee": TopShape(0.93, 1.468, 0.013, 0.004, 0.40, 0.016),
    "shirt": TopShape(0.91, 1.483, 0.013, 0.004, 0.97, 0.011),
    "sweater": TopShape(0.95, 1.475, 0.020, 0.0, 0.97, 0.015, gathered=True),
    "hoodie": TopShape(0.94, 1.486, 0.026, 0.0, 0.97, 0.019, gathered=True),
    "jacket": TopShape(0.90, 1.488, 0.026, 0.002, 0.99, 0.018),
    "suit": TopShape(0.84, 1.484, 0.020, 0.010, 0.97, 0.013),
    "coat": TopShape(0.62, 1.488, 0.030, 0.045, 1.0, 0.020),
    "tank": TopShape(0.95, 1.450, 0.010, 0.002, 0.0, 0.0),
    "blouse": TopShape(0.94, 1.462, 0.014, 0.014, 0.62, 0.018),
    "vest": TopShape(0.93, 1.475, 0.030, 0.0, 0.97, 0.012),
    "dress": TopShape(1.05, 1.455, 0.010, 0.0, 0.24, 0.012),
}
"""By cut; a dress goes on as a skirt."""

BOTTOMS: dict[BottomCut, BottomShape] = {
    "trousers": BottomShape(0.045, 0.008, 0.018, 0.026),
    "jeans": BottomShape(0.050, 0.006, 0.011, 0.014),
    "leggings": BottomShape(0.10, 0.003, 0.004, 0.004),
    "shorts": BottomShape(0.53, 0.009, 0.022, 0.026),
    "skirt": BottomShape(0.50, 0.006, 0.0, 0.055, legs=False),
    "maxi": BottomShape(0.16, 0.006, 0.0, 0.10, legs=False),
}
"""By cut."""

DRESS_HEM, DRESS_FLARE = 0.47, 0.075
"""Lower edge of a dress, and by how much it is wider there."""
