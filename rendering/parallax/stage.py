"""Where the first camera of a scene stands."""

from __future__ import annotations

from dataclasses import dataclass

from ..cameras import Vector


@dataclass(frozen=True)
class Stage:
    """The place of the first camera; it looks along +y, turned."""

    eye: Vector
    pan: float
    """Turn to the left, in degrees."""
    tilt: float
    """Turn up, in degrees."""
