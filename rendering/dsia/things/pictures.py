"""What is painted on things: dials, labels, stripes, signs, covers. Each function gives a picture (H, W, 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...paintings import paint
from .bench import Colour, Picture
from .colours import BLACK, CHARCOAL, CREAM, GREY, OAK, RED, SAND, STEEL, WHITE, YELLOW
from .outlines import Flat, toothed
from .sheets import Sheet

CENTRE = (0.5, 0.5)


def _around(radius: float, degrees: float) -> Flat:
    """A point around the middle of a square sheet, clockwise from the top."""
    angle = math.radians(degrees)
    return 0.5 + radius * math.sin(angle), 0.5 + radius * math.cos(angle)


def stripes(colours: Sequence[Colour], count: int, *, upright: bool = True, slant: float = 0.0) -> Picture:
    """Stripes side by side, or one above the other; slanted ones still join at the edges if `slant` is whole."""
    sheet = Sheet(192, 192, colours[0])
    for number in range(-count, 2 * count + 1):
        low, high = number / count, (number + 1) / count
        shift = slant / count
        corners = [(low, 0.0), (high, 0.0), (high + shift, 1.0), (low + shift, 1.0)]
        if not upright:
            corners = [(y, x) for x, y in corners]
        sheet.area(corners, colours[number % len(colours)])
    return sheet.pixels(count)


def dots(ground: Colour, colours: Sequence[Colour], count: int) -> Picture:
    """Staggered dots."""
    sheet = Sheet(192, 192, ground)
    for row in range(2 * count + 1):
        for column in range(-1, count + 1):
            place = (column + 0.5 * (row % 2) + 0.25) / count, row / (2 * count)
            sheet.disc(place, 0.26 / count, colours[(row + column) % len(colours)])
    return sheet.pixels(count)


def checks(first: Colour, second: Colour, count: int) -> Picture:
    """A chequerboard."""
    sheet = Sheet(192, 192, first)
    for row in range(count):
        for column in range(row % 2, count, 2):
            sheet.bar((column / count, row / count), ((column + 1) / count, (row + 1) / count), second)
    return sheet.pixels(count)


def bands(ground: Colour, marks: Sequence[Colour], seed: int) -> Picture:
    """A painted pot, once around: rings, a zigzag and leaves."""
    sheet = Sheet(384, 192, ground)
    for number, place in enumerate((0.08, 0.16, 0.84, 0.92)):
        sheet.bar((0, place - 0.025), (2, place + 0.025), marks[number % len(marks)])
    teeth = 12 + 2 * (seed % 4)
    points = [(2 * step / (2 * teeth), 0.27 + 0.1 * (step % 2)) for step in range(2 * teeth + 1)]
    sheet.line(points, 0.035, marks[0])
    for number in range(teeth):
        x = 2 * (number + 0.5) / teeth
        petal = [(x, 0.44), (x + 0.06, 0.58), (x, 0.74), (x - 0.06, 0.58)]
        if seed % 2:
            sheet.disc((x, 0.58), 0.07, marks[number % len(marks)])
            sheet.disc((x, 0.58), 0.035, ground)
        else:
            sheet.area(petal, marks[number % len(marks)])
    return sheet.pixels(seed)


def dial(face: Colour, ink: Colour, hands: tuple[float, float], *, numerals: bool) -> Picture:
    """A clock's dial; hands in hours and minutes."""
    sheet = Sheet(256, 256, face)
    sheet.disc(CENTRE, 0.49, ink)
    sheet.disc(CENTRE, 0.46, face)
    for hour in range(12):
        if numerals:
            sheet.text(str(hour or 12), _around(0.36, 30 * hour), 0.1, ink, 0.2)
        else:
            sheet.line([_around(0.34, 30 * hour), _around(0.42, 30 * hour)], 0.03 if hour % 3 else 0.05, ink)
    for minute in range(60):
        sheet.disc(_around(0.44, 6 * minute), 0.006, ink)
    sheet.line([CENTRE, _around(0.22, 30 * hands[0])], 0.045, ink)
    sheet.line([CENTRE, _around(0.34, 6 * hands[1])], 0.03, ink)
    sheet.line([_around(-0.08, 200), _around(0.38, 200)], 0.012, RED)
    sheet.disc(CENTRE, 0.035, RED)
    return sheet.pixels(3)


def rim(spokes: int, metal: Colour, *, width: float = 0.08) -> Picture:
    """A wheel's disc: spokes in a ring, with a hub."""
    sheet = Sheet(160, 160, CHARCOAL)
    sheet.disc(CENTRE, 0.5, metal)
    sheet.disc(CENTRE, 0.42, (0.1, 0.1, 0.11))
    for spoke in range(spokes):
        sheet.line([CENTRE, _around(0.44, 360 * spoke / spokes)], width, metal)
    sheet.disc(CENTRE, 0.13, metal)
    sheet.disc(CENTRE, 0.05, CHARCOAL)
    return sheet.pixels(spokes)


def pips(number: int, face: Colour, ink: Colour) -> Picture:
    """A side of a die."""
    sheet = Sheet(96, 96, face)
    low, high = 0.24, 0.76
    corners = [(low, low), (high, high), (low, high), (high, low)]
    places = corners[: 2 * (number // 2)] if number < 6 else [*corners, (low, 0.5), (high, 0.5)]
    for place in [*places, *([CENTRE] if number % 2 else [])]:
        sheet.disc(place, 0.1, ink)
    return sheet.pixels(number, 0.03)


def letter(sign: str, face: Colour, ink: Colour, edge: Colour) -> Picture:
    """A side of a toy block."""
    sheet = Sheet(96, 96, edge)
    sheet.bar((0.09, 0.09), (0.91, 0.91), face)
    sheet.text(sign, CENTRE, 0.56, ink, 0.22)
    return sheet.pixels(ord(sign))


def parcel(mark: str, tape: Colour, ground: Colour = SAND) -> Picture:
    """A side of a cardboard box: tape, a label with an address and bars, arrows up."""
    sheet = Sheet(256, 256, ground)
    sheet.bar((0.43, 0), (0.57, 1), tape)
    sheet.bar((0.08, 0.55), (0.4, 0.88), WHITE)
    for row in range(4):
        sheet.bar((0.11, 0.81 - 0.06 * row), (0.34 - 0.04 * (row % 2), 0.835 - 0.06 * row), GREY)
    for place in range(9):
        sheet.bar((0.65 + 0.03 * place, 0.12), (0.665 + 0.03 * place + 0.008 * (place % 3), 0.3), BLACK)
    for x in (0.12, 0.28):
        sheet.area([(x, 0.2), (x + 0.1, 0.2), (x + 0.05, 0.32)], CHARCOAL)
        sheet.bar((x + 0.035, 0.1), (x + 0.065, 0.2), CHARCOAL)
    sheet.text(mark, (0.78, 0.72), 0.13, RED, 0.2)
    return sheet.pixels(len(mark), 0.09)


def ribbon(ground: Colour, band: Colour, spots: Colour) -> Picture:
    """A side of a wrapped present."""
    sheet = Sheet(160, 160, ground)
    for row in range(7):
        for column in range(7):
            sheet.disc(((column + 0.5 * (row % 2)) / 6, row / 6), 0.03, spots)
    sheet.bar((0.42, 0), (0.58, 1), band)
    sheet.bar((0, 0.42), (1, 0.58), band)
    return sheet.pixels(5)


def cover(family: str, seed: int, title: str, cloth: Colour) -> Picture:
    """A book's cover: a painting in a cloth frame under a title."""
    sheet = Sheet(180, 256, cloth)
    sheet.bar((0.05, 0.7), (0.653, 0.93), CREAM)
    sheet.text(title, (0.351, 0.82), min(0.13, 0.6 / len(title)), cloth, 0.2)
    picture = sheet.pixels(seed).copy()
    art = paint(family, seed, 150, 144)
    picture[96 : 96 + 144, 15:165] = art
    return picture


def pages(paper: Colour = CREAM) -> Picture:
    """The edge of a book."""
    sheet = Sheet(64, 64, paper)
    for line in range(16):
        sheet.bar((0, line / 16), (1, line / 16 + 0.02), (0.7, 0.64, 0.5))
    return sheet.pixels(1)


def label(ground: Colour, band: Colour, words: str, ink: Colour = WHITE) -> Picture:
    """What is printed around a bottle or can: the words on both sides."""
    sheet = Sheet(384, 192, ground)
    sheet.bar((0, 0.18), (2, 0.82), band)
    sheet.bar((0, 0.22), (2, 0.25), ink)
    sheet.bar((0, 0.75), (2, 0.78), ink)
    for x in (0.5, 1.5):
        sheet.text(words, (x, 0.56), min(0.26, 0.85 / len(words)), ink, 0.2)
        sheet.disc((x, 0.35), 0.06, ink)
        sheet.disc((x - 0.5, 0.5), 0.14, ground)
        sheet.area([(x - 0.5 + dx, 0.5 + dy) for dx, dy in toothed(0.06, 0.11, 6)], ink)
    return sheet.pixels(len(words))


def plate(words: str, ground: Colour = WHITE, ink: Colour = BLACK) -> Picture:
    """A number plate, or any small sign four times as wide as high."""
    sheet = Sheet(192, 48, ink)
    sheet.bar((0.06, 0.08), (3.94, 0.92), ground)
    sheet.text(words, (2.0, 0.5), min(0.62, 3.6 / len(words)), ink, 0.2)
    return sheet.pixels(2, 0.03)


def poster(ground: Colour, ink: Colour, lines: Sequence[str], mark: Colour) -> Picture:
    """A board with a few words, and a mark below."""
    sheet = Sheet(192, 256, ground)
    sheet.line([(0.04, 0.04), (0.71, 0.04), (0.71, 0.96), (0.04, 0.96), (0.04, 0.04)], 0.02, ink)
    for number, words in enumerate(lines):
        sheet.text(words, (0.375, 0.82 - 0.2 * number), min(0.16, 0.55 / len(words)), ink, 0.2)
    sheet.disc((0.375, 0.2), 0.13, mark)
    sheet.area([(0.375 + x, 0.2 + y) for x, y in toothed(0.05, 0.11, 5)], ground)
    return sheet.pixels(len(lines))


def stop() -> Picture:
    """The face of a stop sign."""
    sheet = Sheet(192, 192, WHITE)
    sheet.area([_around(0.5, 22.5 + 45 * each) for each in range(8)], RED)
    sheet.text("STOP", CENTRE, 0.27, WHITE, 0.18)
    return sheet.pixels(1, 0.03)


def warning() -> Picture:
    """The face of a triangular warning sign."""
    sheet = Sheet(192, 192, RED)
    sheet.area([(0.13, 0.08), (0.87, 0.08), (0.5, 0.8)], WHITE)
    sheet.line([(0.5, 0.3), (0.5, 0.55)], 0.09, BLACK)
    sheet.disc((0.5, 0.17), 0.05, BLACK)
    return sheet.pixels(2, 0.03)


def arrow(ground: Colour, ink: Colour) -> Picture:
    """A round sign with an arrow."""
    sheet = Sheet(192, 192, WHITE)
    sheet.disc(CENTRE, 0.47, ground)
    sheet.line([(0.28, 0.72), (0.62, 0.38)], 0.11, ink)
    sheet.area([(0.72, 0.28), (0.72, 0.6), (0.4, 0.28)], ink)
    return sheet.pixels(3, 0.03)


def screen(ground: Colour, ink: Colour) -> Picture:
    """A screen: windows, a curve and lines of text."""
    sheet = Sheet(288, 192, ground)
    sheet.bar((0.06, 0.1), (0.8, 0.72), (0.94, 0.95, 0.97))
    sheet.bar((0.06, 0.72), (0.8, 0.82), ink)
    for row in range(6):
        sheet.bar((0.12, 0.62 - 0.09 * row), (0.5 + 0.04 * (row * 5 % 7), 0.65 - 0.09 * row), GREY)
    sheet.bar((0.88, 0.25), (1.44, 0.9), (0.12, 0.14, 0.18))
    sheet.line([(0.92 + 0.05 * step, 0.4 + 0.08 * (step * 7 % 5)) for step in range(10)], 0.025, ink)
    sheet.bar((0, 0), (1.5, 0.05), CHARCOAL)
    return sheet.pixels(6, 0.02)


def visor(ground: Colour, eyes: Colour) -> Picture:
    """A robot's face."""
    sheet = Sheet(160, 128, ground)
    sheet.bar((0.12, 0.35), (1.13, 0.9), BLACK)
    for x in (0.4, 0.85):
        sheet.disc((x, 0.63), 0.15, eyes)
        sheet.disc((x + 0.04, 0.67), 0.05, WHITE)
    for step in range(7):
        sheet.bar((0.3 + 0.1 * step, 0.1), (0.36 + 0.1 * step, 0.25), CHARCOAL)
    return sheet.pixels(4, 0.03)


def panel(ground: Colour, lamps: Sequence[Colour]) -> Picture:
    """Knobs, lamps and a scale."""
    sheet = Sheet(160, 160, ground)
    sheet.bar((0.12, 0.55), (0.88, 0.9), (0.85, 0.9, 0.85))
    sheet.line([_around(0.3, each) for each in range(-50, 51, 10)], 0.02, BLACK)
    sheet.line([(0.5, 0.58), (0.62, 0.82)], 0.025, RED)
    for number, lamp in enumerate(lamps):
        x = (number + 0.5) / len(lamps)
        sheet.disc((x, 0.36), 0.08, CHARCOAL)
        sheet.disc((x, 0.36), 0.06, lamp)
        sheet.bar((x - 0.07, 0.1), (x + 0.07, 0.2), STEEL)
    return sheet.pixels(9)


def van_side(paint_: Colour, ink: Colour, words: str) -> Picture:
    """The side of a delivery van."""
    sheet = Sheet(384, 160, paint_)
    sheet.area([(0, 0.15), (2.4, 0.4), (2.4, 0.55), (0, 0.25)], ink)
    sheet.text(words, (1.2, 0.7), min(0.3, 2.0 / len(words)), ink, 0.22)
    return sheet.pixels(7, 0.04)


def leaf(dark: Colour, light: Colour) -> Picture:
    """A leaf along the picture's height, with its veins."""
    sheet = Sheet(64, 128, dark)
    for step in range(9):
        y = step / 9
        for x in (0.0, 0.5):
            sheet.line([(0.25 * (x * 2 - 1) + 0.25, y + 0.14), (0.25, y), (0.5 - x / 2, y + 0.14)], 0.02, light)
    sheet.line([(0.25, 0), (0.25, 1)], 0.04, light)
    return sheet.pixels(2, 0.1)


def staves(wood: Colour, hoops: Colour, count: int) -> Picture:
    """A barrel, once around: staves under hoops."""
    sheet = Sheet(384, 192, wood)
    for stave in range(count):
        shade = 0.75 + 0.3 * (stave * 7 % 5) / 5
        x = 2 * stave / count
        tone: Colour = (wood[0] * shade, wood[1] * shade, wood[2] * shade)
        sheet.bar((x, 0), (x + 2 / count, 1), tone)
        sheet.bar((x, 0), (x + 0.012, 1), BLACK)
    for place in (0.03, 0.22, 0.72, 0.91):
        sheet.bar((0, place), (2, place + 0.07), hoops)
    return sheet.pixels(count, 0.1)


def cone_rings(ground: Colour, ring: Colour) -> Picture:
    """A traffic cone's rings."""
    sheet = Sheet(192, 192, ground)
    for low, high in ((0.28, 0.46), (0.6, 0.74)):
        sheet.bar((0, low), (1, high), ring)
    return sheet.pixels(1)


def grill(ground: Colour, bars: Colour, count: int) -> Picture:
    """Fine bars both ways."""
    sheet = Sheet(128, 128, ground)
    for step in range(count):
        sheet.bar((step / count, 0), ((step + 0.4) / count, 1), bars)
        sheet.bar((0, step / count), (1, (step + 0.4) / count), bars)
    return sheet.pixels(count)


def board(frame: Colour = OAK) -> Picture:
    """A chalk board with marks."""
    sheet = Sheet(192, 256, frame)
    sheet.bar((0.04, 0.04), (0.71, 0.96), (0.12, 0.16, 0.15))
    for row, words in enumerate(("CAFE", "TEA  2", "CAKE 3", "PIE  4")):
        sheet.text(words, (0.375, 0.82 - 0.2 * row), 0.15 if row == 0 else 0.1, YELLOW if row == 0 else WHITE, 0.14)
    return sheet.pixels(8)


def patchwork(colours: Sequence[Colour], count: int, seed: int) -> Picture:
    """Squares of cloth with stitches."""
    sheet = Sheet(192, 192, colours[0])
    order = np.random.Generator(np.random.PCG64(seed)).random(count * count)
    for row in range(count):
        for column in range(count):
            low, high = (column / count, row / count), ((column + 1) / count, (row + 1) / count)
            sheet.bar(low, high, colours[int(order[row * count + column] * len(colours))])
            sheet.line([low, (high[0], low[1])], 0.008, CREAM)
            sheet.line([low, (low[0], high[1])], 0.008, CREAM)
    return sheet.pixels(seed)
