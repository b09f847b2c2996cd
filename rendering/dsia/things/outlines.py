"""Lines that solids are made from: points in the plane or in space, in metres; closed ones run counter-clockwise.

Only Python's own arithmetic is used, so that a thing is the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Flat = tuple[float, float]
Point = tuple[float, float, float]


def circle(radius: float, sides: int = 24, centre: Flat = (0.0, 0.0), span: Flat = (0.0, 360.0)) -> list[Flat]:
    """Points on a circle; with a `span` of degrees an arc, both ends included."""
    first, last = map(math.radians, span)
    steps = sides if last - first >= math.tau else sides - 1
    angles = [first + (last - first) * step / steps for step in range(sides)]
    return [(centre[0] + radius * math.cos(each), centre[1] + radius * math.sin(each)) for each in angles]


def rectangle(low: Flat, high: Flat, radius: float = 0.0, steps: int = 4) -> list[Flat]:
    """A rectangle, its corners rounded."""
    corners = [low, (high[0], low[1]), high, (low[0], high[1])]
    return rounded(corners, radius, steps) if radius else corners


def rounded(points: Sequence[Flat], radius: float, steps: int = 4) -> list[Flat]:
    """A closed line with each corner replaced by an arc that begins `radius` before it (a quadratic curve)."""
    result: list[Flat] = []
    for number, (x, y) in enumerate(points):
        before, after = points[number - 1], points[(number + 1) % len(points)]
        ends = []
        for other in (before, after):
            length = math.hypot(other[0] - x, other[1] - y)
            share = min(radius / length, 0.49)
            ends.append((x + share * (other[0] - x), y + share * (other[1] - y)))
        for step in range(steps + 1):
            t = step / steps
            a, b, c = (1 - t) * (1 - t), 2 * t * (1 - t), t * t
            result.append((a * ends[0][0] + b * x + c * ends[1][0], a * ends[0][1] + b * y + c * ends[1][1]))
    return result


def smooth(points: Sequence[Sequence[float]], steps: int = 4, *, closed: bool = False) -> list[tuple[float, ...]]:
    """A smooth line through points of any dimension (Catmull and Rom's spline), `steps` parts between two of them."""
    count = len(points)
    result = []
    for number in range(count if closed else count - 1):
        places = (number - 1, number, number + 1, number + 2)
        p, a, b, q = (points[each % count if closed else min(max(each, 0), count - 1)] for each in places)
        for step in range(steps):
            t = step / steps
            weights = (
                (-t + 2 * t**2 - t**3) / 2,
                (2 - 5 * t**2 + 3 * t**3) / 2,
                (t + 4 * t**2 - 3 * t**3) / 2,
                (-(t**2) + t**3) / 2,
            )
            result.append(
                tuple(
                    sum(w * value for w, value in zip(weights, values, strict=True))
                    for values in zip(p, a, b, q, strict=True)
                )
            )
    if not closed:
        result.append(tuple(points[-1]))
    return result


def flat(points: Sequence[Sequence[float]]) -> list[Flat]:
    """The points' first two coordinates."""
    return [(each[0], each[1]) for each in points]


def curve(points: Sequence[Point], steps: int = 4) -> list[Point]:
    """A smooth line in space."""
    return [(each[0], each[1], each[2]) for each in smooth(points, steps)]


def toothed(inner: float, outer: float, teeth: int) -> list[Flat]:
    """A wheel with teeth, narrower at their tips."""
    half = math.pi / teeth
    shape = ((-0.55, inner), (-0.35, outer), (0.35, outer), (0.55, inner))
    places = [(math.tau * tooth / teeth + part * half, radius) for tooth in range(teeth) for part, radius in shape]
    return [(radius * math.cos(angle), radius * math.sin(angle)) for angle, radius in places]


def triangles(outline: Sequence[Flat]) -> list[tuple[int, int, int]]:
    """Cuts a simple polygon into triangles, ear by ear, well-shaped ones first; corners as indices."""
    left = list(range(len(outline)))
    quality = [_quality(outline, left, place) for place in left]
    result = []
    while len(left) > 3:
        if max(quality) < 0:
            # What kept an ear from being one may have been cut off meanwhile.
            quality = [_quality(outline, left, place) for place in range(len(left))]
        place = max(range(len(left)), key=quality.__getitem__)
        result.append((left[place - 1], left[place], left[(place + 1) % len(left)]))
        del left[place], quality[place]
        for near in (place - 1, place % len(left)):
            quality[near] = _quality(outline, left, near)
    return [*result, (left[0], left[1], left[2])]


def _quality(outline: Sequence[Flat], left: Sequence[int], place: int) -> float:
    """How well shaped an ear is: its area over the square of its circumference; below 0 where there is none."""
    a, b, c = (outline[left[each % len(left)]] for each in (place - 1, place, place + 1))
    area = _turn(a, b, c)
    if area <= 0:
        return area - 1
    for number in left:
        p = outline[number]
        if p not in (a, b, c) and _turn(a, b, p) >= 0 and _turn(b, c, p) >= 0 and _turn(c, a, p) >= 0:
            return -1.0
    around = math.dist(a, b) + math.dist(b, c) + math.dist(c, a)
    return area / (around * around)


def _turn(a: Flat, b: Flat, c: Flat) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
