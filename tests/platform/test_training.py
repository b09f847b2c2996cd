"""The training loop: it learns, resumes exactly, and is the same for one worker and for two; the command around it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from raylign.methods import load
from raylign.methods.errors import CheckpointError, InputError
from raylign.platform.cli import main
from raylign.platform.models import resolve_model
from raylign.platform.training.history import append_epoch, read_history
from raylign.platform.training.loop import TrainingError, build_model, train
from raylign.platform.training.options import LoopOptions, TrainingSpec, spec_from_dict
from raylign.platform.training.reporter import Checkpoint, PlainReporter
from raylign.platform.training.schedule import learning_rate_factor
from tests.datasets import write_sequences
from tests.training import SMALL_MODELS, small_spec

SMALL_FLAGS = [
    *("--model.backbone", "resnet18", "--model.working-size", "96", "--model.levels", "0", "--model.mesh", "3", "3"),
    *("--model.branch", "8", "8", "16", "16", "--model.trunk", "32", "--model.linear", "64", "32"),
    *("--loop.epochs", "2", "--loop.steps-per-epoch", "2", "--loop.batch-size", "4", "--loop.val-pairs", "2"),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_sequences(tmp_path_factory.mktemp("training") / "d", scenes=12, size=96)


def spec(url: str, **loop: object) -> TrainingSpec:
    return small_spec("crossscale", url, **loop)


class Stopping(PlainReporter):
    """Stops after a number of epochs."""

    def __init__(self, folder: Path, epochs: int) -> None:
        super().__init__(folder)
        self.left = epochs

    def report(self, metrics: Mapping[str, float], checkpoint: Checkpoint | None) -> None:
        super().report(metrics, checkpoint)
        self.left -= 1

    def should_stop(self) -> bool:
        return self.left <= 0


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "last" / "model.safetensors")


def test_two_epochs_and_two_more_equal_four(url: str, tmp_path: Path) -> None:
    train(spec(url), PlainReporter(tmp_path / "straight"))
    train(spec(url), Stopping(tmp_path / "resumed", 2))
    resumed = PlainReporter(tmp_path / "resumed")
    last = train(spec(url), resumed)
    assert [entry["epoch"] for entry in resumed.history] == [3, 4]
    assert last["epoch"] == 4
    straight = weights(tmp_path / "straight")
    for name, value in weights(tmp_path / "resumed").items():
        assert torch.equal(value, straight[name]), name


def test_a_small_training_lowers_the_corner_error(url: str, tmp_path: Path) -> None:
    reporter = PlainReporter(tmp_path)
    easy = TrainingSpec(
        "crossscale",
        url,
        LoopOptions(epochs=3, steps_per_epoch=8, batch_size=8, lr=2e-3, val_pairs=2),
        {"view_probability": 0.0, "brightness": 0.0, "colour": 0.0},
        {**SMALL_MODELS["crossscale"], "centred_correlation": True, "smallest_map": 2},
    )
    train(easy, reporter)
    assert reporter.history[-1]["corner"] < 0.95 * reporter.history[0]["corner"]
    assert {"val_psnr_overlap", "val_overlap", "val_corner_error", "lr", "samples_per_s"} <= set(reporter.history[-1])


def test_a_loss_that_is_no_number_ends_the_training(url: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="lower"):
        train(spec(url, lr=1e30, grad_clip=0.0), PlainReporter(tmp_path))


def test_a_damaged_checkpoint_is_told(url: str, tmp_path: Path) -> None:
    train(spec(url, epochs=1), PlainReporter(tmp_path))
    path = tmp_path / "last" / "training.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="cannot continue"):
        train(spec(url), PlainReporter(tmp_path))


def test_learning_rate_schedules() -> None:
    step = LoopOptions(epochs=3, lr_decay=0.5, warmup_steps=2)
    assert [learning_rate_factor(step, n, 4, 3) for n in (0, 1, 2, 4, 8)] == [0.5, 1, 1, 0.5, 0.25]
    cosine = LoopOptions(epochs=2, schedule="cosine")
    assert [round(learning_rate_factor(cosine, n, 4, 2), 3) for n in (0, 4, 8)] == [1, 0.5, 0]


def test_specifications_are_plain_data(url: str) -> None:
    from dataclasses import asdict

    assert spec_from_dict(json.loads(json.dumps(asdict(spec(url))))).loop == spec(url).loop
    with pytest.raises(InputError):
        spec_from_dict({"method": "crossscale", "wings": 2})
    with pytest.raises(InputError):
        build_model(TrainingSpec("sift", url))


def test_history_survives_a_cut_line_and_a_repeated_epoch(tmp_path: Path) -> None:
    for epoch, loss in ((1, 3.0), (2, 2.0), (2, 1.5)):
        append_epoch(tmp_path, {"epoch": float(epoch), "loss": loss})
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 3.0, "lo')
    assert [entry["loss"] for entry in read_history(tmp_path)] == [3.0, 1.5]


def test_the_command_with_two_ray_workers(
    url: str, workdir: Path, ray_local: None, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "crossscale", "--data", url, "--name", "t", "--workers", "2", *SMALL_FLAGS]
    assert main(arguments) == 0
    run = workdir / "runs" / "train" / "t"
    assert sorted(path.name for path in (run / "checkpoint").iterdir()) == ["config.json", "model.safetensors"]
    assert [entry["epoch"] for entry in read_history(run)] == [1, 2]
    assert (run / "report.html").read_text().startswith("<!doctype html>")
    model = resolve_model("t")
    assert (model.method, model.version) == ("crossscale", 1)
    assert "val_psnr_overlap" in model.metrics
    aligner = load(run / "checkpoint")
    assert aligner.name == "crossscale"
    # Again: without --resume the run is left alone, with it there is nothing to do, with other options it is refused.
    capsys.readouterr()
    assert main(arguments) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    assert main([*arguments, "--resume", "--loop.lr", "0.5"]) == 2
    # Its configuration repeats it.
    again = ["train", "--config", str(run / "config.yaml"), "--name", "u", "--backend", "plain"]
    assert main(again) == 0
    assert resolve_model("u").version == 2


def test_one_and_two_workers_train_alike(url: str, workdir: Path, ray_local: None) -> None:
    flags = [*SMALL_FLAGS, "--model.norm", "frozen", "--loop.precision", "fp32", "--model.supervision", "1"]
    losses = {}
    for name, worker_flags in (("one", ("--backend", "plain")), ("two", ("--workers", "2"))):
        assert main(["train", "crossscale", "--data", url, "--name", name, *worker_flags, *flags]) == 0
        losses[name] = [entry["val_corner_error"] for entry in read_history(workdir / "runs" / "train" / name)]
    # Gradients are means over the global batch, and the batches are the same; only the order of the sums differs.
    assert losses["one"] == pytest.approx(losses["two"], rel=2e-3)


def test_too_many_workers_is_one_clear_line(
    url: str, workdir: Path, ray_local: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "crossscale", "--data", url, "--workers", "4", *SMALL_FLAGS]) == 2
    assert "--workers 4" in capsys.readouterr().err.strip().splitlines()[-1]
