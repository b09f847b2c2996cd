"""Pictures of clothes: a pattern, folds, and what marks the garment: collars, buttons, zips, lapels, pockets, belts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ...parallax.scenes import SurfaceSpec
from ...parallax.surfaces import Canvas
from ...streams import stream
from ..coverings import Covering
from .cuts import TOPS
from .lofts import Table, curve, ease
from .spec import Colour, Pattern, PersonSpec
from .surfaces import BOTTOM_SPAN, GIRTH, TOP_SPAN

WIDTH, HEIGHT = 288, 304
"""Texels of a garment's picture: about four millimetres each."""


def canvas(spec: PersonSpec, part: str, size: tuple[float, float], width: int, height: int) -> Canvas:
    """A canvas for one of a person's pictures, with noise of its own; `size` in metres."""
    seed = int(stream("people", 0, spec.number, part).random() * 2**52)
    return Canvas(SurfaceSpec("people", seed, size, False, (1.0, 1.0, 1.0), 1.0), width, height)


class Garment:
    """A garment's picture while it is painted."""

    def __init__(self, spec: PersonSpec, part: str, span: tuple[float, float]) -> None:
        self.canvas = canvas(spec, part, (GIRTH, span[1] - span[0]), WIDTH, HEIGHT)
        self.x: Table = (self.canvas.x.astype(np.float64) - 0.5) * GIRTH
        """Metres from the middle of the front, to the right seen from outside."""
        self.z: Table = span[1] - self.canvas.y.astype(np.float64) * (span[1] - span[0])
        """Height in metres for a person of 1.75 m."""
        self.colours: Table = np.zeros((HEIGHT, WIDTH, 3))

    def lay(self, colour: Colour | Table, mask: Table) -> None:
        """Lay a colour over the texels of a mask (H, W), 0 to 1."""
        self.colours += mask[..., None] * (np.asarray(colour, np.float64) - self.colours)

    def shade(self, factor: float, mask: Table) -> None:
        """Multiply the brightness by a factor where the mask (H, W) is 1."""
        self.colours *= 1 + (factor - 1) * mask[..., None]

    def stripe(self, values: Table, half: float) -> Table:
        """1 where the values (H, W) are within `half` of 0."""
        return ease(np.abs(values), half + 0.003, half - 0.001)

    def finish(self, roughness: float) -> Covering:
        """Folds over everything, and the covering."""
        folds = 0.045 * self.canvas.smooth(0.09, 0.16) + 0.030 * self.canvas.smooth(0.04, 0.09)
        weave = 0.020 * self.canvas.smooth(0.007, 0.007)
        picture = self.colours * (1 + folds + weave)[..., None]
        pixels: npt.NDArray[np.uint8] = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
        return Covering(pixels, roughness, True)


def _around(count: int, garment: Garment) -> Table:
    """Position within `count` equal parts around the body, -0.5 to 0.5, and the same at the picture's edges."""
    return (garment.x / GIRTH * count + 0.5) % 1 - 0.5


def _rows(size: float, garment: Garment) -> Table:
    return (garment.z / size) % 1 - 0.5


def _plain(garment: Garment) -> Table:
    return np.zeros_like(garment.x)


def _stripes(garment: Garment) -> Table:
    return ease(np.abs(_rows(0.075, garment)), 0.27, 0.23)


def _pinstripe(garment: Garment) -> Table:
    return 0.55 * ease(np.abs(_around(36, garment)), 0.16, 0.08)


def _check(garment: Garment) -> Table:
    wide = ease(np.abs(_around(12, garment)), 0.27, 0.22) + ease(np.abs(_rows(0.079, garment)), 0.27, 0.22)
    fine = ease(np.abs(np.abs(_around(12, garment)) - 0.4), 0.05, 0.03)
    return np.clip(0.45 * wide + 0.3 * fine, 0, 1)


def _dots(garment: Garment) -> Table:
    row = np.floor(garment.z / 0.055)
    across = (garment.x / GIRTH * 18 + 0.5 * (row % 2)) % 1 - 0.5
    return ease(np.sqrt(across**2 + _rows(0.055, garment) ** 2), 0.27, 0.20)


def _flowers(garment: Garment) -> Table:
    row = np.floor(garment.z / 0.085)
    across = (garment.x / GIRTH * 11 + 0.5 * (row % 2)) % 1 - 0.5
    along = _rows(0.085, garment) + 0.12 * np.sin(garment.x / GIRTH * 22 * np.pi)
    away = np.sqrt(across**2 + along**2)
    petals = 0.26 + 0.09 * np.cos(5 * np.arctan2(along, across))
    return ease(away - petals, 0.04, -0.02) - 0.85 * ease(away, 0.10, 0.06)


def _blocks(garment: Garment) -> Table:
    return ease(garment.z, 1.255, 1.265)


def _denim(garment: Garment) -> Table:
    worn = ease(garment.canvas.smooth(0.13, 0.3).astype(np.float64), -0.6, 1.6)
    return 0.35 * worn + 0.12 * np.clip(garment.canvas.smooth(0.006, 0.03), -1, 1)


def _knit(garment: Garment) -> Table:
    ribs = np.abs(_around(30, garment))
    return np.clip(0.5 - 1.0 * ribs + 0.25 * np.sin(garment.z * 420), 0, 0.6)


def _print(garment: Garment) -> Table:
    """A badge on the chest and stripes at the sleeves."""
    away = np.sqrt(garment.x**2 + (garment.z - 1.25) ** 2)
    ring = ease(np.abs(away - 0.075), 0.016, 0.012)
    bars = (
        ease(np.abs(garment.x), 0.05, 0.046)
        * ease(np.abs((garment.z - 1.25) / 0.03 % 1 - 0.5), 0.28, 0.22)
        * ease(away, 0.06, 0.055)
    )
    return np.clip(ring + bars, 0, 1)


def _camo(garment: Garment) -> Table:
    field = garment.canvas.smooth(0.11, 0.09).astype(np.float64) + 0.5 * garment.canvas.smooth(0.05, 0.05)
    return 0.5 * ease(field, 0.1, 0.2) + 0.5 * ease(field, 0.9, 1.0)


_PATTERNS: dict[Pattern, Callable[[Garment], Table]] = {
    "plain": _plain, "stripes": _stripes, "pinstripe": _pinstripe, "check": _check, "dots": _dots,
    "flowers": _flowers, "blocks": _blocks, "denim": _denim, "knit": _knit, "print": _print, "camo": _camo,
}  # fmt: skip


def _lay_pattern(garment: Garment, pattern: Pattern, colours: tuple[Colour, Colour]) -> None:
    garment.lay(colours[0], np.ones_like(garment.x))
    garment.lay(colours[1], _PATTERNS[pattern](garment))


def top_covering(spec: PersonSpec) -> Covering:
    """The covering of the top, or of the whole dress."""
    garment, top = Garment(spec, "top", TOP_SPAN), spec.top
    opened = top.cut in ("jacket", "suit", "coat", "vest")
    _lay_pattern(
        garment, top.pattern, (top.colours[0], top.colours[0]) if opened and top.pattern == "plain" else top.colours
    )
    x, z, shape = np.abs(garment.x), garment.z, TOPS[top.cut]
    skin = np.array(spec.face.skin, np.float64)
    _MARKS.get(top.cut, _bare)(garment, spec)
    if top.cut in ("tank", "blouse", "dress", "tee"):
        depth = {"tank": 0.075, "blouse": 0.09, "dress": 0.085, "tee": 0.012}[top.cut]
        neckline = shape.collar - depth * np.clip(1 - (x / 0.085) ** 2, 0, 1)
        garment.shade(0.78, garment.stripe(z - neckline, 0.004) * (x < 0.2))
        garment.lay(skin, ease(z - neckline, -0.002, 0.004) * (x < 0.085))
    # Hems of trunk and sleeves.
    garment.shade(0.80, garment.stripe(z - shape.hem - 0.022, 0.002))
    if spec.backpack:
        garment.lay(np.array(spec.extra_colour) * 0.8, garment.stripe(x - 0.125, 0.022) * (z > 1.08) * (x < 0.3))
    if top.cut == "dress":
        garment.lay(np.array(top.colours[1]) * 0.7, garment.stripe(z - 1.075, 0.016))
    return garment.finish(0.45 if top.cut in ("jacket", "vest") else 0.85)


def _bare(garment: Garment, spec: PersonSpec) -> None:
    """Nothing but the pattern."""


def _shirt(garment: Garment, spec: PersonSpec) -> None:
    x, z = np.abs(garment.x), garment.z
    garment.shade(0.82, garment.stripe(x - 0.017, 0.0015))
    garment.lay((235, 232, 225), garment.stripe(x, 0.006) * garment.stripe(z % 0.085 - 0.042, 0.006))
    collar = ease(z - 1.415 - 0.55 * np.abs(x - 0.03), -0.004, 0.004) * (x < 0.13)
    garment.lay(np.array(spec.top.colours[0]) * 0.93 + 12, collar)
    garment.shade(0.66, garment.stripe(z - 1.415 - 0.55 * np.abs(x - 0.03), 0.003) * (x < 0.11))
    garment.lay(np.array(spec.face.skin), ease(z - 1.425 - 1.6 * x, -0.004, 0.004) * (x < 0.06))
    pocket = garment.stripe(np.maximum(np.abs(garment.x - 0.085) - 0.045, np.abs(z - 1.255) - 0.05), 0.002)
    garment.shade(0.78, pocket)


def _sweater(garment: Garment, spec: PersonSpec) -> None:
    z = garment.z
    band = np.maximum(ease(z, 0.995, 0.985), ease(z, 1.452, 1.458))
    garment.shade(0.80, band * (0.6 + 0.4 * np.sign(np.sin(garment.x * 500))))


def _hoodie(garment: Garment, spec: PersonSpec) -> None:
    x, z = np.abs(garment.x), garment.z
    garment.shade(0.82, ease(z, 0.985, 0.975))
    pouch = np.maximum(x - curve(z, (1.0, 1.06, 1.13), (0.13, 0.13, 0.085)), np.abs(z - 1.065) - 0.07)
    garment.shade(0.74, garment.stripe(pouch, 0.003))
    garment.lay((238, 236, 230), garment.stripe(x - 0.03 - 0.05 * (1.46 - z), 0.004) * ease(z, 1.32, 1.325))
    garment.shade(0.72, ease(z, 1.445, 1.46))


def _inside(garment: Garment, spec: PersonSpec, width: Table) -> Table:
    """Where a garment that is open in front shows what is worn below."""
    return ease(np.abs(garment.x) - width, 0.003, -0.003)


def _jacket(garment: Garment, spec: PersonSpec) -> None:
    x, z = np.abs(garment.x), garment.z
    gap = _inside(garment, spec, curve(z, (0.90, 1.20, 1.47), (0.050, 0.030, 0.072)))
    garment.lay(spec.top.colours[1], gap)
    edge = curve(z, (0.90, 1.20, 1.47), (0.050, 0.030, 0.072))
    garment.lay((178, 178, 182), garment.stripe(x - edge - 0.004, 0.003))
    garment.shade(0.68, garment.stripe(z - 1.02 - 0.9 * (x - 0.10), 0.003) * (x > 0.09) * (x < 0.16))
    garment.shade(0.80, ease(z, 0.94, 0.93))


def _suit(garment: Garment, spec: PersonSpec) -> None:
    x, z = np.abs(garment.x), garment.z
    opening = curve(z, (1.10, 1.14, 1.47), (0.0, 0.006, 0.078))
    garment.lay((240, 240, 238), _inside(garment, spec, opening) * ease(z, 1.10, 1.115))
    if spec.body.curves < 0.5:
        tie = np.where(z > 1.425, 0.020, 0.013 + 0.05 * np.clip(1.40 - z, 0, 0.3))
        garment.lay(spec.top.colours[1], ease(x - tie, 0.003, -0.002) * ease(z, 1.11, 1.12))
        garment.shade(0.7, garment.stripe(z - 1.415, 0.003) * (x < 0.022))
    lapel = opening + 0.05 * ease(z, 1.12, 1.30) * ease(z, 1.47, 1.40)
    garment.shade(0.62, garment.stripe(x - lapel, 0.003) * (z > 1.13))
    garment.shade(0.62, garment.stripe(x - opening, 0.0025) * (z > 1.11))
    garment.shade(0.66, garment.stripe(garment.x, 0.003) * ease(z, 1.11, 1.10))
    garment.lay((30, 28, 28), ease(np.sqrt(garment.x**2 + (z - 1.06) ** 2), 0.012, 0.008))
    garment.shade(0.66, garment.stripe(z - 1.0, 0.006) * (x > 0.08) * (x < 0.17))
    pocket = ease(np.maximum(np.abs(garment.x - 0.10) - 0.03, np.abs(z - 1.30) - 0.010), 0.003, -0.002)
    garment.lay((240, 240, 238), pocket)


def _coat(garment: Garment, spec: PersonSpec) -> None:
    x, z = np.abs(garment.x), garment.z
    opening = curve(z, (1.20, 1.25, 1.48), (0.0, 0.010, 0.070))
    garment.lay(spec.top.colours[1], _inside(garment, spec, opening) * ease(z, 1.20, 1.215))
    garment.shade(0.62, garment.stripe(x - opening - 0.055 * ease(z, 1.22, 1.34), 0.003) * (z > 1.21))
    garment.shade(0.64, garment.stripe(garment.x, 0.003) * ease(z, 1.22, 1.21))
    for row in (0.82, 0.95, 1.08, 1.19):
        garment.lay((38, 32, 30), ease(np.sqrt((x - 0.045) ** 2 + (z - row) ** 2), 0.015, 0.011))
    garment.shade(0.70, garment.stripe(z - 1.085, 0.018))
    garment.shade(0.66, garment.stripe(z - 0.92 - 0.4 * (x - 0.13), 0.005) * (x > 0.09) * (x < 0.18))


def _vest(garment: Garment, spec: PersonSpec) -> None:
    """Reflecting bands of a warning vest over a shirt."""
    x, z = np.abs(garment.x), garment.z
    for row in (1.02, 1.16):
        garment.lay((226, 228, 226), garment.stripe(z - row, 0.022))
    garment.lay((226, 228, 226), garment.stripe(x - 0.095, 0.020) * ease(z, 1.18, 1.185) * (x < 0.3))
    garment.shade(0.6, garment.stripe(garment.x, 0.003))
    garment.lay(spec.top.colours[1], ease(z - 1.40 - 0.7 * x, -0.004, 0.004) * (x < 0.09))


def _blouse(garment: Garment, spec: PersonSpec) -> None:
    x, z = np.abs(garment.x), garment.z
    gathers = 0.5 + 0.5 * np.sin(garment.x * 190)
    garment.shade(0.90, gathers * ease(np.abs(z - 1.0), 0.12, 0.02))
    garment.lay((240, 236, 228), garment.stripe(x, 0.006) * garment.stripe(z % 0.07 - 0.035, 0.006) * (z < 1.37))


_MARKS: dict[str, Callable[[Garment, PersonSpec], None]] = {
    "shirt": _shirt, "sweater": _sweater, "hoodie": _hoodie, "jacket": _jacket, "suit": _suit, "coat": _coat,
    "vest": _vest, "blouse": _blouse,
}  # fmt: skip


def bottom_covering(spec: PersonSpec) -> Covering:
    """The covering of what the legs wear."""
    garment, bottom = Garment(spec, "bottom", BOTTOM_SPAN), spec.bottom
    _lay_pattern(garment, bottom.pattern, bottom.colours)
    x, z = np.abs(garment.x), garment.z
    if bottom.cut in ("trousers", "jeans", "shorts"):
        upper = ease(z, 0.96, 0.965)
        garment.lay((52, 36, 26), garment.stripe(z - 1.055, 0.019))
        garment.lay((196, 176, 120), garment.stripe(np.maximum(x - 0.014, np.abs(z - 1.055) - 0.008), 0.004))
        garment.shade(0.66, garment.stripe(x - 0.004, 0.002) * upper)
        garment.shade(0.70, garment.stripe(z - 1.025 + 0.45 * (x - 0.08), 0.003) * (x > 0.08) * (x < 0.16))
        # Seam and crease of the legs, which show the left half of the picture.
        around = (garment.x + GIRTH / 2) / (0.5 * GIRTH)
        low = ease(z, 0.84, 0.80)
        for place in (0.25, 0.75):
            garment.shade(0.74, garment.stripe((around - place) * 0.4, 0.003) * low)
        crease = garment.stripe((around - 0.5) * 0.4, 0.004) * low
        garment.shade(1.14 if bottom.cut == "trousers" else 1.0, crease)
    if bottom.cut == "jeans":
        around = (garment.x + GIRTH / 2) / (0.5 * GIRTH) - 0.5
        for level, size in ((0.62, 0.16), (0.46, 0.08)):
            garment.shade(1.22, np.exp(-((around / 0.16) ** 2) - ((z - level) / size) ** 2))
    garment.shade(0.80, garment.stripe(z - 0.02, 0.002))
    return garment.finish(0.8)
