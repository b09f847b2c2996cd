"""What people do: a pose for every moment in time, periodic but for the way that is travelled."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .figure import SEAT_PLACE, seat_height
from .gait import ANKLE, RUN, TURN_RATE, WALK, body_standing, gait_period, gait_pose, gait_speed, turning_feet
from .lofts import Table, curve
from .skeleton import Foot, Pose, arm_turn, times, turn
from .spec import PersonSpec


@dataclass(frozen=True)
class Action:
    """A movement."""

    pose: Callable[[PersonSpec, float], Pose]
    """From seconds to the pose, around the origin."""
    period: Callable[[PersonSpec], float]
    """Seconds after which it repeats."""
    speed: Callable[[PersonSpec], float]
    """Metres per second along y."""


def _share(spec: PersonSpec, time: float, period: float) -> float:
    return (time * spec.pace / period + spec.phase) % 1.0


def _keyed(share: float, *keys: tuple[float, float]) -> float:
    """A smooth curve through (share, value), from 0 to 1."""
    return float(curve(np.array(share), [each[0] for each in keys], [each[1] for each in keys]))


def _feet(
    spec: PersonSpec, ahead: float = 0.0, wide: float = 0.10, pitch: float = 0.0, high: float = 0.0
) -> tuple[Foot, Foot]:
    """Both feet side by side, turned out a little."""
    k = spec.body.scale
    # Standing on the balls of the feet lifts the ankles, and brings them ahead.
    angle = math.radians(pitch)
    lift = -0.122 * math.sin(angle) + ANKLE * (math.cos(angle) - 1)
    shift = 0.122 * (1 - math.cos(angle)) - ANKLE * math.sin(angle)
    right, left = (
        Foot(
            np.array([sign * wide, ahead + shift, ANKLE + lift + high]) * k,
            -sign * 9.0,
            pitch,
            -pitch * max(0.0, 1 - 20 * high),
        )
        for sign in (1, -1)
    )
    return right, left


def _root(spec: PersonSpec, x: float = 0.0, y: float = 0.0, down: float = 0.0) -> Table:
    k = spec.body.scale
    return np.array([x * k, y * k, body_standing(spec.body) - down * k])


def _hanging(spec: PersonSpec, spread: float = 8.0, elbow: float = 14.0) -> dict[str, Table]:
    turns = {}
    for side in "rl":
        turns[f"arm_{side}"] = arm_turn(side, 2.0, spread, -6.0)
        turns[f"forearm_{side}"] = turn(x=elbow)
    return turns


def _idle(share: float) -> dict[str, Table]:
    """Breath and small movements of trunk and head."""
    angle = math.tau * share
    return {
        "pelvis": turn(y=1.2 * math.sin(angle)),
        "spine": turn(x=-1.0, y=-1.5 * math.sin(angle)),
        "chest": turn(x=0.8 * math.sin(2 * angle), y=-0.8 * math.sin(angle)),
        "neck": turn(x=-2.0, z=4.0 * math.sin(angle + 1)),
        "head": turn(x=1.0 * math.cos(2 * angle), z=6.0 * math.sin(angle + 1)),
    }


_WAVE, _SIT, _BEND, _REACH, _JUMP = 3.6, 8.0, 4.4, 4.0, 1.7
"""Periods in seconds, for a pace of 1."""


def _wave(spec: PersonSpec, time: float) -> Pose:
    """The right arm is raised and the hand waved three times, then the arm comes down and goes up again."""
    share = _share(spec, time, _WAVE)
    up = _keyed(share, (0.0, 0.0), (0.12, 0.85), (0.2, 1.0), (0.78, 1.0), (0.9, 0.15), (1.0, 0.0))
    swing = math.sin(math.tau * 6 * share) * _keyed(
        share, (0.0, 0.0), (0.16, 0.0), (0.26, 1.0), (0.72, 1.0), (0.8, 0.0), (1.0, 0.0)
    )
    turns = _hanging(spec) | _idle(share)
    turns["clavicle_r"] = turn(y=-14.0 * up)
    turns["arm_r"] = arm_turn("r", 2.0 + 22.0 * up, 8.0 + 84.0 * up, -6.0 + 96.0 * up)
    turns["forearm_r"] = turn(x=14.0 + 66.0 * up + 24.0 * swing)
    turns["hand_r"] = times(turn(x=10.0 * swing), turn(z=-70.0 * up))
    turns["head"] = times(turns["head"], turn(y=3.0 * up))
    root = _root(spec, x=0.012 * math.sin(math.tau * share), down=0.004)
    return Pose(root, turns, _feet(spec))


def _sit(spec: PersonSpec, time: float) -> Pose:
    """Standing, sitting down on the seat, sitting, rising."""
    share = _share(spec, time, _SIT)
    down = _keyed(share, (0.0, 0.0), (0.12, 0.0), (0.30, 1.0), (0.78, 1.0), (0.96, 0.0), (1.0, 0.0))
    # The trunk leans ahead while the weight goes over the feet.
    lean = math.sin(math.pi * down)
    k, body = spec.body.scale, spec.body
    begin, ahead = 0.10, 0.145
    sitting = seat_height(body) + 0.088 * k * (0.5 + 0.5 * body.girth) + 0.052 * k
    # The hips go back first and then down, as in a squat.
    back = 1 - (1 - down) ** 1.6
    root = np.array([0.0, (begin + (SEAT_PLACE + 0.02 - begin) * back) * k, 0.0])
    root[2] = body_standing(body) * (1 - down) + sitting * down
    turns = _hanging(spec) | _idle(share)
    turns["pelvis"] = turn(x=-30.0 * lean + 4.0 * down)
    turns["spine"] = turn(x=-12.0 * lean - 4.0 * down)
    turns["chest"] = turn(x=-8.0 * lean - 2.0 * down)
    turns["neck"] = turn(x=22.0 * lean, z=8.0 * math.sin(math.tau * 2 * share) * down)
    turns["head"] = turn(x=14.0 * lean, z=14.0 * math.sin(math.tau * 2 * share) * down)
    for side in "rl":
        turns[f"arm_{side}"] = arm_turn(side, 2.0 + 24.0 * down + 22.0 * lean, 8.0 + 4.0 * down, -6.0 - 14.0 * down)
        turns[f"forearm_{side}"] = turn(x=14.0 + 27.0 * down)
        turns[f"hand_{side}"] = turn(z=(30.0 if side == "r" else -30.0) * down)
    return Pose(root, turns, _feet(spec, ahead=ahead, wide=0.115))


def _turn(spec: PersonSpec, time: float) -> Pose:
    """Around on the spot, to the left, step by step; the head looks ahead of the turn."""
    heading, feet = turning_feet(spec, time)
    angle = math.tau * (time * spec.pace + spec.phase)
    turns = _hanging(spec, spread=9.0, elbow=18.0)
    turns |= {
        "pelvis": times(turn(z=heading), turn(y=2.5 * math.sin(angle))),
        "spine": turn(x=-2.0, y=-2.5 * math.sin(angle), z=4.0),
        "chest": turn(z=5.0),
        "neck": turn(z=8.0),
        "head": turn(z=10.0),
    }
    for side, sign in (("r", 1), ("l", -1)):
        turns[f"arm_{side}"] = arm_turn(side, 4.0 + 8.0 * sign * math.sin(angle), 9.0, -6.0)
    return Pose(_root(spec, down=0.03 + 0.008 * math.cos(2 * angle)), turns, feet)


def _bend(spec: PersonSpec, time: float) -> Pose:
    """Bending down to the ground with both hands, and up again."""
    share = _share(spec, time, _BEND)
    low = _keyed(share, (0.0, 0.0), (0.1, 0.0), (0.42, 1.0), (0.58, 1.0), (0.9, 0.0), (1.0, 0.0))
    turns = _hanging(spec)
    turns |= {
        "pelvis": turn(x=-48.0 * low),
        "spine": turn(x=-1.0 - 20.0 * low),
        "chest": turn(x=-16.0 * low),
        "neck": turn(x=-2.0 + 14.0 * low),
        "head": turn(x=16.0 * low),
    }
    for side in "rl":
        turns[f"arm_{side}"] = arm_turn(side, 2.0 + 72.0 * low, 8.0 - 2.0 * low, -6.0)
        turns[f"forearm_{side}"] = turn(x=14.0 + 8.0 * low)
    return Pose(_root(spec, y=-0.14 * low - 0.01, down=0.30 * low), turns, _feet(spec, ahead=-0.02, wide=0.13))


def _reach(spec: PersonSpec, time: float) -> Pose:
    """Reaching up, as to a shelf, with one hand and then the other, on tiptoe."""
    share = _share(spec, time, _REACH)
    up = {"r": _keyed((share * 2) % 2, (0.0, 0.0), (0.35, 1.0), (0.65, 1.0), (1.0, 0.0), (2.0, 0.0))}
    up["l"] = _keyed((share * 2 + 1) % 2, (0.0, 0.0), (0.35, 1.0), (0.65, 1.0), (1.0, 0.0), (2.0, 0.0))
    most, tilt = max(up.values()), up["r"] - up["l"]
    turns = _hanging(spec)
    turns |= {
        "pelvis": turn(y=-2.0 * tilt),
        "spine": turn(x=2.0 * most, y=-3.0 * tilt),
        "chest": turn(x=3.0 * most, y=-4.0 * tilt, z=8.0 * tilt),
        "neck": turn(x=6.0 * most, y=3.0 * tilt),
        "head": turn(x=14.0 * most, y=3.0 * tilt),
    }
    for side, sign in (("r", 1), ("l", -1)):
        turns[f"clavicle_{side}"] = turn(y=-sign * 16.0 * up[side])
        turns[f"arm_{side}"] = arm_turn(side, 2.0 + 146.0 * up[side], 8.0 - 2.0 * up[side], -6.0)
        turns[f"forearm_{side}"] = turn(x=14.0 + 40.0 * math.sin(math.pi * up[side]))
    pitch = -24.0 * most
    return Pose(_root(spec, y=0.03 * most, down=0.004 - 0.045 * most), turns, _feet(spec, pitch=pitch))


def _jump(spec: PersonSpec, time: float) -> Pose:
    """Jumping for joy: crouched, off the ground with the arms up, and down again."""
    share = _share(spec, time, _JUMP)
    down = _keyed(
        share,
        (0.0, 0.03),
        (0.08, 0.05),
        (0.27, 0.25),
        (0.40, 0.012),
        (0.66, 0.012),
        (0.78, 0.20),
        (0.95, 0.04),
        (1.0, 0.03),
    )
    flight = (share - 0.42) / 0.24
    high = max(0.0, 4 * flight * (1 - flight)) * 0.26
    arms = _keyed(share, (0.0, 0.1), (0.21, -0.25), (0.45, 1.0), (0.6, 1.0), (0.86, 0.15), (1.0, 0.1))
    pitch = _keyed(share, (0.0, 0.0), (0.34, 0.0), (0.42, -32.0), (0.50, -45.0), (0.60, -28.0), (0.66, 0.0), (1.0, 0.0))
    lean = _keyed(share, (0.0, 4.0), (0.27, 34.0), (0.42, 0.0), (0.62, 2.0), (0.78, 26.0), (1.0, 4.0))
    turns = {
        "pelvis": turn(x=-0.6 * lean), "spine": turn(x=-0.3 * lean), "chest": turn(x=-0.1 * lean),
        "neck": turn(x=0.5 * lean), "head": turn(x=0.2 * lean + 6.0 * arms),
    }  # fmt: skip
    for side, sign in (("r", 1), ("l", -1)):
        turns[f"clavicle_{side}"] = turn(y=-sign * 14.0 * max(0.0, arms))
        turns[f"arm_{side}"] = arm_turn(side, 4.0 + 138.0 * arms, 8.0 + 16.0 * max(0.0, arms), -6.0)
        turns[f"forearm_{side}"] = turn(x=22.0 - 6.0 * arms)
    # What the ankles rise on tiptoe is not the knees' to stretch.
    rise = 0.122 * math.sin(math.radians(-pitch))
    feet = _feet(spec, pitch=pitch, high=high)
    return Pose(_root(spec, y=-0.35 * down, down=down - high - 0.6 * rise), turns, feet)


def _still(_: PersonSpec) -> float:
    return 0.0


def _lasting(seconds: float) -> Callable[[PersonSpec], float]:
    return lambda spec: seconds / spec.pace


ACTIONS: dict[str, Action] = {
    "walk": Action(
        lambda spec, time: gait_pose(spec, WALK, time),
        lambda spec: gait_period(spec, WALK),
        lambda spec: gait_speed(spec, WALK),
    ),
    "run": Action(
        lambda spec, time: gait_pose(spec, RUN, time),
        lambda spec: gait_period(spec, RUN),
        lambda spec: gait_speed(spec, RUN),
    ),
    "wave": Action(_wave, _lasting(_WAVE), _still),
    "sit": Action(_sit, _lasting(_SIT), _still),
    "turn": Action(_turn, _lasting(360 / TURN_RATE), _still),
    "bend": Action(_bend, _lasting(_BEND), _still),
    "reach": Action(_reach, _lasting(_REACH), _still),
    "jump": Action(_jump, _lasting(_JUMP), _still),
}
"""By name."""

_STOOP = {"spine": -6.0, "chest": -7.0, "neck": 3.0, "head": 7.0}
"""Degrees by which old people's trunks lean ahead, and by which the neck makes up for it."""


def moment(spec: PersonSpec, action: str, time: float) -> Pose:
    """The pose of a person at a time, in seconds, of one of `ACTIONS`."""
    pose = ACTIONS[action].pose(spec, time)
    if spec.body.age != "elder":
        return pose
    bent = {joint: times(pose.turns.get(joint, np.eye(3)), turn(x=angle)) for joint, angle in _STOOP.items()}
    return replace(pose, turns={**pose.turns, **bent})
