"""Lids and lashes before an ultra-widefield picture: what they take away of the light, and what they add."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from .optics import Array, grid
from .scenes import LashSpec, LidSpec, ShotSpec

Field = npt.NDArray[np.float32]

JOINTS = 12
"""Straight pieces of a lash."""
FINER = 2
"""Points along a pixel where lashes are drawn."""
RISE = 0.4
"""Length over which a lid becomes as light as it is, over half the field's height; at its edge it has a third of it."""
DEFOCUS = 0.35
"""Blur of lashes over the softness of their lid's edge: both are far from the focus."""
HIDDEN = 0.5
"""Share of the light from which on what is behind counts as hidden."""


@dataclass(frozen=True)
class Shade:
    """What lies before the retina."""

    taken: Field
    """Share (H, W) of the retina's light that does not pass."""
    added: Field
    """Linear light (H, W, 3) in its place, at the picture's exposure."""

    @property
    def hides(self) -> npt.NDArray[np.bool_]:
        """Where (H, W) the retina counts as hidden."""
        return self.taken > HIDDEN


def shade(shot: ShotSpec, width: int, height: int) -> Shade:
    """The shadows of a photograph's lids."""
    passed = np.ones((height, width), np.float32)
    added = np.zeros((height, width, 3), np.float32)
    for lid in shot.film.lids:
        depth = _depth(shot, lid, width, height)
        cover = np.clip(depth / lid.softness + 0.5, 0, 1)
        cover = (cover * cover * (3 - 2 * cover)).astype(np.float32)
        clear = 1 - _lashes(shot, lid, width, height)
        level = cover * (np.clip(depth / RISE, 0, 1) * 2 / 3 + 1 / 3).astype(np.float32) * clear
        left = (1 - cover) * clear
        passed *= left
        added = added * left[..., None] + level[..., None] * np.array(lid.light, np.float32)
    return Shade(1 - passed, added)


def _edge(lid: LidSpec, across: Array) -> Array:
    """How far from the field's middle a lid's edge is, towards the lid."""
    return 1 - lid.reach + lid.tilt * across + lid.bend * across * across


def _depth(shot: ShotSpec, lid: LidSpec, width: int, height: int) -> Array:
    """How far (H, W) pixels lie behind a lid's edge, over half the field's height."""
    place = (grid(width, height) - np.array(shot.centre)) / np.array(shot.stop)
    towards = -place[..., 1] if lid.upper else place[..., 1]
    return np.asarray(towards - _edge(lid, place[..., 0]))


def _lashes(shot: ShotSpec, lid: LidSpec, width: int, height: int) -> Field:
    """Share (H, W) that a lid's lashes take away."""
    canvas = Image.new("L", (FINER * width, FINER * height), 0)
    draw = ImageDraw.Draw(canvas)
    for lash in lid.lashes:
        _draw(draw, shot, lid, lash)
    blur = DEFOCUS * lid.softness * shot.stop[1] * 0.3
    soft = canvas.filter(ImageFilter.GaussianBlur(FINER * blur)).resize((width, height), Image.Resampling.BOX)
    return np.asarray(soft, np.float32) / np.float32(255)


def _draw(draw: ImageDraw.ImageDraw, shot: ShotSpec, lid: LidSpec, lash: LashSpec) -> None:
    """One lash, thinner towards its tip."""
    way = np.linspace(0, 1, JOINTS + 1)
    root = float(_edge(lid, np.array([lash.across]))[0]) + 0.1
    out = root - (lash.length + 0.1) * way
    half = shot.stop[1]
    x = shot.centre[0] + shot.stop[0] * lash.across + half * (lash.lean * way + 4 * lash.bend * way * (1 - way))
    y = shot.centre[1] + half * (-out if lid.upper else out)
    # Centres of pixels lie at integers in a picture and at halves on the canvas.
    joints = list(zip((FINER * (x + 0.5)).tolist(), (FINER * (y + 0.5)).tolist(), strict=True))
    for number in range(JOINTS):
        breadth = lash.width * half * FINER * (1 - 0.7 * number / JOINTS)
        draw.line(joints[number : number + 2], fill=round(255 * lash.darkness), width=max(1, round(breadth)))
