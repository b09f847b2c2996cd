"""`meta.json` of a collage."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

from ..parallax.fitting import Parallax
from .scenes import CollageSpec

GENERATOR = "collage"


def collage_meta(spec: CollageSpec, overlap: float, parallax: Parallax | None) -> bytes:
    """`meta.json`; nothing in it depends on the machine.

    There is no `homography` at its top: none is true of the whole picture. `levels` are those of the background and of
    the planes before it, reference to source; that under `parallax` is the one that fits the flow best.

    Args:
        spec: the scene.
        overlap: share of the reference's pixels that are seen in the source.
        parallax: what the best homography leaves of the flow; None where too few pixels are visible.
    """
    diagonal = math.sqrt(spec.width**2 + spec.height**2)
    content = {
        "generator": GENERATOR,
        "seed": spec.dataset_seed,
        "index": spec.index,
        "size": [spec.width, spec.height],
        "levels": spec.levels,
        "pieces": len(spec.pieces),
        "materials": [asdict(each) for each in spec.materials],
        "overlap": overlap,
        "parallax": parallax
        and {
            "p90_px": parallax.p90_px,
            "p90_percent": 100 * parallax.p90_px / diagonal,
            "rms_px": parallax.rms_px,
            "homography": parallax.homography.tolist(),
        },
        "blur": spec.blur,
        "photographs": [asdict(each) for each in spec.cameras],
    }
    return json.dumps(content, sort_keys=True).encode()
