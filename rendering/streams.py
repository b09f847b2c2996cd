"""Named streams of random numbers: the same on every machine, Python and NumPy.

Each part of a scene draws from its own stream, named after what it draws, so that a changed setting of the lights
leaves the cameras as they were. Only `random.Random.random` is used, whose sequence Python guarantees.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

Range = tuple[float, float]
"""Lowest and highest value."""


def stream(kind: str, seed: int, index: int, *part: str | int) -> random.Random:
    """The random numbers of one part of scene `index` of the dataset of a kind with this seed."""
    name = "/".join([kind, str(seed), str(index), *map(str, part)])
    return random.Random(int.from_bytes(hashlib.sha256(name.encode()).digest(), "big"))


def uniform(rng: random.Random, bounds: Range) -> float:
    """A number from the range."""
    return bounds[0] + (bounds[1] - bounds[0]) * rng.random()


def count(rng: random.Random, bounds: tuple[int, int]) -> int:
    """A whole number from the range, both ends included."""
    return bounds[0] + int(rng.random() * (bounds[1] - bounds[0] + 1))


def choice(rng: random.Random, options: Sequence[T]) -> T:
    """One of the options."""
    return options[int(rng.random() * len(options))]
