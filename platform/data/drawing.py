"""Fields of a sample as pictures for the eye: grids, masks, flow, depth. Pictures are uint8 RGB `(H, W, 3)`."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .cameras import Array, Size, transform

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Colour = tuple[int, int, int]

INK: Colour = (28, 32, 36)
SOFT: Colour = (104, 110, 120)
OCCLUDER: Colour = (232, 62, 140)
"""Tint of occluders and occluded pixels: rare in pictures, and far from the grid's colours."""
GRID: Colour = (255, 221, 51)
SKY: Colour = (222, 226, 232)
FINER = 4
"""Lines are drawn so many times larger and shrunk: that smooths them."""
GRID_CELLS = 4


@lru_cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: the same on every machine."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def resize(pixels: Pixels, size: Size) -> Pixels:
    """Resize to (height, width): smooth both ways."""
    height, width = size
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def resize_mask(mask: Mask, size: Size) -> Mask:
    """Resize a mask to (height, width); a pixel counts if half of it is set."""
    return np.asarray(resize(np.uint8(255) * mask, size) > 127)


def fit(size: Size, side: int) -> Size:
    """(height, width) of a picture whose longer side becomes `side`."""
    height, width = size
    scale = side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def tint(pixels: Pixels, mask: Mask, colour: Colour = OCCLUDER) -> Pixels:
    """Colour the masked pixels and draw the mask's outline."""
    alpha = np.where(mask, 0.5, 0.0)
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    alpha[mask & ~inner] = 1.0
    mixed = pixels * (1 - alpha[..., None]) + np.array(colour) * alpha[..., None]
    return mixed.round().astype(np.uint8)


def hatch(pixels: Pixels, bad: Mask) -> Pixels:
    """Darken pixels that mean nothing and hatch them."""
    ys, xs = np.indices(bad.shape)
    stripe = (xs + ys) % 8 < 2
    dark = np.where(stripe[..., None], np.array((92, 92, 100)), np.array((38, 38, 44)))
    return np.where(bad[..., None], dark, pixels).astype(np.uint8)


def plane_grid(pixels: Pixels, homography: Array, reference: Size) -> Pixels:
    """Draw the outline of the reference frame and a 4 x 4 grid on it through a homography into this picture.

    Args:
        pixels: the picture.
        homography: `(3, 3)`, reference pixels to pixels of this picture.
        reference: (height, width) of the reference.
    """
    height, width = pixels.shape[:2]
    layer = Image.new("L", (width * FINER, height * FINER), 0)
    halo = Image.new("L", layer.size, 0)
    strokes = [(ImageDraw.Draw(halo), 3.0), (ImageDraw.Draw(layer), 1.0)]
    for number in range(GRID_CELLS + 1):
        outer = number in (0, GRID_CELLS)
        for line in _grid_lines(number, reference):
            points = (transform(homography, line) + 0.5) * FINER
            for a, b in pairwise(points):
                # Beyond the horizon there is nothing; far outside Pillow's integers would overflow.
                if not (np.abs(np.stack([a, b])) < 1e5).all():
                    continue
                for draw, thickness in strokes:
                    level = 255 if outer else 170
                    draw.line([*a, *b], fill=level, width=round((thickness + 0.6 * outer) * FINER))
    shrunk = [np.asarray(each.resize((width, height), Image.Resampling.BOX)) / 255.0 for each in (halo, layer)]
    shaded = pixels * (1 - 0.55 * shrunk[0][..., None])
    alpha = shrunk[1][..., None]
    return (shaded * (1 - alpha) + np.array(GRID) * alpha).round().astype(np.uint8)


def _grid_lines(number: int, size: Size) -> list[Array]:
    """The `number`-th line along each axis, as points of the reference frame."""
    height, width = size
    along = np.linspace(0, 1, 33)
    at = np.full_like(along, number / GRID_CELLS)
    return [np.stack(pair, -1) * (width, height) - 0.5 for pair in ((along, at), (at, along))]


def flow_colours(flow: NDArray[np.floating[Any]], longest: float) -> Pixels:
    """Direction as hue and length as saturation; `flow` is `(2, H, W)`, pixels without flow are dark."""
    length = np.hypot(flow[0], flow[1])
    known = np.isfinite(length)
    share = np.where(known, length / max(longest, 1e-9), 0).clip(0, 1)
    angle = np.where(known, np.arctan2(flow[1], flow[0]), 0) / (2 * np.pi) % 1
    # Hue by cosines: six evenly spread colours without the bright bands of the HSV cone.
    phases = 2 * np.pi * (angle[..., None] - np.array([0, 1 / 3, 2 / 3]))
    pure = (0.52 + 0.46 * np.cos(phases)).clip(0, 1)
    colours = 1 - share[..., None] ** 0.8 * (1 - pure)
    return (np.where(known[..., None], colours, 0.15) * 255).round().astype(np.uint8)


def flow_legend(pixels: Pixels, longest: float) -> Pixels:
    """Put a small colour wheel into a corner, with the length that its rim stands for."""
    height, width = pixels.shape[:2]
    side = max(21, min(height, width) // 5) | 1
    ys, xs = (np.indices((side, side)) - side // 2) / (side / 2)
    radius = np.hypot(xs, ys)
    wheel = flow_colours(np.stack([xs, ys]), 1.0)
    text = f"{longest:.1f} px" if longest < 100 else f"{longest:.0f} px"
    face = font(max(9, side // 3))
    box = face.getbbox(text)
    picture = Image.fromarray(pixels)
    panel = (4, height - side - 10, 4 + side + 12 + int(box[2]), height - 4)
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    ImageDraw.Draw(layer).rounded_rectangle(panel, 4, fill=(255, 255, 255, 215))
    picture = Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")
    edge = Image.fromarray((255 * ((1.0 - radius) * side / 2).clip(0, 1)).astype(np.uint8))
    picture.paste(Image.fromarray(wheel), (7, height - side - 7), edge)
    middle = height - 7 - side // 2
    ImageDraw.Draw(picture).text((side + 12, middle), text, fill=INK, font=face, anchor="lm")
    return np.asarray(picture)


def depth_colours(depth: NDArray[np.floating[Any]]) -> Pixels:
    """Depth `(H, W)`: near is bright, far is dark (viridis over the inverse), the sky has a colour of its own."""
    from matplotlib import colormaps

    known = np.isfinite(depth)
    inverse = np.where(known, 1 / np.maximum(depth, 1e-9), 0)
    low, high = np.quantile(inverse[known], [0.01, 0.99]) if known.any() else (0.0, 1.0)
    share = ((inverse - low) / max(high - low, 1e-9)).clip(0, 1)
    colours = colormaps["viridis"](share)[..., :3] * 255
    return np.where(known[..., None], colours, SKY).round().astype(np.uint8)
