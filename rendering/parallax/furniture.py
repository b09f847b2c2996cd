"""What stands in a room. Each piece is built at a kit's place: its front faces -y, its back is at y = 0, x is centred.

Lengths in metres.
"""

from __future__ import annotations

from collections.abc import Callable

from ..paintings import FAMILIES
from ..streams import uniform
from .geometry import turned
from .kit import Kit

CLOTHS = ("fabric", "marble", "poster", "mosaic")
"""Surfaces of books, boxes and toys."""


def timber(kit: Kit) -> int:
    """A wooden surface."""
    return kit.surface("wood", kit.warm_tint((0.25, 0.65), (0.5, 1.0)), (1.2, 1.2), roughness=0.5)


def shelf(kit: Kit, width: float) -> None:
    """Open shelves full of books, boxes and balls."""
    wood, height, depth = timber(kit), uniform(kit.rng, (1.6, 2.1)), 0.32
    left, right = -width / 2, width / 2
    kit.box(wood, (left, -0.02, 0), (right, 0, height))
    for side in (left, right - 0.03):
        kit.box(wood, (side, -depth, 0), (side + 0.03, -0.02, height))
    levels = 4 + int(kit.rng.random() * 2)
    covers = kit.several(6, CLOTHS, (0.6, 1.0))
    for level in range(levels + 1):
        z = level * (height - 0.03) / levels
        kit.box(wood, (left + 0.03, -depth, z), (right - 0.03, -0.02, z + 0.03))
        if level < levels:
            _fill(kit, covers, (left + 0.04, right - 0.04), z + 0.03, (height - 0.03) / levels - 0.06)


def _fill(kit: Kit, covers: list[int], ends: tuple[float, float], z: float, room: float) -> None:
    """One shelf's contents, from left to right."""
    x = ends[0]
    while x < ends[1] - 0.2:
        cover = covers[int(kit.rng.random() * len(covers))]
        kind = kit.rng.random()
        if kind < 0.65:
            wide, tall = uniform(kit.rng, (0.03, 0.08)), room * uniform(kit.rng, (0.6, 0.95))
            kit.box(cover, (x, -0.28, z), (x + wide, -0.06, z + tall))
        elif kind < 0.85:
            wide, tall = uniform(kit.rng, (0.14, 0.2)), room * uniform(kit.rng, (0.35, 0.8))
            kit.box(cover, (x, -0.3, z), (x + wide, -0.06, z + tall))
        else:
            wide = min(0.18, room * 0.8)
            kit.ball(cover, (x + wide / 2, -0.17, z + wide / 2), wide / 2)
        x += wide + 0.012


def cabinet(kit: Kit, width: float) -> None:
    """A low cabinet with doors, and things on it."""
    wood, front = timber(kit), timber(kit)
    height, depth = uniform(kit.rng, (0.7, 0.95)), 0.45
    left = -width / 2
    kit.box(wood, (left, -depth, 0.08), (-left, 0, height))
    kit.box(wood, (left + 0.04, -depth + 0.05, 0), (-left - 0.04, 0, 0.08))
    doors = max(2, round(width / 0.45))
    knob = kit.surface("paint", (0.8, 0.7, 0.4), (0.3, 0.3))
    for door in range(doors):
        x, wide = left + door * width / doors, width / doors
        kit.box(front, (x + 0.015, -depth - 0.02, 0.1), (x + wide - 0.015, -depth, height - 0.03))
        kit.ball(knob, (x + wide * (0.85 if door % 2 == 0 else 0.15), -depth - 0.035, height * 0.6), 0.018)
    x = left + 0.15
    while x < -left - 0.25:
        trinket(kit.at(x, -0.22, height))
        x += uniform(kit.rng, (0.25, 0.5))


def trinket(kit: Kit) -> None:
    """Something small on its own: a vase, a stack of books, a box, a ball, a standing picture."""
    (cover,) = kit.several(1, (*CLOTHS, "tiles", "wood"), (0.6, 1.0))
    match int(kit.rng.random() * 5):
        case 0:
            radius = uniform(kit.rng, (0.05, 0.09))
            kit.post(cover, (0, 0, 0), radius, 0.13, taper=1.4)
            kit.post(cover, (0, 0, 0.13), radius * 1.4, 0.12, taper=0.4)
        case 1:
            for level, other in enumerate(kit.several(3, CLOTHS, (0.6, 1.0))):
                book = kit.at(0, 0, level * 0.045, turned(uniform(kit.rng, (-25, 25))))
                book.box(other, (-0.13, -0.09, 0), (0.13, 0.09, 0.04))
        case 2:
            box = kit.at(0, 0, 0, turned(uniform(kit.rng, (-40, 40))))
            box.box(cover, (-0.1, -0.08, 0), (0.1, 0.08, uniform(kit.rng, (0.1, 0.3))))
        case 3:
            kit.ball(cover, (0, 0, 0.1), 0.1)
        case _:
            wood = timber(kit)
            art = kit.surface(tuple(FAMILIES), (1, 1, 1), fitted=True)
            kit.box(wood, (-0.12, 0, 0), (0.12, 0.02, 0.3))
            kit.box(art, (-0.1, -0.005, 0.02), (0.1, 0, 0.28))


def sofa(kit: Kit, width: float) -> None:
    """A sofa with arms and cushions."""
    cloth = kit.surface("fabric", kit.tint((0.1, 0.5), (0.6, 1.0)), (0.7, 0.7), roughness=0.95)
    left = -width / 2
    kit.box(cloth, (left, -0.85, 0.06), (-left, 0, 0.42))
    kit.box(cloth, (left, -0.25, 0.42), (-left, 0, 0.85), taper=(1, 0.7))
    for side in (left, -left - 0.18):
        kit.box(cloth, (side, -0.87, 0.06), (side + 0.18, -0.02, 0.62))
    for number, cover in enumerate(kit.several(3, ("fabric", "mosaic", "poster"), (0.7, 1.0))):
        x = left + 0.4 + number * (width - 0.8) / 2
        cushion = kit.at(x, -0.4, 0.42, turned(uniform(kit.rng, (-20, 20))))
        cushion.box(cover, (-0.2, -0.1, 0), (0.2, 0.06, 0.38), taper=(0.85, 0.35))


def floor_lamp(kit: Kit, _width: float) -> None:
    """A lamp on a pole."""
    metal = kit.surface("paint", kit.warm_tint((0.2, 0.5), (0.3, 0.6)), (0.5, 0.5), roughness=0.4)
    shade = kit.surface(("fabric", "plaster"), kit.warm_tint((0.1, 0.5), (0.9, 1.0)), (0.5, 0.5))
    kit.post(metal, (0, -0.3, 0), 0.17, 0.03)
    kit.post(metal, (0, -0.3, 0.03), 0.018, 1.4)
    kit.post(shade, (0, -0.3, 1.35), 0.25, 0.32, taper=0.6)


def plant(kit: Kit, _width: float) -> None:
    """A plant in a pot."""
    clay = kit.surface(("tiles", "plaster", "mosaic"), kit.warm_tint((0.3, 0.7), (0.6, 0.9)), (0.6, 0.6))
    green = kit.surface("leaves", (uniform(kit.rng, (0.6, 1)), 1, uniform(kit.rng, (0.6, 1))), (0.9, 0.9))
    stem = kit.surface("bark", (0.7, 0.6, 0.4), (0.5, 0.5))
    kit.post(clay, (0, -0.3, 0), 0.15, 0.34, taper=1.35)
    kit.post(stem, (0, -0.3, 0.3), 0.03, 0.5)
    for _ in range(18):
        x, y, z = (uniform(kit.rng, bounds) for bounds in ((-0.24, 0.24), (-0.5, -0.12), (0.6, 1.35)))
        kit.ball(green, (x, y, z), uniform(kit.rng, (0.06, 0.12)), flat=uniform(kit.rng, (0.6, 1.1)))


def door(kit: Kit, _width: float) -> None:
    """A closed door in its frame."""
    panel = kit.surface("planks", kit.warm_tint((0.1, 0.6), (0.5, 1.0)), (1.8, 1.6))
    frame = timber(kit)
    for side in (-0.5, 0.42):
        kit.box(frame, (side, -0.05, 0), (side + 0.08, 0, 2.08))
    kit.box(frame, (-0.42, -0.05, 2.0), (0.42, 0, 2.08))
    kit.box(panel, (-0.42, -0.02, 0), (0.42, 0, 2.0))
    for x, z in ((-0.3, 0.15), (0.06, 0.15), (-0.3, 1.05), (0.06, 1.05)):
        kit.box(frame, (x, -0.035, z), (x + 0.24, -0.02, z + 0.8))
    kit.ball(kit.surface("paint", (0.8, 0.7, 0.4), (0.3, 0.3)), (0.36, -0.06, 1.0), 0.03)


def picture(kit: Kit, width: float, height: float) -> None:
    """A framed painting; its middle is at the kit's place."""
    frame = kit.surface(("wood", "marble"), kit.warm_tint((0.1, 0.6), (0.35, 0.9)), (0.6, 0.6), roughness=0.5)
    art = kit.surface(tuple(FAMILIES), (1, 1, 1), fitted=True, roughness=0.6)
    x, z = width / 2, height / 2
    for side in (-x, x - 0.05):
        kit.box(frame, (side, -0.045, -z), (side + 0.05, 0, z))
    for level in (-z, z - 0.05):
        kit.box(frame, (0.05 - x, -0.045, level), (x - 0.05, 0, level + 0.05))
    kit.box(art, (0.05 - x, -0.02, 0.05 - z), (x - 0.05, 0, z - 0.05))


def table(kit: Kit) -> None:
    """A table with things on it and chairs around; its middle is at the kit's place."""
    wood = timber(kit)
    wide, deep, high = uniform(kit.rng, (1.1, 1.7)) / 2, uniform(kit.rng, (0.7, 0.95)) / 2, 0.74
    kit.box(wood, (-wide, -deep, high - 0.045), (wide, deep, high))
    for x in (-wide + 0.04, wide - 0.11):
        for y in (-deep + 0.04, deep - 0.11):
            kit.box(wood, (x, y, 0), (x + 0.07, y + 0.07, high - 0.045))
    for _ in range(4):
        x, y = uniform(kit.rng, (-wide + 0.2, wide - 0.2)), uniform(kit.rng, (-deep + 0.15, deep - 0.15))
        trinket(kit.at(x, y, high))
    seat = timber(kit), kit.surface("fabric", kit.tint((0.2, 0.6), (0.6, 1.0)), (0.5, 0.5))
    for x, y, degrees in ((-0.45 * wide, deep, 0), (0.5 * wide, deep, 0), (-wide, 0, 90), (wide, 0, -90)):
        if kit.rng.random() < 0.75:
            chair(kit.at(x, y, 0, turned(degrees + uniform(kit.rng, (-15, 15)))), *seat)


def chair(kit: Kit, wood: int, cloth: int) -> None:
    """A chair that stands at the kit's place and faces -y."""
    kit.box(wood, (-0.22, -0.02, 0.42), (0.22, 0.42, 0.46))
    kit.box(cloth, (-0.2, 0, 0.46), (0.2, 0.4, 0.5), taper=(0.9, 0.9))
    for x in (-0.22, 0.18):
        kit.box(wood, (x, -0.02, 0), (x + 0.04, 0.02, 0.42))
        kit.box(wood, (x, 0.38, 0), (x + 0.04, 0.42, 0.95))
    for z in (0.6, 0.73, 0.86):
        kit.box(wood, (-0.18, 0.39, z), (0.18, 0.41, z + 0.07))


PIECES: dict[str, tuple[Callable[[Kit, float], None], tuple[float, float], bool]] = {
    "shelf": (shelf, (0.9, 1.6), True),
    "cabinet": (cabinet, (0.9, 1.6), False),
    "sofa": (sofa, (1.5, 2.1), False),
    "lamp": (floor_lamp, (0.55, 0.55), True),
    "plant": (plant, (0.6, 0.6), False),
    "door": (door, (1.1, 1.1), True),
}
"""What stands along walls: the builder, the range of its width, and whether it is too tall for a picture above it."""
