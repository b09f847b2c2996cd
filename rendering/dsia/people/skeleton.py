"""The skeleton: joints, how they hang together, and where a pose brings them.

Every joint has a frame of its own. In the neutral stance (upright, arms down, palms to the thighs) all frames are those
of the person: x to the right, y ahead, z up. A pose turns each frame within that of its parent; the legs follow the
feet by inverse kinematics, so that a foot that stands does not slide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .spec import Body

Table = npt.NDArray[np.float64]

_CENTRE = ("ground", "pelvis", "spine", "chest", "neck", "head")
_SIDE = ("clavicle", "arm", "forearm", "hand", "thigh", "shin", "foot", "toes")
JOINTS: tuple[str, ...] = (*_CENTRE, *(f"{name}_{side}" for side in "rl" for name in _SIDE))
"""Names; `_r` is the person's right. Each stands at the beginning of its bone; `ground` does not move."""

PARENTS: dict[str, str] = {"spine": "pelvis", "chest": "spine", "neck": "chest", "head": "neck"} | {
    f"{name}_{side}": parent if parent in _CENTRE else f"{parent}_{side}"
    for side in "rl"
    for name, parent in (
        ("clavicle", "chest"), ("arm", "clavicle"), ("forearm", "arm"), ("hand", "forearm"),
        ("thigh", "pelvis"), ("shin", "thigh"), ("foot", "shin"), ("toes", "foot"),
    )
}  # fmt: skip
"""Joint to the one that carries it; `ground` and `pelvis` are carried by none."""

MIRROR: list[int] = [
    JOINTS.index(name[:-1] + {"r": "l", "l": "r"}[name[-1]] if name[-2:] in ("_r", "_l") else name) for name in JOINTS
]
"""Index of each joint's counterpart on the other side."""

REST_SPREAD = 38.0
"""Degrees by which the arms are spread in the pose that bodies are built in: halfway in what shoulders do."""


def turn(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Table:
    """Rotation (3, 3) about x, then y, then z, by degrees, counter-clockwise seen against the axis."""
    (a, b, c) = (math.radians(each) for each in (x, y, z))
    about_x = np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
    about_y = np.array([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
    about_z = np.array([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    return times(about_z, times(about_y, about_x))


def times(first: Table, second: Table) -> Table:
    """Product of two rotations; by `einsum`, whose sums do not depend on the number of threads."""
    return np.einsum("ij,jk->ik", first, second)


def apply(rotation: Table, vector: Table) -> Table:
    """A rotated vector (3,)."""
    return np.einsum("ij,j->i", rotation, vector)


@dataclass(frozen=True)
class Foot:
    """Where a foot is, from the person's origin."""

    ankle: Table
    """(3,) place of the ankle joint, in metres."""
    heading: float = 0.0
    """Degrees to the left."""
    pitch: float = 0.0
    """Degrees by which the toes are lifted above the heel."""
    toes: float = 0.0
    """Degrees by which the toes are bent upwards against the foot."""


@dataclass(frozen=True)
class Pose:
    """One moment of a movement."""

    root: Table
    """(3,) place of the pelvis joint, in metres."""
    turns: Mapping[str, Table]
    """Joint to its rotation (3, 3) within its parent's frame; without an entry there is none."""
    feet: tuple[Foot, Foot]
    """The right and the left one."""


def rest_joints(body: Body) -> Table:
    """Places (J, 3) of the joints in the neutral stance, in metres, the soles on z = 0.

    Lengths are shares of the height after Winter, Biomechanics and Motor Control of Human Movement (2009), figure 4.1,
    applied below the chin so that children, whose heads are large, keep plausible legs.
    """
    k, shoulder = body.scale, 0.172 - 0.024 * body.curves
    shoulder *= 0.35 + 0.65 * min(body.girth, 1.25)
    hip = 0.087 * (0.5 + 0.5 * body.girth)
    centre = {
        "ground": (0.0, 0.0, 0.0), "pelvis": (0.0, 0.0, 0.955), "spine": (0.0, -0.01, 1.06),
        "chest": (0.0, -0.015, 1.19), "neck": (0.0, -0.02, 1.465),
    }  # fmt: skip
    side = {
        "clavicle": (0.03, -0.01, 1.40), "arm": (shoulder, -0.012, 1.39), "forearm": (shoulder, -0.012, 1.092),
        "hand": (shoulder, -0.012, 0.838), "thigh": (hip, 0.0, 0.92), "shin": (hip, 0.0, 0.495),
        "foot": (hip, 0.0, 0.085), "toes": (hip, 0.122, 0.0),
    }  # fmt: skip
    places = {name: np.array(place) * k for name, place in centre.items()}
    places["head"] = np.array([0.0, -0.012 * k, body.chin + 0.12 * body.head])
    for name, place in side.items():
        places[f"{name}_r"] = np.array(place) * k
        places[f"{name}_l"] = np.array([-place[0], place[1], place[2]]) * k
    return np.array([places[name] for name in JOINTS])


def arm_turn(side: str, flexion: float = 0.0, spread: float = 0.0, twist: float = 0.0) -> Table:
    """Rotation of an upper arm: twisted outwards, lifted ahead by `flexion`, then sideways by `spread` degrees."""
    sign = 1 if side == "r" else -1
    return times(turn(y=-sign * spread), times(turn(x=flexion), turn(z=-sign * twist)))


def bind_frames(rest: Table) -> tuple[Table, Table]:
    """Frames (J, 3, 3) and places (J, 3) of the joints in the pose that bodies are built in: arms half spread."""
    turns = {f"arm_{side}": arm_turn(side, spread=REST_SPREAD) for side in "rl"}
    return _forward(rest, {name: turns[name] for name in turns}, rest[JOINTS.index("pelvis")])


def posed_frames(rest: Table, pose: Pose) -> tuple[Table, Table]:
    """Frames (J, 3, 3) and places (J, 3) of the joints in a pose."""
    frames, places = _forward(rest, pose.turns, pose.root)
    for side, foot in zip("rl", pose.feet, strict=True):
        _stand(rest, frames, places, side, foot)
    return frames, places


def _forward(rest: Table, turns: Mapping[str, Table], root: Table) -> tuple[Table, Table]:
    frames, places = np.tile(np.eye(3), (len(JOINTS), 1, 1)), rest.copy()
    for number, name in enumerate(JOINTS[1:], start=1):
        own = turns.get(name)
        if name == "pelvis":
            frames[number], places[number] = np.eye(3) if own is None else own, root
            continue
        parent = JOINTS.index(PARENTS[name])
        frames[number] = frames[parent] if own is None else times(frames[parent], own)
        places[number] = places[parent] + apply(frames[parent], rest[number] - rest[parent])
    return frames, places


def _stand(rest: Table, frames: Table, places: Table, side: str, foot: Foot) -> None:
    """Bring one leg to its foot: the knee bends in the plane between the ways that pelvis and foot face."""
    thigh, shin, ankle, toes = (JOINTS.index(f"{name}_{side}") for name in ("thigh", "shin", "foot", "toes"))
    upper, lower = rest[thigh, 2] - rest[shin, 2], rest[shin, 2] - rest[ankle, 2]
    flat = turn(z=foot.heading)
    towards = foot.ankle - places[thigh]
    distance = math.sqrt(float((towards * towards).sum()))
    down = towards / distance
    distance = min(distance, 0.9999 * (upper + lower))
    ahead = frames[JOINTS.index("pelvis")][:, 1] + 1.5 * flat[:, 1]
    # A thigh that points ahead, as when sitting, leaves the knee only the way up.
    ahead = ahead + np.array([0.0, 0.0, 0.3]) * max(0.0, float((down * ahead).sum()))
    across = np.cross(ahead, -down)
    across = across / math.sqrt(float((across * across).sum()))
    out = np.cross(-down, across)
    cosine = (upper**2 + distance**2 - lower**2) / (2 * upper * distance)
    along, aside = upper * cosine, upper * math.sqrt(max(0.0, 1 - cosine**2))
    places[shin] = places[thigh] + along * down + aside * out
    places[ankle] = places[thigh] + distance * down
    for joint, begin, end, length in ((thigh, thigh, shin, upper), (shin, shin, ankle, lower)):
        up = (places[begin] - places[end]) / length
        frames[joint] = np.stack([across, np.cross(up, across), up], axis=1)
    frames[ankle] = times(flat, turn(x=foot.pitch))
    frames[toes] = times(frames[ankle], turn(x=foot.toes))
    places[toes] = places[ankle] + apply(frames[ankle], rest[toes] - rest[ankle])
