"""`raylign data preview`: pictures that open, pages that need nothing else, and errors of one line."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raylign.platform import cli
from raylign.platform.data import drawing
from raylign.platform.data.preview import contact_sheet
from raylign.platform.data.rows import sample_row, split_of
from raylign.platform.data.samples import Samples
from tests.datasets import png, write_pairs, write_planar, write_samples, write_sequences


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("preview")
    return {
        "planar": write_planar(root / "planar", lighting="random", frames=8),
        "pairs": write_pairs(root / "pairs"),
        "plain": write_sequences(root / "plain"),
    }


@pytest.mark.parametrize("name", ["planar", "pairs", "plain"])
def test_a_sheet_opens_and_has_its_size(
    urls: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    out = tmp_path / "sheet.png"
    assert cli.main(["data", "preview", urls[name], "-o", str(out), "--scenes", "3"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    with Image.open(out) as sheet:
        sheet.load()
        assert 720 <= sheet.width <= 1240
        assert sheet.height > 600
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]
    without = tmp_path / "without.png"
    assert cli.main(["data", "preview", urls[name], "-o", str(without), "--scenes", "3", "--samples", "0"]) == 0
    with Image.open(without) as smaller:
        assert smaller.height < sheet.height - 200


@pytest.mark.parametrize(("name", "sliders"), [("planar", 6), ("pairs", 6)])
def test_a_page_is_one_file(urls: dict[str, str], tmp_path: Path, name: str, sliders: int) -> None:
    out = tmp_path / "new" / "page.HTML"
    assert cli.main(["data", "preview", urls[name], "-o", str(out), "--scenes", "4"]) == 0
    text = out.read_text()
    assert text.count('class="slider"') == sliders
    assert text.count("<section>") == 4
    assert 'src="http' not in text
    assert "href=" not in text
    found = re.findall(r"data:image/png;base64,([^\"]+)", text)
    assert len(found) == 4 + 1 + 2 * sliders
    for each in found:
        Image.open(io.BytesIO(base64.b64decode(each))).load()


def test_rows_hold_every_field(urls: dict[str, str]) -> None:
    row = sample_row(Samples(urls["pairs"]), 5, 1000)
    labels = [cell.label for cell in row.cells]
    assert labels == ["reference", "source", "source on reference", "ground truth", "flow", "hidden in source", "depth"]
    assert all(cell.pixels.shape == row.cells[0].pixels.shape for cell in row.cells)
    assert sum(cell.pixels.shape[1] + 8 for cell in row.cells) <= 1008
    assert row.caption.startswith("test-hard")
    assert "hard" in row.caption
    planar = sample_row(Samples(urls["planar"]), 0, 1000)
    assert [cell.label for cell in planar.cells] == ["ground truth", *(f"frame {k}" for k in (0, 1, 3, 4, 6, 7))]
    assert len(sample_row(Samples(urls["plain"]), 0, 1000).cells) == 4


def test_vessels_are_read_and_shown(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    vessels = rng.integers(0, 256, (2, 40, 48)).astype(np.uint8)
    pictures = {f"{name}.png": png(rng.integers(0, 256, (40, 48, 3)).astype(np.uint8)) for name in ("ref", "src")}
    fields = {**pictures, "vessels.png": png(vessels[0]), "vessels-src.png": png(vessels[1]), "meta.json": b"{}"}
    write_samples(
        tmp_path / "eyes",
        [fields],
        {"kind": "pair", "generator": "test", "splits": {"test": [0, 1]}, "fields": list(fields)},
    )
    samples = Samples(str(tmp_path / "eyes"))
    read = samples.truth(0).vessels
    assert read is not None
    assert all((a.numpy() == b).all() for a, b in zip(read, vessels, strict=True))
    assert samples.truth(0, ("flow",)).vessels is None
    cell = sample_row(samples, 0, 4 * 48 + 3 * 8).cells[-1]
    assert cell.label == "vessels"
    assert (cell.pixels == vessels[0][..., None]).all()


def test_the_comparison_aligns(urls: dict[str, str]) -> None:
    for name in ("pairs", "planar"):
        samples = Samples(urls[name])
        comparison = sample_row(samples, 1, 600).comparison
        target = comparison.reference.astype(float)
        after = np.abs(comparison.after - target).mean(-1)
        before = np.abs(comparison.before - target).mean(-1)
        assert np.median(after) < np.median(before)


def test_the_smallest_split_is_named(urls: dict[str, str]) -> None:
    info = Samples(urls["pairs"]).reader.info
    assert [split_of(info, key) for key in ("000000", "000004", "000005", "000009")] == [
        "train",
        "val",
        "test-hard",
        "",
    ]


def test_the_demo_sheet(urls: dict[str, str]) -> None:
    with Image.open(io.BytesIO(contact_sheet(urls["plain"], "train", 2))) as sheet:
        assert sheet.width > 720


def test_grid_follows_the_homography() -> None:
    blank = np.zeros((100, 100, 3), np.uint8)
    shift = np.array([[1, 0, 25.0], [0, 1, 0], [0, 0, 1]])
    drawn = drawing.plane_grid(blank, shift, (100, 100)).max(-1) > 100
    columns = np.nonzero(drawn[12])[0]
    assert {round(float(each)) for each in columns} <= {24, 25, 49, 50, 74, 75, 99}
    assert {25, 50, 75} <= {round(float(each)) + offset for each in columns for offset in (0, 1)}
    behind = np.array([[1, 0, 0], [0, 1, 0], [-0.02, 0, 1.0]])
    assert drawing.plane_grid(blank, behind, (100, 100)).shape == blank.shape


def test_flow_colours_tell_direction_and_length() -> None:
    flow = np.zeros((2, 1, 5), np.float32)
    flow[0] = [[0, 4, -4, 2, np.nan]]
    still, right, left, half, unknown = drawing.flow_colours(flow, 4.0)[0].astype(int)
    assert still.tolist() == [255, 255, 255]
    assert np.abs(right - left).max() > 100
    assert (half >= right).all()
    assert unknown.max() < 50


def test_depth_colours_order_near_and_far() -> None:
    near, far, sky = drawing.depth_colours(np.array([[1.0, 10.0, np.inf]]))[0].astype(int)
    assert near.sum() > far.sum()
    assert tuple(sky) == drawing.SKY


@pytest.mark.parametrize(
    "arguments",
    [
        ["{url}"],
        ["{url}", "-o", "sheet.jpg"],
        ["{url}", "-o", "{folder}/a.png/"],
        ["{url}", "-o", "{folder}"],
        ["{url}", "-o", "{folder}/file.txt/x.png"],
        ["{url}", "-o", "/proc/x.png"],
        ["{url}", "-o", "x.png", "--scenes", "0"],
        ["{url}", "-o", "x.png", "--samples", "-1"],
        ["{url}", "-o", "x.png", "--split", "nope"],
        ["{folder}", "-o", "x.png"],
    ],
)
def test_wrong_arguments_are_one_line_and_status_2(
    urls: dict[str, str],
    workdir: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    (workdir / "file.txt").write_text("x")
    (workdir / "a.png").mkdir()
    before = sorted(workdir.rglob("*"))
    assert cli.main(["data", "preview", *(each.format(url=urls["plain"], folder=workdir) for each in arguments)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith(("reading", "drawing"))]
    assert len(lines) == 1
    assert sorted(workdir.rglob("*")) == before
