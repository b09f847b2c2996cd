"""What optical flow knows: the source brought to the reference, pixels worth keeping, and what a drawn picture shows.

Pictures are RGB `(B, 3, H, W)`, float32 in [0, 1], both of one size; flow is DIS flow, which runs on the CPU.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from ..classical.dis_flow import DisFlow
from ..classical.flow_aligner import FLAT, consistency
from ..classical.keypoints import agree
from ..jnd import luma

EVENED_MEAN = 0.5
"""Mean of the luma that flow is sought on, in [0, 1]."""
EVENED_DEVIATION = 0.2
"""Its standard deviation: about that of a well-exposed photograph."""
WINDOW = 9
"""Side in pixels of the windows in which pictures are compared."""
TOLERANCE = 0.08
"""By how much the means over a window may differ, in [0, 1], where both pictures show the same."""
FEATHER = 4
"""Pixels over which kept pixels fade into drawn ones."""
PLANE_POINTS = 64
"""Most flow vectors along a side that the plane is sought in, at least `PLANE_STRIDE` pixels apart."""
PLANE_STRIDE = 4
PLANE_THRESHOLD = 3.0
"""Pixels up to which a flow vector may follow the plane."""
MOTION_SCALE = 4.0
"""Pixels off the plane that count as half of the most there can be."""
RIGHT_POWER = 2
"""Power of the squared error to which a picture is less right than another."""
RIGHT_ERROR = 1e-4
"""Squared error, of values in [0, 1], that does not count."""
MOST_GAIN = 4.0
"""By how much the light of two pictures may differ, as a factor."""
LEAST_DEVIATION = 2.0
"""Standard deviation of luma in grey levels from which a window has texture."""
LEAST_CORRELATION = 0.5
"""Correlation from which two windows show the same."""
LEAST_TEXTURED = 0.05
"""Share of a picture's pixels that must have texture, so that it can be confirmed."""


class Matches(NamedTuple):
    """What optical flow says of two pictures."""

    positions: Tensor
    """Where each pixel of the first lies in the second, `(B, H, W, 2)`."""
    agrees: Tensor
    """Where that agrees there and back, bool `(B, 1, H, W)`."""
    back: Tensor
    """Where each pixel of the second lies in the first, `(B, H, W, 2)`."""


@torch.no_grad()
def flow_warped(reference: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """Bring the source to the reference by optical flow.

    The flow is sought on luma of equal mean and deviation; the source keeps its own colours.

    Returns:
        The source in the reference's frame `(B, 3, H, W)`, zero outside of the source, and where the flow there and
        back agrees, `(B, 1, H, W)` in {0, 1}.
    """
    matches = flow_matches(reference, source)
    return geometry.sample(source, matches.positions), matches.agrees.float()


@torch.no_grad()
def plane_of(matches: Matches) -> Tensor:
    """The homography from the first picture to the second that most of the flow follows, `(B, 3, 3)`, float64.

    Flow takes a thing that moved back to where the reference shows it; the plane of what stands still leaves it where
    the source has it, and shows it whole. The identity where no plane is found.
    """
    size: geometry.Size = (matches.positions.shape[1], matches.positions.shape[2])
    stride = max(PLANE_STRIDE, -(-max(size) // PLANE_POINTS))
    some = (slice(stride // 2, None, stride),) * 2
    grid = geometry.pixel_grid(size)[some]
    found = []
    for there, trusted in zip(matches.positions[:, *some].cpu(), matches.agrees[:, 0, *some].cpu(), strict=True):
        ends = grid[trusted].numpy(), there[trusted].numpy()
        homography = agree(*ends, (size, size), (size, size), PLANE_THRESHOLD).homography
        found.append(torch.eye(3, dtype=torch.float64) if homography is None else homography)
    return torch.stack(found).to(matches.positions.device)


@torch.no_grad()
def motion_off_plane(matches: Matches, plane: Tensor) -> Tensor:
    """How what both pictures show at each pixel of the first moves against the plane: `(B, 4, H, W)` in (-1, 1).

    The first two channels tell the flow of what the first picture shows there, less the plane's; the others the flow
    back of what the second shows where the plane leads, less the plane's way back, 0 where that is outside. Something
    that moves is off the plane where it is and where it has been, in one picture each; what stands still out of the
    plane is so in both at once. A motion of `MOTION_SCALE` pixels gives 0.5.

    Args:
        matches: of a reference and a source.
        plane: see `plane_of`.
    """
    size: geometry.Size = (matches.positions.shape[1], matches.positions.shape[2])
    led = geometry.homography_positions(plane, size).float()
    there = matches.positions - led
    away = matches.back - geometry.homography_positions(geometry.invert_homography(plane), size).float()
    motion = torch.cat([there.permute(0, 3, 1, 2), geometry.sample(away.permute(0, 3, 1, 2), led)], dim=1)
    return motion / (MOTION_SCALE + motion.abs())


@torch.no_grad()
def in_source_light(reference: Tensor, warped: Tensor, agrees: Tensor) -> Tensor:
    """The reference in the source's light: each colour multiplied by the gain that makes the means equal.

    What stands still looks like this at the source's time, also where the source does not show it. A gain that changes
    from place to place was no better on the validation pairs of docs/results/dmaligner.md.

    Args:
        reference: `(B, 3, H, W)`.
        warped: the source as flow brings it to the reference, of the same size.
        agrees: where that can be trusted, `(B, 1, H, W)`.

    Returns:
        `(B, 3, H, W)` in [0, 1]; the reference itself where flow agrees nowhere.
    """

    shown, wanted = ((picture * agrees).mean((2, 3), keepdim=True) for picture in (reference, warped))
    gain = torch.where(shown > 0, wanted / shown.clamp_min(torch.finfo(shown.dtype).tiny), 1.0)
    return (reference * gain.clamp(1 / MOST_GAIN, MOST_GAIN)).clamp(0, 1)


@torch.no_grad()
def rightness(pictures: list[Tensor], truth: Tensor, stride: int) -> Tensor:
    """How right each of several pictures is against the others at each latent: `(B, K, h, w)`, positive, of sum 1.

    As `1 / (e + RIGHT_ERROR)^RIGHT_POWER`, with e the mean squared error over the latent and those around it.

    Args:
        pictures: K of `(B, 3, H, W)` in [0, 1], the sides multiples of `stride`.
        truth: of the same size.
        stride: pixels from one latent to the next.
    """
    errors = torch.cat([(picture - truth).square().mean(dim=1, keepdim=True) for picture in pictures], dim=1)
    around = F.avg_pool2d(F.avg_pool2d(errors, stride), 3, stride=1, padding=1, count_include_pad=False)
    return (-RIGHT_POWER * (around + RIGHT_ERROR).log()).softmax(dim=1)


def share_loss(shares: Tensor, right: Tensor) -> Tensor:
    """Cross-entropy of how much is copied of each picture against how right it is.

    Args:
        shares: `(B, K, h, w)`, positive; how they relate to each other is compared, not what is left for none.
        right: see `rightness`.

    Returns:
        `(B,)`, the mean over the latents.
    """
    told = shares.clamp_min(torch.finfo(shares.dtype).tiny)
    return -(right * (told / told.sum(dim=1, keepdim=True)).log()).sum(dim=1).mean(dim=(1, 2))


@torch.no_grad()
def kept_pixels(drawn: Tensor, reference: Tensor, source: Tensor, moving: Tensor | None) -> tuple[Tensor, Tensor]:
    """Take over the source's own pixels where flow leads to them, nothing moves and they show what was drawn.

    Args:
        drawn: the source's content from the reference's view.
        reference: of the same size.
        source: of the same size.
        moving: probability `(B, 1, H, W)` that a pixel shows something that moves; `None` where this is not known.

    Returns:
        The picture `(B, 3, H, W)`, and the weight of the source's pixels in it, `(B, 1, H, W)` in [0, 1]: 0 outside of
        the kept regions, rising inside of them over 2 `FEATHER` pixels; regions too narrow for this are not kept.
    """
    warped, agreement = flow_warped(reference, source)
    difference = (_window_mean(warped) - _window_mean(drawn)).abs().amax(1, keepdim=True)
    kept = (agreement > 0) & (difference < TOLERANCE)
    if moving is not None:
        kept &= moving < 0.5
    # Shrunk first, so that the mean over windows of the same side is 0 outside of what is kept.
    side = 2 * FEATHER + 1
    dropped = F.max_pool2d((~kept).float(), side, stride=1, padding=FEATHER)
    weight = F.avg_pool2d(1 - dropped, side, stride=1, padding=FEATHER, count_include_pad=False)
    return torch.lerp(drawn, warped, weight), weight


@torch.no_grad()
def confirmed_share(drawn: Tensor, source: Tensor) -> Tensor:
    """How much of a drawn picture the source confirms.

    Of the drawn picture's pixels in windows with texture it is the share whose flow into the source and back agrees,
    and whose window correlates with what the source shows there.

    Args:
        drawn: the source's content from another view.
        source: of the same size.

    Returns:
        `(B,)` in [0, 1]; 0 where less than `LEAST_TEXTURED` of the drawn picture has texture.
    """
    matches = flow_matches(drawn, source)
    # float64, because E[Y^2] - E[Y]^2 cancels.
    first, second = luma(drawn).double(), geometry.sample(luma(source), matches.positions).double()
    first_mean, second_mean = _window_mean(first), _window_mean(second)
    first_variance = _window_mean(first.square()) - first_mean.square()
    second_variance = (_window_mean(second.square()) - second_mean.square()).clamp_min(LEAST_DEVIATION**2)
    covariance = _window_mean(first * second) - first_mean * second_mean
    textured = first_variance > LEAST_DEVIATION**2
    scale = (first_variance.clamp_min(LEAST_DEVIATION**2) * second_variance).sqrt()
    confirmed = textured & matches.agrees & (covariance > LEAST_CORRELATION * scale)
    share, possible = confirmed.double().mean((1, 2, 3)), textured.double().mean((1, 2, 3))
    return torch.where(possible >= LEAST_TEXTURED, share / possible.clamp_min(LEAST_TEXTURED), 0.0).float()


@torch.no_grad()
def flow_matches(first: Tensor, second: Tensor) -> Matches:
    """Flow there and back, sought on luma of equal mean and deviation."""
    search = DisFlow()
    evened = [_evened(picture) for picture in (first, second)]
    there, back = search.flow(evened[0], evened[1]), search.flow(evened[1], evened[0])
    grid = geometry.pixel_grid((there.shape[-2], there.shape[-1]), device=there.device)
    return Matches(grid + there.permute(0, 2, 3, 1), consistency(there, back)[:, None], grid + back.permute(0, 2, 3, 1))


def _evened(picture: Tensor) -> Tensor:
    """Luma with the same mean and deviation for all pictures, as grey `(B, 3, H, W)` in [0, 1]; flat ones stay flat."""
    grey = luma(picture) / 255
    deviation, mean = torch.std_mean(grey, dim=(1, 2, 3), correction=0, keepdim=True)
    contrast = EVENED_DEVIATION / deviation.clamp_min(FLAT / 255)
    return ((grey - mean) * contrast + EVENED_MEAN).clamp(0, 1).expand(-1, 3, -1, -1)


def _window_mean(values: Tensor) -> Tensor:
    """Mean over the window around each pixel, as much of it as lies inside."""
    return F.avg_pool2d(values, WINDOW, stride=1, padding=WINDOW // 2, count_include_pad=False)
