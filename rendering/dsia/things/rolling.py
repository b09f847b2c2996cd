"""What rolls: balls, barrels, tyres, gears."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from . import pictures, spheres
from .bench import Bench, Colour, Picture
from .colours import (
    BEECH,
    BLACK,
    BLUE,
    BROWN,
    CHARCOAL,
    COPPER,
    CREAM,
    CRIMSON,
    GOLD,
    GREEN,
    NAVY,
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
from .outlines import circle, toothed
from .sheets import Sheet


def ball(bench: Bench, picture: Callable[[], Picture], radius: float, roughness: float = 0.5) -> None:
    """A ball with a picture around it; its poles are on the axle."""
    axle = bench.at(roll=90)
    axle.ball(bench.picture(picture, roughness), (0.0, 0.0, 0.0), radius, sides=32, rings=16)


def barrel(bench: Bench, wood: Colour, hoops: Colour, radius: float, length: float) -> None:
    """A wooden barrel on its side."""
    axle = bench.at(roll=90)
    half = length / 2
    body = [(radius * (1 - 0.2 * (step / 6) ** 2), half * step / 6) for step in range(-6, 7)]
    axle.lathe(bench.picture(partial(pictures.staves, wood, hoops, 18)), body, sides=32)
    lid = bench.pattern("planks", wood, 0.35)
    for end in (-1, 1):
        rim, deep = body[-1][0], half - 0.03
        lids = [(rim, half), (rim - 0.02, half), (rim - 0.02, deep), (0.0, deep)]
        side = axle if end > 0 else bench.at(roll=-90)
        side.lathe(lid, lids, sides=32)
    bench.post(bench.plain(BLACK), 0.03, 0.95 * radius, radius + 0.003)


def drum(bench: Bench, paint: Colour, band: Colour, words: str) -> None:
    """A steel drum on its side."""
    axle = bench.at(roll=90)
    skin, steel = bench.picture(partial(pictures.label, paint, band, words), 0.35), bench.plain(paint, 0.35)
    for low, high in ((-0.43, -0.15), (-0.15, 0.15), (0.15, 0.43)):
        axle.lathe(skin if high == 0.15 else steel, [(0.28, low), (0.28, high)], sides=36)
    for place in (-0.43, -0.15, 0.15, 0.43):
        axle.at(0, 0, place).hoop(steel, 0.283, 0.03, sides=36)
    for end in (90, -90):
        top = bench.at(roll=end)
        top.lathe(steel, [(0.28, 0.41), (0.0, 0.41)], sides=36)
        top.at(0.15, 0.05).post(bench.plain(BLACK), 0.035, 0.41, 0.43)
        top.at(-0.17, -0.05).post(bench.plain(STEEL), 0.02, 0.41, 0.425)


def tyre(bench: Bench, metal: Colour, spokes: int, radius: float, width: float) -> None:
    """A car's wheel with its tyre."""
    axle = bench.at(roll=90)
    rubber, disc = bench.plain(CHARCOAL, 0.9), bench.picture(partial(pictures.rim, spokes, metal), 0.3)
    half, inner = width / 2, 0.62 * radius
    profile = [(inner, -0.6 * half), (inner, -half), (0.9 * radius, -half), (radius, -0.7 * half)]
    axle.lathe(rubber, [*profile, *[(r, -z) for r, z in reversed(profile)]], sides=40)
    for end in (90, -90):
        bench.at(roll=end).lathe(disc, [(inner, 0.6 * half), (0.0, 0.6 * half)], sides=40)
    tread = bench.plain(BLACK, 0.9)
    for step in range(30):
        around = bench.at(pitch=12.0 * step)
        for side in (-1, 1):
            low = 0.06 * half if side > 0 else -0.62 * half
            around.box(tread, (low, -0.02 * radius, 0.99 * radius), (low + 0.56 * half, 0.05 * radius, 1.015 * radius))


def gear(bench: Bench, metal: Colour, teeth: int, radius: float, width: float, holes: int) -> None:
    """A gear wheel upright, with holes and a hub."""
    axle = bench.at(roll=90)
    body = bench.pattern("concrete", metal, 0.6, roughness=0.35)
    dark, bright = bench.plain(CHARCOAL, 0.6), bench.plain(metal, 0.25)
    axle.extrude(body, toothed(0.84 * radius, radius, teeth), -width / 2, width / 2, bevel=0.01)
    for end in (90, -90):
        face = bench.at(roll=end)
        face.at(0, 0, width / 2).hoop(bright, 0.74 * radius, 0.05 * radius, sides=40)
        for hole in range(holes):
            angle = math.tau * hole / holes
            place = face.at(0.47 * radius * math.cos(angle), 0.47 * radius * math.sin(angle))
            place.lathe(dark, [(0.15 * radius, width / 2 + 0.003), (0.0, width / 2 + 0.003)])
            place.at(0, 0, width / 2).hoop(bright, 0.15 * radius, 0.02 * radius)
        face.post(bright, 0.2 * radius, 0.0, 0.75 * width)
        face.extrude(dark, circle(0.1 * radius, 6), 0.0, 0.76 * width)


def bale(bench: Bench, straw: Colour, net: Colour, radius: float) -> None:
    """A round bale of straw."""
    axle = bench.at(roll=90)
    side = bench.pattern("bark", (1.5 * straw[0], 1.5 * straw[1], 1.5 * straw[2]), 0.5, roughness=0.95)
    end = bench.picture(partial(_spiral, straw, net), 0.95)
    half = 0.85 * radius
    axle.lathe(side, [(0.93 * radius, -half), (radius, -0.85 * half), (radius, 0.85 * half), (0.93 * radius, half)])
    for turn in (90, -90):
        bench.at(roll=turn).lathe(end, [(0.93 * radius, half), (0.0, half)])
    for place in (-0.5, 0.0, 0.5):
        axle.at(0, 0, place * half * 1.4).hoop(bench.plain(net), radius, 0.02, sides=32)


def _spiral(ground: Colour, ink: Colour) -> Picture:
    sheet = Sheet(192, 192, ground)
    turns = [(0.07 * step, 0.49 * step / 400) for step in range(400)]
    sheet.line([(0.5 + r * math.cos(a), 0.5 + r * math.sin(a)) for a, r in turns], 0.022, ink)
    return sheet.pixels(11, 0.2)


MEMBERS = (
    Member("ball", "football", "roll", lambda b: ball(b, partial(spheres.football, BLACK, WHITE), 0.11)),
    Member("ball", "blue and yellow football", "roll", lambda b: ball(
        b, partial(spheres.football, BLUE, YELLOW), 0.11)),
    Member("ball", "basketball", "roll", lambda b: ball(
        b, partial(spheres.basketball, (0.85, 0.4, 0.13), BLACK), 0.12)),
    Member("ball", "volleyball", "roll", lambda b: ball(b, partial(spheres.volleyball, YELLOW, BLUE), 0.105)),
    Member(
        "ball", "beach ball", "roll",
        lambda b: ball(b, partial(spheres.sectors, (RED, WHITE, YELLOW, WHITE, BLUE, WHITE), WHITE), 0.22, 0.3),
    ),
    Member(
        "ball", "rainbow beach ball", "roll",
        lambda b: ball(b, partial(spheres.sectors, (RED, ORANGE, YELLOW, GREEN, SKY, PURPLE), WHITE, 12), 0.28, 0.3),
    ),
    Member("ball", "gym ball", "roll", lambda b: ball(b, partial(spheres.bands, (TEAL, SKY), 17), 0.33, 0.4)),
    Member("ball", "bowling ball", "roll", lambda b: ball(b, lambda: spheres.swirl(NAVY, PURPLE, True), 0.109, 0.1)),
    Member("ball", "marble", "roll", lambda b: ball(b, lambda: spheres.swirl(CRIMSON, CREAM, False), 0.15, 0.1)),
    Member("barrel", "oak barrel", "roll", lambda b: barrel(b, OAK, CHARCOAL, 0.33, 0.85)),
    Member("barrel", "small brass-bound barrel", "roll", lambda b: barrel(b, BROWN, GOLD, 0.2, 0.46)),
    Member("barrel", "pale barrel", "roll", lambda b: barrel(b, BEECH, COPPER, 0.26, 0.78)),
    Member("drum", "oil drum", "roll", lambda b: drum(b, BLUE, NAVY, "OIL")),
    Member("drum", "red drum", "roll", lambda b: drum(b, RED, CRIMSON, "FUEL")),
    Member("drum", "yellow drum", "roll", lambda b: drum(b, YELLOW, CHARCOAL, "PAINT")),
    Member("tyre", "alloy wheel", "roll", lambda b: tyre(b, STEEL, 5, 0.32, 0.2)),
    Member("tyre", "truck wheel", "roll", lambda b: tyre(b, RED, 8, 0.48, 0.26)),
    Member("tyre", "white-spoked wheel", "roll", lambda b: tyre(b, CREAM, 12, 0.3, 0.15)),
    Member("gear", "steel gear", "roll", lambda b: gear(b, STEEL, 16, 0.4, 0.12, 6)),
    Member("gear", "brass gear", "roll", lambda b: gear(b, GOLD, 24, 0.3, 0.08, 5)),
    Member("gear", "copper pinion", "roll", lambda b: gear(b, COPPER, 10, 0.22, 0.16, 3)),
    Member("bale", "straw bale", "roll", lambda b: bale(b, (0.85, 0.7, 0.35), WHITE, 0.6)),
    Member("bale", "hay bale", "roll", lambda b: bale(b, (0.6, 0.62, 0.3), PINK, 0.45)),
)  # fmt: skip
