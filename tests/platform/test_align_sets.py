"""`raylign align` of sets: the page with every shot, and the weights of each pixel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from raylign.methods.aligner import Aligner, Alignment
from raylign.methods.errors import RaylignError
from raylign.platform.align_report import align_page, shot_colours, weight_picture
from raylign.platform.alignment import ModelChoice, align_images
from raylign.platform.cli import main
from raylign.platform.transform_arrays import transform_arrays
from tests.datasets import texture

CHOICE = ModelChoice("thirds", "thirds", "thirds")


class Thirds(Aligner):
    """Takes the left of the picture from the reference, the middle and the right from two of three sources."""

    name: ClassVar[str] = "thirds"
    max_sources: ClassVar[int | None] = None
    share: float = 1.0

    def align(self, reference: Tensor, sources: Tensor) -> Alignment:
        batch, _, height, width = reference.shape
        weights = torch.zeros(batch, 4, 1, height, width)
        for k, columns in zip((0, 1, 3), torch.arange(width).chunk(3), strict=True):
            weights[:, k, :, :, columns] = self.share
        frames = torch.cat([reference[:, None], sources], dim=1)
        return Alignment(
            (weights.nan_to_num() * frames).sum(1),
            torch.ones(batch, 1, height, width),
            torch.eye(3).repeat(batch, 3, 1, 1),
            confidence=torch.full((batch,), 0.75),
            extras={
                "weights": weights,
                "frames_used": torch.tensor([[True, True, False, True]]),
                "source_confidence": torch.tensor([[0.5, 0.0, 1.0]]),
            },
        )


def shots() -> list[Tensor]:
    return [torch.from_numpy(texture(np.random.default_rng(k), 48)).permute(2, 0, 1) / 255 for k in range(4)]


def test_weights_are_told() -> None:
    first, *rest = shots()
    aligned = align_images(Thirds(), first, rest, CHOICE)
    assert aligned.weights is not None
    assert aligned.weights.shape == (4, 48, 48)
    weights = transform_arrays(aligned)["weights"]
    assert (weights.dtype, weights.shape) == (np.float16, (4, 48, 48))
    assert np.array_equal(weights.sum(0), np.ones((48, 48)))
    assert np.array_equal(weights.argmax(0)[5], np.repeat([0, 1, 3], 16))
    assert aligned.facts["source_confidence"] == [0.5, 0.0, 1.0]
    assert aligned.facts["sources_used"] == [True, False, True]
    broken = Thirds()
    broken.share = float("nan")
    with pytest.raises(RaylignError, match="not finite"):
        align_images(broken, first, rest, CHOICE)


def test_colours_are_mixed_by_weight() -> None:
    colours = shot_colours(30)
    assert colours.min() >= 0
    assert colours.max() <= 1
    # Neighbours are told apart, and none is as grey as the reference.
    assert float((colours[1:] - colours[:-1]).abs().amax(1).min()) > 0.3
    assert float((colours[1:].amax(1) - colours[1:].amin(1)).min()) > 0.5
    weights = torch.zeros(3, 1, 2)
    weights[1, 0, 0] = 1
    weights[:, 0, 1] = torch.tensor([0.5, 0.25, 0.25])
    picture = weight_picture(weights)
    three = shot_colours(3)
    torch.testing.assert_close(picture[:, 0, 0], three[1])
    torch.testing.assert_close(picture[:, 0, 1], 0.5 * three[0] + 0.25 * three[1] + 0.25 * three[2])


def test_the_page_shows_every_shot_and_where_pixels_come_from() -> None:
    first, *rest = shots()
    aligned = align_images(Thirds(), first, rest, CHOICE)
    page = align_page(first, rest, aligned, None, aligned.facts, "Aligned")
    # The slider's two, four shots, the weights.
    assert page.count("data:image/png;base64,") == 7
    for told in ("SRC 1: aligned, confidence 0.500", "SRC 2: left out, as it came", "SRC 3: aligned, confidence 1.000"):
        assert f"<figcaption>{told}</figcaption>" in page
    for share in ("REF 33.3%", "SRC 1 33.3%", "SRC 2 0.0%", "SRC 3 33.3%"):
        assert share in page
    assert "http" not in page


def test_the_command_writes_the_page_of_a_set(workdir: Path) -> None:
    plane = texture(np.random.default_rng(0), 160)
    for k, (x, y) in enumerate(((0, 0), (6, 3), (2, 8))):
        Image.fromarray(plane[y : y + 140, x : x + 150]).save(f"{k}.png")
    command = ["align", "0.png", "1.png", "2.png", "-o", "out.png", "--method", "median"]
    assert main([*command, "--report", "page.html", "--save-transform", "t.npz"]) == 0
    page = Path("page.html").read_text()
    assert page.count("data:image/png;base64,") == 5
    assert "SRC 2: aligned, confidence" in page
    # Facts are for people: nothing that is not known, and no digits that mean nothing.
    assert "<td>None</td>" not in page
    assert not re.search(r"[1-9]\.\d{6}", page)
    # The median does not tell where a pixel comes from.
    assert "Which shot each pixel comes from" not in page
    with np.load("t.npz") as arrays:
        assert "weights" not in arrays.files
