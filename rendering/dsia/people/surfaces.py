"""Which covering is which, and how pictures lie on the body."""

from __future__ import annotations

from .lofts import Table

HEAD, SKIN, HAIR, TOP, BOTTOM, SHOES, EXTRA, SEAT = range(8)
"""Indices of a person's coverings."""

TOP_SPAN = (0.34, 1.52)
"""Heights, for a person of 1.75 m in the neutral stance, at the lower and upper edge of the picture of the top."""
BOTTOM_SPAN = (0.0, 1.14)
"""The same for the bottom."""
GIRTH = 0.95
"""Metres around the trunk that the width of a picture stands for."""
SLEEVE = 0.32
"""Share of the picture's width that goes around a sleeve: its left side, from the wearer's back."""
LEG = 0.5
"""Share of the picture's width that goes around a leg, likewise."""


def top_row(height: Table) -> Table:
    """Texture coordinates up of heights on the top."""
    return (height - TOP_SPAN[0]) / (TOP_SPAN[1] - TOP_SPAN[0])


def bottom_row(height: Table) -> Table:
    """Texture coordinates up of heights on the bottom."""
    return (height - BOTTOM_SPAN[0]) / (BOTTOM_SPAN[1] - BOTTOM_SPAN[0])
