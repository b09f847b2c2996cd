"""Draws a collage from (dataset seed, scene index); each part has its own stream of random numbers."""

from __future__ import annotations

import math
import random

import numpy as np
import numpy.typing as npt

from ..streams import Range, choice, count, stream, uniform
from .config import CollageConfig
from .materials import SIDE
from .scenes import CameraSpec, CoatSpec, CollageSpec, Homography, MaterialSpec, PieceSpec
from .shapes import SHAPES

SAMPLER_VERSION = 1
"""Counts the changes to this package that change what a seed makes; it is part of the settings."""

SHAPE_SHARES = {
    "blob": 5, "box": 4, "ellipse": 3, "islands": 3, "lattice": 1, "letters": 2, "polygon": 5, "ring": 1, "star": 2,
    "strip": 3,
}  # fmt: skip
"""How often each outline is drawn, relative to the others."""

TEXEL: Range = (0.35, 2.0)
"""Pixels that a texel of a material covers, drawn evenly on a logarithmic scale."""
GRID = 24
"""Points along each axis by which an overlap is measured."""
BISECTIONS = 16
"""Steps in the search for the shift that gives an overlap."""

Matrix = npt.NDArray[np.float64]


def sample_collage(
    config: CollageConfig, seed: int, index: int, size: int, materials: tuple[MaterialSpec, ...]
) -> CollageSpec:
    """The scene `index` of the dataset with seed `seed`.

    Args:
        config: what a scene may look like.
        seed: the dataset's seed.
        index: the scene's place in the dataset.
        size: height of the pictures, in pixels.
        materials: what the pieces are cut from.
    """
    width = round(size * config.aspect)
    levels = _levels(config, seed, index, width, size)
    rng = stream("collage", seed, index, "background")
    background = _coat(rng, len(materials))
    return CollageSpec(
        dataset_seed=seed,
        index=index,
        width=width,
        height=size,
        materials=materials,
        levels=tuple(_rows(each) for each in levels),
        background=background,
        pieces=_pieces(config, seed, index, levels, width, size, len(materials)),
        blur=uniform(rng, config.blur),
        cameras=_cameras(config, seed, index),
    )


def _levels(config: CollageConfig, seed: int, index: int, width: int, height: int) -> list[Matrix]:
    """The homographies from reference to source of the background and of the planes before it, the nearest last.

    A plane is seen through the background's homography and moved: the more, the nearer it is; a slanted plane's move
    changes over the picture.
    """
    camera = _camera_motion(config, seed, index, width, height)
    rng = stream("collage", seed, index, "depth")
    near = sorted(0.15 + 0.85 * rng.random() for _ in range(count(rng, config.levels)))
    shift = uniform(rng, config.parallax) / 100 * math.sqrt(width * width + height * height)
    angle = rng.random() * math.tau
    middle = _translation(0.5 * (width - 1), 0.5 * (height - 1))
    planes = [camera]
    for depth in near:
        along = depth * shift
        slants = [along / height * uniform(rng, config.slant) for _ in range(4)]
        move = np.array(
            [
                [1 + slants[0], slants[1], along * math.cos(angle)],
                [slants[2], 1 + slants[3], along * math.sin(angle)],
                [0.0, 0.0, 1.0],
            ]
        )
        planes.append(middle @ move @ np.linalg.inv(middle) @ camera)
    return [each / each[2, 2] for each in planes]


def _camera_motion(config: CollageConfig, seed: int, index: int, width: int, height: int) -> Matrix:
    """The background's homography: zoom, roll and perspective about the middle, then the shift for the overlap."""
    rng = stream("collage", seed, index, "camera")
    zoom, roll = uniform(rng, config.zoom), math.radians(uniform(rng, config.roll))
    tilt = [uniform(rng, config.perspective) / height for _ in range(2)]
    overlap, angle = uniform(rng, config.overlap), rng.random() * math.tau
    middle = _translation(0.5 * (width - 1), 0.5 * (height - 1))
    turn = np.array(
        [
            [zoom * math.cos(roll), -zoom * math.sin(roll), 0.0],
            [zoom * math.sin(roll), zoom * math.cos(roll), 0.0],
            [tilt[0], tilt[1], 1.0],
        ]
    )
    xs = (np.arange(GRID) + 0.5) / GRID
    points = np.stack(np.meshgrid(xs * width - 0.5, xs * height - 0.5), axis=-1).reshape(-1, 2)

    def shifted(length: float) -> Matrix:
        shift = _translation(length * math.cos(angle), length * math.sin(angle))
        return np.asarray(middle @ shift @ turn @ np.linalg.inv(middle))

    low, high = 0.0, 1.5 * max(width, height)
    for _ in range(BISECTIONS):
        length = 0.5 * (low + high)
        places = move_points(shifted(length), points)
        inside = (np.abs(places[:, 0] - 0.5 * (width - 1)) <= 0.5 * width) & (
            np.abs(places[:, 1] - 0.5 * (height - 1)) <= 0.5 * height
        )
        if inside.mean() > overlap:
            low = length
        else:
            high = length
    return shifted(low)


def move_points(matrix: Matrix, points: Matrix) -> Matrix:
    """Where a homography brings points (..., 2)."""
    x, y = points[..., 0], points[..., 1]
    u, v, w = (row[0] * x + row[1] * y + row[2] for row in matrix)
    return np.stack([u / w, v / w], axis=-1)


def _translation(x: float, y: float) -> Matrix:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def _rows(matrix: Matrix) -> Homography:
    first, second, third = ((float(a), float(b), float(c)) for a, b, c in matrix)
    return first, second, third


def _pieces(
    config: CollageConfig, seed: int, index: int, levels: list[Matrix], width: int, height: int, materials: int
) -> tuple[PieceSpec, ...]:
    """The pieces, wherever one of the pictures may see them."""
    rng = stream("collage", seed, index, "pieces")
    number, cover, power = count(rng, config.pieces), uniform(rng, config.cover), uniform(rng, config.size_power)
    shapes = [shape for shape in SHAPES for _ in range(SHAPE_SHARES[shape])]
    frame = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], np.float64)
    pieces = []
    for level, matrix in enumerate(levels):
        seen = np.concatenate([frame, move_points(np.linalg.inv(matrix), frame)])
        (left, top), (right, bottom) = seen.min(axis=0), seen.max(axis=0)
        share = 1.0 if len(levels) == 1 else 0.5 if level == 0 else 0.5 / (len(levels) - 1)
        area = (right - left) * (bottom - top)
        room = cover * share * area
        for _ in range(round(number * share * area / (width * height))):
            piece = PieceSpec(
                level=level,
                shape=choice(rng, shapes),
                seed=int(rng.random() * 2**52),
                centre=(uniform(rng, (float(left), float(right))), uniform(rng, (float(top), float(bottom)))),
                radius=height * _power_law(rng, config.radius, power),
                # Many things stand upright, and so does writing.
                turn=uniform(rng, (-0.1, 0.1)) if rng.random() < 0.4 else rng.random() * math.tau,
                stretch=uniform(rng, (0.3, 1.0)),
                soft=uniform(rng, (0.01, 0.05)) if rng.random() < config.soft_share else 0.0,
                coat=_coat(rng, materials),
            )
            room -= math.pi * piece.stretch * piece.radius * piece.radius
            if room < 0:
                break
            square = np.asarray(piece.centre) + 1.6 * piece.radius * np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]])
            if any(_meets(corners, width, height) for corners in (square, move_points(matrix, square))):
                pieces.append(piece)
    return tuple(pieces)


def _meets(corners: Matrix, width: int, height: int) -> bool:
    """Whether the upright box around points (N, 2) reaches into a picture."""
    low, high = corners.min(axis=0), corners.max(axis=0)
    return bool((high >= -1).all() and low[0] <= width and low[1] <= height)


def _power_law(rng: random.Random, bounds: Range, power: float) -> float:
    """A number of the range whose density falls with a power (above 1) of it."""
    low, high = bounds[0] ** (1 - power), bounds[1] ** (1 - power)
    return float((low + rng.random() * (high - low)) ** (1 / (1 - power)))


def _coat(rng: random.Random, materials: int) -> CoatSpec:
    return CoatSpec(
        material=int(rng.random() * materials),
        texel=TEXEL[0] * (TEXEL[1] / TEXEL[0]) ** rng.random(),
        turn=rng.random() * math.tau if rng.random() < 0.5 else 0.0,
        offset=(rng.random() * SIDE, rng.random() * SIDE),
        colours=int(rng.random() * 2**52),
        flatness=0.9 * rng.random() if rng.random() < 0.4 else 0.0,
    )


def _cameras(config: CollageConfig, seed: int, index: int) -> tuple[CameraSpec, CameraSpec]:
    rng = stream("collage", seed, index, "cameras")
    gain = 2.0 ** uniform(rng, config.exposure_shift)
    red, blue = uniform(rng, config.white_balance), uniform(rng, config.white_balance)
    source = ((gain * (1 + red), gain, gain * (1 + blue)), uniform(rng, config.gamma))
    first, second = (
        CameraSpec(gains, gamma, uniform(rng, config.vignette), uniform(rng, config.noise), int(rng.random() * 2**52))
        for gains, gamma in (((1.0, 1.0, 1.0), 1.0), source)
    )
    return first, second
