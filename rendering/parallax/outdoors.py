"""What stands in front of houses. Each thing stands on the ground at a kit's place. Lengths in metres."""

from __future__ import annotations

from ..streams import choice, uniform
from .geometry import turned
from .kit import Kit


def tree(kit: Kit, height: float) -> None:
    """A tree: a trunk, boughs, and a crown of many clumps of leaves."""
    rng = kit.rng
    bark = kit.shared("bark", "bark", kit.warm_tint((0.15, 0.4), (0.5, 0.9)), (0.8, 1.2))
    greens = [
        kit.shared(f"leaves {number}", "leaves", (0.7 + 0.15 * number, 0.85 + 0.07 * number, 0.6), (1.2, 1.2))
        for number in (int(rng.random() * 3), int(rng.random() * 3))
    ]
    trunk = 0.45 * height
    kit.post(bark, (0, 0, 0), 0.035 * height, trunk, taper=0.65)
    kit.post(bark, (0, 0, trunk), 0.022 * height, 0.3 * height, taper=0.3)
    for number in range(18):
        # Clumps fill a ball around the crown's middle, the outer ones smaller.
        x, y, z = (uniform(rng, (-1, 1)) for _ in range(3))
        outer = x * x + y * y + z * z
        radius = height * uniform(rng, (0.07, 0.13)) * (1.25 - 0.25 * min(outer, 1.5))
        place = 0.24 * height * x, 0.24 * height * y, trunk + height * (0.26 + 0.24 * z)
        kit.ball(greens[number % 2], place, radius, flat=uniform(rng, (0.7, 1.0)))


def hedge(kit: Kit, length: float, height: float) -> None:
    """A clipped hedge along x."""
    green = kit.shared("leaves 1", "leaves", (0.85, 0.92, 0.6), (1.2, 1.2))
    kit.box(green, (-length / 2, -0.25, 0), (length / 2, 0.25, height), taper=(0.99, 0.85))


def street_lamp(kit: Kit) -> None:
    """A lamp post."""
    iron = kit.shared("lamp post", "paint", kit.tint((0.1, 0.4), (0.3, 0.6)), (0.6, 0.6), roughness=0.4)
    glass = kit.shared("lantern", "pane", (1.0, 0.95, 0.8), (0.5, 0.5))
    height = uniform(kit.rng, (3.0, 4.2))
    kit.post(iron, (0, 0, 0), 0.11, 0.5, taper=0.6)
    kit.post(iron, (0, 0, 0.5), 0.05, height - 0.5, taper=0.8)
    kit.box(glass, (-0.13, -0.13, height), (0.13, 0.13, height + 0.35), taper=(1.35, 1.35))
    kit.box(iron, (-0.2, -0.2, height + 0.35), (0.2, 0.2, height + 0.5), taper=(0.2, 0.2))


def sign(kit: Kit) -> None:
    """A board on a pole, its front towards -y."""
    metal = kit.shared("pole", "paint", (0.65, 0.65, 0.65), (0.6, 0.6), roughness=0.4)
    face = kit.surface(("poster", "tiles", "mosaic"), kit.tint((0.2, 0.6), (0.9, 1.0)), fitted=True, roughness=0.5)
    height = uniform(kit.rng, (2.0, 2.6))
    kit.post(metal, (0, 0, 0), 0.035, height + 0.3)
    if kit.rng.random() < 0.5:
        kit.cylinder(face, (-0.35, -0.06, height - 0.4), (0.35, -0.035, height + 0.3), axis=1)
    else:
        kit.box(face, (-0.4, -0.06, height - 0.5), (0.4, -0.035, height + 0.25))


def bollards(kit: Kit) -> None:
    """Three bollards in a row along x."""
    iron = kit.surface(("paint", "stone"), kit.tint((0.0, 0.4), (0.4, 0.9)), (0.5, 0.5))
    for x in (-1.2, 0.0, 1.2):
        kit.post(iron, (x, 0, 0), 0.09, 0.75, taper=0.8)
        kit.ball(iron, (x, 0, 0.78), 0.09)


def bench(kit: Kit) -> None:
    """A bench that faces -y."""
    wood = kit.shared("bench", "wood", kit.warm_tint((0.3, 0.6), (0.5, 0.9)), (1.0, 1.0))
    iron = kit.shared("iron", "paint", (0.3, 0.33, 0.3), (0.5, 0.5))
    for y in (-0.4, -0.25, -0.1):
        kit.box(wood, (-0.85, y, 0.42), (0.85, y + 0.11, 0.46))
    for z in (0.58, 0.74):
        kit.box(wood, (-0.85, 0.03, z), (0.85, 0.07, z + 0.11))
    for x in (-0.7, 0.64):
        kit.box(iron, (x, -0.38, 0), (x + 0.06, 0.03, 0.42))
        kit.box(iron, (x, 0.0, 0.46), (x + 0.06, 0.03, 0.88))


def planter(kit: Kit) -> None:
    """A tub with flowers."""
    tub = kit.surface(("concrete", "planks", "stone"), kit.warm_tint((0.05, 0.4), (0.7, 1.0)), (1.0, 1.0))
    green = kit.shared("leaves 2", "leaves", (1.0, 0.99, 0.6), (1.2, 1.2))
    flower = kit.surface("leaves", kit.tint((0.6, 0.9), (1.0, 1.0)), (0.5, 0.5))
    kit.box(tub, (-0.45, -0.25, 0), (0.45, 0.25, 0.45), taper=(1.1, 1.1))
    for number in range(8):
        x, y = uniform(kit.rng, (-0.4, 0.4)), uniform(kit.rng, (-0.2, 0.2))
        kit.ball(flower if number % 3 == 0 else green, (x, y, 0.5 + 0.12 * kit.rng.random()), 0.14)


def car(kit: Kit) -> None:
    """A car along x."""
    body = kit.surface("paint", kit.tint((0.1, 0.85), (0.5, 1.0)), (2.4, 1.2), roughness=0.35)
    glass = kit.shared("car glass", "pane", (0.5, 0.55, 0.6), (1.4, 0.8), roughness=0.2)
    dark = kit.shared("tyre", "asphalt", (0.45, 0.45, 0.48), (0.6, 0.6))
    chrome = kit.shared("chrome", "tiles", (0.95, 0.95, 0.9), (0.3, 0.3), roughness=0.3)
    red = kit.shared("tail light", "tiles", (0.95, 0.2, 0.15), (0.2, 0.2), roughness=0.3)
    long, estate = uniform(kit.rng, (1.95, 2.25)), choice(kit.rng, (0.3, 0.75))
    kit.box(body, (-long, -0.86, 0.3), (long, 0.86, 0.62))
    kit.box(body, (-long + 0.03, -0.86, 0.62), (long - 0.03, 0.86, 0.88), taper=(0.94, 0.9))
    kit.box(glass, (-long * (0.65 + 0.3 * (estate > 0.5)), -0.76, 0.88), (long * 0.5, 0.76, 1.36), taper=(0.72, 0.8))
    middle = -long * (0.65 + 0.3 * (estate > 0.5)) / 2 + long * 0.25
    half = (long * 0.25 + long * (0.65 + 0.3 * (estate > 0.5)) / 2) * 0.72
    kit.box(body, (middle - half, -0.63, 1.36), (middle + half, 0.63, 1.43), taper=(0.95, 0.93))
    for x in (middle - half * 1.06, middle + 0.02, middle + half * 1.0):
        for y in (-0.73, 0.66):
            kit.box(body, (x - 0.04, y, 0.88), (x + 0.05, y + 0.07, 1.38))
    for x in (-0.62 * long, 0.62 * long):
        for y in (-0.89, 0.69):
            kit.cylinder(dark, (x - 0.33, y, 0.0), (x + 0.33, y + 0.2, 0.66), axis=1)
            kit.cylinder(chrome, (x - 0.18, y - 0.012, 0.15), (x + 0.18, y + 0.212, 0.51), axis=1)
    for end, light in ((-long, red), (long, chrome)):
        kit.box(dark, (end - 0.06, -0.85, 0.28), (end + 0.06, 0.85, 0.46))
        for y in (-0.78, 0.5):
            kit.box(light, (end - 0.03, y, 0.58), (end + 0.03, y + 0.28, 0.72))
        kit.box(chrome, (end - 0.07, -0.26, 0.36), (end + 0.07, 0.26, 0.46))


def street_thing(kit: Kit) -> None:
    """A lamp post, a sign, bollards, a bench or a tub, turned towards -y."""
    choice(kit.rng, (street_lamp, sign, street_lamp, bollards, bench, planter))(kit)


def any_side(kit: Kit, x: float, y: float) -> Kit:
    """A place turned at random."""
    return kit.at(x, y, 0, turned(uniform(kit.rng, (-180, 180))))
