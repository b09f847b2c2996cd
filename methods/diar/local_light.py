"""Pictures without their light: grey levels relative to what lies around them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def without_light(grey: Tensor, window: int, noise: float) -> tuple[Tensor, Tensor]:
    """Grey levels minus their mean in a window, in its standard deviations.

    Gain and offset of the light cancel, and so do shadows and lamps that change slowly over a window.

    Args:
        grey: `(B, 1, H, W)`, grey levels 0 to 255.
        window: side in pixels, odd; at the border only what lies in the picture counts.
        noise: grey levels, added to the deviation in squares: a window that deviates less is not amplified to the
            contrast of others.

    Returns:
        The relative levels, about -3 to 3, and the standard deviation in grey levels; both `(B, 1, H, W)`.
    """
    mean = window_mean(grey, window)
    variance = (window_mean(grey.square(), window) - mean.square()).clamp_min(0)
    return (grey - mean) / (variance + noise**2).sqrt(), variance.sqrt()


def window_mean(plane: Tensor, window: int) -> Tensor:
    """The mean of `(B, C, H, W)` over a square around each pixel; of an odd side, as far as it lies in the picture."""
    return F.avg_pool2d(plane, window, stride=1, padding=window // 2, count_include_pad=False)
