"""What flies without wings: balloons, kites, drones, saucers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from . import pictures, spheres
from .bench import Bench, Colour
from .colours import (
    BEECH,
    BLACK,
    BLUE,
    BROWN,
    CHARCOAL,
    CREAM,
    GOLD,
    GREEN,
    LIME,
    OAK,
    ORANGE,
    PINK,
    PURPLE,
    RED,
    SKY,
    STEEL,
    TEAL,
    WHITE,
    YELLOW,
)
from .members import Member
from .outlines import Point, curve, flat, smooth


def hot_air_balloon(bench: Bench, colours: Sequence[Colour], zigzag: bool, radius: float) -> None:
    """A hot-air balloon with its basket."""
    paint = partial(spheres.rug, colours, 7) if zigzag else partial(spheres.sectors, colours, None, 16)
    silk, rope = bench.picture(paint, 0.7), bench.plain(CHARCOAL)
    wicker = bench.picture(partial(pictures.grill, BROWN, BEECH, 14), 0.9, (0.3 * radius, 0.3 * radius))
    shape = [(0.22, -1.3), (0.45, -1.05), (0.82, -0.5), (1.0, 0.05), (0.86, 0.55), (0.5, 0.88), (0.0, 1.0)]
    envelope = bench.at(0, 0, 2.0 * radius)
    envelope.lathe(silk, [(max(0.0, r) * radius, z * radius) for r, z in flat(smooth(shape, 4))], sides=32)
    envelope.at(0, 0, -1.3 * radius).hoop(bench.plain(colours[0]), 0.22 * radius, 0.03 * radius)
    half = 0.15 * radius
    bench.box(wicker, (-half, -half, 0.0), (half, half, 0.28 * radius), bevel=0.03 * radius)
    bench.box(
        bench.plain(BROWN),
        (-1.05 * half, -1.05 * half, 0.26 * radius),
        (1.05 * half, 1.05 * half, 0.3 * radius),
        bevel=0.015 * radius,
    )
    for x in (-1, 1):
        for y in (-1, 1):
            top = (0.155 * radius * x, 0.155 * radius * y, 0.7 * radius)
            bench.tube(rope, [(0.9 * half * x, 0.9 * half * y, 0.29 * radius), top], 0.012 * radius, sides=5)


def toy_balloons(bench: Bench, colours: Sequence[Colour]) -> None:
    """A bunch of balloons on strings."""
    string = bench.plain(WHITE)
    for number, colour in enumerate(colours):
        skin = bench.plain(colour, 0.15)
        turn, reach = 2.4 * number, 0.0 if number == 0 else 0.24
        x, y, z = reach * math.cos(turn), reach * math.sin(turn), 0.95 - 0.12 * (number % 3)
        shape = [(0.0, -0.2), (0.045, -0.17), (0.115, -0.05), (0.13, 0.05), (0.08, 0.15), (0.0, 0.18)]
        bench.at(x, y, z).lathe(skin, [(max(0.0, r), h) for r, h in flat(smooth(shape, 3))], sides=20)
        bench.at(x, y, z - 0.215).post(skin, 0.022, 0.0, 0.025, taper=0.3, sides=10)
        bench.tube(string, curve([(x, y, z - 0.2), (0.5 * x, 0.5 * y, 0.4 * z), (0.0, 0.0, 0.02)]), 0.003, sides=4)
    bench.ball(bench.plain(GOLD), (0.0, 0.0, 0.03), 0.03)


def kite(bench: Bench, colours: Sequence[Colour], size: float) -> None:
    """A diamond of four colours with a tail of bows, leaning back."""
    stick = bench.plain(OAK)
    sail = bench.at(0, 0, 1.25 * size, pitch=-15).face()
    tips = [(0.0, -0.75 * size), (0.48 * size, 0.2 * size), (0.0, 0.6 * size), (-0.48 * size, 0.2 * size)]
    cross = (0.0, 0.2 * size)
    for number, colour in enumerate(colours[:4]):
        cloth = bench.picture(
            partial(pictures.stripes, (colour, _pale(colour)), 6, slant=1.0), 0.8, (0.4 * size, 0.4 * size)
        )
        sail.extrude(cloth, [cross, tips[number], tips[(number + 1) % 4]], -0.002, 0.002)
    sail.tube(stick, [(0.0, tips[0][1], -0.006), (0.0, tips[2][1], -0.006)], 0.008)
    sail.tube(stick, [(*tips[3], -0.006), (*tips[1], -0.006)], 0.008)
    back, low = -0.75 * size * math.sin(math.radians(15)), 1.25 * size - 0.75 * size * math.cos(math.radians(15))
    way = [(0.0, 0.0, 0.0), (0.09, -0.05, -0.12), (-0.08, -0.1, -0.26), (0.07, -0.16, -0.39), (0.0, -0.2, -0.5)]
    tail = curve([(x * size, back + y * size, low + z * size) for x, y, z in way], 6)
    bench.tube(stick, tail, 0.004, sides=5)
    for number, place in enumerate(tail[3::4]):
        bow = bench.plain(colours[number % len(colours)])
        for side in (-1, 1):
            bench.at(*place).box(
                bow,
                (min(0.0, side * 0.1 * size), -0.004, -0.03 * size),
                (max(0.0, side * 0.1 * size), 0.004, 0.03 * size),
                bevel=0.003,
            )


def _pale(colour: Colour) -> Colour:
    return 0.5 + 0.5 * colour[0], 0.5 + 0.5 * colour[1], 0.5 + 0.5 * colour[2]


def drone(bench: Bench, shell: Colour, light: Colour, size: float, arms: int) -> None:
    """A drone with guarded rotors and a camera."""
    skin, dark, blade = bench.plain(shell, 0.3), bench.plain(CHARCOAL, 0.5), bench.plain(STEEL, 0.3)
    glow = bench.plain(light, 0.2)
    z = 0.2 * size
    bench.box(
        skin,
        (-0.16 * size, -0.26 * size, z - 0.05 * size),
        (0.16 * size, 0.26 * size, z + 0.08 * size),
        bevel=0.045 * size,
        taper=(0.75, 0.8),
    )
    bench.box(
        glow,
        (-0.1 * size, 0.24 * size, z - 0.01 * size),
        (0.1 * size, 0.265 * size, z + 0.03 * size),
        bevel=0.006 * size,
    )
    for arm in range(arms):
        angle = 360 * (arm + 0.5) / arms
        turned = bench.at(0, 0, z, yaw=angle)
        turned.tube(skin, [(0.0, 0.1 * size, 0.0), (0.0, 0.5 * size, 0.05 * size)], [0.05 * size, 0.03 * size])
        tip = turned.at(0.0, 0.52 * size, 0.03 * size)
        tip.post(dark, 0.05 * size, -0.04 * size, 0.07 * size)
        tip.at(0, 0, 0.06 * size).hoop(glow if arm % 2 else skin, 0.26 * size, 0.025 * size, flat=2.0)
        for side in (-1, 1):
            path: list[Point] = [
                (0.0, 0.0, 0.08 * size),
                (0.1 * size * side, 0.0, 0.085 * size),
                (0.23 * size * side, 0.0, 0.08 * size),
            ]
            tip.at(yaw=35.0 + 40 * arm).tube(blade, path, [0.012 * size, 0.03 * size, 0.02 * size], flat=0.15)
    for x in (-1, 1):
        bench.tube(
            dark, curve([(0.1 * size * x, 0.1 * size, z), (0.19 * size * x, 0.12 * size, 0.02 * size)]), 0.014 * size
        )
        bench.tube(
            dark, curve([(0.1 * size * x, -0.1 * size, z), (0.19 * size * x, -0.12 * size, 0.02 * size)]), 0.014 * size
        )
        bench.tube(
            dark,
            [(0.19 * size * x, -0.22 * size, 0.016 * size), (0.19 * size * x, 0.22 * size, 0.016 * size)],
            0.016 * size,
        )
    bench.ball(dark, (0.0, 0.18 * size, z - 0.09 * size), 0.06 * size)
    bench.face(0.225 * size, z - 0.09 * size).post(bench.plain(SKY, 0.1), 0.03 * size, 0.0, 0.02 * size)


def saucer(bench: Bench, shell: Colour, lights: Sequence[Colour], radius: float) -> None:
    """A flying saucer."""
    skin, dome = bench.plain(shell, 0.15), bench.plain((0.5, 0.8, 0.75), 0.05)
    hull = [(0.0, 0.0), (0.35, 0.0), (0.5, 0.1), (0.95, 0.24), (1.0, 0.28), (0.95, 0.32), (0.45, 0.45), (0.4, 0.46)]
    bench.lathe(skin, [(r * radius, z * radius) for r, z in hull], sides=40)
    bench.ball(dome, (0.0, 0.0, 0.44 * radius), (0.4 * radius, 0.4 * radius, 0.36 * radius), (0, 90), sides=28)
    bench.at(0, 0, 0.45 * radius).hoop(bench.plain(CHARCOAL), 0.42 * radius, 0.05 * radius)
    bulbs = [bench.plain(each, 0.1) for each in lights]
    for number in range(14):
        angle = math.tau * number / 14
        bench.ball(
            bulbs[number % len(bulbs)],
            (0.78 * radius * math.cos(angle), 0.78 * radius * math.sin(angle), 0.365 * radius),
            0.06 * radius,
            sides=10,
            rings=6,
        )
    for leg in range(3):
        bench.at(yaw=120 * leg).tube(
            bench.plain(STEEL),
            [(0.0, 0.4 * radius, 0.06 * radius), (0.0, 0.55 * radius, -0.2 * radius)],
            0.025 * radius,
        )


MEMBERS = (
    Member("balloon", "striped hot-air balloon", "fly", lambda b: hot_air_balloon(
        b, (RED, YELLOW, BLUE, WHITE), False, 0.7)),
    Member("balloon", "zigzag hot-air balloon", "fly", lambda b: hot_air_balloon(
        b, (PURPLE, ORANGE, CREAM, TEAL), True, 0.9)),
    Member("balloon", "green hot-air balloon", "fly", lambda b: hot_air_balloon(b, (GREEN, LIME), False, 0.55)),
    Member("balloon", "bunch of balloons", "fly", lambda b: toy_balloons(b, (RED, YELLOW, BLUE, GREEN, PINK, ORANGE))),
    Member("kite", "rainbow kite", "fly", lambda b: kite(b, (RED, YELLOW, GREEN, BLUE), 0.9)),
    Member("kite", "purple kite", "fly", lambda b: kite(b, (PURPLE, PINK, PURPLE, PINK), 0.7)),
    Member("kite", "black and orange kite", "fly", lambda b: kite(b, (BLACK, ORANGE, BLACK, ORANGE), 1.1)),
    Member("drone", "white drone", "fly", lambda b: drone(b, WHITE, RED, 0.45, 4)),
    Member("drone", "black drone", "fly", lambda b: drone(b, CHARCOAL, LIME, 0.6, 6)),
    Member("drone", "orange drone", "fly", lambda b: drone(b, ORANGE, SKY, 0.38, 4)),
    Member("saucer", "flying saucer", "fly", lambda b: saucer(b, STEEL, (RED, YELLOW, LIME), 0.55)),
    Member("saucer", "purple flying saucer", "fly", lambda b: saucer(b, PURPLE, (ORANGE, SKY), 0.4)),
)  # fmt: skip
