"""How people and things move: their pose at any time. Only exact arithmetic, so a plan is the same on every machine."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from ..cameras import Vector
from ..parallax.geometry import combine, turned
from ..parallax.scenes import Turn
from ..streams import uniform
from .cast import STROLL, Member
from .config import DsiaConfig
from .scenes import PoseSpec

CLIP = 8.0
"""Seconds of its action from which a person's moment is drawn."""
ALTITUDE = (0.9, 2.0)
"""Height of the middle of what flies, in metres above the ground."""
TOSSED = (0.5, 1.4)
"""The same of what tumbles through the air."""


@dataclass(frozen=True)
class Track:
    """One who stands at a spot at time 0 and moves from there."""

    member: Member
    action: str
    spot: Vector
    """On the ground."""
    heading: Turn
    """Turn of its own y axis."""
    speed: float
    """In metres per second, along the heading."""
    spin: float
    """In degrees per second."""
    start: float
    """Seconds of the action that have passed at time 0."""
    altitude: float
    """Of the middle, in metres above the ground; for what stands on the ground half its height."""

    def ground(self, time: float) -> Vector:
        """The point of the ground that it is above."""
        cosine, sine = self.heading
        way = self.speed * time
        return self.spot[0] - sine * way, self.spot[1] + cosine * way, self.spot[2]

    def pose(self, time: float) -> PoseSpec:
        """Its pose at a time, in seconds."""
        if self.member.kind == "person":
            return self._person(time)
        half = self.member.height / 2
        x, y, z = self.ground(time)
        axes = self._turned(time)
        # Turns are around the middle, the own origin is below it.
        base = [middle - half * axis for middle, axis in zip((x, y, z + self.altitude), axes[2], strict=True)]
        return PoseSpec((base[0], base[1], base[2]), *axes, 0.0)

    def _person(self, time: float) -> PoseSpec:
        cosine, sine = self.heading
        x, y, z = self.ground(time)
        # A person's mesh travels by itself.
        gone = self.member.travel(self.action) * (self.start + time)
        place = x + sine * gone, y - cosine * gone, z
        return PoseSpec(place, (cosine, sine, 0.0), (-sine, cosine, 0.0), (0.0, 0.0, 1.0), self.start + time)

    def _turned(self, time: float) -> tuple[Vector, Vector, Vector]:
        """Its own axes in the world."""
        angle = self.spin * (self.start + time)
        cosine, sine = self.heading
        ahead, across = (-sine, cosine, 0.0), (cosine, sine, 0.0)
        if self.action == "roll":
            # What rolls has gone as far as its rim has turned.
            way = self.speed * (self.start + time) / (self.member.height / 2)
            return across, *_pitched(ahead, turned(-math.degrees(way)))
        if self.action == "tumble":
            return across, *_pitched(ahead, turned(angle))
        if self.action == "slide":
            return across, ahead, (0.0, 0.0, 1.0)
        c, s = combine(self.heading, turned(angle))
        if self.action == "fly":
            # Leans into its way as it turns.
            lean = turned(12.0)
            level = (c, s, 0.0)
            return level, *_pitched((-s, c, 0.0), (lean[0], -lean[1]))
        return (c, s, 0.0), (-s, c, 0.0), (0.0, 0.0, 1.0)


def _pitched(ahead: Vector, pitch: Turn) -> tuple[Vector, Vector]:
    """The own y and z axes after a turn around the own x axis, level so far."""
    cosine, sine = pitch
    y = (cosine * ahead[0], cosine * ahead[1], sine)
    z = (-sine * ahead[0], -sine * ahead[1], cosine)
    return y, z


def draw_track(config: DsiaConfig, member: Member, action: str, spot: Vector, rng: random.Random) -> Track:
    """A track from a spot on the ground.

    Args:
        config: its speed and spin.
        member: who.
        action: what they do.
        spot: where they are at time 0.
        rng: where it is drawn from.
    """
    heading = turned(uniform(rng, (-180, 180)))
    speed, spin = uniform(rng, config.speed), uniform(rng, config.spin) * (1 if rng.random() < 0.5 else -1)
    start, lift = CLIP * rng.random(), rng.random()
    altitude = member.height / 2
    if member.kind == "person":
        return Track(member, action, spot, heading, _pace(member, action), 0.0, start, altitude)
    if action in ("fly", "tumble"):
        low, high = ALTITUDE if action == "fly" else TOSSED
        altitude += low + (high - low) * lift
    return Track(member, action, spot, heading, 0.0 if action == "spin" else speed, spin, start, altitude)


def _pace(member: Member, action: str) -> float:
    return STROLL if member.asset and member.asset.seconds > 0 else member.travel(action)
