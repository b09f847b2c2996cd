"""All that a person's surfaces show."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..coverings import Covering
from .cloth import bottom_covering, canvas, top_covering
from .faces import face_covering
from .spec import PersonSpec

Pixels = npt.NDArray[np.uint8]


def coverings(spec: PersonSpec) -> list[Covering]:
    """Head, skin, hair, top, bottom, shoes, what else is worn, seat: in the order of `surfaces.py`."""
    return [
        face_covering(spec), _skin(spec), _hair(spec), top_covering(spec), bottom_covering(spec), _shoes(spec),
        _extra(spec), _seat(spec),
    ]  # fmt: skip


def _pixels(values: npt.NDArray[np.floating[Any]]) -> Pixels:
    return np.clip(values + 0.5, 0, 255).astype(np.uint8)


def _skin(spec: PersonSpec) -> Covering:
    grain = canvas(spec, "skin", (0.4, 0.8), 64, 128)
    mottle = 1 + 0.022 * grain.smooth(0.05, 0.08) + 0.012 * grain.smooth(0.02, 0.02)
    return Covering(_pixels(np.array(spec.face.skin) * mottle[..., None]), 0.6, True)


def _hair(spec: PersonSpec) -> Covering:
    grain = canvas(spec, "hair", (0.5, 0.3), 192, 128)
    strands = 1 + 0.13 * grain.smooth(0.008, 0.10) + 0.09 * grain.smooth(0.004, 0.06) + 0.05 * grain.smooth(0.06, 0.06)
    return Covering(_pixels(np.array(spec.face.hair_colour) * strands[..., None] + 4), 0.45, True)


def _shoes(spec: PersonSpec) -> Covering:
    """The sole at the lower edge, laces over the instep; the toes are in the middle of the picture."""
    cut, colour = spec.shoes
    grain = canvas(spec, "shoes", (0.5, 0.25), 128, 96)
    x, z = grain.x[..., None] - 0.5, 0.25 * (1 - grain.y[..., None])
    leather = np.array(colour) * (1 + 0.06 * grain.smooth(0.03, 0.03)[..., None])
    sole = np.array(
        {"sneakers": (232, 230, 224), "leather": (26, 22, 20), "boots": (34, 30, 26), "flats": (48, 40, 36)}[cut]
    )
    picture = np.where(z < 0.027, sole, leather)
    if cut in ("sneakers", "boots"):
        laces = (np.abs(x) < 0.07) & (z > 0.055) & (z < 0.2) & ((z * 90) % 1 < 0.4)
        picture = np.where(laces, np.array((236, 234, 228) if cut == "sneakers" else (190, 160, 90)), picture)
    if cut == "sneakers":
        swoosh = (np.abs(np.abs(x) - 0.22 - 2.0 * (z - 0.06)) < 0.02) & (z > 0.035) & (z < 0.085)
        picture = np.where(swoosh, np.array((240, 240, 240)) if sum(colour) < 420 else np.array((40, 44, 60)), picture)
    return Covering(_pixels(picture), 0.35 if cut == "leather" else 0.6, True)


def _extra(spec: PersonSpec) -> Covering:
    """Hat, scarf or rucksack."""
    grain = canvas(spec, "extra", (0.5, 0.4), 128, 96)
    weave = 1 + 0.06 * grain.smooth(0.05, 0.05) + 0.04 * grain.smooth(0.006, 0.006)
    picture = np.array(spec.extra_colour) * weave[..., None]
    if spec.face.hair == "straw":
        rings = 0.88 + 0.12 * np.sin(grain.y * 170) * np.sin(grain.x * 240)
        picture = picture * rings[..., None]
        picture = np.where((np.abs(grain.y - 0.18) < 0.03)[..., None], np.array((70, 40, 36)), picture)
    elif spec.face.hair == "beanie":
        picture = picture * (0.86 + 0.14 * np.sign(np.sin(grain.x * 130)))[..., None]
        # Turned up at the edge.
        picture = np.where((grain.y > 0.28)[..., None], picture * 0.85, picture)
    elif spec.face.hair == "cap":
        badge = ((grain.x - 0.5) / 0.035) ** 2 + ((grain.y - 0.13) / 0.035) ** 2 < 1
        picture = np.where(badge[..., None], np.array((244, 240, 230)), picture)
    if spec.backpack:
        picture = np.where((np.abs(grain.y - 0.42) < 0.012)[..., None], picture * 0.45, picture)
        picture = np.where((np.abs(grain.y - 0.6) < 0.012)[..., None], np.array((214, 208, 190)), picture)
    return Covering(_pixels(picture), 0.8, True)


def _seat(spec: PersonSpec) -> Covering:
    """Wood."""
    grain = canvas(spec, "seat", (1.0, 0.5), 96, 64)
    bands = 0.82 + 0.10 * np.sin(grain.y * 40 + 2 * grain.smooth(0.5, 0.2)) + 0.05 * grain.smooth(0.3, 0.02)
    return Covering(_pixels(np.array((176, 128, 82)) * bands[..., None]), 0.5, True)
