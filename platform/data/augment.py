"""Augmentation of pairs as batched tensor operations: geometric views and photometric jitter.

A view of a picture is a homography from the view's pixels to the picture's pixels, so that cropping, resizing and
perspective are one sampling. All random numbers of a global batch are drawn at once from one generator and then sliced
by rank: a training on 8 workers sees the same numbers as one on a single worker.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ...methods.geometry import homography_from_points, homography_positions, sample


@dataclass(frozen=True)
class AugmentOptions:
    """How training pairs are varied; nothing of it touches validation or test pairs."""

    view_probability: float = 0.75
    """Share of pairs seen through random views (crop, shift, perspective) instead of the whole frames."""
    same_frame_probability: float = 0.25
    """Share of pairs made of two views of one frame, so that only geometry differs."""
    shift: float = 0.10
    """Largest random move of a view's corners, as a share of the picture's side."""
    zoom: tuple[float, float] = (0.7, 0.95)
    """Side of a view as a share of the picture's side."""
    brightness: float = 0.3
    """Brightness of each picture is multiplied by U(1 - b, 1 + b), in the network's input only."""
    colour: float = 0.3
    """Each channel of each picture is multiplied by U(1 - c, 1 + c), in the network's input only."""


@dataclass(frozen=True)
class PairViews:
    """The random numbers of one batch of pairs; see `draw_views`."""

    same_frame: Tensor
    """`(B,)` bool."""
    reference: Tensor
    """`(B, 4, 2)`, corners of the reference view in the unit square of its picture."""
    source: Tensor
    """`(B, 4, 2)`, likewise for the source."""
    gain_reference: Tensor
    """`(B, 3, 1, 1)`, factor on the reference as the network sees it."""
    gain_source: Tensor
    """`(B, 3, 1, 1)`, likewise for the source."""

    def __getitem__(self, rows: slice) -> PairViews:
        return PairViews(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def draw_views(count: int, options: AugmentOptions, generator: Generator) -> PairViews:
    """Draw the random numbers of `count` pairs.

    A view is a square of side `zoom` at a random place that both pictures share, whose corners then move by up to
    `shift`, independently in reference and source, and stay inside the picture: no black border tells the answer.
    """

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.rand(*shape, generator=generator) * (high - low) + low

    unit = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    whole = uniform(count) >= options.view_probability
    same = (uniform(count) < options.same_frame_probability) & ~whole
    side = uniform(count, 1, 1, low=options.zoom[0], high=options.zoom[1])
    place = uniform(count, 1, 2) * (1 - side)
    square = unit * side + place
    # A common move of all four corners and one of each: shifts and perspective both occur.
    views = []
    for _ in range(2):
        move = uniform(count, 1, 2, low=-0.5, high=0.5) + uniform(count, 4, 2, low=-0.5, high=0.5)
        corners = (square + move * options.shift).clamp(0.0, 1.0)
        views.append(torch.where(whole[:, None, None], unit, corners))
    gains = []
    for _ in range(2):
        brightness = uniform(count, 1, 1, 1, low=1 - options.brightness, high=1 + options.brightness)
        colour = uniform(count, 3, 1, 1, low=1 - options.colour, high=1 + options.colour)
        gains.append(brightness * colour)
    return PairViews(same, views[0], views[1], gains[0], gains[1])


def view_homography(corners: Tensor, size: int, height: int, width: int) -> Tensor:
    """Homography from the pixels of a `size` x `size` view to the pixels of its picture.

    Corners mean image-area corners: the view's (-0.5, -0.5) lies on the picture's point with unit coordinates
    `corners[0]`, so a view of the whole frame is the area resize of it.

    Args:
        corners: `(B, 4, 2)` in [0, 1], order TL, TR, BL, BR.
        size: side of the view in pixels.
        height: of the picture in pixels.
        width: of the picture in pixels.

    Returns:
        `(B, 3, 3)` float64.
    """
    area = torch.tensor([[-0.5, -0.5], [size - 0.5, -0.5], [-0.5, size - 0.5], [size - 0.5, size - 0.5]])
    target = corners.double() * torch.tensor([width, height], dtype=torch.float64) - 0.5
    return homography_from_points(area.double().expand(len(corners), 4, 2), target)


def render_views(pictures: Tensor, to_picture: Tensor, size: int) -> Tensor:
    """Sample `(B, 3, H, W)` pictures at `size` x `size` views; shrinks by area first so that nothing aliases."""
    height, width = pictures.shape[-2:]
    factor = min(height, width) // size
    if factor > 1:
        pictures = torch.nn.functional.avg_pool2d(pictures, factor)
        # Pixel centres of the pooled picture: x' = (x + 0.5) / factor - 0.5.
        pool = torch.diag(torch.tensor([1 / factor, 1 / factor, 1.0], dtype=torch.float64))
        pool[:2, 2] = 0.5 / factor - 0.5
        to_picture = pool @ to_picture
    # A view of the whole frame reaches half a pixel beyond the outer pixel centres: there the border repeats.
    limit = torch.tensor([pictures.shape[-1] - 1.0, pictures.shape[-2] - 1.0])
    positions = homography_positions(to_picture, (size, size))
    return sample(pictures, torch.minimum(positions.clamp_min(0), limit))
