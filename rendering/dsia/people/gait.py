"""Walking, running and turning: where the feet are, from planted footprints.

A foot that stands rolls over its heel, then lies flat, then rolls over the ball of the foot, which stays where it is; a
foot that swings goes smoothly from one footprint to the next. Hips and knees follow by inverse kinematics, and come
close to the published curves (Perry and Burnfield, Gait Analysis, 2010; Novacheck, The biomechanics of running, 1998)
since what the curves follow from is taken from there: durations of stance, the foot's angle to the ground, length and
frequency of strides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .lofts import Table, curve
from .skeleton import JOINTS, Foot, Pose, apply, arm_turn, rest_joints, turn
from .spec import Body, PersonSpec

ANKLE, HEEL, BALL = 0.085, 0.06, 0.122
"""Height of the ankle, and how far heel and ball lie behind and ahead of it, in metres for a height of 1.75 m."""


@dataclass(frozen=True)
class Gait:
    """A way to go."""

    speed: float
    """Metres per second, for a leg of 0.92 m."""
    period: float
    """Seconds from one step of the right foot to the next."""
    duty: float
    """Share of the period for which a foot stands."""
    under: float
    """Share at which a standing foot is below the hip."""
    pitch: tuple[tuple[float, ...], tuple[float, ...]]
    """Shares, and degrees by which the foot's toes are up."""
    lift: float
    """Height of the swinging foot above the line between its ends, in metres."""
    width: float
    """Distance of the footprints from the middle, in metres."""
    bob: float
    """Half of the pelvis's way up and down, in metres."""
    highest: float
    """Share at which the pelvis is highest."""
    reach: float
    """Largest share of the leg's length that is used."""
    lean: float
    """Degrees by which the trunk leans ahead."""
    arms: tuple[float, float, float]
    """Degrees: mean flexion of the shoulders, its amplitude, flexion of the elbows."""
    yaw: float
    """Degrees by which the pelvis turns to each side."""


WALK = Gait(
    speed=1.28, period=1.08, duty=0.61, under=0.25,
    pitch=(
        (0.0, 0.05, 0.09, 0.31, 0.42, 0.50, 0.56, 0.61, 0.70, 0.80, 0.88, 0.95, 1.0),
        (21.0, 8.0, 0.0, 0.0, -5.0, -16.0, -36.0, -62.0, -60.0, -24.0, 4.0, 20.0, 21.0),
    ),
    lift=0.058, width=0.052, bob=0.023, highest=0.26, reach=0.996, lean=3.0, arms=(2.0, 24.0, 18.0), yaw=5.0,
)  # fmt: skip
RUN = Gait(
    speed=3.0, period=0.70, duty=0.36, under=0.105,
    pitch=(
        (0.0, 0.05, 0.13, 0.20, 0.28, 0.36, 0.50, 0.65, 0.80, 0.92, 1.0),
        (8.0, 0.0, 0.0, -14.0, -38.0, -66.0, -92.0, -70.0, -15.0, 8.0, 8.0),
    ),
    lift=0.25, width=0.035, bob=0.026, highest=0.42, reach=0.987, lean=11.0, arms=(-6.0, 38.0, 92.0), yaw=9.0,
)  # fmt: skip


def gait_speed(spec: PersonSpec, gait: Gait) -> float:
    """Metres per second: at the same Froude number, speed goes with the root of the leg's length."""
    return gait.speed * math.sqrt(spec.body.scale) * math.sqrt(spec.pace)


def gait_period(spec: PersonSpec, gait: Gait) -> float:
    """Seconds per stride; with the tempo, half of the speed comes from longer strides."""
    return gait.period * math.sqrt(spec.body.scale) / math.sqrt(spec.pace) ** 0.5


def _roll(gait: Gait, k: float, share: float) -> tuple[float, float, float]:
    """A standing foot at a share of the cycle: ankle ahead of its place when flat, its height, its pitch."""
    pitch = float(curve(np.array(share), *gait.pitch))
    angle = math.radians(pitch)
    cosine, sine = math.cos(angle), math.sin(angle)
    pivot = -HEEL if pitch > 0 else BALL
    ahead = pivot + (-pivot * cosine - ANKLE * sine)
    high = -pivot * sine + ANKLE * cosine
    return ahead * k, high * k, pitch


def _foot(spec: PersonSpec, gait: Gait, cycles: float, offset: float, side: int) -> Foot:
    """A foot after a number of cycles since its first footprint; `offset` is that number at time 0."""
    k, stride = spec.body.scale, gait_speed(spec, gait) * gait_period(spec, gait)
    step = math.floor(cycles)
    share = cycles - step
    place = stride * (step + gait.under - offset)
    if share <= gait.duty:
        ahead, high, pitch = _roll(gait, k, share)
        # The toes stay on the ground while the heel rises.
        return Foot(np.array([side * gait.width * k, place + ahead, high]), 0.0, pitch, max(0.0, -pitch))
    begin, later = np.array(_roll(gait, k, gait.duty)), np.array(_roll(gait, k, gait.duty - 0.01))
    end, before = np.array(_roll(gait, k, 0.0)), np.array(_roll(gait, k, 0.01))
    swing = 1 - gait.duty
    s = (share - gait.duty) / swing
    start, stop = (begin - later) / 0.01 * swing, (before - end) / 0.01 * swing
    # A heel comes down from above, it does not skim the ground.
    stop[1] -= 0.16 * k
    end = end + np.array([stride, 0.0, 0.0])
    cubic = (
        (2 * s**3 - 3 * s**2 + 1) * begin + (s**3 - 2 * s**2 + s) * start
        + (3 * s**2 - 2 * s**3) * end + (s**3 - s**2) * stop
    )  # fmt: skip
    pitch = float(curve(np.array(share), *gait.pitch))
    # Highest in the first half of the swing, when the knee bends most.
    high = cubic[1] + gait.lift * k * math.sin(math.pi * s**0.6) ** 2
    toes = max(0.0, -pitch) * (1 - min(1.0, 2 * s))
    return Foot(np.array([side * gait.width * k, place + cubic[0], high]), 0.0, pitch, toes)


def _pelvis_turns(gait: Gait, right: float) -> Table:
    """The pelvis's frame when the right foot's cycle is at a number."""
    angle = math.tau * right
    # The hip of the foot that is set down is ahead (share 0), and lower while its foot swings.
    return turn(x=-0.3 * gait.lean, y=3.0 * math.sin(angle - 0.4), z=gait.yaw * math.cos(angle))


@lru_cache(maxsize=512)
def _pelvis_height(spec: PersonSpec, gait: Gait) -> float:
    """Mean height of the pelvis joint at which no leg is stretched beyond the gait's reach."""
    k, rest = spec.body.scale, rest_joints(spec.body)
    length = (rest[JOINTS.index("thigh_r"), 2] - ANKLE * k) * gait.reach
    lowest = math.inf
    for number in range(64):
        cycles = number / 64
        for side, sign, offset in (("r", 1, 0.0), ("l", -1, 0.5)):
            foot = _foot(spec, gait, cycles + offset, offset, sign).ankle
            pelvis = np.array([0.0, gait_speed(spec, gait) * gait_period(spec, gait) * cycles, 0.0])
            hip = rest[JOINTS.index(f"thigh_{side}")] - rest[JOINTS.index("pelvis")]
            hip = pelvis + apply(_pelvis_turns(gait, cycles), hip)
            room = length**2 - float(((foot - hip)[:2] ** 2).sum())
            highest = math.sqrt(max(room, 0.0)) + foot[2] - hip[2]
            lowest = min(lowest, highest - _bob(gait, k, cycles))
    return min(lowest, float(rest[JOINTS.index("pelvis"), 2]) - 0.012 * k)


def _bob(gait: Gait, k: float, cycles: float) -> float:
    return gait.bob * k * math.cos(4 * math.pi * (cycles - gait.highest))


def gait_pose(spec: PersonSpec, gait: Gait, time: float) -> Pose:
    """The person at a time in seconds, on the way along y."""
    k, period = spec.body.scale, gait_period(spec, gait)
    right = time / period + spec.phase
    speed, angle = gait_speed(spec, gait), math.tau * right
    sway = -0.018 * k * math.sin(angle - 0.9)
    root = np.array(
        [sway if gait is WALK else 0.4 * sway, speed * time, _pelvis_height(spec, gait) + _bob(gait, k, right)]
    )
    mean, swing, elbow = gait.arms
    turns = {
        "pelvis": _pelvis_turns(gait, right),
        "spine": turn(x=-0.4 * gait.lean, y=-2.0 * math.sin(angle - 0.4), z=-1.0 * gait.yaw * math.cos(angle)),
        "chest": turn(x=-0.3 * gait.lean, y=-1.0 * math.sin(angle - 0.4), z=-0.9 * gait.yaw * math.cos(angle)),
        "neck": turn(x=0.4 * gait.lean, z=0.5 * gait.yaw * math.cos(angle)),
        "head": turn(x=0.4 * gait.lean, z=0.4 * gait.yaw * math.cos(angle)),
    }
    for side, sign in (("r", 1), ("l", -1)):
        # An arm swings with the leg of the other side.
        forward = -sign * math.cos(angle - 0.25)
        turns[f"arm_{side}"] = arm_turn(side, mean + swing * forward, 7.0, -8.0)
        turns[f"forearm_{side}"] = turn(x=elbow + 0.5 * swing * forward)
        turns[f"hand_{side}"] = turn(x=6.0)
    feet = (
        _foot(spec, gait, right, spec.phase, 1),
        _foot(spec, gait, right + 0.5, spec.phase + 0.5, -1),
    )
    return Pose(root, turns, feet)


TURN_RATE, TURN_PERIOD = 60.0, 1.0
"""Degrees per second to the left when turning on the spot, and seconds between steps of the same foot."""


def turning_feet(spec: PersonSpec, time: float) -> tuple[float, tuple[Foot, Foot]]:
    """The way that the body faces, in degrees, and both feet, when it turns on the spot."""
    k = spec.body.scale
    period = TURN_PERIOD / spec.pace
    rate = TURN_RATE * spec.pace
    feet = []
    for sign, offset in ((1, spec.phase), (-1, spec.phase + 0.5)):
        cycles = time / period + offset
        step = math.floor(cycles)
        share = cycles - step
        s = max(0.0, (share - 0.6) / 0.4)
        eased = s * s * (3 - 2 * s)
        heading = rate * period * (step + eased + 0.3 - offset)
        ankle = apply(turn(z=heading), np.array([sign * 0.095 * k, -0.02 * k, 0.0]))
        ankle[2] = ANKLE * k + 0.06 * k * math.sin(math.pi * s) ** 2
        feet.append(Foot(ankle, heading - sign * 6.0, -12.0 * math.sin(math.pi * s) ** 2))
    return rate * time, (feet[0], feet[1])


def body_standing(body: Body) -> float:
    """Height of the pelvis joint of a person who stands at ease, in metres."""
    return float(rest_joints(body)[JOINTS.index("pelvis"), 2]) - 0.006 * body.scale
