"""Who there is: the characters, one row each."""

from __future__ import annotations

from ...streams import stream, uniform
from .spec import (
    Age,
    Beard,
    Body,
    Bottom,
    BottomCut,
    Colour,
    Face,
    Glasses,
    Hair,
    Pattern,
    PersonSpec,
    ShoeCut,
    Top,
    TopCut,
)

_C: dict[str, Colour] = {
    # Skin.
    "ivory": (240, 208, 186), "fair": (230, 190, 164), "rosy": (234, 184, 160), "olive": (208, 166, 128),
    "tan": (192, 142, 104), "bronze": (162, 110, 76), "brown": (128, 84, 58), "umber": (98, 64, 46),
    "ebony": (72, 47, 36),
    # Hair.
    "jet": (26, 23, 23), "dark": (48, 34, 27), "chestnut": (92, 58, 36), "auburn": (128, 62, 34),
    "ginger": (178, 96, 44), "blond": (204, 166, 102), "sandy": (158, 122, 78), "grey": (150, 148, 146),
    "white": (214, 212, 208),
    # Eyes.
    "hazel": (112, 82, 48), "coffee": (72, 46, 30), "blue": (88, 128, 168), "green": (92, 126, 88),
    # Cloth.
    "snow": (236, 235, 230), "cream": (228, 216, 190), "sand": (196, 176, 140), "khaki": (142, 128, 92),
    "coal": (40, 41, 45), "slate": (86, 92, 102), "silver": (168, 170, 174), "navy": (36, 46, 84),
    "royal": (44, 82, 168), "sky": (128, 172, 214), "denim": (62, 86, 128), "faded": (128, 152, 188),
    "teal": (28, 118, 122), "mint": (150, 206, 178), "forest": (38, 84, 54), "moss": (98, 112, 58),
    "lime": (184, 212, 44), "lemon": (238, 216, 88), "mustard": (206, 156, 40), "orange": (232, 118, 36),
    "rust": (168, 78, 42), "red": (190, 38, 40), "wine": (112, 30, 48), "rose": (222, 128, 146),
    "pink": (234, 108, 158), "lilac": (176, 146, 206), "violet": (98, 58, 140), "cocoa": (98, 66, 46),
    "camel": (186, 142, 92),
}  # fmt: skip

_Row = tuple[
    Age,
    float,
    float,
    float,
    float,
    str,
    Hair,
    str,
    str,
    str,
    TopCut,
    Pattern,
    str,
    str,
    BottomCut,
    Pattern,
    str,
    str,
    ShoeCut,
    str,
    str,
]
# Age, height, curves, girth, belly; skin, hair, its colour, eyes, face; top, pattern, two colours; bottom, pattern, two
# colours; shoes and their colour; what else: a colour, after "pack " for a rucksack.
_ROWS: tuple[_Row, ...] = (
    ("adult", 1.80, 0.0, 1.00, 0.00, "fair", "short", "chestnut", "blue", "",
     "tee", "stripes", "snow", "navy", "jeans", "denim", "denim", "faded", "sneakers", "red", "slate"),
    ("adult", 1.68, 1.0, 0.96, 0.00, "rosy", "long", "blond", "green", "",
     "dress", "flowers", "royal", "snow", "skirt", "plain", "royal", "snow", "flats", "navy", "slate"),
    ("adult", 1.77, 0.05, 1.05, 0.01, "brown", "buzz", "jet", "coffee", "stubble",
     "suit", "plain", "slate", "wine", "trousers", "plain", "slate", "slate", "leather", "coal", "slate"),
    ("child", 1.30, 0.3, 0.92, 0.00, "fair", "ponytail", "ginger", "green", "",
     "tee", "plain", "lemon", "snow", "leggings", "dots", "pink", "snow", "sneakers", "violet", "pack pink"),
    ("adult", 1.74, 0.1, 1.18, 0.06, "olive", "receding", "dark", "hazel", "moustache",
     "shirt", "check", "red", "snow", "trousers", "plain", "khaki", "khaki", "boots", "cocoa", "slate"),
    ("adult", 1.66, 0.9, 0.94, 0.00, "tan", "bun", "jet", "coffee", "",
     "blouse", "plain", "teal", "snow", "trousers", "plain", "coal", "coal", "flats", "coal", "slate"),
    ("elder", 1.70, 0.1, 1.04, 0.03, "fair", "receding", "white", "blue", "clear",
     "sweater", "knit", "forest", "moss", "trousers", "plain", "camel", "camel", "leather", "cocoa", "slate"),
    ("adult", 1.84, 0.0, 0.97, 0.00, "ebony", "afro", "jet", "coffee", "",
     "hoodie", "print", "orange", "snow", "jeans", "denim", "coal", "slate", "sneakers", "snow", "slate"),
    ("adult", 1.71, 0.95, 1.02, 0.00, "umber", "braids", "jet", "coffee", "",
     "tank", "plain", "lemon", "snow", "shorts", "denim", "denim", "faded", "sneakers", "lemon", "slate"),
    ("adult", 1.63, 0.85, 1.00, 0.00, "olive", "scarf", "dark", "coffee", "",
     "coat", "plain", "camel", "cream", "trousers", "plain", "navy", "navy", "flats", "cocoa", "teal"),
    ("child", 1.22, 0.1, 0.95, 0.00, "brown", "curls", "jet", "coffee", "",
     "hoodie", "blocks", "red", "navy", "shorts", "plain", "sand", "sand", "sneakers", "royal", "slate"),
    ("adult", 1.79, 0.05, 1.02, 0.01, "fair", "cap", "dark", "hazel", "full",
     "jacket", "plain", "moss", "coal", "jeans", "denim", "navy", "denim", "boots", "camel", "red"),
    ("adult", 1.72, 0.9, 0.93, 0.00, "ivory", "bob", "auburn", "green", "",
     "suit", "plain", "wine", "snow", "skirt", "plain", "wine", "wine", "leather", "coal", "slate"),
    ("adult", 1.76, 0.1, 1.10, 0.04, "rosy", "bald", "sandy", "blue", "full",
     "tee", "print", "coal", "orange", "shorts", "camo", "khaki", "forest", "sneakers", "coal", "slate"),
    ("elder", 1.60, 0.8, 1.08, 0.02, "ivory", "curls", "white", "blue", "clear",
     "sweater", "plain", "lilac", "violet", "skirt", "plain", "slate", "slate", "flats", "coal", "slate"),
    ("adult", 1.82, 0.0, 1.00, 0.00, "bronze", "quiff", "jet", "coffee", "",
     "shirt", "plain", "snow", "snow", "trousers", "plain", "navy", "navy", "leather", "camel", "slate"),
    ("adult", 1.69, 0.95, 0.97, 0.00, "bronze", "ponytail", "dark", "hazel", "",
     "tank", "blocks", "pink", "coal", "leggings", "plain", "coal", "coal", "sneakers", "pink", "slate"),
    ("adult", 1.75, 0.05, 1.08, 0.02, "tan", "beanie", "dark", "coffee", "stubble",
     "vest", "plain", "lime", "navy", "trousers", "plain", "navy", "navy", "boots", "khaki", "orange"),
    ("child", 1.38, 0.0, 0.94, 0.00, "ivory", "short", "blond", "blue", "",
     "tee", "stripes", "forest", "lemon", "jeans", "denim", "faded", "sky", "sneakers", "orange", "pack royal"),
    ("adult", 1.65, 0.9, 1.14, 0.03, "ebony", "scarf", "jet", "coffee", "",
     "blouse", "flowers", "mustard", "wine", "maxi", "flowers", "mustard", "wine", "flats", "wine", "wine"),
    ("adult", 1.81, 0.0, 0.95, 0.00, "olive", "curls", "chestnut", "green", "clear",
     "sweater", "stripes", "cream", "rust", "trousers", "check", "slate", "coal", "leather", "cocoa", "slate"),
    ("adult", 1.70, 1.0, 0.98, 0.00, "fair", "straw", "chestnut", "blue", "",
     "dress", "dots", "red", "snow", "skirt", "plain", "red", "snow", "flats", "camel", "sand"),
    ("adult", 1.73, 0.05, 1.15, 0.05, "umber", "bald", "jet", "coffee", "",
     "suit", "pinstripe", "navy", "mustard", "trousers", "pinstripe", "navy", "silver", "leather", "coal", "slate"),
    ("adult", 1.67, 0.85, 0.95, 0.00, "tan", "long", "jet", "coffee", "dark",
     "jacket", "plain", "coal", "snow", "jeans", "denim", "slate", "silver", "boots", "coal", "slate"),
    ("elder", 1.73, 0.0, 1.12, 0.05, "rosy", "cap", "white", "blue", "moustache",
     "shirt", "pinstripe", "sky", "snow", "trousers", "plain", "sand", "sand", "leather", "cocoa", "camel"),
    ("adult", 1.78, 0.05, 0.98, 0.00, "ivory", "long", "sandy", "hazel", "full",
     "shirt", "check", "forest", "cream", "jeans", "denim", "denim", "sky", "boots", "cocoa", "pack khaki"),
    ("adult", 1.64, 0.95, 0.96, 0.00, "brown", "afro", "dark", "coffee", "",
     "blouse", "dots", "snow", "royal", "skirt", "denim", "denim", "faded", "flats", "red", "slate"),
    ("child", 1.18, 0.2, 0.96, 0.00, "olive", "braids", "dark", "coffee", "",
     "dress", "check", "pink", "snow", "skirt", "plain", "pink", "snow", "sneakers", "snow", "slate"),
    ("adult", 1.86, 0.0, 1.03, 0.00, "fair", "short", "ginger", "green", "full",
     "coat", "plain", "navy", "silver", "trousers", "plain", "coal", "coal", "boots", "coal", "slate"),
    ("adult", 1.61, 0.8, 0.92, 0.00, "ivory", "bob", "jet", "coffee", "",
     "hoodie", "plain", "mint", "snow", "shorts", "plain", "coal", "coal", "sneakers", "mint", "pack violet"),
    ("adult", 1.76, 0.0, 1.06, 0.01, "bronze", "beanie", "jet", "coffee", "full",
     "hoodie", "plain", "wine", "snow", "trousers", "camo", "moss", "coal", "sneakers", "coal", "mustard"),
    ("elder", 1.58, 0.75, 0.98, 0.00, "tan", "bun", "grey", "coffee", "",
     "coat", "plain", "rust", "cream", "maxi", "plain", "cocoa", "cocoa", "flats", "coal", "slate"),
    ("adult", 1.72, 0.1, 0.90, 0.00, "fair", "quiff", "sandy", "hazel", "dark",
     "tank", "stripes", "sky", "navy", "shorts", "flowers", "teal", "lemon", "sneakers", "teal", "slate"),
    ("adult", 1.74, 0.9, 1.00, 0.00, "rosy", "cap", "auburn", "blue", "",
     "tee", "blocks", "snow", "teal", "leggings", "plain", "slate", "slate", "sneakers", "sky", "snow"),
    ("child", 1.45, 0.1, 0.92, 0.00, "tan", "quiff", "jet", "coffee", "clear",
     "sweater", "stripes", "royal", "orange", "trousers", "plain", "khaki", "khaki", "sneakers", "coal", "slate"),
    ("adult", 1.77, 0.85, 0.95, 0.00, "umber", "buzz", "jet", "coffee", "",
     "jacket", "plain", "mustard", "coal", "trousers", "plain", "cream", "cream", "boots", "cocoa", "slate"),
)  # fmt: skip


_BEARDS: dict[str, Beard] = {"stubble": "stubble", "moustache": "moustache", "full": "full"}
_GLASSES: dict[str, Glasses] = {"clear": "clear", "dark": "dark"}


def _spec(number: int, row: _Row) -> PersonSpec:
    (
        age, height, curves, girth, belly, skin, hair, hair_colour, eyes, look, cut, pattern, first, second, bottom_cut,
        bottom_pattern, bottom_first, bottom_second, shoes, shoe_colour, extra,
    ) = row  # fmt: skip
    rng = stream("people", 0, number, "manner")
    face = Face(
        _C[skin],
        hair,
        _C[hair_colour],
        _C[eyes],
        _BEARDS.get(look, "none"),
        _GLASSES.get(look, "none"),
    )
    slow = {"child": 1.08, "adult": 1.0, "elder": 0.82}[age]
    return PersonSpec(
        number,
        Body(age, height, curves, girth, belly),
        face,
        Top(cut, pattern, (_C[first], _C[second])),
        Bottom(bottom_cut, bottom_pattern, (_C[bottom_first], _C[bottom_second])),
        (shoes, _C[shoe_colour]),
        extra.startswith("pack "),
        _C[extra.removeprefix("pack ")],
        round(slow * uniform(rng, (0.88, 1.12)), 4),
        round(rng.random(), 4),
    )


ROSTER: tuple[PersonSpec, ...] = tuple(_spec(number, row) for number, row in enumerate(_ROWS))
"""All characters."""
