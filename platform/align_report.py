"""The page of `raylign align --report`: before and after, of sets also every shot and where each pixel comes from."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import report
from .alignment import AlignedPicture
from .frames import bring
from .images import encode_image

if TYPE_CHECKING:
    from ..methods.canvas import Canvas

SIDE = 800
"""Pictures are shown at no more than this many pixels a side."""

SHOT_SIDE = 400
"""The same of the single shots of a set."""

_GOLDEN = 0.618034
"""Steps of this share of the circle keep neighbouring hues apart, however many there are."""

_STYLE = """
.shots { display: grid; grid-template-columns: repeat(auto-fill, minmax(210px, 1fr)); gap: 1rem }
.key { display: flex; flex-wrap: wrap; gap: .3rem 1rem; margin: .8rem 0 0; font-size: .93rem }
.key i { display: inline-block; width: .9em; height: .9em; border-radius: 3px; margin-right: .4em;
  vertical-align: -.08em; border: 1px solid var(--line) }
.weights img { width: 560px }
td + td { white-space: normal; overflow-wrap: anywhere }
"""


def align_page(
    reference: Tensor,
    sources: Sequence[Tensor],
    aligned: AlignedPicture,
    canvas: Canvas | None,
    facts: dict[str, Any],
    lead: str,
) -> str:
    """A self-contained page.

    Args:
        reference: `(3, H, W)` in [0, 1].
        sources: each `(3, h, w)`.
        aligned: what was found.
        canvas: the panorama, where one was asked for.
        facts: shown as a table.
        lead: one plain sentence.
    """
    size = (reference.shape[1], reference.shape[2])
    below = _preview(reference, size, SIDE)
    after = report.slider(_preview(aligned.image, size, SIDE), below, "reference (left) and result (right)")
    if len(sources) == 1:
        source = _preview(sources[0], size, SIDE)
        before = report.slider(source, below, "reference (left) and source 1 as it came (right)")
        sections = [("Before", before), ("After", after)]
    else:
        sections = [("Before and after", after), ("Every shot", _shots(reference, sources, aligned))]
        if aligned.weights is not None:
            sections.append(("Which shot each pixel comes from", _weights(aligned.weights)))
    if canvas is not None:
        picture = _preview(canvas.image, (canvas.image.shape[1], canvas.image.shape[2]), SIDE)
        sections.append(("Canvas", report.picture(picture, "reference and source, all of both")))
    rows = [(name.replace("_", " "), _fact(value)) for name, value in facts.items() if value is not None]
    sections.append(("Facts", report.table(("fact", "value"), rows)))
    return report.page("Before and after", sections, lead, style=_STYLE)


def _fact(value: Any) -> object:
    """A fact for people: matrices to six digits."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_fact(part)}" for name, part in value.items())
    if isinstance(value, list):
        return "[" + ", ".join(str(_fact(part)) for part in value) + "]"
    return value


def shot_colours(count: int) -> Tensor:
    """A colour for each shot, RGB in [0, 1], `(count, 3)`: light grey for the reference, then hues far apart."""
    hues = [colorsys.hsv_to_rgb(k * _GOLDEN % 1, 0.75, 0.95 if k % 2 else 0.75) for k in range(count - 1)]
    return torch.tensor([(0.85, 0.85, 0.85), *hues])


def weight_picture(weights: Tensor) -> Tensor:
    """The colours of all shots, mixed in each pixel by their weights.

    Args:
        weights: `(N + 1, H, W)`, the reference first; they sum to 1.

    Returns:
        `(3, H, W)` in [0, 1].
    """
    mixed = torch.zeros(3, *weights.shape[1:])
    for weight, colour in zip(weights, shot_colours(len(weights)), strict=True):
        mixed += weight.float() * colour[:, None, None]
    return mixed.clamp(0, 1)


def _shots(reference: Tensor, sources: Sequence[Tensor], aligned: AlignedPicture) -> str:
    size = (reference.shape[1], reference.shape[2])
    shown = list(sources)
    if aligned.homography is not None:
        frames, _ = bring(sources, aligned.homography, size)
        left_out = ~aligned.homography.isfinite().flatten(1).all(1)
        shown = [source if out else frame for source, frame, out in zip(sources, frames, left_out, strict=True)]
    figures = [report.picture(_preview(reference, size, SHOT_SIDE), "REF")]
    for k, picture in enumerate(shown):
        figures.append(report.picture(_preview(picture, size, SHOT_SIDE), f"SRC {k + 1}: {_told(aligned, k)}"))
    return f'<div class="shots">{"".join(figures)}</div>'


def _told(aligned: AlignedPicture, k: int) -> str:
    """What is known of one source, in words."""
    if aligned.used is not None and not bool(aligned.used[k]):
        return "left out, as it came"
    placed = "aligned" if aligned.homography is not None else "as it came"
    sure = aligned.source_confidence
    return placed if sure is None else f"{placed}, confidence {float(sure[k]):.3f}"


def _weights(weights: Tensor) -> str:
    mixed = _preview(weight_picture(weights), (weights.shape[1], weights.shape[2]), SIDE)
    keys, shares = [], weights.flatten(1).mean(1, dtype=torch.float32)
    for k, (colour, share) in enumerate(zip(shot_colours(len(weights)), shares, strict=True)):
        red, green, blue = (round(255 * value) for value in colour.tolist())
        name = "REF" if k == 0 else f"SRC {k}"
        keys.append(f'<span><i style="background:rgb({red},{green},{blue})"></i>{name} {float(share):.1%}</span>')
    picture = report.picture(mixed, "the colours of the shots, mixed by their weights; the share of each")
    return f'<div class="weights">{picture}</div><div class="key">{"".join(keys)}</div>'


def _preview(image: Tensor, size: tuple[int, int], side: int) -> bytes:
    """A PNG of `image` on a canvas of `size` (height, width), pixel on pixel, scaled down for a page."""
    height, width = size
    canvas = torch.zeros(3, height, width)
    rows, columns = min(height, image.shape[1]), min(width, image.shape[2])
    canvas[:, :rows, :columns] = image[:, :rows, :columns]
    scale = side / max(size)
    if scale < 1:
        small = (max(1, round(height * scale)), max(1, round(width * scale)))
        canvas = torch.nn.functional.interpolate(canvas[None], small, mode="bilinear", antialias=True)[0]
    return encode_image(canvas)
