"""What drives: cars, vans, toy engines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from . import pictures
from .bench import Bench, Colour
from .colours import (
    BLACK,
    BLUE,
    BROWN,
    CHARCOAL,
    CREAM,
    CRIMSON,
    FOREST,
    GLASS,
    GOLD,
    GREEN,
    OAK,
    ORANGE,
    PURPLE,
    RED,
    STEEL,
    TEAL,
    WHITE,
    YELLOW,
)
from .members import Member
from .outlines import Flat, Point, rounded
from .solids import Skin


def wheel(bench: Bench, rubber: Skin, disc: Skin, centre: Point, radius: float, width: float) -> None:
    """A wheel with its axle along x."""
    half, inner = width / 2, 0.64 * radius
    profile = [(inner, -0.7 * half), (inner, -half), (0.92 * radius, -half), (radius, -0.6 * half)]
    axle = bench.at(*centre, roll=90)
    axle.lathe(rubber, [*profile, *[(r, -z) for r, z in reversed(profile)]])
    for turn in (90, -90):
        bench.at(*centre, roll=turn).lathe(disc, [(inner, 0.7 * half), (0.0, 0.7 * half)])


def _chassis(top: Sequence[Flat], axles: Flat, radius: float, floor: float) -> list[Flat]:
    """A car's outline seen from the right: arches over the wheels in its lower edge, then `top` from front to back."""
    line = []
    for axle in axles:
        line += [
            (axle + radius * math.cos(a), floor + radius * math.sin(a))
            for a in (math.pi * (1 - s / 8) for s in range(9))
        ]
    return [(top[-1][0], floor), *line, (top[0][0], floor), *top]


def car(
    bench: Bench,
    paint: Colour,
    top: Sequence[Flat],
    cabin: tuple[float, float, float, float],
    size: tuple[float, float, float],
    words: str = "",
) -> None:
    """A car.

    Args:
        bench: where it is built.
        paint: its colour.
        top: its body's outline from the nose to the tail: forward and up.
        cabin: where the glass begins and ends below (back, front), and above.
        size: width, height of the waist, height of the roof.
        words: on a sign on its roof.
    """
    wide, waist, roof = size[0] / 2, size[1], size[2]
    skin, glass, black = (
        bench.plain(paint, 0.2, 3.0),
        bench.pattern("pane", (0.3, 0.36, 0.42), 1.2, roughness=0.08),
        bench.plain(BLACK),
    )
    rubber, disc = bench.plain(CHARCOAL, 0.9), bench.picture(partial(pictures.rim, 5, STEEL), 0.3)
    lamp, brake = bench.plain(CREAM, 0.1), bench.plain(RED, 0.2)
    nose, tail, radius = top[0][0], top[-1][0], 0.21 * roof
    axles = tail * 0.62, nose * 0.64
    bench.side().extrude(skin, _chassis(top, axles, 1.16 * radius, 0.55 * radius), -wide, wide, bevel=0.07)
    bench.box(black, (-wide + 0.2, tail * 0.95, 0.5 * radius), (wide - 0.2, nose * 0.95, waist - 0.12))
    back, front, high_back, high_front = cabin

    def ring(z: float, half: float, low: float, high: float) -> list[Point]:
        return [(x, y, z) for x, y in rounded([(-half, low), (half, low), (half, high), (-half, high)], 0.16)]

    narrow = wide - 0.2
    bench.loft(glass, [ring(waist - 0.04, wide - 0.07, back, front), ring(roof - 0.05, narrow, high_back, high_front)])
    levels = ((0.07, -0.012, -0.02), (0.03, 0.0, 0.0), (0.0, 0.12, 0.14))
    lid = [ring(roof - z, narrow - x, high_back + y, high_front - y) for z, x, y in levels]
    bench.loft(skin, lid)
    middle = (back + front) / 2 - 0.05, (high_back + high_front) / 2
    for side in (-1, 1):
        for low, high, inset in ((back, high_back, 0.05), (front, high_front, -0.05), (middle[0], middle[1], 0.0)):
            foot = (side * (wide - 0.085), low + inset, waist - 0.05)
            bench.tube(skin, [foot, (side * (narrow - 0.01), high + inset, roof - 0.05)], 0.035)
        for axle in axles:
            wheel(bench, rubber, disc, (side * (wide - 0.09), axle, radius), radius, 0.2)
        bench.ball(lamp, (side * (wide - 0.28), nose - 0.06, waist * 0.72), (0.17, 0.1, 0.09))
        bench.ball(brake, (side * (wide - 0.22), tail + 0.04, waist * 0.8), (0.14, 0.07, 0.09))
        bench.ball(skin, (side * (wide + 0.06), front - 0.25, waist + 0.06), (0.09, 0.05, 0.07))
        for y in (front - 0.3, middle[0], back + 0.35):
            bench.tube(
                black,
                [(side * (wide + 0.001), y, waist - 0.08), (side * (wide + 0.001), y, 0.8 * radius)],
                0.008,
                sides=4,
            )
        for y in (middle[0] + 0.18, back + 0.5):
            bench.box(
                black,
                (side * (wide + 0.01) - 0.012, y - 0.08, waist - 0.2),
                (side * (wide + 0.01) + 0.012, y + 0.06, waist - 0.17),
            )
    number = bench.picture(partial(pictures.plate, "RA 7109" if paint[0] > paint[2] else "LY 4482"), 0.3)
    for end, y in (("front", nose), ("back", tail)):
        shift = 0.012 if end == "front" else -0.012
        bench.box(number, (-0.26, min(y, y + shift), waist * 0.46), (0.26, max(y, y + shift), waist * 0.6))
    bench.box(black, (-0.45, nose - 0.02, waist * 0.63), (0.45, nose + 0.008, waist * 0.8), bevel=0.01)
    if words:
        sign = bench.picture(partial(pictures.plate, words, YELLOW if words == "TAXI" else BLUE, BLACK), 0.3)
        y = (high_back + high_front) / 2 + 0.1
        bench.box(sign, (-0.3, y - 0.1, roof), (0.3, y + 0.1, roof + 0.15), taper=(0.9, 0.7))


SEDAN = ((2.15, 0.4), (2.18, 0.62), (2.0, 0.78), (0.9, 0.92), (-1.3, 0.95), (-2.05, 0.92), (-2.18, 0.7), (-2.15, 0.4))
HATCH = ((1.85, 0.4), (1.88, 0.64), (1.7, 0.82), (0.95, 0.97), (-1.6, 1.0), (-1.82, 0.9), (-1.85, 0.4))
RUNABOUT = (
    (1.7, 0.35),
    (1.78, 0.55),
    (1.55, 0.8),
    (1.0, 0.94),
    (-0.9, 0.98),
    (-1.5, 0.85),
    (-1.8, 0.58),
    (-1.75, 0.35),
)
"""Outlines of cars from nose to tail: forward and up, in metres."""


def van(bench: Bench, paint: Colour, ink: Colour, words: str, size: tuple[float, float, float]) -> None:
    """A delivery van; `size` is its width, length and height."""
    wide, back, front, high = size[0] / 2, -0.52 * size[1], 0.48 * size[1], size[2]
    skin, rubber = bench.plain(paint, 0.3, 3.5), bench.plain(CHARCOAL, 0.9)
    side = bench.picture(partial(pictures.van_side, paint, ink, words), 0.3)
    glass, black = bench.pattern("pane", (0.3, 0.36, 0.42), 1.4, roughness=0.08), bench.plain(BLACK)
    disc, radius, waist = bench.picture(partial(pictures.rim, 6, STEEL), 0.3), 0.32, 0.52 * high
    top = [(front, 0.42 * high), (front - 0.3, waist), (front - 0.85, high - 0.06), (front - 1.0, high),
           (back + 0.05, high), (back, high - 0.1)]  # fmt: skip
    axles = 0.6 * back, 0.62 * front
    bench.side().extrude(skin, _chassis(top, axles, 0.4, 0.25), -wide, wide, bevel=0.06)
    window = [(front - 1.55, waist), (front - 0.27, waist), (front - 0.83, high - 0.12), (front - 1.55, high - 0.2)]
    bench.side().extrude(glass, rounded(window, 0.08), -wide - 0.006, wide + 0.006)
    slope, half = math.degrees(math.atan2(0.55, high - 0.06 - waist)), 0.42 * math.hypot(0.55, high - 0.06 - waist)
    bench.at(0, front - 0.575, (waist + high - 0.06) / 2, pitch=slope).box(
        glass, (-wide + 0.12, -0.02, -half), (wide - 0.12, 0.022, half), bevel=0.01
    )
    for turn in (90, -90):
        place = bench.at(yaw=turn)
        low, end = (0.62 * back, front - 1.7) if turn > 0 else (-front + 1.7, -0.62 * back)
        place.box(
            skin,
            (min(low, end), -wide - 0.008, 0.75),
            (max(low, end), -wide, high - 0.3),
            faces={"back": side},
        )
    for x in (-1, 1):
        for axle in axles:
            wheel(bench, rubber, disc, (x * (wide - 0.08), axle, radius), radius, 0.2)
        bench.ball(bench.plain(CREAM, 0.1), (x * (wide - 0.25), front - 0.02, 0.36 * high), (0.15, 0.07, 0.12))
        bench.box(
            bench.plain(RED, 0.2), (x * (wide - 0.1) - 0.06, back - 0.012, 0.6), (x * (wide - 0.1) + 0.06, back, 0.95)
        )
        bench.box(
            black,
            (x * (wide + 0.1) - 0.06, front - 0.75, waist + 0.05),
            (x * (wide + 0.1) + 0.06, front - 0.68, waist + 0.35),
            bevel=0.02,
        )
    bench.box(black, (-wide + 0.05, front - 0.02, 0.3), (wide - 0.05, front + 0.05, 0.5), bevel=0.02)
    bench.box(black, (-0.01, back - 0.006, 0.45), (0.01, back, high - 0.1))


def train(bench: Bench, boiler: Colour, cab: Colour, wheels: Colour) -> None:
    """A toy steam engine."""
    tank, house = bench.plain(boiler, 0.3), bench.pattern("wood", cab, 0.3)
    black, brass = bench.plain(CHARCOAL, 0.5), bench.plain(GOLD, 0.2)
    disc, rubber = bench.picture(partial(pictures.rim, 8, wheels), 0.4), bench.plain(wheels, 0.5)
    bench.box(black, (-0.11, -0.34, 0.09), (0.11, 0.36, 0.14), bevel=0.01)
    body = bench.at(0, 0.0, 0.25, pitch=-90)
    body.lathe(tank, [(0.0, -0.1), (0.1, -0.1), (0.1, 0.28), (0.095, 0.3), (0.0, 0.3)])
    for place in (-0.02, 0.1, 0.22):
        body.at(0, 0, place).hoop(brass, 0.1, 0.012)
    body.lathe(black, [(0.1, 0.3), (0.1, 0.34), (0.085, 0.36), (0.0, 0.37)])
    bench.at(0, 0.31).lathe(
        black, [(0.035, 0.33), (0.035, 0.42), (0.06, 0.47), (0.06, 0.49), (0.04, 0.49), (0.04, 0.45)]
    )
    bench.ball(brass, (0.0, 0.12, 0.35), (0.045, 0.045, 0.05))
    bench.box(house, (-0.13, -0.33, 0.14), (0.13, -0.1, 0.4), bevel=0.008)
    bench.box(bench.plain(GLASS, 0.1), (-0.133, -0.27, 0.28), (0.133, -0.16, 0.37))
    bench.box(bench.plain(boiler), (-0.16, -0.37, 0.4), (0.16, -0.06, 0.425), bevel=0.01)
    for x in (-1, 1):
        for y, r in ((-0.22, 0.1), (0.02, 0.1), (0.2, 0.065), (0.32, 0.065)):
            wheel(bench, rubber, disc, (0.12 * x, y, r), r, 0.035)
        bench.box(brass, (0.145 * x - 0.006, -0.24, 0.09), (0.145 * x + 0.006, 0.05, 0.11))
    bench.at(0, 0.36).extrude(bench.plain(RED), [(-0.11, 0.0), (0.11, 0.0), (0.03, 0.09), (-0.03, 0.09)], 0.02, 0.1)
    bench.face(0.37, 0.27).post(bench.plain(CREAM, 0.1), 0.03, 0.0, 0.03)


MEMBERS = (
    Member("car", "red saloon", "slide", lambda b: car(b, RED, SEDAN, (-1.5, 1.05, -0.95, 0.3), (1.72, 0.94, 1.42))),
    Member("car", "taxi", "slide", lambda b: car(
        b, YELLOW, SEDAN, (-1.45, 1.0, -0.95, 0.25), (1.74, 0.94, 1.46), "TAXI")),
    Member("car", "blue hatchback", "slide", lambda b: car(b, BLUE, HATCH, (-1.7, 1.0, -1.4, 0.35), (1.66, 0.98, 1.5))),
    Member("car", "green runabout", "slide", lambda b: car(
        b, GREEN, RUNABOUT, (-1.35, 0.95, -0.7, 0.4), (1.58, 0.95, 1.45))),
    Member("van", "parcel van", "slide", lambda b: van(b, WHITE, RED, "EXPRESS", (1.8, 4.4, 2.1))),
    Member("van", "bakery van", "slide", lambda b: van(b, CREAM, BROWN, "BAKERY", (1.65, 3.8, 1.9))),
    Member("van", "flower van", "slide", lambda b: van(b, TEAL, YELLOW, "FLOWERS", (1.75, 4.1, 2.3))),
    Member("train", "red toy engine", "slide", lambda b: train(b, RED, BLUE, YELLOW)),
    Member("train", "green toy engine", "slide", lambda b: train(b, FOREST, OAK, CRIMSON)),
    Member("train", "purple toy engine", "slide", lambda b: train(b, PURPLE, ORANGE, GREEN)),
)  # fmt: skip
