"""`raylign align --canvas`: the panorama of both pictures as a file, in facts and report."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from raylign.methods.classical.identity import Identity
from raylign.platform import images
from raylign.platform.cli import main


def scene() -> np.ndarray:
    """Rectangles of random colours `(180, 260, 3)`, uint8, slightly blurred: corners for SIFT at many scales."""
    random = np.random.default_rng(2)
    image = np.full((180, 260, 3), 128, np.uint8)
    for _ in range(520):
        x, y = random.integers(0, 260), random.integers(0, 180)
        w, h = random.integers(3, 24, 2)
        image[y : y + h, x : x + w] = random.integers(0, 256, 3)
    return cv2.GaussianBlur(image, (0, 0), 0.8)


WHOLE = scene()


@pytest.fixture
def pair(workdir: Path) -> Path:
    """`ref.png` (180 x 150) and `src.png` (170 x 140), windows of one picture; the source lies at (70, -20)."""
    Image.fromarray(WHOLE[30:180, 10:190]).save("ref.png")
    Image.fromarray(WHOLE[10:150, 80:250]).save("src.png")
    return workdir


def expected() -> tuple[np.ndarray, np.ndarray]:
    """The canvas in 8 bits, and where it is covered."""
    covered = np.zeros(WHOLE.shape[:2], bool)
    covered[30:180, 10:190] = covered[10:150, 80:250] = True
    return (WHOLE * covered[..., None])[10:180, 10:250], covered[10:180, 10:250]


@pytest.mark.parametrize("blend", ["linear", "seam"])
def test_the_canvas_holds_both_pictures(pair: Path, capfd: pytest.CaptureFixture[str], blend: str) -> None:
    arguments = ["align", "ref.png", "src.png", "-o", "out.png", "--canvas", blend, "--method", "sift", "--json"]
    assert main([*arguments, "--alpha", "--report", "r.html", "--save-transform", "t.npz"]) == 0
    facts = json.loads(capfd.readouterr().out)
    found = np.asarray(Image.open("out.png")).astype(float)
    (width, height), (x, y) = facts["canvas"]["size"], facts["canvas"]["reference_offset"]
    assert facts["canvas"]["blend"] == blend
    assert found.shape == (height, width, 4)
    # SIFT finds the shift to a small part of a pixel, so that a border may move by one.
    assert abs(x) <= 1
    assert abs(y - 20) <= 1
    assert abs(width - 240) <= 2
    assert abs(height - 170) <= 2
    whole, covered = expected()
    rows, columns = slice(25, 160), slice(5, 230)
    moved = found[rows.start + y - 20 : rows.stop + y - 20, columns.start + x : columns.stop + x]
    inner = covered[rows, columns]
    assert np.abs(moved[..., :3] - whole[rows, columns])[inner].mean() < 4
    assert (moved[..., 3] == 255).mean() == pytest.approx(inner.mean(), abs=0.02)
    # What only the reference shows is the reference.
    assert np.array_equal(found[y + 40 : y + 150, x : x + 60, :3], WHOLE[70:180, 10:70])
    page = Path("r.html").read_text()
    assert page.count("data:image/png;base64,") == 5
    assert "reference_offset" in page
    # The transform stays that of the reference's frame.
    assert np.load("t.npz")["flow"].shape == (2, 150, 180)


def test_the_line_tells_where_the_reference_lies(pair: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["align", "ref.png", "src.png", "-o", "out.jpg", "--canvas", "linear", "--method", "identity"]) == 0
    assert "out.jpg: 180 x 150, REF at 0, 0, identity" in capfd.readouterr().out
    assert Image.open("out.jpg").size == (180, 150)


def test_without_the_option_nothing_changes(pair: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["align", "ref.png", "src.png", "-o", "out.png", "--method", "sift", "--json"]) == 0
    assert "canvas" not in json.loads(capfd.readouterr().out)
    assert Image.open("out.png").size == (180, 150)


def test_the_same_bytes_again(pair: Path) -> None:
    for name in ("one.png", "two.png"):
        main(["align", "ref.png", "src.png", "-o", name, "--canvas", "seam", "--method", "sift-mesh"])
    assert Path("one.png").read_bytes() == Path("two.png").read_bytes()


@pytest.mark.parametrize("method", ["dis-flow", "mean"])
def test_a_method_that_knows_nothing_beyond_the_frame(
    pair: Path, capfd: pytest.CaptureFixture[str], method: str
) -> None:
    Image.open("ref.png").save("same.png")
    assert main(["align", "ref.png", "same.png", "-o", "out.png", "--canvas", "seam", "--method", method]) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1
    assert f"--canvas: '{method}' tells nothing beyond the frame of REF" in errors
    assert not Path("out.png").exists()


def test_a_canvas_larger_than_the_format_is_not_written(
    pair: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(images._LONGEST_SIDE, "WEBP", 200)
    arguments = ["align", "ref.png", "src.png", "-o", "out.webp", "--method", "sift"]
    assert main(arguments) == 0
    Path("out.webp").unlink()
    assert main([*arguments, "--canvas", "linear"]) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1
    assert "--out out.webp --canvas linear: WEBP ends at 200 pixels a side" in errors
    assert not Path("out.webp").exists()


def test_a_source_that_reaches_too_far(
    pair: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    far = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1 / 100, 0, 1]], dtype=torch.float64)
    monkeypatch.setattr(Identity, "estimate", lambda *_: (far, 1.0))
    assert main(["align", "ref.png", "src.png", "-o", "out.png", "--canvas", "seam", "--method", "identity"]) == 2
    assert "reaches to the horizon" in capfd.readouterr().err
    assert not Path("out.png").exists()


def test_no_canvas_without_a_reliable_alignment(pair: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (100, 100), (90, 90, 90)).save("flat.png")
    arguments = ["align", "ref.png", "flat.png", "-o", "out.png", "--canvas", "seam", "--method", "sift"]
    assert main(arguments) == 3
    assert not Path("out.png").exists()
    assert main([*arguments, "--force"]) == 0
    assert Image.open("out.png").size == (180, 150)


def test_an_unknown_blend(pair: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["align", "ref.png", "src.png", "-o", "out.png", "--canvas", "sharp"]) == 2
    assert "--canvas" in capfd.readouterr().err
