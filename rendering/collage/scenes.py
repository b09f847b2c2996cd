"""A collage as pure data.

Lengths are in pixels of the reference. Level 0 is the background; a higher level is nearer, and a later piece lies on
an earlier one of its level.
"""

from __future__ import annotations

from dataclasses import dataclass

Row = tuple[float, float, float]

Homography = tuple[Row, Row, Row]
"""Pixels of the reference to pixels of the source."""


@dataclass(frozen=True)
class MaterialSpec:
    """A square picture that pieces are cut from; decided by these words alone."""

    family: str
    """One of `materials.py`; `picture` is a part of a picture file."""
    seed: int
    picture: str = ""
    """Name of the picture file within its folder."""
    crop: tuple[float, float, float] = (1.0, 0.0, 0.0)
    """Side of the part, relative to the largest square, and its place across and along, 0 to 1."""


@dataclass(frozen=True)
class CoatSpec:
    """How a material lies on a piece."""

    material: int
    """Its number in the scene."""
    texel: float
    """Pixels of the reference that a texel covers."""
    turn: float
    """In radians."""
    offset: tuple[float, float]
    """Texel at the piece's centre."""
    colours: int
    """Seed of the change of its colours."""
    flatness: float
    """How far its contrast is taken back, 0 (not at all) to 1 (one colour)."""


@dataclass(frozen=True)
class PieceSpec:
    """A piece of a material on one of the planes."""

    level: int
    shape: str
    """One of `shapes.py`."""
    seed: int
    """Decides the outline and the shading."""
    centre: tuple[float, float]
    radius: float
    turn: float
    stretch: float
    """Height over width, at most 1."""
    soft: float
    """Standard deviation of the blur of its edge, relative to the radius."""
    coat: CoatSpec


@dataclass(frozen=True)
class CameraSpec:
    """How a picture is taken: `(gain * light) ** gamma`, darker corners, noise."""

    gains: tuple[float, float, float]
    """Of red, green and blue, on sRGB values."""
    gamma: float
    vignette: float
    noise: float
    seed: int
    """Of the noise."""


@dataclass(frozen=True)
class CollageSpec:
    """A collage and both of its pictures."""

    dataset_seed: int
    index: int
    width: int
    height: int
    materials: tuple[MaterialSpec, ...]
    levels: tuple[Homography, ...]
    background: CoatSpec
    pieces: tuple[PieceSpec, ...]
    """In the order in which they are laid."""
    blur: float
    cameras: tuple[CameraSpec, CameraSpec]
    """Of the reference and of the source."""

    @property
    def key(self) -> str:
        """The scene's sample key."""
        return f"{self.index:06d}"
