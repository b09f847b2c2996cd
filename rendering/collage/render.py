"""Renders one collage: from its specification to the encoded fields of one sample."""

from __future__ import annotations

import cv2
import numpy as np

from ..arrays import npz
from ..kinds import Device
from ..parallax.fitting import Parallax, apply
from ..parallax.geometry import inside
from .laying import Stack, View
from .meta import collage_meta
from .photographs import expose, photograph, quick_png, round_off, tone
from .sampling import Matrix, move_points
from .scenes import CollageSpec

FIT_POINTS = 4000
"""About so many pixels take part in fitting a homography."""


def render_collage(spec: CollageSpec, pictures: str | None, threads: int, _device: Device = "cpu") -> dict[str, bytes]:
    """The fields of one sample: `ref.png src.png gt.png flow.npz occlusion.png meta.json`.

    `gt.png` is the reference as the source's camera would take it, without noise: the source, perfectly aligned.
    `flow` (2, H, W) float32 leads from each pixel of the reference to the same point's place in the source, in pixels.
    `occlusion.png` is 255 where that place is within the source but a nearer plane's piece lies there.

    Args:
        spec: the scene.
        pictures: folder of the user's pictures; None for scikit-image's.
        threads: threads that OpenCV may use; the bytes do not depend on it.

    Raises:
        InputError: a picture is not there.
    """
    cv2.setNumThreads(threads)
    width, height = spec.width, spec.height
    stack = Stack.of(spec, pictures)
    reference = View(stack, [np.eye(3) for _ in stack.levels], width, height)
    source = View(stack, stack.levels, width, height)
    truth = _Truth(stack, reference, source, width, height)
    visible = inside(truth.targets, width, height) & ~truth.occluded
    light = expose(reference.light, spec.blur)
    return {
        "ref.png": quick_png(photograph(light, spec.cameras[0])),
        "src.png": quick_png(photograph(expose(source.light, spec.blur), spec.cameras[1])),
        "gt.png": quick_png(round_off(tone(light, spec.cameras[1]))),
        "flow.npz": npz(level=1, flow=np.moveaxis(truth.targets - truth.origins, 2, 0).astype(np.float32)),
        "occlusion.png": quick_png(np.where(truth.occluded, 255, 0).astype(np.uint8)),
        "meta.json": collage_meta(
            spec, float(visible.mean()), _parallax(truth.origins[visible], truth.targets[visible])
        ),
    }


def _parallax(origins: Matrix, targets: Matrix) -> Parallax | None:
    """What the homography of least squared distance leaves of the flow from pixels (N, 2); None for too few."""
    if len(origins) < 8:
        return None
    step = max(1, len(origins) // FIT_POINTS)
    matrix, _ = cv2.findHomography(origins[::step], targets[::step])
    distance = np.linalg.norm(apply(matrix, origins) - targets, axis=1)
    return Parallax(float(np.quantile(distance, 0.9)), float(np.sqrt(np.square(distance).mean())), matrix)


class _Truth:
    """Where the reference's pixels are in the source."""

    def __init__(self, stack: Stack, reference: View, source: View, width: int, height: int) -> None:
        rows, columns = np.indices((height, width), dtype=np.float64)
        self.origins: Matrix = np.stack([columns, rows], axis=2)
        level = reference.levels_at(self.origins.reshape(-1, 2)).reshape(height, width)
        self.targets = np.empty_like(self.origins)
        for number, matrix in enumerate(stack.levels):
            chosen = level == number
            self.targets[chosen] = move_points(matrix, self.origins[chosen])
        candidates = inside(self.targets, width, height)
        self.occluded = np.zeros((height, width), bool)
        self.occluded[candidates] = source.levels_at(self.targets[candidates]) > level[candidates]
