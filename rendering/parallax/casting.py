"""Rays through a scene's parts, all at once: the sampler's eye. Round parts are ideal here, the renderer's have edges.

Only elementwise NumPy arithmetic is used, whose results do not depend on the processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..cameras import Vector
from .scenes import PartSpec, Shape

Field = npt.NDArray[Any]
"""Numbers (float64) or answers (bool)."""

TINY = 1e-30
"""Stands for a slope of zero, so that a ray along a face never divides by it."""


class Caster:
    """The parts of a scene, ready to be looked at."""

    def __init__(self, parts: Sequence[PartSpec]) -> None:
        self.centre = np.array([each.centre for each in parts])
        self.half = np.array([each.half for each in parts])
        self.turn = np.array([each.turn for each in parts])
        order = np.array([[(each.axis + 1) % 3, (each.axis + 2) % 3, each.axis] for each in parts])
        self.order = order
        self.taper = np.array([each.taper for each in parts])
        shapes: dict[Shape, list[int]] = {"box": [], "cylinder": [], "sphere": []}
        for number, each in enumerate(parts):
            shapes[each.shape].append(number)
        self.shapes = {shape: np.array(numbers, np.int64) for shape, numbers in shapes.items()}

    def cast(self, origin: Vector, directions: Field) -> tuple[Field, npt.NDArray[np.int64]]:
        """What each ray meets first.

        Args:
            origin: where all rays begin, outside of all parts.
            directions: (N, 3).

        Returns:
            the distance (N,) in units of the direction's length, infinite for the sky, and the part (N,), -1 for none.
        """
        nearest = np.full(len(directions), np.inf)
        found = np.full(len(directions), -1, np.int64)
        meet = {"box": _meet_box, "cylinder": _meet_cylinder, "sphere": _meet_sphere}
        for shape, members in self.shapes.items():
            if not len(members):
                continue
            start, along = self._own(members, np.asarray(origin)[None], directions)
            distance = meet[shape](start, along, self.taper[members])
            first = np.argmin(distance, axis=0)
            reached = np.take_along_axis(distance, first[None], axis=0)[0]
            closer = reached < nearest
            nearest[closer], found[closer] = reached[closer], members[first[closer]]
        return nearest, found

    def clearance(self, point: Vector) -> float:
        """Distance from a point to the nearest part's box; 0 within one."""
        x, y, z = (np.abs(each) for each in self._axes(np.asarray(point)[None] - self.centre))
        gaps = [np.maximum(each - self.half[:, axis], 0.0) for axis, each in enumerate((x, y, z))]
        return float(np.sqrt(gaps[0] * gaps[0] + gaps[1] * gaps[1] + gaps[2] * gaps[2]).min())

    def _axes(self, vectors: Field) -> tuple[Field, Field, Field]:
        """World vectors (parts, 3) in each part's own axes."""
        cosine, sine = self.turn[:, 0], self.turn[:, 1]
        x, y = vectors[:, 0], vectors[:, 1]
        return cosine * x + sine * y, cosine * y - sine * x, vectors[:, 2]

    def _own(
        self, members: npt.NDArray[np.int64], origins: Field, directions: Field
    ) -> tuple[list[Field], list[Field]]:
        """Origin (parts, 1) and directions (parts, N) along the axes (across, across, `axis`), in half extents."""
        cosine, sine = self.turn[members, 0, None], self.turn[members, 1, None]
        rows = np.arange(len(members))
        results = []
        for vectors in (origins[None] - self.centre[members, None], directions[None]):
            x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
            own = np.stack(np.broadcast_arrays(cosine * x + sine * y, cosine * y - sine * x, z), axis=1)
            own = own / self.half[members, :, None]
            results.append([own[rows, self.order[members, axis]] for axis in range(3)])
        return results[0], results[1]


def _meet_box(start: list[Field], along: list[Field], taper: Field) -> Field:
    """Distances (parts, N) to boxes, by their six planes."""
    enter, leave = np.zeros(along[0].shape), np.full(along[0].shape, np.inf)
    planes = [(-start[2] - 1, -along[2]), (start[2] - 1, along[2])]
    for axis in range(2):
        # The side is at 1 below and at the taper above: sign * x + slope * z <= middle.
        slope, middle = (1 - taper[:, axis, None]) / 2, (1 + taper[:, axis, None]) / 2
        for sign in (-1, 1):
            planes.append((sign * start[axis] + slope * start[2] - middle, sign * along[axis] + slope * along[2]))
    for excess, speed in planes:
        speed = np.where(speed == 0, TINY, speed)
        distance = -excess / speed
        enter = np.where(speed < 0, np.maximum(enter, distance), enter)
        leave = np.where(speed > 0, np.minimum(leave, distance), leave)
    return np.where((enter < leave) & (enter > 0), enter, np.inf)


def _meet_cylinder(start: list[Field], along: list[Field], taper: Field) -> Field:
    """Distances (parts, N) to cylinders and cones: between two planes and within a quadric."""
    slope, middle = (1 - taper[:, :1]) / 2, (1 + taper[:, :1]) / 2
    radius, growth = middle - slope * start[2], -slope * along[2]
    a: Field = along[0] * along[0] + along[1] * along[1] - growth * growth
    b = start[0] * along[0] + start[1] * along[1] - radius * growth
    c: Field = start[0] * start[0] + start[1] * start[1] - radius * radius
    root = np.sqrt(np.maximum(b * b - a * c, 0.0))
    steady = np.where(np.abs(a) < TINY, TINY, a)
    first, second = (-b - root) / steady, (-b + root) / steady
    first, second = np.minimum(first, second), np.maximum(first, second)
    speed = np.where(along[2] == 0, TINY, along[2])
    below, above = (-1 - start[2]) / speed, (1 - start[2]) / speed
    # Steep rays within a cone's opening are between its roots on the outside; those beside it are met at the caps.
    enter, leave = np.maximum(first, np.minimum(below, above)), np.minimum(second, np.maximum(below, above))
    hit = (b * b - a * c > 0) & (a > 0) & (enter < leave) & (enter > 0)
    return np.where(hit, enter, _cap(start, along, taper, speed, np.less_equal(a, 0)))


def _cap(start: list[Field], along: list[Field], taper: Field, speed: Field, steep: Field) -> Field:
    """Distances (parts, N) of steep rays to the nearer cap of a cone."""
    end = np.where(speed < 0, 1.0, -1.0)
    distance = (end - start[2]) / speed
    x, y = start[0] + distance * along[0], start[1] + distance * along[1]
    radius = np.where(end > 0, taper[:, :1], 1.0)
    return np.where(steep & (distance > 0) & (x * x + y * y < radius * radius), distance, np.inf)


def _meet_sphere(start: list[Field], along: list[Field], _taper: Field) -> Field:
    """Distances (parts, N) to spheres."""
    a: Field = along[0] * along[0] + along[1] * along[1] + along[2] * along[2]
    b = start[0] * along[0] + start[1] * along[1] + start[2] * along[2]
    c = start[0] * start[0] + start[1] * start[1] + start[2] * start[2] - 1
    inner: Field = b * b - a * c
    distance = (-b - np.sqrt(np.maximum(inner, 0.0))) / a
    return np.where((inner > 0) & (distance > 0), distance, np.inf)
