"""`raylign align` with a `diar` checkpoint: pictures of every kind in, a picture, a page and weights out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from raylign.platform.cli import main
from tests.methods.test_diar_network import small_diar
from tests.methods.test_reconstruction_shots import plane_shots

SIZE = (180, 240)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("diar") / "checkpoint"
    small_diar(skip="picture").save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def levels() -> list[np.ndarray]:
    """Shots of one plane, uint8 `(H, W, 3)`."""
    _, shots, _ = plane_shots(0, 4, SIZE)
    return [np.asarray((shot.permute(1, 2, 0) * 255).round().to(torch.uint8)) for shot in shots]


def align(checkpoint: str, *arguments: str) -> int:
    return main(["align", *arguments, "--checkpoint", checkpoint])


def test_pictures_of_every_kind(
    checkpoint: str, levels: list[np.ndarray], workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference, grey, palette, rgba = (Image.fromarray(each) for each in levels)
    reference.save("reference.png")
    grey.convert("L").save("grey.png")
    palette.quantize(200).save("palette.png")
    rgba.convert("RGBA").resize((300, 200)).save("rgba.png")
    deep = (np.asarray(grey.convert("L")).astype(np.uint16) * 257).astype(np.uint16)
    Image.fromarray(deep).save("deep.png")
    turned = Image.fromarray(levels[2]).rotate(90, expand=True)
    exif = turned.getexif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    turned.save("turned.jpg", exif=exif, quality=95)
    sources = ["grey.png", "palette.png", "deep.png", "turned.jpg"]
    status = align(
        checkpoint,
        *("reference.png", *sources, "-o", "out.png", "--report", "page.html", "--save-transform", "t.npz", "--json"),
    )
    assert status == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["sources_used"] == [True] * 4
    assert facts["confidence"] > 0.3
    assert Image.open("out.png").size == (SIZE[1], SIZE[0])
    with np.load("t.npz") as arrays:
        assert arrays["weights"].shape == (5, *SIZE)
        assert np.allclose(arrays["weights"].astype(np.float32).sum(0), 1, atol=5e-3)
        assert arrays["homography"].shape == (4, 3, 3)
    page = (workdir / "page.html").read_text()
    assert all(f"SRC {number}: " in page for number in (1, 2, 3, 4))
    assert "Which shot each pixel comes from" in page


def test_shots_of_different_sizes(checkpoint: str, levels: list[np.ndarray], workdir: Path) -> None:
    Image.fromarray(levels[0]).save("a.png")
    Image.fromarray(levels[1]).save("b.png")
    Image.fromarray(levels[2]).resize((480, 360), Image.Resampling.LANCZOS).save("c.png")
    assert align(checkpoint, "a.png", "b.png", "c.png", "-o", "out.png") == 2
    assert align(checkpoint, "a.png", "c.png", "-o", "out.png") == 0
    assert Image.open("out.png").size == (SIZE[1], SIZE[0])


@pytest.mark.parametrize("kind", ["flat", "strange"])
def test_nothing_plausible_where_nothing_fits(
    checkpoint: str, levels: list[np.ndarray], kind: str, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = {
        "flat": np.full((*SIZE, 3), 128, np.uint8),
        "strange": np.asarray((plane_shots(9, 1, SIZE)[1][0].permute(1, 2, 0) * 255).to(torch.uint8)),
    }[kind]
    Image.fromarray(levels[0]).save("a.png")
    Image.fromarray(other).save("b.png")
    assert align(checkpoint, "a.png", "b.png", "-o", "out.png", "--report", "page.html") == 3
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert sorted(path.name for path in workdir.iterdir()) == ["a.png", "b.png"]


def test_equal_pictures_stay_where_they_are(checkpoint: str, levels: list[np.ndarray], workdir: Path) -> None:
    Image.fromarray(levels[0]).save("a.png")
    assert align(checkpoint, "a.png", "a.png", "a.png", "-o", "out.png", "--save-transform", "t.npz") == 0
    with np.load("t.npz") as arrays:
        corners = np.array([[0, 0, 1], [SIZE[1] - 1, 0, 1], [0, SIZE[0] - 1, 1], [SIZE[1] - 1, SIZE[0] - 1, 1]])
        for homography in arrays["homography"]:
            there = corners @ homography.T
            assert np.abs(there[:, :2] / there[:, 2:] - corners[:, :2]).max() < 0.1
    # The network's decoder is silent at first: what is left is a mean of equal frames.
    found = np.asarray(Image.open("out.png")).astype(int)
    assert np.abs(found - levels[0]).max() <= 2
