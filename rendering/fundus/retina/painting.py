"""The picture of a retina: a map of the eye's ground, with its vessels, disc, macula and lesions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .canvas import WHOLE, Area, Colour, Field, Grid, Noise, Part, lay, length, step
from .disc import paint_disc
from .ground import paint_ground
from .marks import DEEP, paint_lesions
from .spec import EyeSpec, RetinaSpec
from .strokes import Brush, Numbers, paint_strokes
from .tree import Tree
from .vessels import grow_vessels

ARTERY: Colour = (0.2, 0.75, 0.6)
VEIN: Colour = (0.42, 1.15, 0.85)
"""Optical density of a large vessel's blood, by the natural logarithm."""
LARGE = 0.32
"""Width of a large vessel, in visual degrees."""
SHINE: Colour = (0.95, 0.66, 0.48)
"""Colour of the reflex along the middle of an artery."""
WHITE: Colour = (1.0, 0.9, 0.78)
"""Colour of the reflexes at the fovea."""


@dataclass(frozen=True, eq=False)
class RetinaMaps:
    """Maps of the ground of an eye, azimuthal equidistant about the posterior pole, or the same part of each.

    The pixel in row i and column j is ((left + j) / density, (top + i) / density) degrees from the pole, at the eye's
    centre; x goes to the right and y down as an observer sees a fundus photograph.

    Attributes:
        colour: sRGB (H, W, 3), 8 bit: what the ground reflects.
        vessels: share of each pixel that the retina's vessels cover (H, W), 0 to 255.
        density: pixels per degree.
        left: number of the first column, 0 at the pole.
        top: number of the first row, 0 at the pole.
    """

    colour: npt.NDArray[np.uint8]
    vessels: npt.NDArray[np.uint8]
    density: float
    left: int
    top: int

    @property
    def reach(self) -> float:
        """Degrees from the pole to the outermost pixel's centre in its row, of a whole map."""
        return -self.left / self.density


def paint_retina(spec: RetinaSpec, pixels_per_degree: float, part: Part = WHOLE) -> RetinaMaps:
    """The maps of a retina. Those of a part of it have the pixels of the whole ones.

    Args:
        spec: what is painted.
        pixels_per_degree: of the map.
        part: left, top, right and bottom edge of what is painted, in degrees of the map.
    """
    if spec.side == "left":
        # The left eye's map is the right one's mirror image.
        return _mirrored(_paint(spec, pixels_per_degree, (-part[2], part[1], -part[0], part[3])))
    return _paint(spec, pixels_per_degree, part)


def _mirrored(maps: RetinaMaps) -> RetinaMaps:
    return RetinaMaps(
        np.ascontiguousarray(maps.colour[:, ::-1]),
        np.ascontiguousarray(maps.vessels[:, ::-1]),
        maps.density,
        1 - maps.left - maps.colour.shape[1],
        maps.top,
    )


def _paint(spec: RetinaSpec, density: float, part: Part) -> RetinaMaps:
    """The maps of a right eye."""
    grid = Grid.of(spec.eye.scale, density, part)
    vessels = grow_vessels(spec.eye, spec.vessels)
    seed = spec.ground.seed
    planes = paint_ground(grid, spec.eye, spec.ground, vessels.choroid)
    paint_disc(grid, spec.eye, spec.disc, seed + 2, planes)
    paint_lesions(grid, [each for each in spec.lesions if each.kind in DEEP], seed + 3, planes)
    veins = _paint_tree(grid, vessels.veins, VEIN, 0.35 * spec.ground.reflex, planes)
    arteries = _paint_tree(grid, vessels.arteries, ARTERY, spec.ground.reflex, planes)
    paint_lesions(grid, [each for each in spec.lesions if each.kind not in DEEP], seed + 4, planes)
    _paint_fovea(grid, spec, planes)
    tone = [np.float32(255 * each) for each in spec.ground.tone]
    colour = np.stack([plane * each for plane, each in zip(planes, tone, strict=True)], axis=2)
    return RetinaMaps(
        colour=np.clip(colour + 0.5, 0, 255).astype(np.uint8),
        vessels=(np.maximum(arteries, veins) * 255 + np.float32(0.5)).astype(np.uint8),
        density=density,
        left=grid.left,
        top=grid.top,
    )


def _paint_tree(grid: Grid, tree: Tree, density: Colour, shine: float, planes: list[Field]) -> Field:
    """Paint a tree over the planes; the share of each pixel that it covers (H, W)."""
    large = LARGE * grid.density * grid.scale

    def ink(brush: Brush) -> list[Numbers]:
        cover = brush.cover()
        across = np.clip(brush.distance / brush.half, 0, 1)
        # Twigs hold more blood for their width than cylinders would; they could not be seen else.
        blood = cover * np.sqrt(2 * brush.half / large) * (1 - 0.35 * across * across)
        return [cover, blood, brush.cover(0.25) * np.clip(4 * brush.half / large - 0.8, 0, 1)]

    starts, ends, widths = tree.strands()
    cover, blood, middle = paint_strokes(grid, starts, ends, widths * grid.scale, ink, 3)
    for plane, each in zip(planes, density, strict=True):
        depth = np.float32(each) * blood
        # The beginning of the exponential's series.
        plane /= 1 + depth + 0.5 * depth * depth
    lay(planes, SHINE, np.float32(0.26 * shine) * middle)
    return cover


def _paint_fovea(grid: Grid, spec: RetinaSpec, planes: list[Field]) -> None:
    """The reflexes of the fovea's pit: a bright point, and a broad ring on the slope around it."""
    area = grid.around(spec.eye.fovea, 8.0)
    noise = Noise(spec.ground.seed + 5, area)
    along, above = area.offset(spec.eye.fovea, spec.eye.axis)
    distance = np.sqrt(along * along + (above * np.float32(1.15)) ** 2)
    parts = [plane[area.window] for plane in planes]
    reflex = np.float32(spec.ground.reflex)
    ring = step(0.7, 0.0, np.abs(distance - 2.9 + 0.2 * noise.smooth(2.0)))
    lay(parts, WHITE, reflex * 0.07 * ring * np.clip(0.7 + 0.6 * noise.smooth(1.8), 0, 2))
    lay(parts, WHITE, reflex * 0.35 * _point(area, spec.eye, noise))


def _point(area: Area, eye: EyeSpec, noise: Noise) -> Field:
    """The reflex of the fovea's bottom: a small uneven crescent."""
    along, above = area.offset((eye.fovea[0] + 0.12, eye.fovea[1] - 0.1), eye.axis)
    return step(0.32, 0.0, length(along, above) + 0.05 * noise.smooth(0.3))
