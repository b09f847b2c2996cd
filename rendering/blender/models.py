"""A model of the user's: a file's meshes, moved by its armature.

Nothing that a file brings along is run: text blocks stay in it, scripts are not started, and drivers with Python in
them are taken out before anything is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt

from ..dsia.assets import GLTF
from ..errors import RenderError
from .engine import silence

MOST_VERTICES = 300_000
"""Of a model, with its modifiers."""
MOST_PIXELS = 1 << 26
"""Of a picture."""

Table = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Clip:
    """A motion of an armature."""

    action: Any
    slot: Any
    """Part of the action that is the armature's."""


def open_model(scene: Any, path: Path) -> Model:
    """Import a file.

    Args:
        scene: the Blender scene at hand.
        path: a .blend, .glb, .gltf or .fbx file.

    Raises:
        RenderError: it cannot be used; the message says why.
    """
    model = Model(scene, *_imported(path))
    _check_pictures(model.meshes, apart=path.suffix.lower() in GLTF)
    return model


class Model:
    """Imported objects, in a Blender scene of their own, so that no camera sees them and no light of them shines."""

    def __init__(self, scene: Any, objects: list[Any], actions: list[Any]) -> None:
        """Take objects.

        Args:
            scene: the Blender scene at hand.
            objects: meshes with what moves them.
            actions: motions that came with them.

        Raises:
            RenderError: there is no mesh, or it cannot be used.
        """
        self.rate = scene.render.fps / scene.render.fps_base
        self.stage = bpy.data.scenes.new("asset")
        for each in objects:
            for collection in each.users_collection:
                collection.objects.unlink(each)
            each.hide_viewport = False
            self.stage.collection.objects.link(each)
        widgets = {bone.custom_shape for each in objects if each.type == "ARMATURE" for bone in each.pose.bones}
        shown = [each for each in objects if each.type == "MESH" and not each.hide_render and each not in widgets]
        self.meshes = [each for each in shown if len(each.data.polygons)]
        if not self.meshes:
            raise RenderError("holds no mesh with faces")
        self.armature: Any = next((each for each in map(_armature, self.meshes) if each is not None), None)
        self.clips = _clips(self.armature, actions) if self.armature else []
        self._first, self.seconds = 0.0, 0.0
        if self.clips:
            self.show(self.clips[0])
        self._layout()

    def show(self, clip: Clip) -> None:
        """Let the armature move by a clip."""
        data = self.armature.animation_data or self.armature.animation_data_create()
        for track in data.nla_tracks:
            track.mute = True
        data.action, data.action_slot = clip.action, clip.slot
        first, last = clip.action.frame_range
        self._first, self.seconds = float(first), float(last - first) / self.rate

    def points(self, time: float) -> Table:
        """The vertices (V, 3) at a time in seconds, as the file has them in its world.

        Raises:
            RenderError: they are others, or no numbers.
        """
        points = np.concatenate([_placed(*each[:2]) for each in self._evaluated(time)])
        if len(points) != self._vertices:
            raise RenderError("its faces change in time; apply the modifiers that do it")
        if not np.isfinite(points).all():
            raise RenderError("holds places that are no finite numbers")
        return points

    def _evaluated(self, time: float) -> Iterator[tuple[Table, Table, Any]]:
        """Vertices, place in the world and data of each mesh at a time."""
        frame = self._first + time * self.rate
        whole = int(np.floor(frame))
        self.stage.frame_set(whole, subframe=frame - whole)
        graph = self.stage.view_layers[0].depsgraph
        for each in self.meshes:
            evaluated = each.evaluated_get(graph)
            data = evaluated.to_mesh()
            yield _read(data.vertices, "co", 3).astype(np.float64), np.array(evaluated.matrix_world), data
            evaluated.to_mesh_clear()

    def _layout(self) -> None:
        """Read what stays: faces, texture, surfaces, and which corners of faces share a normal."""
        counts, corners, surfaces = [], [], []
        texture, points, normals = [], list[Table](), []
        materials: list[Any] = []
        start = 0
        for mesh, (own, place, data) in zip(self.meshes, self._evaluated(0.0), strict=True):
            start += len(own)
            if start > MOST_VERTICES:
                raise RenderError(f"is enormous: {start} vertices and more, above {MOST_VERTICES}")
            sides = _read(data.polygons, "loop_total", 1, np.int32)
            order = _backwards(sides) if np.linalg.det(place[:3, :3]) < 0 else np.arange(sides.sum())
            counts.append(sides)
            corners.append(_read(data.loops, "vertex_index", 1, np.int32)[order] + start - len(own))
            surfaces.append(_surfaces(mesh, _read(data.polygons, "material_index", 1, np.int32), materials))
            layer = data.uv_layers.active
            chart = _read(layer.data, "uv", 2) if layer else np.zeros((len(order), 2), np.float32)
            texture.append(chart.reshape(-1, 2)[order])
            points.append(own[_read(data.loops, "vertex_index", 1, np.int32)[order]] + 1e6 * len(points))
            normals.append(_read(data.corner_normals, "vector", 3)[order].astype(np.float64))
        self._vertices = start
        self.counts, self.corners = np.concatenate(counts), np.concatenate(corners).astype(np.int32)
        self.surfaces = np.concatenate(surfaces)
        self.texture = np.concatenate(texture).astype(np.float64)
        self.materials = materials
        if not np.isfinite(self.texture).all():
            raise RenderError("holds texture coordinates that are no finite numbers")
        self._groups = _smooth_groups(np.concatenate(points), np.concatenate(normals))

    def normals(self, points: Table) -> Table:
        """Unit normals (C, 3) at the corners: mean of the faces that meet there smoothly, by area.

        Blender's own are sums in any order; these are the same each time.
        """
        starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])
        face = np.repeat(np.arange(len(self.counts)), self.counts)
        following = np.arange(len(face)) + 1
        following[starts + self.counts - 1] = starts
        # Places are taken from a corner of the face, so that far from the origin no digits are lost.
        here = points[self.corners] - points[self.corners[starts]][face]
        crossed = np.cross(here, here[following])
        area = np.stack([np.bincount(face, crossed[:, axis]) for axis in range(3)], axis=1)
        total = np.stack([np.bincount(self._groups, area[face, axis]) for axis in range(3)], axis=1)[self._groups]
        length = np.sqrt(total[:, 0] ** 2 + total[:, 1] ** 2 + total[:, 2] ** 2)
        # A face without area has no direction; any will do.
        total[length == 0] = (0.0, 0.0, 1.0)
        return total / np.where(length == 0, 1.0, length)[:, None]


def _imported(path: Path) -> tuple[list[Any], list[Any]]:
    """The objects and actions of a file, without what could run."""
    bpy.context.preferences.filepaths.use_scripts_auto_execute = False
    before = {*bpy.data.objects, *bpy.data.actions}
    suffix = path.suffix.lower()
    try:
        with silence():
            if suffix == ".blend":
                with bpy.data.libraries.load(str(path), link=False) as (there, here):
                    here.objects, here.actions = list(there.objects), list(there.actions)
            elif suffix == ".fbx":
                bpy.ops.import_scene.fbx(filepath=str(path))
            else:
                bpy.ops.import_scene.gltf(filepath=str(path))
    except Exception as error:  # importers raise whatever they stumble over
        raise RenderError(f"is broken: {' '.join(str(error).split())[-200:]}") from None
    _take_out_scripts()
    objects, actions = ([each for each in all_ if each not in before] for all_ in (bpy.data.objects, bpy.data.actions))
    return objects, actions


def _take_out_scripts() -> None:
    """Remove the drivers that would run Python."""
    for collection in (getattr(bpy.data, name) for name in dir(bpy.data)):
        if not isinstance(collection, bpy.types.bpy_prop_collection):
            continue
        for each in collection:
            for owner in (each, getattr(each, "node_tree", None)):
                data: Any = getattr(owner, "animation_data", None)
                for curve in list(data.drivers) if data else []:
                    if curve.driver.type == "SCRIPTED" and not curve.driver.is_simple_expression:
                        data.drivers.remove(curve)


def _check_pictures(meshes: list[Any], *, apart: bool) -> None:
    """Make sure that all that the materials show is in the file; `apart` where its pictures may lie beside it."""
    if any(mesh.library or mesh.data.library for mesh in meshes):
        raise RenderError("links to another file; make everything local (Object, Relations, Make Local, All)")
    materials = {slot.material: None for mesh in meshes for slot in mesh.material_slots if slot.material}
    nodes = (node for material in materials for node in _nodes(material.node_tree))
    for image in [node.image for node in nodes if node.bl_idname == "ShaderNodeTexImage"]:
        if image is None or image.source == "GENERATED":
            continue
        if image.source != "FILE" or not (image.packed_file or apart):
            raise RenderError(f"its picture '{image.name}' is not in it; pack it (File, External Data, Pack Resources)")
        width, height = image.size
        if width * height == 0:
            raise RenderError(f"its picture '{image.name}' cannot be read")
        if width * height > MOST_PIXELS:
            raise RenderError(f"is enormous: its picture '{image.name}' has {width} x {height} pixels")


def _nodes(tree: Any) -> Iterator[Any]:
    """All nodes of a tree, with those of its groups."""
    for node in tree.nodes if tree else []:
        yield node
        yield from _nodes(getattr(node, "node_tree", None))


def _armature(mesh: Any) -> Any:
    """What moves a mesh."""
    for modifier in mesh.modifiers:
        if modifier.type == "ARMATURE" and modifier.object is not None:
            return modifier.object
    above = mesh.parent
    while above is not None and above.type != "ARMATURE":
        above = above.parent
    return above


def _clips(armature: Any, actions: list[Any]) -> list[Clip]:
    """The motions of an armature: one called after walking first, then its own, then the others by name."""
    clips = []
    for action in actions:
        slot = next((each for each in _posed(action, armature)), None)
        if slot is not None and action.frame_range[1] - action.frame_range[0] >= 1:
            clips.append(Clip(action, slot))
    own = armature.animation_data.action if armature.animation_data else None

    def order(clip: Clip) -> tuple[bool, bool, str]:
        # Blender numbers the names that are taken already, by whatever else is in the scene.
        name = re.sub(r"\.\d{3}$", "", clip.action.name)
        return "walk" not in name.lower(), clip.action != own, name

    return sorted(clips, key=order)


def _posed(action: Any, armature: Any) -> Iterator[Any]:
    """The slots of an action that move bones of an armature."""
    for layer in action.layers:
        for strip in layer.strips:
            for bag in strip.channelbags:
                names = (re.match(r'pose\.bones\["(.*?)"\]', curve.data_path) for curve in bag.fcurves)
                if any(name and name[1] in armature.pose.bones for name in names):
                    yield bag.slot


def _read(collection: Any, name: str, width: int, kind: Any = np.float32) -> npt.NDArray[Any]:
    """An attribute of all elements: (N, width), or (N,) for a width of 1."""
    values = np.empty(len(collection) * width, kind)
    collection.foreach_get(name, values)
    return values.reshape(-1, width) if width > 1 else values


def _placed(points: Table, place: Table) -> Table:
    """Points in the world; one operation after the other, so that the last digit is the same each time."""
    x, y, z = points[:, :1], points[:, 1:2], points[:, 2:]
    return x * place[:3, 0] + y * place[:3, 1] + z * place[:3, 2] + place[:3, 3]


def _backwards(counts: Numbers) -> npt.NDArray[np.int64]:
    """The order of all corners with each face's reversed: a mirrored mesh shows its inside else."""
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    within = np.arange(counts.sum()) - np.repeat(starts, counts)
    return np.repeat(starts + counts - 1, counts) - within


def _surfaces(mesh: Any, own: Numbers, materials: list[Any]) -> Numbers:
    """Index of each face's material among all; new ones are added."""
    table = []
    for slot in [each.material for each in mesh.material_slots] or [None]:
        found = slot or _plain()
        if found not in materials:
            materials.append(found)
        table.append(materials.index(found))
    return np.array(table, np.int32)[np.minimum(own, len(table) - 1)]


def _plain() -> Any:
    """The material of what has none."""
    name = "raylign asset"
    return bpy.data.materials.get(name) or bpy.data.materials.new(name)


def _smooth_groups(points: Table, normals: Table) -> npt.NDArray[np.int64]:
    """Which corners share a normal: those at one place, in the first pose, where Blender's normals agree.

    Args:
        points: place (C, 3) of each corner.
        normals: Blender's unit normal (C, 3) there.
    """
    _, group = np.unique(points, axis=0, return_inverse=True)
    group = group.reshape(-1).astype(np.int64)
    result = np.full(len(group), -1)
    found = 0
    left = np.arange(len(group))
    while len(left):
        names, first = np.unique(group[left], return_index=True)
        leader = normals[left[first]][np.searchsorted(names, group[left])]
        # Far less than an edge that is meant to be seen, far more than Blender's rounding.
        same = (leader * normals[left]).sum(axis=1) > 0.999
        same[first] = True
        result[left[same]] = found + np.searchsorted(names, group[left])[same]
        found += len(names)
        left = left[~same]
    return np.unique(result, return_inverse=True)[1].reshape(-1)
