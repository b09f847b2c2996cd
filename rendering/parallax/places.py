"""The places that scenes play in, and their light."""

from __future__ import annotations

import colorsys
import random

from ..streams import uniform
from .config import Layout, PlaceConfig
from .facades import facade
from .geometry import turned, unit
from .kit import Kit
from .rooms import room
from .scenes import Colour, SkySpec
from .stage import Stage
from .streets import street


def build_place(config: PlaceConfig, layout: Layout, kit: Kit, colour: Colour) -> Stage:
    """Build a place of a layout; where its first camera stands."""
    match layout:
        case "room":
            return room(config, kit, colour)
        case "facade":
            return facade(config, kit)
        case "street":
            return street(config, kit)


def light_colour(config: PlaceConfig, rng: random.Random) -> Colour:
    """Colour of a lamp or the sun, between orange and white, seldom blue."""
    hue = 0.09 if rng.random() < 0.8 else 0.6
    return colorsys.hsv_to_rgb(hue, uniform(rng, config.light_saturation), 1.0)


def draw_sky(config: PlaceConfig, rng: random.Random, layout: Layout, colour: Colour) -> SkySpec:
    """The sky and the sun over a place."""
    # Outdoors the sun is mostly behind the camera, so that what is seen is lit.
    side = turned(uniform(rng, (-180, 180) if layout == "room" else (-75, 75)))
    height = uniform(rng, (0.5, 1.3))
    grey = rng.random()
    return SkySpec(
        zenith=(0.16 + 0.34 * grey, 0.32 + 0.22 * grey, 0.75 - 0.1 * grey),
        horizon=(0.72 + 0.1 * rng.random(), 0.8, 0.86 + 0.06 * rng.random()),
        strength=uniform(rng, config.sky_strength),
        clouds=0.25 + 0.4 * rng.random(),
        shift=(20 * rng.random(), 20 * rng.random(), 20 * rng.random()),
        sun=unit((side[1], -side[0], height)),
        sun_strength=uniform(rng, config.sun_strength) * (1 - 0.6 * grey) * (layout != "room" or rng.random() < 0.5),
        sun_colour=colour,
    )
