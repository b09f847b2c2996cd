"""Pairs with their truth: what batches hold, who is refused, how it is validated; stages and the best epoch."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from raylign.methods import registry
from raylign.methods.aligner import Alignment
from raylign.methods.errors import DatasetError
from raylign.methods.geometry import warp_by_homography
from raylign.platform.cli import main
from raylign.platform.data.augment import AugmentOptions
from raylign.platform.data.loading import DYNAMIC
from raylign.platform.data.pairs import TrainingPairs, validation_pairs
from raylign.platform.data.samples import Samples, float_image
from raylign.platform.data.training import held_out, training_batches
from raylign.platform.training.history import BEST, best_epoch, score
from raylign.platform.training.loop import train
from raylign.platform.training.options import LoopOptions, TrainingSpec
from raylign.platform.training.panel import Panel
from raylign.platform.training.reporter import PlainReporter, Watched
from raylign.platform.training.validation import validate
from tests.datasets import png, read_samples, texture, write_moving, write_samples, write_sequences
from tests.methods.toy import Toy, ToyConfig

FIELDS = ("truth", "dynamic")
PLAIN = {"brightness": 0.0, "colour": 0.0}
WHOLE = {"view_probability": 0.0}
COLOURS = {"contrast": 0.6, "gamma": 0.5, "saturation": 0.6, "hue": 0.1}
GRAIN = {"blur": 1.5, "noise": 0.1, "jpeg": 70.0, "degradation": 1.0}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_moving(tmp_path_factory.mktemp("moving") / "d", scenes=12, size=96)


@pytest.fixture(scope="module")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_sequences(tmp_path_factory.mktemp("sequences") / "d", scenes=12, size=48)


# Batches


def test_the_truth_is_what_the_source_shows_from_the_reference(url: str) -> None:
    options = AugmentOptions(**PLAIN, same_frame_probability=0.3, flip=0.5)
    batch = TrainingPairs(url, 64, 16, options, fields=FIELDS, seed=3).batch(0, 0)
    truth, moving = batch["truth"], batch["dynamic"]

    def error(homography: Tensor) -> Tensor:
        warped, mask = warp_by_homography(batch["source"], homography, (64, 64))
        sure = (mask > 0.999).float()
        return ((warped - truth).abs() * sure).sum((1, 2, 3)) / (3 * sure.sum((1, 2, 3)))

    aligned = error(batch["homography"])
    assert aligned.max() < 0.025
    assert aligned.mean() < 0.3 * error(torch.eye(3).double().expand(16, 3, 3)).mean()
    # The reference shows another moment, and only where the mask says so.
    other = (batch["reference"] - truth).abs().amax(1, keepdim=True)
    assert set(moving.unique().tolist()) == {0.0, 1.0}
    assert other[moving == 1].mean() > 2 * other[moving == 0].mean()
    assert (other[moving == 1] > 0.25).float().mean() > 0.5
    assert (other[moving == 0] > 0.25).float().mean() < 0.02


def test_frames_stay_in_their_order_and_whole_views_are_the_pictures(url: str) -> None:
    pairs = TrainingPairs(url, 96, 8, AugmentOptions(**PLAIN, **WHOLE), fields=FIELDS, seed=1)
    mirrored = TrainingPairs(url, 96, 8, AugmentOptions(**PLAIN, **WHOLE, flip=1.0), fields=FIELDS, seed=1).batch(0, 0)
    batch, samples = pairs.batch(0, 0), Samples(url, "train")
    for row, position in enumerate(pairs._order(0, 0)):
        sample, moves = samples[position], samples.truth(position, ("dynamic",)).dynamic
        pictures = (*sample.frames, sample.gt)
        for name, pixels in zip(("reference", "source", "truth"), pictures, strict=True):
            torch.testing.assert_close(batch[name][row], float_image(pixels), atol=1e-4, rtol=0)
        assert torch.equal(batch["dynamic"][row, 0] == 1, moves)
    for name in FIELDS:
        torch.testing.assert_close(mirrored[name], batch[name].flip(-1), atol=0, rtol=0)


def test_one_frame_twice_is_its_own_truth_and_nothing_moves(url: str) -> None:
    options = {**PLAIN, "view_probability": 1.0, "same_frame_probability": 1.0, "flip": 0.5}
    make = lambda **more: TrainingPairs(url, 48, 8, AugmentOptions(**options, **more), fields=FIELDS, seed=4)  # noqa: E731
    batch = make().batch(0, 0)
    torch.testing.assert_close(batch["truth"], batch["reference"], atol=1e-6, rtol=0)
    assert not batch["dynamic"].any()
    moved = make(displacement=0.1).batch(0, 0)
    assert not torch.equal(moved["source"], batch["source"])
    assert torch.equal(moved["truth"], batch["truth"])


def half_true(index: int) -> dict[str, bytes]:
    """The left half of the source is that of the truth, the right half is bright."""
    truth = texture(np.random.default_rng(index), 64)
    source = truth.copy()
    source[:, 32:] = 255 - source[:, 32:] // 4
    return {"ref.png": png(truth), "src.png": png(source), "gt.png": png(truth), "meta.json": b"{}"}


def test_the_truth_has_the_colours_of_the_source_and_none_of_its_faults(tmp_path: Path) -> None:
    info = {"kind": "pair", "generator": "test", "splits": {"train": [0, 8]}, "fields": []}
    half = write_samples(tmp_path / "d", [half_true(k) for k in range(8)], info)
    make = lambda **more: TrainingPairs(half, 64, 8, AugmentOptions(**WHOLE, **more), fields=("truth",), seed=2)  # noqa: E731
    batch = make(**COLOURS).batch(0, 0)
    assert "dynamic" not in batch
    torch.testing.assert_close(batch["truth"][..., :31], batch["source_input"][..., :31], atol=1e-3, rtol=0)
    change = (batch["truth"] - make(**PLAIN).batch(0, 0)["truth"]).abs().mean((1, 2, 3))
    assert change.max() > 0.05
    faulty = make(**COLOURS, **GRAIN).batch(0, 0)
    assert torch.equal(faulty["truth"], batch["truth"])
    assert not torch.equal(faulty["source_input"], batch["source_input"])


@pytest.mark.parametrize(("generator", "expected"), [("test", math.nan), ("parallax", 0.0)])
def test_what_is_not_known_to_move_is_nan_unless_nothing_does(
    url: str, tmp_path: Path, generator: str, expected: float
) -> None:
    samples, info = read_samples(url)
    for each in samples[::2]:
        each.pop(DYNAMIC)
    some = write_samples(tmp_path / "d", samples, info | {"generator": generator})
    pairs = TrainingPairs(some, 32, 8, AugmentOptions(same_frame_probability=0), fields=FIELDS, seed=0)
    batch = pairs.batch(0, 0)
    for row, position in enumerate(pairs._order(0, 0)):
        found = batch["dynamic"][row]
        if position % 2 == 0:
            torch.testing.assert_close(found, torch.full_like(found, expected), equal_nan=True)
        else:
            assert found.any()
            assert found.isfinite().all()


def test_workers_share_one_batch_with_its_truth(url: str) -> None:
    options = AugmentOptions(**COLOURS, flip=0.5)
    whole = TrainingPairs(url, 32, 8, options, fields=FIELDS, seed=5).batch(0, 1)
    parts = [
        TrainingPairs(url, 32, 8, options, fields=FIELDS, seed=5, rank=rank, world_size=2).batch(0, 1)
        for rank in range(2)
    ]
    for name in ("truth", "dynamic", "source_input"):
        assert torch.equal(torch.cat([part[name] for part in parts]), whole[name])


def test_the_truth_is_decoded_for_those_who_ask_and_counted(url: str) -> None:
    options = AugmentOptions(same_frame_probability=0)
    for fields, more in (((), set()), (FIELDS, {"gt.png", DYNAMIC})):
        pairs = TrainingPairs(url, 32, 8, options, fields=fields, seed=0)
        pairs.batch(0, 0)
        kept = pairs._cache._kept
        assert {name for _, name in kept} == {"ref.png", "src.png"} | more
        assert pairs._cache._bytes == sum(each.nbytes for each in kept.values())
    assert pairs._cache._bytes == 8 * (3 * 3 + 1) * 96 * 96


def test_held_out_pairs_have_the_truth_as_it_is(url: str) -> None:
    batch = held_out("pair", url, "val", 96, 8, 2, FIELDS)
    assert set(batch) == {"reference", "source", "homography", *FIELDS}
    samples = Samples(url, "val")
    assert len(batch["truth"]) == len(samples) == 2
    for row in range(2):
        torch.testing.assert_close(batch["truth"][row], float_image(samples[row].gt), atol=1e-4, rtol=0)
        assert torch.equal(batch["dynamic"][row, 0] == 1, samples.truth(row, ("dynamic",)).dynamic)
    assert set(validation_pairs(url, "val", 32, 8)) == {"reference", "source", "homography"}


@pytest.mark.parametrize(("kind", "told"), [("sequence", "holds sequences"), ("pair", "no ground truth picture")])
def test_data_without_truth_are_refused(url: str, sequences: str, tmp_path: Path, kind: str, told: str) -> None:
    samples, info = read_samples(url)
    for each in samples:
        each.pop("gt.png")
    wrong = sequences if kind == "sequence" else write_samples(tmp_path / "d", samples, info)
    match = rf"{told}.*'raylign render dsia'"
    with pytest.raises(DatasetError, match=match) as caught:
        training_batches("pair", wrong, 32, 2, AugmentOptions(), fields=FIELDS, seed=0)
    assert "\n" not in str(caught.value)
    with pytest.raises(DatasetError, match=match):
        held_out("pair", wrong, "val", 32, 2, 2, FIELDS)
    assert len(training_batches("pair", wrong, 32, 2, AugmentOptions(), seed=0).batch(0, 0)["source"]) == 2


@pytest.mark.parametrize(
    ("method", "epochs", "told"),
    [("dmaligner", 9, "holds sequences"), ("diar", 1, "--loop.epochs 1 is too few for the 2 stages")],
)
def test_the_command_refuses_before_anything_starts(
    sequences: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    method: str,
    epochs: int,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["train", method, "--data", sequences, "--loop.epochs", str(epochs), "--augment.frames", "2"]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    # Neither a run nor Ray.
    assert list(tmp_path.iterdir()) == []


# Validation


class Staying(Toy):
    """Answers with the reference."""

    @torch.inference_mode()
    def align(self, reference: Tensor, sources: Tensor) -> Alignment:
        return Alignment(reference, torch.ones_like(reference[:, :1]))


def test_the_truth_is_what_answers_are_measured_against() -> None:
    reference = torch.full((3, 3, 32, 32), 0.5)
    truth, dynamic = reference.clone(), torch.zeros(3, 1, 32, 32)
    truth[0, :, :8, :8] += 0.1
    dynamic[0, :, :8, :8] = 1
    truth[1] += 0.01
    dynamic[1] = math.nan
    truth[2] += 0.1
    pairs = {"reference": reference, "source": torch.rand(3, 3, 32, 32), "homography": torch.full((3, 3, 3), math.nan)}
    samples = {**pairs, "truth": truth, "dynamic": dynamic}
    found, _ = validate(Staying(), samples)
    whole = -10 * math.log10(0.01 * 64 / 1024)
    assert found[BEST] == pytest.approx((whole + 40 + 20) / 3, abs=1e-3)
    assert found["val_psnr_dynamic"] == pytest.approx(20, abs=1e-3)
    still, _ = validate(Staying(), {**samples, "dynamic": dynamic.clamp_max(0)})
    assert "val_psnr_dynamic" not in still
    plain, _ = validate(Staying(), pairs)
    assert plain[BEST] == 100


# The loop


class Seeing(Toy):
    """Learns from pairs what the source shows from the reference's view."""

    name: ClassVar[str] = "seeing"
    batch_kind: ClassVar[Literal["pair", "sequence"]] = "pair"
    max_sources: ClassVar[int | None] = 1

    @classmethod
    def batch_fields(cls, config: ToyConfig) -> tuple[str, ...]:
        return FIELDS

    def training_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        frames = torch.stack([batch["reference_input"], batch["source_input"]], dim=1)
        losses = super().training_step({"frames": frames, "truth": batch["truth"]})
        return {**losses, "moving": batch["dynamic"].mean()}


class Copying(Toy):
    """Its second stage starts from what the first has learned."""

    name: ClassVar[str] = "copying"

    def enter_stage(self, stage: str) -> None:
        super().enter_stage(stage)
        if stage == "mix":
            with torch.no_grad():
                self.mixer.bias.copy_(self.encoder[1].weight)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    for cls in (Seeing, Copying):
        entry = registry.MethodEntry(f"{cls.__module__}:{cls.__name__}", "a method for tests", learned=True)
        monkeypatch.setitem(registry._BUILT_IN, cls.name, entry)


def toy_spec(method: str, data: str) -> TrainingSpec:
    options = LoopOptions(epochs=3, steps_per_epoch=4, batch_size=4, lr=0.05, val_pairs=2, ema=0.5)
    return TrainingSpec(method, data, options, {"frames": 3})


def test_methods_get_the_fields_that_they_ask_for(toys: None, url: str, sequences: str, tmp_path: Path) -> None:
    reporter = PlainReporter(tmp_path / "run")
    train(toy_spec("seeing", url), reporter)
    for entry in reporter.history:
        assert 0 < entry["moving"] < 0.3
        assert math.isfinite(entry["val_psnr_dynamic"])
    with pytest.raises(DatasetError, match="'raylign render dsia'"):
        train(toy_spec("seeing", sequences), PlainReporter(tmp_path / "none"))


def test_a_stage_is_entered_with_the_weights_of_the_one_before(toys: None, sequences: str, tmp_path: Path) -> None:
    spec = toy_spec("copying", sequences)
    straight, halfway = PlainReporter(tmp_path / "straight"), PlainReporter(tmp_path / "halfway")
    train(spec, straight)
    assert [entry["stage"] for entry in straight.history] == [1, 2, 2]
    halfway.should_stop = lambda: True  # type: ignore[method-assign]
    train(spec, halfway)
    resumed = PlainReporter(tmp_path / "halfway")
    train(spec, resumed)
    assert [entry["epoch"] for entry in resumed.history] == [2, 3]
    for ours, theirs in zip(resumed.history, straight.history[1:], strict=True):
        assert [ours[name] for name in ("loss", BEST)] == [theirs[name] for name in ("loss", BEST)]


# The best epoch

EPOCHS = [
    {"epoch": 1.0, "stage": 1.0, BEST: 40.0},
    {"epoch": 2.0, "stage": 2.0, BEST: 20.0},
    {"epoch": 3.0, "stage": 2.0, BEST: 25.0},
    {"epoch": 4.0, "stage": 2.0, BEST: math.nan},
    {"epoch": 5.0, "stage": 2.0},
    {"epoch": 6.0, "stage": 2.0, BEST: 25.0},
]


def test_the_best_epoch_is_one_of_the_last_stage() -> None:
    assert [best_epoch(EPOCHS[:count]) for count in (1, 2, 3, 6)] == [EPOCHS[at] for at in (0, 1, 2, 2)]
    assert best_epoch([EPOCHS[0], EPOCHS[4]]) is None
    # Ray Train compares one number.
    shuffled = random.Random(0).sample(EPOCHS[:5], 5)
    assert [each["epoch"] for each in sorted(shuffled, key=score)][:1] == [1]
    assert [each["epoch"] for each in sorted(shuffled, key=score)][-2:] == [2, 3]
    assert score({}) < score({"stage": 1.0}) < score({"stage": 1.0, BEST: -380.0})
    assert score({"stage": 1.0, BEST: 100.0}) < score({"stage": 2.0})


class Marked:
    """A checkpoint that says which epoch it is of."""

    def __init__(self, epoch: float) -> None:
        self.epoch = epoch

    def write(self, folder: Path) -> None:
        (folder / "epoch").write_text(f"{self.epoch:.0f}")


def test_the_checkpoint_that_is_kept_is_one_of_the_last_stage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = []
    with Panel("training demo", 6, 1) as panel:
        for entry in EPOCHS:
            # Each in a process of its own, as after kills.
            reporter = Watched(tmp_path, panel.epoch, panel.step, lambda name, content: None)
            reporter.report(entry, Marked(entry["epoch"]))
            reporter.close()
            kept.append((tmp_path / "best" / "epoch").read_text())
    assert kept == ["1", "2", "3", "3", "3", "3"]
    lines = capsys.readouterr().err.splitlines()
    assert ["the best so far" in line for line in lines] == [True, True, True, False, False, False]
    assert "best 25.00 dB at epoch 3" in lines[-1]
