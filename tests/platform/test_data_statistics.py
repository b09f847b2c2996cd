"""Figures of samples against values computed by hand, and what `raylign data info` prints of them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from raylign.platform import cli
from raylign.platform.data.flows import fit_to_flow, landing, parallax, visible_pixels
from raylign.platform.data.statistics import QUANTITIES, collect, round_edges, summarise, text_histograms
from tests.datasets import arrays, png, write_pairs, write_samples, write_sequences

SPLITS = {"train": [0, 1], "val": [1, 1]}
BRIGHTNESS = next(each for each in QUANTITIES if each.name == "brightness")
OVERLAP = next(each for each in QUANTITIES if each.name == "overlap")


def flat(size: int, level: int) -> np.ndarray:
    return np.full((size, size, 3), level, np.uint8)


def moved_sequence(folder: Path) -> str:
    """Frame 1 moved by 30 px to the right, frame 2 by 40 px down, of 100 x 100; a tenth of one frame is occluded."""
    mask = np.zeros((100, 100), np.uint8)
    mask[:10] = 255
    fields = {f"{k:03d}.png": png(flat(100, level)) for k, level in enumerate((50, 100, 150))}
    fields |= {f"{k:03d}.mask.png": png(mask if k == 2 else mask * 0) for k in range(3)}
    moves = [(0, 0), (30, 0), (0, 40)]
    meta = {"homographies": [[[1, 0, x], [0, 1, y], [0, 0, 1]] for x, y in moves]}
    fields["meta.json"] = json.dumps(meta).encode()
    return write_samples(
        folder, [fields], {"kind": "sequence", "generator": "hand", "splits": SPLITS, "fields": list(fields)}
    )


def moved_pair(folder: Path) -> str:
    """All pixels move 20 px to the right, the lower half another 10; five rows of the upper half are hidden."""
    flow = np.zeros((2, 100, 100), np.float32)
    flow[0] = 20
    flow[0, 50:] += 10
    hidden = np.zeros((100, 100), np.uint8)
    hidden[:5] = 255
    fields = {
        "ref.png": png(flat(100, 40)),
        "src.png": png(flat(100, 80)),
        "flow.npz": arrays(flow=flow),
        "occlusion.png": png(hidden),
        "meta.json": json.dumps({"parallax": {"homography": [[1, 0, 20], [0, 1, 0], [0, 0, 1]]}}).encode(),
    }
    return write_samples(
        folder, [fields], {"kind": "pair", "generator": "hand", "splits": SPLITS, "fields": list(fields)}
    )


def test_a_sequence_by_hand(tmp_path: Path) -> None:
    (row,) = collect(moved_sequence(tmp_path / "d"), None, 5)
    assert row.overlap == pytest.approx((0.7 + 0.6) / 2)
    assert row.motion == pytest.approx((30 + 40) / 2 / math.hypot(100, 100) * 100)
    assert row.brightness == pytest.approx(100)
    assert row.occluded == pytest.approx(0.1 / 3)
    assert row.parallax is None


def test_a_pair_by_hand(tmp_path: Path) -> None:
    (row,) = collect(moved_pair(tmp_path / "d"), "train", 5)
    # 80 columns of 45 rows and 70 columns of 50 rows are seen; more than a tenth of these is 10 px off.
    assert row.overlap == pytest.approx((80 * 45 + 70 * 50) / 10_000)
    assert row.parallax == pytest.approx(10 / math.hypot(100, 100) * 100)
    assert row.brightness == pytest.approx(60)
    assert row.occluded == pytest.approx(0.05)
    assert row.motion is None


def test_brightness_is_luma(tmp_path: Path) -> None:
    picture = flat(8, 0)
    picture[..., 1] = 200
    fields = {"ref.png": png(picture), "src.png": png(picture), "meta.json": b"{}"}
    url = write_samples(
        tmp_path / "d", [fields], {"kind": "pair", "generator": "hand", "splits": SPLITS, "fields": list(fields)}
    )
    (row,) = collect(url, None, 1)
    assert row.brightness == pytest.approx(0.587 * 200)
    assert (row.overlap, row.parallax, row.occluded) == (None, None, None)


def test_a_planar_flow_has_no_parallax() -> None:
    matrix = np.array([[1.1, 0.05, 6], [-0.04, 0.95, -3], [6e-4, -4e-4, 1]])
    ys, xs = np.indices((90, 120))
    mapped = np.stack([xs, ys, np.ones_like(xs)], -1) @ matrix.T
    flow = np.stack([mapped[..., 0] / mapped[..., 2] - xs, mapped[..., 1] / mapped[..., 2] - ys])
    positions = landing(flow)
    visible = visible_pixels(positions, None, (90, 120))
    assert parallax(positions, visible).p90_px < 1e-8
    np.testing.assert_allclose(fit_to_flow(positions, visible), matrix, atol=1e-9)


def test_the_fitted_homography_is_that_of_least_squares(tmp_path: Path) -> None:
    from raylign.platform.data.samples import Samples

    samples = Samples(write_pairs(tmp_path / "d", scenes=3, size=96))
    for position in range(3):
        truth, told = samples.truth(position), samples[position].meta["parallax"]
        positions = landing(truth.flow.numpy())
        visible = visible_pixels(positions, truth.occlusion.numpy(), (96, 96))
        ours, theirs = parallax(positions, visible), parallax(positions, visible, np.array(told["homography"]))
        assert theirs.rms_px == pytest.approx(told["rms_px"], rel=1e-4)
        assert ours.rms_px <= 1.02 * told["rms_px"]


def test_pixels_without_flow_are_not_seen() -> None:
    flow = np.zeros((2, 10, 10), np.float32)
    flow[0, 0], flow[1, 1] = np.nan, np.inf
    assert visible_pixels(landing(flow), None, (10, 10)).sum() == 80


@pytest.mark.parametrize(
    ("values", "edges"),
    [
        ([80.0, 95.9], [80, 82, 84, 86, 88, 90, 92, 94, 96]),
        ([100.0], [99, 100]),
        ([7.0], [7, 8]),
        ([7.5], [7, 8]),
        ([0.0, 100.0], [0, 20, 40, 60, 80, 100]),
    ],
)
def test_edges_are_round_and_hold_everything(values: list[float], edges: list[float]) -> None:
    assert round_edges(values, OVERLAP) == edges


def test_edges_of_many_ranges() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        values = (rng.uniform(0, 255) * rng.random(5)).tolist()
        edges = round_edges(values, BRIGHTNESS)
        assert 2 <= len(edges) <= 9
        assert edges[0] <= min(values)
        assert edges[-1] >= max(values)


def test_histograms_are_aligned_and_narrow(tmp_path: Path) -> None:
    summary = summarise(collect(write_pairs(tmp_path / "d", scenes=8), None, 200))
    for plain in (False, True):
        text = text_histograms(summary, plain=plain)
        assert max(map(len, text.splitlines())) <= 80
        assert text.isascii() == plain
        assert all(str(count) in text for count in summary["overlap"]["histogram"]["counts"])
    assert sum(summary["overlap"]["histogram"]["counts"]) == 8
    assert "motion" not in summary


def test_info_prints_a_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = write_sequences(tmp_path / "d", scenes=12)
    assert cli.main(["data", "info", url, "--samples", "5"]) == 0
    text = capsys.readouterr().out
    assert "12 scenes in 3 shards (complete), 0 failed" in text
    assert "train: 8 scenes (0 to 7)" in text
    assert "5 samples read" in text
    assert "viewing motion" in text
    assert "█" in text
    assert cli.main(["data", "info", url, "--samples", "0"]) == 0
    assert "samples read" not in capsys.readouterr().out
    empty = moved_sequence(tmp_path / "one")
    assert cli.main(["data", "info", empty]) == 0
    assert "val: 0 scenes\n" in capsys.readouterr().out


def test_info_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = moved_pair(tmp_path / "d")
    assert cli.main(["data", "info", url, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["generator"] == "hand"
    assert content["statistics"]["samples"] == 1
    assert content["statistics"]["overlap"]["mean"] == pytest.approx(71.0)
    assert content["statistics"]["overlap"]["histogram"]["counts"] == [1]
    assert cli.main(["data", "info", url, "--json", "--samples", "0"]) == 0
    assert "statistics" not in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("arguments", [["{url}", "--samples", "-1"], ["{url}", "--samples", "x"], ["{folder}"], []])
def test_wrong_arguments_are_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    url = moved_pair(tmp_path / "d")
    assert cli.main(["data", "info", *(each.format(url=url, folder=tmp_path) for each in arguments)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.strip().splitlines()) == 1
