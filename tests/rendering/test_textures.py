"""What scenes show: paintings with structure everywhere, pictures kept apart between the splits."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raylign.methods.errors import InputError
from raylign.platform.images import check_whole
from raylign.rendering.paintings import FAMILIES, paint
from raylign.rendering.pictures import BUNDLED, bundled_folder, list_pictures, sound_pictures
from raylign.rendering.splits import split_of, split_ranges
from raylign.rendering.textures import (
    PaintingSpec,
    PictureSpec,
    plan_textures,
    share_out,
    texture_image,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(rng.integers(0, 255, (40, 60, 3), np.uint8)).save(tmp_path / f"{number:02d}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


@pytest.mark.parametrize("family", FAMILIES)
def test_paintings_repeat_and_differ(family: str) -> None:
    first = paint(family, 1, 96, 64)
    assert first.shape == (64, 96, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, paint(family, 1, 96, 64))
    assert np.abs(first.astype(int) - paint(family, 2, 96, 64)).mean() > 10


@pytest.mark.parametrize("family", FAMILIES)
def test_paintings_have_structure_everywhere(family: str) -> None:
    """Every sixteenth of the side squared has contrast, in most of them strong edges."""
    for seed in range(5):
        grey = paint(family, seed, 128, 128).astype(np.float32).mean(axis=2)
        contrast = grey.reshape(8, 16, 8, 16).std(axis=(1, 3))
        assert contrast.min() > 2
        assert np.median(contrast) > 8


@pytest.mark.parametrize("family", FAMILIES)
def test_no_place_of_a_painting_looks_like_another(family: str) -> None:
    """Patches correlate with themselves and with no other patch of the picture."""
    grey = paint(family, 3, 128, 128).astype(np.float64).mean(axis=2)
    patches = grey.reshape(4, 32, 4, 32).swapaxes(1, 2).reshape(16, -1)
    patches -= patches.mean(axis=1, keepdims=True)
    patches /= np.linalg.norm(patches, axis=1, keepdims=True)
    likeness = patches @ patches.T - np.eye(16)
    assert likeness.max() < 0.8


@pytest.mark.parametrize("family", FAMILIES)
def test_a_painting_is_quick(family: str) -> None:
    paint(family, 0, 512, 512)
    start = time.process_time()
    for seed in range(3):
        paint(family, seed, 512, 512)
    # About 25 to 55 ms on an idle core; the bound leaves room for a busy machine.
    assert (time.process_time() - start) / 3 < 0.25


def test_the_bundled_pictures_are_in_the_wheel() -> None:
    for name in BUNDLED:
        check_whole(bundled_folder() / name, name)


def test_paintings_belong_to_one_scene() -> None:
    splits = split_ranges(200, 0.1, 0.1)
    textures, _, _ = plan_textures(0.25, (0.6, 1.0), splits, None)
    chosen = [textures.choose(0, index) for index in range(200)]
    seeds = [each.seed for each in chosen if isinstance(each, PaintingSpec)]
    assert len(set(seeds)) == len(seeds)
    assert 20 < len(chosen) - len(seeds) < 80
    assert chosen == [textures.choose(0, index) for index in range(200)]


@pytest.mark.parametrize("scenes", [12, 100, 1000])
@pytest.mark.parametrize("own", [False, True])
def test_held_out_scenes_show_pictures_of_their_own(folder: Path, scenes: int, own: bool) -> None:
    splits = split_ranges(scenes, 0.1, 0.1)
    textures, _, _ = plan_textures(1.0, (0.6, 1.0), splits, str(folder) if own else None)
    shown: dict[str, set[str]] = {name: set() for name in splits}
    for index in range(scenes):
        texture = textures.choose(1, index)
        assert isinstance(texture, PictureSpec)
        shown[split_of(splits, index)].add(texture.picture)
    assert not shown["train"] & shown["val"]
    assert not shown["train"] & shown["test"]
    assert not shown["val"] & shown["test"]
    assert all(shown.values())


def test_all_pictures_of_a_split_come_before_one_comes_again(folder: Path) -> None:
    splits = split_ranges(24, 0.1, 0.1)
    textures, _, _ = plan_textures(0.25, (0.6, 1.0), splits, str(folder))
    names = textures.pictures["train"]
    chosen = [textures.choose(0, index) for index in range(len(names))]
    assert {each.picture for each in chosen if isinstance(each, PictureSpec)} == set(names)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 100])
def test_pictures_are_shared_out_completely(count: int) -> None:
    names = [f"{number}.png" for number in range(count)]
    shared = share_out(names, split_ranges(50, 0.1, 0.1))
    assert [name for part in shared.values() for name in part] == names
    assert shared["train"]
    if count >= 3:
        assert all(shared.values())


def test_a_split_without_pictures_shows_paintings(folder: Path) -> None:
    for name in list_pictures(str(folder))[1:]:
        (folder / name).unlink()
    textures, _, _ = plan_textures(0.25, (0.6, 1.0), split_ranges(10, 0.1, 0.1), str(folder))
    assert isinstance(textures.choose(0, 0), PictureSpec)
    assert isinstance(textures.choose(0, 9), PaintingSpec)


def test_a_folder_is_listed_in_order(folder: Path) -> None:
    assert list_pictures(str(folder)) == [f"{number:02d}.png" for number in range(12)]
    _, before, _ = plan_textures(0.25, (0.6, 1.0), split_ranges(10, 0.1, 0.1), str(folder))
    (folder / "03.png").unlink()
    _, after, _ = plan_textures(0.25, (0.6, 1.0), split_ranges(10, 0.1, 0.1), str(folder))
    assert before != after


def test_pictures_that_cannot_be_used_are_passed_over_and_counted(tmp_path: Path) -> None:
    """Broken, empty, huge, tiny, deep and foreign files; grey, palette, CMYK, 16-bit and transparent ones are fine."""
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(colour).save(tmp_path / "sound.png")
    Image.fromarray(colour).convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(colour[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(colour).quantize(16).save(tmp_path / "palette.png")
    Image.fromarray(np.dstack([colour, colour[..., 0]])).save(tmp_path / "transparent.png")
    Image.fromarray(colour).convert("L").save(tmp_path / "grey.tif")
    sound = {each.name for each in tmp_path.iterdir()}

    whole = (tmp_path / "sound.png").read_bytes()
    (tmp_path / "truncated.png").write_bytes(whole[: len(whole) // 2])
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    (tmp_path / "damaged.png").write_bytes(damaged)
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a picture")
    Image.fromarray(colour[:8, :8]).save(tmp_path / "tiny.png")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "huge.png")
    Image.fromarray(colour[..., 0].astype(np.float32)).save(tmp_path / "float.tif")
    (tmp_path / "notes.txt").write_text("of no interest")

    textures, identity, refused = plan_textures(0.25, (0.6, 1.0), split_ranges(9, 0.1, 0.1), str(tmp_path))
    assert {name for names in textures.pictures.values() for name in names} == sound
    assert set(refused) == {
        *("truncated.png", "damaged.png", "empty.jpg", "text.jpg", "tiny.png", "huge.png", "float.tif")
    }
    assert all(name in reason for name, reason in refused.items())
    assert identity["pictures"] == len(sound)
    for name in sound:
        shown = texture_image(PictureSpec(name, (1.0, 0.0, 0.0)), str(tmp_path), 40, 40)
        assert np.asarray(shown).std() > 10


def test_depth_of_colour_and_transparency_come_out_right(tmp_path: Path) -> None:
    half = np.full((64, 64), 0x8000, np.uint16)
    Image.fromarray(half).save(tmp_path / "deep.png")
    clear = np.full((64, 64, 4), 200, np.uint8)
    clear[..., 3] = 0
    Image.fromarray(clear).save(tmp_path / "clear.png")
    for name, level in (("deep.png", 128), ("clear.png", 0)):
        shown = np.asarray(texture_image(PictureSpec(name, (1.0, 0.0, 0.0)), str(tmp_path), 40, 40))
        assert abs(int(shown.mean()) - level) <= 1


def test_a_folder_without_any_usable_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    with pytest.raises(InputError, match=r"none of 1 pictures can be used; broken\.jpg"):
        plan_textures(0.25, (0.6, 1.0), split_ranges(9, 0.1, 0.1), str(tmp_path))


def test_of_very_many_pictures_a_part_is_looked_at(folder: Path) -> None:
    names = [f"{number % 12:02d}.png" for number in range(1000)]
    sound, _ = sound_pictures(str(folder), names, wanted=1)
    assert len(sound) == len(names[:: 1000 // 68])
    assert sound == sound_pictures(str(folder), names, wanted=1)[0]


def test_textures_are_band_limited() -> None:
    """Twice as many texels as pixels, and next to nothing left above the frame's Nyquist frequency."""
    image = np.asarray(texture_image(PaintingSpec("mosaic", 3), None, 64, 64), np.float64).mean(axis=2)
    assert image.shape == (128, 128)
    window = np.hanning(128)
    spectrum = np.abs(np.fft.fft2((image - image.mean()) * window * window[:, None])) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    # A frequency of 0.25 per texel is 0.5 per pixel.
    assert spectrum[frequency > 0.25].sum() < 0.01 * spectrum.sum()


def test_a_part_of_a_picture_has_the_right_aspect(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(200, dtype=np.uint8), (100, 1))
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    image = np.asarray(texture_image(PictureSpec("ramp.png", (0.5, 1.0, 0.0)), str(tmp_path), 40, 40))
    assert image.shape == (80, 80, 3)
    # Half of the largest square (100), at the right end: columns 150 to 199.
    assert abs(int(image[40, 0, 0]) - 150) <= 2
    assert abs(int(image[40, -1, 0]) - 199) <= 2


def test_a_picture_that_is_not_seen_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not see"):
        texture_image(PictureSpec("gone.png", (1.0, 0.0, 0.0)), str(tmp_path), 40, 40)


@pytest.mark.parametrize("scenes", [1, 2, 3, 4, 5, 9, 10, 100, 101])
@pytest.mark.parametrize("fractions", [(0.1, 0.1), (0.0, 0.2), (0.3, 0.0), (0.45, 0.45), (0.0, 0.0)])
def test_splits_cover_all_scenes(scenes: int, fractions: tuple[float, float]) -> None:
    ranges = split_ranges(scenes, *fractions)
    covered = [index for first, end in ranges.values() for index in range(first, end)]
    assert covered == list(range(scenes))
    assert "train" in ranges
    if scenes >= 3:
        assert set(ranges) == {"train"} | {name for name, part in zip(("val", "test"), fractions, strict=True) if part}
