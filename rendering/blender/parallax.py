"""Renders one parallax scene: from its specification to the encoded fields of one sample."""

from __future__ import annotations

import tempfile

import bpy
import numpy as np
import numpy.typing as npt

from ...methods.errors import InputError
from ..arrays import npz
from ..errors import RenderError
from ..exposure import check_light, frame_gain, png, to_srgb
from ..kinds import Device
from ..parallax.fitting import measure_parallax
from ..parallax.geometry import inside, rays, to_camera, to_pixels
from ..parallax.meshes import Mesh
from ..parallax.meta import parallax_meta
from ..parallax.scenes import ParallaxSpec, ViewSpec
from .engine import fresh_scene, render_light
from .objects import add_camera
from .obstacles import Obstacles
from .parallax_objects import add_lamp, add_place, add_sky, aim_camera
from .surface import SurfacePass, render_surface

Field = npt.NDArray[np.float64]


def render_parallax(spec: ParallaxSpec, pictures: str | None, threads: int, device: Device = "cpu") -> dict[str, bytes]:
    """The fields of one sample: `ref.png src.png gt.png flow.npz occlusion.png depth.npz meta.json`.

    `gt.png` is the reference view at the source's exposure: the source, perfectly aligned. `flow` (2, H, W) float32
    leads from each pixel of the reference to the same point's place in the source, in pixels; for the sky to the same
    direction's place. `occlusion.png` is 255 where that place is within the source but something nearer is seen there.
    `depth.npz` holds `ref` and `src` (H, W) float32, metres along the line of sight, infinite for the sky.

    Args:
        spec: the scene.
        pictures: None; a scene paints its own surfaces.
        threads: threads that Cycles may use; the bytes do not depend on it.
        device: what Cycles computes on.

    Raises:
        InputError: pictures are given.
        RenderError: the scene cannot be rendered as it should be; the class says why.
    """
    if pictures is not None:
        raise InputError("--textures: parallax scenes paint their own surfaces")
    with tempfile.TemporaryDirectory(prefix="raylign-scene-") as folder:
        return _Stage(spec, folder, threads, device).fields()


class _Stage:
    """A Blender scene with everything in it but the camera's place."""

    def __init__(self, spec: ParallaxSpec, folder: str, threads: int, device: Device) -> None:
        self.spec, self.folder, self.size = spec, folder, (spec.width, spec.height)
        self.scene = fresh_scene(spec.width, spec.height, threads, device)
        self.mesh = add_place(self.scene, spec.parts, spec.surfaces, spec.views, spec.width, spec.ambient)
        for lamp in spec.lamps:
            add_lamp(self.scene, lamp)
        add_sky(self.scene, spec.sky, indoors=spec.layout == "room")
        self.camera = add_camera(self.scene, near=0.02, far=2000.0)

    def fields(self) -> dict[str, bytes]:
        """Everything about the scene, encoded."""
        spec, (reference, source) = self.spec, self.spec.views
        lights, passes, gains = [], [], []
        for view, name in ((reference, "the reference"), (source, "the source")):
            aim_camera(self.camera, view)
            light = render_light(self.scene, self.folder, samples=spec.samples, bounces=spec.bounces, seed=view.seed)
            check_light(light, name)
            lights.append(light)
            gains.append(frame_gain(light, spec.exposure, view.exposure_shift))
            passes.append(render_surface(self.scene, self.folder))
        truth = _Truth(spec, passes[0], self.mesh)
        visible = inside(truth.targets, *self.size) & ~truth.occluded
        parallax = measure_parallax(truth.origins[visible], truth.targets[visible], *self.size)
        exposed = [(lights[0], gains[0]), (lights[1], gains[1]), (lights[0], gains[1])]
        pictures = [png(to_srgb(light * np.float32(gain))) for light, gain in exposed]
        return {
            "ref.png": pictures[0],
            "src.png": pictures[1],
            "gt.png": pictures[2],
            "flow.npz": npz(flow=np.moveaxis(truth.targets - truth.origins, 2, 0).astype(np.float32)),
            "occlusion.png": png(np.where(truth.occluded, 255, 0).astype(np.uint8)),
            "depth.npz": npz(ref=depth_of(reference, passes[0]), src=depth_of(source, passes[1])),
            "meta.json": parallax_meta(spec, gains, float(visible.mean()), parallax, bpy.app.version_string),
        }


class _Truth:
    """Where the reference's pixels are in the source."""

    def __init__(self, spec: ParallaxSpec, seen: SurfacePass, mesh: Mesh) -> None:
        reference, source = spec.views
        width, height = spec.width, spec.height
        rows, columns = np.indices((height, width), dtype=np.float64)
        directions = rays(reference, np.stack([columns, rows], axis=2), width, height)
        sky = ~seen.hit[..., None]
        points = np.where(sky, 0.0, seen.position.astype(np.float64))
        # Projected back and not taken as whole pixels: so the sample's place within the pixel drops out of the flow.
        here = np.where(sky, to_camera(reference, directions, points=False), to_camera(reference, points))
        there = np.where(sky, to_camera(source, directions, points=False), to_camera(source, points))
        if there[..., 2].min() < 0.01:
            raise RenderError("something that the reference sees is beside or behind the source's camera")
        self.origins: Field = to_pixels(reference, here, width, height)
        self.targets: Field = to_pixels(source, there, width, height)
        candidates = inside(self.targets, width, height)
        self.occluded = np.zeros((height, width), bool)
        obstacles = Obstacles([mesh])
        self.occluded[candidates] = obstacles.hide(
            source, points[candidates], directions[candidates], sky[..., 0][candidates]
        )


def depth_of(view: ViewSpec, seen: SurfacePass) -> npt.NDArray[np.float32]:
    """Depth (H, W) along the line of sight, in metres; infinite where nothing is seen."""
    depth = to_camera(view, seen.position.astype(np.float64))[..., 2]
    return np.where(seen.hit, depth, np.inf).astype(np.float32)
