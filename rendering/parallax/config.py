"""The settings of a parallax scene: every range that is drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..settings import check_settings
from ..streams import Range

Layout = Literal["room", "facade", "street"]
Difficulty = Literal["easy", "moderate", "hard"]

DIFFICULTIES: tuple[Difficulty, ...] = get_args(Difficulty)
"""The classes of parallax, from the least on."""


@dataclass(frozen=True)
class PlaceConfig:
    """What rooms, facades and streets may look like, and their light."""

    layouts: tuple[Layout, ...] = ("room", "facade", "street")
    """Kinds of scenes to draw from."""
    sun_strength: Range = (2.0, 5.0)
    """Strength of the sun, in watts per square metre."""
    sky_strength: Range = (0.7, 1.3)
    """Strength of the sky's light."""
    lamp_energy: Range = (40.0, 110.0)
    """Power of a room's ceiling lamp, in Blender's watts."""
    ambient: Range = (0.1, 0.2)
    """Light that all surfaces give by themselves, relative to the sky's; it stands for light that came many ways."""
    light_saturation: Range = (0.0, 0.25)
    """Saturation of the colour of sun and lamps; it lies between orange and blue."""

    furniture: tuple[int, int] = (5, 9)
    """Fewest and most pieces of furniture along a room's walls."""
    pictures: tuple[int, int] = (3, 6)
    """Fewest and most pictures on a room's walls."""
    trees: tuple[int, int] = (1, 3)
    """Fewest and most trees in front of a facade; a street has them on both sides."""
    cars: tuple[int, int] = (2, 5)
    """Fewest and most parked cars on each side of a street; a facade has one at most."""
    posts: tuple[int, int] = (2, 4)
    """Fewest and most lamp posts, signs and the like."""


@dataclass(frozen=True)
class ParallaxConfig(PlaceConfig):
    """What a parallax scene may look like: a static room, facade or street, and two pictures of it.

    Ranges are `LOW HIGH` and drawn uniformly. Lengths are in metres, angles in degrees. Parallax is what no homography
    explains: the 90th percentile over the visible pixels of the distance between the flow and that of the best-fitting
    homography, in percent of the picture's diagonal.
    """

    aspect: float = 1.0
    """Width of a picture over its height, at least 1."""
    samples: int = 16
    """Light paths per pixel; time grows with it, noise falls with its square root."""
    bounces: int = 1
    """Longest light path, in surface hits."""
    exposure: Literal["metered", "fixed"] = "metered"
    """`metered` sets each picture's gain as a camera does; `fixed` keeps the gain at 1."""
    exposure_shift: Range = (-0.35, 0.35)
    """What is added to a picture's exposure, in stops: the two pictures of a pair differ in brightness."""

    easy: Range = (0.2, 1.0)
    """Parallax of an easy scene, in percent of the diagonal."""
    moderate: Range = (1.0, 3.0)
    """Parallax of a moderate scene, in percent of the diagonal."""
    hard: Range = (3.0, 8.0)
    """Parallax of a hard scene, in percent of the diagonal."""
    overlap: Range = (0.5, 0.97)
    """Share of the reference picture's pixels whose point is visible in the source picture."""
    baseline: Range = (0.0, 2.5)
    """Distance between the cameras; within it, the length follows from the parallax that is asked for."""
    forward: Range = (-0.3, 0.3)
    """How far the second camera is before the first, relative to how far it is beside it."""
    rise: Range = (-0.25, 0.25)
    """How far the second camera is above the first, relative to how far it is beside it."""
    pan: Range = (-12.0, 12.0)
    """Turn between the cameras to the left or right."""
    tilt: Range = (-5.0, 5.0)
    """Turn between the cameras up or down."""
    roll: Range = (-4.0, 4.0)
    """Turn between the cameras around the line of sight."""
    lens: Range = (24.0, 34.0)
    """Focal length of both cameras, in mm on a sensor 36 mm wide."""
    lens_ratio: Range = (0.95, 1.05)
    """Focal length of the second camera over that of the first."""

    def parallax(self, difficulty: Difficulty) -> Range:
        """The parallax of a class, in percent of the diagonal."""
        return {"easy": self.easy, "moderate": self.moderate, "hard": self.hard}[difficulty]

    def validate(self) -> None:
        """Check every setting.

        Raises:
            InputError: a setting is out of its bounds; the line names its flag.
        """
        least, most = ({name: bounds[end] for name, bounds in _BOUNDS.items()} for end in (0, 1))
        check_settings(self, least, most)


PLACE_BOUNDS: dict[str, tuple[float, float]] = {
    "sun_strength": (0, 1000), "sky_strength": (0.01, 100), "lamp_energy": (0, 10000), "ambient": (0, 10),
    "light_saturation": (0, 1), "furniture": (0, 30), "pictures": (0, 30), "trees": (0, 20), "cars": (0, 20),
    "posts": (0, 20),
}  # fmt: skip
"""Least and most of each number of `PlaceConfig`."""

_BOUNDS: dict[str, tuple[float, float]] = {
    **PLACE_BOUNDS,
    "aspect": (1, 4), "samples": (1, 65536), "bounces": (1, 64), "exposure_shift": (-4, 4), "easy": (0.02, 15),
    "moderate": (0.02, 15), "hard": (0.02, 15), "overlap": (0, 1), "baseline": (0, 20), "forward": (-2, 2),
    "rise": (-1, 1), "pan": (-60, 60), "tilt": (-40, 40), "roll": (-45, 45), "lens": (12, 200),
    "lens_ratio": (0.5, 2),
}  # fmt: skip
"""Least and most of each number."""
