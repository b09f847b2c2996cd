"""A furnished room with a window, seen from near one of its walls."""

from __future__ import annotations

from ..cameras import Vector
from ..streams import choice, count, uniform
from .config import PlaceConfig
from .furniture import PIECES, chair, floor_lamp, picture, plant, table, timber
from .geometry import AHEAD, turned, unit
from .kit import Kit, Opening
from .outdoors import tree
from .scenes import Colour, LampSpec, Turn
from .stage import Stage

SKIRTING = 0.09
"""Height of a skirting board."""
WALL = 0.25
"""Thickness of a wall."""


def room(config: PlaceConfig, kit: Kit, lamp_colour: Colour) -> Stage:
    """Build a room between x = -width/2 and width/2, y = 0 and its depth; the camera stands near y = 0.

    Args:
        config: what it may look like.
        kit: where it is built.
        lamp_colour: colour of its lamps.
    """
    rng = kit.rng
    width, depth, height = uniform(rng, (4.2, 6.0)), uniform(rng, (4.8, 7.0)), uniform(rng, (2.5, 3.0))
    _shell(kit, width, depth, height)
    window_wall = choice(rng, ("back", "left", "right"))
    trim = kit.surface(("paint", "wood"), kit.warm_tint((0.0, 0.3), (0.6, 1.0)), (1.5, 1.5))
    kinds = choice(rng, ("wallpaper", "plaster", "wallpaper", "planks", "brick")), choice(rng, ("wallpaper", "plaster"))
    papers = [kit.surface(kind, kit.tint((0.05, 0.25), (0.85, 1.0)), (2.7, 2.7)) for kind in kinds]
    walls: list[tuple[str, Kit, float, int]] = [
        ("back", kit.at(-width / 2, depth), width, papers[0]),
        ("left", kit.at(-width / 2, 0, 0, turned(90)), depth, papers[1]),
        ("right", kit.at(width / 2, depth, 0, turned(-90)), depth, papers[1]),
    ]
    pieces, pictures = count(rng, config.furniture), count(rng, config.pictures)
    for name, wall, length, paper in walls:
        window: Opening | None = None
        if name == window_wall:
            # On a side wall the window is in the half that the camera sees.
            far = {"back": length / 2, "left": length * 0.68, "right": length * 0.32}[name]
            middle, half = far + uniform(rng, (-0.3, 0.3)), uniform(rng, (0.65, 1.0))
            window = middle - half, middle + half
        low, high = uniform(rng, (0.75, 0.95)), height - uniform(rng, (0.3, 0.5))
        wall.wall(paper, length, height, WALL, [(window, [(low, high)])] if window else [])
        wall.box(trim, (0, -0.015, 0), (length, 0, SKIRTING))
        if window:
            _window(wall, trim, window, low, high, lamp_colour)
        share = {"back": 0.4, "left": 0.3, "right": 0.3}[name]
        reach = (0.1, length - 0.1) if name == "back" else (1.9, length - 0.5)
        if name == "right":
            reach = 0.5, length - 1.9
        _furnish(wall, reach, round(pieces * share), round(pictures * share + 0.2), window)
    _middle(kit, width, depth)
    lamp = (0.15 * width * (rng.random() - 0.5), uniform(rng, (0.4, 0.6)) * depth, height)
    _pendant(config, kit, lamp, lamp_colour)
    # Light that comes back from the part of the room behind the camera.
    place, direction = (0.0, 0.4, height - 0.1), unit((0.0, 0.5, -0.87))
    kit.lamps.append(LampSpec("area", place, direction, (width * 0.6, 0.5), 25.0, (1.0, 1.0, 1.0)))
    _garden(kit, width, depth)
    eye = (uniform(rng, (-0.28, 0.28)) * width, uniform(rng, (0.45, 0.9)), uniform(rng, (1.3, 1.7)))
    # Looks towards the middle of the room rather than along the wall at its side.
    pan = 45 * eye[0] / width + uniform(rng, (-8, 8))
    return Stage(eye, pan, uniform(rng, (-9, -2)))


def _shell(kit: Kit, width: float, depth: float, height: float) -> None:
    """Floor, ceiling and the wall behind the camera."""
    floor = kit.surface(
        ("planks", "tiles", "planks"), kit.warm_tint((0.15, 0.55), (0.65, 1.0)), (2.6, 2.6), roughness=0.45
    )
    ceiling = kit.surface(("plaster", "planks"), kit.warm_tint((0.0, 0.12), (0.9, 1.0)), (2.4, 2.4))
    x, wall = width / 2 + WALL, WALL
    kit.box(floor, (-x, -wall, -0.2), (x, depth + wall, 0))
    kit.box(ceiling, (-x, -wall, height), (x, depth + wall, height + 0.2))
    kit.box(ceiling, (-x, -wall, 0), (x, 0, height))


def _window(wall: Kit, trim: int, window: Opening, low: float, high: float, colour: Colour) -> None:
    """Frame, bars, sill and curtains of a window, and the light that comes in."""
    left, right = window
    for x in (left, (left + right) / 2 - 0.025, right - 0.05):
        wall.box(trim, (x, 0.08, low), (x + 0.05, 0.13, high))
    for z in (low, low + 0.68 * (high - low), high - 0.05):
        wall.box(trim, (left + 0.05, 0.085, z), (right - 0.05, 0.125, z + 0.05))
    wall.box(trim, (left - 0.06, -0.12, low - 0.04), (right + 0.06, 0, low))
    cloth = wall.surface("fabric", wall.tint((0.15, 0.5), (0.75, 1.0)), (0.8, 0.8))
    wall.cylinder(trim, (left - 0.4, -0.1, high + 0.09), (right + 0.4, -0.07, high + 0.12), axis=0)
    for start in (left - 0.35, right - 0.02):
        for fold in range(5):
            x = start + fold * 0.075
            wall.cylinder(cloth, (x, -0.13, 0.12), (x + 0.085, -0.045, high + 0.1))
    inward = wall.place((0, -1, 0)), wall.place((0, 0, 0))
    direction = (inward[0][0] - inward[1][0], inward[0][1] - inward[1][1], 0.0)
    place = wall.place(((left + right) / 2, 0.2, (low + high) / 2))
    day = (1 - 0.3 * (1 - colour[2]), 1.0, 1.0)
    wall.lamps.append(LampSpec("area", place, direction, (right - left, high - low), 110, day))


def _furnish(wall: Kit, reach: tuple[float, float], pieces: int, pictures: int, window: Opening | None) -> None:
    """Furniture along a wall from left to right, and pictures where the wall is free."""
    names = list(PIECES)
    x = reach[0] + uniform(wall.rng, (0.0, 0.4))
    free: list[float] = []
    for _ in range(pieces):
        name = choice(wall.rng, names)
        build, widths, tall = PIECES[name]
        width = uniform(wall.rng, widths)
        covers = window is not None and x < window[1] + 0.4 and x + width > window[0] - 0.4
        if x + width > reach[1] or (tall and covers):
            name, tall = "plant", False
            build, widths, _ = PIECES[name]
            width = widths[0]
        if x + width > reach[1]:
            break
        build(wall.at(x + width / 2, -0.02), width)
        if not tall and not covers:
            free.append(x + width / 2)
        x += width + uniform(wall.rng, (0.1, 0.6))
        if name in ("door", "sofa"):
            names.remove(name)
    while x < reach[1] - 0.4:
        if window is None or not window[0] - 0.8 < x + 0.4 < window[1] + 0.8:
            free.append(x + 0.4)
        x += 1.0
    for place in free[: max(1, pictures)]:
        wide, high = uniform(wall.rng, (0.45, 0.8)), uniform(wall.rng, (0.4, 0.75))
        picture(wall.at(place, 0, uniform(wall.rng, (1.6, 1.8))), wide, high)


def _middle(kit: Kit, width: float, depth: float) -> None:
    """Rug, table and chairs, and something close to the camera at one side."""
    rng = kit.rng
    x, y = uniform(rng, (-0.12, 0.12)) * width, uniform(rng, (0.45, 0.6)) * depth
    turn = turned(uniform(rng, (-25, 25)))
    rug = kit.surface("carpet", kit.tint((0.2, 0.6), (0.7, 1.0)), fitted=True, roughness=1.0)
    kit.at(x, y, 0, turn).box(rug, (-1.3, -0.9, 0), (1.3, 0.9, 0.015))
    table(kit.at(x, y, 0.015, turn))
    side = choice(rng, (-1.0, 1.0))
    near = kit.at(side * uniform(rng, (0.26, 0.36)) * width, uniform(rng, (2.0, 2.5)), 0, _any_turn(kit))
    match int(rng.random() * 4):
        case 0:
            floor_lamp(near, 0)
        case 1:
            plant(near, 0)
        case 2:
            cloth = near.surface("fabric", near.tint((0.2, 0.6), (0.6, 1.0)), (0.5, 0.5))
            chair(near, timber(near), cloth)
        case _:
            pillar = near.surface(("brick", "stone", "plaster", "wood"), near.warm_tint((0.1, 0.5), (0.6, 1)), (1, 1))
            near.box(pillar, (-0.12, -0.12, 0), (0.12, 0.12, 2.45))


def _any_turn(kit: Kit) -> Turn:
    return turned(uniform(kit.rng, (-180, 180)))


def _pendant(config: PlaceConfig, kit: Kit, top: Vector, colour: Colour) -> None:
    """A lamp that hangs from the ceiling."""
    x, y, z = top
    drop = uniform(kit.rng, (0.4, 0.7))
    cord = kit.surface("paint", (0.3, 0.3, 0.3), (0.5, 0.5))
    shade = kit.surface(("fabric", "mosaic", "poster"), kit.warm_tint((0.1, 0.6), (0.8, 1.0)), (0.5, 0.5))
    kit.post(cord, (x, y, z - drop), 0.01, drop)
    kit.post(shade, (x, y, z - drop - 0.2), 0.22, 0.22, taper=0.35)
    energy = uniform(kit.rng, config.lamp_energy)
    kit.lamps.append(LampSpec("point", kit.place((x, y, z - drop - 0.32)), (0, 0, -1), (0.1, 0.1), energy, colour))


def _garden(kit: Kit, width: float, depth: float) -> None:
    """What can be seen through the window."""
    grass = kit.surface("grass", (1, 1, 1), (4, 4))
    kit.box(grass, (-40, -40, -0.8), (40, 40, -0.6))
    hedge = kit.surface("leaves", (0.8, 1, 0.8), (1.5, 1.5))
    away = 5.0
    far = width / 2 + away
    for x, y, turn in ((0.0, depth + away, AHEAD), (-far, depth / 2, turned(90)), (far, depth / 2, turned(-90))):
        side = kit.at(x, y, -0.6, turn)
        side.box(hedge, (-12, 0, 0), (12, 0.6, 1.5))
        for along in (-2.5, 2.0):
            tree(side.at(along + uniform(kit.rng, (-1, 1)), -1.0), 3.5)
