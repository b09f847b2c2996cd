"""`raylign evaluate --degrade`: the same cases once more, through noise, blur and low light."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from raylign.platform.cli import main
from raylign.platform.evaluation.datasets import EvaluationSet, choose_datasets, open_sets
from tests.datasets import write_retinas, write_sequences


@pytest.fixture(autouse=True)
def tracked(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workdir / 'mlflow.db'}")


def test_what_is_done_to_the_pictures(workdir: Path) -> None:
    data = write_retinas(workdir / "eyes", scenes=12, size=64)
    plain, dark, noisy, again = (
        EvaluationSet(each)
        for each in choose_datasets([f"{data}#train"], "test", None, (), ["low-light:2", "noise:3", "noise:3"])
        + choose_datasets([f"{data}#train"], "test", None, (), ["noise:3"])[1:]
    )
    assert [each.choice.label for each in (plain, dark, noisy)] == [
        "eyes#train",
        "eyes#train+low-light:2",
        "eyes#train+noise:3",
    ]
    assert len({each.digest() for each in (plain, dark, noisy)}) == 3
    assert noisy.digest() == again.digest()
    first, second = (noisy.case("pair", index) for index in (0, 1))
    for index, case in enumerate((first, second)):
        clean = plain.case("pair", index)
        assert torch.equal(case.reference, again.case("pair", index).reference)
        assert torch.equal(dark.case("pair", index).sources[0], clean.sources[0] * 0.45)
        grey = (clean.reference > 0.3) & (clean.reference < 0.7)
        assert float((case.reference - clean.reference)[grey].std()) == pytest.approx(0.1, rel=0.1)
    noise = [case.reference - plain.case("pair", index).reference for index, case in enumerate((first, second))]
    assert not torch.allclose(noise[0], noise[1])
    assert not torch.allclose(noise[0], first.sources[0] - plain.case("pair", 0).sources[0])


def test_with_lengths(workdir: Path) -> None:
    data = write_sequences(workdir / "planes", scenes=3, frames=3, size=32)
    sets = open_sets(choose_datasets([f"{data}#train"], "test", None, (2,), ["blur:1"]))
    assert [each.choice.label for each in sets] == [
        "planes#train",
        "planes#train@2",
        "planes#train+blur:1",
        "planes#train+blur:1@2",
    ]
    assert len(sets[3].case("set", 0).sources) == 1
    blurred, clean = (each.case("set", 0) for each in (sets[3], sets[1]))
    assert not torch.equal(blurred.reference, clean.reference)
    assert blurred.truth.picture is not None
    assert torch.equal(blurred.target, clean.target)


def test_the_command_tells_each_apart(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_sequences(workdir / "planes", scenes=4, frames=3, size=96)
    arguments = ["evaluate", "--data", f"{data}#train", "--methods", "sift", "--tasks", "pair", "--workers", "1"]
    assert main([*arguments, "--degrade", "blur:3", "noise:1", "--json", "t.json", "--gallery", "1"]) == 0
    rows = json.loads(Path("t.json").read_text())["rows"]
    assert [row["dataset"] for row in rows] == ["planes#train", "planes#train+blur:3", "planes#train+noise:1"]
    errors = [row["metrics"]["corner_error"]["mean"] for row in rows]
    assert errors[1] > errors[0]
    told = json.loads(Path("t.json").read_text())["settings"]["datasets"]
    assert [each.get("degradation") for each in told] == [None, ["blur", 3], ["noise", 1]]
    for wrong in ("fog:1", "noise", "noise:9", "blur:1.5"):
        capsys.readouterr()
        assert main([*arguments, "--degrade", wrong]) == 2
        assert f"--degrade {wrong}: give KIND:STRENGTH" in capsys.readouterr().err
