"""Batches of both kinds: equal shares, loader threads, what is read, damaged samples, augmentation, sequences."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from raylign.methods.errors import DatasetError, InputError
from raylign.methods.geometry import warp_by_homography
from raylign.platform.data import samples as samples_module
from raylign.platform.data.augment import AugmentOptions
from raylign.platform.data.loading import LOADER, Batch, SampleCache, made_ahead
from raylign.platform.data.pairs import TrainingPairs, validation_pairs
from raylign.platform.data.samples import Samples, float_image
from raylign.platform.data.shards import ShardReader
from raylign.platform.data.training import held_out, training_batches
from tests.datasets import png, read_samples, write_pairs, write_planar, write_samples, write_sequences

INPUTS = {"contrast": 0.4, "gamma": 0.5, "saturation": 0.6, "hue": 0.1, "blur": 1.5, "noise": 0.1, "jpeg": 70.0}
EVERYTHING = AugmentOptions(**INPUTS, flip=0.5, displacement=0.05, frames=4)
PLAIN = {"brightness": 0.0, "colour": 0.0}
FRAMES = tuple(f"{k:03d}.png" for k in range(5))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_sequences(tmp_path_factory.mktemp("sequences") / "d", scenes=12, frames=5, size=64)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> str:
    """200 training samples."""
    return write_sequences(tmp_path_factory.mktemp("many") / "d", scenes=300, frames=2, size=24, shard_size=100)


def damage(url: str, folder: Path, keys: list[int], names: tuple[str, ...] = ("001.png",)) -> str:
    """A copy of a dataset with pictures cut off in the middle."""
    samples, info = read_samples(url)
    for key in keys:
        for name in names:
            samples[key][name] = samples[key][name][: len(samples[key][name]) // 2]
    return write_samples(folder, samples, info, shard_size=100)


def assert_equal(batch: Batch, other: Batch) -> None:
    assert list(batch) == list(other)
    for name, value in batch.items():
        assert torch.equal(value.isnan(), other[name].isnan()), name
        assert torch.equal(value.nan_to_num(), other[name].nan_to_num()), name


def joined(parts: list[Batch]) -> Batch:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


# Batches and their parts


@pytest.mark.parametrize("kind", ["pair", "sequence"])
def test_workers_and_parts_make_the_same_step(url: str, kind: str) -> None:
    def parts(world_size: int, accumulate: int) -> list[list[Batch]]:
        made = [
            training_batches(
                kind, url, 40, 8, EVERYTHING, seed=5, rank=rank, world_size=world_size, accumulate=accumulate
            )
            for rank in range(world_size)
        ]
        streams = [list(batches.epoch(1, 3, first_step=1)) for batches in made]
        assert {len(stream) for stream in streams} == {2 * accumulate}
        steps = [slice(step * accumulate, (step + 1) * accumulate) for step in range(2)]
        return [[part for stream in streams for part in stream[step]] for step in steps]

    whole = [step[0] for step in parts(1, 1)]
    assert_equal(whole[0], training_batches(kind, url, 40, 8, EVERYTHING, seed=5).batch(1, 1))
    for world_size, accumulate in [(2, 1), (1, 2), (2, 2), (4, 1)]:
        for step, expected in zip(parts(world_size, accumulate), whole, strict=True):
            assert {len(part["homography" if kind == "pair" else "frames"]) for part in step} == {
                8 // (world_size * accumulate)
            }
            assert_equal(joined(step), expected)


def test_the_share_of_a_worker_is_its_parts(url: str) -> None:
    batches = TrainingPairs(url, 32, 8, EVERYTHING, seed=1, rank=1, world_size=2, accumulate=2)
    assert_equal(batches.batch(0, 0), joined([batches.batch(0, 0, part) for part in range(2)]))


def test_fewer_samples_than_parts_are_refused(url: str) -> None:
    with pytest.raises(InputError, match="a batch of 3 is less than one sample for each of 2 workers and 2 parts"):
        TrainingPairs(url, 32, 3, AugmentOptions(), seed=0, world_size=2, accumulate=2)


# Loader threads


def loaders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(LOADER)]


def test_items_come_in_order_and_errors_at_their_place() -> None:
    def make(number: int) -> int:
        threading.Event().wait(0.01 * (number % 3))
        if number == 7:
            raise KeyError(number)
        return number

    stream = made_ahead(make, 9, loaders=3, depth=4)
    assert [next(stream) for _ in range(7)] == list(range(7))
    with pytest.raises(KeyError):
        next(stream)
    assert not loaders()
    assert list(made_ahead(make, 0)) == []


def test_no_more_than_depth_items_are_made_ahead() -> None:
    made: list[int] = []
    stream = made_ahead(made.append, 100, loaders=2, depth=3)
    next(stream)
    threading.Event().wait(0.2)
    assert sorted(made) == [0, 1, 2]
    stream.close()


def test_closing_an_epoch_stops_its_threads(url: str) -> None:
    stream = TrainingPairs(url, 32, 8, AugmentOptions(), seed=0).epoch(0, 100_000)
    next(stream)
    assert len(loaders()) == 2
    stream.close()
    assert not loaders()


def test_loaders_take_one_thread_each_and_leave_the_training_its_own() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        inside = made_ahead(lambda _: torch.get_num_threads(), 4)
        assert next(inside) == 1
        assert torch.get_num_threads() == 2
        with ThreadPoolExecutor(1) as pool:  # such as autograd's own
            assert pool.submit(torch.get_num_threads).result() == 2
        assert list(inside) == [1, 1, 1]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("gpu", [False, True])
def test_parts_are_pinned_by_the_loaders_where_there_is_a_gpu(
    url: str, gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned: list[str] = []

    def pin_memory(tensor: Tensor) -> Tensor:
        pinned.append(threading.current_thread().name)
        return tensor

    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(Tensor, "pin_memory", pin_memory)
    batches = TrainingPairs(url, 32, 8, AugmentOptions(), seed=0)
    stream = list(batches.epoch(0, 2))
    assert len(pinned) == (2 * len(stream[0]) if gpu else 0)
    assert all(name.startswith(LOADER) for name in pinned)
    assert_equal(stream[1], batches.batch(0, 1))


# What is read and kept


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """Position and suffix of each picture that is decoded from here on."""
    seen: list[tuple[int, str]] = []
    decode = Samples.decode

    def noted(self: Samples, position: int, name: str, content: bytes) -> Tensor:
        seen.append((position, name))
        return decode(self, position, name, content)

    monkeypatch.setattr(Samples, "decode", noted)
    return seen


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Suffix of each field that is read from here on."""
    seen: list[str] = []
    original = ShardReader.read

    def noted(self: ShardReader, position: int, suffixes: list[str]) -> dict[str, bytes]:
        seen.extend(suffixes)
        return original(self, position, suffixes)

    monkeypatch.setattr(ShardReader, "read", noted)
    return seen


def test_pairs_read_two_frames_of_a_sample(
    url: str, decoded: list[tuple[int, str]], read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels: list[str] = []
    decode_picture = samples_module.decode_picture
    monkeypatch.setattr(
        samples_module, "decode_picture", lambda *given: (pixels.append(given[1]), decode_picture(*given))[1]
    )
    batches = TrainingPairs(url, 32, 8, AugmentOptions(same_frame_probability=0), seed=3)
    first = batches.batch(0, 0)
    assert sorted(position for position, _ in decoded) == sorted(2 * list(range(8)))
    assert len(set(decoded)) == len(pixels) == 16
    assert sorted(read) == sorted([name for _, name in decoded] + 8 * ["meta.json"])
    assert "gt.png" not in read
    assert_equal(batches.batch(0, 0), first)
    assert len(pixels) == 16
    batches.batch(1, 0)
    assert 16 < len(pixels) < 32
    assert len(set(decoded)) == len(pixels)
    assert read.count("meta.json") == 8

    decoded.clear()
    options = AugmentOptions(view_probability=1, same_frame_probability=1)
    TrainingPairs(url, 32, 8, options, seed=3).batch(0, 0)
    assert sorted(position for position, _ in decoded) == list(range(8))


def test_sequences_read_their_frames_with_masks_and_truth(
    tmp_path: Path, decoded: list[tuple[int, str]], read: list[str]
) -> None:
    url = write_planar(tmp_path / "d", scenes=6, frames=5, lighting="random")
    batches = training_batches("sequence", url, 32, 2, AugmentOptions(frames=3), seed=0)
    batches.batch(0, 0)
    for position in batches._order(0, 0):
        names = sorted(name for at, name in decoded if at == position)
        frames = [name for name in names if name[:3].isdigit() and "mask" not in name]
        assert len(frames) == 3
        assert frames[0] == "000.png"
        assert names == sorted([*frames, *(f"{name[:3]}.mask.png" for name in frames), "gt.png"])
    assert len(decoded) == 14
    assert sorted(read) == sorted([name for _, name in decoded] + 2 * ["meta.json"])


def test_held_out_pairs_read_no_more_than_they_show(url: str, decoded: list[tuple[int, str]], read: list[str]) -> None:
    assert len(validation_pairs(url, "val", 32, 5)["source"]) == 5
    assert [name for at, name in decoded if at == 0] == [f"{k:03d}.png" for k in range(4)]
    assert [name for at, name in decoded if at == 1] == [f"{k:03d}.png" for k in range(3)]


def test_the_least_recently_used_pictures_are_dropped(url: str, decoded: list[tuple[int, str]]) -> None:
    cache = SampleCache(url, "train")
    cache._limit = 3 * 3 * 64 * 64
    cache.get(0, [0, 1])
    cache.get(1, [2])
    cache.get(0, [0])
    assert cache._bytes == cache._limit
    decoded.clear()
    loaded = cache.get(2, [4])
    assert list(cache._kept) == [(1, "002.png"), (0, "000.png"), (2, "004.png")]
    cache.get(0, [0])
    cache.get(1, [2])
    assert decoded == [(2, "004.png")]
    assert torch.equal(cache.get(0, [1]).frames[0], Samples(url, "train")[0].frames[1])
    assert list(cache._kept) == [(0, "000.png"), (1, "002.png"), (0, "001.png")]
    assert loaded.gt is None
    assert loaded.masks is None

    whole = cache.get(3, range(5), gt=True)  # more than the cache may hold
    sample = Samples(url, "train")[3]
    assert all(torch.equal(*each) for each in zip(whole.frames, sample.frames, strict=True))
    assert torch.equal(whole.gt, sample.gt)
    assert torch.equal(whole.homography(1, 4), sample.homography(1, 4))
    assert len(cache._kept) == 3

    nothing = SampleCache(url, "train", limit_mb=0)
    assert len(nothing.get(0, [3, 3]).frames) == 2
    assert not nothing._kept
    assert nothing._bytes == 0


def test_the_cache_keeps_its_books_under_many_threads(url: str) -> None:
    cache, samples = SampleCache(url, "train"), list(Samples(url, "train"))
    cache._limit = 7 * 3 * 64 * 64

    def right(number: int) -> bool:
        position, a, b = number % len(cache), number % 5, number // 3 % 5
        loaded = cache.get(position, [a, b])
        frames, homography = samples[position].frames, samples[position].homography(a, b)
        same = [torch.equal(found, frames[at]) for found, at in zip(loaded.frames, (a, b), strict=True)]
        return all(same) and torch.equal(loaded.homography(a, b), homography)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(right, range(800)))
    assert len(cache._kept) == 7
    assert cache._bytes == sum(picture.nbytes for picture in cache._kept.values()) == cache._limit


@pytest.mark.parametrize("kind", ["pair", "sequence"])
def test_a_share_of_the_samples_is_drawn_by_the_seed_and_part_of_a_larger_share(many: str, kind: str) -> None:
    def taken(share: float, seed: int = 4) -> set[int]:
        batches = training_batches(kind, many, 24, 8, AugmentOptions(frames=2), seed=seed, data_share=share)
        assert batches.steps_per_epoch == round(share * 200) // 8
        return {position for step in range(25) for position in batches._order(0, step)}

    half = taken(0.5)
    assert len(half) == 100
    assert half != set(range(100)), "the first scenes may be of one place"
    assert taken(0.2) < half < taken(0.9) < taken(1) == set(range(200))
    assert taken(0.5, seed=5) != half


@pytest.mark.parametrize("kind", ["pair", "sequence"])
def test_what_was_read_before_changes_no_batch(url: str, kind: str) -> None:
    make = lambda: training_batches(kind, url, 32, 4, AugmentOptions(frames=3), seed=8)  # noqa: E731
    fresh = [make().batch(1, step) for step in range(6)]
    warm, small = make(), make()
    small._cache._limit = 4 * 3 * 64 * 64
    for _ in warm.epoch(0, 6):
        pass
    for batches in (warm, small):
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda step, batches=batches: batches.batch(1, step), range(6)))
        for batch, expected in zip(found, fresh, strict=True):
            assert_equal(batch, expected)
    assert small._cache._bytes <= small._cache._limit


# Damaged samples


def test_a_damaged_sample_is_left_out(many: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make = lambda url, **share: TrainingPairs(url, 16, 8, AugmentOptions(), seed=2, **share)  # noqa: E731
    order = make(many)._order(0, 0)
    assert order[3] < 199
    bad = damage(many, tmp_path / "d", [order[3]])
    batches, sound = make(bad), make(many)
    batch, expected = batches.batch(0, 0), sound.batch(0, 0)
    key = f"{order[3]:06d}"
    assert list(batches.damaged) == [key]
    assert "damaged picture" in batches.damaged[key]
    rest = [row for row, position in enumerate(order) if position != order[3]]
    assert_equal({n: v[rest] for n, v in batch.items()}, {n: v[rest] for n, v in expected.items()})
    # The next sample stands in, under the very random numbers of the damaged one.
    sound._order = lambda *_: [position + (position == order[3]) for position in order]
    assert_equal(batch, sound.batch(0, 0))
    assert_equal(batch, joined([make(bad, rank=rank, world_size=4).batch(0, 0) for rank in range(4)]))
    assert not sound.damaged

    caplog.clear()
    again = make(bad)
    for _ in again.epoch(0, again.steps_per_epoch):
        pass
    assert [record.getMessage().split(" is ")[0] for record in caplog.records] == [f"raylign: warning: sample {key}"]


def test_a_sample_is_used_where_its_damaged_frame_is_not(url: str, tmp_path: Path) -> None:
    samples, info = read_samples(url)
    samples = [dict(samples[index % 8]) for index in range(120)]
    for name in ("003.png", "004.png"):  # the sample that stands in has fewer frames than the damaged one
        samples[41].pop(name)
    samples[41]["meta.json"] = b"{}"
    whole = write_samples(tmp_path / "whole", samples, info | {"splits": {"train": [0, 120]}}, shard_size=60)
    bad = damage(whole, tmp_path / "bad", [40])
    make = lambda url: TrainingPairs(url, 16, 32, AugmentOptions(same_frame_probability=0.3), seed=6)  # noqa: E731
    sound, batches, again = make(whole), make(bad), make(bad)
    asked: list[list[int]] = []
    get = sound._cache.get
    sound._cache.get = lambda at, numbers, **given: (asked.append(list(numbers)), get(at, numbers, **given))[1]

    sound._order = batches._order = again._order = lambda *_: [40] * 32
    sound.batch(0, 0)
    touched = [1 in numbers for numbers in asked]
    assert 5 < sum(touched) < 27
    sound._order = lambda *_: [41 if each else 40 for each in touched]
    expected = sound.batch(0, 0)
    assert_equal(batches.batch(0, 0), expected)
    assert list(batches.damaged) == ["000040"]
    assert_equal(batches.batch(0, 0), expected)
    # The damage was met before any batch, and every sound frame was read.
    again._cache.good(40, lambda _: [1])
    for number in (0, 2, 3, 4):
        again._cache.get(40, [number])
    assert list(again.damaged) == ["000040"]
    assert_equal(again.batch(0, 0), expected)


def test_a_damaged_truth_matters_to_those_who_ask_for_it(url: str, tmp_path: Path) -> None:
    bad = damage(url, tmp_path / "d", list(range(12)), ("gt.png",))
    options = AugmentOptions(frames=3)
    batch = training_batches("pair", bad, 32, 8, options, seed=5).batch(0, 0)
    assert_equal(batch, training_batches("pair", url, 32, 8, options, seed=5).batch(0, 0))
    with pytest.raises(DatasetError, match="1 of 8"):
        training_batches("sequence", bad, 32, 8, options, seed=5).batch(0, 0)


def test_a_mask_unlike_its_frame_is_damage(tmp_path: Path) -> None:
    url = write_planar(tmp_path / "d", scenes=6, lighting="random")
    samples, info = read_samples(url)
    samples[1]["000.mask.png"] = png(np.zeros((8, 9), np.uint8))
    cache = SampleCache(write_samples(tmp_path / "bad", samples, info), "train", masks=True)
    assert cache.has_masks
    assert len(cache.get(1, [1, 2]).masks) == 2
    with pytest.raises(DatasetError, match=r"sample 000001 of .*, 000\.mask\.png: 9 x 8 pixels, unlike its frame"):
        cache.get(1, [0, 1])


def test_too_many_damaged_samples_are_refused(many: str, tmp_path: Path) -> None:
    batches = TrainingPairs(damage(many, tmp_path / "d", [5, 60, 199]), 16, 8, AugmentOptions(), seed=2)
    with pytest.raises(DatasetError, match=r"3 of 200 \(000005, 000060, 000199\).*'raylign data verify .*d'") as caught:
        for _ in batches.epoch(0, batches.steps_per_epoch):
            pass
    assert "\n" not in str(caught.value)
    assert not loaders()
    with pytest.raises(DatasetError, match="3 of 200"):
        batches.batch(0, 0)


def test_one_damaged_sample_of_a_few_is_too_many(url: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"1 of 8 \(000002\)"):
        list(TrainingPairs(damage(url, tmp_path / "d", [2], FRAMES), 16, 8, AugmentOptions(), seed=2).epoch(0, 1))
    with pytest.raises(DatasetError, match=r"1 of 2 \(000009\)"):
        validation_pairs(damage(url, tmp_path / "v", [9]), "val", 16, 8)


def test_a_truncated_shard_counts_as_damaged(many: str, tmp_path: Path) -> None:
    samples, info = read_samples(many)
    bad = write_samples(tmp_path / "d", samples[:200], info | {"splits": {"train": [0, 200]}}, shard_size=100)
    shard = tmp_path / "d" / "shards" / "000001.tar"
    shard.write_bytes(shard.read_bytes()[:-30_000])
    with pytest.raises(DatasetError, match="of 200"):
        list(TrainingPairs(bad, 16, 8, AugmentOptions(), seed=2).epoch(0, 25))


@pytest.mark.parametrize("kind", ["pair", "sequence"])
@pytest.mark.parametrize(("option", "value"), list(INPUTS.items()))
def test_each_change_of_the_inputs_leaves_the_pictures_alone(url: str, kind: str, option: str, value: float) -> None:
    twins = {"pair": {"reference_input": "reference", "source_input": "source"}, "sequence": {"inputs": "frames"}}[kind]
    base = training_batches(kind, url, 40, 4, AugmentOptions(**PLAIN, frames=3), seed=1).batch(0, 0)
    options = AugmentOptions(**PLAIN, frames=3, **{option: value})
    batch = training_batches(kind, url, 40, 4, options, seed=1).batch(0, 0)
    for name, original in twins.items():
        assert torch.equal(batch[original], base[original])
        if kind == "pair":
            assert torch.equal(base[name], base[original])
        else:
            assert name not in base
        assert batch[name].shape == batch[original].shape
        assert batch[name].dtype == torch.float32
        assert 0 <= batch[name].min() <= batch[name].max() <= 1
        change = (batch[name] - batch[original]).abs().flatten(1).mean(1)
        assert (change > 0).all()
        assert change.mean() > 5e-4
        assert change.max() < 0.25


# Sequences


def relative_error(reference: Tensor, source: Tensor, homography: Tensor) -> Tensor:
    """Mean absolute difference in the overlap after a gain per picture is taken out."""
    warped, mask = warp_by_homography(source, homography, reference.shape[-2:])
    mask = (mask > 0.999).float()
    count = 3 * mask.sum((1, 2, 3), keepdim=True)
    gain = (reference * mask).sum((1, 2, 3), keepdim=True) / (warped * mask).sum((1, 2, 3), keepdim=True)
    return (((warped * gain - reference).abs() * mask).sum((1, 2, 3), keepdim=True) / count).flatten()


def test_sequences_have_frames_truth_and_homographies(url: str) -> None:
    options = AugmentOptions(frames=4, flip=0.5)
    batch = training_batches("sequence", url, 48, 8, options, seed=4).batch(0, 0)
    shapes = {name: tuple(value.shape) for name, value in batch.items()}
    assert shapes == {
        "frames": (8, 4, 3, 48, 48),
        "truth": (8, 3, 48, 48),
        "homographies": (8, 4, 3, 3),
        "inputs": (8, 4, 3, 48, 48),
        "seed": (8,),
    }
    assert batch["homographies"].dtype == torch.float64
    torch.testing.assert_close(batch["homographies"][:, 0], torch.eye(3, dtype=torch.float64).expand(8, 3, 3))
    reference = batch["frames"][:, :1].expand(8, 3, 3, 48, 48).flatten(0, 1)
    others, matrices = batch["frames"][:, 1:].flatten(0, 1), batch["homographies"][:, 1:].flatten(0, 1)
    aligned = relative_error(reference, others, matrices)
    identity = relative_error(reference, others, torch.eye(3).double().expand(24, 3, 3))
    assert aligned.mean() < 0.3 * identity.mean()
    still = torch.eye(3).double().expand(8, 3, 3)
    assert relative_error(batch["truth"], batch["frames"][:, 0], still).max() < 0.01


def test_other_frames_are_drawn_without_repetition(url: str) -> None:
    batches = training_batches("sequence", url, 64, 8, AugmentOptions(view_probability=0, frames=4), seed=4)
    samples = Samples(url, "train")
    seen = set()
    for step in range(3):
        batch = batches.batch(0, step)
        for row, position in enumerate(batches._order(0, step)):
            stored = samples[position].homographies
            distance = (batch["homographies"][row][:, None] - stored[None]).abs().amax((2, 3))
            assert distance.min(1).values.max() < 1e-9
            numbers = distance.argmin(1).tolist()
            assert numbers[0] == 0
            assert len(set(numbers)) == 4
            seen.add(tuple(numbers))
            frame = float_image(samples[position].frames[numbers[2]])
            torch.testing.assert_close(batch["frames"][row, 2], frame, atol=1e-4, rtol=0)
    assert len(seen) > 8


def test_masks_lie_on_the_occluders(tmp_path: Path) -> None:
    url = write_planar(tmp_path / "d", scenes=6, lighting="random")
    batch = training_batches("sequence", url, 64, 4, AugmentOptions(frames=3), seed=0).batch(0, 0)
    masks = batch["masks"]
    assert masks.shape == (4, 3, 1, 64, 64)
    assert 0 <= masks.min() <= masks.max() <= 1
    assert not masks[:, 0].any()
    on = (masks > 0.999).expand_as(batch["frames"])
    colour = torch.tensor([200, 60, 40]).div(255).view(3, 1, 1).expand_as(batch["frames"])
    assert on.any()
    torch.testing.assert_close(batch["frames"][on], colour[on], atol=1e-3, rtol=0)
    assert "masks" in held_out("sequence", url, "val", 32, 4, 3)


def test_unknown_homographies_are_nan(url: str, tmp_path: Path) -> None:
    samples, info = read_samples(url)
    for each in samples:
        each["meta.json"] = b"{}"
    bare = write_samples(tmp_path / "d", samples, info)
    batch = training_batches("sequence", bare, 32, 4, AugmentOptions(frames=3), seed=0).batch(0, 0)
    assert batch["homographies"][:, 1:].isnan().all()
    assert batch["frames"].isfinite().all()


def test_held_out_sequences_are_whole_frames(url: str) -> None:
    batch = held_out("sequence", url, "val", 64, 8, 3)
    assert set(batch) == {"frames", "truth", "homographies"}
    samples = Samples(url, "val")
    assert len(batch["frames"]) == len(samples) == 2
    for row in range(2):
        frames = torch.stack([float_image(frame) for frame in samples[row].frames[:3]])
        torch.testing.assert_close(batch["frames"][row], frames, atol=1e-4, rtol=0)
        torch.testing.assert_close(batch["truth"][row], float_image(samples[row].gt), atol=1e-4, rtol=0)
        torch.testing.assert_close(batch["homographies"][row], samples[row].homographies[:3])
    assert len(held_out("sequence", url, "train", 32, 3, 3)["truth"]) == 3


# What cannot be used


def test_pairs_are_refused_where_sequences_are_needed(tmp_path: Path) -> None:
    url = write_pairs(tmp_path / "d", scenes=4, size=32)
    with pytest.raises(DatasetError, match=r"holds pairs.*trains on sequences.*'raylign render sidar'"):
        training_batches("sequence", url, 32, 2, AugmentOptions(), seed=0)
    with pytest.raises(DatasetError, match="trains on sequences"):
        held_out("sequence", url, "val", 32, 2, 2)
    assert training_batches("pair", url, 32, 2, AugmentOptions(), seed=0).batch(0, 0)["source"].shape == (2, 3, 32, 32)


def test_too_few_frames_and_no_truth_are_told(url: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"has 5 frames, not 10; set --augment.frames 5"):
        training_batches("sequence", url, 32, 4, AugmentOptions(), seed=0)
    samples, info = read_samples(url)
    for each in samples:
        each.pop("gt.png")
    bare = write_samples(tmp_path / "d", samples, info)
    with pytest.raises(DatasetError, match="no ground truth picture"):
        held_out("sequence", bare, "val", 32, 4, 3)


@pytest.mark.parametrize("kind", ["pair", "sequence"])
def test_an_empty_split_is_told(url: str, tmp_path: Path, kind: str) -> None:
    samples, info = read_samples(url)
    empty = write_samples(tmp_path / "d", samples, info | {"splits": {"train": [0, 0], "test": [0, 12]}})
    with pytest.raises(DatasetError, match=r"the split 'train' of .* is empty; render more scenes"):
        training_batches(kind, empty, 32, 4, EVERYTHING, seed=0)
    with pytest.raises(DatasetError, match="no split 'val'"):
        held_out(kind, empty, "val", 32, 4, 3)


def test_pairs_need_two_frames(url: str, tmp_path: Path) -> None:
    single = write_sequences(tmp_path / "d", frames=1, size=32)
    with pytest.raises(DatasetError, match="pairs need two"):
        held_out("pair", single, "val", 32, 4, 2)
