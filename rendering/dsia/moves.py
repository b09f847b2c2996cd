"""The ways of the camera from view 1 to view 2."""

from __future__ import annotations

import math
import random

from ..cameras import Vector
from ..parallax.geometry import axes, combine, turned
from ..parallax.scenes import Turn, ViewSpec
from ..streams import uniform
from .config import Move

SHAKE = 0.04
"""How far, relative to its way, a camera strays from it."""
SWAY = 0.35
"""Degrees by which a camera in the hand turns besides."""


class Path:
    """A camera's way: where it has come to after so much of it."""

    def __init__(
        self, view: ViewSpec, pan: Turn, tilt: Turn, move: Move, pivot: float, shift: float, rng: random.Random
    ) -> None:
        """Draw what is random of it.

        Args:
            view: where it begins.
            pan: turn of that view to the left.
            tilt: turn of that view up.
            move: the way.
            pivot: distance of the point that an orbit goes around, in metres.
            shift: stops added to the exposure at its end.
            rng: where it is drawn from.
        """
        self.view, self.pan, self.tilt, self.move, self.pivot = view, pan, tilt, move, pivot
        self.side = 1 if rng.random() < 0.5 else -1
        self.stray = (uniform(rng, (-SHAKE, SHAKE)), uniform(rng, (-SHAKE, SHAKE)))
        self.sway = [uniform(rng, (-SWAY, SWAY)) for _ in range(3)]
        # A turn goes mostly to one side.
        self.rise, self.tip = uniform(rng, (-0.4, 0.4)), uniform(rng, (-0.3, 0.3))
        self.shift, self.seed = shift, int(rng.random() * 2**31)

    def at(self, amount: float) -> ViewSpec:
        """The view after a way of `amount`: metres for a shift, metres along the circle for an orbit, and for a turn
        the metres that it shifts what is as far as the pivot.
        """
        along, across, turn = 0.0, 0.0, 0.0
        if self.move in ("forward", "backward"):
            along = amount if self.move == "forward" else -amount
        elif self.move in ("left", "right"):
            across = amount if self.move == "right" else -amount
        else:
            turn = self.side * math.degrees(amount / self.pivot)
        shake = min(1.0, amount)
        pan = combine(self.pan, turned(turn + shake * self.sway[0]))
        up, roll = shake * self.sway[1], shake * self.sway[2]
        place = self._moved(along, across, amount)
        if self.move == "rotation":
            up, roll = up + self.rise * turn, roll + self.tip * turn
            place = self.view.position
        elif self.move == "orbit":
            place = self._around(turn)
        right, top = axes(pan, combine(self.tilt, turned(up)), turned(roll))
        return ViewSpec(place, right, top, self.view.lens, self.shift, self.seed)

    def _level(self) -> tuple[float, float]:
        """The line of sight on the ground, of length 1."""
        return -self.pan[1], self.pan[0]

    def _moved(self, along: float, across: float, amount: float) -> Vector:
        (x, y, z), (ahead, aside) = self.view.position, self._level()
        along, across = along + self.stray[0] * amount, across + self.stray[1] * amount
        return x + ahead * along + aside * across, y + aside * along - ahead * across, z + 0.5 * self.stray[0] * amount

    def _around(self, turn: float) -> Vector:
        """On the circle around the pivot: what turns the camera to the left brings it to the right."""
        (x, y, z), (ahead, aside) = self.view.position, self._level()
        cosine, sine = turned(turn)
        then = cosine * ahead - sine * aside, sine * ahead + cosine * aside
        return x + self.pivot * (ahead - then[0]), y + self.pivot * (aside - then[1]), z
