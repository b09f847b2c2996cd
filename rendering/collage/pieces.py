"""Cuts pieces out of materials: recoloured, shaded, with their outline as a fourth channel."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ..streams import uniform
from .materials import REDUCTIONS
from .sampling import Matrix
from .scenes import CoatSpec, PieceSpec
from .shapes import outline

LARGEST = 768
"""Width and height, in texels, that no piece exceeds."""
MARGIN = 0.45
"""Radius of a piece, relative to its square."""
SHADES = 32
"""Width and height of a piece's shading before it is enlarged."""

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Coat:
    """A material as it lies on a plane."""

    picture: Pixels
    to_reference: Matrix
    """Texels to pixels of the reference."""
    colours: npt.NDArray[np.float32]
    """Affine change of the colours (3, 4), 8-bit values."""


@dataclass(frozen=True)
class Piece:
    """A piece, ready to be laid."""

    level: int
    picture: Pixels
    """(side, side, 4), sRGB and cover."""
    to_reference: Matrix
    """Texels to pixels of the reference."""


def cut_piece(spec: PieceSpec, material: tuple[Pixels, ...], finer: int) -> Piece:
    """The piece of a specification.

    Args:
        spec: the piece.
        material: what it is cut from, with its reductions.
        finer: samples per pixel of the reference, along each axis.
    """
    side = min(LARGEST, max(12, math.ceil(finer * spec.radius / MARGIN)))
    across = spec.radius / (MARGIN * side)
    along = spec.stretch * across
    cosine, sine = math.cos(spec.turn), math.sin(spec.turn)
    turn = np.array([[across * cosine, -along * sine], [across * sine, along * cosine]])
    to_reference = _about(turn, (0.5 * (side - 1), 0.5 * (side - 1)), spec.centre)
    mask = outline(spec.shape, spec.seed, side, spec.soft)
    picture = onto(coat_of(spec.coat, material, spec.centre, finer), np.linalg.inv(to_reference), (side, side))
    shaded = cv2.multiply(picture, cv2.merge([_shading(spec, mask)] * 3), dtype=cv2.CV_8U)
    return Piece(spec.level, np.dstack([shaded, mask]), to_reference)


def _shading(spec: PieceSpec, mask: Pixels) -> npt.NDArray[np.float32]:
    """Brightness factors: light falls from one side, and edges turn away from it."""
    rng = random.Random(spec.seed + 1)
    small = cv2.resize(mask, (SHADES, SHADES), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    ramp = np.linspace(-1, 1, SHADES, dtype=np.float32)
    rounded = np.float32(uniform(rng, (0.0, 0.5))) * (cv2.GaussianBlur(small, (0, 0), 3) - np.float32(0.6))
    slopes = [np.float32(uniform(rng, (-0.25, 0.25))) for _ in range(2)]
    shade = 1 + rounded + slopes[0] * ramp[:, None] + slopes[1] * ramp[None]
    return np.asarray(cv2.resize(shade, mask.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def coat_of(spec: CoatSpec, material: tuple[Pixels, ...], centre: tuple[float, float], finer: int) -> Coat:
    """A material as it lies on a plane.

    Args:
        spec: how it lies there.
        material: the material, with its reductions.
        centre: where the offset's texel comes to lie, in pixels of the reference.
        finer: samples per pixel of the reference, along each axis.
    """
    # The reduction whose texels are about as large as the samples.
    step = min(REDUCTIONS, max(0, math.floor(0.8 - math.log2(finer * spec.texel))))
    texel = spec.texel * 2**step
    cosine, sine = texel * math.cos(spec.turn), texel * math.sin(spec.turn)
    start = ((spec.offset[0] + 0.5) / 2**step - 0.5, (spec.offset[1] + 0.5) / 2**step - 0.5)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return Coat(material[step], _about(turn, start, centre), _colours(spec, material[-1]))


def onto(coat: Coat, matrix: Matrix, size: tuple[int, int]) -> Pixels:
    """A coat (height, width, 3) on texels or samples; `matrix` leads there from the reference, `size` is (w, h)."""
    picture = cv2.warpPerspective(coat.picture, matrix @ coat.to_reference, size, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(cv2.transform(picture, coat.colours), np.uint8)


def _colours(spec: CoatSpec, coarse: Pixels) -> npt.NDArray[np.float32]:
    """Another hue, saturation, contrast and brightness."""
    rng = random.Random(spec.colours)
    angle = rng.random() * math.tau if rng.random() < 0.3 else uniform(rng, (-0.3, 0.3))
    # A turn about the grey axis (Rodrigues), scaled across it.
    grey = np.full((3, 3), 1 / 3)
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    turn = grey + uniform(rng, (0.2, 1.0)) * (math.cos(angle) * (np.eye(3) - grey) + math.sin(angle) * across)
    mean = turn @ coarse.reshape(-1, 3).mean(axis=0)
    contrast = uniform(rng, (0.7, 1.15)) * (1 - spec.flatness)
    cast = 255 * rng.random() + 40 * np.array([uniform(rng, (-1.0, 1.0)) for _ in range(3)])
    goal = 0.65 * mean + 0.35 * cast
    return np.column_stack([contrast * turn, goal - contrast * mean]).astype(np.float32)


def _about(turn: Matrix, start: tuple[float, float], end: tuple[float, float]) -> Matrix:
    """The affine map with a linear part that brings one point to another."""
    matrix = np.eye(3)
    matrix[:2, :2] = turn
    matrix[:2, 2] = np.asarray(end) - turn @ np.asarray(start)
    return matrix


def look_up(mask: Pixels, texels: Matrix) -> npt.NDArray[np.float64]:
    """Bilinear samples (N,) of a mask (side, side) at texels (N, 2); zero beyond it."""
    corner = np.floor(texels).astype(np.int64)
    share = texels - corner
    total = np.zeros(len(texels))
    side = mask.shape[0]
    for down in range(2):
        for right in range(2):
            x, y = corner[:, 0] + right, corner[:, 1] + down
            weight = np.abs(1 - right - share[:, 0]) * np.abs(1 - down - share[:, 1])
            within = (x >= 0) & (x < side) & (y >= 0) & (y < side)
            total += np.where(within, weight * mask[y.clip(0, side - 1), x.clip(0, side - 1)], 0)
    return total
