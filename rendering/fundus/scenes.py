"""A fundus scene as pure data: everything that Blender needs to render it, and nothing that needs Blender.

World: the eye's own axes, right-handed, in millimetres, the origin at the eye's centre. An observer who looks into the
eye along +y has x to his right and z above; the posterior pole is at +y, the pupil at -y.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..cameras import Vector
from .config import PairKind
from .retina.spec import RetinaSpec

Camera = Literal["standard", "wide"]
Place = tuple[float, float]
ControlPoint = tuple[float, float, float, float]
"""x and y in the reference, x and y in the source, in pixels."""


@dataclass(frozen=True)
class EyeSpec:
    """The surface of the retina: an ellipsoid of revolution."""

    radius: float
    """Across the eye's axis, in millimetres."""
    stretch: float
    """Radius along the axis over that across it."""


@dataclass(frozen=True)
class LashSpec:
    """A lash before the field; lengths over half the field's height, places as `LidSpec` has them."""

    across: float
    """Where it leaves the lid."""
    length: float
    lean: float
    """How far its end is to the right of its root."""
    bend: float
    """How far its middle is to the right of a straight line."""
    width: float
    darkness: float
    """Share of the light that it takes away."""


@dataclass(frozen=True)
class LidSpec:
    """A lid's shadow. Places are relative to the field: -1 to 1 from its left to its right, from its top to its bottom.

    The lid's edge is `1 - reach + tilt * u + bend * u^2` beyond the middle, at u across; an upper lid's is above it.
    """

    upper: bool
    reach: float
    tilt: float
    bend: float
    softness: float
    """Length over which it fades."""
    light: tuple[float, float, float]
    """Its own linear light, at the picture's exposure."""
    lashes: tuple[LashSpec, ...]


@dataclass(frozen=True)
class ReflexSpec:
    """A reflection of the flash: a soft disc of light on the film; lengths in radii of the field, from its centre."""

    centre: Place
    radius: float
    softness: float
    light: tuple[float, float, float]
    """Linear light that it adds, relative to full scale."""


@dataclass(frozen=True)
class FilmSpec:
    """What becomes of the light behind the lens."""

    exposure_shift: float
    """Stops added to the exposure."""
    green: float
    """Exposure of the green light over that of the red: two lasers; 0 in a standard camera, which has white light."""
    tint: tuple[float, float, float]
    """Gains of red, green, blue on top of the exposure."""
    haze: float
    """Linear light that is scattered over it, relative to full scale."""
    blur: float
    """Standard deviation, in pixels."""
    noise: float
    reflexes: tuple[ReflexSpec, ...]
    lids: tuple[LidSpec, ...]


@dataclass(frozen=True)
class FlashSpec:
    """The light, a spot near the pupil."""

    position: Vector
    direction: Vector
    opening: float
    """Full angle of the beam, in degrees."""
    fade: float
    """Share of the beam's radius over which it fades."""


@dataclass(frozen=True)
class ShotSpec:
    """One photograph: a pinhole with a radially distorting lens, and a field stop.

    A ray that meets the plane at depth 1 at (x, y) comes to the pixel `centre + focal * s * (x, y)` with
    s = 2 / (1 + sqrt(1 - 4 distortion (x^2 + y^2))), the division model of Fitzgibbon (CVPR 2001): back,
    (x, y) = q / (1 + distortion |q|^2) with q = (pixel - centre) / focal.
    """

    camera: Camera
    position: Vector
    """Centre of projection, in the eye's axes."""
    right: Vector
    """Unit vector to the right of the picture."""
    up: Vector
    """Unit vector to the top of the picture, square to `right`."""
    focal: float
    """In pixels."""
    centre: Place
    """Pixel of the line of sight; the field's centre as well."""
    distortion: float
    stop: Place
    """Half width and half height of the field, an ellipse, in pixels."""
    field_angle: float
    """Angle across the field's width, in degrees: visual of a standard camera, at the eye's centre of a wide one."""
    flash: FlashSpec
    film: FilmSpec
    seed: int
    """Seed of the noise."""


@dataclass(frozen=True)
class FundusSpec:
    """One eye and two photographs of it: the reference first, then the source."""

    dataset_seed: int
    index: int
    width: int
    height: int
    kind: PairKind
    samples: int
    eye: EyeSpec
    retinas: tuple[RetinaSpec, RetinaSpec]
    """The retina as each picture shows it."""
    shots: tuple[ShotSpec, ShotSpec]
    points: tuple[ControlPoint, ...]
    """Branchings of vessels that both pictures show."""

    @property
    def key(self) -> str:
        """The scene's sample key."""
        return f"{self.index:06d}"
