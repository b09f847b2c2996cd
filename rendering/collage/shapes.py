"""Outlines of pieces: masks made from a seed, with holes and corners of every kind."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from ..streams import choice, uniform

Mask = npt.NDArray[np.uint8]
"""Cover (side, side), 0 to 255."""

FINER = 2
"""Outlines are drawn this much larger and averaged, so that their edges are smooth."""
SHIFT = 4
"""Bits of OpenCV's fixed-point corners."""


def outline(shape: str, seed: int, side: int, soft: float) -> Mask:
    """The mask of a piece, whose radius is 0.45 of the side.

    Args:
        shape: one of `SHAPES`.
        seed: two seeds make two outlines.
        side: width and height.
        soft: standard deviation of the blur of the edge, relative to the radius.
    """
    canvas = np.zeros((FINER * side, FINER * side), np.uint8)
    SHAPES[shape](random.Random(seed), canvas)
    mask = cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA)
    if soft:
        mask = cv2.GaussianBlur(mask, (0, 0), max(soft * 0.45 * side, 0.3), borderType=cv2.BORDER_CONSTANT)
    return np.asarray(mask, np.uint8)


def _fill(canvas: Mask, points: npt.ArrayLike) -> None:
    """Fill a polygon of points in [-1, 1]."""
    cv2.fillPoly(canvas, [_corners(canvas, points)], 255, shift=SHIFT)


def _corners(canvas: Mask, points: npt.ArrayLike) -> npt.NDArray[np.int32]:
    side = canvas.shape[0]
    places = (np.asarray(points) * 0.45 + 0.5) * side - 0.5
    return np.round(places * 2**SHIFT).astype(np.int32)


def _turned(angle: float, reach: float) -> tuple[float, float]:
    return reach * math.cos(angle), reach * math.sin(angle)


def _ellipse(_rng: random.Random, canvas: Mask) -> None:
    _fill(canvas, [_turned(math.tau * step / 96, 1.0) for step in range(96)])


def _polygon(rng: random.Random, canvas: Mask) -> None:
    """Corners on a circle, some of them drawn in."""
    angles = sorted(rng.random() * math.tau for _ in range(3 + int(rng.random() * 6)))
    _fill(canvas, [_turned(angle, uniform(rng, (0.6, 1.0))) for angle in angles])


def _box(_rng: random.Random, canvas: Mask) -> None:
    _fill(canvas, [(-1, -1), (1, -1), (1, 1), (-1, 1)])


def _star(rng: random.Random, canvas: Mask) -> None:
    """Spikes or lobes, like a leaf or a splinter."""
    spikes, inner = 4 + int(rng.random() * 8), uniform(rng, (0.25, 0.7))
    _fill(canvas, [_turned(math.pi * step / spikes, inner if step % 2 else 1.0) for step in range(2 * spikes)])


def _blob(rng: random.Random, canvas: Mask) -> None:
    """A circle whose radius wanders: the sum of waves around it."""
    angles = np.linspace(0, math.tau, 160, endpoint=False)
    reach = np.ones(160)
    for turns in range(2, 9):
        reach += uniform(rng, (0.0, 0.8 / turns)) * np.cos(turns * angles + rng.random() * math.tau)
    reach = reach.clip(0.1) / reach.max()
    _fill(canvas, np.stack([reach * np.cos(angles), reach * np.sin(angles)], axis=1))


def _islands(rng: random.Random, canvas: Mask) -> None:
    """Smooth noise above a threshold, within a circle: foliage, splashes, holes."""
    noise = np.random.Generator(np.random.PCG64(int(rng.random() * 2**52)))
    cells, side = 4 + int(rng.random() * 7), canvas.shape[0]
    grid = noise.standard_normal((cells, cells), np.float32)
    field = cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
    ramp = np.linspace(-1 / 0.9, 1 / 0.9, side, dtype=np.float32)
    radius = ramp[:, None] * ramp[:, None] + ramp[None] * ramp[None]
    canvas[(field + uniform(rng, (0.2, 0.8)) > 1.5 * radius) & (radius < 1)] = 255


def _strip(rng: random.Random, canvas: Mask) -> None:
    """A winding band: a branch, a cable, a road."""
    angle, bend = rng.random() * math.tau, uniform(rng, (0.0, 0.5))
    points, place = [], (0.0, 0.0)
    for _ in range(24):
        points.append(place)
        angle += uniform(rng, (-bend, bend))
        place = (place[0] + math.cos(angle), place[1] + math.sin(angle))
    spread = np.asarray(points) - np.mean(points, axis=0)
    spread = spread / np.abs(spread).max() * 0.95
    breadth = max(2, round(uniform(rng, (0.015, 0.1)) * canvas.shape[0]))
    cv2.polylines(canvas, [_corners(canvas, spread)], False, 255, breadth, cv2.LINE_8, SHIFT)


def _ring(rng: random.Random, canvas: Mask) -> None:
    side = canvas.shape[0]
    breadth = uniform(rng, (0.05, 0.4))
    reach = round((1 - breadth / 2) * 0.45 * side)
    cv2.circle(canvas, (side // 2, side // 2), reach, 255, max(2, round(breadth * 0.45 * side)))


def _lattice(rng: random.Random, canvas: Mask) -> None:
    """Bars across and along: a fence, a window frame, a ladder."""
    breadth = uniform(rng, (0.03, 0.1))
    for along in range(2):
        bars = 2 + int(rng.random() * 4)
        for bar in range(bars):
            middle = (2 * bar / (bars - 1) - 1) * (1 - breadth)
            bounds = [(-1.0, 1.0), (middle - breadth, middle + breadth)]
            (x, y), (u, v) = bounds[::-1] if along else bounds
            _fill(canvas, [(x, u), (y, u), (y, v), (x, v)])


def _letters(rng: random.Random, canvas: Mask) -> None:
    """A few signs of a plain typeface."""
    side = canvas.shape[0]
    text = "".join(choice(rng, "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789&?#") for _ in range(1 + int(rng.random() * 4)))
    face = choice(rng, (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX))
    (wide, high), _ = cv2.getTextSize(text, face, 1.0, 1)
    scale = 0.78 * side / max(wide, high)
    start = (round(0.5 * (side - scale * wide)), round(0.5 * (side + scale * high)))
    cv2.putText(canvas, text, start, face, scale, 255, max(1, round(scale * uniform(rng, (1.5, 6.0)))))


SHAPES: dict[str, Callable[[random.Random, Mask], None]] = {
    "blob": _blob, "box": _box, "ellipse": _ellipse, "islands": _islands, "lattice": _lattice, "letters": _letters,
    "polygon": _polygon, "ring": _ring, "star": _star, "strip": _strip,
}  # fmt: skip
"""The kinds of outlines."""
