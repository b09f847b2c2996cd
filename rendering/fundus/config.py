"""The settings of a fundus scene: every range that is drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ...methods.errors import InputError
from ..settings import check_settings
from ..streams import Range
from .retina.spec import RetinaConfig

PairKind = Literal["sfi-uwfi", "S", "P", "A"]
"""What a pair shows: a standard picture (source) and an ultra-widefield one (reference), or two standard pictures of
the three kinds of the FIRE dataset: much overlap (S), little overlap (P), much overlap and a later visit (A)."""

KINDS: tuple[PairKind, ...] = get_args(PairKind)
"""The kinds of pairs, in the order of the test split's parts."""


@dataclass(frozen=True)
class FundusConfig(RetinaConfig):
    """What a fundus scene may look like: one eye, and two photographs of its retina taken through the pupil.

    Ranges are `LOW HIGH` and drawn uniformly. Lengths are in millimetres, angles in degrees. The field of a standard
    camera is told as its makers do, by the visual angle (at the pupil); that of an ultra-widefield camera as its makers
    do, by the angle at the eye's centre.
    """

    share_wide: float = 0.4
    """How often a pair is of a standard and an ultra-widefield picture (sfi-uwfi), relative to the other shares."""
    share_much: float = 0.3
    """How often it is of two standard pictures with much overlap (S)."""
    share_little: float = 0.2
    """How often it is of two standard pictures with little overlap (P)."""
    share_later: float = 0.1
    """How often it is of two standard pictures, the second of a later visit (A)."""

    eye_radius: Range = (11.0, 12.2)
    """Radius of the retina's surface across the eye's axis."""
    eye_stretch: Range = (0.98, 1.05)
    """Radius along the eye's axis over that across it; above 1 in short-sighted eyes."""

    field: Range = (40.0, 50.0)
    """Visual angle that a standard camera's field stop lets through."""
    magnification: Range = (0.96, 1.04)
    """Scale of the second standard picture over that of the first."""
    distortion: Range = (-0.03, 0.03)
    """How much farther out the lens brings the edge of the field than a pinhole would, relative to its radius."""
    gaze: Range = (0.0, 9.0)
    """Visual angle between the first picture's centre and the posterior pole."""
    roll: Range = (-8.0, 8.0)
    """Turn of a camera around its line of sight."""
    decentration: Range = (0.0, 1.3)
    """Distance of a camera's centre of projection from the eye's axis."""
    depth: Range = (0.0, 1.6)
    """How far behind the eye's surface a standard camera's centre of projection lies; an ultra-widefield picture is
    seen from the surface itself, which makes it stereographic."""
    overlap: Range = (0.77, 0.97)
    """Share of the reference's field that the source sees, in pairs S and A."""
    overlap_little: Range = (0.35, 0.72)
    """The same in pairs P."""

    wide_field: Range = (190.0, 205.0)
    """Angle at the eye's centre across the field of an ultra-widefield picture."""
    wide_height: Range = (0.78, 0.94)
    """Height of that field over its width."""
    wide_crop: Range = (0.5, 1.0)
    """Side of the part of an ultra-widefield picture that is kept, over the whole; the standard picture lies in it."""
    lids: float = 0.75
    """How often a lid's shadow lies over an ultra-widefield picture; for the upper and the lower one each."""
    lid_reach: Range = (0.08, 0.36)
    """How far a lid reaches into the field, over half its height."""
    lashes: tuple[int, int] = (6, 24)
    """Fewest and most lashes on each lid."""

    samples: int = 1
    """Light paths for each of the four sample points of a pixel."""
    exposure_shift: Range = (-0.3, 0.3)
    """What is added to a picture's exposure, in stops."""
    vignette: Range = (0.3, 0.9)
    """Share of the radius of a standard camera's beam over which its light fades."""
    misalignment: Range = (0.0, 5.0)
    """Angle between a standard camera's beam and its line of sight."""
    reflexes: tuple[int, int] = (0, 2)
    """Fewest and most reflections of the flash at the cornea or in a standard camera's lenses."""
    haze: Range = (0.0, 0.012)
    """Linear light that the eye's lens scatters over a standard picture, relative to full scale."""
    blur: Range = (0.4, 0.7)
    """Standard deviation of a standard picture's blur, in pixels of a picture 256 high."""
    wide_blur: Range = (0.25, 0.5)
    """The same of an ultra-widefield picture, before it is cut."""
    noise: Range = (0.004, 0.012)
    """Standard deviation of a standard picture's noise at full light; it falls with the root of the light."""
    wide_noise: Range = (0.01, 0.025)
    """The same of an ultra-widefield picture."""

    @property
    def shares(self) -> dict[PairKind, float]:
        """How often a pair is of each kind; they sum to 1."""
        given = (self.share_wide, self.share_much, self.share_little, self.share_later)
        return {kind: share / sum(given) for kind, share in zip(KINDS, given, strict=True)}

    def validate(self) -> None:
        """Check every setting.

        Raises:
            InputError: a setting is out of its bounds; the line names its flag.
        """
        super().validate()
        least, most = ({name: bounds[end] for name, bounds in _BOUNDS.items()} for end in (0, 1))
        check_settings(self, least, most)
        if not self.share_wide + self.share_much + self.share_little + self.share_later > 0:
            raise InputError("--scene.share-wide, -much, -little, -later: one of them must be above 0")


_BOUNDS: dict[str, tuple[float, float]] = {
    "share_wide": (0, 1e6), "share_much": (0, 1e6), "share_little": (0, 1e6), "share_later": (0, 1e6),
    "eye_radius": (10.9, 17), "eye_stretch": (0.85, 1.25), "field": (20, 70), "magnification": (0.7, 1.4),
    "distortion": (-0.1, 0.1), "gaze": (0, 30), "roll": (-180, 180), "decentration": (0, 3), "depth": (0, 4),
    "overlap": (0.75, 1), "overlap_little": (0.1, 0.75), "wide_field": (120, 210), "wide_height": (0.5, 1),
    "wide_crop": (0.3, 1), "lids": (0, 1), "lid_reach": (0, 0.6), "lashes": (0, 100),
    "samples": (1, 65536), "exposure_shift": (-4, 4), "vignette": (0, 1), "misalignment": (0, 20),
    "reflexes": (0, 10), "haze": (0, 1), "blur": (0, 5), "wide_blur": (0, 5), "noise": (0, 0.2),
    "wide_noise": (0, 0.2),
}  # fmt: skip
"""Least and most of each number."""
