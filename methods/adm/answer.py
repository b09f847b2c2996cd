"""From the chains of a pair to one answer: which chain is taken, how far it is believed, and at full resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import geometry
from ..aligner import Alignment, has_fast_bfloat16
from ..classical.flow_aligner import resized
from ..cubic_field import CubicField
from ..transform import HomographyTransform, warp
from .sampling import Estimate, run_chains
from .spatial_transformer import field_positions
from .start import keypoint_start

if TYPE_CHECKING:
    from .network import Adm

LEAST_BF16_SIDE = 256
"""Working size from which the networks compute in bfloat16: in narrow maps oneDNN's bfloat16 convolutions now and then
leave memory that nobody has written."""
AGREES = 0.02
"""Share of the side by which two chains may differ in the mean, and still agree (ours)."""
STRIDE = 4
"""Pixels between the points at which they are compared."""
INTERCEPT, SLOPE = -13.54, 68.0
"""Of the logistic regression of right answers on the correlation, fitted by tests/benchmarks/fit_adm_confidence.py to
64 answers on rendered validation pairs, half of them of two eyes. The chains' agreement made it no better."""
CELL = 4
"""Pixels of the working size between the control points that carry the field to other sizes."""


def align_pairs(model: Adm, reference: Tensor, source: Tensor) -> Alignment:
    """The alignments of a few pairs, as `Adm.align` tells them.

    Args:
        model: in evaluation mode.
        reference: `(B, 3, H, W)` in [0, 1], on the device of the model.
        source: `(B, 3, h, w)`.
    """
    seeded = model.inference.start == "keypoints"
    chains, side = model.inference.chains + seeded, model.config.working_size
    working: geometry.Size = (side, side)
    size: geometry.Size = (reference.shape[-2], reference.shape[-1])
    source_size: geometry.Size = (source.shape[-2], source.shape[-1])
    small, small_source = resized(reference, working).clamp(0, 1), resized(source, working).clamp(0, 1)
    # The same seeds for all: what is found for a pair does not depend on the others.
    seeds = [model.inference.seed + number for _ in range(len(reference)) for number in range(chains)]
    fast = has_fast_bfloat16(reference.device) and side >= LEAST_BF16_SIDE
    with torch.autocast(reference.device.type, torch.bfloat16, enabled=fast):
        start: Tensor | None = None
        if seeded:
            start = torch.full((len(reference), chains, 3, 3), torch.nan, dtype=torch.float64, device=reference.device)
            start[:, -1] = keypoint_start(model, reference, source, small, small_source)
            start = start.flatten(0, 1)
        of_chains, moving = (each.repeat_interleave(chains, 0) for each in (small, small_source))
        found = run_chains(model, of_chains, moving, seeds, start)
    best, agreement = chosen(found, chains, working)
    rows = torch.arange(len(reference), device=reference.device) * chains + best
    homography, displacement = found.homography[rows], None
    if found.field is not None:
        displacement = _displacement(homography, found.field[rows], size, source_size)
    full = geometry.rescale_homography(homography, size_a=(working, size), size_b=(working, source_size), rule="area")
    transform = HomographyTransform(full, source_size, displacement)
    warped = warp(source, transform, size)
    correlation = found.correlation[rows]
    return Alignment(
        image=warped.image,
        mask=warped.mask,
        homography=full[:, None].float(),
        flow=warped.flow[:, None],
        confidence=confidence_of(correlation),
        extras={
            "correlation": correlation.float(),
            "agreement": agreement.float(),
            "restarts": found.restarts.view(-1, chains).sum(1).float(),
        },
        transform=transform,
    )


def chosen(found: Estimate, chains: int, size: geometry.Size) -> tuple[Tensor, Tensor]:
    """The chain whose maps correlate best, and how many of the others agree with it.

    Args:
        found: of `B * chains` chains, those of a pair side by side.
        chains: K.
        size: of the working pictures.

    Returns:
        Numbers of the chains `(B,)`, and the share of a pair's other chains that bring what both pictures see to
        places in the reference that are within `AGREES` of the side of the chosen one's on average, `(B,)`, 1 where
        there are no others.
    """
    correlation = found.correlation.view(-1, chains)
    best = correlation.argmax(dim=1)
    if chains == 1:
        return best, torch.ones_like(correlation[:, 0])
    height, width = size
    grid = geometry.pixel_grid(size, device=correlation.device)[::STRIDE, ::STRIDE].double().reshape(1, -1, 2)
    back = geometry.invert_homography(found.homography)
    ends = geometry.transform_points(back, grid.expand(len(back), -1, 2)).unflatten(0, (-1, chains))
    own = ends[torch.arange(len(ends), device=ends.device), best]
    # What lies outside of the reference counts nothing: a narrow picture of a wide one may send corners anywhere.
    seen = ((own >= -0.5) & (own < own.new_tensor([width, height]) - 0.5)).all(-1)
    apart = (ends - own[:, None]).norm(dim=-1).nan_to_num(torch.inf).clamp_max(10 * max(size))
    apart = (apart * seen[:, None]).sum(-1) / seen.sum(-1, keepdim=True).clamp_min(1)
    near = ((apart < AGREES * max(size)) & seen.any(-1, keepdim=True)).sum(dim=1) - 1
    return best, near.clamp_min(0).to(correlation.dtype) / (chains - 1)


def confidence_of(correlation: Tensor) -> Tensor:
    """Confidence `(B,)` in [0, 1]: how likely points are off by less than 2 % of the side; 0 where nothing correlates.

    Args:
        correlation: `(B,)` in [0, 1], of the vessel maps.
    """
    return torch.where(correlation > 0, torch.sigmoid(INTERCEPT + SLOPE * correlation), 0.0).float()


def _displacement(homography: Tensor, field: Tensor, size: geometry.Size, source_size: geometry.Size) -> CubicField:
    """W(H, x + D(x)) - W(H, x) over the reference, in pixels of the source, from the fields of the working size."""
    side = field.shape[-1]
    bent, planar = (field_positions(homography, each, (side, side)) for each in (field, None))
    # Nothing beyond the horizon may reach the control points around it.
    there = torch.where((planar.abs() < -geometry.FAR_OUTSIDE / 2).all(-1, keepdim=True), bent - planar, 0.0)
    count = side // CELL + 1
    vertices = geometry.regular_mesh(count, count, size, device=field.device)
    to_working = geometry.resize_transform(size, (side, side), "area", device=field.device)
    at = geometry.transform_points(to_working[None], vertices.reshape(1, -1, 2)).view(1, count, count, 2)
    at = at.clamp(0, side - 1).float().expand(len(field), -1, -1, -1)
    control = geometry.sample(there.permute(0, 3, 1, 2), at).permute(0, 2, 3, 1)
    height, width = source_size
    return CubicField(control * control.new_tensor([width / side, height / side]), size, "convolution")
