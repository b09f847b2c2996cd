"""The picture of a head: skin with eyes, brows, mouth, shades and beard, painted where the surface has them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...parallax.surfaces import Canvas
from ..coverings import Covering
from .cloth import canvas
from .hair import grows, painted_line
from .heads import EYE, LEVELS, around, beard_mask, head_surface
from .lofts import Table, curve, ease
from .spec import Colour, PersonSpec

WIDTH, HEIGHT = 400, 232
"""Texels of a head's picture: a millimetre across each in the face, and one up."""


@dataclass
class _Painting:
    """A head's picture, or a part of it, while it is painted: its colours, and where each texel lies on the head."""

    theta: Table
    x: Table
    z: Table
    y: Table
    front: Table
    """1 in the face, 0 elsewhere."""
    colours: Table

    def cut(self, rows: tuple[float, float], columns: tuple[float, float]) -> _Painting:
        """A part, by shares of height and width; what is painted there is painted in the whole."""
        high, wide = (slice(round(a * size), round(b * size)) for (a, b), size in ((rows, HEIGHT), (columns, WIDTH)))
        return _Painting(*(each[high, wide] for each in (self.theta, self.x, self.z, self.y, self.front, self.colours)))

    def lay(self, colour: Colour | Table, mask: Table) -> None:
        """Lay a colour over the texels of a mask (H, W), 0 to 1."""
        self.colours += mask[..., None] * (np.asarray(colour, np.float64) - self.colours)

    def shade(self, factor: float, mask: Table) -> None:
        """Multiply the brightness by a factor where the mask (H, W) is 1."""
        self.colours *= 1 + (factor - 1) * mask[..., None]

    def spot(self, x: float, z: float, wide: float, high: float, both: bool = True) -> Table:
        """A soft spot (H, W) in the face, on both sides or in the middle."""
        place = np.abs(self.x) if both else self.x
        return self.front * np.exp(-(((place - x) / wide) ** 2) - ((self.z - z) / high) ** 2)


def _bare(spec: PersonSpec) -> _Painting:
    """Nothing but skin."""
    rows = LEVELS[0] + (1 - LEVELS[0]) * (1 - (np.arange(HEIGHT) + 0.5) / HEIGHT)
    around_head = around((np.arange(WIDTH) + 0.5) / WIDTH)
    points = head_surface(spec.body, spec.face, around_head, np.minimum(rows, 0.999)[:, None])
    theta, z = np.broadcast_arrays(around_head, rows[:, None])
    colours = np.broadcast_to(np.array(spec.face.skin, np.float64), (HEIGHT, WIDTH, 3)).copy()
    return _Painting(theta, points[..., 0], z, points[..., 1], ease(points[..., 1], 0.10, 0.2), colours)


def face_covering(spec: PersonSpec) -> Covering:
    """The covering of the head."""
    whole = _bare(spec)
    grain = canvas(spec, "face", (0.57, 0.24), WIDTH, HEIGHT)
    mottle = 1 + 0.018 * grain.smooth(0.02, 0.02) + 0.012 * grain.smooth(0.006, 0.006)
    whole.colours *= mottle[..., None]
    whole.shade(0.72, ease(whole.z, 0.035, -0.03))
    face = whole.cut((0.15, 0.95), (0.22, 0.78))
    _complexion(face, spec)
    _scalp(whole, spec, grain)
    _mouth(whole.cut((0.60, 0.90), (0.30, 0.70)), spec)
    for side, columns in ((1, (0.26, 0.5)), (-1, (0.5, 0.74))):
        _eye(whole.cut((0.32, 0.62), columns), spec, side)
    if spec.face.glasses != "none":
        _glasses(whole, spec)
    pixels: npt.NDArray[np.uint8] = np.clip(whole.colours + 0.5, 0, 255).astype(np.uint8)
    return Covering(pixels, 0.55, True)


def _complexion(picture: _Painting, spec: PersonSpec) -> None:
    """Blush, shades in the sockets, beside the nose and below lips and chin, age."""
    blush = 0.16 + 0.10 * (spec.body.age == "child") + 0.06 * spec.body.curves
    red = np.array(spec.face.skin) * np.array([1.02, 0.74, 0.70])
    picture.lay(red, blush * picture.spot(0.185, 0.37, 0.085, 0.07))
    picture.lay(red, 0.8 * blush * picture.spot(0.0, 0.33, 0.05, 0.04, both=False))
    picture.shade(0.80, picture.spot(EYE[0], EYE[1] + 0.03, 0.085, 0.035))
    picture.shade(0.88, picture.spot(EYE[0] + 0.01, EYE[1] - 0.045, 0.06, 0.016))
    picture.shade(0.84, picture.spot(0.075, 0.36, 0.022, 0.07))
    picture.shade(0.80, picture.spot(0.0, 0.295, 0.05, 0.012, both=False))
    picture.shade(0.84, picture.spot(0.0, 0.155, 0.07, 0.018, both=False))
    picture.shade(1.06, picture.spot(0.0, 0.42, 0.025, 0.10, both=False))
    picture.shade(1.04, picture.spot(0.0, 0.70, 0.18, 0.07, both=False))
    for side in (-1, 1):
        nostril = picture.front * ease(
            ((picture.x - side * 0.036) / 0.019) ** 2 + ((picture.z - 0.307) / 0.010) ** 2, 1.5, 0.5
        )
        picture.lay(np.array(spec.face.skin) * 0.35, 0.85 * nostril)
    if spec.body.age == "elder":
        fold = np.abs(np.abs(picture.x) - curve(picture.z, (0.16, 0.30), (0.125, 0.075)))
        picture.shade(0.80, picture.front * ease(fold, 0.012, 0.0) * ease(np.abs(picture.z - 0.235), 0.085, 0.06))
        for level in (0.66, 0.70, 0.735):
            line = np.abs(picture.z - level - 0.01 * np.cos(picture.x * 9))
            picture.shade(0.88, picture.front * ease(line, 0.006, 0.0) * ease(np.abs(picture.x), 0.2, 0.12))


def _scalp(picture: _Painting, spec: PersonSpec, grain: Canvas) -> None:
    """Hair as a colour under the hair itself, beard and stubble."""
    dark = np.array(spec.face.hair_colour, np.float64)
    line = painted_line(spec.face.hair)
    strands = (1 + 0.16 * grain.smooth(0.004, 0.02))[..., None]
    if line is not None:
        picture.lay(dark * 0.8 * strands, 0.92 * grows(line, picture.theta, picture.z))
    if spec.face.beard in ("full", "stubble"):
        mask = beard_mask(picture.x, picture.y, picture.z)
        picture.lay(dark * strands, (0.93 if spec.face.beard == "full" else 0.30) * mask)
    if spec.face.beard in ("full", "moustache"):
        band = picture.z - curve(np.abs(picture.x), (0.0, 0.05, 0.12, 0.16), (0.274, 0.277, 0.245, 0.20))
        picture.lay(
            dark * strands,
            0.93 * picture.front * ease(np.abs(band), 0.022, 0.012) * ease(np.abs(picture.x), 0.14, 0.11),
        )


def _mouth(picture: _Painting, spec: PersonSpec) -> None:
    """Lips and the line between them."""
    skin, curves = np.array(spec.face.skin, np.float64), spec.body.curves
    lips = skin * np.array([0.86 + 0.04 * curves, 0.60 - 0.12 * curves, 0.58 - 0.06 * curves])
    half = 0.092 if spec.body.age != "child" else 0.078
    x, z = picture.x / half, picture.z
    inside = np.clip(1 - x**2, 0, 1)
    # The middle line rises towards the corners, a little.
    middle = 0.220 + 0.010 * x**2
    upper = middle + (0.020 + 0.007 * curves) * inside**0.8 * (1 - 0.25 * np.exp(-((x / 0.15) ** 2)))
    lower = middle - (0.027 + 0.005 * curves) * inside
    mask = picture.front * ease(z - lower, -0.004, 0.004) * ease(upper - z, -0.004, 0.004) * (np.abs(x) < 1)
    picture.lay(lips, 0.85 * mask)
    picture.lay(lips * 1.12, 0.5 * mask * np.exp(-((x / 0.5) ** 2) - ((z - 0.203) / 0.007) ** 2))
    picture.lay(skin * 0.32, picture.front * ease(np.abs(z - middle), 0.0075, 0.002) * ease(np.abs(x), 1.06, 0.9) * 0.9)


def _eye(picture: _Painting, spec: PersonSpec, side: int) -> None:
    """White, iris, pupil, lids, lashes and brow; `side` is 1 for the person's right."""
    size = 1.22 if spec.body.age == "child" else 1.0 + 0.06 * spec.body.curves
    hair, grey = np.array(spec.face.hair_colour, np.float64), spec.body.age == "elder"
    # From the nose outwards.
    across = side * picture.x - EYE[0]
    x, z = across / (0.066 * size), picture.z - EYE[1] - 0.06 * across
    lid = 0.030 * size * np.clip(1 - x**2, 0, 1) ** 0.75
    under = -0.021 * size * np.clip(1 - x**2, 0, 1) ** 0.9
    opening = picture.front * ease(lid - z, -0.002, 0.004) * ease(z - under, -0.002, 0.004) * (np.abs(x) < 1)
    picture.lay((236, 232, 226), opening)
    picture.shade(0.72, opening * ease(lid - z, 0.016, 0.0))
    away = np.sqrt(across**2 + (picture.z - EYE[1] - 0.003) ** 2) / size
    picture.lay(np.array(spec.face.eyes) * 0.55, opening * ease(away, 0.0285, 0.0245))
    picture.lay(spec.face.eyes, opening * ease(away, 0.0245, 0.018))
    picture.lay((14, 11, 10), opening * ease(away, 0.0135, 0.0105))
    glint = np.sqrt((picture.x - side * EYE[0] - 0.009) ** 2 + (picture.z - EYE[1] - 0.013) ** 2)
    picture.lay((250, 250, 250), opening * ease(glint, 0.007, 0.004))
    lash = (
        picture.front
        * ease(np.abs(z - lid - 0.003), 0.0085 + 0.003 * spec.body.curves, 0.002)
        * ease(np.abs(x), 1.12, 0.95)
    )
    picture.lay((34, 24, 20), lash * (0.75 + 0.2 * spec.body.curves))
    crease = picture.front * ease(np.abs(z - 1.25 * lid - 0.014), 0.007, 0.001) * ease(np.abs(x), 1.0, 0.8)
    picture.shade(0.78, crease)
    picture.shade(0.80, picture.front * ease(np.abs(z - under), 0.006, 0.001) * ease(np.abs(x), 1.0, 0.8))
    arch = 0.562 + 0.022 * np.sin(np.clip((across + 0.08) / 0.17, 0, 1) * math.pi * 0.8) + 0.010 * spec.body.curves
    thick = (0.018 - 0.007 * spec.body.curves) * curve(across, (-0.085, -0.06, 0.03, 0.10), (0.7, 1.0, 0.9, 0.25))
    brow = picture.front * ease(np.abs(picture.z - arch), 1.25 * thick + 0.002, 0.4 * thick)
    brow = brow * ease(across, -0.088, -0.07) * ease(across, 0.102, 0.085)
    picture.lay(hair * (0.85 if grey else 0.62), 0.85 * brow)


def _glasses(picture: _Painting, spec: PersonSpec) -> None:
    """Frames on the skin, dark lenses."""
    x = np.abs(picture.x)
    away = (((x - EYE[0]) / 0.098) ** 4 + ((picture.z - EYE[1] + 0.004) / 0.070) ** 4) ** 0.25
    rim = picture.front * ease(np.abs(away - 1), 0.15, 0.08)
    bridge = picture.front * ease(np.abs(picture.z - 0.510), 0.010, 0.005) * (x < 0.045)
    temple = ease(np.abs(picture.z - 0.510), 0.011, 0.006) * (x > 0.22) * ease(picture.y, -0.02, 0.02)
    if spec.face.glasses == "dark":
        picture.lay((22, 22, 26), picture.front * ease(away, 1.04, 0.96))
        picture.lay((70, 76, 92), picture.spot(EYE[0] - 0.02, EYE[1] + 0.035, 0.03, 0.016) * 0.7)
    picture.lay((28, 24, 24), np.maximum(np.maximum(rim, bridge), temple))
