"""Blender's objects for the people and things of a dynamic scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt
from PIL import Image

from ..cameras import SENSOR_WIDTH
from ..dsia.coverings import Covering
from ..dsia.people.catalogue import person, person_coverings, person_mesh
from ..dsia.scenes import MoverSpec, PoseSpec
from ..dsia.things.catalogue import thing, thing_coverings, thing_mesh
from ..parallax.meshes import Mesh
from ..parallax.scenes import ViewSpec
from .assets import Asset, load_asset
from .parallax_objects import blender_image, mesh_object

ELSEWHERE = "elsewhere"
"""Attribute of a vertex: where it is at the other moment."""
TEXELS_PER_PIXEL = 2
"""Texture samples per pixel of the picture, about."""
LEAST_TEXELS = 16

Moments = tuple[Mesh, Mesh]
"""A mover in the world, at time 1 and at time 2."""


@dataclass(frozen=True)
class Mover:
    """One who moves, ready to be put into the scene."""

    moments: Moments
    materials: list[Any]


def make_movers(
    scene: Any, movers: Sequence[MoverSpec], views: Sequence[ViewSpec], width: int, ambient: float, folder: str | None
) -> list[Mover]:
    """Everyone's meshes and materials.

    Args:
        scene: the Blender scene.
        movers: who.
        views: the cameras.
        width: of the pictures, in pixels.
        ambient: light that surfaces give by themselves, times their colour.
        folder: of the user's assets.

    Raises:
        RenderError: an asset is not what it was.
    """
    made = []
    for spec in movers:
        own: Asset | None = load_asset(scene, folder or "", spec.asset) if spec.asset else None
        posed = [_in_world(_mesh(spec, pose, own), pose) for pose in spec.poses]
        if own:
            materials = own.materials
        else:
            texels = TEXELS_PER_PIXEL * _pixels(spec, views, width)
            materials = [_covering(each, texels, ambient) for each in _coverings(spec)]
        made.append(Mover((posed[0], posed[1]), materials))
    return made


def _mesh(spec: MoverSpec, pose: PoseSpec, own: Asset | None) -> Mesh:
    if own:
        return own.mesh(pose.time)
    if spec.kind == "person":
        return person_mesh(person(spec.number), spec.action, pose.time)
    return thing_mesh(thing(spec.number))


def _coverings(spec: MoverSpec) -> list[Covering]:
    return person_coverings(person(spec.number)) if spec.kind == "person" else thing_coverings(thing(spec.number))


def _in_world(mesh: Mesh, pose: PoseSpec) -> Mesh:
    axes = np.array([pose.x, pose.y, pose.z])

    def turned(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return vectors[:, :1] * axes[0] + vectors[:, 1:2] * axes[1] + vectors[:, 2:] * axes[2]

    return replace(mesh, vertices=turned(mesh.vertices) + np.asarray(pose.position), normals=turned(mesh.normals))


def _pixels(spec: MoverSpec, views: Sequence[ViewSpec], width: int) -> float:
    """Height in the picture, where it is largest."""
    nearest = min(
        float(np.linalg.norm(np.subtract(view.position, pose.place((0.0, 0.0, spec.height / 2)))))
        for view in views
        for pose in spec.poses
    )
    return spec.height / max(nearest, 0.5) * views[0].lens / SENSOR_WIDTH * width


def _covering(covering: Covering, texels: float, ambient: float) -> Any:
    """A surface under light, its picture no finer than can be seen."""
    material = bpy.data.materials.new("covering")
    tree = material.node_tree
    tree.nodes.clear()
    output, shader = tree.nodes.new("ShaderNodeOutputMaterial"), tree.nodes.new("ShaderNodeBsdfPrincipled")
    shader.inputs["Roughness"].default_value = covering.roughness
    shader.inputs["Specular IOR Level"].default_value = 0.3
    texture = tree.nodes.new("ShaderNodeTexImage")
    texture.image = blender_image(_reduced(covering.picture, texels))
    texture.interpolation, texture.extension = "Linear", "REPEAT" if covering.wraps else "EXTEND"
    tree.links.new(texture.outputs["Color"], shader.inputs["Base Color"])
    tree.links.new(texture.outputs["Color"], shader.inputs["Emission Color"])
    shader.inputs["Emission Strength"].default_value = ambient
    material.cycles.emission_sampling = "NONE"
    tree.links.new(shader.outputs[0], output.inputs["Surface"])
    return material


def _reduced(picture: npt.NDArray[np.uint8], texels: float) -> npt.NDArray[np.uint8]:
    scale = max(texels, LEAST_TEXELS) / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = max(2, round(picture.shape[1] * scale)), max(2, round(picture.shape[0] * scale))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


class Troupe:
    """Everyone in the scene, at one moment."""

    def __init__(self, scene: Any, movers: Sequence[Mover]) -> None:
        self.scene, self.movers = scene, movers
        vertices = [mesh.vertices for each in movers for mesh in each.moments]
        # Light cannot be negative, so places are counted from a corner below everyone.
        self.corner = np.concatenate(vertices).min(axis=0) - 1 if vertices else np.zeros(3)
        self.objects: list[Any] = []

    def stand(self, moment: int) -> None:
        """Put everyone where they are at time 1 (moment 0) or 2 (moment 1); vertices carry the other place."""
        for each in self.objects:
            data = each.data
            bpy.data.objects.remove(each)
            bpy.data.meshes.remove(data)
        self.objects = []
        for mover in self.movers:
            here, there = mover.moments[moment], mover.moments[1 - moment]
            made = mesh_object(self.scene, "mover", here, mover.materials)
            carried = made.data.attributes.new(ELSEWHERE, "FLOAT_VECTOR", "POINT")
            # What stands still beside someone, as the seat of one who sits, carries nothing.
            moves = (here.vertices != there.vertices).any(axis=1, keepdims=True)
            places = np.where(moves, there.vertices - self.corner, 0.0)
            carried.data.foreach_set("vector", places.astype(np.float32).ravel())
            self.objects.append(made)
