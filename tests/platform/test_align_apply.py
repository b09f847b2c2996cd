"""`raylign align --apply`: a transform that was found before, for other pictures in the same frames."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from raylign.platform.cli import main
from tests.datasets import texture

HOMOGRAPHY = np.array([[1.02, 0.03, 4.0], [-0.02, 0.98, 6.0], [1e-4, -5e-5, 1.0]])


def write(name: str, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(name)


@pytest.fixture
def pair(workdir: Path) -> tuple[np.ndarray, np.ndarray]:
    """`ref.png` (200 x 160) and `src.png` (220 x 180) under `HOMOGRAPHY`, and their pixels."""
    reference = texture(np.random.default_rng(1), 200)[:160]
    source = cv2.warpPerspective(reference, HOMOGRAPHY, (220, 180), borderMode=cv2.BORDER_REFLECT)
    write("ref.png", reference)
    write("src.png", source)
    return reference, source


def read(name: str) -> np.ndarray:
    return np.asarray(Image.open(name)).astype(np.float64)


@pytest.mark.parametrize("method", ["sift", "dis-flow"])
def test_the_same_pictures_give_the_same_result(
    pair: tuple[np.ndarray, np.ndarray], capfd: pytest.CaptureFixture[str], method: str
) -> None:
    files = ["align", "ref.png", "src.png"]
    assert main([*files, "-o", "out.png", "--method", method, "--save-transform", "t.npz", "--alpha", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert main([*files, "-o", "again.png", "--apply", "t.npz", "--save-transform", "u.npz", "--alpha", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["method"], told["model"]) == ("saved", "t.npz")
    assert told["confidence"] == pytest.approx(found["confidence"])
    assert (told["homography"] is None) == (found["homography"] is None)
    assert np.abs(read("out.png") - read("again.png")).max() <= 1
    first, second = np.load("t.npz"), np.load("u.npz")
    assert set(first.files) == set(second.files)
    assert np.array_equal(first["mask"], second["mask"])
    assert np.abs(first["flow"] - second["flow"])[:, first["mask"]].max() < 1e-3


@pytest.mark.parametrize("method", ["sift", "dis-flow"])
def test_other_resolutions_and_other_channels_of_the_same_frames(
    pair: tuple[np.ndarray, np.ndarray], method: str
) -> None:
    assert main(["align", "ref.png", "src.png", "-o", "out.png", "--method", method, "--save-transform", "t.npz"]) == 0
    reference, source = pair
    write("large-ref.png", cv2.resize(reference, (400, 320), interpolation=cv2.INTER_LINEAR))
    # Another channel, seen by the same camera at three times the resolution.
    write("large-src.png", 255 - cv2.resize(source, (660, 540), interpolation=cv2.INTER_LINEAR))
    command = ["align", "large-ref.png", "large-src.png", "-o", "large.png", "--apply", "t.npz", "--alpha"]
    assert main(command) == 0
    large = np.asarray(Image.open("large.png"))
    assert large.shape == (320, 400, 4)
    small = cv2.resize(large, (200, 160), interpolation=cv2.INTER_AREA).astype(np.float64)
    both = (small[..., 3] == 255) & (read("out.png").max(-1) > 0)
    assert both.mean() > 0.85
    assert np.abs(255 - small[..., :3] - read("out.png"))[both].mean() < 3


def test_a_plane_goes_on_beyond_the_frame(pair: tuple[np.ndarray, np.ndarray]) -> None:
    files = ["align", "ref.png", "src.png"]
    assert main([*files, "-o", "out.png", "--save-transform", "t.npz", "--canvas", "linear"]) == 0
    assert main([*files, "-o", "again.png", "--apply", "t.npz", "--canvas", "linear"]) == 0
    assert read("out.png").shape == read("again.png").shape
    assert np.abs(read("out.png") - read("again.png")).mean() < 1


def damaged(name: str) -> None:
    """Files that are no transforms."""
    flow, mask = np.zeros((2, 160, 200), np.float32), np.ones((160, 200), bool)
    whole = {"flow": flow, "mask": mask, "confidence": np.float32(1)}
    changes: dict[str, dict[str, object]] = {
        "pickled": {"flow": np.array([{}], dtype=object)},
        "several": {"flow": np.zeros((3, 2, 160, 200), np.float32)},
        "flow": {"flow": np.zeros((2, 10, 10), np.float32)},
        "mask": {"mask": np.zeros((160, 200), np.uint8)},
        "words": {"homography": np.full((3, 3), "x")},
        "square": {"flow": np.zeros((2, 100, 100), np.float32), "mask": np.ones((100, 100), bool)},
        "source": {"source_size": np.array([100, 300])},
    }
    if name == "text":
        Path("bad.npz").write_text("nothing")
    elif name == "cut":
        np.savez_compressed("bad.npz", **whole)  # type: ignore[arg-type]
        Path("bad.npz").write_bytes(Path("bad.npz").read_bytes()[:200])
    elif name == "incomplete":
        np.savez_compressed("bad.npz", flow=flow, mask=mask)
    elif name != "missing":
        np.savez_compressed("bad.npz", **{**whole, **changes[name]})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "there is no such file"),
        ("text", "is no file of --save-transform"),
        ("cut", "is no file of --save-transform"),
        ("incomplete", "it has no 'confidence'"),
        ("pickled", "is no file of --save-transform"),
        ("several", "the transforms of 3 sources"),
        ("flow", "'flow' is float32 (2, 10, 10), not numbers (2, 160, 200)"),
        ("mask", "'mask' is uint8 (160, 200), not bool (H, W)"),
        ("words", "'homography' is <U1 (3, 3), not numbers"),
        ("square", "was found for a REF of 100 x 100 pixels, not 200 x 160"),
        ("source", "was found for a SRC of 100 x 300 pixels, not 220 x 180"),
    ],
)
def test_what_is_no_transform_is_told(
    pair: tuple[np.ndarray, np.ndarray], capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    damaged(name)
    assert main(["align", "ref.png", "src.png", "-o", "out.png", "--apply", "bad.npz"]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert error.count("\n") == 0
    assert not Path("out.png").exists()


def test_what_does_not_go_together(pair: tuple[np.ndarray, np.ndarray], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["align", "ref.png", "src.png", "-o", "out.png", "--save-transform", "t.npz"]) == 0
    command = ["align", "ref.png", "src.png", "-o", "o.png", "--apply", "t.npz"]
    for flags, message in (
        (["--method", "sift"], "--apply and --method exclude each other"),
        (["--adapt", "3"], "--apply and --adapt exclude each other"),
        (["--save-transform", "t.npz"], "would overwrite --apply"),
    ):
        assert main([*command, *flags]) == 2
        assert message in capsys.readouterr().err
    assert main(["align", "ref.png", "src.png", "src.png", "-o", "o.png", "--apply", "t.npz"]) == 2
    assert "takes at most 1" in capsys.readouterr().err
    assert not Path("o.png").exists()
