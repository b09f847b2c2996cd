"""What `raylign align` and `align_images` make of odd pictures: a defined result, or one clear line and no file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from raylign.methods.aligner import single_source
from raylign.methods.errors import InputError
from raylign.methods.registry import load
from raylign.platform.alignment import AlignedPicture, ModelChoice, align_images
from raylign.platform.cli import main
from tests.datasets import texture

SHIFT = np.array([[1.0, 0, 7], [0, 1, -5], [0, 0, 1]])
"""Reference pixels to source pixels."""
LOOSE = ("affine-sift", "apap", "mean", "orb", "sift", "sift-ecc", "sift-mesh")
"""Methods that tell whether they found anything."""


def picture(seed: int, height: int, width: int) -> Tensor:
    """A textured picture `(3, H, W)` in [0, 1]."""
    pixels = texture(np.random.default_rng(seed), max(height, width))[:height, :width]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255


def aligned(method: str, reference: Tensor, *sources: Tensor) -> AlignedPicture:
    return align_images(load(method), reference, sources, ModelChoice(method, method, method), threads=1)


def assert_whole(found: AlignedPicture, reference: Tensor) -> None:
    """Shapes, values and the mask of a result are what `AlignedPicture` promises."""
    assert found.image.shape == reference.shape
    assert found.mask.shape == reference.shape[1:]
    assert found.mask.dtype == torch.bool
    assert bool(found.image.isfinite().all())
    assert float(found.image.amin()) >= 0
    assert float(found.image.amax()) <= 1
    assert float(found.image[:, ~found.mask].abs().sum()) == 0
    assert found.confidence is None or 0 <= found.confidence <= 1
    json.dumps(found.facts, allow_nan=False)


@pytest.fixture(scope="module")
def shots() -> tuple[np.ndarray, np.ndarray]:
    """Reference (160 x 200) and source under `SHIFT`, uint8."""
    reference = texture(np.random.default_rng(1), 200)[:160]
    return reference, cv2.warpPerspective(reference, SHIFT, (200, 160), borderMode=cv2.BORDER_REFLECT)


def write(shots: tuple[np.ndarray, np.ndarray], form: str) -> tuple[str, str]:
    """Both shots as files of one kind; EXIF-rotated ones lie on their side in the file."""
    names = []
    for name, pixels in zip(("ref", "src"), shots, strict=True):
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        path = f"{name}.{'jpg' if form == 'exif' else 'tif' if form == 'cmyk' else 'png'}"
        if form == "rgb":
            Image.fromarray(pixels).save(path)
        elif form == "grey":
            Image.fromarray(grey).save(path)
        elif form == "16 bit":
            Image.fromarray(grey.astype(np.uint16) * 257).save(path)
        elif form == "palette":
            Image.fromarray(pixels).quantize(256).save(path)
        elif form == "rgba":
            Image.fromarray(np.dstack([pixels, np.full_like(grey, 255)])).save(path)
        elif form == "cmyk":
            Image.fromarray(pixels).convert("CMYK").save(path)
        elif form == "exif":
            lying, exif = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90), Image.Exif()
            exif[0x0112] = 6
            lying.save(path, exif=exif, quality=95)
        names.append(path)
    return names[0], names[1]


@pytest.mark.parametrize("form", ["rgb", "grey", "16 bit", "palette", "rgba", "cmyk", "exif"])
def test_every_kind_of_file_is_aligned(workdir: Path, shots: tuple[np.ndarray, np.ndarray], form: str) -> None:
    reference, source = write(shots, form)
    assert main(["align", reference, source, "-o", "out.png", "--method", "sift", "--save-transform", "t.npz"]) == 0
    transform = np.load("t.npz")
    corners = np.array([[0, 0, 1], [199, 0, 1], [0, 159, 1], [199, 159, 1]]).T
    expected, found = SHIFT @ corners, transform["homography"] @ corners
    assert np.abs(expected[:2] - found[:2] / found[2]).max() < 1.5
    out = np.asarray(Image.open("out.png")).astype(int)
    assert out.shape == (160, 200, 3)
    if form not in ("grey", "16 bit"):
        assert np.abs(out - shots[0])[transform["mask"]].mean() < 6
    else:
        assert np.ptp(out, axis=2).max() == 0


def flat(side: int = 80, value: int = 90) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


UNALIGNABLE: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "textureless source": (texture(np.random.default_rng(0), 80), flat()),
    "textureless reference": (flat(), texture(np.random.default_rng(0), 80)),
    "both textureless": (flat(), flat()),
    "black": (flat(value=0), flat(value=0)),
    "no overlap": (texture(np.random.default_rng(0), 240)[:, :110], texture(np.random.default_rng(0), 240)[:, 130:]),
    "other scene": (texture(np.random.default_rng(3), 128), texture(np.random.default_rng(8), 128)),
    "noise": tuple(np.random.default_rng(k).integers(0, 255, (96, 96, 3), dtype=np.uint8) for k in (0, 1)),  # type: ignore[dict-item]
    "strips": (texture(np.random.default_rng(0), 400)[:40], texture(np.random.default_rng(5), 400)[:, :40]),
}


@pytest.mark.parametrize("case", UNALIGNABLE)
def test_where_nothing_can_be_aligned_nothing_is_written(
    workdir: Path, case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, pixels in zip(("ref.png", "src.png"), UNALIGNABLE[case], strict=True):
        Image.fromarray(pixels).save(name)
    assert main(["align", "ref.png", "src.png", "-o", "o.png", "--json"]) == 3
    output, errors = capfd.readouterr()
    assert json.loads(output)["reliable"] is False
    assert errors.count("\n") == 1
    assert "no reliable alignment found" in errors
    assert {path.name for path in workdir.iterdir()} == {"ref.png", "src.png"}


@pytest.mark.parametrize("method", LOOSE)
def test_textureless_pictures_have_no_confidence(method: str) -> None:
    textured, plain = picture(1, 90, 110), torch.full((3, 70, 80), 0.4)
    for reference, source in ((textured, plain), (plain, textured), (plain, plain)):
        found = aligned(method, reference, source)
        assert not found.reliable
        assert found.confidence == 0
        assert_whole(found, reference)


@pytest.mark.parametrize("method", ["identity", "dis-flow", *LOOSE])
def test_equal_pictures_stay_as_they_are(method: str) -> None:
    reference = picture(1, 120, 150)
    found = aligned(method, reference, reference)
    assert found.reliable
    assert_whole(found, reference)
    assert float(found.mask.float().mean()) > 0.95
    assert float((found.image - reference)[:, found.mask].abs().mean()) < 2 / 255


@pytest.mark.parametrize("method", ["identity", "dis-flow", "sift", "sift-mesh", "orb", "median"])
def test_sizes_and_aspect_ratios(method: str) -> None:
    for size, other in (((1, 1), (1, 1)), ((1, 50), (40, 1)), ((8, 8), (9, 31)), ((40, 300), (200, 40))):
        reference, source = picture(1, *size), picture(1, *other)
        assert_whole(aligned(method, reference, source), reference)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    method=st.sampled_from(["identity", "sift", "orb"]),
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    other=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    seed=st.integers(0, 99),
)
def test_any_size_gives_a_whole_result(method: str, size: tuple[int, int], other: tuple[int, int], seed: int) -> None:
    reference = picture(seed, *size)
    assert_whole(aligned(method, reference, picture(seed, *other)), reference)


GOOD = torch.full((3, 40, 50), 0.5)
"""Stands for any picture: what is wrong is told before a method looks at it."""


def holed(value: float) -> Tensor:
    """One pixel in one channel is damaged."""
    broken = GOOD.clone()
    broken[1, 20, 30] = value
    return broken


WRONG: dict[str, tuple[Tensor, list[Tensor], str]] = {
    "no source": (GOOD, [], "SRC: there is no source"),
    "grey": (GOOD[:1], [GOOD], r"REF: a picture must be \(3, H, W\), not \(1, 40, 50\)"),
    "no channels": (GOOD, [GOOD[0]], r"SRC: a picture must be \(3, H, W\), not \(40, 50\)"),
    "four channels": (GOOD, [torch.cat([GOOD, GOOD[:1]])], r"SRC: a picture must be \(3, H, W\), not \(4, 40, 50\)"),
    "a batch": (GOOD[None], [GOOD], r"REF: a picture must be \(3, H, W\), not \(1, 3, 40, 50\)"),
    "channels last": (GOOD.permute(1, 2, 0), [GOOD], "REF: a picture must be"),
    "no pixels": (GOOD, [GOOD[:, :0]], "sources of shape .* has no pixels"),
    "no reference pixels": (GOOD[:, :, :0], [GOOD], "reference of shape .* has no pixels"),
    "bytes": ((GOOD * 255).byte(), [(GOOD * 255).byte()], "reference must be float32 in .*, not torch.uint8"),
    "double": (GOOD, [GOOD.double()], "sources must be float32 in .*, not torch.float64"),
    "half": (GOOD.half(), [GOOD], "reference must be float32"),
    "nan": (GOOD, [holed(float("nan"))], "sources must be finite and in .*, not from nan to nan"),
    "infinite": (holed(float("inf")), [GOOD], r"reference must be finite and in \[0, 1\], not from 0.5 to inf"),
    "minus infinite": (GOOD, [holed(float("-inf"))], "sources must be finite"),
    "0 to 255": (GOOD * 255, [GOOD * 255], r"reference must be finite and in \[0, 1\], not from 127.5 to 127.5"),
    "-1 to 1": (GOOD, [holed(-1.0)], r"sources must be finite and in \[0, 1\], not from -1 to 0.5"),
}


@pytest.mark.parametrize("method", ["identity", "sift", "dis-flow", "sift-mesh", "median"])
@pytest.mark.parametrize("case", WRONG)
def test_wrong_tensors(case: str, method: str) -> None:
    reference, sources, told = WRONG[case]
    with pytest.raises(InputError, match=told) as caught:
        aligned(method, reference, *sources)
    assert "\n" not in str(caught.value)


def batch(*shape: int, **options: Any) -> Tensor:
    return torch.full(shape, 0.5, **options)


@pytest.mark.parametrize(
    ("reference", "sources", "told"),
    [
        (batch(0, 3, 8, 8), batch(0, 1, 3, 8, 8), "reference of shape .* has no pixels"),
        (batch(2, 3, 8, 8), batch(2, 0, 3, 8, 8), "aligns one source with each reference"),
        (batch(2, 3, 8, 8), batch(2, 2, 3, 8, 8), "aligns one source with each reference"),
        (batch(2, 3, 8, 8), batch(1, 1, 3, 8, 8), "with 2 references"),
        (batch(1, 3, 8, 8), batch(1, 3, 8, 8), "not .* and"),
        (batch(1, 1, 8, 8), batch(1, 1, 1, 8, 8), "not .* and"),
        (batch(1, 3, 8, 8), batch(1, 1, 3, 8, 0), "sources of shape .* has no pixels"),
    ],
)
def test_wrong_batches(reference: Tensor, sources: Tensor, told: str) -> None:
    for method in ("identity", "sift", "dis-flow", "sift-mesh"):
        with pytest.raises(InputError, match=told):
            load(method).align(reference, sources)


def test_what_interpolation_leaves_is_taken() -> None:
    wavy = batch(2, 3, 8, 8)
    wavy[0, 0, 0] = torch.tensor([-0.1, 1.1, 0, 1, 0.5, 0.5, 0.5, 0.5])
    assert single_source(wavy, wavy[:, None]).equal(wavy)
