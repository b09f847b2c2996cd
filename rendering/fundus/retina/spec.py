"""A retina as pure data: the ranges that it is drawn from, and what is drawn.

Everything is that of a right eye, as an observer sees it in a fundus photograph: x to the right (towards the nose), y
down; a left eye is its mirror image. Places and lengths are in visual degrees from the posterior pole, of 0.29 mm on
the retina each, the unit of fundus photography (Bengtsson and Krakau 1992).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from ...settings import check_settings
from ...streams import Range

Place = tuple[float, float]
"""x and y on the retina, in visual degrees."""
LesionKind = Literal["drusen", "exudate", "haemorrhage", "flame", "cotton", "laser"]
Condition = Literal["healthy", "drusen", "diabetic", "occlusion", "treated"]

CONDITIONS: tuple[Condition, ...] = get_args(Condition)
"""No lesion; deposits at the macula; bleedings and fat deposits; bleedings of one vessel's region; laser scars."""

MICROMETRES = 290.0
"""Micrometres of retina per visual degree."""


@dataclass(frozen=True)
class RetinaConfig:
    """What a retina may look like.

    Ranges are `LOW HIGH` and drawn uniformly. Angles are visual degrees, of 0.29 mm on the retina each, unless told
    otherwise.
    """

    left: float = 0.5
    """Share of left eyes."""
    fovea: Range = (4.0, 6.0)
    """Distance of the fovea from the posterior pole, temporally."""
    disc: Range = (14.8, 16.2)
    """Distance of the optic disc's centre from the fovea."""
    disc_rise: Range = (0.5, 2.3)
    """How far the disc's centre is above the fovea."""
    disc_height: Range = (5.6, 6.9)
    """Vertical diameter of the disc."""
    disc_aspect: Range = (0.86, 0.98)
    """Width of the disc over its height."""
    cup: Range = (0.2, 0.6)
    """Diameter of the cup over the disc's."""
    crescent: Range = (-0.5, 0.8)
    """Width of the pale crescent on the disc's temporal side; none below 0."""

    arteriole: Range = (138.0, 162.0)
    """Central retinal arteriolar equivalent, in micrometres."""
    ratio: Range = (0.62, 0.74)
    """The arteriolar equivalent over the venular one."""
    exponent: Range = (2.5, 3.0)
    """x of Murray's law: the parent's width to the power of x is the sum of the children's; his own is 3."""
    tortuosity: Range = (0.7, 1.3)
    """Strength of the vessels' bends, relative to a usual eye's."""
    arcade: Range = (6.0, 9.0)
    """Opening of the temporal arcades: y * y / x of the parabola from the disc around the macula."""
    avascular: Range = (0.8, 1.2)
    """Radius of the zone around the fovea without vessels."""
    vortices: tuple[int, int] = (4, 7)
    """Fewest and most vortex veins."""

    pigment: Range = (0.05, 0.95)
    """Melanin, from a fair person's orange ground to a dark brown one."""
    redness: Range = (0.0, 1.0)
    """Hue of the ground, from orange to red."""
    tessellation: Range = (0.1, 0.75)
    """How clearly the choroid's vessels are seen."""
    macula: Range = (0.5, 1.0)
    """How dark the macula is."""
    fibres: Range = (0.2, 1.0)
    """How clearly the nerve fibres' streaks are seen."""
    reflex: Range = (0.1, 1.0)
    """Strength of the reflexes at the fovea, around it and along the arteries."""

    healthy: float = 0.5
    """Share of eyes without a lesion."""
    drusen: tuple[int, int] = (15, 110)
    """Fewest and most drusen of an eye with them."""
    haemorrhages: tuple[int, int] = (6, 40)
    """Fewest and most round haemorrhages of a diabetic eye."""
    flames: tuple[int, int] = (4, 14)
    """Fewest and most flame-shaped haemorrhages after an occlusion."""
    exudates: tuple[int, int] = (10, 70)
    """Fewest and most hard exudates of a diabetic eye."""
    cotton: tuple[int, int] = (0, 5)
    """Fewest and most cotton-wool spots of a diabetic eye or after an occlusion."""
    laser: tuple[int, int] = (60, 200)
    """Fewest and most laser scars of a treated eye."""

    def validate(self) -> None:
        """Check every setting.

        Raises:
            InputError: a setting is out of its bounds; the line names its flag.
        """
        least, most = ({name: bounds[end] for name, bounds in _BOUNDS.items()} for end in (0, 1))
        check_settings(self, least, most)


_BOUNDS: dict[str, tuple[float, float]] = {
    "left": (0, 1), "fovea": (2, 8), "disc": (13, 18), "disc_rise": (-1, 4),
    "disc_height": (4, 9), "disc_aspect": (0.6, 1), "cup": (0, 0.85), "crescent": (-10, 3), "arteriole": (80, 220),
    "ratio": (0.4, 1), "exponent": (2, 3.2), "tortuosity": (0, 2.5), "arcade": (4, 14), "avascular": (0.4, 2),
    "vortices": (3, 10), "pigment": (0, 1), "redness": (0, 1), "tessellation": (0, 1), "macula": (0, 1),
    "fibres": (0, 1), "reflex": (0, 1), "healthy": (0, 1), "drusen": (0, 1000), "haemorrhages": (0, 500),
    "flames": (0, 100), "exudates": (0, 1000), "cotton": (0, 50), "laser": (0, 1000),
}  # fmt: skip
"""Least and most of each number."""


@dataclass(frozen=True)
class EyeSpec:
    """Where fovea and disc lie."""

    scale: float
    """Degrees of the map per visual degree."""
    fovea: Place
    disc: Place
    """The optic disc's centre."""
    disc_height: float
    """Vertical diameter of the disc."""

    @property
    def axis(self) -> Place:
        """Unit vector from the disc to the fovea."""
        x, y = self.fovea[0] - self.disc[0], self.fovea[1] - self.disc[1]
        length = (x * x + y * y) ** 0.5
        return x / length, y / length

    def from_disc(self, along: float, above: float) -> Place:
        """A place so far from the disc's centre towards the fovea, and above the line between them."""
        x, y = self.axis
        return self.disc[0] + along * x - above * y, self.disc[1] + along * y + above * x


@dataclass(frozen=True)
class VesselSpec:
    """What the vessels grow from."""

    seed: int
    arteriole: float
    """Central retinal arteriolar equivalent, in micrometres."""
    ratio: float
    """The arteriolar equivalent over the venular one."""
    exponent: float
    """x of Murray's law."""
    tortuosity: float
    arcade: tuple[float, float]
    """Opening of the temporal arcades, above and below."""
    avascular: float
    vortices: tuple[Place, ...]
    """The vortex veins' ampullae, in degrees of the map."""


@dataclass(frozen=True)
class DiscSpec:
    """What the optic disc looks like."""

    aspect: float
    tilt: tuple[float, float]
    """Turn of the disc's long axis from the vertical, as (cosine, sine)."""
    cup: float
    crescent: float
    pallor: float
    """From a pink disc, 0, to a pale one, 1."""


@dataclass(frozen=True)
class GroundSpec:
    """What the ground of the eye looks like; see `RetinaConfig`."""

    seed: int
    pigment: float
    redness: float
    tessellation: float
    macula: float
    fibres: float
    reflex: float
    tone: tuple[float, float, float]
    """Factors of red, green and blue."""


@dataclass(frozen=True)
class LesionSpec:
    """One lesion: an irregular ellipse."""

    kind: LesionKind
    place: Place
    radius: float
    """Half its short diameter."""
    stretch: float
    """Its length over its breadth."""
    turn: tuple[float, float]
    """Direction of its length, as a unit vector."""
    strength: float
    """From hardly visible, 0, to 1."""


@dataclass(frozen=True)
class RetinaSpec:
    """One retina at one time."""

    side: Literal["left", "right"]
    eye: EyeSpec
    vessels: VesselSpec
    disc: DiscSpec
    ground: GroundSpec
    condition: Condition
    lesions: tuple[LesionSpec, ...]

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> RetinaSpec:
        """The retina that `to_json` wrote."""
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> RetinaSpec:
        """The retina whose `dataclasses.asdict` went through JSON."""
        return cls(
            side=content["side"],
            eye=EyeSpec(**_tuples(content["eye"])),
            vessels=VesselSpec(**_tuples(content["vessels"])),
            disc=DiscSpec(**_tuples(content["disc"])),
            ground=GroundSpec(**_tuples(content["ground"])),
            condition=content["condition"],
            lesions=tuple(LesionSpec(**_tuples(each)) for each in content["lesions"]),
        )


def _tuples(content: dict[str, Any]) -> dict[str, Any]:
    """JSON knows lists only; the specs hold tuples."""
    return {name: _tuple(value) for name, value in content.items()}


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value
