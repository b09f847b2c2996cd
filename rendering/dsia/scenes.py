"""A dynamic pair as pure data: everything that Blender needs to render it, and nothing that needs Blender.

World: right-handed, metres, z up, the ground about z = 0. A `DsiaSpec` is made from the dataset's seed, the scene's
number and the pair's (`sampling.py`), crosses to the render actor as an order in JSON and is drawn there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..cameras import Vector
from ..parallax.config import Layout
from ..parallax.scenes import LampSpec, PartSpec, SkySpec, SurfaceSpec, ViewSpec
from .assets import AssetSpec
from .config import Move, Subset


@dataclass(frozen=True)
class PoseSpec:
    """Where something is at one moment, and what its body does."""

    position: Vector
    """Where its own origin is."""
    x: Vector
    """Where its own x axis points, a unit vector."""
    y: Vector
    z: Vector
    time: float
    """Seconds since its action began; what is rigid has none."""

    def place(self, point: Vector) -> Vector:
        """A point of its own in the world."""
        own = zip(self.position, self.x, self.y, self.z, strict=True)
        a, b, c = (start + point[0] * x + point[1] * y + point[2] * z for start, x, y, z in own)
        return a, b, c


@dataclass(frozen=True)
class MoverSpec:
    """Someone or something that moves by itself."""

    kind: Literal["person", "thing"]
    number: int
    """Which one of the catalogue of its kind; of the user's assets where there is one."""
    asset: AssetSpec | None
    """The user's own, in place of the built-in one."""
    action: str
    """What a person does; how a thing moves."""
    height: float
    """In metres."""
    poses: tuple[PoseSpec, PoseSpec]
    """At time 1 and at time 2."""


@dataclass(frozen=True)
class LightSpec:
    """The light of one moment."""

    sky: SkySpec
    lamps: tuple[LampSpec, ...]


@dataclass(frozen=True)
class DsiaSpec:
    """One pair: a place, who moves in it, and two moments with their cameras."""

    dataset_seed: int
    index: int
    """Of the pair, in the dataset."""
    scene: int
    pair: int
    """Of the pair, in its scene."""
    width: int
    height: int
    layout: Layout
    subset: Subset
    """Motion that was asked for."""
    move: Move
    samples: int
    bounces: int
    denoise: bool
    exposure: Literal["metered", "fixed"]
    ambient: float
    """Light that each surface gives by itself, times its colour."""
    lapse: float
    """Seconds from time 1 to time 2."""
    surfaces: tuple[SurfaceSpec, ...]
    parts: tuple[PartSpec, ...]
    """What stands still."""
    movers: tuple[MoverSpec, ...]
    lights: tuple[LightSpec, LightSpec]
    panorama: AssetSpec | None
    """The user's picture of the sky and all around, in place of the built-in sky."""
    panorama_turn: float
    """Degrees by which it is turned around the vertical."""
    views: tuple[ViewSpec, ViewSpec]
    """View 1 at time 1 and view 2 at time 2. The truth is view 1 with the exposure and the noise of view 2."""

    @property
    def key(self) -> str:
        """The pair's sample key."""
        return f"{self.index:06d}"

    @property
    def truth_view(self) -> ViewSpec:
        """View 1 at time 2."""
        first, second = self.views
        return ViewSpec(first.position, first.right, first.up, first.lens, second.exposure_shift, second.seed)
