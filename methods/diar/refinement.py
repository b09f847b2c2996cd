"""A homography refined on the pictures themselves, to parts of a pixel.

Gauss-Newton steps on the difference of locally normalised grey levels, from coarse to fine. It looks for what ECC does
(Evangelidis and Psarakis 2008), the largest correlation, but normalises in windows instead of over the whole picture,
so that shadows and slow changes of the light do not count, and weighs differences robustly, so that glare, occluders
and their edges do not either.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from ..jnd import luma
from .local_light import window_mean, without_light

WINDOW = 9
"""Side in pixels of the windows in which grey levels are normalised."""
NOISE = 2.0
"""Grey levels: a window of a smaller deviation is noise, and is not amplified to the contrast of others."""
SCALE = 0.5
"""Difference, in standard deviations of a window, from which on a pixel loses weight (Geman and McClure)."""
COARSEST = 48
"""Shorter side in pixels below which no coarser level is made."""
STEPS = 15
"""Most steps at a level."""
LEAST_STEP = 0.01
"""Pixels by which the corners move in a step at which a level ends."""
LEAST_OVERLAP = 400
"""Pixels that both pictures have to show at the finest level."""
REACH = 0.06
"""Share of the longer side by which a corner may move altogether: what is farther off is no refinement."""


@dataclass(frozen=True)
class _Level:
    """One size of both pictures.

    Attributes:
        reference: `(1, 1, H, W)`, normalised in windows.
        source: `(1, 3, h, w)`, normalised in windows, and its derivatives along x and y.
        shows: `(1, 1, H, W)` in [0, 1), how far the reference stands out of its noise.
        rim: `(1, 1, h, w)`, 1 where the window of a source pixel lies in the source.
    """

    reference: Tensor
    source: Tensor
    shows: Tensor
    rim: Tensor

    @property
    def sizes(self) -> tuple[geometry.Size, geometry.Size]:
        """Of the reference and of the source."""
        a, b = self.reference.shape, self.source.shape
        return (a[-2], a[-1]), (b[-2], b[-1])


@torch.inference_mode()
def refine_homography(reference: Tensor, source: Tensor, homography: Tensor) -> Tensor:
    """A homography under which two pictures correlate better, near one that is about right.

    Args:
        reference: `(3, H, W)`, RGB in [0, 1].
        source: `(3, h, w)`, RGB in [0, 1].
        homography: `(3, 3)`, float64, reference to source.

    Returns:
        `(3, 3)`, float64, h33 = 1; `homography` itself where the robust correlation (`correlation`) does not grow, or a
        corner would move by more than `REACH`.
    """
    levels = _levels(reference, source)
    full = levels[0].sizes
    found = homography
    for level in reversed(levels):
        start = _rescaled(found, full, level.sizes)
        found = _rescaled(_descend(level, start), level.sizes, full)
    corners = geometry.image_corners(full[0], device=homography.device)[None]
    # Measured in the reference: how far the source pixels under its corners move there.
    there = geometry.transform_points(homography[None], corners)
    back = geometry.transform_points(torch.linalg.inv_ex(found).inverse[None], there)
    if not bool(((back - corners).norm(dim=-1) <= REACH * max(full[0])).all()):
        return homography
    before, after = _correlations(levels[0], torch.stack([homography, found]))
    return found if after > before else homography


@torch.inference_mode()
def correlation(reference: Tensor, source: Tensor, homography: Tensor) -> float:
    """How well two pictures agree: their correlation in windows, those below zero as 0, weighed by contrast.

    Args:
        reference: `(3, H, W)`, RGB in [0, 1].
        source: `(3, h, w)`, RGB in [0, 1].
        homography: `(3, 3)`, reference to source.

    Returns:
        In [0, 1]; 0 where next to nothing overlaps.
    """
    return _correlations(_level(luma(reference[None]), luma(source[None])), homography[None])[0]


@torch.inference_mode()
def dominant(reference: Tensor, source: Tensor, homographies: Tensor) -> int:
    """Which of several homographies the large things of two pictures agree on.

    Behind glass a flat thing and what the glass reflects move differently. The many small edges of branches or of a
    street outvote the few large letters at full size; seen from afar, the flat thing remains.

    Args:
        reference: `(3, H, W)`, RGB in [0, 1].
        source: `(3, h, w)`, RGB in [0, 1].
        homographies: `(N, 3, 3)`, reference to source.
    """
    levels = _levels(reference, source)
    sizes = levels[0].sizes, levels[-1].sizes
    correlations = _correlations(levels[-1], torch.stack([_rescaled(each, *sizes) for each in homographies]))
    return correlations.index(max(correlations))


def _levels(reference: Tensor, source: Tensor) -> list[_Level]:
    """The pictures at their sizes and halves of it, finest first."""
    greys = luma(reference[None]), luma(source[None])
    levels = [_level(*greys)]
    while min(min(grey.shape[-2:]) for grey in greys) >= 2 * COARSEST:
        halves = [(grey.shape[-2] // 2, grey.shape[-1] // 2) for grey in greys]
        greys = tuple(  # type: ignore[assignment]
            F.interpolate(grey, half, mode="bilinear", align_corners=False, antialias=True)
            for grey, half in zip(greys, halves, strict=True)
        )
        levels.append(_level(*greys))
    return levels


def _level(reference: Tensor, source: Tensor) -> _Level:
    (a, deviation), (b, _) = (without_light(grey, WINDOW, NOISE) for grey in (reference, source))
    padded = F.pad(b, (1, 1, 1, 1), mode="replicate")
    along_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    along_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    shows = deviation.square() / (deviation.square() + NOISE**2)
    # What is normalised together with the darkness beyond the rim is not what the other picture shows there.
    rim = torch.zeros_like(b)
    edge = min(2, (min(b.shape[-2:]) - 1) // 2)
    rim[..., edge : b.shape[-2] - edge, edge : b.shape[-1] - edge] = 1
    return _Level(a, torch.cat([b, along_x, along_y], dim=1), shows, rim)


def _rescaled(
    homography: Tensor, before: tuple[geometry.Size, geometry.Size], after: tuple[geometry.Size, geometry.Size]
) -> Tensor:
    """A homography between pictures of the sizes `before`, for the sizes `after`; both (reference, source)."""
    sizes_a, sizes_b = zip(before, after, strict=True)
    return geometry.rescale_homography(homography[None], size_a=sizes_a, size_b=sizes_b, rule="area")[0]


def _look(level: _Level, homography: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Positions `(1, H, W, 2)`, samples of the source `(3, H, W)`, differences and weights of each pixel `(H, W)`."""
    size_a, size_b = level.sizes
    positions = geometry.homography_positions(homography[None], size_a)
    sampled = geometry.sample(torch.cat([level.source, level.rim], dim=1), positions)[0]
    inside = (geometry.coverage(positions[0], size_b) >= 0.999) & (sampled[3] >= 0.999)
    return positions, sampled[:3], sampled[0] - level.reference[0, 0], inside * level.shows[0, 0]


def _cost(difference: Tensor, known: Tensor) -> float:
    """Mean of Geman and McClure's `d^2 / (d^2 + s^2)`."""
    squared = difference.square()
    return float((known * squared / (squared + SCALE**2)).sum() / known.sum().clamp_min(1e-6))


def _descend(level: _Level, homography: Tensor) -> Tensor:
    """Levenberg-Marquardt steps at one size; the start where they lead nowhere."""
    size_a, _ = level.sizes
    half = max(size_a) / 2
    device = homography.device
    unit = torch.tensor(
        [[half, 0, (size_a[1] - 1) / 2], [0, half, (size_a[0] - 1) / 2], [0, 0, 1]], dtype=torch.float64, device=device
    )
    plane = ((geometry.pixel_grid(size_a, device=device).double() - unit[:2, 2]) / half).flatten(0, 1).float()
    corners = geometry.image_corners(size_a, device=device)[None]
    current = homography @ unit
    current = current / current[2, 2]
    damping = 1e-3
    view = _look(level, homography)
    cost = _cost(*view[2:])
    if int((view[3] > 0).sum()) < LEAST_OVERLAP:
        return homography
    form, pull = _normal_equations(current, plane, *view)
    for _ in range(STEPS):
        step = torch.linalg.solve_ex(form + damping * torch.diag(form.diagonal()), -pull)[0]
        moved = current + torch.cat([step, step.new_zeros(1)]).unflatten(0, (3, 3))
        pixels = moved @ torch.linalg.inv(unit)
        pixels = pixels / pixels[2, 2]
        view = _look(level, pixels)
        new_cost = _cost(*view[2:])
        if not new_cost < cost or int((view[3] > 0).sum()) < LEAST_OVERLAP:
            damping *= 10
            if damping > 1e3:
                break
            continue
        change = geometry.transform_points(pixels[None], corners) - geometry.transform_points(homography[None], corners)
        current, homography, cost, damping = moved, pixels, new_cost, max(damping / 10, 1e-6)
        if float(change.norm(dim=-1).max()) < LEAST_STEP:
            break
        form, pull = _normal_equations(current, plane, *view)
    return homography


def _normal_equations(
    homography: Tensor, plane: Tensor, positions: Tensor, sampled: Tensor, difference: Tensor, known: Tensor
) -> tuple[Tensor, Tensor]:
    """Gauss-Newton matrix `(8, 8)` and gradient `(8,)`, float64, of the first eight entries of a homography.

    Args:
        homography: `(3, 3)`, of the points of `plane`.
        plane: `(H W, 2)`, the reference's pixels in coordinates near 1.
        positions: `(1, H, W, 2)`, where they lie in the source.
        sampled: `(3, H, W)`, the source there, and its derivatives.
        difference: `(H, W)`.
        known: `(H, W)`, weights.
    """
    used = (known > 0).flatten().nonzero()[:, 0]
    x, y = plane[used].unbind(1)
    u, v = positions.flatten(0, 2)[used].unbind(1)
    last = homography[2].float()
    third = last[0] * x + last[1] * y + last[2]
    slope_x, slope_y = (sampled[axis].flatten()[used] / third for axis in (1, 2))
    outward = -(slope_x * u + slope_y * v)
    rows = torch.stack([slope_x * x, slope_x * y, slope_x, slope_y * x, slope_y * y, slope_y, outward * x, outward * y])
    off = difference.flatten()[used]
    weights = known.flatten()[used] / (off.square() + SCALE**2).square()
    rows, weighted = rows.double(), (rows * weights).double()
    return weighted @ rows.T, weighted @ off.double()


def _correlations(level: _Level, homographies: Tensor) -> list[float]:
    """Robust correlation under each homography `(N, 3, 3)`, over the pixels that the source covers under all."""
    views = [_look(level, homography) for homography in homographies]
    known = torch.stack([view[3] for view in views]).amin(0)[None, None]
    share = window_mean(known, WINDOW)
    if int((known > 0).sum()) < LEAST_OVERLAP:
        return [0.0] * len(homographies)
    found = []
    for view in views:
        a, b = level.reference, view[1][None, :1]
        means = [window_mean(known * each, WINDOW) for each in (a * b, a * a, b * b)]
        agreement = (means[0] / (means[1] * means[2]).clamp_min(1e-12).sqrt()).clamp(0, 1)
        found.append(float((agreement * share).sum() / share.sum()))
    return found
