"""Toys and games: dice, blocks, robots, bears, ducks, chess pieces, tops, snowmen."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from . import pictures, spheres
from .bench import Bench, Colour
from .boxes import Side
from .colours import (
    BEECH,
    BLACK,
    BLUE,
    BROWN,
    CHARCOAL,
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
    SKY,
    STEEL,
    TEAL,
    WHITE,
    YELLOW,
)
from .members import Member
from .outlines import Flat, curve, flat, smooth

SIDES: tuple[Side, ...] = ("bottom", "left", "back", "front", "right", "top")
"""Of a die, from one to six: opposite ones add up to seven."""


def die(bench: Bench, face: Colour, ink: Colour, size: float) -> None:
    """A die with round edges."""
    skins = [bench.picture(partial(pictures.pips, number, face, ink), 0.2) for number in range(1, 7)]
    half = size / 2
    bench.box(bench.picture(partial(pictures.pips, 0, face, ink), 0.2), (-half, -half, 0.0), (half, half, size),
              bevel=0.09 * size, faces=dict(zip(SIDES, skins, strict=True)))  # fmt: skip


def blocks(bench: Bench, words: str, colours: Sequence[Colour], size: float) -> None:
    """A tower of letter blocks."""
    wood = bench.pattern("wood", BEECH, 0.2)
    for level, sign in enumerate(words):
        colour = colours[level % len(colours)]
        faces = [bench.picture(partial(pictures.letter, each, CREAM, colour, colour), 0.6) for each in (sign, "A", "B")]
        half = size / 2
        bench.at(0.06 * size * (-1) ** level, 0.0, level * size, yaw=13.0 * (-1) ** level).box(
            wood, (-half, -half, 0.0), (half, half, size), bevel=0.05 * size,
            faces={"front": faces[0], "back": faces[0], "left": faces[1], "right": faces[1], "top": faces[2]},
        )  # fmt: skip


def robot(bench: Bench, shell: Colour, trim: Colour, eyes: Colour, *, tracks: bool) -> None:
    """A tin robot on legs, or on tracks."""
    skin, joint, dark = bench.plain(shell, 0.25), bench.plain(trim, 0.3), bench.plain(CHARCOAL, 0.7)
    face = bench.picture(partial(pictures.visor, shell, eyes), 0.3)
    chest = bench.picture(partial(pictures.panel, trim, (RED, YELLOW, LIME)), 0.4)
    if tracks:
        belt = bench.picture(partial(pictures.stripes, (CHARCOAL, GREY), 24), 0.9)
        line = flat(
            smooth([(-0.2, 0.02), (0.2, 0.02), (0.26, 0.1), (0.18, 0.17), (-0.18, 0.17), (-0.26, 0.1)], 4, closed=True)
        )
        for x in (-0.15, 0.15):
            bench.side(x).extrude(dark, line, -0.06, 0.06, side=belt)
        bench.box(joint, (-0.1, -0.1, 0.12), (0.1, 0.1, 0.26))
    else:
        for x in (-0.1, 0.1):
            bench.box(dark, (x - 0.075, -0.09, 0.0), (x + 0.075, 0.14, 0.07), bevel=0.02)
            bench.at(x).post(joint, 0.045, 0.06, 0.27)
    bench.box(skin, (-0.2, -0.13, 0.25), (0.2, 0.13, 0.58), bevel=0.025, faces={"front": chest})
    bench.post(joint, 0.05, 0.58, 0.63)
    bench.box(skin, (-0.15, -0.12, 0.63), (0.15, 0.12, 0.87), bevel=0.025, faces={"front": face})
    for side in (-1, 1):
        bench.at(0.15 * side, 0, 0.75, roll=90 * side).post(joint, 0.045, 0.0, 0.03)
        bench.ball(joint, (0.225 * side, 0.0, 0.53), 0.055)
        arm = curve([(0.235 * side, 0.0, 0.52), (0.3 * side, 0.02, 0.42), (0.27 * side, 0.14, 0.36)])
        bench.tube(joint, arm, 0.032)
        for finger in (-1, 1):
            claw = [
                (0.27 * side, 0.14, 0.36),
                (0.27 * side + 0.045 * finger, 0.19, 0.35),
                (0.27 * side + 0.015 * finger, 0.25, 0.34),
            ]
            bench.tube(skin, curve(claw), 0.016)
        bench.ball(dark, (0.27 * side, 0.14, 0.36), 0.04)
    bench.tube(joint, [(0.0, 0.0, 0.86), (0.0, 0.0, 0.97)], 0.01)
    bench.ball(bench.plain(RED, 0.2), (0.0, 0.0, 0.98), 0.025)


def bear(bench: Bench, fur: Colour, paw: Colour, bow: Colour) -> None:
    """A teddy bear that sits."""
    skin, pale = bench.plain(fur, 0.95, 0.3), bench.plain(paw, 0.95)
    black, ribbon = bench.plain(BLACK, 0.2), bench.plain(bow, 0.6)
    bench.ball(skin, (0.0, 0.0, 0.2), (0.17, 0.15, 0.2))
    bench.ball(pale, (0.0, 0.05, 0.2), (0.12, 0.115, 0.14))
    bench.ball(skin, (0.0, 0.02, 0.48), (0.155, 0.14, 0.14))
    bench.ball(pale, (0.0, 0.14, 0.445), (0.07, 0.06, 0.055))
    bench.ball(black, (0.0, 0.195, 0.47), (0.026, 0.018, 0.02))
    bench.tube(black, curve([(-0.03, 0.19, 0.43), (0.0, 0.2, 0.415), (0.03, 0.19, 0.43)]), 0.005)
    for x in (-1, 1):
        bench.ball(black, (0.055 * x, 0.145, 0.52), (0.018, 0.012, 0.02))
        bench.ball(skin, (0.12 * x, 0.0, 0.6), (0.055, 0.035, 0.055))
        bench.ball(pale, (0.12 * x, 0.02, 0.6), (0.036, 0.025, 0.036))
        bench.tube(
            skin,
            curve([(0.13 * x, 0.0, 0.33), (0.22 * x, 0.06, 0.26), (0.24 * x, 0.13, 0.18)]),
            [0.05, 0.052, 0.055, 0.057, 0.058, 0.058, 0.058, 0.056, 0.05],
            sides=12,
        )
        bench.ball(skin, (0.24 * x, 0.14, 0.17), 0.057)
        bench.ball(skin, (0.13 * x, 0.18, 0.075), (0.075, 0.15, 0.075))
        bench.ball(skin, (0.14 * x, 0.3, 0.09), (0.075, 0.05, 0.09))
        bench.ball(pale, (0.14 * x, 0.318, 0.09), (0.055, 0.04, 0.068))
        bench.ball(ribbon, (0.05 * x, 0.145, 0.345), (0.05, 0.015, 0.035))
    bench.ball(ribbon, (0.0, 0.155, 0.345), (0.018, 0.018, 0.018))
    bench.at(0, 0.0, 0.352).hoop(ribbon, 0.115, 0.03, flat=1.5)


def duck(bench: Bench, body: Colour, wing: Colour, beak: Colour, size: float) -> None:
    """A bath duck."""
    s = size
    skin, trim, bill, black = (
        bench.plain(body, 0.2),
        bench.plain(wing, 0.25),
        bench.plain(beak, 0.3),
        bench.plain(BLACK, 0.1),
    )
    bench.ball(skin, (0.0, -0.05 * s, 0.3 * s), (0.38 * s, 0.5 * s, 0.3 * s), sides=28, rings=14)
    bench.tube(
        skin,
        curve([(0.0, -0.38 * s, 0.4 * s), (0.0, -0.55 * s, 0.55 * s), (0.0, -0.62 * s, 0.68 * s)]),
        [0.2 * s, 0.19 * s, 0.17 * s, 0.15 * s, 0.12 * s, 0.1 * s, 0.07 * s, 0.05 * s, 0.02 * s],
        sides=14,
    )
    bench.ball(skin, (0.0, 0.22 * s, 0.78 * s), (0.27 * s, 0.28 * s, 0.26 * s), sides=24, rings=12)
    bench.ball(bill, (0.0, 0.5 * s, 0.74 * s), (0.13 * s, 0.15 * s, 0.05 * s))
    bench.ball(bill, (0.0, 0.46 * s, 0.69 * s), (0.1 * s, 0.12 * s, 0.04 * s))
    for x in (-1, 1):
        bench.ball(trim, (0.35 * x * s, -0.1 * s, 0.36 * s), (0.08 * s, 0.28 * s, 0.17 * s))
        bench.ball(bench.plain(WHITE), (0.145 * x * s, 0.41 * s, 0.87 * s), (0.06 * s, 0.05 * s, 0.065 * s))
        bench.ball(black, (0.155 * x * s, 0.445 * s, 0.875 * s), (0.035 * s, 0.025 * s, 0.042 * s))


CHESS: dict[str, tuple[Flat, ...]] = {
    "pawn": ((0.09, 0.14), (0.05, 0.22), (0.045, 0.3), (0.08, 0.33), (0.05, 0.35)),
    "bishop": ((0.1, 0.15), (0.055, 0.25), (0.05, 0.42), (0.085, 0.45), (0.05, 0.48)),
    "queen": ((0.11, 0.16), (0.06, 0.28), (0.055, 0.52), (0.1, 0.55), (0.06, 0.58), (0.1, 0.72)),
    "rook": ((0.1, 0.15), (0.08, 0.2), (0.075, 0.35), (0.1, 0.4), (0.11, 0.4)),
}
"""Profiles of chess pieces above their feet: radius and height, in metres."""


def chessman(bench: Bench, piece: str, wood: Colour, scale: float = 1.0) -> None:
    """A large chess piece, as in gardens."""
    skin = bench.pattern("wood", wood, 0.3, roughness=0.3)
    shape = [(r * scale, z * scale) for r, z in CHESS[piece]]
    foot = [(0.0, 0.0), (0.14, 0.0), (0.14, 0.04), (0.12, 0.06), (0.12, 0.09)]
    line = [*[(r * scale, z * scale) for r, z in foot], *flat(smooth(shape, 4))]
    bench.lathe(skin, [*line, (0.0, line[-1][1])], sides=28)
    s, top = scale, line[-1][1]
    if piece == "pawn":
        bench.ball(skin, (0.0, 0.0, top + 0.06 * s), 0.075 * s)
    elif piece == "bishop":
        bench.ball(skin, (0.0, 0.0, top + 0.08 * s), (0.07 * s, 0.07 * s, 0.1 * s))
        bench.ball(skin, (0.0, 0.0, top + 0.19 * s), 0.022 * s)
    elif piece == "queen":
        for spike in range(8):
            bench.at(0, 0, top, yaw=45 * spike).at(0, 0.085 * s, 0).post(
                skin, 0.024 * s, -0.01 * s, 0.05 * s, taper=0.4, sides=10
            )
        bench.ball(skin, (0.0, 0.0, top + 0.02 * s), (0.07 * s, 0.07 * s, 0.05 * s))
        bench.ball(skin, (0.0, 0.0, top + 0.085 * s), 0.026 * s)
    else:
        bench.at(0, 0, top).lathe(
            skin, [(0.11 * s, 0.0), (0.11 * s, 0.06 * s), (0.08 * s, 0.06 * s), (0.08 * s, 0.01 * s)]
        )
        for tooth in range(6):
            bench.at(0, 0, top, yaw=60 * tooth).box(
                skin, (-0.03 * s, 0.075 * s, 0.05 * s), (0.03 * s, 0.112 * s, 0.1 * s), bevel=0.004
            )


def top(bench: Bench, colours: Sequence[Colour], knob: Colour, radius: float) -> None:
    """A spinning top."""
    skin, wood = (
        bench.picture(partial(spheres.bands, colours, 13), 0.3),
        bench.pattern("wood", knob, 0.2, roughness=0.4),
    )
    r = radius
    bench.lathe(bench.plain(STEEL), [(0.0, 0.0), (0.04 * r, 0.08 * r), (0.08 * r, 0.2 * r)])
    bench.lathe(
        skin,
        flat(
            smooth(
                [
                    (0.08 * r, 0.2 * r),
                    (0.6 * r, 0.6 * r),
                    (r, 1.0 * r),
                    (0.85 * r, 1.2 * r),
                    (0.3 * r, 1.35 * r),
                    (0.1 * r, 1.4 * r),
                ],
                4,
            )
        ),
        sides=32,
    )
    bench.post(wood, 0.09 * r, 1.4 * r, 2.0 * r)
    bench.ball(wood, (0.0, 0.0, 2.05 * r), 0.16 * r)


def snowman(bench: Bench, scarf: Sequence[Colour], hat: Colour, height: float) -> None:
    """A snowman with hat and scarf."""
    s = height / 1.75
    snow = bench.pattern("plaster", (1.1, 1.1, 1.12), 0.8, roughness=0.9)
    black, wool = bench.plain(BLACK, 0.7), bench.picture(partial(pictures.stripes, scarf, 10), 0.9, (0.3 * s, 0.3 * s))
    felt = bench.plain(hat, 0.9)
    for z, r in ((0.36, 0.4), (0.88, 0.3), (1.28, 0.21)):
        bench.ball(snow, (0.0, 0.0, z * s), (r * s, r * s, 0.94 * r * s), sides=28, rings=14)
    bench.at(0, 0.19 * s, 1.28 * s, pitch=-90).lathe(
        bench.plain(ORANGE), [(0.035 * s, 0.0), (0.004 * s, 0.2 * s), (0.0, 0.2 * s)]
    )
    for x in (-0.075, 0.075):
        bench.ball(black, (x * s, 0.185 * s, 1.36 * s), 0.024 * s)
    for z, y in ((0.72, 0.262), (0.86, 0.298), (1.0, 0.275)):
        bench.ball(black, (0.0, y * s, z * s), 0.026 * s)
    for step in range(-2, 3):
        bench.ball(
            black, (0.04 * step * s, (0.197 - 0.006 * step * step) * s, (1.205 + 0.006 * step * step) * s), 0.013 * s
        )
    bench.at(0, 0, 1.11 * s).hoop(wool, 0.19 * s, 0.1 * s)
    bench.at(0.09 * s, 0.25 * s, 1.08 * s, roll=8, pitch=-6).box(
        wool, (-0.05 * s, 0.0, -0.3 * s), (0.05 * s, 0.03 * s, 0.02 * s), bevel=0.01 * s
    )
    bench.lathe(
        felt,
        [
            (0.0, 1.44 * s),
            (0.25 * s, 1.44 * s),
            (0.25 * s, 1.47 * s),
            (0.155 * s, 1.47 * s),
            (0.165 * s, 1.75 * s),
            (0.0, 1.75 * s),
        ],
    )
    bench.at(0, 0, 1.5 * s).hoop(bench.plain(scarf[0]), 0.16 * s, 0.03 * s, flat=1.5)
    for x in (-1, 1):
        bench.tube(
            bench.pattern("bark", BROWN, 0.3),
            curve(
                [(0.27 * x * s, 0.0, 0.95 * s), (0.5 * x * s, 0.05 * s, 1.08 * s), (0.62 * x * s, 0.05 * s, 1.24 * s)]
            ),
            0.016 * s,
        )
        bench.tube(bench.plain(BROWN), [(0.5 * x * s, 0.05 * s, 1.08 * s), (0.62 * x * s, 0.1 * s, 1.1 * s)], 0.01 * s)


def horse(bench: Bench, coat: Colour, spots: Colour, rocker: Colour) -> None:
    """A rocking horse."""
    skin = bench.picture(partial(pictures.dots, coat, (spots,), 3), 0.6, (0.4, 0.4))
    wood, hair, leather = bench.pattern("wood", rocker, 0.4), bench.plain(spots, 0.9), bench.plain(CRIMSON, 0.5)
    bench.ball(skin, (0.0, 0.0, 0.55), (0.13, 0.3, 0.14))
    bench.tube(
        skin,
        curve([(0.0, 0.2, 0.58), (0.0, 0.32, 0.76), (0.0, 0.36, 0.88)]),
        [0.11, 0.11, 0.105, 0.1, 0.095, 0.09, 0.085, 0.08, 0.08],
        sides=14,
    )
    bench.tube(skin, [(0.0, 0.33, 0.93), (0.0, 0.45, 0.86), (0.0, 0.56, 0.78)], [0.085, 0.075, 0.055], sides=14)
    bench.ball(skin, (0.0, 0.34, 0.92), 0.088)
    for x in (-1, 1):
        bench.at(0.045 * x, 0.3, 0.98).post(skin, 0.03, 0.0, 0.09, taper=0.1, sides=8)
        bench.ball(bench.plain(BLACK, 0.1), (0.068 * x, 0.42, 0.92), 0.016)
        for y, end in ((0.2, 0.34), (-0.2, -0.34)):
            bench.tube(skin, [(0.08 * x, y, 0.5), (0.11 * x, end, 0.14)], [0.06, 0.032], sides=10)
        arc = curve(
            [
                (0.12 * x, -0.6, 0.22),
                (0.12 * x, -0.34, 0.08),
                (0.12 * x, 0.0, 0.03),
                (0.12 * x, 0.34, 0.08),
                (0.12 * x, 0.6, 0.22),
            ]
        )
        bench.tube(wood, arc, 0.03, flat=1.3)
    for y in (-0.34, 0.34):
        bench.tube(wood, [(-0.13, y, 0.09), (0.13, y, 0.09)], 0.02)
    for step in range(7):
        bench.ball(hair, (0.0, 0.2 + 0.018 * step, 0.72 + 0.045 * step), (0.035, 0.05, 0.05), sides=10, rings=6)
    bench.tube(
        hair,
        curve([(0.0, -0.28, 0.6), (0.0, -0.42, 0.58), (0.0, -0.48, 0.36)]),
        [0.03, 0.04, 0.045, 0.05, 0.05, 0.045, 0.04, 0.03, 0.01],
    )
    bench.ball(leather, (0.0, -0.02, 0.64), (0.135, 0.15, 0.07))


MEMBERS = (
    Member("die", "white die", "tumble", lambda b: die(b, WHITE, BLACK, 0.25)),
    Member("die", "red die", "tumble", lambda b: die(b, RED, WHITE, 0.2)),
    Member("die", "green die", "tumble", lambda b: die(b, TEAL, CREAM, 0.32)),
    Member("blocks", "tower of blocks", "slide", lambda b: blocks(b, "CBA", (RED, BLUE, GREEN), 0.14)),
    Member("blocks", "tall tower of blocks", "slide", lambda b: blocks(b, "TOYS", (ORANGE, PURPLE, TEAL), 0.18)),
    Member("blocks", "letter block", "tumble", lambda b: blocks(b, "K", (CRIMSON,), 0.28)),
    Member("robot", "tin robot", "slide", lambda b: robot(b, STEEL, RED, SKY, tracks=False)),
    Member("robot", "tracked robot", "slide", lambda b: robot(b, YELLOW, CHARCOAL, LIME, tracks=True)),
    Member("robot", "blue robot", "slide", lambda b: robot(b, BLUE, ORANGE, YELLOW, tracks=False)),
    Member("bear", "brown bear", "slide", lambda b: bear(b, BROWN, CREAM, RED)),
    Member("bear", "honey bear", "tumble", lambda b: bear(b, (0.62, 0.48, 0.2), CREAM, BLUE)),
    Member("duck", "rubber duck", "slide", lambda b: duck(b, YELLOW, GOLD, ORANGE, 0.4)),
    Member("duck", "pink duck", "slide", lambda b: duck(b, PINK, CRIMSON, YELLOW, 0.3)),
    Member("duck", "blue duck", "slide", lambda b: duck(b, SKY, NAVY, RED, 0.5)),
    Member("chess piece", "white pawn", "slide", lambda b: chessman(b, "pawn", BEECH, 1.2)),
    Member("chess piece", "black bishop", "slide", lambda b: chessman(b, "bishop", BROWN)),
    Member("chess piece", "white queen", "slide", lambda b: chessman(b, "queen", (1.1, 0.95, 0.7))),
    Member("chess piece", "red rook", "slide", lambda b: chessman(b, "rook", (0.8, 0.2, 0.15), 1.3)),
    Member("top", "spinning top", "spin", lambda b: top(b, (RED, YELLOW, BLUE), OAK, 0.15)),
    Member("top", "green spinning top", "spin", lambda b: top(b, (FOREST, LIME, WHITE, PURPLE), RED, 0.2)),
    Member("snowman", "snowman", "slide", lambda b: snowman(b, (RED, WHITE), BLACK, 1.6)),
    Member("snowman", "small snowman", "slide", lambda b: snowman(b, (BLUE, YELLOW), PURPLE, 1.0)),
    Member("rocking horse", "dappled rocking horse", "slide", lambda b: horse(b, WHITE, GREY, OAK)),
    Member("rocking horse", "chestnut rocking horse", "slide", lambda b: horse(b, (0.6, 0.33, 0.15), BLACK, GREEN)),
)  # fmt: skip
