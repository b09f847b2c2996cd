"""The page about a training, and the sheet of its validation samples: they open, and tell what happened."""

from __future__ import annotations

import base64
import io
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from raylign.methods.aligner import Alignment
from raylign.platform.training import pictures
from raylign.platform.training.history import best_epoch
from raylign.platform.training.options import LoopOptions, TrainingSpec
from raylign.platform.training.pictures import sheet
from raylign.platform.training.report import curves, number, reading, training_report

SPEC = TrainingSpec("crossscale", "/data/<b>", LoopOptions(epochs=30), model={"working_size": 96})


def history(epochs: int = 30, best: int = 17) -> list[dict[str, float]]:
    return [
        {
            "loss": 2.0 / epoch,
            "content": 1.0 / epoch,
            "shape": 0.001 * epoch,
            "epoch": float(epoch),
            "lr": 1e-4 * 0.97**epoch,
            "seconds": 12.5,
            "samples_per_s": 140.0 + epoch,
            "data_wait": 0.25,
            "memory_mb": 2150.0,
            "gpu_memory_mb": 9000.0,
            "step": 500.0,
            "steps": 500.0,
            "workers": 2.0,
            "damaged": 0.0,
            "val_seconds": 1.5,
            "stage": float(epoch > 10),
            "val_psnr_overlap": 24.34 - 0.1 * abs(epoch - best),
            "val_overlap": 0.81,
            "val_corner_error": 30.0 / epoch,
        }
        for epoch in range(1, epochs + 1)
    ]


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 20), colour).save(buffer, "PNG")
    return buffer.getvalue()


def embedded(page: str) -> list[bytes]:
    return [base64.b64decode(found) for found in re.findall(r"data:image/png;base64,([^\"]+)", page)]


def test_a_page_tells_the_best_epoch_and_has_its_pictures(tmp_path: Path) -> None:
    paths = [tmp_path / "epoch <1>.png", tmp_path / "gone.png", tmp_path / "epoch 30.png"]
    paths[0].write_bytes(png("red"))
    paths[2].write_bytes(png("blue"))
    events = ["<i>worker died</i>, restarting from step 120", "3 workers now"]
    page = training_report("<script>night", SPEC, history(), paths, events)
    assert '<p class="big">best: 24.3 dB at epoch 17 of 30</p>' in page
    assert "<th>epoch 17</th><th>epoch 30</th>" in page
    assert "<td>val_psnr_overlap</td><td>24.34 dB</td><td>23.04 dB</td>" in page
    assert "<td>memory_mb</td><td>2.1 GB</td><td>2.1 GB</td>" in page
    assert "<td>data_wait</td><td>25 %</td>" in page
    headings = re.findall("<h2>(.*)</h2>", page)
    assert headings == ["Result", "Losses", "Validation", "Pace", "Samples", "Events", "Options"]
    images = embedded(page)
    assert len(images) == 3 + 2
    assert images[3:] == [png("red"), png("blue")]
    for image in images:
        Image.open(io.BytesIO(image)).load()
    for text in ("<script>night", "<b>", "<i>", "<1>"):
        assert text not in page
    assert "&lt;i&gt;worker died&lt;/i&gt;, restarting from step 120" in page
    assert 'src="http' not in page
    assert "&quot;working_size&quot;: 96" in page


def test_of_many_pictures_some_are_shown(tmp_path: Path) -> None:
    paths = [tmp_path / f"epoch-{epoch:04d}.png" for epoch in range(1, 31)]
    for path in paths:
        path.write_bytes(png("red"))
    page = training_report("night", SPEC, history(), paths)
    assert re.findall("<figcaption>(.*)</figcaption>", page) == [
        *("epoch-0001", "epoch-0011", "epoch-0020", "epoch-0030")
    ]


def test_a_page_needs_no_more_than_a_history() -> None:
    page = training_report("night", SPEC, [{"epoch": 1.0, "loss": 0.5, "lr": 1e-4}])
    assert re.findall("<h2>(.*)</h2>", page) == ["Result", "Losses", "Pace", "Options"]
    assert "No epoch was validated." in page
    assert "1 epoch." in page
    assert "No epoch was finished." in training_report("night", SPEC, [])


def test_values_that_are_no_numbers_are_told_and_not_drawn() -> None:
    entries = history(4, 2)
    entries[1] |= {"val_psnr_overlap": math.nan, "loss": math.nan, "memory_mb": math.nan}
    entries[3]["val_corner_error"] = math.inf
    for entry in entries:
        entry["content"] = math.nan
    page = training_report("night", SPEC, entries)
    assert "best: 24.2 dB at epoch 1 of 4" in page
    assert "<td>val_corner_error</td><td>30 px</td><td>inf</td>" in page
    assert "<td>content</td><td>nan</td><td>nan</td>" in page


def test_the_best_epoch_is_the_first_of_equals() -> None:
    entries = [{"epoch": float(epoch), "val_psnr_overlap": value} for epoch, value in enumerate((1.0, 3.0, 3.0), 1)]
    best = best_epoch(entries)
    assert best is not None
    assert best["epoch"] == 2
    assert best_epoch([{"epoch": 1.0}, {"epoch": 2.0, "val_psnr_overlap": math.nan}]) is None


def test_curves_are_one_picture() -> None:
    (image,) = embedded(curves(history()))
    with Image.open(io.BytesIO(image)) as drawn:
        assert drawn.width > 3 * drawn.height
    assert embedded(curves([])) == []


@pytest.mark.parametrize(
    ("value", "text"), [(0.0001, "0.0001"), (9999.6, "10,000"), (123456.7, "123,457"), (2e12, "2e+12"), (-0.5, "-0.5")]
)
def test_numbers_are_readable(value: float, text: str) -> None:
    assert number(value) == text
    assert reading("loss", value) == text


def pairs(count: int, size: int = 96) -> tuple[dict[str, torch.Tensor], Alignment]:
    torch.manual_seed(0)
    reference = torch.rand(count, 3, size, size)
    mask = torch.zeros(count, 1, size, size)
    mask[..., : size // 2] = 1
    batch = {"reference": reference, "source": torch.rand(count, 3, size, size)}
    return batch, Alignment((reference + 0.1).clamp(0, 1) * mask, mask)


def opened(content: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(io.BytesIO(content)) as drawn:
        assert (drawn.format, drawn.mode) == ("PNG", "RGB")
        return np.asarray(drawn)


def test_a_sheet_has_a_row_for_each_sample_up_to_the_limit() -> None:
    heights = {}
    for count, limit in ((1, 6), (3, 6), (9, 6), (9, 2)):
        batch, found = pairs(count)
        heights[count, limit] = opened(sheet(batch, found, limit)).shape[0]
    row = 96 + pictures.CAPTION
    for (count, limit), height in heights.items():
        rows = min(count, limit)
        assert height == rows * row + (rows - 1) * pictures.GAP + 2 * pictures.MARGIN


def test_a_sheet_shows_the_pictures_themselves() -> None:
    batch, found = pairs(1)
    drawn = opened(sheet(batch, found))
    top = pictures.MARGIN
    reference = (255 * batch["reference"][0]).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(drawn[top : top + 96, top : top + 96], reference)


def test_large_pictures_are_shrunk_and_many_sources_are_one() -> None:
    batch, found = pairs(2, 320)
    one = sheet(batch, found)
    rows = 2 * (pictures.SIDE + pictures.CAPTION) + pictures.GAP
    assert opened(one).shape[0] == rows + 2 * pictures.MARGIN
    assert opened(one).shape[1] >= 4 * pictures.SIDE
    batch["source"] = torch.stack([batch["source"], torch.zeros_like(batch["source"])], 1)
    assert sheet(batch, found) == one


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_sheet_of_nothing_aligned_is_still_a_sheet(dtype: torch.dtype) -> None:
    batch, found = pairs(1)
    empty = Alignment(torch.zeros_like(found.image, dtype=dtype), torch.zeros_like(found.mask, dtype=dtype))
    drawn = opened(sheet(batch, empty))
    assert drawn.shape[0] == 96 + pictures.CAPTION + 2 * pictures.MARGIN
    assert drawn.shape[1] > 4 * 96
    broken = Alignment(torch.full_like(found.image, math.nan), found.mask)
    assert opened(sheet(batch, broken)).shape[0] == drawn.shape[0]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_sheet_of_sequences_shows_frames_restored_and_truth(count: int) -> None:
    torch.manual_seed(0)
    frames, truth = torch.rand(2, count, 3, 96, 96), torch.rand(2, 3, 96, 96)
    found = Alignment(truth, torch.ones(2, 1, 96, 96))
    drawn = opened(sheet({"frames": frames, "truth": truth}, found))
    assert drawn.shape[0] == 2 * (96 + pictures.CAPTION) + pictures.GAP + 2 * pictures.MARGIN
    assert drawn.shape[1] >= (min(count, 2) + 2) * 96
    top = pictures.MARGIN
    first = (255 * frames[0, 0]).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(drawn[top : top + 96, top : top + 96], first)


def test_captions_tell_the_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    captions: list[str] = []
    tile = pictures._tile

    def listening(picture: torch.Tensor, caption: str, mask: torch.Tensor | None = None) -> pictures.Tile:
        captions.append(caption)
        return tile(picture, caption, mask)

    monkeypatch.setattr(pictures, "_tile", listening)
    mask = torch.ones(1, 1, 64, 64)
    mask[..., 16:] = 0
    grey = torch.full((1, 3, 64, 64), 0.5)
    batch = {"reference": grey, "source": grey + 0.1}
    sheet(batch, Alignment((grey + 0.01) * mask, mask))
    assert captions == ["reference", "source 20.0 dB", "aligned 40.0 dB", "difference x 3, overlap 25 %"]
    captions.clear()
    sheet(batch, Alignment(0 * grey, 0 * mask))
    assert captions[2:] == ["aligned (no overlap)", "difference x 3, overlap 0 %"]
    captions.clear()
    sheet({**batch, "truth": grey + 0.01}, Alignment((grey + 0.02) * mask, mask))
    assert captions == ["reference", "source 20.9 dB", "truth", "aligned 40.0 dB", "difference x 3, overlap 25 %"]
