"""Control points: branchings of vessels that both pictures show."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .lids import shade
from .optics import Array, Mask, from_map, project
from .scenes import ControlPoint, EyeSpec, Place, ShotSpec

LEAST_POINTS = 10
"""A pair has no fewer, as in FIRE."""
MOST_POINTS = 24
SEPARATION = 0.03
"""Least distance of two points in at least one of the pictures, over its height."""
INNER = 0.96
"""Share of the field's radius within which points are taken."""


def control_points(
    eye: EyeSpec, shots: tuple[ShotSpec, ShotSpec], places: Sequence[Place], size: int
) -> tuple[ControlPoint, ...]:
    """The first branchings that both pictures show, apart from each other; exact to the last bit.

    Args:
        eye: the eye.
        shots: reference and source.
        places: branchings on the retina's map, in degrees, the most prominent first.
        size: height and width of the pictures, in pixels.
    """
    points = np.array([from_map(eye, place) for place in places]).reshape(-1, 3)
    pixels = [project(shot, points) for shot in shots]
    shown = _shown(shots[0], pixels[0], size) & _shown(shots[1], pixels[1], size)
    rows: list[ControlPoint] = []
    for row in np.concatenate(pixels, axis=1)[shown].tolist():
        if all(_apart(row, other) > SEPARATION * size for other in rows):
            rows.append((row[0], row[1], row[2], row[3]))
        if len(rows) == MOST_POINTS:
            break
    return tuple(rows)


def _shown(shot: ShotSpec, pixels: Array, size: int) -> Mask:
    """Which pixels (N, 2) lie in the picture, well within its field and before no lid."""
    offset = (pixels - np.array(shot.centre)) / (INNER * np.array(shot.stop))
    inside = (pixels >= 0).all(axis=1) & (pixels <= size - 1).all(axis=1) & ((offset * offset).sum(axis=1) < 1)
    column, row = np.where(inside[:, None], np.rint(pixels), 0).astype(int).T
    return np.asarray(inside & ~shade(shot, size, size).hides[row, column])


def _apart(row: Sequence[float], other: ControlPoint) -> float:
    """The larger one of two points' distances in the pictures."""
    gaps = [(a - b) * (a - b) for a, b in zip(row, other, strict=True)]
    return math.sqrt(max(gaps[0] + gaps[1], gaps[2] + gaps[3]))
