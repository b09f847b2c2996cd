"""The vessels of a retina by a fixed filter: E_D of source 004, which is not learned.

Source 004 takes the filter of BahadarKhan et al. 2016 (PLOS ONE 11), of which its abstract says: contrast-limited
equalisation, a morphological filter against the slow background, the Hessian at two scales for wide and thin vessels,
Otsu's threshold for each, their union without small components. The numbers are our choice.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import InputError

SIDE = 512
"""Side in pixels of the picture that the lengths below are for; they grow and shrink with the side."""
CLIP, TILES = 2.0, 8
"""Of the equalisation (CLAHE): its limit, and how many tiles there are along each side."""
DISK = 15.0
"""Radius of the disk of the black top-hat: more than half of the widest vessel."""
SIGMAS = (1.5, 3.0)
"""Scales of the Hessian, for thin and for wide vessels."""
LEAST_SIGMA = 0.7
"""In pixels at any size: samples of a narrower Gaussian are no derivatives any more."""
LEAST_AREA = 40.0
"""Of a component, in pixels; it grows and shrinks with the area."""
MARGIN = 10.0
"""Width of the strip along the edge of the field of view in which nothing counts as vessel."""
SOFTNESS = 1.0
"""Standard deviation in pixels, at any size, of the blur that gives the map gradients (a correlation has windows of a
fixed number of pixels)."""
FIELD_LEVEL = 0.15
"""Brightness from which a pixel belongs to the field of view, as a share of the picture's `FIELD_BRIGHT` percentile."""
FIELD_BRIGHT = 95.0
LEAST_LEVEL = 4 / 255
"""The same at least, in [0, 1]: below is the noise of a black frame."""
FIELD_WINDOW = 5
"""Side in pixels, at any size, of the windows over which the median of the brightness is taken, against noise."""

Levels = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float32]


@torch.no_grad()
def vessel_map(pictures: Tensor, field: Tensor | None = None) -> Tensor:
    """Where vessels are: a nearly binary map with soft edges.

    Green; CLAHE; black top-hat; the largest eigenvalue of the Hessian at two scales, times the square of the scale;
    Otsu's threshold within the field of view for each; their union; no small components; a slight blur. It runs on the
    CPU, picture by picture, and knows no gradient.

    Args:
        pictures: `(B, 3, H, W)`, RGB in [0, 1].
        field: the field of view `(B, 1, H, W)`, bool; None for what `field_of_view` finds. Nothing outside of it, or
            near its edge, is a vessel; the borders of the picture are no edges.

    Returns:
        `(B, 1, H, W)`, float32 in [0, 1], on the device of the pictures.

    Raises:
        InputError: the tensors have other shapes or types.
    """
    _check(pictures)
    if field is None:
        field = field_of_view(pictures)
    if field.shape != pictures[:, :1].shape or field.dtype != torch.bool:
        raise InputError(
            f"field must be bool {tuple(pictures[:, :1].shape)}, not {field.dtype} {tuple(field.shape)}; "
            "give None to have it found"
        )
    greens = pictures[:, 1].float().cpu().numpy()
    fields = field[:, 0].to(torch.uint8).cpu().numpy()
    maps = [_vessels(green, inside) for green, inside in zip(greens, fields, strict=True)]
    return torch.from_numpy(np.stack(maps)[:, None]).to(pictures.device)


@torch.no_grad()
def field_of_view(pictures: Tensor) -> Tensor:
    """The part of a photograph that shows the retina, and not the black around it.

    It is the largest region that is not dark, without holes.

    Args:
        pictures: `(B, 3, H, W)`, RGB in [0, 1].

    Returns:
        `(B, 1, H, W)`, bool, on the device of the pictures; False everywhere in a black picture.

    Raises:
        InputError: the tensor has another shape or type.
    """
    _check(pictures)
    # Whichever laser or lamp there is: ultra-widefield pictures have no blue.
    brightness = pictures.amax(dim=1).float().cpu().numpy()
    fields = np.stack([_field(each) for each in brightness])
    return torch.from_numpy(fields)[:, None].to(pictures.device)


def _check(pictures: Tensor) -> None:
    if pictures.dim() != 4 or pictures.shape[1] != 3 or pictures.numel() == 0 or not pictures.is_floating_point():
        raise InputError(
            f"pictures must be RGB (B, 3, H, W) in [0, 1], not {pictures.dtype} {tuple(pictures.shape)}; convert them"
        )


def _scale(shape: tuple[int, ...]) -> float:
    """Pixels for one pixel of a square of `SIDE`, of the same area."""
    return math.sqrt(shape[0] * shape[1]) / SIDE


def _disk(radius: float) -> Levels:
    across = np.arange(-math.floor(radius), math.floor(radius) + 1)
    return (across[:, None] ** 2 + across**2 <= radius**2).astype(np.uint8)


def _field(brightness: Values) -> npt.NDArray[np.bool_]:
    """The field of view `(H, W)` of a picture's brightness `(H, W)`."""
    smooth = cv2.medianBlur(brightness, FIELD_WINDOW)
    level = max(FIELD_LEVEL * float(np.percentile(smooth, FIELD_BRIGHT)), LEAST_LEVEL)
    outlines, _ = cv2.findContours((smooth > level).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    field = np.zeros(brightness.shape, np.uint8)
    if outlines:
        cv2.drawContours(field, [max(outlines, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return field.astype(bool)


def _vessels(green: Values, field: Levels) -> Values:
    """The map `(H, W)` of a picture's green `(H, W)` and field of view, 0 or 1."""
    scale = _scale(green.shape)
    inner = cv2.erode(field, _disk(max(MARGIN * scale, 1.0)))
    inside = inner.astype(bool)
    if not inside.any():
        return np.zeros(green.shape, np.float32)
    levels = np.clip(green * 255, 0, 255).round().astype(np.uint8)
    # Nothing but rounding, which an even picture between two levels is full of.
    if int(levels[inside].max()) - int(levels[inside].min()) <= 1:
        return np.zeros(green.shape, np.float32)
    tiles = tuple(min(TILES, side) for side in reversed(green.shape))
    even = cv2.createCLAHE(CLIP, tiles).apply(levels)
    dark = cv2.morphologyEx(even, cv2.MORPH_BLACKHAT, _disk(max(DISK * scale, 2.0)))
    found = np.zeros(green.shape, bool)
    for sigma in SIGMAS:
        response = _ridges(dark, max(sigma * scale, LEAST_SIGMA))
        found |= (response > _otsu(response[inside])) & inside
    kept = _without_small(found, LEAST_AREA * scale**2)
    return cv2.GaussianBlur(kept.astype(np.float32), (0, 0), SOFTNESS) * field


def _ridges(dark: Levels, sigma: float) -> Values:
    """How much like a bright ridge each pixel is: the largest eigenvalue of the negative's Hessian, times sigma^2."""
    image = -dark.astype(np.float32)
    reach = np.arange(-math.ceil(4 * sigma), math.ceil(4 * sigma) + 1) / sigma
    smooth = np.exp(-(reach**2) / 2)
    smooth /= smooth.sum()
    # Derivatives by sigma, so that those of wide ridges are not smaller.
    first, second = reach * smooth, (reach**2 - 1) * smooth
    xx, xy, yy = (
        cv2.sepFilter2D(image, cv2.CV_32F, along_x, along_y, borderType=cv2.BORDER_REFLECT)
        for along_x, along_y in ((second, smooth), (first, first), (smooth, second))
    )
    return (xx + yy) / 2 + np.hypot((xx - yy) / 2, xy)


def _otsu(values: Values) -> float:
    """Otsu's threshold of responses `(N,)`, of which all up to 0 count as 0, on 256 levels; inf if none is above 0."""
    most = float(values.max())
    if most <= 0:
        return math.inf
    levels = np.clip(values * (255 / most), 0, 255).round().astype(np.uint8)
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)
    return (threshold + 0.5) * most / 255


def _without_small(found: npt.NDArray[np.bool_], least: float) -> npt.NDArray[np.bool_]:
    """What is found, less the components (with diagonal neighbours) of fewer pixels."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8), connectivity=8)
    large: npt.NDArray[Any] = statistics[:, cv2.CC_STAT_AREA] >= least
    large[0] = False
    return large[labels]
