"""Small charts as inline SVG: they follow the page's colours, stay sharp, and need no library to be read.

A series has a number, its place among the methods; `s0`, `s1`, ... are the classes that give it one colour on the whole
page, and its dash pattern changes with every ten.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 470, 310
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 14, 46
_COLOURS = 10
_DASHES = ("", "6 3", "2 3")
_FONT = 12.5
_LETTER = 0.56 * _FONT
"""Mean width of a letter: enough to keep labels apart."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """What part of an axis a value lies at.

    Attributes:
        low: value at 0.
        high: value at 1.
        log: whether the axis is logarithmic; `low` is then positive.
    """

    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """From 0 at `low` to 1 at `high`."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round values within the axis: 4 to 8 of them, on a logarithmic axis of many decades one a decade."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            steps = (1.0, 2.0, 5.0) if math.log10(self.high / self.low) < 2.5 else (1.0,)
            values = [step * 10.0**power for power in range(first, last + 1) for step in steps]
            values = [value for value in values if self.low * 0.999 <= value <= self.high * 1.001]
            if len(values) > 1:
                return values
        # Also where a logarithmic axis is too short to hold two values of 1, 2, 5, 10.
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def fitted(values: Sequence[float], *, log: bool = False) -> Scale:
    """A scale with a little room around the values; there is at least one, and with `log` all are positive."""
    low, high = min(values), max(values)
    if log:
        spread = max((high / low) ** 0.09, 1.15)
        return Scale(low / spread, high * spread, log=True)
    room = 0.09 * (high - low) or 0.1 * abs(high) or 1.0
    return Scale(low - room, high + room)


@dataclass
class Axes:
    """One chart; what is drawn first lies below.

    Attributes:
        title: plain text, above the chart.
        x: scale from left to right.
        y: scale from bottom to top.
        x_label: plain text.
        y_label: plain text.
    """

    title: str
    x: Scale
    y: Scale
    x_label: str
    y_label: str
    _parts: list[str] = field(default_factory=list)
    _taken: list[tuple[float, float, float, float]] = field(default_factory=list)

    def at(self, point: Point) -> Point:
        """Place of (x, y) in the picture, in its units."""
        across, up = self.x.place(point[0]), self.y.place(point[1])
        return _LEFT + across * (WIDTH - _LEFT - _RIGHT), HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM)

    def line(self, points: Sequence[Point], series: int, name: str, *, dots: bool = False) -> None:
        """A method's line through points in order, `name` told when pointed at."""
        places = [self.at(point) for point in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        dash = _DASHES[series // _COLOURS % len(_DASHES)]
        style = f' stroke-dasharray="{dash}"' if dash else ""
        marks = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places) if dots else ""
        self._add(f'<polyline points="{path}"{style}/>{marks}', series, name)

    def dot(self, point: Point, series: int, name: str, half: float = 0.0) -> None:
        """A method's point, with a bar of `half` to either side of y."""
        x, y = self.at(point)
        bar = ""
        if half:
            ends = [
                min(max(self.at((point[0], point[1] + side * half))[1], _TOP), HEIGHT - _BOTTOM) for side in (-1, 1)
            ]
            bar = f'<path class="bar" d="M{x:.1f} {ends[0]:.1f}V{ends[1]:.1f}"/>'
        self._add(f'{bar}<circle cx="{x:.1f}" cy="{y:.1f}" r="5"/>', series, name)
        self._taken.append((x - 6, y - 6, x + 6, y + 6))

    def front(self, points: Sequence[Point]) -> None:
        """A quiet line through the points that none beats."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self.at, points))
        self._parts.append(f'<polyline class="front" points="{path}"/>')

    def label(self, point: Point, text: str, series: int) -> None:
        """Name a point beside it where nothing lies yet, farther off with a thin line where it is crowded.

        Draw all dots first, so that labels keep clear of them.
        """
        x, y = self.at(point)
        shown = text if len(text) <= 24 else f"{text[:23]}…"
        box, lead = self._free_place(x, y, _LETTER * len(shown))
        self._taken.append(box)
        middle = (box[1] + box[3]) / 2
        near = min(max(x, box[0]), box[2])
        line = f'<path class="lead" d="M{x:.1f} {y:.1f}L{near:.1f} {middle:.1f}"/>' if lead else ""
        # The width is a guess, so the end that is near the point is the one that is fixed.
        side, place = ("end", box[2]) if box[2] <= x else ("start", box[0])
        words = f'<text x="{place:.1f}" y="{middle + 4:.1f}" text-anchor="{side}">{html.escape(shown)}</text>'
        self._add(f"{line}{words}", series, text)

    def svg(self) -> str:
        """The chart as a figure."""
        frame = []
        for value in self.x.ticks():
            x = self.at((value, self.y.low))[0]
            frame.append(f'<path d="M{x:.1f} {_TOP}V{HEIGHT - _BOTTOM}"/>')
            frame.append(f'<text x="{x:.1f}" y="{HEIGHT - _BOTTOM + 17}" text-anchor="middle">{value:g}</text>')
        for value in self.y.ticks():
            y = self.at((self.x.low, value))[1]
            frame.append(f'<path d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>')
            frame.append(f'<text x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        middle = (HEIGHT - _BOTTOM + _TOP) / 2
        upright = f'<text transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">'
        names = (
            f'<text x="{(WIDTH + _LEFT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{html.escape(self.x_label)}</text>'
            f"{upright}{html.escape(self.y_label)}</text>"
        )
        title = html.escape(self.title)
        return (
            f'<figure class="chart"><figcaption>{title}</figcaption><div class="scroll">'
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}: {html.escape(self.y_label)} against '
            f'{html.escape(self.x_label)}"><g class="frame">{"".join(frame)}{names}</g>{"".join(self._parts)}</svg>'
            "</div></figure>"
        )

    def _add(self, drawn: str, series: int, name: str) -> None:
        number = series % _COLOURS
        told = f"<title>{html.escape(name)}</title>"
        self._parts.append(f'<g class="series s{number}" data-series="{series}">{told}{drawn}</g>')

    def _free_place(self, x: float, y: float, width: float) -> tuple[tuple[float, float, float, float], bool]:
        """The box of a label near a point and whether it is far off: the nearest of many places that is free."""
        best: tuple[float, float, float, float] | None = None
        least = math.inf
        for radius in (9, 15, 24, 36, 50, 66, 84):
            for angle in (0, 180, 270, 90, 315, 45, 225, 135, 338, 22, 202, 158):
                across, down = math.cos(math.radians(angle)), math.sin(math.radians(angle))
                left = x + radius * across - (0 if across > 0.1 else width if across < -0.1 else width / 2)
                box = (left, y + radius * down - 7, left + width, y + radius * down + 7)
                if box[0] < _LEFT or box[2] > WIDTH - 2 or box[1] < 2 or box[3] > HEIGHT - _BOTTOM:
                    continue
                covered = sum(_shared(box, other) for other in self._taken)
                if covered == 0:
                    return box, radius > 15
                if covered < least:
                    best, least = box, covered
        return best or (x + 9, y - 7, x + 9 + width, y + 7), False


def legend(names: Sequence[str]) -> str:
    """Buttons with the colour of each method; the pressed ones stand out in all charts."""
    buttons = "".join(
        f'<button type="button" class="s{number % _COLOURS}" data-highlight="{number}" aria-pressed="false">'
        f"<i></i>{html.escape(name)}</button>"
        for number, name in enumerate(names)
    )
    return f'<div class="legend" role="group" aria-label="methods to bring out in the charts">{buttons}</div>'


def _shared(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Area that two boxes share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
