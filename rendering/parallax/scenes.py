"""A parallax scene as pure data: everything that Blender needs to render it, and nothing that needs Blender.

World: right-handed, metres, z up, the ground at z = 0. A `ParallaxSpec` is made from the dataset's seed and the
scene's index (`sampling.py`), crosses to the render actor as JSON and comes back unchanged.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..cameras import Vector
from .config import Difficulty, Layout

Colour = tuple[float, float, float]
"""Red, green, blue in [0, 1]."""
Turn = tuple[float, float]
"""A turn around the vertical as the unit vector (cosine, sine): counter-clockwise seen from above."""
Shape = Literal["box", "cylinder", "sphere"]


@dataclass(frozen=True)
class SurfaceSpec:
    """What a part is covered with."""

    family: str
    """A pattern of `surfaces.py` or a painting of `paintings.py`."""
    seed: int
    tile: tuple[float, float]
    """Width and height of one tile of the pattern, in metres."""
    fitted: bool
    """Show one whole tile on each face instead of tiles of that size."""
    tint: Colour
    """What the pattern is multiplied by, in sRGB values."""
    roughness: float


@dataclass(frozen=True)
class PartSpec:
    """A convex solid. Its own axes are the world's after `turn`.

    A box reaches from -half to half; cylinder and sphere are inscribed in that box. The side at the end of `axis` is
    `taper` times as large as that at its beginning, along the next and the next but one axis (x, y, z, x, ...): a cone
    is a cylinder with a small taper, a roof a box with one.
    """

    shape: Shape
    centre: Vector
    half: Vector
    turn: Turn
    surface: int
    """Index of its surface."""
    axis: int
    """Own axis (0, 1 or 2) along which it tapers, and around which a cylinder is round."""
    taper: tuple[float, float]


@dataclass(frozen=True)
class LampSpec:
    """A light that no camera sees."""

    kind: Literal["point", "area"]
    position: Vector
    direction: Vector
    """Where an area light shines, a unit vector; a point light shines everywhere."""
    size: tuple[float, float]
    """Width and height of an area light; a point light's radius is the first."""
    energy: float
    """Power in Blender's watts."""
    colour: Colour


@dataclass(frozen=True)
class SkySpec:
    """Sky, clouds and sun."""

    zenith: Colour
    horizon: Colour
    strength: float
    clouds: float
    """Share of the sky that clouds cover, about."""
    shift: Vector
    """Where the clouds are read from Blender's noise."""
    sun: Vector
    """Unit vector to the sun."""
    sun_strength: float
    sun_colour: Colour


@dataclass(frozen=True)
class ViewSpec:
    """A pinhole camera with its picture's exposure."""

    position: Vector
    """Centre of projection."""
    right: Vector
    """Unit vector to the right of the picture."""
    up: Vector
    """Unit vector to the top of the picture, square to `right`."""
    lens: float
    """Focal length in mm, on a sensor `cameras.SENSOR_WIDTH` wide."""
    exposure_shift: float
    """Stops added to the exposure."""
    seed: int
    """Seed of the renderer's noise."""


@dataclass(frozen=True)
class ParallaxSpec:
    """One scene and its two views: the reference first, then the source."""

    dataset_seed: int
    index: int
    width: int
    height: int
    layout: Layout
    difficulty: Difficulty
    samples: int
    bounces: int
    exposure: Literal["metered", "fixed"]
    ambient: float
    """Light that each surface gives by itself, times its colour."""
    surfaces: tuple[SurfaceSpec, ...]
    parts: tuple[PartSpec, ...]
    lamps: tuple[LampSpec, ...]
    sky: SkySpec
    views: tuple[ViewSpec, ViewSpec]

    @property
    def key(self) -> str:
        """The scene's sample key."""
        return f"{self.index:06d}"

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ParallaxSpec:
        """The scene that `to_json` wrote."""
        content = json.loads(text)
        reference, source = (ViewSpec(**_tuples(each)) for each in content.pop("views"))
        return cls(
            surfaces=tuple(SurfaceSpec(**_tuples(each)) for each in content.pop("surfaces")),
            parts=tuple(PartSpec(**_tuples(each)) for each in content.pop("parts")),
            lamps=tuple(LampSpec(**_tuples(each)) for each in content.pop("lamps")),
            sky=SkySpec(**_tuples(content.pop("sky"))),
            views=(reference, source),
            **content,
        )


def _tuples(content: dict[str, Any]) -> dict[str, Any]:
    """JSON knows lists only; the specs hold tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}
