"""Mutual best matches of descriptors, across sizes of the source (arXiv 2310.11605, part A; Shen et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from .descriptors import Descriptors

BLOCK = 4096
"""Rows and columns of the largest matrix of scores that is made at once."""
LARGEST_SCALE = 2.0
"""The sizes of a source reach from this factor to its inverse."""
LEAST_SIDE = 256
"""Longer side in pixels up to which small pictures are enlarged, at most to twice their size, to have places enough."""


@dataclass(frozen=True)
class Places:
    """Descriptors of places of one picture.

    Attributes:
        points: `(K, 2)`, float64, pixels of the picture.
        descriptors: `(K, C)`, float32, of length 1.
    """

    points: Tensor
    descriptors: Tensor


def scale_factors(count: int) -> list[float]:
    """Factors of the size of a source, largest first; 7 are those of RANSAC-Flow: 2, 5/3, 4/3, 1, 5/6, 2/3, 1/2."""
    larger = (count - 1) // 2
    smaller = count - 1 - larger
    up = [1 + (LARGEST_SCALE - 1) * step / larger for step in range(larger, 0, -1)]
    return [*up, 1.0, *(1 - (1 - 1 / LARGEST_SCALE) * step / smaller for step in range(1, smaller + 1))]


@torch.inference_mode()
def describe(descriptors: Descriptors, picture: Tensor, scales: int = 1) -> Places:
    """The places of a picture at some of its sizes; those of all sizes are one list.

    Args:
        descriptors: of one stride.
        picture: `(3, H, W)` in [0, 1].
        scales: how many sizes, see `scale_factors`.
    """
    size: geometry.Size = (picture.shape[-2], picture.shape[-1])
    enlarged = min(2.0, max(1.0, LEAST_SIDE / max(size)))
    points, vectors = [], []
    for factor in (enlarged * each for each in scale_factors(scales)):
        scaled = resized(picture, (max(1, round(size[0] * factor)), max(1, round(size[1] * factor))))
        found = descriptors(scaled[None])[0]
        scaled_size: geometry.Size = (scaled.shape[-2], scaled.shape[-1])
        places = descriptors.stride * geometry.pixel_grid(
            (found.shape[-2], found.shape[-1]), device=picture.device
        ).flatten(0, 1)
        back = geometry.resize_transform(scaled_size, size, "area", device=picture.device)
        points.append(geometry.transform_points(back[None], places[None].double())[0])
        vectors.append(found.flatten(1).T)
    return Places(torch.cat(points), torch.cat(vectors))


def resized(picture: Tensor, size: geometry.Size) -> Tensor:
    """A picture `(3, H, W)` at another size, by the rule "area", without aliasing."""
    if picture.shape[-2:] == size:
        return picture
    return F.interpolate(picture[None], size, mode="bilinear", align_corners=False, antialias=True)[0].clamp(0, 1)


def mutual_matches(a: Places, b: Places) -> tuple[Tensor, Tensor]:
    """Points `(K, 2)` of a and of b, float64, of which each is the other's best match by cosine.

    Memory is bounded by `BLOCK`, whatever the number of places.
    """
    best_of_a, best_of_b = _best(a.descriptors, b.descriptors)
    own = torch.arange(len(best_of_a), device=best_of_a.device)
    mutual = best_of_b[best_of_a] == own
    return a.points[mutual], b.points[best_of_a[mutual]]


def _best(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """For each row of `a (N, C)` the row of `b (M, C)` with the largest scalar product, and the other way round."""
    top_b, best_b = b.new_full((len(b),), -torch.inf), torch.zeros(len(b), dtype=torch.long, device=b.device)
    best_a = []
    for first, rows in _blocks(a):
        top = rows.new_full((len(rows),), -torch.inf)
        best = torch.zeros(len(rows), dtype=torch.long, device=rows.device)
        for second, columns in _blocks(b):
            scores = rows @ columns.T
            _improve(top, best, *scores.max(1), second)
            part = slice(second, second + len(columns))
            _improve(top_b[part], best_b[part], *scores.max(0), first)
        best_a.append(best)
    return torch.cat(best_a), best_b


def _blocks(rows: Tensor) -> Iterator[tuple[int, Tensor]]:
    for first in range(0, len(rows), BLOCK):
        yield first, rows[first : first + BLOCK]


def _improve(top: Tensor, best: Tensor, values: Tensor, indices: Tensor, offset: int) -> None:
    """Take over, in place, where `values` are larger; of equals the first stays."""
    larger = values > top
    top[larger] = values[larger]
    best[larger] = indices[larger] + offset
