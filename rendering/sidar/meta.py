"""What is written beside a scene's pictures."""

from __future__ import annotations

import json
from dataclasses import asdict

from ..cameras import homography, intrinsics, world_to_camera
from .scenes import SceneSpec

GENERATOR = "sidar"


def scene_meta(spec: SceneSpec, gains: list[float], blender: str) -> bytes:
    """`meta.json` of a scene.

    `homographies[k]` (3 x 3, determinant 1) maps pixels of frame 0, and so of `gt.png`, to pixels of frame k; the
    camera matrices are those of `cameras.py`. Nothing in it depends on the machine.
    """
    width, height = spec.width, spec.height
    frames = [frame.camera for frame in spec.frames]
    content = {
        "generator": GENERATOR,
        "blender": blender,
        "seed": spec.dataset_seed,
        "index": spec.index,
        "size": [width, height],
        "lighting": spec.lighting,
        "ambient": spec.ambient,
        "texture": asdict(spec.texture),
        "homographies": [homography(frames[0], each, width, height).tolist() for each in frames],
        "cameras": [
            {
                **asdict(each),
                "intrinsics": intrinsics(each, width, height).tolist(),
                "world_to_camera": world_to_camera(each).tolist(),
            }
            for each in frames
        ],
        "lights": [[asdict(each) for each in frame.lights] for frame in spec.frames],
        "occluders": [[asdict(each) for each in frame.occluders] for frame in spec.frames],
        "surfaces": [asdict(frame.surface) for frame in spec.frames],
        "gains": gains,
    }
    return json.dumps(content, sort_keys=True).encode()
