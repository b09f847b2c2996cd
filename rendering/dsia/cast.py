"""Who is in a scene: people and things of the catalogues, or the user's own."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..streams import choice, count
from .assets import AssetSpec
from .config import DsiaConfig
from .people.catalogue import ACTIONS, PEOPLE, action_radius, action_speed, person, person_mesh
from .scenes import PoseSpec
from .things.catalogue import THINGS, thing, thing_mesh

Points = npt.NDArray[np.float64]

WALKS = ("walk", "run")
"""What people do that brings them elsewhere."""
WIDEST_INDOORS = 0.8
"""Radius of the widest thing that may be in a room, in metres."""
FEW = 7
"""One of so many vertices tells how the whole moves."""
STROLL = 1.3
"""Speed, in metres per second, of a user's character, whose clip is taken as a walk on the spot."""


@dataclass(frozen=True)
class Member:
    """One who may appear."""

    kind: Literal["person", "thing"]
    number: int
    """Index in its catalogue, or in the user's assets."""
    asset: AssetSpec | None
    height: float

    @property
    def motion(self) -> str:
        """How a thing moves; a person by its actions."""
        return "" if self.kind == "person" else "slide" if self.asset else thing(self.number).motion

    def radius(self, action: str) -> float:
        """Of the upright cylinder around it, in metres."""
        if self.asset:
            return self.asset.radius
        return action_radius(person(self.number), action) if self.kind == "person" else thing(self.number).radius

    def travel(self, action: str) -> float:
        """Speed that the action itself has, along the own y axis, in metres per second."""
        return 0.0 if self.asset or self.kind == "thing" else action_speed(person(self.number), action)

    def points(self, action: str, pose: PoseSpec) -> Points:
        """Some points (N, 3) of its surface in the world, the same ones in every pose."""
        if self.asset:
            own = _corners(self.asset)
        elif self.kind == "person":
            own = person_mesh(person(self.number), action, pose.time).vertices[::FEW]
        else:
            own = _thing_points(self.number)
        axes = np.array([pose.x, pose.y, pose.z])
        return np.asarray(pose.position) + sum(own[:, [axis]] * axes[axis] for axis in range(3))


@lru_cache(maxsize=16)
def _thing_points(number: int) -> Points:
    return thing_mesh(thing(number)).vertices[::FEW]


def _corners(asset: AssetSpec) -> Points:
    side, top = asset.radius / 2, asset.height
    return np.array([[x, y, z] for x in (-side, side) for y in (-side, side) for z in (0.0, top / 2, top)])


def draw_cast(
    config: DsiaConfig,
    characters: Sequence[AssetSpec],
    objects: Sequence[AssetSpec],
    rng: random.Random,
    *,
    indoors: bool,
) -> list[Member]:
    """Who is in a scene, no one twice as long as there are enough.

    Args:
        config: how many.
        characters: the user's own, in place of the built-in people.
        objects: the user's own, in place of the built-in things.
        rng: where they are drawn from.
        indoors: leave out what is too wide for a room.
    """
    people = _several(rng, range(len(characters) or PEOPLE), count(rng, config.people))
    widest = WIDEST_INDOORS if indoors else math.inf
    radii = [each.radius for each in objects] or _radii()
    things = _several(rng, [number for number, each in enumerate(radii) if each <= widest], count(rng, config.things))
    members = []
    for number in people:
        mine = characters[number] if characters else None
        members.append(Member("person", number, mine, mine.height if mine else person(number).height))
    for number in things:
        own = objects[number] if objects else None
        members.append(Member("thing", number, own, own.height if own else thing(number).height))
    return members


@lru_cache(maxsize=1)
def _radii() -> list[float]:
    return [thing(number).radius for number in range(THINGS)]


def _several(rng: random.Random, options: Sequence[int], number: int) -> list[int]:
    left = list(options)
    return [left.pop(int(rng.random() * len(left))) for _ in range(min(number, len(left)))]


def draw_action(member: Member, *, large: bool, rng: random.Random) -> str:
    """What a member does; who shall move far rather walks."""
    if member.kind == "thing":
        return member.motion
    if member.asset:
        return member.asset.actions[0] if member.asset.actions else ""
    return choice(rng, WALKS) if rng.random() < (0.8 if large else 0.4) else choice(rng, ACTIONS)
