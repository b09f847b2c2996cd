"""`meta.json` of a parallax scene: cameras and measured facts."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

from .fitting import Parallax
from .geometry import view_intrinsics, view_matrix
from .scenes import ParallaxSpec, ViewSpec

GENERATOR = "parallax"


def parallax_meta(
    spec: ParallaxSpec, gains: list[float], overlap: float, parallax: Parallax | None, blender: str
) -> bytes:
    """`meta.json`; nothing in it depends on the machine.

    There is no `homography` at its top: none is true here. That under `parallax` is the one that fits best.

    Args:
        spec: the scene.
        gains: gain of each picture.
        overlap: share of the reference's pixels whose point is visible in the source.
        parallax: what the best homography leaves of the flow; None where too few pixels are visible.
        blender: Blender's version.
    """
    diagonal = math.sqrt(spec.width**2 + spec.height**2)
    content = {
        "generator": GENERATOR,
        "blender": blender,
        "seed": spec.dataset_seed,
        "index": spec.index,
        "size": [spec.width, spec.height],
        "layout": spec.layout,
        "difficulty": spec.difficulty,
        "cameras": [view_meta(view, spec.width, spec.height) for view in spec.views],
        "overlap": overlap,
        "parallax": parallax
        and {
            "p90_px": parallax.p90_px,
            "p90_percent": 100 * parallax.p90_px / diagonal,
            "rms_px": parallax.rms_px,
            "homography": parallax.homography.tolist(),
        },
        "gains": gains,
        "lights": {"sky": asdict(spec.sky), "lamps": [asdict(each) for each in spec.lamps]},
    }
    return json.dumps(content, sort_keys=True).encode()


def view_meta(view: ViewSpec, width: int, height: int) -> dict[str, object]:
    """A camera, as `meta.json` tells it."""
    return {
        "position": view.position,
        "lens": view.lens,
        "intrinsics": view_intrinsics(view, width, height).tolist(),
        "world_to_camera": view_matrix(view).tolist(),
    }
