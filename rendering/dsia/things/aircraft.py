"""Aeroplanes, helicopters and rockets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from . import pictures
from .bench import Bench, Colour
from .colours import (
    BLACK,
    BLUE,
    CHARCOAL,
    CREAM,
    CRIMSON,
    FOREST,
    GLASS,
    GOLD,
    NAVY,
    ORANGE,
    RED,
    SKY,
    STEEL,
    WHITE,
    YELLOW,
)
from .members import Member
from .outlines import Flat, Point, curve, flat, smooth
from .solids import Skin


def plane(bench: Bench, paint: Colour, mark: Colour, span: float, style: str) -> None:
    """An aeroplane: `jet` with engines under swept wings, `prop` with a propeller, `double` with two pairs of wings."""
    skin, trim, glass = bench.plain(paint, 0.25), bench.plain(mark, 0.3), bench.plain(GLASS, 0.08)
    dark, steel = bench.plain(CHARCOAL, 0.6), bench.plain(STEEL, 0.2)
    length = span * (1.0 if style == "jet" else 0.78)
    r, z = 0.075 * span, 0.2 * span
    body = bench.at(0, 0, z, pitch=-90)
    shape = [
        (0.12, -0.5),
        (0.45, -0.35),
        (0.9, -0.1),
        (1.0, 0.15),
        (0.95, 0.33),
        (0.7, 0.44),
        (0.0 if style == "jet" else 0.45, 0.5),
    ]
    profile = [(max(0.0, a) * r, b * length) for a, b in flat(smooth(shape, 3))]
    body.lathe(skin, [(0.0, profile[0][1]), *profile], sides=20)
    if style != "jet":
        body.lathe(trim, [(0.45 * r, 0.5 * length), (0.0, 0.5 * length)])
        body.lathe(trim, [(0.45 * r, 0.5 * length), (0.3 * r, 0.53 * length), (0.0, 0.56 * length)])
    sweep = 0.32 * span if style == "jet" else 0.03 * span
    levels: Sequence[float] = (
        (z + 0.75 * r, z - 0.9 * r) if style == "double" else (z - 0.4 * r,) if style == "jet" else (z + 0.85 * r,)
    )
    stripes = bench.picture(partial(pictures.stripes, (paint, paint, mark), 9, upright=False), 0.3)
    chord = 0.17 * span
    for level in levels:
        for side in (-1, 1):
            _wing(
                bench,
                stripes,
                (0.0, 0.1 * length, level),
                (side * 0.5 * span, 0.1 * length - sweep, level + 0.05 * span),
                chord,
                0.6 if style != "jet" else 0.35,
            )
    for side in (-1, 1):
        _wing(
            bench,
            trim,
            (0.0, -0.4 * length, z + 0.2 * r),
            (side * 0.19 * span, -0.4 * length - 0.25 * sweep, z + 0.3 * r),
            0.6 * chord,
            0.6,
        )
    fin = [(-0.48 * length, 0.0), (-0.34 * length, 0.0), (-0.42 * length, 0.17 * span), (-0.5 * length, 0.17 * span)]
    bench.side().at(0, z + 0.3 * r, 0).extrude(trim, fin, -0.008 * span, 0.008 * span, bevel=0.004 * span)
    if style == "jet":
        bench.ball(glass, (0.0, 0.42 * length, z + 0.35 * r), (0.55 * r, 0.06 * length, 0.35 * r))
        for side in (-1, 1):
            for step in range(9):
                bench.ball(
                    glass,
                    (0.99 * r * side * math.cos(0.25), (0.3 - 0.06 * step) * length, z + r * math.sin(0.25)),
                    (0.06 * r, 0.009 * length, 0.12 * r),
                    sides=8,
                    rings=5,
                )
            engine = bench.at(side * 0.2 * span, 0.04 * length, z - 0.75 * r, pitch=-90)
            engine.lathe(
                trim,
                [
                    (0.0, -0.06 * length),
                    (0.3 * r, -0.07 * length),
                    (0.5 * r, 0.0),
                    (0.52 * r, 0.07 * length),
                    (0.42 * r, 0.08 * length),
                ],
            )
            engine.lathe(dark, [(0.45 * r, 0.07 * length), (0.0, 0.06 * length)])
    else:
        bench.ball(glass, (0.0, 0.12 * length, z + 0.8 * r), (0.55 * r, 0.14 * length, 0.5 * r))
        nose = bench.face(0.53 * length, z)
        for blade in range(2 if style == "prop" else 3):
            path: list[Point] = [(0.0, 0.0, 0.0), (0.0, 0.07 * span, 0.006 * span), (0.0, 0.17 * span, 0.0)]
            nose.at(yaw=25 + 360 * blade / (2 if style == "prop" else 3)).tube(
                dark, path, [0.012 * span, 0.026 * span, 0.014 * span], flat=0.3
            )
        for side in (-1, 1):
            wheel = (side * 0.13 * span, 0.18 * length, 0.045 * span)
            bench.tube(steel, [(side * 0.04 * span, 0.16 * length, z - 0.6 * r), wheel], 0.008 * span)
            bench.at(*wheel, roll=90).post(dark, 0.045 * span, -0.012 * span, 0.012 * span)
        if style == "double":
            for x in (-0.32 * span, 0.32 * span):
                for y in (0.06, 0.13):
                    bench.tube(
                        steel,
                        [
                            (x, y * length - 0.02 * span, levels[1] + 0.03 * span),
                            (x, y * length - 0.02 * span, levels[0] + 0.03 * span),
                        ],
                        0.007 * span,
                    )


def _wing(bench: Bench, skin: Skin, root: Point, tip: Point, chord: float, taper: float) -> None:
    """A wing from root to tip, thick in front; stations run so that its outside is outside on both sides."""
    section = [(0.5, 0.0), (0.3, 0.055), (0.0, 0.06), (-0.5, 0.0), (0.0, -0.025), (0.35, -0.03)]
    rings = []
    for place in (0.0, 0.5, 0.94, 1.0):
        size = chord * (1 + (taper - 1) * place) * (0.8 if place == 1.0 else 1.0)
        x, y, z = (a + (b - a) * place for a, b in zip(root, tip, strict=True))
        rings.append([(x, y + a * size, z + b * size) for a, b in section])
    # Seen from the right, forward is to the right: counter-clockwise there.
    bench.loft(skin, rings if tip[0] > root[0] else [each[::-1] for each in rings])


def helicopter(bench: Bench, paint: Colour, mark: Colour, size: float) -> None:
    """A helicopter with a glass nose."""
    skin, trim, glass = (
        bench.plain(paint, 0.25),
        bench.plain(mark, 0.3),
        bench.pattern("pane", (0.4, 0.5, 0.6), 0.5 * size, roughness=0.08),
    )
    dark, steel, z = bench.plain(CHARCOAL, 0.5), bench.plain(STEEL, 0.2), 0.3 * size
    bench.ball(skin, (0.0, 0.0, z), (0.17 * size, 0.32 * size, 0.19 * size))
    bench.ball(glass, (0.0, 0.12 * size, z + 0.02 * size), (0.16 * size, 0.24 * size, 0.165 * size))
    bench.at(0, -0.45 * size, z + 0.05 * size, pitch=90).lathe(
        skin,
        [
            (0.0, -0.3 * size),
            (0.1 * size, -0.28 * size),
            (0.05 * size, 0.0),
            (0.028 * size, 0.35 * size),
            (0.0, 0.37 * size),
        ],
    )
    fin = [
        (-0.82 * size, 0.02 * size),
        (-0.68 * size, 0.02 * size),
        (-0.76 * size, 0.22 * size),
        (-0.88 * size, 0.22 * size),
    ]
    bench.side().at(0, z, 0).extrude(trim, fin, -0.01 * size, 0.01 * size, bevel=0.004 * size)
    bench.box(
        trim,
        (-0.15 * size, -0.7 * size, z + 0.05 * size),
        (0.15 * size, -0.62 * size, z + 0.07 * size),
        bevel=0.006 * size,
    )
    tail = bench.at(0.04 * size, -0.8 * size, z + 0.12 * size, roll=90)
    for blade in range(4):
        path: list[Point] = [(0.0, 0.0, 0.0), (0.0, 0.06 * size, 0.002), (0.0, 0.12 * size, 0.0)]
        tail.at(yaw=90 * blade + 20).tube(dark, path, [0.01 * size, 0.015 * size, 0.012 * size], flat=0.3)
    bench.post(steel, 0.02 * size, z + 0.15 * size, z + 0.27 * size)
    bench.box(
        trim,
        (-0.07 * size, -0.16 * size, z + 0.14 * size),
        (0.07 * size, 0.08 * size, z + 0.21 * size),
        bevel=0.02 * size,
    )
    for blade in range(4):
        path = [(0.0, 0.0, z + 0.26 * size), (0.0, 0.35 * size, z + 0.265 * size), (0.0, 0.75 * size, z + 0.25 * size)]
        bench.at(yaw=90 * blade + 30).tube(dark, path, [0.02 * size, 0.032 * size, 0.028 * size], flat=0.18)
    for x in (-1, 1):
        bench.tube(
            steel,
            curve(
                [
                    (0.15 * size * x, -0.3 * size, 0.015 * size),
                    (0.15 * size * x, 0.22 * size, 0.015 * size),
                    (0.15 * size * x, 0.33 * size, 0.06 * size),
                ]
            ),
            0.015 * size,
        )
        for y in (-0.13, 0.13):
            bench.tube(
                steel,
                [(0.15 * size * x, y * size, 0.015 * size), (0.09 * size * x, y * size, z - 0.13 * size)],
                0.011 * size,
            )
        bench.box(
            bench.plain(mark),
            (0.165 * size * x - 0.008 * size, -0.15 * size, z - 0.03 * size),
            (0.165 * size * x + 0.008 * size, 0.0, z + 0.01 * size),
        )


def rocket(bench: Bench, paint: Colour, mark: Colour, height: float) -> None:
    """A rocket on its fins."""
    r = 0.14 * height
    skin = bench.picture(partial(pictures.bands, paint, (mark, BLACK), 6), 0.25)
    trim, steel, glass = bench.plain(mark, 0.25), bench.plain(STEEL, 0.2), bench.plain(SKY, 0.05)
    body = flat(
        smooth([(0.7 * r, 0.16 * height), (r, 0.35 * height), (0.95 * r, 0.6 * height), (0.62 * r, 0.8 * height)], 4)
    )
    bench.lathe(skin, body, sides=28)
    bench.lathe(
        trim, flat(smooth([(0.62 * r, 0.8 * height), (0.34 * r, 0.91 * height), (0.02 * r, height)], 4)), sides=28
    )
    bench.lathe(steel, [(0.55 * r, 0.06 * height), (0.45 * r, 0.16 * height), (0.7 * r, 0.16 * height)])
    for fin in range(4):
        turned = bench.at(yaw=90 * fin + 45).side()
        line: list[Flat] = [
            (0.65 * r, 0.14 * height),
            (1.75 * r, 0.0),
            (1.85 * r, 0.16 * height),
            (0.85 * r, 0.4 * height),
        ]
        turned.extrude(trim, line, -0.012 * height, 0.012 * height, bevel=0.006 * height)
    for z in (0.5, 0.64):
        window = bench.face(0.93 * r, z * height)
        window.hoop(steel, 0.3 * r, 0.1 * r)
        window.ball(glass, (0.0, 0.0, 0.0), (0.3 * r, 0.3 * r, 0.06 * r))


MEMBERS = (
    Member("plane", "airliner", "fly", lambda b: plane(b, WHITE, BLUE, 1.5, "jet")),
    Member("plane", "yellow plane", "fly", lambda b: plane(b, YELLOW, NAVY, 1.2, "prop")),
    Member("plane", "red biplane", "fly", lambda b: plane(b, RED, CREAM, 1.3, "double")),
    Member("plane", "silver jet", "fly", lambda b: plane(b, STEEL, CRIMSON, 1.1, "jet")),
    Member("helicopter", "blue helicopter", "fly", lambda b: helicopter(b, BLUE, YELLOW, 0.8)),
    Member("helicopter", "rescue helicopter", "fly", lambda b: helicopter(b, RED, WHITE, 1.0)),
    Member("helicopter", "olive helicopter", "fly", lambda b: helicopter(b, FOREST, GOLD, 0.7)),
    Member("rocket", "red and white rocket", "fly", lambda b: rocket(b, WHITE, RED, 1.1)),
    Member("rocket", "blue rocket", "fly", lambda b: rocket(b, SKY, ORANGE, 0.8)),
)  # fmt: skip
