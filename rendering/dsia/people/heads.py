"""The head: a surface over (around, height) with brow, sockets, nose, cheeks, lips and chin; ears.

Lengths are shares of the head's height, chin to crown. The origin lies at the height of the chin, between the ears;
x is to the person's right, y ahead, z up. Proportions follow Farkas, Anthropometry of the Head and Face (1994): eyes
half way up, 0.27 apart, the nose's base a third of the face's height above the chin.
"""

from __future__ import annotations

import math

import numpy as np

from .lofts import Part, Table, angles, curve, ease, joined, loft, mirrored, sections, superellipse
from .skeleton import JOINTS, turn
from .spec import Body, Face
from .surfaces import HEAD

SEGMENTS = 40
LEVELS = np.array([
    -0.06, -0.03, 0.0, 0.03, 0.06, 0.09, 0.125, 0.16, 0.19, 0.215, 0.24, 0.265, 0.29, 0.315, 0.34, 0.37, 0.405, 0.44,
    0.475, 0.51, 0.55, 0.59, 0.64, 0.69, 0.74, 0.79, 0.84, 0.885, 0.925, 0.955, 0.98, 0.995,
])  # fmt: skip
"""Heights of the rings; dense where the face is."""
CROWD = 0.6
"""By how much more densely the front of the face is sampled than the mean."""
EYE = (0.133, 0.487)
"""Place of an eye: to the side, and up."""

_KEYS = (-0.06, -0.02, 0.0, 0.025, 0.05, 0.08, 0.13, 0.17, 0.22, 0.27, 0.34, 0.42, 0.5, 0.56, 0.62)
# Half width, reach to the front and to the back.
_SIZES = np.array([
    (0.150, 0.09, 0.25), (0.158, 0.20, 0.255), (0.168, 0.27, 0.265), (0.184, 0.345, 0.275), (0.201, 0.385, 0.285),
    (0.219, 0.400, 0.300), (0.243, 0.392, 0.325), (0.259, 0.388, 0.345), (0.275, 0.398, 0.370), (0.287, 0.396, 0.400),
    (0.302, 0.395, 0.435), (0.318, 0.394, 0.468), (0.330, 0.398, 0.490), (0.336, 0.416, 0.500), (0.338, 0.420, 0.502),
])  # fmt: skip
_NOSE = (
    (0.275, 0.300, 0.320, 0.345, 0.375, 0.42, 0.47, 0.52, 0.56),
    (0.0, 0.030, 0.080, 0.112, 0.098, 0.066, 0.034, 0.012, 0.0),
)


def around(share: Table) -> Table:
    """Angle from the back, in radians, at a share (0 to 1) of the way around, crowded towards the front."""
    return 2 * math.pi * share + CROWD * np.sin(2 * math.pi * share)


def head_surface(body: Body, face: Face, theta: Table, z: Table) -> Table:
    """Points (..., 3) of the head at angles from the back and heights, which are broadcast."""
    sizes = curve(np.minimum(z, 0.62), _KEYS, _SIZES)
    crown = np.sqrt(1 - (np.maximum(z - 0.60, 0) / 0.402) ** 2.5)
    half, front, back = (sizes[..., number] * crown for number in range(3))
    child = body.age == "child"
    # Children's and women's jaws are narrower, their brows flatter.
    half = half * (1 - (0.05 * body.curves + 0.05 * child) * ease(z, 0.4, 0.1)) * (1.03 if child else 0.985)
    x, y = superellipse(theta, half, front, back, 2.2)
    ahead = ease(y, 0.08, 0.25)

    def bump(side: float, wide: float, level: float, high: float) -> Table:
        place = np.abs(x) if side else x
        return ahead * np.exp(-(((place - side) / wide) ** 2) - ((z - level) / high) ** 2)

    spread = np.clip(0.052 - 0.14 * (z - 0.34), 0.026, 0.055)
    nose = curve(z, *_NOSE) * np.exp(-((x / spread) ** 2)) * ahead * (0.66 if child else 1 - 0.16 * body.curves)
    wings = 0.030 * bump(0.048, 0.024, 0.320, 0.024)
    sockets = -0.036 * bump(EYE[0], 0.066, EYE[1] + 0.008, 0.042) + 0.014 * bump(EYE[0], 0.042, EYE[1], 0.026)
    brow = 0.014 * (1 - 0.7 * body.curves) * (not child) * bump(0.12, 0.09, 0.565, 0.03)
    lips = 0.016 * bump(0.0, 0.085, 0.243, 0.018) + 0.018 * bump(0.0, 0.075, 0.197, 0.022)
    chin = (0.020 - 0.008 * body.curves) * bump(0.0, 0.08, 0.075, 0.04)
    cheek = (0.020 if child else 0.010) * bump(0.19, 0.08, 0.38 if not child else 0.33, 0.08)
    beard = 0.035 * (face.beard == "full") * beard_mask(x, y, z) * (y > 0)
    y = y + nose + wings + sockets + brow + lips + chin + cheek + beard
    x = x * (1 + 0.25 * cheek + beard)
    return np.stack(np.broadcast_arrays(x, y - 0.01, z), axis=-1)


def beard_mask(x: Table, y: Table, z: Table) -> Table:
    """Where a beard grows (...), 0 to 1: from the sideburns over jaw and chin, around the mouth."""
    line = curve(np.abs(x), (0.0, 0.07, 0.12, 0.2, 0.29), (0.285, 0.285, 0.20, 0.23, 0.42))
    mouth = np.exp(-((((np.abs(x)) / 0.095) ** 2 + ((z - 0.218) / 0.036) ** 2) ** 2))
    return ease(line - z, -0.012, 0.02) * ease(y, -0.08, 0.0) * (1 - mouth)


def placed(points: Table, body: Body) -> Table:
    """Points (..., 3) in shares of the head's height, brought to their place on the body, in metres."""
    return points * body.head + np.array([0.0, 0.004 * body.scale, body.chin])


def stuck(rings: Table, joint: str = "head") -> Table:
    """Weights (R, S, J) of what follows one joint alone."""
    weights = np.zeros((*rings.shape[:2], len(JOINTS)))
    weights[..., JOINTS.index(joint)] = 1
    return weights


def chart_row(z: Table) -> Table:
    """Texture coordinate up of a height on the head."""
    return (z - LEVELS[0]) / (1 - LEVELS[0])


def head_grid(body: Body, face: Face) -> Table:
    """Rings (R, S, 3) of the head, in shares of its height."""
    return head_surface(body, face, around(np.arange(SEGMENTS) / SEGMENTS), LEVELS[:, None])


def head(body: Body, face: Face) -> Part:
    """The head with its ears."""
    grid = head_grid(body, face)
    charts = np.empty((len(LEVELS), SEGMENTS + 1, 2))
    charts[..., 0] = np.arange(SEGMENTS + 1) / SEGMENTS
    charts[..., 1] = chart_row(LEVELS)[:, None]
    rings = placed(grid, body)
    skull = loft(rings, stuck(rings), charts, HEAD, ("round", "round"))
    ear = _ear(body)
    return joined([skull, ear, mirrored(ear)])


def _ear(body: Body) -> Part:
    """The right ear: a leaning leaf with a hollow, its rim thicker than its middle."""
    high = np.array([0.345, 0.355, 0.38, 0.415, 0.455, 0.495, 0.525, 0.545, 0.552])
    deep = np.array([0.008, 0.022, 0.032, 0.040, 0.048, 0.052, 0.046, 0.028, 0.010])
    thick = np.array([0.008, 0.013, 0.014, 0.013, 0.013, 0.014, 0.014, 0.012, 0.006])
    x, y = sections(angles(12), thick, deep, deep)
    lean = np.linspace(0.0, -0.03, len(high))[:, None]
    rings = np.stack([x, y + lean, np.broadcast_to(high[:, None], x.shape)], axis=2)
    # Standing off at the back.
    middle = np.array([0.0, 0.03, 0.45])
    off = np.einsum("ij,rsj->rsi", turn(z=24), rings - middle) + middle
    rings = placed(off + np.array([0.322, -0.035, 0.0]), body)
    # The picture of the cheek beside it is bare skin.
    charts = np.empty((len(high), 13, 2))
    charts[..., 0] = 0.355
    charts[..., 1] = chart_row(np.array([0.36]))
    return loft(rings, stuck(rings), charts, HEAD, ("round", "round"))


def ball(centre: tuple[float, float, float], radii: tuple[float, float, float], body: Body, surface: int) -> Part:
    """An ellipsoid on the head: centre and radii in shares of the head's height."""
    tilt = np.linspace(-1.35, 1.35, 8)
    theta = angles(14)
    ring = np.stack(
        np.broadcast_arrays(
            np.sin(theta) * np.cos(tilt)[:, None], -np.cos(theta) * np.cos(tilt)[:, None], np.sin(tilt)[:, None]
        ),
        axis=2,
    )
    rings = placed(ring * np.array(radii) + np.array(centre), body)
    charts = np.empty((8, 15, 2))
    charts[..., 0], charts[..., 1] = np.arange(15) / 14, np.linspace(0.1, 0.9, 8)[:, None]
    return loft(rings, stuck(rings), charts, surface, ("round", "round"))
