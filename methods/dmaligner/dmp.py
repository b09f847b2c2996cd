"""Dynamics-aware mask: where something moved between two latents, and what follows from it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from ..classical.dis_flow import DisFlow
from ..classical.flow_aligner import consistency

MOST_PRODUCTS = 2**24
"""Products that the correlation holds at a time: 64 MiB in float32."""


def correlation_volume(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """How each latent of the first resembles those of the second around it: `C(u, d) = 1/N sum_k V1_k(u) V2_k(u + d)`.

    METHODS.md 6.2 (DMAligner, Eq. 6). Rows are computed in blocks of `MOST_PRODUCTS`.

    Args:
        first: V1 `(B, N, h, w)`.
        second: V2, of the same size; zero outside.
        radius: R, greatest displacement along each axis, in latents.

    Returns:
        `(B, (2R + 1)^2, h, w)`; the displacement d = (x, y) is the channel `(y + R)(2R + 1) + x + R`.
    """
    batch, channels, height, width = first.shape
    reach = 2 * radius + 1
    padded = F.pad(second, (radius, radius, radius, radius))
    rows = max(1, MOST_PRODUCTS // (batch * channels * reach**2 * width))
    blocks = []
    for top in range(0, height, rows):
        values = first[:, :, top : top + rows]
        # A view (B, N, rows, w, 2R + 1, 2R + 1): nothing is copied before the product.
        around = padded[:, :, top : top + values.shape[2] + 2 * radius].unfold(2, reach, 1).unfold(3, reach, 1)
        products = values[:, :, None, None] * around.permute(0, 1, 4, 5, 2, 3)
        blocks.append(products.mean(dim=1).flatten(1, 2))
    return torch.cat(blocks, dim=2)


def dilated(mask: Tensor, radius: int) -> Tensor:
    """A mask `(B, 1, h, w)` grown by `radius` latents in each direction: the maximum of `(2 radius + 1)^2`."""
    return F.max_pool2d(mask, 2 * radius + 1, stride=1, padding=radius)


def fused(first: Tensor, second: Tensor, mask: Tensor, dilation: int) -> Tensor:
    """The second latent where something moves, the first elsewhere: `V2 dil(M) + V1 (1 - dil(M))`.

    METHODS.md 6.2 (DMAligner, Eq. 7).

    Args:
        first: V1 `(B, C, h, w)`.
        second: V2, of the same size.
        mask: M `(B, 1, h, w)` in [0, 1].
        dilation: r, latents by which the mask grows.

    Returns:
        `(B, C, h, w)`.
    """
    grown = dilated(mask, dilation)
    return second * grown + first * (1 - grown)


class CorrelationMask(ModelMixin, ConfigMixin):
    """Logits of what moves, from two latents and their correlation.

    Four 3 x 3 convolutions, `(2R + 1)^2 + 2C -> 64 -> 64 -> 32 -> 1`, with ReLU between them. The paper's layers are
    lost; these are our choice. METHODS.md 6.2.

    Args:
        latent_channels: C.
        radius: R, reach of the correlation in latents.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, latent_channels: int = 4, radius: int = 8) -> None:
        super().__init__()
        self.reach = radius
        self.layers = nn.Sequential(
            nn.Conv2d((2 * radius + 1) ** 2 + 2 * latent_channels, 64, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 1, 3, padding=1),
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits `(B, 1, h, w)`, positive where something moves, of latents `(B, C, h, w)` of reference and source."""
        return self.layers(torch.cat([correlation_volume(first, second, self.reach), first, second], dim=1))


def masked_loss(prediction: Tensor, truth: Tensor, mask: Tensor, gamma: float) -> Tensor:
    """Squared error that weighs `gamma` where the mask is 1 and `1 - gamma` where it is 0.

    METHODS.md 6.3 (DMAligner, Eq. 10). The error of a pixel is the mean over its channels. The mask should be detached,
    or it will shrink from where errors are.

    Args:
        prediction: `(B, C, h, w)`, pictures or latents.
        truth: of the same size.
        mask: `(B, 1, h, w)` in [0, 1].
        gamma: in [0, 1].

    Returns:
        `(B,)`, the mean over the pixels.
    """
    errors = (prediction - truth).square().mean(dim=1, keepdim=True)
    return (errors * ((1 - gamma) * (1 - mask) + gamma * mask)).mean(dim=(1, 2, 3))


def mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy of a mask.

    Args:
        logits: `(B, 1, h, w)`.
        truth: `(B, 1, h, w)` in [0, 1]; NaN where it is unknown, which counts 0.

    Returns:
        `(B,)`, the mean over the pixels.
    """
    known = ~truth.isnan()
    losses = F.binary_cross_entropy_with_logits(logits, truth.nan_to_num(), reduction="none")
    return (losses * known).mean(dim=(1, 2, 3))


def flow_inconsistency(reference: Tensor, source: Tensor) -> Tensor:
    """Where optical flow (DIS) there and back does not agree: a stand-in for the mask of what moves.

    Source 000's pseudo label. What leaves the picture has no way back, so it counts as well.

    Args:
        reference: `(B, 3, H, W)` in [0, 1].
        source: of the same size.

    Returns:
        `(B, 1, H, W)` in {0, 1}, float32, on the reference.
    """
    search = DisFlow()
    agrees = consistency(search.flow(reference, source), search.flow(source, reference))
    return (~agrees).float()[:, None]
