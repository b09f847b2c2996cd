"""The JND model against reference values of the formulas, computed apart with NumPy (METHODS, section 2)."""

from __future__ import annotations

import math

import pytest
import torch

from raylign.methods import jnd


def flat(level: float, size: int = 64) -> torch.Tensor:
    return torch.full((1, 1, size, size), float(level))


def step_edge() -> torch.Tensor:
    grey = flat(100.0)
    grey[..., 32:] = 150
    return grey


def grating() -> torch.Tensor:
    wave = 128 + 40 * torch.sin(2 * math.pi * torch.arange(64, dtype=torch.float64) / 8)
    return wave.float().expand(1, 1, 64, 64).contiguous()


def noise(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 1, 48, 56, generator=torch.Generator().manual_seed(seed)) * 255


@pytest.mark.parametrize(
    ("level", "threshold"), [(0, 8.0266), (64, 4.5553), (127, 2.1000), (128, 2.1164), (255, 4.2000)]
)
def test_flat_pictures(level: int, threshold: float) -> None:
    assert float(jnd.jnd_threshold_of_luma(flat(level))[0, 0, 32, 32]) == pytest.approx(threshold, abs=1e-4)
    image = torch.full((1, 3, 64, 64), level / 255)
    assert float(jnd.jnd_threshold(image)[0, 0, 32, 32]) == pytest.approx(threshold, abs=1e-4)


def test_zero_padding_darkens_the_corner() -> None:
    assert float(jnd.jnd_threshold_of_luma(flat(127))[0, 0, 0, 0]) == pytest.approx(5.5524, abs=1e-4)


def test_step_edge() -> None:
    grey = step_edge()
    contrast = jnd.luminance_contrast(grey)
    complexity = jnd.pattern_complexity(grey)
    values = {
        2.3366: jnd.luminance_adaptation(grey),
        24.4949: contrast,
        3.1099: jnd.contrast_masking(contrast),
        1.7259: complexity,
        8.0613: jnd.pattern_masking(contrast, complexity),
        9.6969: jnd.jnd_threshold_of_luma(grey),
    }
    for expected, found in values.items():
        assert float(found[0, 0, 32, 31]) == pytest.approx(expected, abs=1e-3)


def test_grating() -> None:
    grey = grating()
    assert float(jnd.jnd_threshold_of_luma(grey)[..., 8:56, 8:56].mean()) == pytest.approx(8.3817, abs=1e-3)
    assert set(jnd.complexity_counts(grey)[0, 0, 32, 8:24:2].tolist()) == {1}
    assert set(jnd.complexity_counts(grey)[0, 0, 32, 9:24:2].tolist()) == {2}


def test_bounds() -> None:
    for grey in (noise(), step_edge(), grating(), flat(127)):
        threshold, adaptation = jnd.jnd_threshold_of_luma(grey), jnd.luminance_adaptation(grey)
        contrast = jnd.luminance_contrast(grey)
        pattern = jnd.pattern_masking(contrast, jnd.pattern_complexity(grey))
        visual = torch.maximum(jnd.contrast_masking(contrast), pattern)
        assert threshold.min() >= 2.1 - 1e-5
        assert (threshold >= adaptation - 1e-5).all()
        assert (threshold <= adaptation + visual + 1e-5).all()


def test_complexity_counts_lie_in_1_to_9() -> None:
    counts = jnd.complexity_counts(noise())
    assert counts.min() >= 1
    assert counts.max() <= 9
    assert counts.max() >= 6
    assert (jnd.complexity_counts(flat(90)) == 1).all()
    assert (counts[..., 0, :] == 1).all()
    assert (counts[..., -1] == 1).all()


def test_complexity_counts_agree_with_sets() -> None:
    # The same definition, pixel by pixel in plain Python.
    grey = noise(3)[:1, :, :20, :20]
    padded = torch.nn.functional.pad(grey, (1, 1, 1, 1), mode="replicate")[0, 0].tolist()

    def orientation_bin(y: int, x: int) -> int:
        gx = sum(padded[y + k][x + 2] - padded[y + k][x] for k in range(3)) / 3
        gy = sum(padded[y + 2][x + k] - padded[y][x + k] for k in range(3)) / 3
        if math.hypot(gx, gy) < 5:
            return 16
        raw = math.degrees(math.atan2(gy, gx))
        degrees = math.copysign(math.floor(abs(raw) + 0.5), raw)
        degrees = degrees - 180 if degrees > 90 else degrees + 180 if degrees < -90 else degrees
        return math.floor((degrees + 90) / 12 + 0.5)

    bins = [[orientation_bin(y, x) for x in range(20)] for y in range(20)]
    found = jnd.complexity_counts(grey)[0, 0]
    for y in range(1, 19):
        for x in range(1, 19):
            around = {bins[y + i][x + j] for i in (-1, 0, 1) for j in (-1, 0, 1)}
            assert int(found[y, x]) == (1 if bins[y][x] == 16 else len(around))


def test_edge_height_of_a_step() -> None:
    # A vertical step of 50: the kernel sums 1 + 3 + 8 + 3 + 1 = 16 times 50, divided by 16.
    assert float(jnd.edge_height(step_edge())[0, 0, 32].max()) == pytest.approx(50.0)


def test_edge_protection_lowers_thresholds_along_edges_only() -> None:
    grey = step_edge()
    weight = jnd.edge_weight(grey)
    assert float(weight[0, 0, 32, 31]) == 0
    assert float(weight[0, 0, 32, 10]) == pytest.approx(1)
    protected = jnd.jnd_threshold_of_luma(grey, edge_protection=True)
    plain = jnd.jnd_threshold_of_luma(grey)
    assert (protected <= plain + 1e-5).all()
    assert protected[0, 0, 32, 31] < plain[0, 0, 32, 31]


def test_batch_does_not_mix() -> None:
    both = torch.cat([step_edge(), grating()])
    for protection in (False, True):
        together = jnd.jnd_threshold_of_luma(both, edge_protection=protection)
        assert torch.allclose(together[:1], jnd.jnd_threshold_of_luma(step_edge(), edge_protection=protection))


def test_no_gradient_flows_through_the_threshold() -> None:
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    assert not jnd.jnd_threshold(image).requires_grad


def test_autocast_changes_nothing() -> None:
    image = torch.rand(1, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        inside = jnd.jnd_threshold(image)
    assert torch.equal(inside, jnd.jnd_threshold(image))
