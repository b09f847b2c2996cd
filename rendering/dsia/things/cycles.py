"""What has pedals or is pushed: bicycles, scooters, skateboards, prams, trolleys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from . import pictures
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
    NAVY,
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
from .outlines import Point, circle, curve, rectangle
from .solids import Skin
from .vehicles import wheel


def spoked(
    bench: Bench, skins: tuple[Skin, Skin, Skin], centre: Point, radius: float, spokes: int, thick: float
) -> None:
    """A wheel with spokes: tyre, rim and spokes."""
    axle = bench.at(*centre, roll=90)
    axle.hoop(skins[0], radius - thick / 2, thick, sides=36)
    axle.hoop(skins[1], radius - thick * 1.15, 0.5 * thick, sides=36)
    axle.post(skins[2], 0.022, -0.045, 0.045, sides=10)
    for spoke in range(spokes):
        turned = axle.at(yaw=360 * spoke / spokes)
        start = 0.03 if spoke % 2 else -0.03
        turned.tube(skins[2], [(0.02, 0.0, start), (radius - thick, 0.0, 0.0)], 0.003, sides=4)


def bicycle(bench: Bench, paint: Colour, trim: Colour, radius: float, style: str) -> None:
    """A bicycle: `city` with a basket and mudguards, `race` with a bent bar, `child` with side wheels."""
    skin, rubber, steel = bench.plain(paint, 0.2), bench.plain(CHARCOAL, 0.9), bench.plain(STEEL, 0.2)
    leather = bench.plain(trim, 0.5)
    s = radius / 0.34
    rear, front = (0.0, -0.5 * s, radius), (0.0, 0.56 * s, radius)
    crank, seat, head, fork = (
        (0.0, -0.06 * s, 0.28 * s),
        (0.0, -0.22 * s, 0.78 * s),
        (0.0, 0.36 * s, 0.84 * s),
        (0.0, 0.41 * s, 0.66 * s),
    )
    for centre in (rear, front):
        spoked(
            bench, (rubber, bench.plain(trim if style == "race" else STEEL, 0.2), steel), centre, radius, 16, 0.045 * s
        )
    top = (0.0, -0.17 * s, 0.68 * s)
    low = (0.0, -0.13 * s, 0.5 * s) if style == "city" else top
    for path in ([crank, seat], [crank, fork], [low, head], [head, fork]):
        bench.tube(skin, path, 0.02 * s)
    for x in (-0.045, 0.045):
        bench.tube(skin, [crank, (x, -0.12 * s, 0.29 * s), (x, *rear[1:])], 0.012 * s)
        bench.tube(skin, [top, (x, -0.3 * s, 0.56 * s), (x, *rear[1:])], 0.01 * s)
        bench.tube(skin, curve([fork, (x, 0.46 * s, 0.5 * s), (x, *front[1:])]), 0.014 * s)
        bench.tube(steel, [crank, (x * 2, (-0.06 + 3.2 * x) * s, (0.28 + 1.0 * x) * s)], 0.01 * s)
        y, z = (-0.06 + 3.2 * x) * s, (0.28 + 1.0 * x) * s
        bench.box(rubber, (x * 2.8 - 0.045, y - 0.03, z - 0.01), (x * 2.8 + 0.045, y + 0.03, z + 0.01))
    ring = bench.at(0.03, crank[1], crank[2], roll=90)
    ring.hoop(steel, 0.08 * s, 0.012)
    ring.hoop(steel, 0.03 * s, 0.02)
    for level in (1, -1):
        bench.tube(
            rubber,
            [(0.03, crank[1], crank[2] + 0.08 * s * level), (0.03, rear[1], rear[2] + 0.035 * s * level)],
            0.005,
            sides=5,
        )
    bench.tube(steel, [seat, (0.0, -0.24 * s, 0.86 * s)], 0.014 * s)
    bench.ball(leather, (0.0, -0.28 * s, 0.89 * s), (0.08 * s, 0.1 * s, 0.035 * s))
    bench.ball(leather, (0.0, -0.17 * s, 0.885 * s), (0.03 * s, 0.12 * s, 0.025 * s))
    bench.tube(skin, [head, (0.0, 0.35 * s, 0.93 * s)], 0.016 * s)
    y, z = 0.35 * s, 0.94 * s
    if style == "race":
        for x in (-1, 1):
            bend = [
                (0.0, y, z),
                (0.2 * x, y + 0.01, z),
                (0.21 * x, y + 0.12, z - 0.01),
                (0.21 * x, y + 0.13, z - 0.11),
                (0.21 * x, y + 0.02, z - 0.14),
            ]
            bench.tube(leather, curve(bend), 0.014)
    else:
        for x in (-1, 1):
            bench.tube(
                steel, curve([(0.0, y, z), (0.12 * x, y + 0.02, z + 0.05), (0.27 * x, y - 0.1, z + 0.06)]), 0.012
            )
            bench.tube(rubber, [(0.22 * x, y - 0.065, z + 0.062), (0.3 * x, y - 0.125, z + 0.058)], 0.018)
        for centre in (rear, front):
            arc = circle(radius + 0.02, 14, (centre[1], centre[2]), (25, 165))
            bench.tube(skin, [(0.0, a, b) for a, b in arc], 0.03, flat=0.2)
    if style == "city":
        wicker = bench.picture(partial(pictures.grill, BROWN, BEECH, 12), 0.9, (0.15, 0.15))
        bench.box(wicker, (-0.17, y + 0.06, z - 0.16), (0.17, y + 0.3, z + 0.06), bevel=0.02)
        bench.at(0, y + 0.18, z + 0.06).lathe(bench.plain(BLACK), [(0.1, 0.002), (0.0, 0.002)])
        bench.box(steel, (-0.05, -0.72, 0.72), (0.05, -0.35, 0.735))
    if style == "child":
        for x in (-1, 1):
            small = 0.3 * radius
            wheel(bench, rubber, bench.plain(trim), (0.2 * x, rear[1], small), small, 0.04)
            bench.tube(steel, [(0.04 * x, rear[1], rear[2]), (0.17 * x, rear[1], small)], 0.01)


def scooter(bench: Bench, paint: Colour, deck: Colour, *, motor: bool) -> None:
    """A kick scooter; one with a motor is stouter."""
    skin, steel, rubber = bench.plain(paint, 0.3), bench.plain(STEEL, 0.2), bench.plain(CHARCOAL, 0.9)
    disc, grip = (
        bench.picture(partial(pictures.rim, 5, paint), 0.4),
        bench.picture(partial(pictures.grill, deck, CHARCOAL, 8), 0.9, (0.1, 0.1)),
    )
    radius = 0.12 if motor else 0.09
    board = rectangle((-0.075, -0.3), (0.075, 0.28), 0.06)
    bench.at(0, 0, radius * 0.75).extrude(grip, board, 0.0, 0.03 if not motor else 0.06, side=skin)
    wheel(bench, rubber, disc, (0.0, -0.4, radius), radius, 0.045)
    wheel(bench, rubber, disc, (0.0, 0.44, radius), radius, 0.045)
    bench.tube(
        skin, curve([(0.0, -0.28, radius), (0.0, -0.42, 2.15 * radius), (0.0, -0.53, 1.6 * radius)]), 0.035, flat=0.3
    )
    bench.tube(skin, curve([(0.0, 0.25, radius), (0.0, 0.36, 1.6 * radius), (0.0, 0.385, 0.3)]), 0.028)
    bench.tube(steel, [(0.0, 0.44, radius), (0.0, 0.39, 0.3), (0.0, 0.3, 0.98)], [0.02, 0.022, 0.018])
    bench.tube(skin, [(-0.22, 0.3, 0.99), (0.22, 0.3, 0.99)], 0.014)
    for x in (-1, 1):
        bench.tube(rubber, [(0.15 * x, 0.3, 0.99), (0.25 * x, 0.3, 0.99)], 0.02)
    bench.ball(bench.plain(CREAM, 0.1), (0.0, 0.34, 0.9), (0.035, 0.03, 0.035))


def skateboard(bench: Bench, art: tuple[Colour, Colour], wheels: Colour, length: float) -> None:
    """A skateboard."""
    grip = bench.picture(partial(pictures.stripes, art, 6, slant=2.0), 0.95)
    wood, steel, roller = bench.pattern("wood", BEECH, 0.4), bench.plain(STEEL, 0.2), bench.plain(wheels, 0.5)
    half, wide, z = length / 2, 0.1, 0.09
    stations = [-1.0, -0.93, -0.78, -0.6, -0.3, 0.0, 0.3, 0.6, 0.78, 0.93, 1.0]
    rings, lids = [], []
    for place in reversed(stations):
        reach = wide * (1 - max(0.0, abs(place) - 0.7) ** 2 * 8)
        lift = z + 0.45 * max(0.0, abs(place) - 0.62) * 0.3
        y = place * half
        rings.append([(-reach, y, lift), (reach, y, lift), (reach, y, lift + 0.012), (-reach, y, lift + 0.012)])
        lids.append(
            [(-reach, y, lift + 0.0125), (reach, y, lift + 0.0125), (reach, y, lift + 0.014), (-reach, y, lift + 0.014)]
        )
    bench.loft(wood, rings)
    bench.loft(grip, lids)
    for y in (-0.55 * half, 0.55 * half):
        bench.box(steel, (-0.03, y - 0.04, 0.05), (0.03, y + 0.04, z), bevel=0.004)
        bench.tube(steel, [(-0.1, y, 0.032), (0.1, y, 0.032)], 0.008)
        for x in (-1, 1):
            wheel(bench, roller, steel, (0.085 * x, y, 0.032), 0.032, 0.035)


def pram(bench: Bench, cloth: Sequence[Colour], frame: Colour) -> None:
    """A pram with a hood and spoked wheels."""
    skin, lining = bench.picture(partial(pictures.stripes, cloth, 10), 0.9, (0.3, 0.3)), bench.plain(cloth[1], 0.9)
    steel, rubber = bench.plain(frame, 0.2), bench.plain(CHARCOAL, 0.9)
    bench.ball(skin, (0.0, 0.0, 0.78), (0.22, 0.42, 0.3), (-90, 0), sides=28)
    bench.ball(lining, (0.0, 0.0, 0.78), (0.218, 0.415, 0.06), sides=28)
    rings = []
    for step in range(7):
        turn = math.radians(90 - 13 * step)
        arch = [(math.pi * (0.3 + each) / 16.6, 1.0) for each in range(17)]
        arch += [(a, 0.96) for a, _ in reversed(arch)]
        rings.append([(-0.225 * r * math.cos(a), 0.05 + 0.37 * r * math.sin(a) * math.cos(turn),
                       0.78 + 0.34 * r * math.sin(a) * math.sin(turn)) for a, r in arch])  # fmt: skip
    bench.loft(skin, rings, ends=(False, False))
    bench.tube(steel, rings[0][:17], 0.012)
    bench.tube(steel, curve([(-0.2, -0.3, 0.7), (-0.2, -0.62, 0.95), (0.2, -0.62, 0.95), (0.2, -0.3, 0.7)]), 0.014)
    for y in (-0.32, 0.32):
        bench.tube(steel, [(-0.24, y, 0.2), (0.24, y, 0.2)], 0.012)
        for x in (-1, 1):
            spoked(bench, (rubber, steel, steel), (0.24 * x, y, 0.2), 0.2, 12, 0.03)
            bench.tube(steel, curve([(0.2 * x, y, 0.2), (0.21 * x, 0.75 * y, 0.4), (0.2 * x, 0.2 * y, 0.55)]), 0.012)


def trolley(bench: Bench, metal: Colour, grip: Colour) -> None:
    """A shopping trolley of wire."""
    wire, handle, rubber = bench.plain(metal, 0.2), bench.plain(grip, 0.5), bench.plain(CHARCOAL, 0.9)
    low, high = ((0.19, -0.3, 0.42), (0.15, 0.36, 0.5)), ((0.26, -0.4, 0.92), (0.2, 0.5, 0.86))

    def spot(side: float, along: float, up: float) -> Point:
        ends = [[a + (b - a) * up for a, b in zip(low[end], high[end], strict=True)] for end in (0, 1)]
        x, y, z = (a + (b - a) * along for a, b in zip(*ends, strict=True))
        return side * x, y, z

    for side in (-1, 1):
        for step in range(11):
            bench.tube(wire, [spot(side, step / 10, 0), spot(side, step / 10, 1)], 0.004, sides=5)
        for up in (0.0, 0.25, 0.5, 0.75, 1.0):
            bench.tube(wire, [spot(side, 0, up), spot(side, 1, up)], 0.009 if up == 1 else 0.004, sides=6)
        bench.tube(wire, [spot(side, 0, 1), (0.24 * side, -0.48, 1.0)], 0.012)
        bench.tube(
            wire,
            curve([spot(side, 0.05, 1), (0.22 * side, -0.34, 0.5), (0.2 * side, -0.3, 0.16), (0.2 * side, 0.4, 0.14)]),
            0.012,
        )
        for y in (-0.3, 0.42):
            wheel(bench, rubber, wire, (0.2 * side, y, 0.06), 0.06, 0.03)
            bench.box(wire, (0.2 * side - 0.02, y - 0.025, 0.07), (0.2 * side + 0.02, y + 0.025, 0.15))
    for end in (0.0, 1.0):
        for step in range(9):
            x = -1 + step / 4
            bench.tube(wire, [spot(x, end, 0), spot(x, end, 1)], 0.004, sides=5)
        for up in (0.0, 0.25, 0.5, 0.75, 1.0):
            bench.tube(wire, [spot(-1, end, up), spot(1, end, up)], 0.009 if up == 1 else 0.004, sides=6)
    for step in range(11):
        bench.tube(wire, [spot(-1, step / 10, 0), spot(1, step / 10, 0)], 0.004, sides=5)
    bench.tube(handle, [(-0.25, -0.48, 1.0), (0.25, -0.48, 1.0)], 0.02)


MEMBERS = (
    Member("bicycle", "city bicycle", "slide", lambda b: bicycle(b, TEAL, BROWN, 0.34, "city")),
    Member("bicycle", "racing bicycle", "slide", lambda b: bicycle(b, RED, BLACK, 0.34, "race")),
    Member("bicycle", "child's bicycle", "slide", lambda b: bicycle(b, PINK, PURPLE, 0.2, "child")),
    Member("bicycle", "blue bicycle", "slide", lambda b: bicycle(b, BLUE, ORANGE, 0.33, "tour")),
    Member("scooter", "kick scooter", "slide", lambda b: scooter(b, LIME, SKY, motor=False)),
    Member("scooter", "electric scooter", "slide", lambda b: scooter(b, CHARCOAL, ORANGE, motor=True)),
    Member("scooter", "pink scooter", "slide", lambda b: scooter(b, PINK, WHITE, motor=False)),
    Member("skateboard", "skateboard", "slide", lambda b: skateboard(b, (BLACK, RED), YELLOW, 0.8)),
    Member("skateboard", "longboard", "slide", lambda b: skateboard(b, (NAVY, SKY), WHITE, 1.05)),
    Member("skateboard", "mini board", "slide", lambda b: skateboard(b, (ORANGE, YELLOW), GREEN, 0.58)),
    Member("pram", "blue pram", "slide", lambda b: pram(b, (NAVY, WHITE), STEEL)),
    Member("pram", "rose pram", "slide", lambda b: pram(b, (PINK, CREAM), GOLD)),
    Member("trolley", "shopping trolley", "slide", lambda b: trolley(b, STEEL, RED)),
    Member("trolley", "green shopping trolley", "slide", lambda b: trolley(b, GREEN, BLACK)),
)  # fmt: skip
