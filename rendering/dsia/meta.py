"""`meta.json` of a dynamic pair: cameras and measured facts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from ..parallax.meta import view_meta
from .config import Subset
from .scenes import DsiaSpec, LightSpec

GENERATOR = "dsia"
LARGE = 100 * 40 / 960
"""Motion, in percent of the width, above which it is large: 40 pixels of DMAligner's 960. Their bound is not known."""


@dataclass(frozen=True)
class Motion:
    """How much moves between the two moments, in pixels."""

    camera_px: float
    """Mean length of the flow of what stands still, where the source sees it."""
    foreground_px: float
    """Mean length of the motion of what moves by itself, as seen from view 1; 0 where nothing is in view."""

    def subset(self, width: int) -> Subset:
        """Where the pair belongs."""
        camera = "Lc" if 100 * self.camera_px / width > LARGE else "Sc"
        foreground = "Lf" if 100 * self.foreground_px / width > LARGE else "Sf"
        return camera + foreground  # type: ignore[return-value]


def dsia_meta(spec: DsiaSpec, gains: list[float], overlap: float, motion: Motion, blender: str) -> bytes:
    """`meta.json`; nothing in it depends on the machine.

    Args:
        spec: the pair.
        gains: gain of ref, src and gt.
        overlap: share of the reference's pixels whose point is visible in the source.
        motion: what moves how far.
        blender: Blender's version.
    """
    content = {
        "generator": GENERATOR,
        "blender": blender,
        "seed": spec.dataset_seed,
        "index": spec.index,
        "scene": spec.scene,
        "pair": spec.pair,
        "size": [spec.width, spec.height],
        "layout": spec.layout,
        "move": spec.move,
        "subset": motion.subset(spec.width),
        "wanted": spec.subset,
        "lapse": spec.lapse,
        "motion": {
            "camera_px": motion.camera_px,
            "foreground_px": motion.foreground_px,
            "camera_percent": 100 * motion.camera_px / spec.width,
            "foreground_percent": 100 * motion.foreground_px / spec.width,
        },
        "cameras": [view_meta(view, spec.width, spec.height) for view in spec.views],
        "overlap": overlap,
        "gains": gains,
        "movers": [
            {
                "kind": each.kind,
                "number": each.number,
                "asset": each.asset and each.asset.path,
                "action": each.action,
                "poses": [asdict(pose) for pose in each.poses],
            }
            for each in spec.movers
        ],
        "lights": [_light(each) for each in spec.lights],
    }
    return json.dumps(content, sort_keys=True).encode()


def _light(light: LightSpec) -> dict[str, object]:
    return {"sky": asdict(light.sky), "lamps": [asdict(each) for each in light.lamps]}
