"""The settings of a collage scene: every range that is drawn from."""

from __future__ import annotations

from dataclasses import dataclass

from ..settings import check_settings
from ..streams import Range


@dataclass(frozen=True)
class CollageConfig:
    """What a collage may look like: overlapping pieces on parallel planes, and two pictures of them.

    Ranges are `LOW HIGH` and drawn uniformly. Lengths are relative to the picture's height, angles in degrees. "Dead
    leaves" of power-law sizes have the statistics of natural pictures (Lee, Mumford and Huang 2001), and features
    learned from them transfer (Baradad et al. 2021).
    """

    aspect: float = 1.0
    """Width of a picture over its height, at least 1."""
    levels: tuple[int, int] = (1, 5)
    """Fewest and most planes in front of the background, each at its own depth."""
    pieces: tuple[int, int] = (25, 90)
    """Fewest and most pieces per picture area; half of them lie flat on the background."""
    cover: Range = (0.8, 3.0)
    """Area of all pieces together, per picture area; no more are laid, for they would hide what lies below."""
    radius: Range = (0.025, 0.6)
    """Radius of a piece; small ones are more frequent by a power law."""
    size_power: Range = (1.1, 2.2)
    """Exponent of the sizes' power law; 3 has the statistics of natural pictures, and leaves little room in front."""
    soft_share: float = 0.15
    """Share of pieces with a blurred edge."""

    overlap: Range = (0.5, 1.0)
    """Share of the reference's background that lies in the source."""
    zoom: Range = (0.85, 1.18)
    """Magnification of the source relative to the reference."""
    roll: Range = (-12.0, 12.0)
    """Turn between the pictures around the line of sight."""
    perspective: Range = (-0.15, 0.15)
    """Change of the magnification over the picture's height, along each axis."""
    parallax: Range = (0.0, 8.0)
    """Shift of the nearest plane against the background, in percent of the diagonal."""
    slant: Range = (-0.4, 0.4)
    """Change of a plane's shift over the picture's height, relative to the shift."""

    materials: tuple[int, int] = (5, 14)
    """Fewest and most materials in a scene."""
    material_pool: int = 160
    """Materials of each split; a render process keeps those that it has made."""
    picture_share: float = 0.3
    """Share of materials that are parts of scikit-image's pictures; the others are made from the seed."""
    picture_crop: Range = (0.4, 1.0)
    """Side of the part of a picture that is taken, relative to the largest square."""

    blur: Range = (0.3, 0.8)
    """Standard deviation of the lens' blur, in pixels; the same in both pictures."""
    exposure_shift: Range = (-0.25, 0.25)
    """Difference between the pictures' exposures, in stops."""
    white_balance: Range = (-0.06, 0.06)
    """Relative difference between the pictures' red, and blue, gains."""
    gamma: Range = (0.9, 1.1)
    """Gamma of the source relative to the reference."""
    vignette: Range = (0.0, 0.15)
    """How much darker the corners of each picture are."""
    noise: Range = (0.0, 0.015)
    """Standard deviation of each picture's noise, of full scale."""

    def validate(self) -> None:
        """Check every setting.

        Raises:
            InputError: a setting is out of its bounds; the line names its flag.
        """
        least, most = ({name: bounds[end] for name, bounds in _BOUNDS.items()} for end in (0, 1))
        check_settings(self, least, most)


_BOUNDS: dict[str, tuple[float, float]] = {
    "aspect": (1, 4), "levels": (0, 16), "pieces": (0, 1000), "radius": (0.005, 1), "cover": (0, 50),
    "size_power": (1.05, 4), "soft_share": (0, 1), "overlap": (0.1, 1), "zoom": (0.5, 2), "roll": (-180, 180),
    "perspective": (-0.3, 0.3), "parallax": (0, 20), "slant": (-1, 1), "materials": (1, 64),
    "material_pool": (1, 100_000), "picture_share": (0, 1), "picture_crop": (0.05, 1), "blur": (0.1, 3),
    "exposure_shift": (-2, 2), "white_balance": (-0.5, 0.5), "gamma": (0.5, 2), "vignette": (0, 0.9),
    "noise": (0, 0.2),
}  # fmt: skip
