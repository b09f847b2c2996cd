"""Renders one scene: from its specification to the encoded fields of one sample."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..arrays import npz
from ..cameras import reference_camera, world_to_camera
from ..exposure import Light, check_light, check_texture, frame_gain, png, to_srgb
from ..kinds import Device
from ..sidar.meta import scene_meta
from ..sidar.scenes import FrameSpec, SceneSpec
from ..textures import texture_image
from .engine import Channel, add_pass, fresh_scene, render_light, render_passes, set_denoising
from .objects import (
    add_camera,
    add_light,
    add_occluder,
    add_painting,
    aim_camera,
    feed_pass,
    load_texture,
    set_sky,
    set_surface,
    shining_material,
    surface_material,
)
from .surface import render_surface

SHINING_SAMPLES = 32
"""Samples per pixel where surfaces shine by themselves: only the area of a pixel has to be integrated, not light."""
COVERED = 0.5
"""Share of a pixel's samples from which on it belongs to an occluder."""


def render_scene(spec: SceneSpec, pictures: str | None, threads: int, device: Device = "cpu") -> dict[str, bytes]:
    """The fields of one sample: `000.png` and following, `000.mask.png` and following, `gt.png`, `meta.json`.

    With `spec.depth` also `000.depth.npz` and following: `depth` (H, W) float32, the distance along the optical axis of
    what the centre of each pixel sees, in Blender units; infinite where that is nothing.

    Args:
        spec: the scene.
        pictures: folder of the user's pictures; None for scikit-image's.
        threads: threads that Cycles may use; the pictures do not depend on it.
        device: what Cycles computes on.

    Raises:
        RenderError: the scene cannot be rendered as it should be; the class says why.
        ImageError: the picture that the scene shows cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="raylign-scene-") as folder:
        texture = Path(folder) / "texture.png"
        texture_image(spec.texture, pictures, spec.width, spec.height).save(texture, compress_level=1)
        return _Stage(spec, texture, folder, threads, device).fields()


class _Stage:
    """A Blender scene with the painting and a camera; a frame brings its lights and occluders and takes them away."""

    def __init__(self, spec: SceneSpec, texture: Path, folder: str, threads: int, device: Device) -> None:
        self.spec, self.folder = spec, folder
        self.scene = fresh_scene(spec.width, spec.height, threads, device)
        add_pass(self.scene, "occluders")
        image = load_texture(texture)
        self.surface, self.shining = surface_material(image), shining_material("shining", image)
        self.painting = add_painting(self.scene, spec.aspect)
        self.camera = add_camera(self.scene)
        set_sky(self.scene, spec.ambient)

    def fields(self) -> dict[str, bytes]:
        """Everything about the scene, encoded."""
        aim_camera(self.camera, reference_camera(self.spec.aspect))
        truth = self._shine(seed=0)
        check_light(truth, "the ground truth")
        check_texture(truth, "the ground truth")
        fields: dict[str, bytes] = {}
        masks: dict[str, bytes] = {}
        depths: dict[str, bytes] = {}
        gains: list[float] = []
        for number, frame in enumerate(self.spec.frames):
            aim_camera(self.camera, frame.camera)
            light, mask, depth, gain = self._frame(frame, f"frame {number}")
            fields[f"{number:03d}.png"] = png(to_srgb(light * np.float32(gain)))
            masks[f"{number:03d}.mask.png"] = png(mask)
            if depth is not None:
                depths[f"{number:03d}.depth.npz"] = npz(depth=depth)
            gains.append(gain)
        meta = scene_meta(self.spec, gains, bpy.app.version_string)
        return {**fields, **masks, **depths, "gt.png": png(to_srgb(truth)), "meta.json": meta}

    def _shine(self, seed: int) -> Light:
        """The painting by its own light: no shading, no lights, no occluders."""
        self.painting.data.materials[0] = self.shining
        return render_light(self.scene, self.folder, samples=SHINING_SAMPLES, bounces=0, seed=seed)

    def _frame(self, frame: FrameSpec, what: str) -> tuple[Light, Any, Channel | None, float]:
        """Linear light, mask (height, width) of 0 and 255, depth if asked for, and gain of one frame."""
        if self.spec.lighting == "ambient":
            light = self._shine(frame.seed)
            check_light(light, what)
            return light, np.zeros(light.shape[:2], np.uint8), self._depth(frame), 1.0
        self.painting.data.materials[0] = self.surface
        set_surface(self.surface, frame.surface)
        lights = [add_light(self.scene, each) for each in frame.lights]
        occluders = [add_occluder(self.scene, each, self.spec.occluders_hidden) for each in frame.occluders]
        for each in occluders:
            feed_pass(each.data.materials[0], "occluders", 1.0)
        set_denoising(self.scene, wanted=self.spec.denoise)
        # The same rays tell what the camera sees and whether it is an occluder, also a transparent one.
        light, channels = render_passes(
            self.scene, self.folder, samples=self.spec.samples, bounces=self.spec.bounces, seed=frame.seed
        )
        set_denoising(self.scene, wanted=False)
        check_light(light, what)
        depth = self._depth(frame)
        for each in (*lights, *occluders):
            bpy.data.objects.remove(each)
        mask = np.where(channels["occluders"] >= COVERED, 255, 0).astype(np.uint8)
        return light, mask, depth, frame_gain(light, self.spec.exposure, frame.exposure_shift)

    def _depth(self, frame: FrameSpec) -> Channel | None:
        """Distance (height, width) along the optical axis of what the pixels see; None if nobody wants it."""
        if not self.spec.depth:
            return None
        seen = render_surface(self.scene, self.folder)
        inward = world_to_camera(frame.camera)[2]
        depth = seen.position.astype(np.float64) @ inward[:3] + inward[3]
        return np.where(seen.hit, depth, np.inf).astype(np.float32)
