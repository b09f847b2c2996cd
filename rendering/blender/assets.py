"""The user's characters, objects and panoramas in Blender."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..dsia.assets import PANORAMAS, AssetSpec, asset_digest
from ..errors import RenderError
from ..parallax.meshes import Mesh
from .models import MOST_PIXELS, Model, Table, open_model

SIZES = {"character": ((0.4, 2.6), 1.7), "object": ((0.02, 8.0), 1.0)}
"""Heights in metres that are believed, and the height that others get."""
MOMENTS = 8
"""Poses of a clip from which its extent is measured."""


class Asset:
    """A model as the scenes want it: metres, its base's centre at the origin, z up, y forward."""

    def __init__(self, model: Model, height: float | None = None) -> None:
        """Take a model.

        Args:
            model: an imported file, which by the custom of its formats faces -y.
            height: in metres, in the first pose; None to believe the file's where it is likely.

        Raises:
            RenderError: it is flat, or no finite numbers.
        """
        self._model = model
        self.kind = "character" if model.seconds else "object"
        points = model.points(0.0)
        low, high = points.min(axis=0), points.max(axis=0)
        tall = float(high[2] - low[2])
        if tall < 1e-4 * float((high - low).max()) or tall == 0:
            raise RenderError("is flat: it has no height")
        believed, other = SIZES[self.kind]
        self.height = height or (tall if believed[0] <= tall <= believed[1] else other)
        self._scale = self.height / tall
        self._base = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
        # A clip may lead its character away; as a whole it stays where it is, for the scene moves it.
        gone = model.points(model.seconds).mean(axis=0) - points.mean(axis=0) if model.seconds else np.zeros(3)
        self._drift = gone * [1.0, 1.0, 0.0]

    @property
    def materials(self) -> list[Any]:
        """Blender's materials, by the `surfaces` of the mesh."""
        return self._model.materials

    def mesh(self, time: float) -> Mesh:
        """The mesh at a time in seconds; its clip repeats. Topology and texture are the same at all times.

        Raises:
            RenderError: its faces change in time, or it has places that are no finite numbers.
        """
        model = self._model
        points = self._points(time)
        return Mesh(points, model.counts, model.corners, model.surfaces, model.normals(points), model.texture)

    def radius(self) -> float:
        """Of the upright cylinder around the origin that holds it at all times, in metres."""
        times = [self._model.seconds * moment / MOMENTS for moment in range(MOMENTS)] if self._model.seconds else [0.0]
        return max(float(np.sqrt(p[:, 0] ** 2 + p[:, 1] ** 2).max()) for p in map(self._points, times))

    def _points(self, time: float) -> Table:
        seconds = self._model.seconds
        within = time % seconds if seconds else 0.0
        share = within / seconds if seconds else 0.0
        own = (self._model.points(within) - self._base - share * self._drift) * self._scale
        # Half a turn: the file's front is towards -y.
        return own * [-1.0, -1.0, 1.0]


def load_asset(scene: Any, folder: str, spec: AssetSpec) -> Asset:
    """Import a character or object; it is not seen in the scene.

    Args:
        scene: the Blender scene at hand.
        folder: the user's folder.
        spec: what is known of the file.

    Raises:
        RenderError: the file is not there, not the one that was surveyed, or cannot be used.
    """
    model = open_model(scene, _checked(folder, spec))
    return Asset(model, spec.height)


def panorama_world(scene: Any, folder: str, spec: AssetSpec, strength: float, turn: float) -> None:
    """Let a panorama be the sky and all around.

    Args:
        scene: the Blender scene.
        folder: the user's folder.
        spec: what is known of the file.
        strength: what its light is multiplied by.
        turn: degrees by which it is turned around the vertical, counter-clockwise seen from above.

    Raises:
        RenderError: the file is not there, or not the one that was surveyed.
    """
    world = bpy.data.worlds.new("panorama")
    scene.world = world
    tree = world.node_tree
    picture, place = tree.nodes.new("ShaderNodeTexEnvironment"), tree.nodes.new("ShaderNodeMapping")
    picture.image = _picture(_checked(folder, spec))
    # What turns is the direction that is looked up.
    place.inputs["Rotation"].default_value = (0.0, 0.0, -math.radians(turn))
    direction = tree.nodes.new("ShaderNodeTexCoord").outputs["Generated"]
    tree.links.new(direction, place.inputs["Vector"])
    tree.links.new(place.outputs["Vector"], picture.inputs["Vector"])
    background = tree.nodes["Background"]
    tree.links.new(picture.outputs["Color"], background.inputs["Color"])
    background.inputs["Strength"].default_value = strength
    world.cycles.sampling_method, world.cycles.sample_map_resolution = "MANUAL", 512


def measure(scene: Any, path: Path) -> dict[str, Any]:
    """What a file holds: the fields of an `AssetSpec`, but for its name and content.

    Args:
        scene: the Blender scene at hand.
        path: the file.

    Raises:
        RenderError: it cannot be used; the message says why.
    """
    if path.suffix.lower() in PANORAMAS:
        _check_panorama(_picture(path))
        return {"kind": "panorama", "height": 0.0, "radius": 0.0, "seconds": 0.0, "actions": []}
    model = open_model(scene, path)
    asset = Asset(model)
    names = [clip.action.name for clip in model.clips]
    return {
        "kind": asset.kind,
        "height": asset.height,
        "radius": asset.radius(),
        "seconds": model.seconds,
        "actions": names,
    }


def _checked(folder: str, spec: AssetSpec) -> Path:
    path = Path(folder) / spec.path
    try:
        content = asset_digest(path)
    except (OSError, ValueError):
        raise RenderError(f"--assets: the render process cannot read {path}") from None
    if content != spec.sha256:
        raise RenderError(f"--assets: {path} has changed since the render began; start it again")
    return path


def _picture(path: Path) -> Any:
    """A panorama's picture.

    Raises:
        RenderError: Blender cannot read it.
    """
    try:
        image = bpy.data.images.load(str(path))
    except RuntimeError as error:
        raise RenderError(f"is broken: {' '.join(str(error).split())[-200:]}") from None
    if 0 in tuple(image.size):
        raise RenderError("is broken: Blender finds no picture in it")
    return image


def _check_panorama(image: Any) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise RenderError(f"is enormous: {width} x {height} pixels, above {MOST_PIXELS >> 20} million")
    if width != 2 * height:
        raise RenderError(f"is no panorama: {width} x {height} pixels; it must be twice as wide as high")
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    if not np.isfinite(pixels).all():
        raise RenderError("holds light that is no finite number")
    if pixels.reshape(-1, 4)[:, :3].max() <= 0:
        raise RenderError("is black")
