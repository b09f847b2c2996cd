"""Draws photographs of an eye: where the camera is, how it looks, and what its light and film are like."""

from __future__ import annotations

import math
import random

from ..cameras import Vector
from ..parallax.geometry import cross, turned, unit
from ..streams import count, uniform
from .config import FundusConfig
from .optics import at_centre, from_map
from .scenes import EyeSpec, FilmSpec, FlashSpec, LashSpec, LidSpec, Place, ReflexSpec, ShotSpec

STOP = 0.485
"""Radius of a standard picture's field over the picture's height; half the width of a wide one's over the whole
picture's."""
BEAM = 1.6
"""Opening of a standard camera's beam over its field."""
FLASH_OFFSET = 1.2
"""Distance of the flash from the centre of projection, in millimetres: it shines through the pupil's rim."""
WIDE_BEAM = 150.0
"""Opening of an ultra-widefield camera's beam, in degrees."""
BLUR_HEIGHT = 256
"""Height of the picture that a blur is told for."""


class StandardShot:
    """A standard photograph whose place on the retina is still open."""

    def __init__(self, config: FundusConfig, rng: random.Random, eye: EyeSpec, size: int, field: float) -> None:
        """Draw everything else.

        Args:
            config: the settings.
            rng: random numbers.
            eye: the eye.
            size: height and width of the picture, in pixels.
            field: visual angle of the field, in degrees.
        """
        self._eye, self._size, self._field = eye, size, field
        depth = uniform(rng, config.depth)
        self._position = pupil(rng, config, eye, depth)
        self._roll = turned(uniform(rng, config.roll))
        bulge = uniform(rng, config.distortion)
        # The field's edge as a camera on the axis sees it.
        x, y, _ = from_map(eye, (at_centre(eye, field / 2), 0.0))
        tangent = x / (y + eye.radius * eye.stretch - depth)
        stop = STOP * size
        self._focal = stop / (tangent * (1 + bulge))
        self._distortion = bulge / (tangent * (1 + bulge)) ** 2
        self._offset, self._tilt = around(rng), turned(uniform(rng, config.misalignment))
        self._tilt_to, self._fade = around(rng), uniform(rng, config.vignette)
        self._film = standard_film(config, rng, size)
        self._seed = int(rng.random() * 2**31)

    def at(self, target: Place) -> ShotSpec:
        """The photograph whose line of sight meets the retina at a place of its map, in degrees at the eye's centre."""
        position, size = self._position, self._size
        ahead = towards(position, from_map(self._eye, target))
        right, up = rolled(*upright(ahead), self._roll)
        across = mixed(right, up, self._offset)
        side = mixed(right, up, self._tilt_to)
        x, y, z = position
        flash = FlashSpec(
            position=(x + FLASH_OFFSET * across[0], y + FLASH_OFFSET * across[1], z + FLASH_OFFSET * across[2]),
            direction=mixed(ahead, side, self._tilt),
            opening=BEAM * at_centre(self._eye, self._field / 2),
            fade=self._fade,
        )
        return ShotSpec(
            camera="standard",
            position=position,
            right=right,
            up=up,
            focal=self._focal,
            centre=((size - 1) / 2, (size - 1) / 2),
            distortion=self._distortion,
            stop=(STOP * size, STOP * size),
            field_angle=self._field,
            flash=flash,
            film=self._film,
            seed=self._seed,
        )


def wide_shot(config: FundusConfig, rng: random.Random, eye: EyeSpec, size: int) -> ShotSpec:
    """The whole of an ultra-widefield picture, as if it were not cut; `crop` cuts a part out of it.

    The centre of projection lies on the eye's surface and the picture's plane is square to the radius that leads
    there: of a sphere, this is its stereographic projection.
    """
    position = pupil(rng, config, eye, 0.0)
    ahead = towards(position, (0.0, 0.0, 0.0))
    right, up = rolled(*upright(ahead), turned(uniform(rng, config.roll)))
    field = uniform(rng, config.wide_field)
    cosine, sine = turned(field / 2)
    side = size / uniform(rng, config.wide_crop)
    half = STOP * side
    return ShotSpec(
        camera="wide",
        position=position,
        right=right,
        up=up,
        # The tangent of half the angle.
        focal=half * (1 + cosine) / sine,
        centre=((side - 1) / 2, (side - 1) / 2),
        distortion=0.0,
        stop=(half, half * uniform(rng, config.wide_height)),
        field_angle=field,
        flash=FlashSpec(position=position, direction=ahead, opening=WIDE_BEAM, fade=0.6),
        film=_wide_film(config, rng, side),
        seed=int(rng.random() * 2**31),
    )


def pupil(rng: random.Random, config: FundusConfig, eye: EyeSpec, depth: float) -> Vector:
    """A centre of projection, beside the eye's axis and so far behind its surface."""
    cosine, sine = around(rng)
    apart = uniform(rng, config.decentration)
    along = eye.stretch * math.sqrt(eye.radius * eye.radius - apart * apart)
    return apart * cosine, depth - along, apart * sine


def around(rng: random.Random) -> Place:
    """A direction in a plane, all alike."""
    return turned(uniform(rng, (-180.0, 180.0)))


def towards(start: Vector, end: Vector) -> Vector:
    """Unit vector from one point to another."""
    return unit((end[0] - start[0], end[1] - start[1], end[2] - start[2]))


def upright(ahead: Vector) -> tuple[Vector, Vector]:
    """The right and up vectors of a camera that stands upright."""
    right = unit(cross(ahead, (0.0, 0.0, 1.0)))
    return right, cross(right, ahead)


def rolled(right: Vector, up: Vector, roll: Place) -> tuple[Vector, Vector]:
    """The right and up vectors, turned around the line of sight."""
    cosine, sine = roll
    return mixed(right, up, roll), mixed(up, right, (cosine, -sine))


def mixed(first: Vector, second: Vector, turn: Place) -> Vector:
    """The unit vector that is `turn` away from the first one towards the second, which is square to it."""
    cosine, sine = turn
    return unit(
        (
            cosine * first[0] + sine * second[0],
            cosine * first[1] + sine * second[1],
            cosine * first[2] + sine * second[2],
        )
    )


def standard_film(config: FundusConfig, rng: random.Random, size: int) -> FilmSpec:
    """Film of a standard camera."""
    return FilmSpec(
        exposure_shift=uniform(rng, config.exposure_shift),
        green=0.0,
        tint=(1.0, uniform(rng, (0.92, 1.08)), uniform(rng, (0.8, 1.2))),
        haze=uniform(rng, config.haze),
        blur=uniform(rng, config.blur) * size / BLUR_HEIGHT,
        noise=uniform(rng, config.noise),
        reflexes=tuple(_reflex(rng) for _ in range(count(rng, config.reflexes))),
        lids=(),
    )


def _reflex(rng: random.Random) -> ReflexSpec:
    """A crescent at the field's edge, from the cornea, or a small ghost near its middle, from a lens."""
    cosine, sine = around(rng)
    strength, warmth = rng.random(), rng.random()
    if rng.random() < 0.6:
        away = 1.5 + 0.5 * rng.random()
        level = 0.05 + 0.25 * strength * strength
        radius, softness = away - 0.85 + 0.2 * rng.random(), 0.35 + 0.3 * rng.random()
    else:
        away = 0.1 + 0.4 * rng.random()
        level = 0.02 + 0.1 * strength * strength
        radius = 0.03 + 0.05 * rng.random()
        softness = 0.8 * radius
    light = (level * (0.7 + 0.3 * warmth), 0.9 * level, level * (1.0 - 0.3 * warmth))
    return ReflexSpec((away * cosine, away * sine), radius, softness, light)


def _wide_film(config: FundusConfig, rng: random.Random, side: float) -> FilmSpec:
    return FilmSpec(
        exposure_shift=uniform(rng, config.exposure_shift),
        green=uniform(rng, (0.3, 0.48)),
        tint=(1.0, 1.0, 1.0),
        haze=0.0,
        blur=uniform(rng, config.wide_blur) * side / BLUR_HEIGHT,
        noise=uniform(rng, config.wide_noise),
        reflexes=(),
        lids=tuple(_lid(config, rng, upper=upper) for upper in (True, False) if rng.random() < config.lids),
    )


def _lid(config: FundusConfig, rng: random.Random, *, upper: bool) -> LidSpec:
    level = 0.03 + 0.05 * rng.random()
    return LidSpec(
        upper=upper,
        reach=uniform(rng, config.lid_reach),
        tilt=uniform(rng, (-0.12, 0.12)),
        bend=uniform(rng, (-0.1, 0.25)),
        softness=uniform(rng, (0.08, 0.24)),
        light=(level * uniform(rng, (1.6, 2.4)), level, 0.0),
        lashes=tuple(_lash(rng, upper=upper) for _ in range(count(rng, config.lashes))),
    )


def _lash(rng: random.Random, *, upper: bool) -> LashSpec:
    across = uniform(rng, (-0.85, 0.85))
    return LashSpec(
        across=across,
        length=uniform(rng, (0.1, 0.4) if upper else (0.15, 0.65)),
        # Lashes stand like a fan.
        lean=0.3 * across + uniform(rng, (-0.1, 0.1)),
        bend=uniform(rng, (-0.05, 0.05)),
        width=uniform(rng, (0.008, 0.02)),
        darkness=uniform(rng, (0.4, 0.85)),
    )
