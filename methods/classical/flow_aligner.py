"""What the baselines that estimate a dense optical flow have in common."""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from ..aligner import Aligner, Alignment, single_source
from ..jnd import luma

FLAT = 2.0
"""A picture whose luma nowhere differs by more grey levels shows nothing that could be followed."""
LEAST_COVERED = 0.05
"""Share of the reference's pixels that the flow must lead into the source before their agreement counts."""


class FlowAligner(Aligner):
    """An `Aligner` that knows one flow for each pair, from the reference into the source.

    The source is first brought to the size of the reference, both are reduced to the working size where they are
    larger, and the flow is mapped back, so that the source is sampled once and at its own resolution. Everything that
    the flow leads into the source is covered, also what is hidden there: the flow itself cannot know.

    The confidence is the share of the covered pixels whose flow there and back agrees (`consistency`); 0 where less
    than 5 % of the reference is covered. Where a picture is flat the answer is no motion between the
    pictures at one size, with confidence 0.

    Extras:
        consistency: `(B, 1, H, W)` in {0, 1}, where the flow there and back agrees.

    Args:
        max_side: larger pictures are reduced to this length in pixels before the flow is sought.
    """

    def __init__(self, max_side: int) -> None:
        super().__init__()
        self.max_side = max_side

    @abstractmethod
    def flow(self, reference: Tensor, source: Tensor) -> Tensor:
        """Flow `(B, 2, H, W)`, float32, pixels, reference to source.

        Args:
            reference: `(B, 3, H, W)` in [0, 1].
            source: of the same size.
        """

    @torch.inference_mode()
    def align(self, reference: Tensor, sources: Tensor) -> Alignment:
        """See `Aligner.align`."""
        source = single_source(reference, sources)
        size: geometry.Size = (reference.shape[-2], reference.shape[-1])
        source_size: geometry.Size = (source.shape[-2], source.shape[-1])
        factor = min(1.0, self.max_side / max(size))
        working: geometry.Size = (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
        small_reference, small_source = (resized(picture, working) for picture in (reference, source))
        visible = (_contrast(small_reference) > FLAT) & (_contrast(small_source) > FLAT)
        there, back = (
            torch.where(visible[:, None, None, None], flow, 0.0)
            for flow in (self.flow(small_reference, small_source), self.flow(small_source, small_reference))
        )
        agrees = consistency(there, back)
        inside = geometry.coverage(_moved(there), working) >= 0.999
        covered = inside.flatten(1).float().mean(1)
        share = (agrees & inside).flatten(1).float().mean(1) / covered.clamp_min(LEAST_COVERED)
        positions = full_size_positions(there, size, source_size)
        mask = (geometry.coverage(positions, source_size) >= 0.999).float()[:, None]
        return Alignment(
            image=geometry.sample(source, positions) * mask,
            mask=mask,
            flow=(positions - geometry.pixel_grid(size, device=positions.device)).permute(0, 3, 1, 2)[:, None],
            confidence=torch.where(visible & (covered >= LEAST_COVERED), share, 0.0),
            extras={"consistency": F.interpolate(agrees.float()[:, None], size, mode="nearest-exact")},
        )


def consistency(there: Tensor, back: Tensor) -> Tensor:
    """Where the flow there and back agrees: `|f(x) + b(x + f(x))|^2 < 0.01 (|f|^2 + |b|^2) + 0.5`, in pixels.

    Sundaram, Brox and Keutzer (2010), Eq. 5. A pixel that leaves the picture has no way back.

    Args:
        there: f `(B, 2, H, W)`.
        back: b, of the same size, from the other picture into this one.

    Returns:
        Bool `(B, H, W)`.
    """
    positions = _moved(there)
    returned = geometry.sample(back, positions)
    gap = (there + returned).square().sum(1)
    agrees = gap < 0.01 * (there.square().sum(1) + returned.square().sum(1)) + 0.5
    return agrees & (geometry.coverage(positions, (there.shape[-2], there.shape[-1])) >= 0.999)


def full_size_positions(flow: Tensor, size: geometry.Size, source_size: geometry.Size) -> Tensor:
    """Where each pixel of the full reference lies in the full source: `(B, H, W, 2)`, float32, pixels of the source.

    Args:
        flow: `(B, 2, h, w)` between pictures that were resized to h x w by the rule "area".
        size: of the full reference.
        source_size: of the full source.
    """
    working = (flow.shape[-2], flow.shape[-1])
    vectors = resized(flow, size).permute(0, 2, 3, 1)
    # The grid goes straight from the full reference to the full source; only the vectors know the working size.
    straight = geometry.resize_transform(size, source_size, "area", device=flow.device)
    grid = geometry.transform_points(straight[None], geometry.pixel_grid(size, device=flow.device)[None])
    scale = geometry.resize_transform(working, source_size, "area", device=flow.device).diagonal()[:2]
    return (grid + vectors * scale).float()


def resized(picture: Tensor, size: geometry.Size) -> Tensor:
    """A picture or flow `(B, C, H, W)` at another size, by the resize rule "area"; unchanged where it has that size."""
    if (picture.shape[-2], picture.shape[-1]) == size:
        return picture
    return F.interpolate(picture, size, mode="bilinear", align_corners=False, antialias=True)


def _contrast(picture: Tensor) -> Tensor:
    """Greatest difference of luma `(B,)`, in grey levels."""
    values = luma(picture).flatten(1)
    return values.amax(1) - values.amin(1)


def _moved(flow: Tensor) -> Tensor:
    """Where the flow `(B, 2, H, W)` takes each pixel: `(B, H, W, 2)`."""
    return geometry.pixel_grid((flow.shape[-2], flow.shape[-1]), device=flow.device) + flow.permute(0, 2, 3, 1)
