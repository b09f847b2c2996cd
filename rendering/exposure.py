"""From the renderer's linear light to 8-bit pictures: checks, exposure, and the sRGB curve.

Why exposure is metered by default. The released renderer draws lights of 1 to 10 kW and a material that is up to
wholly metallic or transparent, and keeps the exposure fixed: the same painting comes out far too bright under three
lights and almost black as a metal under a narrow spot; the gains that bring both to a good picture differ by a factor
of four thousand (0.02 to 84 in 600 frames at the default settings), so no one factor would do. A camera meters. So each
frame gets one gain that brings the mean brightness of what is lit to that of a well-exposed photograph, and a random
shift around it; fall-off, shadows, highlights and colour casts stay as they are. `--scene.exposure fixed` renders as
released.
"""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from .errors import BlackFrameError, MissingTextureError, NonFiniteError

Light = npt.NDArray[np.float32]
"""Linear light (height, width, 3), top row first."""

MIDDLE_GREY = 0.18
"""Linear brightness that metering brings the lit part of a frame to: 46 % of full scale after the sRGB curve."""
GAIN_LIMITS = (2.0**-6, 2.0**6)
"""A camera cannot see in the dark either."""
DARK = 1e-5
"""Linear light that no gain within the limits brings to one 8-bit step."""


def check_light(light: Light, what: str) -> None:
    """Refuse what must not be shipped.

    Raises:
        NonFiniteError: a value is infinite or NaN.
        BlackFrameError: no pixel has light.
    """
    if not np.isfinite(light).all():
        raise NonFiniteError(f"{what}: the renderer returned values that are not finite")
    if light.max() < DARK:
        raise BlackFrameError(f"{what}: black, no light reaches the camera")


def check_texture(light: Light, what: str) -> None:
    """Refuse Blender's pink for a missing texture, in a picture of the painting alone.

    Raises:
        MissingTextureError: most pixels are exactly that pink.
    """
    pink = (light[..., 0] > 0.99) & (light[..., 1] < 0.01) & (light[..., 2] > 0.99)
    if pink.mean() > 0.5:
        raise MissingTextureError(f"{what}: pink, Blender did not find the texture")


def metered_gain(light: Light) -> float:
    """Gain that brings the lit part of a frame to middle grey.

    The mean is taken over pixels above a hundredth of the frame's bright end, so the black outside the painting does
    not count, and each pixel counts at most four times middle grey's share, so that highlights do not darken the rest.
    """
    red, green, blue = (light[..., channel].astype(np.float64) for channel in range(3))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    lit = luminance[luminance > 0.01 * np.quantile(luminance, 0.95)]
    if lit.size == 0:
        lit = luminance[luminance > 0]
    gain = MIDDLE_GREY / float(lit.mean())
    for _ in range(8):
        gain *= MIDDLE_GREY / float(np.minimum(lit * gain, 4 * MIDDLE_GREY).mean())
    # Four digits: the order of a sum must not show in a scene's bytes.
    return float(f"{np.clip(gain, *GAIN_LIMITS):.4g}")


def frame_gain(light: Light, exposure: Literal["metered", "fixed"], shift: float) -> float:
    """Gain of a frame: metered or 1, times `shift` stops."""
    return float((metered_gain(light) if exposure == "metered" else 1.0) * 2.0**shift)


def _linear(value: float) -> float:
    """Linear light of an sRGB value in [0, 1]."""
    return float(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)


_STEPS = np.array([_linear((step + 0.5) / 255) for step in range(255)], np.float32)


def to_srgb(light: Light) -> npt.NDArray[np.uint8]:
    """8-bit sRGB (height, width, 3), Blender's "Standard" view: IEC 61966-2-1, clipped, rounded to nearest.

    Looked up between the linear values where one 8-bit value passes to the next, so no processor's power function
    takes part.
    """
    return np.searchsorted(_STEPS, light, side="right").astype(np.uint8)


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """PNG bytes of (height, width, 3) RGB or (height, width) grey; without times or other metadata."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()
