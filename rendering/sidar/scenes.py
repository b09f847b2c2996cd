"""A scene as pure data: everything that Blender needs to render it, and nothing that needs Blender.

A `SceneSpec` is made from the dataset's seed and the scene's index (`sampling.py`), crosses to the render actor as JSON
and comes back unchanged: floats are written by `repr`, which is exact.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..cameras import CameraSpec, Vector
from ..shapes import OccluderShape
from ..textures import PaintingSpec, PictureSpec
from .config import LightKind, OccluderMaterial

Colour = tuple[float, float, float]
"""Linear red, green, blue in [0, 1]."""


@dataclass(frozen=True)
class LightSpec:
    """A light that points at the origin."""

    kind: LightKind
    position: Vector
    energy: float
    """Power in Blender's watts; of a sun, watts per square metre."""
    colour: Colour
    opening: float
    """Cone of a spot light, spread of an area light or apparent size of a sun, in degrees; 0 for a point light."""
    blend: float
    """Softness of a spot light's edge, in [0, 1]."""


@dataclass(frozen=True)
class OccluderSpec:
    """A solid between the painting and the camera."""

    shape: OccluderShape
    position: Vector
    angles: Vector
    """Euler angles XYZ, in radians."""
    scale: Vector
    material: OccluderMaterial
    colour: Colour
    roughness: float
    index_of_refraction: float
    metallic: float


@dataclass(frozen=True)
class SurfaceSpec:
    """The painting's material: Blender's principled surface, its base colour is the painting."""

    roughness: float
    index_of_refraction: float
    metallic: float
    specular: float
    transmission: float
    coat: float
    coat_roughness: float


@dataclass(frozen=True)
class FrameSpec:
    """One frame: a camera, and what is drawn anew for it."""

    camera: CameraSpec
    lights: tuple[LightSpec, ...]
    occluders: tuple[OccluderSpec, ...]
    surface: SurfaceSpec
    exposure_shift: float
    """Stops added to the exposure."""
    seed: int
    """Seed of the renderer's noise."""


@dataclass(frozen=True)
class SceneSpec:
    """One scene: a painting seen in several frames."""

    dataset_seed: int
    index: int
    width: int
    height: int
    lighting: Literal["random", "ambient"]
    samples: int
    bounces: int
    ambient: float
    denoise: bool
    exposure: Literal["metered", "fixed"]
    occluders_hidden: bool
    depth: bool
    texture: PaintingSpec | PictureSpec
    frames: tuple[FrameSpec, ...]

    @property
    def key(self) -> str:
        """The scene's sample key."""
        return f"{self.index:06d}"

    @property
    def aspect(self) -> float:
        """Width over height, of the frames and of the painting."""
        return self.width / self.height

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> SceneSpec:
        """The scene that `to_json` wrote."""
        content = json.loads(text)
        texture = content.pop("texture")
        kind = PictureSpec if "picture" in texture else PaintingSpec
        frames = tuple(_frame(each) for each in content.pop("frames"))
        return cls(**content, texture=kind(**_tuples(texture)), frames=frames)


def read_scene(text: str) -> SceneSpec:
    """The scene in JSON."""
    return SceneSpec.from_json(text)


def _frame(content: dict[str, Any]) -> FrameSpec:
    return FrameSpec(
        camera=CameraSpec(**_tuples(content["camera"])),
        lights=tuple(LightSpec(**_tuples(each)) for each in content["lights"]),
        occluders=tuple(OccluderSpec(**_tuples(each)) for each in content["occluders"]),
        surface=SurfaceSpec(**content["surface"]),
        exposure_shift=content["exposure_shift"],
        seed=content["seed"],
    )


def _tuples(content: dict[str, Any]) -> dict[str, Any]:
    """JSON knows lists only; the specs hold tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}
