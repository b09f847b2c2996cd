"""The settings of a dynamic scene: every range that is drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..parallax.config import PLACE_BOUNDS, PlaceConfig
from ..settings import check_settings
from ..streams import Range

Move = Literal["forward", "backward", "left", "right", "rotation", "orbit"]
Subset = Literal["ScSf", "ScLf", "LcSf", "LcLf"]

MOVES: tuple[Move, ...] = get_args(Move)
SUBSETS: tuple[Subset, ...] = get_args(Subset)
"""Small (S) or large (L) motion of the camera (c) and of what is in front of it (f)."""


@dataclass(frozen=True)
class DsiaConfig(PlaceConfig):
    """What a dynamic scene may look like: a place, people and things that move in it, and a camera that moves too.

    A pair shows time 1 from view 1 (the reference), time 2 from view 2 (the source) and time 2 from view 1 (the truth).
    Ranges are `LOW HIGH` and drawn uniformly. Lengths are in metres, times in seconds, angles in degrees, motions in
    percent of the picture's width: the camera's is the mean length of the flow of what stands still, the foreground's
    the mean length of the motion, seen from view 1, of what moves by itself. Data as DMAligner's has 1,033 scenes with
    some 30 pairs each: `--scenes 1033 --scene.pairs 30`.
    """

    pairs: int = 1
    """Pairs of each scene: moments of the same people in the same place."""
    moves: tuple[Move, ...] = MOVES
    """Ways of the camera to draw from."""
    aspect: float = 16 / 9
    """Width of a picture over its height, at least 1."""
    samples: int = 8
    """Light paths per pixel; time grows with it, noise falls with its square root."""
    bounces: int = 1
    """Longest light path, in surface hits."""
    denoise: bool = True
    """Remove noise with OpenImageDenoise: a room of 8 samples then looks better than one of 16 without."""
    exposure: Literal["metered", "fixed"] = "metered"
    """`metered` sets each picture's gain as a camera does; `fixed` keeps the gain at 1."""
    exposure_shift: Range = (-0.25, 0.25)
    """What is added to a picture's exposure, in stops: the two moments differ in brightness."""

    people: tuple[int, int] = (1, 4)
    """Fewest and most people."""
    things: tuple[int, int] = (1, 3)
    """Fewest and most things that move by themselves."""
    distance: Range = (2.2, 9.0)
    """How far from the first camera people and things are; in a room its walls are nearer."""
    speed: Range = (0.3, 2.0)
    """Speed of a thing, in metres per second; people walk as they do."""
    spin: Range = (20.0, 180.0)
    """How fast a thing turns, in degrees per second; one that rolls turns as it must."""
    small_camera: Range = (0.3, 3.2)
    """Small motion of the camera; DMAligner's bound to large is not known, ours is 4.2 (40 of 960 px)."""
    large_camera: Range = (5.0, 12.0)
    """Large motion of the camera."""
    small_foreground: Range = (0.4, 3.2)
    """Small motion of people and things."""
    large_foreground: Range = (5.0, 16.0)
    """Large motion of people and things."""
    lapse: Range = (0.03, 3.0)
    """Time between the two pictures; within it, it follows from the motion that is asked for."""
    lens: Range = (24.0, 34.0)
    """Focal length of the camera, in mm on a sensor 36 mm wide."""

    light_change: float = 0.5
    """Share of the pairs whose light changes between the two moments."""
    light_ratio: Range = (0.45, 2.0)
    """Strength of sun, sky and lamps at time 2 over that at time 1, where the light changes."""
    sun_turn: Range = (-25.0, 25.0)
    """Turn of the sun around the vertical where the light changes."""

    furniture: tuple[int, int] = (3, 7)
    """Fewest and most pieces of furniture along a room's walls."""
    cars: tuple[int, int] = (1, 3)
    """Fewest and most parked cars on each side of a street; a facade has one at most."""
    posts: tuple[int, int] = (1, 3)
    """Fewest and most lamp posts, signs and the like."""

    def camera_motion(self, subset: Subset) -> Range:
        """Motion of the camera in a subset, in percent of the width."""
        return self.small_camera if subset.startswith("Sc") else self.large_camera

    def foreground_motion(self, subset: Subset) -> Range:
        """Motion of people and things in a subset, in percent of the width."""
        return self.small_foreground if subset.endswith("Sf") else self.large_foreground

    def validate(self) -> None:
        """Check every setting.

        Raises:
            InputError: a setting is out of its bounds; the line names its flag.
        """
        least, most = ({name: bounds[end] for name, bounds in _BOUNDS.items()} for end in (0, 1))
        check_settings(self, least, most)


_BOUNDS: dict[str, tuple[float, float]] = {
    **PLACE_BOUNDS,
    "pairs": (1, 1000), "aspect": (1, 4), "samples": (1, 65536), "bounces": (1, 64), "exposure_shift": (-4, 4),
    "people": (0, 12), "things": (0, 12), "distance": (1.2, 60), "speed": (0, 30), "spin": (0, 720),
    "small_camera": (0.05, 60), "large_camera": (0.05, 60), "small_foreground": (0.05, 60),
    "large_foreground": (0.05, 60), "lapse": (0.001, 60), "lens": (12, 200), "light_change": (0, 1),
    "light_ratio": (0.01, 100), "sun_turn": (-180, 180),
}  # fmt: skip
"""Least and most of each number."""
