"""`raylign tune`: wrong input, and one small real sweep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raylign.methods.registry import load
from raylign.platform.cli import main
from tests.datasets import write_sequences

SMALL = """
--loop.batch-size 4 --loop.steps-per-epoch 2 --loop.val-pairs 4 --model.backbone resnet18 --model.working-size 96
--model.mesh 5 5 --model.linear 64 32 --model.trunk 32 --model.branch 8 8 8 8
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nope --data data", "unknown method 'nope'"),
        ("sift --data data", "'sift' has nothing to tune; choose one of adm, crossscale"),
        ("--data data", "the method comes first"),
        ("crossscale", "missing --data"),
        ("crossscale --data missing", "no dataset at"),
        ("crossscale --data data --space zzz", "--space: crossscale has no space 'zzz'; choose one of default"),
        ("crossscale --data data --trials 0", "--trials must be at least 1"),
        ("crossscale --data data --trials many", "--trials"),
        ("crossscale --data data --grace 9 --epochs-max 3", "--grace 9 is more than --epochs-max 3"),
        ("crossscale --data data --reduction 1", "--reduction must be at least 2"),
        ("crossscale --data data --cpus-per-trial 0", "--cpus-per-trial must be at least 1"),
        ("crossscale --data data --mode most", "--mode"),
        ("crossscale --data data --loop.epochs 3", "give that one"),
        ("crossscale --data data --loop.val-every 2", "--loop.val-every"),
        ("crossscale --data data --loop.lr 0", "--loop.lr must be positive"),
        ("crossscale --data data --model.levels 9", "levels must be 0 to 3"),
        ("crossscale --data data --resume", "--resume: no sweep"),
        ("crossscale --data data --name ../x", "cannot name a run"),
        ("crossscale --data data --tracking-uri ./mlruns", "--tracking-uri './mlruns'"),
        ("crossscale --data data --spaces x", "--spaces"),
        ("crossscale --data data --space inference", "give it with --checkpoint"),
        ("crossscale --data data --checkpoint x", "leave --checkpoint out, or choose --space inference"),
        ("crossscale --data data --checkpoint ./x --space inference", "no checkpoint folder"),
        ("crossscale --data data --checkpoint x --space inference", "no model 'x'"),
    ],
)
def test_wrong_input_is_one_line_and_starts_nothing(
    workdir: Path, capsys: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    write_sequences(workdir / "data", scenes=6)
    assert main(["tune", *arguments.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(workdir.glob("runs/tune/*"))


def test_help_names_the_methods_without_loading_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "--help"]) == 0
    assert "methods: adm, crossscale, diar, dmaligner" in capsys.readouterr().out


def test_a_real_sweep_from_the_command_line(ray_local: None, workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sequences(workdir / "data", scenes=6)
    command = [
        "tune",
        "crossscale",
        "--data",
        "data",
        "--trials",
        "2",
        "--epochs-max",
        "2",
        "--grace",
        "1",
        *SMALL.split(),
    ]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "raylign train --config" in out
    (folder,) = (workdir / "runs" / "tune").iterdir()
    assert folder.name.startswith("crossscale-default-")
    trials = json.loads((folder / "results.json").read_text())["trials"]
    assert len(trials) == 2
    assert all(10 < trial["val_psnr_overlap"] < 40 for trial in trials)
    assert load(folder / "checkpoint").name == "crossscale"
    assert main(command) == 0
    assert "already done, 2 trials" in capsys.readouterr().out
    assert main([*command, "--trials", "3", "--name", folder.name]) == 2
    assert "holds a sweep with another trials" in capsys.readouterr().err
    tune_what_it_aligns_with(folder / "checkpoint", capsys)


def tune_what_it_aligns_with(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Over the model of another sweep."""
    shared = ["tune", "crossscale", "--data", "data", "--space", "inference", "--loop.val-pairs", "1"]
    searched = [*shared, "--checkpoint", f"{checkpoint}[adapt=3]"]
    for flags, message in (
        (["--epochs-max", "3"], "--epochs-max: with --checkpoint nothing is trained"),
        (["--model.levels", "1"], "--model: with --checkpoint nothing is trained"),
    ):
        assert main([*searched, *flags]) == 2
        assert message in capsys.readouterr().err
    assert main([*shared, "--checkpoint", f"{checkpoint}[nope=3]"]) == 2
    assert "'crossscale' has no option 'nope'" in capsys.readouterr().err
    assert main([*searched, "--trials", "2", "--name", "options"]) == 0
    out = capsys.readouterr().out
    assert f"--checkpoint {checkpoint.resolve()} --set adapt=" in out
    content = json.loads(Path("runs/tune/options/results.json").read_text())
    first, second = content["trials"]
    assert first["params"] == {"inference.adapt": 3, "inference.start": "auto"}
    assert second["params"].keys() == first["params"].keys()
    assert not Path("runs/tune/options/best.yaml").exists()
    assert "with --checkpoint" not in out
    assert "align REF SRC" in Path("runs/tune/options/report.html").read_text()
