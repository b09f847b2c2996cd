"""What a camera sees of a scene, estimated by rays through a coarse grid of pixels."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .casting import Caster
from .fitting import measure_parallax
from .geometry import inside, rays, to_camera, to_pixels
from .scenes import ViewSpec

GRID = 24
"""Rays along each axis of the estimate."""
CLEARANCE = 0.35
"""Least distance between a camera and the box around any part, in metres."""
NEAR, NEAR_SHARE = 1.4, 0.12
"""A camera's view is blocked if more than this share of it is nearer than that many metres."""


class Grid:
    """What a camera sees along a coarse grid of rays."""

    def __init__(self, caster: Caster, view: ViewSpec, size: tuple[int, int]) -> None:
        self.caster, self.view, self.size = caster, view, size
        steps = (np.arange(GRID) + 0.5) / GRID
        # Cells reach to the picture's borders; their middles stand for them.
        x, y = np.meshgrid(steps * size[0] - 0.5, steps * size[1] - 0.5)
        pixels = np.stack([x.ravel(), y.ravel()], axis=1)
        directions = rays(view, pixels, *size)
        self.depth, _ = caster.cast(view.position, directions)
        self.sky = np.isinf(self.depth)
        known = np.where(self.sky, 1.0, self.depth)
        self.points = np.asarray(view.position) + directions * known[:, None]
        self.directions = directions
        # Where the rays really are, by the same arithmetic as the source's pixels.
        self.pixels = to_pixels(view, to_camera(view, directions, points=False), *size)

    @property
    def free(self) -> bool:
        """Whether the camera stands in free space and little is right before it."""
        if self.caster.clearance(self.view.position) < CLEARANCE:
            return False
        return float((self.depth < NEAR).mean()) <= NEAR_SHARE and float(self.sky.mean()) < 0.45

    @property
    def usual_distance(self) -> float:
        """Median depth, in metres; of the sky's 40."""
        return float(np.sort(np.minimum(self.depth, 40.0))[len(self.depth) // 2])

    def look(self, source: ViewSpec) -> tuple[float | None, float]:
        """The estimated parallax in percent of the diagonal, and the share of the points that the source sees.

        The share counts as 0 where something is beside or behind the source camera.
        """
        visible, targets = self.seen(source)
        found = measure_parallax(self.pixels[visible], targets[visible], *self.size)
        width, height = self.size
        behind = bool((to_camera(source, self.points)[~self.sky, 2] < 0.2).any())
        share = 0.0 if behind else float(visible.mean())
        return None if found is None else 100 * found.p90_px / math.sqrt(width * width + height * height), share

    def seen(self, source: ViewSpec) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
        """Which points the source sees, and at which of its pixels."""
        camera = np.where(
            self.sky[:, None], to_camera(source, self.directions, points=False), to_camera(source, self.points)
        )
        front = camera[:, 2] > 1e-3
        camera[~front, 2] = 1.0
        targets = to_pixels(source, camera, *self.size)
        towards = np.where(self.sky[:, None], self.directions, self.points - np.asarray(source.position))
        reach, _ = self.caster.cast(source.position, towards)
        clear = np.where(self.sky, np.isinf(reach), reach > 1 - 1e-3)
        return front & inside(targets, *self.size) & clear, targets
