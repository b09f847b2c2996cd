"""Small pictures drawn with lines, areas and letters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .bench import Colour, Picture
from .outlines import Flat

FINER = 3
"""Pixels drawn for each of the picture, along each axis."""

GLYPHS = {
    "A": "00 26 40,12 32", "B": "00 06 36 45 44 33 03,33 42 41 30 00", "C": "45 36 16 05 01 10 30 41",
    "D": "00 06 26 44 42 20 00", "E": "46 06 00 40,03 33", "F": "46 06 00,03 33", "G": "45 36 16 05 01 10 30 41 43 23",
    "H": "06 00,46 40,03 43", "I": "26 20", "J": "46 41 30 10 01", "K": "06 00,46 03 40", "L": "06 00 40",
    "M": "00 06 23 46 40", "N": "00 06 40 46", "O": "05 16 36 45 41 30 10 01 05", "P": "00 06 36 45 44 33 03",
    "Q": "05 16 36 45 41 30 10 01 05,22 40", "R": "00 06 36 45 44 33 03,23 40",
    "S": "45 36 16 05 04 13 33 42 41 30 10 01",
    "T": "06 46,26 20", "U": "06 01 10 30 41 46", "V": "06 20 46", "W": "06 10 23 30 46", "X": "00 46,06 40",
    "Y": "06 23 46,23 20", "Z": "06 46 00 40", "0": "05 16 36 45 41 30 10 01 05", "1": "15 26 20,10 30",
    "2": "05 16 36 45 44 00 40", "3": "05 16 36 45 44 33 13,33 42 41 30 10 01", "4": "30 36 02 42",
    "5": "46 06 03 33 42 41 30 00", "6": "45 36 16 05 01 10 30 41 42 33 03", "7": "06 46 10",
    "8": "13 04 05 16 36 45 44 33 13 02 01 10 30 41 42 33", "9": "43 13 04 05 16 36 45 41 30 10 01",
    "!": "26 22,21 20", "%": "00 46,05 16,30 41", "-": "13 33",
}  # fmt: skip
"""Strokes of letters: points of a grid 4 wide and 6 high, strokes apart by a comma."""


class Sheet:
    """A picture to draw on. Its height is 1, its width as it comes; (0, 0) is the lower left corner, y goes up."""

    def __init__(self, width: int, height: int, colour: Colour) -> None:
        """A sheet of one colour, width x height pixels."""
        self.width, self.height = width, height
        self.wide = width / height
        self._image = Image.new("RGB", (FINER * width, FINER * height), _ink(colour))
        self._draw = ImageDraw.Draw(self._image)

    def area(self, points: Sequence[Flat], colour: Colour) -> None:
        """A polygon."""
        self._draw.polygon([self._place(each) for each in points], fill=_ink(colour))

    def bar(self, low: Flat, high: Flat, colour: Colour) -> None:
        """A rectangle."""
        self.area([low, (high[0], low[1]), high, (low[0], high[1])], colour)

    def disc(self, centre: Flat, radius: float, colour: Colour) -> None:
        """A disc."""
        (x, y), reach = self._place(centre), radius * FINER * self.height
        self._draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=_ink(colour))

    def line(self, points: Sequence[Flat], width: float, colour: Colour) -> None:
        """A line with round ends and corners."""
        thick = max(1, round(width * FINER * self.height))
        self._draw.line([self._place(each) for each in points], fill=_ink(colour), width=thick, joint="curve")
        for each in (points[0], points[-1]):
            self.disc(each, width / 2, colour)

    def text(self, words: str, centre: Flat, height: float, colour: Colour, bold: float = 0.16) -> None:
        """Capitals in a row, centred; `bold` is the strokes' width relative to the height."""
        grid = height / 6
        advance = 5.6 * grid
        left = centre[0] - advance * len(words) / 2 + 0.8 * grid
        for number, letter in enumerate(words):
            for stroke in GLYPHS.get(letter, "").split(","):
                start = left + number * advance
                dots = [(start + int(p[0]) * grid, centre[1] + (int(p[1]) - 3) * grid) for p in stroke.split()]
                if dots:
                    self.line(dots, bold * height, colour)

    def pixels(self, seed: int = 0, grain: float = 0.06) -> Picture:
        """The picture (height, width, 3), with grain so that no part of it is flat."""
        picture = np.asarray(self._image.reduce(FINER), np.float32)
        noise = np.random.Generator(np.random.PCG64(seed))
        rough = np.zeros((self.height, self.width), np.float32)
        for size in (2, 6, 20):
            rows, columns = -(-self.height // size), -(-self.width // size)
            cells = noise.random((rows, columns), dtype=np.float32) * 2 - 1
            rough += np.repeat(np.repeat(cells, size, 0), size, 1)[: self.height, : self.width]
        return np.clip(picture * (1 + np.float32(grain) * rough[..., None]) + 0.5, 0, 255).astype(np.uint8)

    def _place(self, point: Flat) -> Flat:
        scale = FINER * self.height
        return point[0] * scale, (1 - point[1]) * scale


def _ink(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, round(255 * each))) for each in colour)
    return red, green, blue
