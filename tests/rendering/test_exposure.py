"""From linear light to pictures: the sRGB curve, metering, and what is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from raylign.rendering.errors import BlackFrameError, MissingTextureError, NonFiniteError
from raylign.rendering.exposure import (
    check_light,
    check_texture,
    frame_gain,
    metered_gain,
    png,
    to_srgb,
)


def test_the_srgb_curve_returns_every_8_bit_value() -> None:
    value = np.arange(256) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    light = np.repeat(linear.astype(np.float32)[None, :, None], 3, axis=2)
    np.testing.assert_array_equal(to_srgb(light)[0, :, 0], np.arange(256))


def test_light_beyond_white_is_white() -> None:
    assert to_srgb(np.full((1, 1, 3), 7.0, np.float32)).tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize("level", [0.02, 0.1, 5.0])
def test_metering_undoes_the_level_of_the_light(level: float) -> None:
    light = np.random.default_rng(0).uniform(0.2, 1.0, (32, 32, 3)).astype(np.float32)
    assert metered_gain(light * np.float32(level)) * level == pytest.approx(metered_gain(light), rel=0.01)


def test_metering_passes_over_the_black_and_the_highlights() -> None:
    light = np.full((32, 32, 3), 0.3, np.float32)
    assert metered_gain(light) == pytest.approx(0.6, rel=0.01)
    light[:16] = 0
    assert metered_gain(light) == pytest.approx(0.6, rel=0.01)
    light[20:22, 20:22] = 1000
    assert metered_gain(light) == pytest.approx(0.6, rel=0.1)


def test_a_fixed_exposure_is_shifted_only() -> None:
    light = np.full((4, 4, 3), 0.01, np.float32)
    assert frame_gain(light, "fixed", 0.0) == 1
    assert frame_gain(light, "fixed", -1.0) == 0.5


def test_a_gain_has_limits() -> None:
    assert metered_gain(np.full((4, 4, 3), 1e-5, np.float32)) == 64


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    light = np.ones((4, 4, 3), np.float32)
    light[2, 1, 0] = value
    with pytest.raises(NonFiniteError, match="frame 3"):
        check_light(light, "frame 3")


def test_a_black_frame_is_refused() -> None:
    with pytest.raises(BlackFrameError, match="frame 3"):
        check_light(np.zeros((4, 4, 3), np.float32), "frame 3")


def test_a_pink_picture_is_refused() -> None:
    with pytest.raises(MissingTextureError):
        check_texture(np.full((4, 4, 3), (1, 0, 1), np.float32), "gt")
    check_texture(np.full((4, 4, 3), (0.9, 0.2, 0.9), np.float32), "gt")


def test_png_is_the_same_each_time() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8)
    assert png(pixels) == png(pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(pixels)))), pixels)
