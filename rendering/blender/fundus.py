"""Renders one fundus scene: from its specification to the encoded fields of one sample."""

from __future__ import annotations

import math
import tempfile
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector

from ...methods.errors import InputError
from ..arrays import npz
from ..cameras import SENSOR_WIDTH
from ..exposure import Light, check_light, png
from ..fundus.film import Window, aligned, develop, gains_of, through_lens, window
from ..fundus.lids import shade
from ..fundus.maps import density_of, part_of, vessel_mask
from ..fundus.mesh import retina_mesh
from ..fundus.meta import fundus_meta
from ..fundus.optics import Mask, grid, in_field
from ..fundus.retina.painting import RetinaMaps, paint_retina
from ..fundus.retina.spec import RetinaSpec
from ..fundus.scenes import FlashSpec, FundusSpec, ShotSpec
from ..fundus.truth import best_homography, pair_truth
from ..kinds import Device
from ..parallax.scenes import ViewSpec
from .engine import blender_version, fresh_scene, render_light
from .objects import add_camera
from .parallax_objects import aim_camera, blender_image, mesh_object

FLASH = 16000.0
"""Power of the flash, in Blender's watts: at 2 radii of an eye in millimetres it makes light of about 0.2."""
FLASH_RADIUS = 0.1
"""Of the flash's face, in millimetres."""
ROUGHNESS = 0.5
"""Of the retina's inner limiting membrane."""
SHEEN = 0.08
"""Strength of its reflexes (Blender's specular level; 0.5 is that of a refractive index of 1.5)."""


def render_fundus(spec: FundusSpec, pictures: str | None, threads: int, device: Device = "cpu") -> dict[str, bytes]:
    """The fields of one sample.

    `ref.png src.png gt.png flow.npz occlusion.png vessels.png vessels-src.png meta.json`. `gt.png` is what the source
    shows, rendered from the reference's camera under the source's light and exposure: the source, perfectly aligned;
    black where the source does not show it. `flow` (2, H, W) float32 leads from each pixel of the reference to the same
    point's place in the source, in pixels, by the geometry alone, so it is known beyond the fields as well.
    `occlusion.png` is 255 where that place lies in the source while a field stop or a lid hides the point in one of the
    two. `vessels.png` and `vessels-src.png` (H, W) are the share of each pixel that vessels cover, times 255.

    Args:
        spec: the scene.
        pictures: None; an eye has its own.
        threads: threads that Cycles may use; the bytes do not depend on it.
        device: what Cycles computes on.

    Raises:
        InputError: pictures are given.
        RenderError: the scene cannot be rendered as it should be; the class says why.
    """
    if pictures is not None:
        raise InputError("--textures: fundus scenes paint their own retinas")
    with tempfile.TemporaryDirectory(prefix="raylign-scene-") as folder:
        return _Stage(spec, folder, threads, device).fields()


class _Stage:
    """An eye, ready to be photographed."""

    def __init__(self, spec: FundusSpec, folder: str, threads: int, device: Device) -> None:
        self.spec, self.folder, self.threads, self.device = spec, folder, threads, device
        self.size = spec.width, spec.height
        self.pixels = grid(*self.size)

    def fields(self) -> dict[str, bytes]:
        """Everything about the scene, encoded."""
        spec, (reference, source), (now, later) = self.spec, self.spec.shots, self.spec.retinas
        shades = shade(reference, *self.size), shade(source, *self.size)
        truth = pair_truth(spec, shades)
        maps = self._paint(now, reference), self._paint(later, source)
        gains, pictures = [], []
        for shot, ground, lid, name in zip(spec.shots, maps, shades, ("reference", "source"), strict=True):
            field = in_field(shot, self.pixels)
            light = self._light(shot, shot, ground, field)
            check_light(light, f"the {name}")
            gains.append(gains_of(light[field & ~lid.hides][:, None], shot.film))
            pictures.append(png(develop(light, gains[-1], shot, lid)))
        same = maps[0] if later == now else self._paint(later, reference)
        seen = self._light(reference, source, same, truth.visible)
        blur = source.film.blur * reference.focal / source.focal
        vessels = [vessel_mask(spec.eye, *each, *self.size) for each in zip(spec.shots, maps, strict=True)]
        return {
            "ref.png": pictures[0],
            "src.png": pictures[1],
            "gt.png": png(aligned(seen, gains[1], source, shades[1], blur, truth)),
            "flow.npz": npz(flow=np.moveaxis(truth.targets - self.pixels, 2, 0).astype(np.float32)),
            "occlusion.png": png(np.where(truth.hidden, 255, 0).astype(np.uint8)),
            "vessels.png": png(vessels[0]),
            "vessels-src.png": png(vessels[1]),
            "meta.json": fundus_meta(
                spec, truth, best_homography(spec, truth), (gains[0], gains[1]), blender_version()
            ),
        }

    def _paint(self, retina: RetinaSpec, shot: ShotSpec) -> RetinaMaps:
        """The map of what a photograph shows."""
        part = part_of(self.spec.eye, shot, self.pixels[in_field(shot, self.pixels)])
        return paint_retina(retina, density_of(shot), part)

    def _light(self, shot: ShotSpec, lit: ShotSpec, maps: RetinaMaps, needed: Mask) -> Light:
        """Linear light (H, W, 3) on the film of one photograph, under the flash of another, at the pixels needed."""
        # Blur and the field stop's soft edge look a little farther.
        reach = math.ceil(3 * shot.film.blur) + 1
        steps = [np.array([x, y]) for x in (-reach, reach) for y in (-reach, reach)]
        part = window(shot, np.concatenate([self.pixels[needed] + step for step in steps]))
        scene = fresh_scene(part.width, part.height, self.threads, self.device)
        mesh_object(scene, "retina", retina_mesh(self.spec.eye, maps), [retina_material(maps)])
        add_flash(scene, lit.flash)
        aim(add_camera(scene, near=0.01, far=100.0), shot, part)
        light = render_light(scene, self.folder, samples=self.spec.samples, bounces=0, seed=shot.seed)
        return through_lens(light, part, shot, *self.size)


def retina_material(maps: RetinaMaps) -> Any:
    """The retina under its glossy membrane."""
    material = bpy.data.materials.new("retina")
    tree = material.node_tree
    tree.nodes.clear()
    output, shader = tree.nodes.new("ShaderNodeOutputMaterial"), tree.nodes.new("ShaderNodeBsdfPrincipled")
    shader.inputs["Roughness"].default_value = ROUGHNESS
    shader.inputs["Specular IOR Level"].default_value = SHEEN
    texture = tree.nodes.new("ShaderNodeTexImage")
    texture.image, texture.interpolation, texture.extension = blender_image(maps.colour), "Linear", "EXTEND"
    tree.links.new(texture.outputs["Color"], shader.inputs["Base Color"])
    tree.links.new(shader.outputs[0], output.inputs["Surface"])
    return material


def add_flash(scene: Any, spec: FlashSpec) -> None:
    """The light near the pupil, itself unseen."""
    data = bpy.data.lights.new("flash", "SPOT")
    data.energy, data.shadow_soft_size = FLASH, FLASH_RADIUS
    data.spot_size, data.spot_blend = math.radians(spec.opening), spec.fade
    lamp = bpy.data.objects.new("flash", data)
    lamp.matrix_world = Matrix.Translation(spec.position) @ (
        Vector(spec.direction).to_track_quat("-Z", "Y").to_matrix().to_4x4()
    )
    lamp.visible_camera = False
    scene.collection.objects.link(lamp)


def aim(camera: Any, shot: ShotSpec, part: Window) -> None:
    """Place the camera so that it renders a window."""
    lens = SENSOR_WIDTH * part.focal / part.width
    aim_camera(camera, ViewSpec(shot.position, shot.right, shot.up, lens, 0.0, shot.seed))
    # The window's middle lies beside the line of sight; shifts count in widths, to the right and up.
    camera.data.shift_x = ((part.width - 1) / 2 - part.centre[0]) / part.width
    camera.data.shift_y = (part.centre[1] - (part.height - 1) / 2) / part.width
