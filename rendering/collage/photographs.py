"""From the light of a laid collage to a picture: the lens' blur, exposure, darker corners, noise."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from .laying import FINER
from .pieces import Pixels
from .scenes import CameraSpec

Light = npt.NDArray[np.float32]
"""(H, W, 3), 0 to 255."""

COMPRESSION = 1
"""Of the PNG files: level 6 takes several times as long as laying the pieces, and saves a tenth."""


def expose(samples: Pixels, blur: float) -> Light:
    """Light on the sensor of samples (FINER H, FINER W, 3)."""
    blurred = cv2.GaussianBlur(samples.astype(np.float32), (0, 0), FINER * blur)
    height, width = samples.shape[0] // FINER, samples.shape[1] // FINER
    return np.asarray(cv2.resize(blurred, (width, height), interpolation=cv2.INTER_AREA))


def tone(light: Light, camera: CameraSpec) -> Light:
    """The light as a camera's gains and gamma render it."""
    scaled = (light * (np.asarray(camera.gains, np.float32) / 255)).clip(0, 1)
    return np.asarray(255 * (scaled if camera.gamma == 1 else scaled ** np.float32(camera.gamma)), np.float32)


def photograph(light: Light, camera: CameraSpec) -> Pixels:
    """The picture (H, W, 3), sRGB, 8 bit, that a camera takes."""
    height, width = light.shape[:2]
    ys = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    xs = np.linspace(-1, 1, width, dtype=np.float32)[None]
    corners = 1 - np.float32(camera.vignette / 2) * (xs * xs + ys * ys)
    noise = np.random.Generator(np.random.PCG64(camera.seed)).standard_normal(light.shape, np.float32)
    return round_off(tone(light, camera) * corners[..., None] + np.float32(255 * camera.noise) * noise)


def round_off(picture: Light) -> Pixels:
    """8-bit values."""
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def quick_png(pixels: Pixels) -> bytes:
    """PNG bytes of (H, W, 3) RGB or (H, W) grey, encoded in a hurry."""
    ordered = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", ordered, [cv2.IMWRITE_PNG_COMPRESSION, COMPRESSION])[1].tobytes()
