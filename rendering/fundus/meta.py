"""`meta.json` of a fundus scene: cameras, control points and measured facts."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np

from ..cameras import product
from ..parallax.fitting import Parallax
from .film import Gains
from .optics import forward
from .scenes import FundusSpec, ShotSpec
from .truth import Truth

GENERATOR = "fundus"


def fundus_meta(
    spec: FundusSpec, truth: Truth, fitted: Parallax | None, gains: tuple[Gains, Gains], blender: str
) -> bytes:
    """`meta.json`; nothing in it depends on the machine.

    There is no `homography` at its top: none is true of a sphere. That under `parallax` is the one that fits best; what
    the flow leaves of it is the local field of the pair.

    Args:
        spec: the scene.
        truth: where the reference's pixels are in the source.
        fitted: the homography that is nearest to it; None where too few pixels are visible.
        gains: exposures of both photographs.
        blender: Blender's version.
    """
    diagonal = math.sqrt(spec.width**2 + spec.height**2)
    content = {
        "generator": GENERATOR,
        "blender": blender,
        "seed": spec.dataset_seed,
        "index": spec.index,
        "size": [spec.width, spec.height],
        "subset": spec.kind,
        "eye": asdict(spec.eye),
        "retina": {"side": spec.retinas[0].side, "conditions": [each.condition for each in spec.retinas]},
        "cameras": [_camera(shot) for shot in spec.shots],
        "overlap": truth.overlap,
        "field_overlap": truth.field_overlap,
        "parallax": fitted
        and {
            "p90_px": fitted.p90_px,
            "p90_percent": 100 * fitted.p90_px / diagonal,
            "rms_px": fitted.rms_px,
            "homography": fitted.homography.tolist(),
        },
        "points": spec.points,
        "gains": gains,
    }
    return json.dumps(content, sort_keys=True).encode()


def _camera(shot: ShotSpec) -> dict[str, object]:
    """A camera: `intrinsics` and `world_to_camera` are of its pinhole, millimetres in the eye's axes.

    `distortion` is that of `ShotSpec`; `field` holds the half axes of the elliptical field around the line of sight's
    pixel, in pixels.
    """
    down = tuple(-each for each in shot.up)
    turn = np.array([shot.right, down, forward(shot)])
    (x, y), focal = shot.centre, shot.focal
    return {
        "kind": shot.camera,
        "position": shot.position,
        "intrinsics": [[focal, 0.0, x], [0.0, focal, y], [0.0, 0.0, 1.0]],
        "world_to_camera": np.column_stack([turn, -product(turn, np.asarray(shot.position)[:, None])]).tolist(),
        "distortion": shot.distortion,
        "field": shot.stop,
        "field_angle": shot.field_angle,
        "seed": shot.seed,
    }
