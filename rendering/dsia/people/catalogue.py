"""The characters and what they do: the whole interface of this package.

A person's own coordinates are metres: x to the right, y ahead, z up, the ground at z = 0.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np

from ...parallax.meshes import Mesh
from ..coverings import Covering
from . import actions
from .coverings import coverings
from .figure import figure, figure_mesh, posed_vertices
from .roster import ROSTER
from .spec import PersonSpec

PEOPLE: int = len(ROSTER)
"""Number of characters."""
ACTIONS: tuple[str, ...] = tuple(actions.ACTIONS)
"""What they can do."""

_MOMENTS, _MARGIN = 24, 0.05


def person(number: int) -> PersonSpec:
    """A character; `number` in [0, PEOPLE)."""
    return ROSTER[number]


def person_mesh(spec: PersonSpec, action: str, time: float) -> Mesh:
    """A person in the middle of an action.

    The person walks and runs along +y and passes the origin at time 0; all other actions stay around it. Faces,
    surfaces and texture are the same at all times. Someone who sits brings the seat along, which stands still.

    Args:
        spec: the character.
        action: one of `ACTIONS`.
        time: in seconds; any number.
    """
    return figure_mesh(figure(spec, action == "sit"), actions.moment(spec, action, time))


def person_coverings(spec: PersonSpec) -> list[Covering]:
    """What the surfaces of `person_mesh` show, by their index; the same for all actions."""
    return coverings(spec)


def action_speed(spec: PersonSpec, action: str) -> float:
    """Metres per second along +y; 0 on the spot."""
    return actions.ACTIONS[action].speed(spec)


def action_period(spec: PersonSpec, action: str) -> float:
    """Seconds after which an action repeats, but for the way travelled."""
    return actions.ACTIONS[action].period(spec)


@lru_cache(maxsize=512)
def action_radius(spec: PersonSpec, action: str) -> float:
    """Radius, in metres, of the upright cylinder around the moving origin that holds the body at all times."""
    whole, move = figure(spec, action == "sit"), actions.ACTIONS[action]
    # Two neighbours of three may be left out: they are nearer than the margin.
    part = replace(whole.part, vertices=whole.part.vertices[::3], weights=whole.part.weights[::3])
    body = replace(whole, part=part)
    most = 0.0
    for moment in range(_MOMENTS):
        time = move.period(spec) * moment / _MOMENTS
        vertices = posed_vertices(body, actions.moment(spec, action, time))
        ahead = vertices[:, 1] - move.speed(spec) * time
        most = max(most, float(np.max(vertices[:, 0] ** 2 + ahead**2)))
    return math.sqrt(most) + _MARGIN


__all__ = [
    "ACTIONS",
    "PEOPLE",
    "PersonSpec",
    "action_period",
    "action_radius",
    "action_speed",
    "person",
    "person_coverings",
    "person_mesh",
]
