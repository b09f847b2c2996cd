"""Furniture: chairs, stools, tables; suitcases, parcels, guitars, umbrellas."""

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
    COPPER,
    CREAM,
    CRIMSON,
    FOREST,
    GOLD,
    GREEN,
    GREY,
    LIME,
    NAVY,
    OAK,
    ORANGE,
    PINK,
    PURPLE,
    RED,
    SAND,
    SKY,
    STEEL,
    TEAL,
    WHITE,
    YELLOW,
)
from .members import Member
from .outlines import Flat, curve, flat, smooth


def chair(bench: Bench, wood: Colour, cloth: Sequence[Colour], slats: int, *, upright: bool) -> None:
    """A chair with a back of rails, or of upright slats."""
    frame = bench.pattern("wood", wood, 0.5, roughness=0.4)
    seat = bench.picture(partial(pictures.patchwork, cloth, 5, slats), 0.9)
    for x in (-0.2, 0.2):
        bench.box(frame, (x - 0.02, 0.16, 0.0), (x + 0.02, 0.2, 0.44), bevel=0.005)
        bench.tube(frame, curve([(x, -0.2, 0.0), (x, -0.19, 0.45), (x, -0.24, 0.95)]), 0.024)
        bench.tube(frame, [(x, -0.19, 0.2), (x, 0.18, 0.2)], 0.012)
    bench.tube(frame, [(-0.2, 0.0, 0.2), (0.2, 0.0, 0.2)], 0.012)
    bench.box(frame, (-0.23, -0.21, 0.42), (0.23, 0.22, 0.45), bevel=0.008)
    bench.box(seat, (-0.21, -0.18, 0.45), (0.21, 0.2, 0.49), bevel=0.018)
    low = 0.6
    for slat in range(slats):
        share = (slat + 0.5) / slats
        if upright:
            x = -0.2 + 0.4 * share
            bench.tube(frame, [(x, -0.195, low - 0.05), (x, -0.235, 0.92)], 0.012)
        else:
            z = low + 0.32 * share
            y = -0.2 - 0.05 * (z - 0.45) / 0.5
            bench.box(frame, (-0.2, y - 0.012, z - 0.03), (0.2, y + 0.012, z + 0.03), bevel=0.006)
    bench.box(frame, (-0.22, -0.255, 0.9), (0.22, -0.22, 0.98), bevel=0.01)


def armchair(bench: Bench, cloth: Sequence[Colour], foot: Colour) -> None:
    """A soft chair with arms."""
    skin = bench.picture(partial(pictures.stripes, cloth, 8), 0.95, (0.4, 0.4))
    cushion = bench.picture(partial(pictures.dots, cloth[0], cloth[1:], 6), 0.95, (0.4, 0.4))
    wood = bench.pattern("wood", foot, 0.3)
    bench.box(skin, (-0.4, -0.39, 0.1), (0.4, 0.39, 0.32), bevel=0.04)
    bench.box(cushion, (-0.27, -0.2, 0.3), (0.27, 0.42, 0.48), bevel=0.06)
    bench.at(0, -0.3, 0.3, pitch=10).box(skin, (-0.4, -0.12, 0.0), (0.4, 0.12, 0.65), bevel=0.08)
    for side in (-1, 1):
        bench.at(0.35 * side).box(skin, (-0.09, -0.4, 0.12), (0.09, 0.4, 0.62), bevel=0.06)
        for y in (-0.33, 0.33):
            bench.at(0.35 * side, y).post(wood, 0.025, 0.0, 0.12, taper=1.5)


def office_chair(bench: Bench, cloth: Colour, stripe: Colour) -> None:
    """A chair that turns, on five castors."""
    skin = bench.picture(partial(pictures.grill, cloth, stripe, 14), 0.9, (0.25, 0.25))
    shell, steel = bench.plain(CHARCOAL, 0.5), bench.plain(STEEL, 0.2)
    for leg in range(5):
        arm = bench.at(yaw=72 * leg)
        arm.tube(shell, [(0.0, 0.02, 0.1), (0.0, 0.28, 0.07)], [0.03, 0.02])
        arm.at(0.0, 0.28, 0.03, roll=90).post(shell, 0.03, -0.025, 0.025)
    bench.post(steel, 0.03, 0.08, 0.45)
    bench.box(skin, (-0.25, -0.24, 0.44), (0.25, 0.26, 0.53), bevel=0.035)
    bench.tube(shell, curve([(0.0, -0.1, 0.45), (0.0, -0.3, 0.48), (0.0, -0.28, 0.7)]), 0.025, flat=0.6)
    bench.at(0, -0.25, 0.62, pitch=8).box(skin, (-0.22, -0.04, 0.0), (0.22, 0.04, 0.5), bevel=0.035)
    for side in (-1, 1):
        bench.tube(
            shell, curve([(0.26 * side, -0.15, 0.47), (0.31 * side, -0.1, 0.58), (0.3 * side, -0.15, 0.68)]), 0.018
        )
        bench.box(shell, (0.3 * side - 0.03, -0.2, 0.68), (0.3 * side + 0.03, 0.12, 0.71), bevel=0.012)


def stool(bench: Bench, wood: Colour, seat: Colour, legs: int, height: float) -> None:
    """A round stool on splayed legs."""
    frame, top = bench.pattern("wood", wood, 0.4, roughness=0.4), bench.pattern("wood", seat, 0.5, roughness=0.4)
    bench.lathe(top, [(0.0, height - 0.05), (0.15, height - 0.05), (0.18, height - 0.03), (0.18, height - 0.01),
                      (0.17, height), (0.0, height - 0.008)], sides=32)  # fmt: skip
    for leg in range(legs):
        angle = math.tau * (leg + 0.5) / legs
        x, y = math.cos(angle), math.sin(angle)
        bench.tube(frame, [(0.23 * x, 0.23 * y, 0.0), (0.12 * x, 0.12 * y, height - 0.05)], [0.016, 0.022])
    bench.at(0, 0, 0.35 * height).hoop(frame, 0.19, 0.018)


def table(bench: Bench, wood: Colour, size: tuple[float, float, float], cloth: Sequence[Colour] = ()) -> None:
    """A table with four legs, with a runner where there is cloth."""
    wide, deep, high = size[0] / 2, size[1] / 2, size[2]
    top, frame = bench.pattern("planks", wood, 1.0, roughness=0.4), bench.pattern("wood", wood, 0.5, roughness=0.5)
    bench.box(top, (-wide, -deep, high - 0.04), (wide, deep, high), bevel=0.008)
    bench.box(frame, (-wide + 0.06, -deep + 0.06, high - 0.12), (wide - 0.06, deep - 0.06, high - 0.04))
    for x in (-1, 1):
        for y in (-1, 1):
            leg = bench.at(x * (wide - 0.08), y * (deep - 0.08))
            profile = [(0.02, 0.0), (0.035, 0.3 * high), (0.025, 0.5 * high), (0.04, 0.75 * high), (0.035, high - 0.05)]
            leg.lathe(frame, flat(smooth(profile, 3)), sides=14)
    if cloth:
        runner = bench.picture(partial(pictures.patchwork, cloth, 6, 3), 0.9, (0.5, 0.5))
        bench.box(runner, (-0.4 * wide, -deep - 0.006, high - 0.2), (0.4 * wide, deep + 0.006, high + 0.004))


def round_table(bench: Bench, top: tuple[Colour, Colour, int], foot: Colour, radius: float, height: float) -> None:
    """A round table on one leg, chequered or striped."""
    plate, iron = bench.picture(partial(pictures.checks, *top), 0.3), bench.plain(foot, 0.4)
    bench.lathe(iron, [(0.0, height - 0.035), (radius, height - 0.035), (radius, height)], sides=36)
    bench.lathe(plate, [(radius, height), (0.0, height)], sides=36)
    bench.lathe(
        iron, flat(smooth([(0.025, 0.05), (0.05, 0.2 * height), (0.025, 0.5 * height), (0.04, height - 0.035)], 4))
    )
    for leg in range(3):
        path = curve([(0.0, 0.02, 0.3 * height), (0.0, 0.45 * radius, 0.2 * height), (0.0, 0.75 * radius, 0.015)])
        bench.at(yaw=120 * leg).tube(iron, path, 0.02)


def suitcase(
    bench: Bench, shell: Colour, stickers: Sequence[tuple[str, Colour]], size: tuple[float, float, float]
) -> None:
    """A ribbed suitcase on wheels, with a handle and stickers."""
    wide, deep, high = size[0] / 2, size[1] / 2, size[2]
    skin, dark, steel = bench.plain(shell, 0.3), bench.plain(CHARCOAL, 0.6), bench.plain(STEEL, 0.2)
    bench.box(skin, (-wide, -deep, 0.06), (wide, deep, high), bevel=0.045)
    for face in (-1, 1):
        for rib in range(7):
            x = -0.8 * wide + 1.6 * wide * rib / 6
            bench.tube(skin, [(x, face * deep, 0.12), (x, face * deep, high - 0.06)], 0.011)
    bench.box(dark, (-wide - 0.003, -0.008, 0.057), (wide + 0.003, 0.008, high + 0.003), bevel=0.003)
    for x in (-0.8 * wide, 0.8 * wide):
        bench.tube(steel, [(x * 0.6, -0.8 * deep, high - 0.05), (x * 0.6, -0.8 * deep, high + 0.32)], 0.01)
        for y in (-0.7 * deep, 0.7 * deep):
            bench.at(x, y, 0.03, roll=90).post(dark, 0.03, -0.018, 0.018)
            bench.box(dark, (x - 0.022, y - 0.03, 0.03), (x + 0.022, y + 0.03, 0.07))
    bench.tube(dark, [(-0.5 * wide, -0.8 * deep, high + 0.32), (0.5 * wide, -0.8 * deep, high + 0.32)], 0.018)
    strap = [(-0.07, -0.01), (-0.06, 0.04), (0.06, 0.04), (0.07, -0.01)]
    bench.tube(dark, curve([(x, 0.0, high + z) for x, z in strap]), 0.012)
    for number, (words, colour) in enumerate(stickers):
        mark = bench.picture(partial(pictures.plate, words, colour, WHITE), 0.4)
        z, turn = high * (0.75 - 0.28 * number), 18 * (-1) ** number
        bench.at(0.1 * wide * (-1) ** number, deep + 0.011, z, roll=turn).box(
            mark, (-0.13, 0.0, -0.035), (0.13, 0.004, 0.035)
        )


def parcel(bench: Bench, mark: str, tape: Colour, size: tuple[float, float, float]) -> None:
    """A cardboard box with tape and a label."""
    paint = partial(pictures.parcel, mark, tape)
    side = bench.picture(paint, 0.9)
    w, d, h = (each / 2 for each in size)
    bench.box(side, (-w, -d, 0.0), (w, d, 2 * h), bevel=0.006)
    for flap in (-1, 1):
        bench.box(
            bench.pattern("fabric", SAND, 0.6),
            (-w, flap * 0.004 - 0.002, 2 * h),
            (w, flap * 0.004 + 0.002, 2 * h + 0.003),
        )


def present(bench: Bench, paper: Colour, band: Colour, spots: Colour, size: tuple[float, float, float]) -> None:
    """A wrapped present with a bow."""
    side, silk = bench.picture(partial(pictures.ribbon, paper, band, spots), 0.4), bench.plain(band, 0.4)
    w, d, h = size[0] / 2, size[1] / 2, size[2]
    bench.box(side, (-w, -d, 0.0), (w, d, h), bevel=0.006)
    loop = 0.45 * w
    for turn in range(4):
        path = curve(
            [
                (0.0, 0.02, h),
                (0.0, 0.7 * loop, h + 0.6 * loop),
                (0.0, 1.2 * loop, h + 0.3 * loop),
                (0.0, 0.05, h + 0.01),
            ]
        )
        bench.at(yaw=45 + 90 * turn).tube(silk, path, 0.3 * loop, flat=0.1)
    bench.ball(silk, (0.0, 0.0, h + 0.1 * loop), (0.25 * loop, 0.25 * loop, 0.2 * loop))


def crate(bench: Bench, wood: Colour, words: str) -> None:
    """A wooden crate with corner posts and a stencil."""
    planks, posts = bench.pattern("planks", wood, 0.7), bench.pattern("wood", wood, 0.5)
    name = bench.picture(partial(pictures.plate, words, wood, BLACK), 0.8)
    half, high = 0.3, 0.5
    bench.box(planks, (-half, -half, 0.02), (half, half, high - 0.02))
    for x in (-1, 1):
        for y in (-1, 1):
            bench.at(x * half, y * half).box(posts, (-0.035, -0.035, 0.0), (0.035, 0.035, high), bevel=0.005)
    for z in (0.004, high - 0.064):
        for yaw in (0, 90, 180, 270):
            bench.at(yaw=yaw).box(posts, (-half, half - 0.01, z), (half, half + 0.022, z + 0.06), bevel=0.004)
    for yaw in (0, 90, 180, 270):
        bench.at(yaw=yaw).box(name, (-0.2, half, 0.2), (0.2, half + 0.006, 0.3))


BODY: tuple[Flat, ...] = (
    (0.0, 0.0), (0.15, 0.02), (0.2, 0.13), (0.165, 0.25), (0.125, 0.31), (0.14, 0.4), (0.1, 0.475), (0.0, 0.485),
    (-0.1, 0.475), (-0.14, 0.4), (-0.125, 0.31), (-0.165, 0.25), (-0.2, 0.13), (-0.15, 0.02),
)  # fmt: skip
CUTAWAY: tuple[Flat, ...] = (
    (0.0, 0.0), (0.12, 0.01), (0.17, 0.1), (0.13, 0.2), (0.12, 0.28), (0.17, 0.38), (0.13, 0.4), (0.06, 0.33),
    (-0.05, 0.33), (-0.12, 0.42), (-0.17, 0.38), (-0.13, 0.26), (-0.12, 0.19), (-0.16, 0.1), (-0.1, 0.01),
)  # fmt: skip
"""Outlines of guitars, in metres."""


def guitar(bench: Bench, shape: Sequence[Flat], top: Colour, sides: Colour, depth: float, scale: float = 1.0) -> None:
    """A guitar that stands upright; one that is not deep has pick-ups in place of a sound hole."""
    board = bench.face()
    front = bench.pattern("wood", top, 0.5, roughness=0.25)
    rim, neck = bench.plain(sides, 0.25), bench.pattern("wood", BROWN, 0.3)
    ebony, steel = bench.plain(BLACK, 0.4), bench.plain(STEEL, 0.2)
    outline = [(x * scale, y * scale) for x, y in flat(smooth(shape, 4, closed=True))]
    d = depth / 2
    board.extrude(front, outline, -d, d, bevel=0.008, side=rim)
    s = scale
    board.box(neck, (-0.025 * s, 0.44 * s, d - 0.03), (0.025 * s, 0.86 * s, d))
    board.box(ebony, (-0.026 * s, 0.33 * s, d), (0.026 * s, 0.86 * s, d + 0.008))
    board.box(neck, (-0.04 * s, 0.85 * s, d - 0.035), (0.04 * s, 1.0 * s, d - 0.005), bevel=0.006)
    if depth > 0.06:
        board.at(0, 0.3 * s, d).lathe(ebony, [(0.048 * s, 0.001), (0.0, 0.001)])
        board.at(0, 0.3 * s, d).hoop(bench.plain(CREAM), 0.053 * s, 0.01, flat=0.3)
    else:
        for y in (0.14, 0.21, 0.29):
            board.box(
                bench.plain(CREAM), (-0.04 * s, y * s - 0.014, d), (0.04 * s, y * s + 0.014, d + 0.01), bevel=0.003
            )
        for y in (0.04, 0.08):
            board.at(0.1 * s, y * s, d).post(steel, 0.012, 0.0, 0.018)
    board.box(ebony, (-0.06 * s, 0.1 * s, d), (0.06 * s, 0.12 * s, d + 0.012), bevel=0.004)
    for string in range(6):
        x = (string - 2.5) * 0.007 * s
        board.tube(steel, [(x, 0.11 * s, d + 0.013), (x, 0.86 * s, d + 0.011)], 0.0012, sides=4)
    for fret in range(12):
        y = s * (0.86 - 0.5 * (1 - 0.944**fret) * 1.05)
        board.box(steel, (-0.026 * s, y - 0.001, d + 0.008), (0.026 * s, y + 0.001, d + 0.0095))
    for peg in range(6):
        x, y = (0.045 if peg % 2 else -0.045) * s, (0.88 + 0.04 * (peg // 2)) * s
        board.ball(steel, (x, y, d - 0.02), (0.013, 0.009, 0.007), sides=8, rings=5)


def umbrella(bench: Bench, cloth: Sequence[Colour], handle: Colour, radius: float) -> None:
    """An open umbrella on its handle."""
    silk = bench.picture(partial(pictures.stripes, cloth, 8), 0.8)
    dark, wood, height = bench.plain(CHARCOAL, 0.4), bench.plain(handle, 0.4), 0.95
    outer = [
        (radius * math.sin(math.radians(a)), height - radius * 0.62 * (1 - math.cos(math.radians(a))))
        for a in range(80, -1, -8)
    ]
    bench.lathe(silk, outer, sides=32)
    bench.lathe(silk, [(r * 0.995, z - 0.006) for r, z in reversed(outer)], sides=32)
    for rib in range(8):
        path = [(0.0, r, z - 0.012) for r, z in outer[::2]]
        bench.at(yaw=45 * rib).tube(dark, path, 0.005, sides=5)
        bench.at(yaw=45 * rib).tube(
            dark, [(0.0, 0.01, height - 0.3), (0.0, outer[5][0], outer[5][1] - 0.01)], 0.004, sides=5
        )
    bench.tube(dark, [(0.0, 0.0, 0.1), (0.0, 0.0, height + 0.07)], 0.008)
    bench.tube(wood, curve([(0.0, 0.0, 0.22), (0.0, 0.0, 0.08), (0.0, 0.04, 0.016), (0.0, 0.09, 0.05)]), 0.016)


MEMBERS = (
    Member("chair", "dining chair", "slide", lambda b: chair(b, OAK, (RED, CREAM, GOLD), 3, upright=False)),
    Member("chair", "white kitchen chair", "slide", lambda b: chair(b, WHITE, (BLUE, SKY, WHITE), 5, upright=True)),
    Member("chair", "dark chair", "slide", lambda b: chair(b, BROWN, (GREEN, LIME, CREAM), 4, upright=False)),
    Member("chair", "armchair", "slide", lambda b: armchair(b, (TEAL, CREAM, GOLD), OAK)),
    Member("chair", "rose armchair", "slide", lambda b: armchair(b, (PINK, WHITE, CRIMSON), BROWN)),
    Member("chair", "office chair", "spin", lambda b: office_chair(b, CHARCOAL, BLUE)),
    Member("chair", "red office chair", "spin", lambda b: office_chair(b, CRIMSON, BLACK)),
    Member("stool", "three-legged stool", "spin", lambda b: stool(b, OAK, BEECH, 3, 0.45)),
    Member("stool", "bar stool", "spin", lambda b: stool(b, CHARCOAL, RED, 4, 0.75)),
    Member("stool", "blue stool", "spin", lambda b: stool(b, BLUE, BEECH, 4, 0.5)),
    Member("table", "dining table", "slide", lambda b: table(b, OAK, (1.4, 0.8, 0.74), (CRIMSON, CREAM, GOLD))),
    Member("table", "side table", "slide", lambda b: table(b, BEECH, (0.5, 0.5, 0.55))),
    Member("table", "cafe table", "slide", lambda b: round_table(b, (WHITE, RED, 8), CHARCOAL, 0.35, 0.72)),
    Member("table", "chess table", "spin", lambda b: round_table(b, (CREAM, BROWN, 12), BROWN, 0.45, 0.6)),
    Member("suitcase", "blue suitcase", "slide", lambda b: suitcase(
        b, BLUE, [("PARIS", RED), ("ROMA", GREEN)], (0.46, 0.28, 0.7))),
    Member("suitcase", "yellow suitcase", "slide", lambda b: suitcase(b, YELLOW, [("OSLO", NAVY)], (0.4, 0.24, 0.58))),
    Member("suitcase", "silver suitcase", "slide", lambda b: suitcase(
        b, STEEL, [("FRAGILE", RED), ("TOKYO", PURPLE), ("LIMA", ORANGE)], (0.5, 0.3, 0.76))),
    Member("parcel", "large parcel", "tumble", lambda b: parcel(b, "UP", CREAM, (0.45, 0.35, 0.3))),
    Member("parcel", "flat parcel", "tumble", lambda b: parcel(b, "THIS", COPPER, (0.5, 0.4, 0.14))),
    Member("parcel", "red present", "tumble", lambda b: present(b, RED, GOLD, WHITE, (0.3, 0.3, 0.24))),
    Member("parcel", "blue present", "tumble", lambda b: present(b, BLUE, PINK, YELLOW, (0.36, 0.26, 0.34))),
    Member("crate", "fruit crate", "slide", lambda b: crate(b, BEECH, "FRUIT")),
    Member("crate", "dark crate", "slide", lambda b: crate(b, OAK, "CARGO 7")),
    Member("guitar", "guitar", "spin", lambda b: guitar(b, BODY, BEECH, BROWN, 0.1)),
    Member("guitar", "red electric guitar", "tumble", lambda b: guitar(b, CUTAWAY, RED, CRIMSON, 0.045)),
    Member("guitar", "ukulele", "tumble", lambda b: guitar(b, BODY, SKY, NAVY, 0.07, 0.62)),
    Member("umbrella", "rainbow umbrella", "spin", lambda b: umbrella(
        b, (RED, ORANGE, YELLOW, GREEN, BLUE, PURPLE, PINK, TEAL), OAK, 0.55)),
    Member("umbrella", "black and white umbrella", "spin", lambda b: umbrella(b, (WHITE, BLACK), BROWN, 0.5)),
    Member("umbrella", "green umbrella", "spin", lambda b: umbrella(b, (FOREST, GREEN, LIME, GREEN), GREY, 0.6)),
)  # fmt: skip
