"""What stands in streets: cones, bins, signs, hydrants, letter boxes, parking meters, boats on land."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from . import pictures
from .bench import Bench, Colour, Picture
from .colours import (
    BEECH,
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
    GREY,
    LIME,
    NAVY,
    OAK,
    ORANGE,
    PINK,
    RED,
    SKY,
    STEEL,
    TEAL,
    WHITE,
    YELLOW,
)
from .members import Member
from .outlines import Flat, Point, circle, curve, flat, rectangle, smooth


def cone(bench: Bench, ground: Colour, ring: Colour, height: float) -> None:
    """A traffic cone."""
    skin, foot = bench.picture(partial(pictures.cone_rings, ground, ring), 0.6), bench.plain(BLACK, 0.9)
    half = 0.27 * height
    bench.extrude(foot, rectangle((-half, -half), (half, half), 0.06), 0.0, 0.05 * height, bevel=0.015 * height)
    bench.lathe(skin, [(0.19 * height, 0.05 * height), (0.035 * height, height)], sides=28)
    bench.lathe(bench.plain(ground), [(0.035 * height, height), (0.02 * height, height), (0.02 * height, 0.9 * height)])


def wheelie_bin(bench: Bench, paint: Colour, mark: Colour, words: str) -> None:
    """A bin on wheels with a lid."""
    skin, dark = bench.plain(paint, 0.6), bench.plain(CHARCOAL, 0.7)
    name = bench.picture(partial(pictures.plate, words, mark, WHITE), 0.5)
    bench.box(skin, (-0.22, -0.26, 0.06), (0.22, 0.26, 0.92), bevel=0.03, taper=(1.25, 1.2))
    bench.box(skin, (-0.3, -0.34, 0.9), (0.3, 0.34, 0.95), bevel=0.02)
    bench.box(skin, (-0.29, -0.36, 0.95), (0.29, 0.35, 1.04), bevel=0.03, taper=(0.92, 0.92))
    bench.tube(dark, [(-0.26, -0.39, 0.98), (0.26, -0.39, 0.98)], 0.018)
    for x in (-1.0, 1.0):
        bench.at(0.22 * x, -0.24, 0.1, roll=90).post(dark, 0.1, -0.03, 0.03)
        bench.at(0.22 * x, -0.24, 0.1, roll=90 * x).post(bench.plain(STEEL), 0.05, 0.03, 0.035)
    bench.at(0, 0.29, 0.6, pitch=-3).box(name, (-0.16, 0.0, -0.05), (0.16, 0.012, 0.05))
    for x in (-0.12, 0.0, 0.12):
        bench.tube(skin, [(x, 0.262, 0.12), (x, 0.287, 0.5)], 0.012)


def litter_bin(bench: Bench, paint: Colour, ring: Colour) -> None:
    """A round bin of slats with a hood."""
    slat, dark, metal = bench.pattern("wood", paint, 0.4), bench.plain(BLACK, 0.8), bench.plain(ring, 0.3)
    bench.post(dark, 0.2, 0.04, 0.72)
    for number in range(18):
        bench.at(yaw=20 * number).box(slat, (-0.028, 0.2, 0.06), (0.028, 0.225, 0.7), bevel=0.006)
    for z in (0.08, 0.4, 0.68):
        bench.at(0, 0, z).hoop(metal, 0.228, 0.02, flat=1.6)
    bench.lathe(metal, [(0.0, 0.0), (0.19, 0.0), (0.16, 0.05)])
    for angle in range(4):
        bench.at(yaw=90 * angle + 45).tube(metal, [(0.0, 0.2, 0.68), (0.0, 0.2, 0.86)], 0.012)
    bench.lathe(metal, flat(smooth([(0.24, 0.85), (0.2, 0.93), (0.1, 0.97), (0.0, 0.98)], 3)))
    bench.lathe(metal, [(0.0, 0.86), (0.24, 0.85)])


def sign(
    bench: Bench, face: Callable[[], Picture], outline: Sequence[Flat], height: float, back: Colour = STEEL
) -> None:
    """A road sign on its post and foot; the outline is that of the sign, of size 1."""
    steel, black, skin = bench.plain(back, 0.3), bench.plain(CHARCOAL, 0.9), bench.picture(face, 0.4)
    bench.extrude(black, rectangle((-0.2, -0.2), (0.2, 0.2), 0.06), 0.0, 0.08, bevel=0.015)
    bench.post(steel, 0.025, 0.08, height + 0.2)
    size = 0.62
    plate = [(x * size, y * size) for x, y in outline]
    board = bench.face(0.03, height)
    board.extrude(steel, plate, -0.006, 0.004)
    board.extrude(skin, plate, 0.004, 0.008, side=steel)


OCTAGON = [
    (0.5 * math.cos(math.pi * (each + 0.5) / 4), 0.5 * math.sin(math.pi * (each + 0.5) / 4)) for each in range(8)
]
DISC = circle(0.5, 28)
TRIANGLE = [(-0.5, -0.42), (0.5, -0.42), (0.0, 0.45)]
"""Outlines of road signs."""


def board(bench: Bench, face: Callable[[], Picture], wood: Colour) -> None:
    """A board of two sides that lean on each other."""
    frame, skin = bench.pattern("wood", wood, 0.4, roughness=0.5), bench.picture(face, 0.7)
    for turn in (0, 180):
        side = bench.at(yaw=turn).at(0, 0.28, 0.0, pitch=14)
        side.box(frame, (-0.34, -0.02, 0.0), (0.34, 0.01, 1.05), bevel=0.006)
        side.box(skin, (-0.3, 0.01, 0.14), (0.3, 0.014, 1.01))
    bench.tube(bench.plain(STEEL), [(-0.33, 0.0, 1.02), (0.33, 0.0, 1.02)], 0.018)


def hydrant(bench: Bench, paint: Colour, caps: Colour) -> None:
    """A fire hydrant."""
    skin, trim = bench.pattern("plaster", paint, 0.4, roughness=0.4), bench.plain(caps, 0.4)
    bench.lathe(
        skin,
        [(0.0, 0.0), (0.19, 0.0), (0.19, 0.04), (0.12, 0.06), (0.11, 0.5), (0.15, 0.52), (0.15, 0.56), (0.13, 0.58)],
    )
    bench.lathe(
        trim,
        [
            (0.13, 0.58),
            *flat(smooth([(0.13, 0.58), (0.12, 0.65), (0.07, 0.71), (0.04, 0.72)], 3))[1:],
            (0.04, 0.76),
            (0.0, 0.76),
        ],
    )
    for turn, radius in ((90, 0.055), (-90, 0.055), (180, 0.075)):
        nozzle = bench.at(0, 0, 0.4).at(yaw=turn).face()
        nozzle.post(skin, radius, 0.08, 0.16)
        nozzle.post(trim, radius * 1.2, 0.15, 0.19, sides=8)
        nozzle.post(trim, 0.02, 0.19, 0.22, sides=5)
    for bolt in range(8):
        bench.at(yaw=45 * bolt).at(0, 0.16, 0.04).post(trim, 0.014, 0.0, 0.02, sides=6)
    bench.at(0, 0, 0.54).hoop(trim, 0.15, 0.02)


def letter_box(bench: Bench, paint: Colour, words: str, *, american: bool) -> None:
    """A pillar box, or a box with an arched roof on a post."""
    skin, black = bench.plain(paint, 0.3), bench.plain(BLACK)
    name = bench.picture(partial(pictures.plate, words, WHITE, paint), 0.4)
    if american:
        bench.post(bench.pattern("wood", OAK, 0.4), 0.05, 0.0, 0.95)
        shape = [(-0.13, 0.0), (0.13, 0.0), *circle(0.13, 11, (0.0, 0.14), (0, 180))]
        box = bench.face(0.0, 0.95)
        box.extrude(skin, shape, -0.26, 0.24)
        box.extrude(bench.plain(STEEL, 0.3), [(0.96 * x, 0.01 + 0.96 * y) for x, y in shape], 0.24, 0.25)
        box.box(black, (-0.03, 0.2, 0.25), (0.03, 0.22, 0.28))
        bench.box(bench.plain(RED), (0.13, -0.05, 1.0), (0.14, -0.02, 1.23))
        bench.box(bench.plain(RED), (0.13, -0.05, 1.23), (0.14, 0.1, 1.32))
        bench.at(0, 0, 1.02, yaw=90).box(name, (-0.18, 0.131, 0.0), (0.18, 0.134, 0.09))
        bench.at(0, 0, 1.02, yaw=-90).box(name, (-0.18, 0.131, 0.0), (0.18, 0.134, 0.09))
        return
    bench.lathe(black, [(0.0, 0.0), (0.26, 0.0), (0.26, 0.12), (0.22, 0.14)], sides=32)
    bench.lathe(skin, [(0.22, 0.14), (0.22, 1.25)], sides=32)
    bench.lathe(
        skin,
        [(0.22, 1.25), (0.26, 1.27), (0.26, 1.32), *flat(smooth([(0.24, 1.34), (0.15, 1.4), (0.0, 1.43)], 3))],
        sides=32,
    )
    bench.box(black, (-0.11, 0.19, 1.12), (0.11, 0.225, 1.15), bevel=0.006)
    bench.box(skin, (-0.14, 0.19, 1.16), (0.14, 0.26, 1.19), bevel=0.012)
    bench.box(name, (-0.12, 0.2, 0.95), (0.12, 0.222, 1.01))
    bench.box(bench.plain(CREAM), (-0.09, 0.2, 0.6), (0.09, 0.221, 0.86), bevel=0.004)


def boat(bench: Bench, paint: Colour, band: Colour, length: float, sail: Sequence[Colour]) -> None:
    """A boat; with a sail where there are colours for it, else with oars."""
    skin, wood, trim = bench.plain(paint, 0.3), bench.pattern("planks", OAK, 0.5), bench.plain(band, 0.4)
    half, wide, deep = length / 2, 0.19 * length, 0.17 * length
    stations = [
        (1.0, 0.015, 0.25),
        (0.9, 0.3, 0.7),
        (0.6, 0.72, 0.95),
        (0.2, 0.97, 1.0),
        (-0.3, 1.0, 1.0),
        (-0.75, 0.85, 0.9),
        (-1.0, 0.62, 0.7),
    ]

    section = [(-1.0, 1.0), (-0.92, 0.55), (-0.6, 0.15), (0.0, 0.0), (0.6, 0.15), (0.92, 0.55), (1.0, 1.0)]
    rims: list[list[Point]] = []
    for place, share, keel in stations:
        rise, bottom = deep * (1.0 + 0.35 * place * place), deep * (1 - keel)
        rims.append([(wide * share * x, place * half, bottom + (rise - bottom) * z) for x, z in section])
    bench.loft(skin, rims)
    for side in (0, -1):
        bench.tube(trim, [(0.98 * r[side][0], r[side][1], r[side][2] + 0.004 * length) for r in rims], 0.018 * length)
    planks: list[list[Point]] = []
    for rim in rims:
        x, y, z = rim[-1]
        across, low, high = 0.97 * x, z - 0.026 * length, z + 0.007 * length
        planks.append([(a, 0.99 * y, b) for a, b in ((-across, low), (across, low), (across, high), (-across, high))])
    bench.loft(wood, planks)
    top = deep * 1.05
    if sail:
        mast = 1.15 * length
        bench.tube(wood, [(0.0, 0.1 * length, deep), (0.0, 0.1 * length, top + mast)], 0.014 * length)
        bench.tube(
            wood, [(0.0, 0.1 * length, top + 0.12 * length), (0.0, -0.45 * length, top + 0.13 * length)], 0.01 * length
        )
        cloth = bench.picture(partial(pictures.stripes, sail, 9, upright=False), 0.9)
        main: list[Flat] = [
            (-0.43 * length, top + 0.15 * length),
            (0.08 * length, top + 0.15 * length),
            (0.085 * length, top + 0.97 * mast),
        ]
        jib: list[Flat] = [
            (0.12 * length, top + 0.15 * length),
            (0.46 * length, top + 0.06 * length),
            (0.115 * length, top + 0.8 * mast),
        ]
        bench.side().extrude(cloth, main, -0.003, 0.003)
        bench.side().extrude(bench.plain(WHITE, 0.9), jib, -0.003, 0.003)
        bench.side().extrude(
            trim,
            [(0.1 * length, top + mast * 0.93), (0.1 * length, top + mast), (-0.06 * length, top + mast * 0.965)],
            -0.002,
            0.002,
        )
        return
    for y in (-0.25, 0.05, 0.32):
        share = 0.9 - 0.8 * max(0.0, y - 0.1)
        bench.box(
            trim, (-wide * share, (y - 0.05) * length, deep * 1.06), (wide * share, (y + 0.05) * length, deep * 1.12)
        )
    for x in (-1, 1):
        path: list[Point] = [
            (0.12 * length * x, 0.1 * length, 1.55 * deep),
            (0.35 * length * x, -0.1 * length, 0.9 * deep),
            (0.45 * length * x, -0.19 * length, 0.62 * deep),
        ]
        bench.tube(wood, path, 0.012 * length)
        bench.at(*path[2], yaw=-48 * x).box(
            trim,
            (-0.01 * length, -0.12 * length, -0.03 * length),
            (0.01 * length, 0.02 * length, 0.03 * length),
            bevel=0.004 * length,
        )


def barrow(bench: Bench, paint: Colour, load: Colour) -> None:
    """A wheelbarrow with a load."""
    skin, steel, rubber = bench.plain(paint, 0.4), bench.plain(STEEL, 0.3), bench.plain(CHARCOAL, 0.9)
    earth = bench.pattern("bark", load, 0.5, roughness=0.95)
    low = [(-0.2, -0.2, 0.3), (0.2, -0.2, 0.3), (0.16, 0.25, 0.3), (-0.16, 0.25, 0.3)]
    high = [(-0.32, -0.42, 0.58), (0.32, -0.42, 0.58), (0.28, 0.55, 0.62), (-0.28, 0.55, 0.62)]
    bench.loft(skin, [low, high], ends=(True, False))
    bench.ball(earth, (0.0, 0.05, 0.55), (0.27, 0.45, 0.2), (0, 90))
    bench.tube(steel, [*high, high[0]], 0.014)
    for x in (-1, 1):
        bench.tube(
            steel,
            curve([(0.02 * x, 0.62, 0.2), (0.17 * x, 0.2, 0.28), (0.26 * x, -0.4, 0.45), (0.28 * x, -0.85, 0.6)]),
            0.016,
        )
        bench.tube(rubber, [(0.277 * x, -0.78, 0.575), (0.285 * x, -0.95, 0.63)], 0.024)
        bench.tube(steel, [(0.24 * x, -0.25, 0.4), (0.23 * x, -0.32, 0.0)], 0.014)
    axle = bench.at(0, 0.62, 0.2, roll=90)
    axle.hoop(rubber, 0.16, 0.08)
    axle.lathe(skin, [(0.0, -0.03), (0.13, -0.01), (0.13, 0.01), (0.0, 0.03)])


def pump(bench: Bench, paint: Colour, shown: Colour) -> None:
    """A petrol pump."""
    skin, dark = bench.plain(paint, 0.3), bench.plain(CHARCOAL, 0.6)
    face = bench.picture(partial(pictures.panel, CREAM, (RED, YELLOW, GREEN)), 0.3)
    name = bench.picture(partial(pictures.plate, "PETROL", shown, WHITE), 0.3)
    bench.box(bench.plain(GREY), (-0.36, -0.28, 0.0), (0.36, 0.28, 0.1), bevel=0.02)
    bench.box(skin, (-0.3, -0.2, 0.1), (0.3, 0.2, 1.35), bevel=0.03)
    bench.box(skin, (-0.3, -0.2, 1.4), (0.3, 0.2, 1.62), bevel=0.03, faces={"front": name, "back": name})
    for x in (-0.2, 0.2):
        bench.box(dark, (x - 0.03, -0.1, 1.34), (x + 0.03, 0.1, 1.41))
    bench.box(dark, (-0.24, 0.2, 0.85), (0.24, 0.206, 1.28), faces={"front": face})
    bench.box(bench.plain(GLASS, 0.1), (-0.22, 0.2, 0.3), (0.22, 0.205, 0.7))
    bench.tube(
        dark,
        curve(
            [
                (0.3, 0.05, 0.9),
                (0.42, 0.08, 0.8),
                (0.5, 0.1, 0.55),
                (0.48, 0.11, 0.32),
                (0.42, 0.11, 0.24),
                (0.36, 0.1, 0.34),
                (0.335, 0.08, 0.7),
                (0.33, 0.06, 1.05),
            ]
        ),
        0.018,
    )
    bench.at(0.33, 0.06, 1.05).box(bench.plain(shown), (-0.02, -0.04, 0.0), (0.03, 0.05, 0.16), bevel=0.01)


MEMBERS = (
    Member("cone", "traffic cone", "slide", lambda b: cone(b, ORANGE, WHITE, 0.5)),
    Member("cone", "tall traffic cone", "slide", lambda b: cone(b, (0.9, 0.25, 0.1), WHITE, 0.95)),
    Member("cone", "green cone", "tumble", lambda b: cone(b, LIME, NAVY, 0.35)),
    Member("bin", "green wheelie bin", "slide", lambda b: wheelie_bin(b, FOREST, LIME, "GARDEN")),
    Member("bin", "blue wheelie bin", "slide", lambda b: wheelie_bin(b, BLUE, NAVY, "PAPER")),
    Member("bin", "litter bin", "slide", lambda b: litter_bin(b, OAK, CHARCOAL)),
    Member("sign", "stop sign", "spin", lambda b: sign(b, pictures.stop, OCTAGON, 1.45)),
    Member("sign", "warning sign", "spin", lambda b: sign(b, pictures.warning, TRIANGLE, 1.25)),
    Member("sign", "arrow sign", "spin", lambda b: sign(b, partial(pictures.arrow, BLUE, WHITE), DISC, 1.1)),
    Member("board", "cafe board", "slide", lambda b: board(b, pictures.board, OAK)),
    Member("board", "sale board", "slide", lambda b: board(
        b, partial(pictures.poster, YELLOW, RED, ("SALE", "50%", "NOW"), RED), BROWN)),
    Member("board", "ice cream board", "slide", lambda b: board(
        b, partial(pictures.poster, SKY, NAVY, ("ICE", "CREAM"), PINK), WHITE)),
    Member("hydrant", "red hydrant", "slide", lambda b: hydrant(b, RED, STEEL)),
    Member("hydrant", "yellow hydrant", "slide", lambda b: hydrant(b, YELLOW, BLUE)),
    Member("hydrant", "green hydrant", "slide", lambda b: hydrant(b, TEAL, GOLD)),
    Member("letter box", "pillar box", "slide", lambda b: letter_box(b, RED, "POST", american=False)),
    Member("letter box", "blue pillar box", "slide", lambda b: letter_box(b, NAVY, "MAIL", american=False)),
    Member("letter box", "country letter box", "slide", lambda b: letter_box(b, STEEL, "MAIL 12", american=True)),
    Member("boat", "sailing boat", "slide", lambda b: boat(b, NAVY, OAK, 1.4, (WHITE, WHITE, RED))),
    Member("boat", "rowing boat", "slide", lambda b: boat(b, TEAL, CREAM, 2.2, ())),
    Member("boat", "toy sailing boat", "slide", lambda b: boat(b, CRIMSON, BEECH, 0.7, (YELLOW, ORANGE))),
    Member("wheelbarrow", "green wheelbarrow", "slide", lambda b: barrow(b, GREEN, BROWN)),
    Member("wheelbarrow", "orange wheelbarrow", "slide", lambda b: barrow(b, ORANGE, (0.85, 0.75, 0.5))),
    Member("petrol pump", "red petrol pump", "slide", lambda b: pump(b, RED, NAVY)),
    Member("petrol pump", "green petrol pump", "slide", lambda b: pump(b, CREAM, GREEN)),
)  # fmt: skip
