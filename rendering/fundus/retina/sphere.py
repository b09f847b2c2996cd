"""The map of the eye's ground and the sphere under it.

The map is azimuthal equidistant about the posterior pole: a place r degrees from its centre lies at the angle r, at the
eye's centre, from the pole. On the sphere x and y point as in the map, z from the eye's centre to the pole; the radius
is 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...parallax.geometry import turned

Points = npt.NDArray[np.float64]
"""Unit vectors (n, 3)."""
Places = npt.NDArray[np.float64]
"""Places in the map (n, 2), in degrees."""

TINY = 1e-18


def to_sphere(places: npt.ArrayLike) -> Points:
    """Where places of the map lie on the sphere.

    Only sums, products and roots are taken, so that what grows from these points is the same on every machine.
    """
    flat = np.asarray(places, np.float64).reshape(-1, 2)
    radius = np.sqrt((flat * flat).sum(axis=1) + TINY)
    turns = np.array([turned(float(each)) for each in radius]).reshape(-1, 2)
    share = turns[:, 1] / radius
    return np.stack([flat[:, 0] * share, flat[:, 1] * share, turns[:, 0]], axis=1)


def to_map(points: Points) -> Places:
    """Where points of the sphere lie in the map."""
    across = np.sqrt(points[:, 0] ** 2 + points[:, 1] ** 2 + TINY)
    share = np.degrees(np.arctan2(across, points[:, 2])) / across
    return points[:, :2] * share[:, None]


def unit(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The vectors (n, k) with length 1; vectors without a length stay so."""
    return vectors / np.sqrt((vectors * vectors).sum(axis=1, keepdims=True) + TINY)


def along(vectors: npt.NDArray[Any], points: Points) -> npt.NDArray[np.float64]:
    """The part of vectors (n, 3) that is tangent to the sphere at points."""
    return vectors - (vectors * points).sum(axis=1, keepdims=True) * points


def spread(degrees: float, generator: np.random.Generator, spacing: float) -> Places:
    """Places at about equal distances all over the sphere, up to so many degrees from the pole; (n, 2), in degrees."""
    cells = np.arange(-degrees, degrees, spacing)
    grid = np.stack(np.meshgrid(cells, cells), axis=-1).reshape(-1, 2)
    places = grid + generator.random(grid.shape) * spacing
    radius = np.sqrt((places * places).sum(axis=1) + TINY)
    # Around the pole a ring of the map is longer than that of the sphere, by the angle over its sine.
    sine = np.array([turned(float(each))[1] for each in radius])
    kept = generator.random(len(places)) * (radius * (np.pi / 180)) < sine
    return places[(radius < degrees) & kept]
