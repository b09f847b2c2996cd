"""The part of the retina's map that a photograph shows, and pictures of what lies on it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .optics import Array, grid, in_field, seen_at, to_map
from .retina.canvas import Part
from .retina.painting import RetinaMaps
from .scenes import EyeSpec, ShotSpec

FINENESS = 2.0
"""Points of the map along a pixel of the photograph."""
BORDER = 1.5
"""Degrees of the map beyond what is shown."""
POINTS = 4
"""Sample points along a pixel, for the share of its area."""
ROWS = 64
"""Rows of a picture that are sampled at once."""


def density_of(shot: ShotSpec) -> float:
    """Points of the map for each of its degrees, as a photograph needs them: the pupil sees half the eye's angle."""
    return FINENESS * shot.focal * 0.5 * math.pi / 180


def part_of(eye: EyeSpec, shot: ShotSpec, pixels: Array) -> Part:
    """The part of the map that pixels (N, 2) show, with a border."""
    places = to_map(seen_at(eye, shot, pixels))
    left, top = (places.min(axis=0) - BORDER).tolist()
    right, bottom = (places.max(axis=0) + BORDER).tolist()
    return left, top, right, bottom


def edges(maps: RetinaMaps) -> Part:
    """Left, top, right and bottom edge of a map, in its degrees."""
    height, width = maps.vessels.shape
    left, top = maps.left - 0.5, maps.top - 0.5
    return left / maps.density, top / maps.density, (left + width) / maps.density, (top + height) / maps.density


def bilinear(picture: npt.NDArray[Any], x: Array, y: Array) -> npt.NDArray[np.float32]:
    """The values of a picture (h, w[, c]) at pixels x, y (...); beyond its rim, those of the rim."""
    height, width = picture.shape[:2]
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    column, row = np.minimum(x.astype(np.int64), width - 2), np.minimum(y.astype(np.int64), height - 2)
    right, below = (x - column).astype(np.float32), (y - row).astype(np.float32)
    if picture.ndim == 3:
        right, below = right[..., None], below[..., None]
    upper = picture[row, column] * (1 - right) + picture[row, column + 1] * right
    lower = picture[row + 1, column] * (1 - right) + picture[row + 1, column + 1] * right
    return np.asarray(upper * (1 - below) + lower * below, np.float32)


def vessel_mask(eye: EyeSpec, shot: ShotSpec, maps: RetinaMaps, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Share of each pixel (H, W) that vessels cover, 255 for all of it; 0 outside of the field."""
    steps = [(number + 0.5) / POINTS - 0.5 for number in range(POINTS)]
    pixels = grid(width, height)
    total = np.zeros((height, width), np.float32)
    for first in range(0, height, ROWS):
        rows = slice(first, first + ROWS)
        for across in steps:
            for along in steps:
                places = to_map(seen_at(eye, shot, pixels[rows] + np.array([across, along]))) * maps.density
                total[rows] += bilinear(maps.vessels, places[..., 0] - maps.left, places[..., 1] - maps.top)
    mean = total / np.float32(POINTS * POINTS)
    return np.where(in_field(shot, pixels), mean + np.float32(0.5), 0).astype(np.uint8)
