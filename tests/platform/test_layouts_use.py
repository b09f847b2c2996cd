"""Public datasets in use: what is missing is told, and info, verify, preview, training and conversion work on them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from raylign.methods.errors import DatasetError
from raylign.platform import cli
from raylign.platform.data import convert as converting
from raylign.platform.data.augment import AugmentOptions
from raylign.platform.data.convert import convert
from raylign.platform.data.layouts.opening import open_reader
from raylign.platform.data.samples import Samples
from raylign.platform.data.shards import DatasetInfo, ShardReader, published_shards
from raylign.platform.data.statistics import collect
from raylign.platform.data.training import held_out, training_batches
from raylign.platform.data.verify import verify
from tests import layouts
from tests.datasets import write_pairs

WRITERS = {
    "udis-d": layouts.write_udis,
    "fire": layouts.write_fire,
    "sintel": layouts.write_sintel,
    "davis": layouts.write_davis,
    "hpatches": layouts.write_hpatches,
    "dsia": layouts.write_dsia,
    "sidar": layouts.write_sidar,
    "pairs": layouts.write_manifest,
    "homographynet": layouts.write_pictures,
}

LOST = {
    "udis-d": "testing/input2/000001.jpg",
    "fire": "Ground Truth/control_points_P01_1_2.txt",
    "sintel": "training/flow/alley_1/frame_0002.flo",
    "davis": "Annotations/480p/bear/00005.png",
    "hpatches": "v_adam/H_1_3",
    "dsia": "train/00001_1_0002/img1_warp_gt.png",
    "sidar": "8/H_0_1.mat",
    "pairs": "D/flow.flo",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("published")
    return {name: f"{name}:{write(root / name)}" for name, write in WRITERS.items()}


def same(a: Samples, b: Samples) -> None:
    """Equal decoded samples."""
    assert len(a) == len(b)
    for position in range(len(a)):
        one, two = a[position], b[position]
        assert (one.name, one.subset, one.meta) == (two.name, two.subset, two.meta)
        assert all(torch.equal(x, y) for x, y in zip(one.frames, two.frames, strict=True))
        assert (one.gt is None) == (two.gt is None)
        assert one.gt is None or torch.equal(one.gt, two.gt)
        ours, theirs = a.truth(position), b.truth(position)
        for name in ("flow", "occlusion", "dynamic"):
            x, y = getattr(ours, name), getattr(theirs, name)
            assert (x is None) == (y is None)
            assert x is None or torch.equal(x.nan_to_num(1e9), y.nan_to_num(1e9))
        assert (ours.masks is None) == (theirs.masks is None)
        for x, y in zip(ours.masks or [], theirs.masks or [], strict=True):
            assert torch.equal(x, y)


@pytest.mark.parametrize("name", WRITERS)
def test_conversion_keeps_every_sample(folders: dict[str, str], tmp_path: Path, name: str) -> None:
    out = str(tmp_path / "shards")
    convert(folders[name], out)
    info, source = DatasetInfo.load(out), open_reader(folders[name]).info
    assert info.complete
    assert (info.kind, info.splits, info.fields) == (source.kind, source.splits, source.fields)
    same(Samples(folders[name]), Samples(out))
    assert verify(out) == []


@pytest.mark.parametrize("name", WRITERS)
def test_verify_finds_nothing_wrong_with_what_was_published(folders: dict[str, str], name: str) -> None:
    assert verify(folders[name]) == []


def test_a_split_is_converted_on_its_own(folders: dict[str, str], tmp_path: Path) -> None:
    out = str(tmp_path / "P")
    info = convert(folders["fire"], out, "P")
    assert (info.scenes, info.splits) == (1, {"test": [0, 1], "P": [0, 1]})
    same(Samples(folders["fire"], "P"), Samples(out, "test"))
    assert Samples(out)[0].key == "000000"
    info = convert(folders["udis-d"], str(tmp_path / "few"), limit=3)
    assert info.splits == {"train": [0, 2], "val": [2, 3]}


def test_a_broken_off_conversion_goes_on(
    folders: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raylign.platform.data.layouts.base.SHARD_SIZE", 2)
    out = str(tmp_path / "d")
    original = converting.ShardWriter.write

    def breaks(self: converting.ShardWriter, key: str, fields: dict[str, bytes]) -> None:
        if key == "000003":
            raise KeyboardInterrupt
        original(self, key, fields)

    monkeypatch.setattr(converting.ShardWriter, "write", breaks)
    with pytest.raises(KeyboardInterrupt):
        convert(folders["hpatches"], out)
    assert not DatasetInfo.load(out).complete
    assert published_shards(out) == {"000000"}
    before = Path(out, "shards/000000.tar").stat().st_mtime_ns
    monkeypatch.setattr(converting.ShardWriter, "write", original)
    convert(folders["hpatches"], out)
    assert DatasetInfo.load(out).complete
    assert Path(out, "shards/000000.tar").stat().st_mtime_ns == before
    same(Samples(folders["hpatches"]), Samples(out))


def test_conversion_refuses_to_mix_datasets(folders: dict[str, str], tmp_path: Path) -> None:
    out = str(tmp_path / "d")
    convert(folders["fire"], out, limit=1)
    with pytest.raises(DatasetError, match="another dataset"):
        convert(folders["fire"], out, limit=2)
    with pytest.raises(DatasetError, match="another dataset"):
        convert(folders["dsia"], out, limit=1)
    with pytest.raises(DatasetError, match="itself"):
        convert(folders["fire"], folders["fire"].removeprefix("fire:"))
    assert ShardReader(out).read(0) == open_reader(folders["fire"]).read(0)


def test_shards_with_failed_samples_are_converted(tmp_path: Path) -> None:
    url = write_pairs(tmp_path / "a", scenes=5, size=32)
    info = json.loads(Path(url, "dataset.json").read_text())
    DatasetInfo(**(info | {"scenes": 6, "failed": {"000005": "black"}, "splits": {"train": [0, 6]}})).save(url)
    out = str(tmp_path / "b")
    assert convert(url, out).failed == {"000005": "black"}
    assert [ShardReader(out).read(k) for k in range(5)] == [ShardReader(url).read(k) for k in range(5)]
    DatasetInfo(**(info | {"complete": False})).save(url)
    with pytest.raises(DatasetError, match="not finished"):
        convert(url, str(tmp_path / "c"))


@pytest.mark.parametrize("name", LOST)
def test_a_missing_file_is_named(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    root = WRITERS[name](tmp_path / "d")
    lost = root / LOST[name]
    lost.unlink()
    if name == "sidar":  # one matrix of several: the scene has frame 2 as well
        np.savetxt(root / "8/H_0_2.mat", np.eye(3))
        layouts.save(root / "8/2.png", layouts.picture(3, *layouts.SIDAR_SIZE))
        layouts.save(root / "8/2-m.png", np.zeros(layouts.SIDAR_SIZE, np.uint8))
    with pytest.raises(DatasetError, match=LOST[name].replace(".", r"\.")):
        Samples(str(root))
    assert cli.main(["data", "info", str(root)]) == 2
    told = capsys.readouterr()
    assert LOST[name] in told.out
    assert f"layout '{name}'" in told.out
    assert "expected:" in told.out
    assert "source:" in told.out
    assert len(told.err.strip().splitlines()) == 1


def test_parts_that_are_missing_as_a_whole_are_named(tmp_path: Path) -> None:
    (tmp_path / "fire/Images").mkdir(parents=True)
    layouts.save(tmp_path / "fire/Images/S01_1.jpg", layouts.picture(1))
    with pytest.raises(DatasetError, match=r"Images/S01_2\.jpg, Ground Truth/control_points_S01_1_2\.txt missing"):
        Samples(str(tmp_path / "fire"))
    layouts.save(tmp_path / "davis/JPEGImages/480p/bear/00000.jpg", layouts.picture(1))
    with pytest.raises(DatasetError, match=r"ImageSets/2017/train\.txt, ImageSets/2017/val\.txt missing"):
        Samples(str(tmp_path / "davis"))
    layouts.save(tmp_path / "sintel/training/clean/alley_1/frame_0001.png", layouts.picture(1))
    with pytest.raises(DatasetError, match="training/final, training/flow missing"):
        Samples(str(tmp_path / "sintel"))
    (tmp_path / "udis/training/input1").mkdir(parents=True)
    layouts.save(tmp_path / "udis/training/input1/000001.jpg", layouts.picture(1))
    with pytest.raises(DatasetError, match=r"training/input2/000001\.jpg missing"):
        Samples(str(tmp_path / "udis"))


def test_a_forced_layout_tells_what_it_needs(tmp_path: Path) -> None:
    root = layouts.write_udis(tmp_path / "d")
    with pytest.raises(DatasetError, match="Ground Truth/control_points_P01_1_2"):
        Samples(f"fire:{root}")
    with pytest.raises(DatasetError, match="no folder"):
        Samples("fire:/nowhere")
    with pytest.raises(DatasetError, match="local folders only"):
        Samples("fire:s3://bucket/FIRE")


def test_unknown_folders_list_the_layouts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layouts.write_pictures(tmp_path / "pictures")
    assert cli.main(["data", "info", str(tmp_path / "pictures")]) == 2
    told = capsys.readouterr()
    for name in WRITERS:
        assert f"    {name}: " in told.out
    assert f"homographynet:{tmp_path}/pictures makes synthetic pairs" in told.err
    assert len(told.err.strip().splitlines()) == 1
    layouts.write_fire(tmp_path / "outer/FIRE")
    with pytest.raises(DatasetError, match=r"outer/FIRE looks like FIRE: give that folder"):
        Samples(str(tmp_path / "outer"))


BROKEN = {
    "picture": ("hpatches", "v_adam/1.ppm", b"P6\n64 48\n255\nshort"),
    "no picture": ("udis-d", "training/input1/000002.jpg", b"text"),
    "empty": ("udis-d", "training/input1/000002.jpg", b""),
    "matrix": ("hpatches", "v_adam/H_1_2", b"1 2 3\n4 5 6\n"),
    "singular": ("hpatches", "v_adam/H_1_2", b"1 2 3\n2 4 6\n0 0 1\n"),
    "points": ("fire", "Ground Truth/control_points_S02_1_2.txt", b"1 2 3\n"),
    "words": ("fire", "Ground Truth/control_points_S02_1_2.txt", b"a b c d\n"),
    "flow": ("sintel", "training/flow/alley_1/frame_0001.flo", b"PIEH\x40\0\0\0\x30\0\0\0"),
    "kitti": ("pairs", "D/flow.png", None),
    "mask": ("dsia", "train/00001_1_0002/input_mask.png", b"\x89PNG"),
    "outline": ("davis", "Annotations/480p/bear/00005.png", None),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_named(tmp_path: Path, case: str) -> None:
    name, file, content = BROKEN[case]
    root = WRITERS[name](tmp_path / "d")
    if content is None:
        layouts.save(root / file, layouts.picture(1))  # a colour picture of 8 bits
    else:
        (root / file).write_bytes(content)
    samples = Samples(str(root))
    problems = []
    for position in range(len(samples)):
        try:
            samples[position]
            samples.truth(position)
        except DatasetError as error:
            problems.append(str(error))
    assert problems
    assert all(file in problem and "\n" not in problem for problem in problems)
    assert len(problems) < len(samples)
    named = [str(problem) for problem in verify(str(root))]
    assert any(file in problem for problem in named)


def test_files_that_vanish_are_named(tmp_path: Path) -> None:
    root = layouts.write_fire(tmp_path)
    samples = Samples(str(root))
    (root / "Images/S01_2.jpg").unlink()
    with pytest.raises(DatasetError, match=r"S01_2\.jpg is missing"):
        samples[0]


def test_tables_with_wrong_columns_or_names(tmp_path: Path) -> None:
    table = layouts.write_manifest(tmp_path) / "manifest.csv"
    text = table.read_text()
    table.write_text(text.replace("gt file", "truth"))
    with pytest.raises(DatasetError, match=r"manifest\.csv lacks gt file"):
        Samples(str(tmp_path))
    table.write_text(text.replace("A/two.jpg", "A/two.docx"))
    with pytest.raises(DatasetError, match=r"line 2: 'A/two\.docx' is not the name of a picture"):
        Samples(str(tmp_path))


def test_verify_names_points_outside_and_unknown_flows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = layouts.write_fire(tmp_path / "fire")
    (root / "Ground Truth/control_points_S02_1_2.txt").write_text("1 2 3 4\n500 2 3 4\n")
    assert [str(problem) for problem in verify(str(root))] == [
        "sample 000001: 1 of 2 control points lie outside of ref"
    ]
    assert cli.main(["data", "verify", str(root)]) == 1
    assert "download their files again" in capsys.readouterr().err
    root = layouts.write_manifest(tmp_path / "pairs")
    cv2.imwrite(str(root / "D/flow.png"), np.zeros((layouts.HEIGHT, layouts.WIDTH, 3), np.uint16))
    assert [problem.check for problem in verify(str(root))] == ["flow"]


def test_the_overlap_of_a_partial_flow_is_that_of_its_known_pixels(folders: dict[str, str]) -> None:
    rows = {row.key: row for row in collect(folders["pairs"], "D", 10)}
    seen = np.ones((layouts.HEIGHT, layouts.WIDTH), bool)
    seen[:2] = seen[:, -3:] = False  # y - 1.5 >= -0.5 from row 1 on, x + 3.25 <= 63.5 up to column 60
    seen[1] = seen[2]
    upper = seen[: layouts.HEIGHT // 2]
    assert rows["000003"].overlap == pytest.approx(upper.mean(), abs=1e-9)
    assert rows["000002"].overlap == pytest.approx((seen.sum() - 1) / (seen.size - 1), abs=1e-9)
    assert rows["000003"].parallax == pytest.approx(0, abs=1e-3)


def test_info_counts_splits_and_groups(folders: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "info", folders["fire"], "--samples", "2"]) == 0
    told = capsys.readouterr().out
    assert "test: 4 (S 2, P 1, A 1)" in told
    assert "dropped: P37_1_2, its control points are wrong" in told
    assert "brightness" in told
    assert cli.main(["data", "info", folders["sintel"], "--samples", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["splits"]["test"] == [4, 6]


@pytest.mark.parametrize("name", ["sintel", "davis", "sidar"])
def test_preview(folders: dict[str, str], tmp_path: Path, name: str) -> None:
    out = tmp_path / "sheet.png"
    assert cli.main(["data", "preview", folders[name], "-o", str(out), "--scenes", "2", "--samples", "2"]) == 0
    assert out.stat().st_size > 1000


def test_the_command_converts(folders: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "d")
    assert cli.main(["data", "convert", folders["udis-d"], out, "--split", "test", "--limit", "1"]) == 0
    assert "1 pairs, complete" in capsys.readouterr().out
    assert len(ShardReader(out, "test")) == 1
    assert cli.main(["data", "convert", folders["udis-d"], out, "--limit", "0"]) == 2


def test_training_batches_of_published_folders(folders: dict[str, str]) -> None:
    batches = training_batches("pair", folders["udis-d"], 32, 2, AugmentOptions(), seed=1)
    assert batches.batch(0, 0)["reference"].shape == (2, 3, 32, 32)
    assert held_out("pair", folders["udis-d"], "val", 32, 4, 2)["source"].shape == (1, 3, 32, 32)
    options = AugmentOptions(frames=2)
    sequences = training_batches("sequence", folders["sidar"], 32, 2, options, seed=1).batch(0, 0)
    assert sequences["masks"].shape == (2, 2, 1, 32, 32)
    assert bool(torch.isfinite(sequences["homographies"]).all())
    with pytest.raises(DatasetError, match="no split 'train'"):
        training_batches("pair", folders["fire"], 32, 2, AugmentOptions(), seed=1)


def test_pairs_are_resized_with_their_homographies(folders: dict[str, str], tmp_path: Path) -> None:
    out = str(tmp_path / "small")
    convert(folders["homographynet"], out, "test", size=64)
    before, after = (Samples(url, "test")[0] for url in (folders["homographynet"], out))
    assert after.frames[0].shape == (3, 64, 64)
    assert after.homographies is not None
    # OpenCV's mean over areas is the oracle of the pictures, and the warped picture that of the homography.
    large = before.frames[0].permute(1, 2, 0).numpy()
    expected = cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA)
    small = after.frames[0].permute(1, 2, 0).numpy()
    assert np.abs(small.astype(int) - expected.astype(int)).mean() < 4
    matrix = after.homography(0, 1)
    assert matrix is not None
    source = after.frames[1].permute(1, 2, 0).numpy()
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(source, matrix.numpy(), (64, 64), flags=flags).astype(int)
    covered = cv2.warpPerspective(np.ones_like(source), matrix.numpy(), (64, 64), flags=flags) > 0
    assert np.abs(warped - small)[covered].mean() < 0.5 * np.abs(source.astype(int) - small)[covered].mean()


def test_what_cannot_be_resized_is_refused(folders: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be resized"):
        convert(folders["sintel"], str(tmp_path / "small"), size=64)
