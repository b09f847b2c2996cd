"""Small things of a household: vases, bottles, mugs, teapots, lamps, clocks, books, globes, fans, plants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from ...paintings import paint
from . import pictures, spheres
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
    GLASS,
    GOLD,
    GREEN,
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
    TERRACOTTA,
    WHITE,
    YELLOW,
)
from .members import Member
from .outlines import Flat, circle, curve, flat, rectangle, smooth


def _turned(points: Sequence[Flat], steps: int = 4) -> list[Flat]:
    """A smooth profile."""
    return flat(smooth(points, steps))


def vase(bench: Bench, profile: Sequence[Flat], ground: Colour, marks: Sequence[Colour], seed: int) -> None:
    """A painted vase; the profile runs from foot to mouth."""
    body = _turned(profile)
    glaze, inside = bench.picture(partial(pictures.bands, ground, marks, seed), 0.25), bench.plain(marks[0], 0.3)
    foot, (mouth, top) = body[0][0], body[-1]
    bench.lathe(inside, [(0.0, 0.0), (foot, 0.0)])
    bench.lathe(glaze, body, sides=32)
    bench.lathe(inside, [(mouth, top), (mouth - 0.012, top + 0.004), (mouth - 0.02, top - 0.02), (0.0, 0.6 * top)])


def bottle(
    bench: Bench, glass: Colour, band: tuple[Colour, Colour, str], cap: Colour, size: tuple[float, float]
) -> None:
    """A bottle with a label and a cap; `size` is its radius and height."""
    radius, height = size
    skin, print_ = bench.plain(glass, 0.15), bench.picture(partial(pictures.label, *band), 0.5)
    shoulder = _turned([(radius, 0.58 * height), (0.93 * radius, 0.66 * height), (0.45 * radius, 0.76 * height),
                        (0.36 * radius, 0.84 * height), (0.36 * radius, 0.93 * height)])  # fmt: skip
    bench.lathe(skin, [(0.0, 0.0), (0.9 * radius, 0.0), (radius, 0.03 * height), *shoulder], sides=28)
    bench.lathe(print_, [(1.01 * radius, 0.15 * height), (1.01 * radius, 0.5 * height)], sides=28)
    bench.post(bench.plain(cap, 0.4), 0.42 * radius, 0.91 * height, height)


def mug(bench: Bench, ground: Colour, marks: Sequence[Colour], seed: int, size: tuple[float, float]) -> None:
    """A mug with its handle; `size` is its radius and height."""
    radius, height = size
    skin, inside = bench.picture(partial(pictures.bands, ground, marks, seed), 0.2), bench.plain(ground, 0.2)
    coffee = bench.plain(BROWN, 0.1)
    bench.lathe(inside, [(0.0, 0.0), (0.9 * radius, 0.0), (0.97 * radius, 0.05 * height)])
    bench.lathe(skin, [(0.97 * radius, 0.05 * height), (radius, height)], sides=32)
    bench.lathe(inside, [(radius, height), (0.92 * radius, height), (0.9 * radius, 0.8 * height)], sides=32)
    bench.lathe(coffee, [(0.9 * radius, 0.82 * height), (0.0, 0.82 * height)], sides=32)
    ear = [(0.95, 0.82), (1.45, 0.85), (1.62, 0.55), (1.4, 0.25), (0.95, 0.2)]
    bench.tube(inside, curve([(r * radius, 0.0, z * height) for r, z in ear]), 0.12 * radius)


def teapot(bench: Bench, ground: Colour, marks: Sequence[Colour], seed: int, size: float) -> None:
    """A teapot with lid, spout and handle."""
    r = size
    skin, plain = bench.picture(partial(pictures.bands, ground, marks, seed), 0.2), bench.plain(ground, 0.2)
    accent = bench.plain(marks[0], 0.3)
    belly = _turned([(0.55 * r, 0.0), (0.9 * r, 0.3 * r), (r, 0.65 * r), (0.8 * r, 1.05 * r), (0.5 * r, 1.25 * r)])
    bench.lathe(plain, [(0.0, 0.0), (0.55 * r, 0.0)])
    bench.lathe(skin, belly, sides=32)
    bench.at(0, 0, 1.25 * r).lathe(accent, _turned([(0.52 * r, 0.0), (0.4 * r, 0.1 * r), (0.08 * r, 0.2 * r)], 3))
    bench.ball(accent, (0.0, 0.0, 1.5 * r), 0.12 * r)
    spout = [(0.0, 0.8 * r, 0.45 * r), (0.0, 1.2 * r, 0.6 * r), (0.0, 1.4 * r, 0.95 * r), (0.0, 1.7 * r, 1.2 * r)]
    path = curve(spout)
    bench.tube(plain, path, [r * (0.24 - 0.15 * step / (len(path) - 1)) for step in range(len(path))], sides=12)
    ear = [(0.0, -0.75, 1.1), (0.0, -1.25, 1.25), (0.0, -1.55, 0.85), (0.0, -1.3, 0.4), (0.0, -0.85, 0.3)]
    bench.tube(accent, curve([(x, y * r, z * r) for x, y, z in ear]), 0.09 * r)


def lamp(bench: Bench, cloth: tuple[Colour, Colour], foot: Colour, size: tuple[float, float, float]) -> None:
    """A lamp with a striped shade on a turned foot; `size` is its shade's radius, its height, its foot's bulge."""
    radius, height, bulge = size
    shade = bench.picture(partial(pictures.stripes, cloth, 12), 0.9, (0.24, 0.24))
    stand, bright = bench.plain(foot, 0.3), bench.plain(YELLOW)
    bench.lathe(stand, [(0.0, 0.0), (0.6 * radius, 0.0), (0.6 * radius, 0.02), (0.05, 0.05)])
    body = [
        (0.05, 0.05),
        (bulge, 0.2 * height),
        (0.6 * bulge, 0.4 * height),
        (0.015, 0.6 * height),
        (0.015, 0.8 * height),
    ]
    bench.lathe(stand, _turned(body))
    bench.lathe(shade, [(radius, 0.62 * height), (0.55 * radius, height)], sides=32)
    bench.lathe(shade, [(0.54 * radius, height), (0.98 * radius, 0.62 * height)], sides=32)
    for z, r in ((0.62 * height, radius), (height, 0.55 * radius)):
        bench.at(0, 0, z).hoop(bench.plain(cloth[1]), r, 0.015)
    bench.ball(bright, (0.0, 0.0, 0.76 * height), 0.18 * radius)


def desk_lamp(bench: Bench, paint: Colour) -> None:
    """A lamp with a jointed arm."""
    skin, steel = bench.plain(paint, 0.3), bench.plain(STEEL, 0.25)
    bench.lathe(skin, [(0.0, 0.0), (0.1, 0.0), (0.1, 0.02), (0.03, 0.035), (0.0, 0.035)])
    elbow, head = (0.0, -0.16, 0.3), (0.0, 0.1, 0.46)
    for shift in (-0.012, 0.012):
        bench.tube(steel, [(shift, 0.0, 0.03), (shift, *elbow[1:])], 0.006)
        bench.tube(steel, [(shift, *elbow[1:]), (shift, *head[1:])], 0.006)
    for joint in (elbow, head):
        bench.at(*joint, roll=90).post(skin, 0.025, -0.03, 0.03)
    cup = bench.at(*head, pitch=35)
    cup.lathe(skin, [(0.1, -0.14), (0.085, -0.08), (0.04, 0.0), (0.035, 0.05), (0.0, 0.05)])
    cup.lathe(bench.plain(WHITE), [(0.04, -0.02), (0.098, -0.138)])
    cup.ball(bench.plain(YELLOW), (0.0, 0.0, -0.08), 0.035)


def alarm_clock(bench: Bench, paint: Colour, face: Colour, hands: Flat) -> None:
    """A round clock with two bells."""
    skin, brass = bench.plain(paint, 0.3), bench.plain(GOLD, 0.25)
    dial = bench.picture(partial(pictures.dial, face, BLACK, hands, numerals=True), 0.4)
    middle = bench.face(0.0, 0.13)
    middle.lathe(skin, [(0.0, -0.05), (0.1, -0.05), (0.11, -0.03), (0.11, 0.035), (0.1, 0.04)], sides=36)
    middle.lathe(dial, [(0.1, 0.036), (0.0, 0.036)], sides=36)
    for side in (-1, 1):
        bench.at(0.06 * side, 0.0, 0.235, roll=25 * side).ball(brass, (0.0, 0.0, 0.0), (0.05, 0.05, 0.04), (0, 90))
        bench.tube(brass, [(0.055 * side, 0.0, 0.06), (0.09 * side, 0.0, 0.0)], 0.012)
    bench.tube(brass, curve([(-0.05, 0.0, 0.27), (0.0, 0.0, 0.32), (0.05, 0.0, 0.27)]), 0.008)
    bench.tube(brass, [(0.0, 0.0, 0.23), (0.0, 0.0, 0.28)], 0.01)


def tall_clock(bench: Bench, wood: Colour, face: Colour, height: float) -> None:
    """A grandfather clock."""
    case, dark = bench.pattern("wood", wood, 0.6, roughness=0.4), bench.plain(BROWN, 0.4)
    brass, glass = bench.plain(GOLD, 0.2), bench.plain(GLASS, 0.1)
    dial = bench.picture(partial(pictures.dial, face, BLACK, (10.15, 9), numerals=True), 0.4)
    bench.box(case, (-0.26, -0.16, 0.0), (0.26, 0.16, 0.24 * height), bevel=0.01)
    bench.box(case, (-0.19, -0.13, 0.24 * height), (0.19, 0.12, 0.72 * height))
    bench.box(case, (-0.25, -0.16, 0.72 * height), (0.25, 0.15, 0.94 * height), bevel=0.01)
    for z in (0.24, 0.71, 0.94):
        bench.box(dark, (-0.28, -0.17, z * height - 0.02), (0.28, 0.17, z * height + 0.02), bevel=0.008)
    bench.face(-0.15).extrude(case, circle(0.24, 13, (0, 0.94 * height), (0, 180)), 0.0, 0.28)
    bench.box(glass, (-0.12, 0.12, 0.3 * height), (0.12, 0.125, 0.68 * height))
    bench.face(0.13, 0.4 * height).lathe(brass, [(0.08, 0.0), (0.07, 0.012), (0.0, 0.012)])
    bench.tube(brass, [(0.0, 0.133, 0.4 * height), (0.0, 0.133, 0.66 * height)], 0.008)
    bench.face(0.15, 0.83 * height).lathe(dial, [(0.19, 0.01), (0.0, 0.01)], sides=36)
    bench.face(0.16, 0.83 * height).hoop(brass, 0.19, 0.025)


def books(bench: Bench, covers: Sequence[tuple[str, str, Colour]], size: tuple[float, float, float]) -> None:
    """A pile of books, each turned a little; `size` is width, depth and thickness."""
    wide, deep, thick = size
    paper = bench.picture(pictures.pages)
    z = 0.0
    for number, (family, title, cloth) in enumerate(covers):
        front = bench.picture(partial(pictures.cover, family, 40 + number + len(title), title, cloth), 0.5)
        back, here = bench.plain(cloth, 0.6), bench.at(0, 0, z, yaw=17.0 * number * (-1) ** number)
        half, low, board = wide / 2, deep / 2, 0.006
        here.box(paper, (-half + 0.012, -low + 0.008, board), (half - 0.008, low - 0.008, thick - board))
        here.box(back, (-half, -low, 0.0), (half, low, board))
        here.box(back, (-half, -low, thick - board), (half, low, thick), faces={"top": front})
        here.box(back, (-half - 0.004, -low, 0.0005), (-half + 0.006, low, thick - 0.0005), bevel=0.003)
        z += thick + 0.001


def globe(bench: Bench, sea: Colour, land: Colour, foot: Colour, radius: float) -> None:
    """A globe on its stand, its axis tilted."""
    stand = bench.pattern("wood", foot, 0.3, roughness=0.3)
    brass, z = bench.plain(GOLD, 0.2), 1.75 * radius
    bench.lathe(stand, [(0.0, 0.0), (0.75 * radius, 0.0), (0.7 * radius, 0.1 * radius), (0.12 * radius, 0.2 * radius),
                        (0.1 * radius, 0.55 * radius), (0.0, 0.55 * radius)])  # fmt: skip
    tilted = bench.at(0, 0, z, roll=23.4)
    tilted.ball(bench.picture(partial(spheres.earth, sea, land), 0.3), (0.0, 0.0, 0.0), radius, sides=36, rings=18)
    arc = circle(1.12 * radius, 25, (0, 0), (-90, 90))
    tilted.tube(brass, [(x, 0.0, y) for x, y in arc], 0.045 * radius)
    for end in (-1, 1):
        tilted.tube(brass, [(0.0, 0.0, end * 0.98 * radius), (0.0, 0.0, end * 1.17 * radius)], 0.04 * radius)


def fan(bench: Bench, paint: Colour, blade: Colour, height: float) -> None:
    """A fan in its cage on a stand."""
    skin, steel, wings = bench.plain(paint, 0.35), bench.plain(STEEL, 0.2), bench.plain(blade, 0.3)
    bench.lathe(skin, [(0.0, 0.0), (0.18, 0.0), (0.18, 0.02), (0.03, 0.05), (0.0, 0.05)])
    bench.post(steel, 0.016, 0.04, height - 0.08)
    head = bench.face(0.0, height)
    head.lathe(skin, [(0.0, -0.16), (0.06, -0.15), (0.075, -0.02), (0.0, -0.02)])
    for level, radius in ((-0.02, 0.2), (0.02, 0.22), (0.06, 0.2), (0.08, 0.07)):
        head.at(0, 0, level).hoop(steel, radius, 0.008, sides=36)
    for spoke in range(24):
        turned = head.at(yaw=15.0 * spoke)
        turned.tube(steel, [(0.05, 0.0, 0.08), (0.2, 0.0, 0.06), (0.22, 0.0, 0.02), (0.2, 0.0, -0.02)], 0.003, sides=5)
        if spoke % 8 == 0:
            turned.tube(wings, [(0.02, 0.0, 0.02), (0.1, 0.05, 0.03), (0.19, 0.04, 0.02)],
                                            [0.03, 0.07, 0.06], sides=8, flat=0.08)  # fmt: skip
    head.post(skin, 0.05, 0.0, 0.09, taper=0.8)


def bush(
    bench: Bench, pot: tuple[Colour, Colour, int], green: tuple[Colour, Colour], size: tuple[float, float, int]
) -> None:
    """A plant of long leaves in a painted pot; `size` is the pot's radius, the leaves' length and number."""
    radius, length, number = size
    _pot(bench, pot, radius)
    skin = bench.picture(partial(pictures.leaf, *green), 0.5)
    for each in range(number):
        lift = 35 + 45 * ((each * 7) % number) / number
        out, up = math.cos(math.radians(lift)), math.sin(math.radians(lift))
        long = length * (0.75 + 0.25 * ((each * 5) % number) / number)
        path = curve([(0.0, 0.02, 1.4 * radius), (0.0, 0.5 * long * out, 1.4 * radius + 0.55 * long * up),
                      (0.0, long * (out + 0.12), 1.4 * radius + long * up * (0.95 - 0.45 * out))])  # fmt: skip
        widths = [
            0.1 * length * (0.12 + math.sin(math.pi * (0.06 + 0.9 * step / (len(path) - 1))))
            for step in range(len(path))
        ]
        bench.at(yaw=360 * each / number + 20 * (each % 3)).tube(skin, path, widths, sides=6, flat=0.12)


def _pot(bench: Bench, pot: tuple[Colour, Colour, int], radius: float) -> None:
    ground, mark, seed = pot
    clay, soil = (
        bench.picture(partial(pictures.bands, ground, (mark, CREAM), seed), 0.7),
        bench.pattern("bark", BROWN, 0.3),
    )
    plain = bench.plain(ground, 0.7)
    bench.lathe(plain, [(0.0, 0.0), (0.7 * radius, 0.0)])
    bench.lathe(clay, [(0.7 * radius, 0.0), (0.95 * radius, 1.3 * radius)], sides=28)
    bench.lathe(plain, [(1.05 * radius, 1.3 * radius), (1.05 * radius, 1.5 * radius), (0.9 * radius, 1.5 * radius),
                        (0.9 * radius, 1.4 * radius)])  # fmt: skip
    bench.lathe(soil, [(0.92 * radius, 1.4 * radius), (0.0, 1.42 * radius)])


def cactus(bench: Bench, pot: tuple[Colour, Colour, int], green: Colour, height: float) -> None:
    """A ribbed cactus with arms and a flower."""
    radius = 0.28 * height
    _pot(bench, pot, radius)
    skin = bench.picture(partial(pictures.stripes, (green, (0.6 * green[0], 0.6 * green[1], 0.6 * green[2])), 24), 0.8)
    trunk = bench.at(0, 0, 1.35 * radius)
    thick = 0.5 * radius
    trunk.lathe(skin, [(thick, 0.0), (1.1 * thick, 0.4 * height), (thick, 0.75 * height)], sides=20)
    trunk.ball(skin, (0.0, 0.0, 0.75 * height), (thick, thick, 0.8 * thick), (0, 90))
    for side, start in ((-1, 0.25), (1, 0.4)):
        bend = [
            (0.6 * thick, start),
            (2.0 * thick, start + 0.02),
            (2.4 * thick, start + 0.15),
            (2.4 * thick, start + 0.35),
        ]
        path = curve([(side * x, 0.0, z * height) for x, z in bend])
        trunk.tube(skin, path, 0.5 * thick, sides=12)
        trunk.ball(skin, (side * 2.4 * thick, 0.0, (start + 0.35) * height), 0.5 * thick)
    for petal in range(6):
        trunk.at(0, 0, 0.75 * height + 0.75 * thick, yaw=60 * petal).tube(
            bench.plain(PINK), [(0.0, 0.0, 0.0), (0.0, 0.5 * thick, 0.35 * thick), (0.0, 0.9 * thick, 0.4 * thick)],
            [0.1 * thick, 0.3 * thick, 0.1 * thick], flat=0.2,
        )  # fmt: skip


def flowers(bench: Bench, pot: tuple[Colour, Colour, int], petals: Sequence[Colour], height: float) -> None:
    """Daisies in a pot."""
    radius = 0.2 * height
    _pot(bench, pot, radius)
    green, heart = bench.plain(GREEN), bench.plain(YELLOW)
    for each in range(9):
        angle, reach = 2.4 * each, radius * (0.3 + 0.17 * each)
        x, y, z = reach * math.cos(angle), reach * math.sin(angle), height * (1.0 - 0.045 * each)
        bench.tube(
            green, curve([(0.2 * x, 0.2 * y, 1.4 * radius), (0.8 * x, 0.8 * y, 0.7 * z), (x, y, z)]), 0.02 * height
        )
        head = bench.at(x, y, z, yaw=50.0 * each, pitch=20)
        head.ball(heart, (0.0, 0.0, 0.0), (0.05 * height, 0.05 * height, 0.03 * height), sides=10, rings=6)
        skin = bench.plain(petals[each % len(petals)])
        for petal in range(8):
            head.at(yaw=45 * petal).tube(
                skin, [(0.0, 0.03 * height, 0.0), (0.0, 0.09 * height, 0.015 * height), (0.0, 0.14 * height, 0.0)],
                [0.012 * height, 0.032 * height, 0.014 * height], sides=5, flat=0.25,
            )  # fmt: skip


def frame(bench: Bench, family: str, wood: Colour, size: Flat) -> None:
    """A framed painting that stands on its foot."""
    wide, high = size[0] / 2, size[1]
    edge = bench.pattern("wood", wood, 0.3, roughness=0.4)
    art = bench.picture(partial(paint, family, 77 + round(100 * high), 224, round(224 * high / size[0])), 0.6)
    tilted = bench.at(pitch=-8)
    tilted.box(bench.plain(BROWN), (-wide + 0.005, -0.01, 0.005), (wide - 0.005, 0.0, high - 0.005))
    for low, high_ in (((-wide, 0.0), (-wide + 0.05, high)), ((wide - 0.05, 0.0), (wide, high))):
        tilted.box(edge, (low[0], -0.01, low[1]), (high_[0], 0.03, high_[1]), bevel=0.006)
    for z in (0.0, high - 0.05):
        tilted.box(edge, (-wide + 0.04, -0.01, z), (wide - 0.04, 0.03, z + 0.05), bevel=0.006)
    tilted.box(edge, (-wide + 0.05, 0.0, 0.05), (wide - 0.05, 0.012, high - 0.05), faces={"front": art})
    bench.tube(edge, [(0.0, -0.13 * high, 0.6 * high), (0.0, -0.4 * high, 0.01)], 0.012)


def screen(bench: Bench, case: Colour, ground: Colour, ink: Colour, width: float) -> None:
    """A computer's screen on its foot."""
    shell = bench.plain(case, 0.4)
    shown = bench.picture(partial(pictures.screen, ground, ink), 0.2)
    half, high = width / 2, 0.62 * width
    bench.extrude(
        shell, rectangle((-0.25 * width, -0.2 * width), (0.25 * width, 0.15 * width), 0.05), 0.0, 0.015, bevel=0.004
    )
    bench.box(shell, (-0.06 * width, -0.12 * width, 0.01), (0.06 * width, -0.06 * width, 0.4 * width))
    bench.box(shell, (-half, -0.07 * width, 0.18 * width), (half, 0.0, 0.18 * width + high), bevel=0.012)
    bench.box(
        shell, (-half + 0.02, 0.0, 0.2 * width), (half - 0.02, 0.003, 0.16 * width + high), faces={"front": shown}
    )


MEMBERS = (
    Member("vase", "blue and white vase", "spin", lambda b: vase(
        b, [(0.07, 0.0), (0.13, 0.12), (0.15, 0.22), (0.08, 0.36), (0.055, 0.42), (0.085, 0.47)],
        WHITE, (BLUE, NAVY), 1)),
    Member("vase", "slim vase", "spin", lambda b: vase(
        b, [(0.06, 0.0), (0.055, 0.1), (0.09, 0.4), (0.07, 0.55), (0.09, 0.62)], TEAL, (GOLD, CREAM), 2)),
    Member("vase", "clay amphora", "spin", lambda b: vase(
        b, [(0.08, 0.0), (0.2, 0.25), (0.22, 0.42), (0.1, 0.6), (0.09, 0.68), (0.13, 0.72)],
        TERRACOTTA, (BLACK, BROWN), 4)),
    Member("vase", "round bowl", "spin", lambda b: vase(
        b, [(0.08, 0.0), (0.16, 0.06), (0.19, 0.15), (0.15, 0.22)], PURPLE, (PINK, YELLOW, WHITE), 5)),
    Member("bottle", "wine bottle", "tumble", lambda b: bottle(
        b, FOREST, (CREAM, CRIMSON, "ROUGE"), CRIMSON, (0.04, 0.32))),
    Member("bottle", "milk bottle", "tumble", lambda b: bottle(b, WHITE, (SKY, BLUE, "MILK"), RED, (0.055, 0.26))),
    Member("bottle", "giant cola bottle", "tumble", lambda b: bottle(
        b, (0.2, 0.09, 0.05), (WHITE, RED, "COLA"), RED, (0.1, 0.55))),
    Member("bottle", "water bottle", "tumble", lambda b: bottle(b, SKY, (BLUE, TEAL, "AQUA"), WHITE, (0.045, 0.3))),
    Member("mug", "striped mug", "spin", lambda b: mug(b, WHITE, (RED, NAVY), 2, (0.06, 0.13))),
    Member("mug", "spotted mug", "spin", lambda b: mug(b, YELLOW, (BLUE, WHITE), 3, (0.055, 0.1))),
    Member("mug", "tall green mug", "spin", lambda b: mug(b, GREEN, (CREAM, ORANGE), 4, (0.05, 0.16))),
    Member("teapot", "white teapot", "spin", lambda b: teapot(b, WHITE, (BLUE, SKY), 3, 0.14)),
    Member("teapot", "red teapot", "spin", lambda b: teapot(b, RED, (GOLD, CREAM), 2, 0.12)),
    Member("teapot", "brown teapot", "spin", lambda b: teapot(b, BROWN, (CREAM, ORANGE), 5, 0.16)),
    Member("lamp", "floor lamp", "slide", lambda b: lamp(b, (CREAM, GOLD), CHARCOAL, (0.26, 1.5, 0.03))),
    Member("lamp", "table lamp", "spin", lambda b: lamp(b, (RED, CREAM), TEAL, (0.2, 0.6, 0.12))),
    Member("lamp", "bedside lamp", "spin", lambda b: lamp(b, (BLUE, WHITE), COPPER, (0.15, 0.42, 0.08))),
    Member("desk lamp", "red desk lamp", "spin", lambda b: desk_lamp(b, RED)),
    Member("desk lamp", "black desk lamp", "spin", lambda b: desk_lamp(b, CHARCOAL)),
    Member("clock", "red alarm clock", "spin", lambda b: alarm_clock(b, RED, WHITE, (10.2, 10))),
    Member("clock", "green alarm clock", "spin", lambda b: alarm_clock(b, GREEN, CREAM, (4.5, 30))),
    Member("clock", "grandfather clock", "slide", lambda b: tall_clock(b, BROWN, CREAM, 1.9)),
    Member("clock", "oak longcase clock", "slide", lambda b: tall_clock(b, OAK, WHITE, 1.6)),
    Member("book", "book of paintings", "tumble", lambda b: books(b, [("landscape", "ART", NAVY)], (0.24, 0.32, 0.05))),
    Member("book", "red novel", "tumble", lambda b: books(b, [("strokes", "NOVEL", CRIMSON)], (0.18, 0.26, 0.06))),
    Member("book", "pile of books", "slide", lambda b: books(
        b, [("poster", "ATLAS", GREEN), ("mosaic", "GLASS", NAVY), ("marble", "STONE", CRIMSON),
            ("landscape", "HILLS", TEAL)], (0.24, 0.32, 0.06))),
    Member("globe", "globe", "spin", lambda b: globe(b, (0.2, 0.45, 0.75), (0.45, 0.6, 0.3), BROWN, 0.17)),
    Member("globe", "antique globe", "spin", lambda b: globe(b, CREAM, (0.7, 0.5, 0.3), OAK, 0.26)),
    Member("fan", "white fan", "spin", lambda b: fan(b, WHITE, SKY, 0.55)),
    Member("fan", "standing fan", "slide", lambda b: fan(b, CHARCOAL, RED, 1.15)),
    Member("plant", "palm in a pot", "slide", lambda b: bush(
        b, (TERRACOTTA, BROWN, 2), (FOREST, LIME), (0.16, 0.9, 16))),
    Member("plant", "aloe", "spin", lambda b: bush(b, (BLUE, WHITE, 3), (GREEN, LIME), (0.1, 0.35, 20))),
    Member("plant", "cactus", "spin", lambda b: cactus(b, (TERRACOTTA, ORANGE, 4), GREEN, 0.6)),
    Member("plant", "daisies", "spin", lambda b: flowers(b, (PINK, PURPLE, 5), (WHITE, PINK, YELLOW), 0.5)),
    Member("picture", "landscape in a frame", "slide", lambda b: frame(b, "landscape", GOLD, (0.8, 0.6))),
    Member("picture", "mosaic in a frame", "slide", lambda b: frame(b, "mosaic", BEECH, (0.5, 0.7))),
    Member("screen", "black screen", "spin", lambda b: screen(b, CHARCOAL, TEAL, NAVY, 0.6)),
    Member("screen", "white screen", "spin", lambda b: screen(b, WHITE, PURPLE, ORANGE, 0.5)),
)  # fmt: skip
