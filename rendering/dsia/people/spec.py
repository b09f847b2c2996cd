"""A person as pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Colour = tuple[int, int, int]
"""sRGB, 0 to 255."""
Age = Literal["child", "adult", "elder"]
Hair = Literal[
    "bald", "buzz", "short", "quiff", "curls", "afro", "bob", "long", "bun", "ponytail", "braids", "receding",
    "cap", "beanie", "scarf", "straw",
]  # fmt: skip
"""A hair style, or what is worn over it."""
TopCut = Literal["tee", "shirt", "sweater", "hoodie", "jacket", "suit", "coat", "tank", "blouse", "vest", "dress"]
BottomCut = Literal["trousers", "jeans", "shorts", "skirt", "maxi", "leggings"]
ShoeCut = Literal["sneakers", "leather", "boots", "flats"]
Beard = Literal["none", "stubble", "moustache", "full"]
Glasses = Literal["none", "clear", "dark"]
Pattern = Literal[
    "plain", "stripes", "pinstripe", "check", "dots", "flowers", "blocks", "denim", "knit", "print", "camo"
]


@dataclass(frozen=True)
class Body:
    """What a body is built like."""

    age: Age
    height: float
    """From the ground to the top of the head, in metres."""
    curves: float
    """From 0, broad shoulders and narrow hips, to 1, the reverse with a bust."""
    girth: float
    """Widths of trunk and limbs relative to those of an average adult of that height."""
    belly: float
    """How far the belly stands out, in metres, for a height of 1.75 m."""

    @property
    def head(self) -> float:
        """Chin to crown, in metres: adults are 7.5 heads tall, a child of six about 5.8."""
        heads = 7.5 if self.age != "child" else 5.8 + 1.7 * (self.height - 1.15) / 0.6
        return self.height / heads

    @property
    def chin(self) -> float:
        """Height of the chin, in metres."""
        return self.height - self.head

    @property
    def scale(self) -> float:
        """Size of trunk and limbs relative to a man of 1.75 m."""
        return self.chin / 1.517


@dataclass(frozen=True)
class Face:
    """What a head looks like."""

    skin: Colour
    hair: Hair
    hair_colour: Colour
    eyes: Colour
    beard: Beard = "none"
    glasses: Glasses = "none"


@dataclass(frozen=True)
class Top:
    """What the upper body wears."""

    cut: TopCut
    pattern: Pattern
    colours: tuple[Colour, Colour]
    """Its own and the pattern's; of a jacket, suit or coat the second is what is worn below."""


@dataclass(frozen=True)
class Bottom:
    """What the legs wear; below a dress it is not seen."""

    cut: BottomCut
    pattern: Pattern
    colours: tuple[Colour, Colour]


@dataclass(frozen=True)
class PersonSpec:
    """One character."""

    number: int
    body: Body
    face: Face
    top: Top
    bottom: Bottom
    shoes: tuple[ShoeCut, Colour]
    backpack: bool
    extra_colour: Colour
    """Of the hat, the scarf or the backpack."""
    pace: float
    """Tempo of all actions, around 1."""
    phase: float
    """Share of an action's period that has passed at time 0."""

    @property
    def height(self) -> float:
        """From the ground to the top of the head without hair, in metres."""
        return self.body.height
