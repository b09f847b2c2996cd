"""Where the pixels of one photograph are in the other, and which of them both show."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from ..cameras import product
from ..parallax.fitting import Parallax, apply, fit_homography, measure_parallax
from ..parallax.geometry import inside
from .lids import Shade
from .optics import Array, Mask, grid, in_field, project, seen_at
from .scenes import FundusSpec


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of a pair, to the last bit but for the lids' edges, which are those of a picture."""

    targets: Array
    """Pixels of the source (H, W, 2) where the pixels of the reference are; of the geometry, also beyond the fields."""
    shown: Mask
    """Which pixels (H, W) of the reference show the retina."""
    visible: Mask
    """Which pixels (H, W) of the reference show a point that the source shows as well."""
    hidden: Mask
    """Which pixels (H, W) of the reference have a place in the source, while one of the two does not show the point."""

    @property
    def overlap(self) -> float:
        """Share of the reference's pixels whose point both show."""
        return float(self.visible.mean())

    @property
    def field_overlap(self) -> float:
        """The same among the pixels that show the retina."""
        return float(self.visible.sum() / self.shown.sum())


def pair_truth(spec: FundusSpec, shades: tuple[Shade, Shade]) -> Truth:
    """The truth of a pair.

    Args:
        spec: the scene.
        shades: lids before the reference and before the source.
    """
    reference, source = spec.shots
    pixels = grid(spec.width, spec.height)
    targets = project(source, seen_at(spec.eye, reference, pixels))
    lands = inside(targets, spec.width, spec.height)
    column, row = np.where(lands[..., None], np.rint(targets), 0).astype(int).transpose(2, 0, 1)
    # A place on the rim rounds to a pixel beyond it.
    column, row = np.clip(column, 0, spec.width - 1), np.clip(row, 0, spec.height - 1)
    shown = in_field(reference, pixels) & ~shades[0].hides
    visible = shown & lands & in_field(source, targets) & ~shades[1].hides[row, column]
    return Truth(targets, shown, visible, lands & ~visible)


def best_homography(spec: FundusSpec, truth: Truth) -> Parallax | None:
    """The homography of least squared distance over what both show, and what it leaves; None if undefined."""
    points, targets = grid(spec.width, spec.height)[truth.visible], truth.targets[truth.visible]
    if len(points) < 8:
        return None
    # The fit starts at no motion and takes few steps: pictures of different scale are brought near each other first.
    start = _similar(points, targets)
    once = fit_homography(apply(start, points), targets, spec.width, spec.height)
    if once is None:
        return None
    start = product(once, start)
    found = measure_parallax(apply(start, points), targets, spec.width, spec.height)
    if found is None:
        return None
    whole = product(found.homography, start)
    return dataclasses.replace(found, homography=whole / whole[2, 2])


def _similar(points: Array, targets: Array) -> Array:
    """The upright similarity (3, 3) that gives the points the targets' middle and spread."""
    boxes = [(each.min(axis=0), each.max(axis=0)) for each in (points, targets)]
    (low, high), (goal_low, goal_high) = boxes
    scale = float((goal_high - goal_low).sum() / (high - low).sum())
    x, y = ((goal_low + goal_high) - scale * (low + high)) / 2
    return np.array([[scale, 0.0, x], [0.0, scale, y], [0.0, 0.0, 1.0]])
