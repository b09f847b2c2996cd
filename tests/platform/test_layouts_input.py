"""Folders as people really have them: odd names, links, tables from Windows, half a scene, the wrong folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from raylign.methods.errors import DatasetError
from raylign.platform.data import convert as converting
from raylign.platform.data.convert import convert
from raylign.platform.data.layouts.files import by_number
from raylign.platform.data.layouts.opening import open_reader
from raylign.platform.data.samples import Samples, decode_picture, homography_between
from raylign.platform.training.loop import train
from raylign.platform.training.reporter import PlainReporter
from tests import layouts
from tests.training import small_spec

HEADER = "set,pair id,file1,file2,gt file\n"
ROW = "A,1,A/one.png,A/two.jpg,A/H.txt\n"
SETS = (("test", "A/one.png"), ("A", "A/one.png"), ("train", "A/one.png"), ("test", "A/two.jpg"), ("val", "A/one.png"))


def table(root: Path, text: str) -> str:
    """A folder of pairs with another table."""
    if not root.exists():
        layouts.write_manifest(root)
    (root / "manifest.csv").write_bytes(text.encode())
    return str(root)


@pytest.mark.parametrize(
    "text",
    [
        ("\ufeff" + HEADER + ROW).replace("\n", "\r\n"),
        HEADER + ROW.replace("/", "\\"),
        HEADER.replace(",", ", ") + ROW.replace(",", ", "),
        HEADER + "\n" + ROW.strip(),
    ],
    ids=["windows-lines-and-bom", "backslashes", "spaces", "blank-line"],
)
def test_tables_as_other_programs_write_them(tmp_path: Path, text: str) -> None:
    samples = Samples(table(tmp_path / "d", text))
    assert (len(samples), samples[0].name, samples[0].subset) == (1, "1", "A")
    homography = samples[0].homography(0, 1)
    assert homography is not None
    np.testing.assert_allclose(homography.numpy(), layouts.SHIFT, atol=1e-9)


@pytest.mark.parametrize("place", [2, 3, 4])
@pytest.mark.parametrize("leading_out", ["../d/A/one.png", "A/../../d/A/one.png", "..\\d\\A\\one.png", "absolute"])
def test_tables_stay_in_their_folder(tmp_path: Path, place: int, leading_out: str) -> None:
    columns = ["A", "1", "A/one.png", "A/two.jpg", "A/H.txt"]
    columns[place] = str(tmp_path / "d/A/one.png") if leading_out == "absolute" else leading_out
    with pytest.raises(DatasetError, match=r"manifest\.csv, line 2: .* leads out of the table's folder"):
        Samples(table(tmp_path / "d", HEADER + ",".join(columns) + "\n"))


def test_tables_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="has no row with file1 and file2"):
        Samples(table(tmp_path / "d", HEADER + "A,1,A/one.png,,\n"))
    with pytest.raises(DatasetError, match="not a table of comma-separated values"):
        Samples(table(tmp_path / "d", HEADER + f'A,1,"{"x" * 200_000}",A/two.jpg,\n'))
    with pytest.raises(DatasetError, match=r"line 4: 'A/one\.doc' is not the name of a picture"):
        Samples(table(tmp_path / "d", HEADER + "\n\nA,1,A/one.doc,A/two.jpg,\n"))


def test_sets_called_as_splits_are_these_splits(tmp_path: Path) -> None:
    rows = [f"{name},{number},{file},A/two.jpg,\n" for number, (name, file) in enumerate(SETS)]
    info = Samples(table(tmp_path / "d", HEADER + "".join(rows))).reader.info
    assert info.splits == {"train": [0, 1], "val": [1, 2], "test": [2, 5], "A": [4, 5]}


def test_homographies_whose_last_entry_is_zero(tmp_path: Path) -> None:
    horizon = np.array([[1, 0, 4.0], [0, 1, -3.0], [1e-2, 1e-2, 0]])
    root = layouts.write_hpatches(tmp_path)
    np.savetxt(root / "v_adam/H_1_2", horizon)
    sample = Samples(str(root))[5]
    stored, there = sample.homographies, sample.homography(0, 1)
    assert stored is not None
    assert there is not None
    points = np.array([[[10.0, 20.0], [60.0, 5.0]]])
    expected = cv2.perspectiveTransform(points, horizon)
    for matrix in (stored[1], there):
        np.testing.assert_allclose(cv2.perspectiveTransform(points, matrix.numpy()), expected, atol=1e-9)
    back = homography_between(stored, 1, 0)
    assert back is not None
    np.testing.assert_allclose(cv2.perspectiveTransform(expected, back.numpy()), points, atol=1e-9)


def test_homographies_that_are_not_finite(tmp_path: Path) -> None:
    samples = Samples(str(layouts.write_udis(tmp_path)))
    with pytest.raises(DatasetError, match="not finite"):
        samples.homographies(0, b'{"homography": [[1, 0, NaN], [0, 1, 0], [0, 0, 1]]}')


def test_names_are_sorted_by_number_and_without_ties() -> None:
    assert sorted(["10", "9", "1²2", "²", "01", "1", ""], key=by_number) == ["", "01", "1", "1²2", "9", "10", "²"]


def test_pictures_behind_links_and_beside_hidden_files(tmp_path: Path) -> None:
    real = layouts.write_pictures(tmp_path / "real", 2)
    data = tmp_path / "data"
    data.mkdir()
    (data / "train2014").symlink_to(real)
    (real / "round").symlink_to(data)  # a link into a folder that it lies in
    (real / "._photo_0.png").write_bytes(b"what macOS puts beside a file")
    shutil.copy(real / "photo_1.png", data / "a name with spaces.PNG")
    samples = Samples(f"homographynet:{data}")
    assert [samples[k].name for k in range(3)] == [
        "train2014/photo_0.png",
        "train2014/photo_1.png",
        "a name with spaces.PNG",
    ]
    udis = layouts.write_udis(tmp_path / "udis")
    (tmp_path / "link").symlink_to(udis)
    assert len(Samples(str(tmp_path / "link"))) == 5


@pytest.mark.parametrize(
    ("name", "inner"),
    [
        ("udis", "training"),
        ("udis", "testing/input2"),
        ("fire", "Images"),
        ("sintel", "training/final/alley_1"),
        ("davis", "JPEGImages/480p/bear"),
        ("hpatches", "v_adam"),
        ("dsia", "train"),
        ("sidar", "7"),
    ],
)
def test_a_folder_too_low_names_the_right_one(tmp_path: Path, name: str, inner: str) -> None:
    root = getattr(layouts, f"write_{name}")(tmp_path / "d")
    with pytest.raises(DatasetError, match=rf"{root} looks like .*: give that folder$"):
        Samples(str(root / inner))


def test_the_folder_of_the_shards_names_the_right_one(tmp_path: Path) -> None:
    root = tmp_path / "d"
    convert(str(layouts.write_udis(tmp_path / "in")), str(root))
    with pytest.raises(DatasetError, match=rf"{root} is a dataset: give that folder$"):
        Samples(str(root / "shards"))


def test_folders_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = layouts.write_dsia(tmp_path / "d")
    (root / "lost+found").mkdir()
    listdir = os.listdir

    def refuses(folder: Path) -> list[str]:
        if Path(folder).name == "lost+found":
            raise PermissionError(13, "Permission denied", str(folder))
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", refuses)
    assert len(Samples(str(root))) == 5


def test_a_folder_in_place_of_a_picture_is_named(tmp_path: Path) -> None:
    root = layouts.write_udis(tmp_path)
    (root / "training/input1/000001.jpg").unlink()
    (root / "training/input1/000001.jpg").mkdir()
    reader = open_reader(str(root))
    for suffix in ("ref.jpg", "meta.json"):
        with pytest.raises(DatasetError, match=r"input1/000001\.jpg cannot be read"):
            reader.read(0, [suffix])


@pytest.mark.filterwarnings("error")
def test_an_empty_text_file_is_one_line(tmp_path: Path) -> None:
    root = layouts.write_fire(tmp_path)
    (root / "Ground Truth/control_points_S01_1_2.txt").write_text("\n \n")
    with pytest.raises(DatasetError, match="does not hold rows of 4 numbers"):
        Samples(str(root))[0]


def test_davis_with_lists_from_windows(tmp_path: Path) -> None:
    root = layouts.write_davis(tmp_path)
    (root / "ImageSets/2017/train.txt").write_bytes(b"\xef\xbb\xbfbear\r\n")
    assert Samples(str(root)).reader.info.splits == {"train": [0, 2], "val": [2, 4]}


def test_sintel_marks_with_any_value_but_zero(tmp_path: Path) -> None:
    root = layouts.write_sintel(tmp_path)
    before = Samples(str(root)).truth(0)
    for kind in ("occlusions", "invalid"):
        path = root / f"training/{kind}/alley_1/frame_0001.png"
        layouts.save(path, (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0).astype(np.uint8))
    after = Samples(str(root)).truth(0)
    assert before.flow is not None
    assert before.occlusion is not None
    assert after.flow is not None
    assert after.occlusion is not None
    assert bool(before.occlusion.any())
    assert torch.equal(after.occlusion, before.occlusion)
    assert torch.equal(after.flow.isnan(), before.flow.isnan())


@pytest.mark.parametrize("kind", ["occlusions", "invalid"])
def test_sintel_masks_of_another_size_are_named(tmp_path: Path, kind: str) -> None:
    root = layouts.write_sintel(tmp_path)
    layouts.save(root / f"training/{kind}/alley_1/frame_0001.png", np.zeros((10, 12), np.uint8))
    with pytest.raises(DatasetError, match=rf"{kind}/alley_1/frame_0001\.png: 12 x 10 pixels, unlike its flow"):
        Samples(str(root)).truth(0)


def test_a_scene_of_sidar_that_broke_off_is_named(tmp_path: Path) -> None:
    # The script writes all homographies of a scene before its frames.
    root = layouts.write_sidar(tmp_path, 2)
    for name in ("1.png", "1-m.png"):
        (root / "8" / name).unlink()
    with pytest.raises(DatasetError, match=r"8/1\.png, 8/1-m\.png missing"):
        Samples(str(root))


def test_colour_of_sixteen_bits_keeps_its_high_byte(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65_536, (16, 16, 3)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), deep[..., ::-1])
    decoded = decode_picture((tmp_path / "deep.png").read_bytes(), "deep")
    np.testing.assert_array_equal(decoded.permute(1, 2, 0).numpy(), deep >> 8)


def test_a_broken_off_conversion_does_not_go_on_with_other_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raylign.platform.data.layouts.base.SHARD_SIZE", 2)
    source, out = str(layouts.write_udis(tmp_path / "in")), str(tmp_path / "out")
    write = converting.ShardWriter.write

    def breaks(self: converting.ShardWriter, key: str, fields: dict[str, bytes]) -> None:
        if key == "000003":
            raise KeyboardInterrupt
        write(self, key, fields)

    monkeypatch.setattr(converting.ShardWriter, "write", breaks)
    with pytest.raises(KeyboardInterrupt):
        convert(source, out)
    monkeypatch.setattr(converting.ShardWriter, "write", write)
    with pytest.raises(DatasetError, match="other options"):
        convert(source, out, limit=4)
    with pytest.raises(DatasetError, match="other options"):
        convert(source, out, "train")
    assert convert(source, out).complete


def test_conversion_into_itself_by_a_link(tmp_path: Path) -> None:
    source = layouts.write_udis(tmp_path / "in")
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(DatasetError, match="itself"):
        convert(str(source), str(tmp_path / "link"))
    assert not (source / "dataset.json").exists()


def test_training_on_a_published_folder(tmp_path: Path) -> None:
    url = str(layouts.write_udis(tmp_path / "UDIS D", train=4, test=1))
    reporter = PlainReporter(tmp_path / "run")
    train(small_spec("crossscale", url, epochs=1, batch_size=2), reporter)
    assert len(reporter.history) == 1
    assert np.isfinite([reporter.history[0][name] for name in ("loss", "val_psnr_overlap")]).all()
