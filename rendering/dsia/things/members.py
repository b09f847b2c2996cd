"""What a thing of the catalogue is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .bench import Bench

Motion = Literal["roll", "slide", "spin", "fly", "tumble"]
"""How a thing moves: rolls forward, about the own x axis through its middle; slides forward on the ground; turns on
the spot about the own z axis; flies; is tossed through the air, turning."""


@dataclass(frozen=True)
class Member:
    """One thing of the catalogue, and how it is built."""

    family: str
    name: str
    motion: Motion
    build: Callable[[Bench], None]
    """Puts it together: x to the right, y forward, z up, its lowest point anywhere; the origin's place in x and y is
    that of the thing."""
