"""One sample as a row of small pictures, and as a picture before and after its alignment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .cameras import Array, Size, pixel_grid, transform
from .check_pictures import warp
from .drawing import (
    Mask,
    Pixels,
    depth_colours,
    fit,
    flow_colours,
    flow_legend,
    hatch,
    plane_grid,
    resize,
    resize_mask,
    tint,
)
from .flows import landing, visible_pixels
from .samples import Sample, Samples, spread
from .shards import DatasetInfo
from .statistics import SampleStatistics, sample_statistics
from .truth import Truth

MOST_FRAMES = 6
"""Frames of a sequence in its row, evenly spread."""
LARGEST_CELL = 240
"""Longer side of a small picture, in pixels, however few there are."""
GAP = 8
"""Pixels between them."""


@dataclass(frozen=True)
class Cell:
    """One small picture and what it shows."""

    pixels: Pixels
    label: str


@dataclass(frozen=True)
class Comparison:
    """Three pictures of one size: the reference, the source as it is, and the source brought onto the reference."""

    reference: Pixels
    before: Pixels
    after: Pixels


@dataclass(frozen=True)
class Row:
    """One sample on the sheet."""

    key: str
    caption: str
    cells: list[Cell]
    comparison: Comparison | None


def sample_row(samples: Samples, position: int, width: int) -> Row:
    """Draw one sample; its pictures side by side are at most `width` pixels wide."""
    sample, truth = samples[position], samples.truth(position)
    figures = sample_statistics(samples, position)
    pair = samples.reader.info.kind == "pair"
    draw = _pair_cells if pair else _sequence_cells
    return Row(
        key=sample.key,
        caption=_caption(samples.reader.info, sample, figures),
        cells=draw(sample, truth, _side(sample, truth, width, pair)),
        comparison=_comparison(sample, truth),
    )


def _side(sample: Sample, truth: Truth, width: int, pair: bool) -> int:
    """Longer side of the small pictures at which a whole row fits."""
    dense = (truth.flow, truth.occlusion, truth.dynamic, truth.depths, truth.vessels)
    count = min(len(sample.frames), MOST_FRAMES) + (sample.gt is not None)
    if pair:
        count += 1 + sum(each is not None for each in dense)
    shape = _size(sample.frames[0])
    return max(16, min(LARGEST_CELL, int((width - GAP * (count - 1)) / count / (shape[1] / max(shape)))))


def split_of(info: DatasetInfo, key: str) -> str:
    """The smallest split that holds a sample; empty where none does."""
    held = {name: end - first for name, (first, end) in info.splits.items() if first <= int(key) < end}
    return min(held, key=lambda name: held[name], default="")


def _caption(info: DatasetInfo, sample: Sample, figures: SampleStatistics) -> str:
    parts = [sample.name if sample.name != sample.key else "", split_of(info, sample.key)]
    if figures.overlap is not None:
        parts.append(f"overlap {100 * figures.overlap:.0f} %")
    if figures.parallax is not None:
        parts.append(f"parallax {figures.parallax:.1f} %")
    elif figures.motion is not None:
        parts.append(f"motion {figures.motion:.1f} %")
    if figures.occluded is not None:
        parts.append(f"occluded {100 * figures.occluded:.1f} %")
    parts.append(f"brightness {figures.brightness:.0f}")
    parts += [sample.subset] if sample.subset not in parts else []
    parts += [str(sample.meta["layout"])] if isinstance(sample.meta.get("layout"), str) else []
    return "  ·  ".join(part for part in parts if part)


def _pixels(picture: Tensor) -> Pixels:
    return picture.permute(1, 2, 0).numpy()


def _small(picture: Tensor, side: int) -> Pixels:
    return resize(_pixels(picture), fit((picture.shape[-2], picture.shape[-1]), side))


def _scaled(homography: Array, before: tuple[Size, Size], after: tuple[Size, Size]) -> Array:
    """A homography between resized pictures, by the area rule; sizes of its first and second picture."""

    def scale(old: Size, new: Size) -> Array:
        y, x = new[0] / old[0], new[1] / old[1]
        return np.array([[x, 0, 0.5 * x - 0.5], [0, y, 0.5 * y - 0.5], [0, 0, 1.0]])

    return scale(before[1], after[1]) @ homography @ np.linalg.inv(scale(before[0], after[0]))


def _size(picture: Tensor) -> Size:
    return picture.shape[-2], picture.shape[-1]


def _sequence_cells(sample: Sample, truth: Truth, side: int) -> list[Cell]:
    cells = [Cell(_small(sample.gt, side), "ground truth")] if sample.gt is not None else []
    reference = _size(sample.frames[0])
    for k in spread(len(sample.frames), MOST_FRAMES):
        pixels = _small(sample.frames[k], side)
        size = pixels.shape[0], pixels.shape[1]
        if truth.masks is not None:
            pixels = tint(pixels, resize_mask(truth.masks[k].numpy(), size))
        if sample.homographies is not None:
            own = _size(sample.frames[k])
            matrix = _scaled(sample.homographies[k].numpy(), (reference, own), (reference, size))
            pixels = plane_grid(pixels, matrix, reference)
        cells.append(Cell(pixels, f"frame {k}"))
    return cells


def _positions(sample: Sample, truth: Truth, k: int) -> Array | None:
    """Where the pixels of frame 0 lie in frame k, `(H, W, 2)`, or None where unknown."""
    if truth.flow is not None:
        return landing(truth.flow.numpy())
    if sample.homographies is None:
        return None
    return transform(sample.homographies[k].numpy(), pixel_grid(_size(sample.frames[0])))


def _warped(source: Tensor, positions: Array) -> Pixels:
    return warp(source, positions).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


def _seen(source: Tensor, positions: Array, truth: Truth) -> Mask:
    return visible_pixels(positions, None if truth.occlusion is None else truth.occlusion.numpy(), _size(source))


def _pair_cells(sample: Sample, truth: Truth, side: int) -> list[Cell]:
    reference, source = sample.frames
    size = fit(_size(reference), side)
    cells = [Cell(_small(reference, side), "reference"), Cell(_small(source, side), "source")]
    positions = _positions(sample, truth, 1)
    if positions is not None:
        bad = resize_mask(~_seen(source, positions, truth), size)
        cells.append(Cell(hatch(resize(_warped(source, positions), size), bad), "source on reference"))
    if sample.gt is not None:
        cells.append(Cell(_small(sample.gt, side), "ground truth"))
    if truth.flow is not None:
        flow = truth.flow.numpy()
        length = np.hypot(flow[0], flow[1])
        longest = float(length[np.isfinite(length)].max(initial=0.0))
        cells.append(Cell(flow_legend(resize(flow_colours(flow, longest), size), longest), "flow"))
    if truth.occlusion is not None:
        pixels = tint(_small(reference, side), resize_mask(truth.occlusion.numpy(), size))
        cells.append(Cell(pixels, "hidden in source"))
    if truth.dynamic is not None:
        pixels = tint(_small(reference, side), resize_mask(truth.dynamic.numpy(), size))
        cells.append(Cell(pixels, "moves by itself"))
    if truth.depths is not None:
        cells.append(Cell(resize(depth_colours(truth.depths[0].numpy()), size), "depth"))
    if truth.vessels is not None:
        cells.append(Cell(_small(truth.vessels[0].expand(3, -1, -1), side), "vessels"))
    return cells


def _comparison(sample: Sample, truth: Truth) -> Comparison | None:
    """The pair (0, 1), at its own resolution."""
    if len(sample.frames) < 2:
        return None
    reference, source = sample.frames[0], sample.frames[1]
    positions = _positions(sample, truth, 1)
    if positions is None:
        return None
    bad = ~_seen(source, positions, truth)
    return Comparison(
        reference=_pixels(reference),
        before=resize(_pixels(source), _size(reference)),
        after=hatch(_warped(source, positions), bad),
    )
