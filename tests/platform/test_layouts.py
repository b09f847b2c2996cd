"""Public datasets in their published folders: each layout gives the samples that its publisher means."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from raylign.methods.errors import DatasetError
from raylign.platform.data.layouts import NAMES, split_prefix
from raylign.platform.data.layouts.base import HELD_OUT, Entry, LayoutReader, splits_of
from raylign.platform.data.layouts.homographynet import drawn, to_picture
from raylign.platform.data.layouts.opening import LAYOUTS, detect, open_reader
from raylign.platform.data.layouts.sidar import half_pixel
from raylign.platform.data.samples import Sample, Samples, decode_picture
from raylign.platform.runs import absolute_url
from tests import layouts

WRITERS = {
    "udis-d": layouts.write_udis,
    "fire": layouts.write_fire,
    "sintel": layouts.write_sintel,
    "davis": layouts.write_davis,
    "hpatches": layouts.write_hpatches,
    "dsia": layouts.write_dsia,
    "sidar": layouts.write_sidar,
    "pairs": layouts.write_manifest,
}


def samples_of(root: Path, split: str | None = None) -> Samples:
    return Samples(str(root), split)


def by_name(samples: Samples) -> dict[str, tuple[int, Sample]]:
    return {samples[position].name: (position, samples[position]) for position in range(len(samples))}


def pixels(path: Path) -> torch.Tensor:
    """An independent decoder: OpenCV."""
    return torch.from_numpy(cv2.imread(str(path))[..., ::-1].copy()).permute(2, 0, 1)


def near(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal up to the rounding in which two JPEG decoders may differ."""
    return a.shape == b.shape and int((a.int() - b.int()).abs().max()) <= 2


def corners(matrix: torch.Tensor, points: list[tuple[float, float]]) -> np.ndarray:
    return cv2.perspectiveTransform(np.array([points], np.float64), matrix.numpy())[0]


@pytest.mark.parametrize("name", WRITERS)
def test_each_layout_is_recognised_and_none_is_taken_for_another(tmp_path: Path, name: str) -> None:
    root = WRITERS[name](tmp_path / "d")
    assert [layout.name for layout in LAYOUTS if layout.looks_like(root)] == [name]
    found = detect(root)
    assert found is not None
    reader = open_reader(str(root))
    assert (found.name, reader.info.generator, reader.info.settings["layout"]) == (name, name, name)
    assert reader.keys == [f"{k:06d}" for k in range(len(reader))]
    forced = open_reader(f"{name}:{root}")
    assert forced.read(0) == reader.read(0) == pickle.loads(pickle.dumps(reader)).read(0)
    assert set(reader.read(0)) == set(reader.fields(0))


def test_the_names_of_the_prefixes_are_those_of_the_layouts() -> None:
    assert tuple(layout.name for layout in LAYOUTS) == NAMES


def test_udis(tmp_path: Path) -> None:
    root = layouts.write_udis(tmp_path, train=3, test=2)
    samples = samples_of(root)
    assert samples.reader.info.splits == {"train": [0, 2], "val": [2, 3], "test": [3, 5]}
    test = samples_of(root, "test")
    assert test.reader.keys == ["000003", "000004"]
    sample = test[1]
    assert (sample.name, sample.subset, sample.points, sample.homographies) == ("testing/000002", "", None, None)
    assert near(sample.frames[0], pixels(root / "testing/input1/000002.jpg"))
    assert near(sample.frames[1], pixels(root / "testing/input2/000002.jpg"))
    assert test.reader.read(1, ["ref.jpg"])["ref.jpg"] == (root / "testing/input1/000002.jpg").read_bytes()


def test_udis_with_its_test_part_alone(tmp_path: Path) -> None:
    root = layouts.write_udis(tmp_path, train=0, test=2)
    assert samples_of(root).reader.info.splits == {"test": [0, 2]}


def test_fire(tmp_path: Path) -> None:
    root = layouts.write_fire(tmp_path)
    samples = samples_of(root, "test")
    found = by_name(samples)
    assert list(found) == ["S01_1_2", "S02_1_2", "P01_1_2", "A01_1_2"]
    assert [sample.subset for _, sample in found.values()] == ["S", "S", "P", "A"]
    info = samples.reader.info
    assert info.splits == {"test": [0, 4], "S": [0, 2], "P": [2, 3], "A": [3, 4]}
    assert list(info.settings["dropped"]) == ["P37_1_2"]
    sample = found["A01_1_2"][1]
    assert sample.points is not None
    assert sample.points.dtype == torch.float64
    np.testing.assert_allclose(sample.points.numpy(), layouts.FIRE_POINTS + 4, atol=1e-9)
    assert near(sample.frames[0], pixels(root / "Images/A01_1.jpg"))
    assert near(sample.frames[1], pixels(root / "Images/A01_2.jpg"))
    assert sample.meta["size"] == [layouts.WIDTH, layouts.HEIGHT]
    assert [each.name for each in (Samples(str(root), "S")[0],)] == ["S01_1_2"]


def test_sintel(tmp_path: Path) -> None:
    root = layouts.write_sintel(tmp_path)
    samples = samples_of(root)
    # The last scene of the training part is held out whole, though a twentieth would be one pair.
    assert samples.reader.info.splits == {"train": [0, 2], "val": [2, 4], "test": [4, 6]}
    position, sample = by_name(samples)["bamboo_2/frame_0002"]
    assert sample.meta["scene"] == "bamboo_2"
    assert torch.equal(sample.frames[0], pixels(root / "training/final/bamboo_2/frame_0002.png"))
    assert torch.equal(sample.frames[1], pixels(root / "training/final/bamboo_2/frame_0003.png"))
    truth = samples.truth(position)
    assert truth.flow is not None
    assert truth.occlusion is not None
    unknown = np.zeros((layouts.HEIGHT, layouts.WIDTH), bool)
    unknown[40:44, 5:9] = True
    np.testing.assert_array_equal(torch.isnan(truth.flow).any(0).numpy(), unknown)
    assert truth.flow[:, 0, 0].tolist() == list(layouts.FLOW)
    hidden = np.zeros_like(unknown)
    hidden[10:20, 30:-3] = True  # x + 3.25 <= 63.5
    np.testing.assert_array_equal(truth.occlusion.numpy(), hidden)
    unlabelled = samples_of(root, "test")
    assert unlabelled[0].name == "ambush_1/frame_0001"
    assert unlabelled.truth(0).flow is None


def test_davis(tmp_path: Path) -> None:
    root = layouts.write_davis(tmp_path, frames=13)
    samples = samples_of(root)
    assert samples.reader.info.splits == {"train": [0, 2], "val": [2, 4]}
    position, sample = by_name(samples)["bear/00005"]
    assert near(sample.frames[0], pixels(root / "JPEGImages/480p/bear/00005.jpg"))
    assert near(sample.frames[1], pixels(root / "JPEGImages/480p/bear/00010.jpg"))
    moving = np.zeros((layouts.HEIGHT, layouts.WIDTH), bool)
    moving[5:15, 5:15] = moving[20:25, 40:50] = True
    dynamic = samples.truth(position, ("dynamic",)).dynamic
    assert dynamic is not None
    np.testing.assert_array_equal(dynamic.numpy(), moving)


def test_hpatches(tmp_path: Path) -> None:
    root = layouts.write_hpatches(tmp_path)
    samples = samples_of(root, "test")
    assert samples.reader.info.splits == {"test": [0, 15], "illumination": [0, 5], "viewpoint": [5, 15]}
    _, sample = by_name(samples)["v_adam/1_6"]
    assert sample.subset == "viewpoint"
    assert sample.meta["scene"] == "v_adam"
    homography = sample.homography(0, 1)
    assert homography is not None
    np.testing.assert_allclose(corners(homography, [(0, 0), (63, 47)]), [[4, -3], [67, 44]], atol=1e-9)
    assert torch.equal(sample.frames[0][:, 3:, :-4], sample.frames[1][:, :-3, 4:])


def test_dsia(tmp_path: Path) -> None:
    root = layouts.write_dsia(tmp_path)
    samples = samples_of(root)
    splits = {"test": [0, 2], "LS": [0, 1], "SS": [1, 2], "train": [2, 4], "val": [4, 5]}
    assert samples.reader.info.splits == splits
    position, sample = by_name(samples)["train/00001_1_0002"]
    assert (sample.subset, sample.meta["scene"]) == ("", "00001_1")
    grouped = by_name(samples)["test/LS_00003_4_0002"][1]
    assert (grouped.subset, grouped.meta["scene"]) == ("LS", "00003_4")
    assert sample.gt is not None
    folder = root / "train/00001_1_0002"
    for picture, file in zip((*sample.frames, sample.gt), ("img1", "img2", "img1_warp_gt"), strict=True):
        assert torch.equal(picture, pixels(folder / f"{file}.png"))
    dynamic = samples.truth(position).dynamic
    assert dynamic is not None
    assert int(dynamic.sum()) == 6 * 13
    assert bool(dynamic[4:10, 7:20].all())


def test_half_pixel_correction_of_sidar() -> None:
    moved = cv2.perspectiveTransform(np.array([[[0, 0], [49.5, 29.5], [99, 59]]], np.float64), half_pixel((60, 100)))
    np.testing.assert_allclose(moved[0], [[-0.5, -0.5], [49.5, 29.5], [99.5, 59.5]], atol=1e-12)


def test_sidar(tmp_path: Path) -> None:
    root = layouts.write_sidar(tmp_path, scenes=10)
    samples = samples_of(root)
    assert samples.reader.info.kind == "sequence"
    assert samples.reader.info.splits == {"train": [0, 8], "val": [8, 9], "test": [9, 10]}
    assert [samples[k].name for k in (0, 3)] == ["7", "10"]  # by number, not by letter
    sample = samples[3]
    homography = sample.homography(0, 1)
    assert homography is not None
    expected = corners(torch.from_numpy(layouts.TILT), [(-0.5, -0.5), (99.5, 59.5)])
    np.testing.assert_allclose(corners(homography, [(-0.5, -0.5), (99.5, 59.5)]), expected, atol=1e-6)
    stored = torch.from_numpy(layouts.sidar_matrix(layouts.TILT))
    assert np.abs(corners(stored, [(-0.5, -0.5), (99.5, 59.5)]) - expected).max() > 0.05
    assert np.linalg.det(np.array(sample.meta["homographies"][1])) == pytest.approx(1)
    masks = samples.truth(3, ("mask",)).masks
    assert masks is not None
    occluder = np.zeros(layouts.SIDAR_SIZE, bool)
    occluder[20:30, 40:55] = True
    np.testing.assert_array_equal(masks[0].numpy(), occluder)
    # Beside the painting's edge, whose pixels are half covered, one pixel may be counted otherwise.
    stray = cv2.erode((masks[1].numpy() & ~occluder).astype(np.uint8), np.ones((3, 3), np.uint8))
    assert not stray.any()
    assert bool(masks[1][20:30, 40:55].all())
    assert sample.gt is not None
    assert torch.equal(sample.gt, pixels(root / "10/gt.png"))


def test_sidar_in_folders_of_its_splits(tmp_path: Path) -> None:
    for split, count in (("train", 2), ("test", 1)):
        layouts.write_sidar(tmp_path / split, scenes=count)
    assert samples_of(tmp_path).reader.info.splits == {"train": [0, 1], "val": [1, 2], "test": [2, 3]}


def test_aligned_sidar(tmp_path: Path) -> None:
    sample = samples_of(layouts.write_sidar(tmp_path, scenes=1, moved=False))[0]
    assert torch.equal(sample.homography(0, 1), torch.eye(3, dtype=torch.float64))


def test_pairs_of_a_table(tmp_path: Path) -> None:
    root = layouts.write_manifest(tmp_path)
    samples = samples_of(root, "test")
    assert samples.reader.info.splits == {"test": [0, 4], "A": [0, 2], "D": [2, 4]}
    found = by_name(samples)
    assert list(found) == ["homogr/one", "plain/one", "middlebury/1", "kitti/1"]
    planar = found["homogr/one"][1].homography(0, 1)
    assert planar is not None
    np.testing.assert_allclose(corners(planar, [(10, 10)]), [[14, 7]], atol=1e-9)
    assert found["plain/one"][1].homographies is None
    assert found["homogr/one"][1].meta["scene"] == found["plain/one"][1].meta["scene"]
    known = np.ones((layouts.HEIGHT, layouts.WIDTH), bool)
    known[7, 11] = False
    for name, where in (("middlebury/1", known), ("kitti/1", np.indices(known.shape)[0] < layouts.HEIGHT // 2)):
        flow = samples.truth(found[name][0], ("flow",)).flow
        assert flow is not None
        assert flow.dtype == torch.float32
        np.testing.assert_array_equal(torch.isfinite(flow).all(0).numpy(), where)
        np.testing.assert_array_equal(torch.isfinite(flow).any(0).numpy(), where)
        assert flow[:, 0, 0].tolist() == list(layouts.FLOW)


def test_pairs_by_name_and_in_two_folders(tmp_path: Path) -> None:
    named = samples_of(layouts.write_named_pairs(tmp_path / "named"), "test")
    assert [named[k].name for k in range(2)] == ["room0", "room1"]
    assert torch.equal(named[1].frames[0], pixels(tmp_path / "named/room1_ref.png"))
    assert near(named[1].frames[1], pixels(tmp_path / "named/room1_src.jpg"))
    folders = samples_of(layouts.write_two_folders(tmp_path / "folders"), "test")
    assert torch.equal(folders[1].frames[1], pixels(tmp_path / "folders/src/1.png"))
    assert "size" not in folders[0].meta
    assert folders[0].frames[1].shape == (3, 40, 56)


def test_synthetic_pairs_fit_by_their_homography(tmp_path: Path) -> None:
    root = layouts.write_pictures(tmp_path, 4)
    samples = Samples(f"homographynet:{root}", "test")
    assert len(samples) == 4
    for position in range(4):
        sample = samples[position]
        reference, source = (frame.permute(1, 2, 0).numpy() for frame in sample.frames)
        assert reference.shape == source.shape == (256, 256, 3)
        homography = sample.homography(0, 1)
        assert homography is not None
        inverse = {"flags": cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP}
        warped = cv2.warpPerspective(source, homography.numpy(), (256, 256), **inverse)
        ones = np.full((256, 256), 255, np.uint8)
        inside = cv2.warpPerspective(ones, homography.numpy(), (256, 256), **inverse) == 255
        assert inside.mean() > 0.3
        error = np.mean((warped[inside].astype(float) - reference[inside]) ** 2)
        assert 10 * np.log10(255**2 / error) > 30
        apart = np.mean((source[inside].astype(float) - reference[inside]) ** 2)
        assert apart > 4 * error


def test_synthetic_pairs_keep_the_rules_of_the_paper() -> None:
    for number in range(50):
        (x, y), moved = drawn(f"{number}.jpg")
        assert 64 <= x <= 320
        assert 64 <= y <= 160
        square = np.array([[0, 0], [255, 0], [0, 255], [255, 255]], np.float64)
        assert np.abs(moved - square - (x, y)).max() <= 64
        landed = cv2.perspectiveTransform(square[None], to_picture(x, y, moved))[0]
        np.testing.assert_allclose(landed, moved, atol=1e-6)


def test_synthetic_pairs_come_from_the_name_alone(tmp_path: Path) -> None:
    first = layouts.write_pictures(tmp_path / "a", 2)
    second = layouts.write_pictures(tmp_path / "b/test2014", 3)
    one, two = open_reader(f"homographynet:{first}"), open_reader(f"homographynet:{second.parent}")
    assert two.info.splits == {"test": [0, 3]}
    for suffix in ("ref.png", "src.png"):
        assert one.read(1, [suffix]) == one.read(1, [suffix]) == two.read(1, [suffix])
        assert one.read(0, [suffix]) != one.read(1, [suffix])


def test_opening_decodes_nothing(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / f"{number}.jpg").write_bytes(b"no picture")
    reader = open_reader(f"homographynet:{tmp_path}", "test")
    assert len(reader) == 2000
    with pytest.raises(DatasetError, match=r"/2\.jpg"):
        reader.read(reader.keys.index("000002"), ["ref.png"])


def test_pictures_are_decoded_upright_and_to_eight_bits(tmp_path: Path) -> None:
    lying = layouts.picture(1)
    picture = Image.fromarray(lying)
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.jpg", quality=98, exif=exif)
    upright = decode_picture((tmp_path / "a.jpg").read_bytes(), "a")
    assert upright.shape == (3, layouts.WIDTH, layouts.HEIGHT)
    assert near(upright, pixels(tmp_path / "a.jpg"))  # OpenCV applies the orientation too
    deep = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    grey = decode_picture((tmp_path / "deep.png").read_bytes(), "deep")
    np.testing.assert_array_equal(grey[1].numpy(), np.round(deep / 257.0))
    assert torch.equal(grey[0], grey[2])
    clear = np.dstack([lying, np.full(lying.shape[:2], 0, np.uint8)])
    clear[:10, :, 3] = 255
    Image.fromarray(clear).save(tmp_path / "clear.png")
    laid = decode_picture((tmp_path / "clear.png").read_bytes(), "clear")
    assert torch.equal(laid[:, :10], torch.from_numpy(lying).permute(2, 0, 1)[:, :10])
    assert not laid[:, 10:].any()


def test_sizes_in_meta_are_upright(tmp_path: Path) -> None:
    root = layouts.write_named_pairs(tmp_path)
    picture = Image.fromarray(layouts.picture(1))
    exif = picture.getexif()
    exif[0x0112] = 8
    picture.save(root / "room1_src.jpg", exif=exif)
    samples = samples_of(root)
    assert samples[0].meta["size"] == [layouts.WIDTH, layouts.HEIGHT]
    assert "size" not in samples[1].meta


def test_the_subset_falls_back_to_the_difficulty() -> None:
    assert Sample("000001", [], None, None, {"difficulty": "hard"}).subset == "hard"
    assert Sample("000001", [], None, None, {"difficulty": "hard", "subset": "S"}).subset == "S"
    plain = Sample("000001", [], None, None)
    assert (plain.name, plain.subset, plain.points) == ("000001", "", None)
    with pytest.raises(DatasetError, match="four numbers"):
        _ = Sample("000001", [], None, None, {"points": [[1, 2, 3]]}).points


def test_validation_takes_whole_scenes_off_the_end() -> None:
    entries = [Entry(str(k), "train", {}, scene=str(k // 10)) for k in range(100)]
    assert splits_of(entries) == {"train": [0, 90], "val": [90, 100]}
    assert splits_of([Entry(str(k), "train", {}) for k in range(100)])["val"] == [100 - int(HELD_OUT * 100), 100]
    assert splits_of([Entry(str(k), "train", {}, scene="one") for k in range(10)])["val"] == [9, 10]
    scattered = [Entry(str(k), "test", {}, subset="ab"[k % 2]) for k in range(4)]
    assert splits_of(scattered) == {"test": [0, 4]}


@pytest.mark.parametrize(
    ("url", "split"),
    [
        ("fire:/x/FIRE", ("fire", "/x/FIRE")),
        ("/x/fire:2", (None, "/x/fire:2")),
        ("s3://fire/x", (None, "s3://fire/x")),
        ("file:///x", (None, "file:///x")),
        ("simplecache::s3://x", (None, "simplecache::s3://x")),
        ("fires:/x", (None, "fires:/x")),
    ],
)
def test_prefixes(url: str, split: tuple[str | None, str]) -> None:
    assert split_prefix(url) == split


def test_absolute_urls_keep_the_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert absolute_url("fire:FIRE") == f"fire:{tmp_path}/FIRE"
    assert absolute_url("fire:~/FIRE") == "fire:/home/someone/FIRE"
    assert absolute_url("fire:/x") == "fire:/x"
    assert absolute_url("FIRE") == f"{tmp_path}/FIRE"
    for url in ("s3://b/x", "memory://x", "simplecache::s3://b", "fire:s3://b/x"):
        assert absolute_url(url) == url


def test_a_layout_reader_refuses_unknown_fields_and_splits(tmp_path: Path) -> None:
    root = layouts.write_fire(tmp_path)
    with pytest.raises(DatasetError, match=r"no split 'train'; it has A, P, S, test"):
        open_reader(str(root), "train")
    reader = open_reader(str(root))
    assert isinstance(reader, LayoutReader)
    with pytest.raises(DatasetError, match=r"no field 'flow\.npz'"):
        reader.read(0, ["flow.npz"])
