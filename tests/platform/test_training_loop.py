"""The loop for all that methods may ask of it: stages, averages, parts of batches, checkpoints within an epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from raylign.methods import load, registry
from raylign.methods.aligner import Stage
from raylign.methods.crossscale import CrossScale
from raylign.methods.errors import CheckpointError, InputError
from raylign.platform.data.augment import AugmentOptions
from raylign.platform.data.training import training_batches
from raylign.platform.training import loop
from raylign.platform.training.average import WeightAverage
from raylign.platform.training.loop import TrainingError, build_model, train
from raylign.platform.training.options import LoopOptions, TrainingSpec
from raylign.platform.training.reporter import Checkpoint, PlainReporter, Watched
from raylign.platform.training.schedule import learning_rate_factor, stage_epochs
from tests.datasets import write_sequences
from tests.training import LEARNED, SMALL_MODELS, small_spec, small_stages


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_sequences(tmp_path_factory.mktemp("training") / "d", scenes=12, size=96)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = registry.MethodEntry("tests.methods.toy:Toy", "a method for tests", learned=True)
    monkeypatch.setitem(registry._BUILT_IN, "toy", entry)


class KilledError(Exception):
    """Stands in for the end of the process."""


class Dying(PlainReporter):
    """Dies right after the n-th checkpoint within an epoch."""

    def __init__(self, folder: Path, saves: int) -> None:
        super().__init__(folder)
        self.left = saves

    def save(self, checkpoint: Checkpoint | None) -> None:
        super().save(checkpoint)
        self.left -= 1
        if self.left == 0:
            raise KilledError


def weights(folder: Path, name: str = "model") -> dict[str, torch.Tensor]:
    return load_file(folder / "last" / f"{name}.safetensors")


def same(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.mark.parametrize("method", LEARNED)
def test_a_training_killed_within_an_epoch_goes_on_as_if_nothing_had_been(
    method: str, data_for: Callable[[str], str], tmp_path: Path
) -> None:
    epochs = max(2, small_stages(method))
    options = {"steps_per_epoch": 4, "checkpoint_steps": 3, "ema": 0.9, "batch_size": 4, "accumulate": 2}
    spec = small_spec(method, data_for(method), epochs=epochs, **options)
    straight = PlainReporter(tmp_path / "straight")
    train(spec, straight)
    with pytest.raises(KilledError):
        train(spec, Dying(tmp_path / "killed", 2))
    resumed = PlainReporter(tmp_path / "killed")
    train(spec, resumed)
    assert [entry["epoch"] for entry in resumed.history] == list(range(2, epochs + 1))
    for name in ("model", "training"):
        same(weights(tmp_path / "killed", name), weights(tmp_path / "straight", name))
    told = ("loss", "lr", "val_psnr_overlap", "val_overlap")
    assert [resumed.history[-1][key] for key in told] == [straight.history[-1][key] for key in told]


def test_stages_optimizers_frozen_parts_and_chance(toy: None, url: str, tmp_path: Path) -> None:
    spec = TrainingSpec(
        "toy",
        url,
        LoopOptions(epochs=3, steps_per_epoch=4, batch_size=4, lr=0.05, val_pairs=2, checkpoint_steps=3, ema=0.5),
        {"frames": 3},
    )
    straight = PlainReporter(tmp_path / "straight")
    train(spec, straight)
    assert [entry["stage"] for entry in straight.history] == [1, 2, 2]
    # Killed in the second stage: its one optimizer, not the two of the first, is what goes on.
    with pytest.raises(KilledError):
        train(spec, Dying(tmp_path / "killed", 2))
    train(spec, PlainReporter(tmp_path / "killed"))
    same(weights(tmp_path / "killed"), weights(tmp_path / "straight"))
    # Killed between the stages.
    halfway = PlainReporter(tmp_path / "halfway")
    halfway.should_stop = lambda: True  # type: ignore[method-assign]
    train(spec, halfway)
    first = weights(tmp_path / "halfway")
    train(spec, PlainReporter(tmp_path / "halfway"))
    same(weights(tmp_path / "halfway"), weights(tmp_path / "straight"))
    last = weights(tmp_path / "straight")
    assert torch.equal(first["decoder.weight"], last["decoder.weight"])
    assert not torch.equal(first["mixer.weight"], last["mixer.weight"])


def test_parts_of_a_batch_make_the_same_step(url: str, tmp_path: Path) -> None:
    # 5 samples in 2 parts: 2 and 3, each counted by its share.
    for accumulate in (1, 2):
        spec = small_spec("crossscale", url, epochs=1, steps_per_epoch=3, batch_size=5, accumulate=accumulate)
        spec = replace(spec, model={**SMALL_MODELS["crossscale"], "norm": "frozen"})
        reporter = PlainReporter(tmp_path / str(accumulate))
        train(spec, reporter)
        if accumulate == 1:
            whole, loss = weights(reporter.folder), reporter.history[0]["loss"]
    assert reporter.history[0]["loss"] == pytest.approx(loss, rel=1e-4)
    # Adam makes a whole step of a gradient that is nothing but rounding: a few weights may differ.
    apart = [~torch.isclose(value, whole[name], 1e-3, 5e-5) for name, value in weights(reporter.folder).items()]
    assert torch.cat([one.flatten() for one in apart]).float().mean() < 1e-4


def test_an_epoch_is_told_before_its_checkpoint_is_kept(url: str, tmp_path: Path) -> None:
    # A kill between the two would otherwise lose its metrics for ever.
    def killed(metrics: dict[str, float]) -> None:
        raise KilledError

    reporter = Watched(tmp_path, killed, lambda metrics: None, lambda name, content: None)
    with pytest.raises(KilledError):
        train(small_spec("crossscale", url, epochs=1, steps_per_epoch=1, batch_size=2), reporter)
    assert reporter.latest_checkpoint() is None


@pytest.mark.parametrize("method", LEARNED)
def test_a_sample_sees_the_same_random_numbers_in_any_part(method: str, data_for: Callable[[str], str]) -> None:
    spec = small_spec(method, data_for(method))
    # Evaluation mode: BatchNorm is shared by the workers by other means.
    model = build_model(spec).eval()

    def part(rank: int, workers: int) -> dict[str, torch.Tensor]:
        return training_batches(
            model.batch_kind,
            spec.data,
            model.config.working_size,
            5,
            AugmentOptions(**spec.augment),
            fields=model.batch_fields(model.config),
            seed=1,
            rank=rank,
            world_size=workers,
        ).batch(0, 0)

    whole, parts = part(0, 1), [part(0, 2), part(1, 2)]
    assert torch.equal(torch.cat([each["seed"] for each in parts]), whole["seed"])
    for stage in model.training_stages():
        model.enter_stage(stage.name)
        with torch.no_grad():
            torch.manual_seed(1)
            wanted = model.training_step(whole)["loss"].item()
            torch.manual_seed(2)
            found = sum(len(each["seed"]) / 5 * model.training_step(each)["loss"].item() for each in parts)
        assert found == pytest.approx(wanted, rel=1e-4), stage.name


def test_the_average_is_what_is_served(url: str, tmp_path: Path) -> None:
    spec = small_spec("crossscale", url, epochs=1, steps_per_epoch=3, ema=0.9)
    train(spec, PlainReporter(tmp_path))
    training = weights(tmp_path, "training")
    served = load(tmp_path / "last").state_dict()  # type: ignore[attr-defined]
    name = "backbone.layer1.0.conv1.weight"
    assert not torch.equal(served[name], training[f"weights|{name}"])
    assert torch.equal(served[name], weights(tmp_path)[name])


def test_the_average_by_hand() -> None:
    module = torch.nn.Linear(1, 1, bias=False)
    average = WeightAverage(module, 0.5)
    expected = module.weight.item()
    for step, value in enumerate((1.0, 3.0, -2.0, 0.5), 1):
        torch.nn.init.constant_(module.weight, value)
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    with average.applied():
        assert module.weight.item() == pytest.approx(expected, rel=1e-6)
    assert module.weight.item() == 0.5


def test_the_batch_of_a_lost_loss_is_kept(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = CrossScale.training_step
    seen: list[dict[str, torch.Tensor]] = []

    def broken(model: CrossScale, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        seen.append(batch)
        losses = step(model, batch)
        return {name: value * math.nan for name, value in losses.items()} if len(seen) == 3 else losses

    monkeypatch.setattr(CrossScale, "training_step", broken)
    with pytest.raises(TrainingError, match="failed/batch-rank0"):
        train(small_spec("crossscale", url, steps_per_epoch=8), PlainReporter(tmp_path))
    kept = load_file(tmp_path / "failed" / "batch-rank0.safetensors")
    same(kept, seen[2])
    # Found out one step later, before anything of it could become a checkpoint.
    assert len(seen) == 4
    assert not (tmp_path / "last").exists()


def test_recomputed_activations_train_alike(url: str, tmp_path: Path) -> None:
    for recompute in (False, True):
        spec = small_spec("crossscale", url, epochs=1, steps_per_epoch=3, recompute=recompute)
        train(spec, PlainReporter(tmp_path / str(recompute)))
    plain = weights(tmp_path / "False")
    for name, value in weights(tmp_path / "True").items():
        torch.testing.assert_close(value, plain[name], rtol=1e-4, atol=1e-6, msg=name)


def test_recomputing_is_refused_by_methods_that_cannot(toy: None, url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="recompute"):
        train(TrainingSpec("toy", url, LoopOptions(recompute=True)), PlainReporter(tmp_path))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_trains(precision: str, toy: None, url: str, tmp_path: Path) -> None:
    reporter = PlainReporter(tmp_path)
    options = LoopOptions(epochs=2, steps_per_epoch=4, lr=0.05, val_pairs=2, precision=precision)  # type: ignore[arg-type]
    train(TrainingSpec("toy", url, options, {"frames": 3}), reporter)
    assert all(math.isfinite(entry["loss"]) for entry in reporter.history)
    assert all(value.dtype in (torch.float32, torch.int64) for value in weights(tmp_path).values())
    scaler = json.loads((tmp_path / "last" / "training.json").read_text())["scaler"]
    assert bool(scaler) == (precision == "fp16")


def test_a_training_starts_from_a_checkpoint(toy: None, url: str, tmp_path: Path) -> None:
    train(small_spec("crossscale", url, epochs=1), PlainReporter(tmp_path / "a"))
    start = str(tmp_path / "a" / "last")
    begun = loop.build_model(small_spec("crossscale", url, start_from=start)).state_dict()
    same(begun, weights(tmp_path / "a"))
    other = replace(small_spec("crossscale", url, start_from=start), model={**SMALL_MODELS["crossscale"], "trunk": 16})
    with pytest.raises(CheckpointError, match="do not fit"):
        loop.build_model(other)
    with pytest.raises(CheckpointError, match="crossscale"):
        loop.build_model(TrainingSpec("toy", url, LoopOptions(start_from=start)))


def test_a_checkpoint_of_a_newer_program_is_refused(url: str, tmp_path: Path) -> None:
    train(small_spec("crossscale", url, epochs=1), PlainReporter(tmp_path))
    path = tmp_path / "last" / "training.json"
    path.write_text(path.read_text().replace('"version": 2', '"version": 99'))
    with pytest.raises(CheckpointError, match="version 99"):
        train(small_spec("crossscale", url), PlainReporter(tmp_path))


def test_shares_of_stages() -> None:
    stages = (Stage("a"), Stage("b", 2.0), Stage("c", 0.001))
    assert stage_epochs(stages, 9) == [range(0, 3), range(3, 8), range(8, 9)]
    assert stage_epochs(stages, 3) == [range(0, 1), range(1, 2), range(2, 3)]
    with pytest.raises(InputError, match="3 stages"):
        stage_epochs(stages, 2)


def test_the_constant_schedule_warms_up() -> None:
    options = LoopOptions(schedule="constant", warmup_steps=4)
    assert [learning_rate_factor(options, step, 10, 3) for step in (0, 1, 3, 4, 29)] == [0.25, 0.5, 1, 1, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"accumulate": 5},
        {"lr": -1.0},
        {"ema": 1.0},
        {"data_share": 0.0},
        {"data_share": 1.1},
        {"steps_per_epoch": 0},
        {"grad_clip": -1.0},
    ],
)
def test_impossible_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match="--loop"):
        replace(LoopOptions(), **wrong).check(1)  # type: ignore[arg-type]
