"""Hair, and what is worn on the head.

Hair is a shell over the head: where it grows it lies outside, elsewhere it dips under the skin, so that the hairline
is where both cross. Long hair adds a curtain around the back of the head. Lengths are shares of the head's height.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .heads import ball, head_surface, placed, stuck
from .lofts import Part, Table, angles, chart, curve, ease, follow, loft, mirrored, sections, trimmed
from .spec import Body, Face, Hair
from .surfaces import EXTRA, HAIR

_LEVELS = np.array([
    -0.05, 0.0, 0.05, 0.10, 0.15, 0.20, 0.26, 0.32, 0.38, 0.43, 0.48, 0.53, 0.58, 0.62, 0.66, 0.70, 0.735, 0.77, 0.80,
    0.83, 0.86, 0.89, 0.92, 0.945, 0.965, 0.982, 0.995,
])  # fmt: skip
_AROUND = 44
_DIP = 0.035

Line = tuple[tuple[float, ...], tuple[float, ...]]
"""Angles from the front in degrees, and the height above which hair grows there."""
_SHORT: Line = (
    (0, 28, 46, 58, 68, 78, 90, 102, 125, 150, 180),
    (0.81, 0.80, 0.74, 0.64, 0.50, 0.41, 0.52, 0.42, 0.26, 0.16, 0.13),
)
_HIGH: Line = (
    (0, 24, 40, 56, 68, 78, 90, 102, 125, 150, 180),
    (0.95, 0.93, 0.84, 0.70, 0.52, 0.43, 0.54, 0.44, 0.28, 0.18, 0.15),
)
_FRINGE: Line = ((0, 30, 45, 60, 75, 95, 125, 150, 180), (0.665, 0.67, 0.66, 0.50, 0.30, 0.25, 0.15, 0.08, 0.05))
_PARTED: Line = ((0, 20, 40, 55, 68, 80, 95, 125, 180), (0.86, 0.84, 0.76, 0.62, 0.42, 0.30, 0.25, 0.12, 0.08))
_CAP: Line = ((0, 60, 100, 180), (0.735, 0.70, 0.66, 0.56))
_BEANIE: Line = ((0, 50, 80, 110, 180), (0.69, 0.64, 0.54, 0.46, 0.34))
_VEIL: Line = ((0, 25, 40, 52, 62, 72, 180), (0.80, 0.785, 0.71, 0.52, 0.22, -0.10, -0.12))


@dataclass(frozen=True)
class _Shell:
    line: Line
    sides: float
    """Thickness around the ears and at the back."""
    top: float
    """Thickness at the crown."""
    rough: float = 0.006
    """Height of locks."""
    lift: float = 0.0
    """Further thickness above the forehead."""


_SHELLS: dict[Hair, _Shell] = {
    "buzz": _Shell(_SHORT, 0.016, 0.018, 0.002), "short": _Shell(_SHORT, 0.040, 0.060),
    "quiff": _Shell(_SHORT, 0.026, 0.075, 0.008, 0.075), "curls": _Shell(_SHORT, 0.075, 0.095, 0.024),
    "afro": _Shell(_SHORT, 0.19, 0.21, 0.014), "bob": _Shell(_FRINGE, 0.060, 0.055),
    "long": _Shell(_PARTED, 0.045, 0.045), "bun": _Shell(_PARTED, 0.026, 0.030, 0.004),
    "ponytail": _Shell(_PARTED, 0.026, 0.032, 0.004), "braids": _Shell(_PARTED, 0.028, 0.030, 0.008),
    "receding": _Shell(_HIGH, 0.034, 0.022, 0.004), "cap": _Shell(_SHORT, 0.024, 0.012),
    "beanie": _Shell(_SHORT, 0.024, 0.012), "straw": _Shell(_PARTED, 0.030, 0.012),
}  # fmt: skip


def grows(line: Line, theta: Table, z: Table) -> Table:
    """0 below a hairline, 1 above, at angles from the back and heights (...)."""
    away = np.degrees(np.abs(np.mod(theta, 2 * math.pi) - math.pi))
    return ease(z - curve(away, *line), -0.025, 0.025)


def painted_line(hair: Hair) -> Line | None:
    """The hairline that the scalp's picture shows below the shell; None where there is no hair to be seen."""
    return _SHELLS[hair].line if hair in _SHELLS else None


def hair(body: Body, face: Face) -> list[Part]:
    """Everything on the head."""
    style, parts = face.hair, []
    if style in _SHELLS:
        parts.append(_shell(body, face, _SHELLS[style], HAIR))
    parts.extend(_FURTHER[style](body, face) if style in _FURTHER else [])
    return parts


def _shell(body: Body, face: Face, cut: _Shell, surface: int) -> Part:
    theta, z = np.broadcast_arrays(angles(_AROUND), _LEVELS[:, None])
    bare = Face(face.skin, "bald", face.hair_colour, face.eyes)
    skull = head_surface(body, bare, theta, z)
    outward = skull - np.array([0.0, -0.03, 0.50])
    outward = outward / np.sqrt((outward**2).sum(axis=2, keepdims=True))
    mask = grows(cut.line, theta, z)
    thick = cut.sides + (cut.top - cut.sides) * ease(z, 0.62, 0.9)
    front = np.exp(-(((theta - math.pi) / 0.75) ** 2) - ((z - 0.88) / 0.11) ** 2)
    locks = np.sin(11 * theta + 3 * np.sin(9 * z)) * np.sin(31 * z + 2 * np.sin(5 * theta)) * ease(z, 1.0, 0.9)
    thick = thick + cut.lift * front + cut.rough * locks
    rings = placed(skull + outward * (thick * mask - _DIP * (1 - mask))[..., None], body)
    whole = loft(rings, stuck(rings), chart(len(_LEVELS), _AROUND, (0, 1), _rows(_LEVELS)), surface, ("open", "round"))
    # The fan's centre, the last vertex, is hair.
    seen = np.append(mask.reshape(-1) > 0, True)
    return trimmed(whole, seen[whole.faces].any(axis=1))


def _rows(z: Table) -> Table:
    return np.clip(0.35 + 0.62 * z, 0.02, 0.98)


def _curtain(body: Body, bottom: float, reach: float, surface: int = HAIR) -> Part:
    """Hair around the back and the sides of head and neck, from the temples down to `bottom`."""
    z = np.concatenate([np.linspace(bottom, 0.0, 8)[:-1], np.linspace(0.0, 0.86, 12)])
    crown = np.sqrt(1 - (np.maximum(z - 0.55, 0) / 0.46) ** 2.4)
    half = curve(z, (-0.9, -0.4, 0.0, 0.3, 0.55), (0.33, 0.37, 0.365, 0.375, 0.385)) * crown
    back = curve(z, (-0.9, -0.45, 0.0, 0.3, 0.55), (0.52, 0.52, 0.46, 0.50, 0.55)) * crown
    front = curve(z, (-0.9, -0.4, 0.0, 0.5), (0.10, 0.20, 0.30, 0.30)) * crown
    edge = np.radians(curve(z, (-0.9, -0.3, 0.1, 0.45, 0.8), (78.0, 92.0, 106.0, 112.0, 122.0))) * reach
    steps = np.linspace(-1, 1, 17)
    outer = edge[:, None] * steps
    thin = 0.24 * (1 - 0.75 * steps**4) * ease(z, bottom - 0.25, bottom + 0.2)[:, None] + 0.05

    def arc(theta: Table, share: Table) -> Table:
        ahead = -np.cos(theta)
        depth = np.where(ahead > 0, front[:, None], back[:, None])
        wave = 1 + 0.018 * np.sin(14 * theta) * ease(z, 0.6, 0.0)[:, None]
        x, y = half[:, None] * np.sin(theta) * share * wave, depth * ahead * share * wave
        return np.stack([x, y, np.broadcast_to(z[:, None], x.shape)], axis=2)

    rings = np.concatenate([arc(outer, np.ones_like(thin)), arc(outer, 1 - thin)[:, ::-1]], axis=1)
    placed_rings = placed(rings, body)
    weights = follow(np.broadcast_to(-z[:, None], rings.shape[:2]), ("head", "chest"), ((0.5, 0.55),))
    return loft(placed_rings, weights, chart(len(z), 34, (0, 2), _rows(z)), surface, ("round", "round"))


def _tail(body: Body, path: list[tuple[float, float, float]], radii: list[float], surface: int = HAIR) -> Part:
    """A tube of hair along points, from its tip up to its root."""
    steps = np.linspace(0, 1, 12)
    keys = np.linspace(0, 1, len(path)).tolist()
    points, sizes = curve(steps, keys, np.array(path)), curve(steps, keys, radii)
    theta = angles(10)
    x, y = np.sin(theta) * sizes[:, None], -np.cos(theta) * sizes[:, None]
    along = np.gradient(points, axis=0)
    along /= np.sqrt((along**2).sum(axis=1, keepdims=True))
    side = np.cross(along, np.array([1.0, 0.0, 0.0]))
    # Sections stand square to the path; x stays level.
    ahead = side / np.sqrt((side**2).sum(axis=1, keepdims=True))
    across = np.cross(ahead, along)
    rings = points[:, None] + x[..., None] * across[:, None] + y[..., None] * ahead[:, None]
    weights = follow(np.broadcast_to(-rings[..., 2], x.shape), ("head", "chest"), ((0.45, 0.5),))
    return loft(placed(rings, body), weights, chart(12, 10, (0, 1), steps), surface, ("round", "round"))


def _braid(body: Body) -> list[Part]:
    tail = _tail(
        body, [(0.40, 0.06, -0.62), (0.40, 0.02, -0.4), (0.40, -0.06, -0.15), (0.40, -0.15, 0.15), (0.31, -0.2, 0.42)],
        [0.025, 0.055, 0.06, 0.065, 0.05],
    )  # fmt: skip
    return [tail, mirrored(tail)]


def _ponytail(body: Body) -> Part:
    path = [
        (0.0, -0.60, -0.35),
        (0.0, -0.66, -0.1),
        (0.0, -0.70, 0.25),
        (0.0, -0.68, 0.55),
        (0.0, -0.60, 0.74),
        (0.0, -0.45, 0.78),
    ]
    return _tail(body, path, [0.02, 0.07, 0.10, 0.10, 0.07, 0.05])


def _veil(body: Body, face: Face) -> list[Part]:
    """A headscarf, draped over neck and shoulders."""
    z = np.linspace(-0.62, 0.10, 9)
    half = curve(z, (-0.62, -0.45, -0.25, -0.05, 0.1), (0.78, 0.66, 0.42, 0.30, 0.26))
    front = curve(z, (-0.62, -0.45, -0.25, -0.05, 0.1), (0.60, 0.53, 0.40, 0.30, 0.20))
    back = curve(z, (-0.62, -0.45, -0.25, -0.05, 0.1), (0.62, 0.58, 0.48, 0.42, 0.40))
    theta = angles(28)
    x, y = sections(theta, half, front, back)
    fold = 1 + 0.025 * np.sin(9 * theta) * ease(z, 0.0, -0.3)[:, None]
    rings = np.stack([x * fold, y * fold - 0.07, np.broadcast_to(z[:, None], x.shape)], axis=2)
    weights = follow(np.broadcast_to(z[:, None], x.shape), ("chest", "head"), ((-0.12, 0.2),))
    drape = loft(placed(rings, body), weights, chart(9, 28, (0, 1), _rows(z)), EXTRA, ("flat", "round"))
    return [_shell(body, face, _Shell(_VEIL, 0.045, 0.05, 0.003), EXTRA), drape]


def _straw(body: Body, face: Face) -> list[Part]:
    brim = ball((0.0, -0.03, 0.735), (0.72, 0.80, 0.022), body, EXTRA)
    return [_shell(body, face, _Shell(_CAP, 0.06, 0.075, 0.0), EXTRA), brim]


def _cap(body: Body, face: Face) -> list[Part]:
    visor = ball((0.0, 0.42, 0.715), (0.27, 0.30, 0.032), body, EXTRA)
    return [_shell(body, face, _Shell(_CAP, 0.045, 0.05, 0.0), EXTRA), visor]


def _beanie(body: Body, face: Face) -> list[Part]:
    return [_shell(body, face, _Shell(_BEANIE, 0.05, 0.10, 0.003), EXTRA)]


def _curtains(bottom: float, reach: float) -> Callable[[Body, Face], list[Part]]:
    return lambda body, face: [_curtain(body, bottom, reach)]


_FURTHER: dict[Hair, Callable[[Body, Face], list[Part]]] = {
    "bob": _curtains(-0.06, 1.0), "long": _curtains(-0.85, 1.0),
    "bun": lambda body, face: [ball((0.0, -0.50, 0.86), (0.17, 0.15, 0.15), body, HAIR)],
    "ponytail": lambda body, face: [_ponytail(body)], "braids": lambda body, face: _braid(body),
    "cap": _cap, "beanie": _beanie, "scarf": _veil, "straw": _straw,
}  # fmt: skip
