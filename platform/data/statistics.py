"""What the samples of a dataset are like: overlap, viewing motion or parallax, brightness, occlusion."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...methods.geometry import homography_positions, image_corners, transform_points
from .cameras import Array, inside
from .flows import landing, parallax, visible_pixels
from .parallel import for_each
from .samples import Sample, Samples, spread
from .truth import Truth

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601)."""
BLOCKS = " ▏▎▍▌▋▊▉█"
COLUMN = 38
"""Characters of one histogram; two stand side by side in a terminal of 80."""


@dataclass(frozen=True)
class SampleStatistics:
    """Figures of one sample, means over its frames; None where the dataset does not tell."""

    key: str
    overlap: float | None
    """Share of the reference's pixels that are seen in the source: by the homography, or by flow and occlusion."""
    motion: float | None
    """Mean move of the picture's corners under the homography, in percent of the diagonal."""
    parallax: float | None
    """90th percentile of the flow's distance from the nearest homography, in percent of the diagonal."""
    brightness: float
    """Mean luma of all frames, 0 to 255."""
    occluded: float | None
    """Share of pixels under the masks of occluders, or of the reference's pixels that are hidden in the source."""


@dataclass(frozen=True)
class Quantity:
    """How a figure is told to people."""

    name: str
    """The field of `SampleStatistics`."""
    title: str
    unit: str
    finest: float
    """Narrowest bin of a histogram, in the unit."""
    factor: float = 1.0
    """What brings the figure to the unit."""
    ceiling: float = math.inf
    """Largest value that there can be, in the unit."""


QUANTITIES = (
    Quantity("overlap", "overlap", "% of the reference", 1.0, 100.0, 100.0),
    Quantity("motion", "viewing motion", "% of the diagonal", 0.5),
    Quantity("parallax", "parallax (p90)", "% of the diagonal", 0.1),
    Quantity("brightness", "brightness", "of 255", 2.0, 1.0, 255.0),
    Quantity("occluded", "occluded", "% of the pixels", 0.5, 100.0, 100.0),
)


def collect(
    url: str, split: str | None, limit: int, *, advance: Callable[[int], None] = lambda _: None
) -> list[SampleStatistics]:
    """Figures of at most `limit` samples, evenly spread.

    Args:
        url: the dataset.
        split: one of its splits, or None for all samples.
        limit: at least 1.
        advance: called with 1 after each sample.

    Raises:
        DatasetError: the dataset or a sample cannot be read.
    """
    samples = Samples(url, split)
    positions = spread(len(samples), limit)
    return for_each(positions, lambda position: sample_statistics(samples, position), advance=advance)


def sample_statistics(samples: Samples, position: int) -> SampleStatistics:
    """Figures of one sample."""
    sample = samples[position]
    truth = samples.truth(position, ("flow", "occlusion", "mask"))
    overlap, motion = _planar(sample)
    shift = None
    if truth.flow is not None:
        overlap, shift = _dense(sample, truth, samples.reader.info.setting("partial_flow") is True)
    return SampleStatistics(
        key=sample.key,
        overlap=overlap,
        motion=motion,
        parallax=shift,
        brightness=_mean([brightness(frame) for frame in sample.frames]),
        occluded=_occluded(truth),
    )


def brightness(picture: Tensor) -> float:
    """Mean luma of a uint8 picture `(3, H, W)`, 0 to 255."""
    return float(picture.double().mean((1, 2)) @ torch.tensor(LUMA, dtype=torch.float64))


def _planar(sample: Sample) -> tuple[float | None, float | None]:
    """Overlap and viewing motion by the homographies, means over the frames after the first."""
    if sample.homographies is None or len(sample.frames) < 2:
        return None, None
    size = (sample.frames[0].shape[-2], sample.frames[0].shape[-1])
    overlaps, motions = [], []
    corners = image_corners(size)
    for k in range(1, len(sample.frames)):
        matrix = sample.homographies[k][None]
        landed = homography_positions(matrix, size)[0].numpy()
        overlaps.append(float(inside(landed, (sample.frames[k].shape[-2], sample.frames[k].shape[-1])).mean()))
        moved = transform_points(matrix, corners[None])[0] - corners
        motions.append(100 * float(moved.norm(dim=-1).mean()) / math.hypot(*size))
    return _mean(overlaps), _mean(motions)


def _dense(sample: Sample, truth: Truth, partial: bool) -> tuple[float | None, float | None]:
    """Overlap and parallax of a pair by its flow and occlusion; of a partial flow, among the pixels with a flow."""
    assert truth.flow is not None
    positions = landing(truth.flow.numpy())
    hidden = None if truth.occlusion is None else truth.occlusion.numpy()
    visible = visible_pixels(positions, hidden, (sample.frames[1].shape[-2], sample.frames[1].shape[-1]))
    known = np.isfinite(positions).all(-1) if partial else np.ones(visible.shape, bool)
    if not known.any():
        return None, None
    return float(visible[known].mean()), parallax(positions, visible, _stored_fit(sample)).p90_percent


def _stored_fit(sample: Sample) -> Array | None:
    """The homography nearest to the flow, if the generator stored it."""
    try:
        matrix = np.array(sample.meta["parallax"]["homography"], np.float64)
    except (KeyError, TypeError, ValueError):
        return None
    return matrix if matrix.shape == (3, 3) and np.isfinite(matrix).all() else None


def _occluded(truth: Truth) -> float | None:
    if truth.occlusion is not None:
        return float(truth.occlusion.float().mean())
    return _mean([float(mask.float().mean()) for mask in truth.masks]) if truth.masks else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def known(rows: Sequence[SampleStatistics], quantity: Quantity) -> list[float]:
    """One figure of every sample that has it, in the quantity's unit."""
    values = (getattr(row, quantity.name) for row in rows)
    return [quantity.factor * value for value in values if value is not None and math.isfinite(value)]


def round_edges(values: Sequence[float], quantity: Quantity, bins: int = 8) -> list[float]:
    """Edges of at most `bins` equal bins with round borders that hold all values."""
    low, high = min(values), max(values)
    widest = max((high - low) / bins, quantity.finest)
    power = 10.0 ** math.floor(math.log10(widest))
    for step in (power * factor for factor in (1, 2, 2.5, 5, 10, 20)):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if step >= quantity.finest and last - first <= bins:
            break
    if first >= last:  # all values are one round number: the bin lies above it, if anything can
        first, last = (first - 1, first) if low >= quantity.ceiling else (first, first + 1)
    return [round(number * step, 10) for number in range(first, last + 1)]


def summarise(rows: Sequence[SampleStatistics]) -> dict[str, Any]:
    """Mean, standard deviation, range and histogram of each figure, as plain data in the units of `QUANTITIES`."""
    summary: dict[str, Any] = {"samples": len(rows)}
    for quantity in QUANTITIES:
        values = known(rows, quantity)
        if not values:
            continue
        edges = round_edges(values, quantity)
        held = np.clip(values, edges[0], edges[-1])  # 64.99999999999999 lies in the bin from 65 on
        summary[quantity.name] = {
            "unit": quantity.unit,
            "mean": _mean(values),
            "std": float(np.std(values)),
            "min": min(values),
            "median": float(np.median(values)),
            "max": max(values),
            "histogram": {"edges": edges, "counts": np.histogram(held, edges)[0].tolist()},
        }
    return summary


def text_histograms(summary: dict[str, Any], *, plain: bool = False) -> str:
    """The histograms of `summarise` as text, two side by side, at most 80 columns wide.

    Args:
        summary: what `summarise` gave.
        plain: ASCII only, for a terminal that cannot show bars.
    """
    blocks = [_block(each.title, summary[each.name], plain) for each in QUANTITIES if each.name in summary]
    lines = []
    for left, right in zip(blocks[::2], [*blocks[1::2], []], strict=False):
        height = max(len(left), len(right))
        left, right = (block + [""] * (height - len(block)) for block in (left, right))
        lines += [f"  {a:<{COLUMN}}  {b}".rstrip() for a, b in zip(left, right, strict=True)] + [""]
    return "\n".join(lines).rstrip("\n")


def _block(title: str, figures: dict[str, Any], plain: bool) -> list[str]:
    edges, counts = figures["histogram"]["edges"], figures["histogram"]["counts"]
    step = edges[1] - edges[0]
    digits = next(digits for digits in range(9) if math.isclose(round(step, digits), step, rel_tol=1e-6))
    low = max(len(f"{edge:.{digits}f}") for edge in edges)
    width = COLUMN - 2 * low - 1 - 1 - 1 - len(str(max(counts)))
    lines = [f"{title}, {figures['unit']}", f"mean {figures['mean']:.1f}, {figures['min']:.1f} to {figures['max']:.1f}"]
    for first, last, count in zip(edges[:-1], edges[1:], counts, strict=True):
        label = f"{first:{low}.{digits}f}-{last:<{low}.{digits}f}"
        lines.append(f"{label} {_bar(count / max(counts), width, plain)} {count:>{len(str(max(counts)))}}")
    return lines


def _bar(share: float, width: int, plain: bool) -> str:
    """A bar over a share of the width; whatever is above zero shows."""
    if plain:
        return ("#" * max(round(share * width), int(share > 0))).ljust(width)
    eighths = max(round(share * width * 8), int(share > 0))
    return ("█" * (eighths // 8) + BLOCKS[eighths % 8].strip()).ljust(width)
