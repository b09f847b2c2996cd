"""Inference options, wherever a model is named: read by a method's own types, measured apart, told in the facts."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import Tensor

from raylign.methods import registry
from raylign.methods.aligner import Alignment, LearnedAligner, single_source
from raylign.methods.errors import InputError
from raylign.platform import inference
from raylign.platform.alignment import load_model
from raylign.platform.cli import main
from raylign.platform.evaluation.models import choose_models
from raylign.platform.evaluation.store import model_digest
from raylign.platform.training.validation import validate
from tests.datasets import texture, write_pairs


@dataclass(frozen=True)
class ShiftInference:
    adapt: int = 3
    gain: float = 1.0
    flip: bool = False
    start: Literal["auto", "network"] = "auto"
    note: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.adapt <= 20:
            raise InputError(f"adapt must be 0 to 20, not {self.adapt}")


@dataclass(frozen=True)
class ShiftConfig:
    working_size: int = 32


class Shift(LearnedAligner):
    """Moves the source by `adapt` pixels; with 0 it is `identity`."""

    name: ClassVar[str] = "shift"
    Config: ClassVar[type] = ShiftConfig
    Inference: ClassVar[type] = ShiftInference
    calls: ClassVar[list[ShiftInference]] = []

    def __init__(self, config: ShiftConfig | None = None, *, initialise: bool = True) -> None:
        super().__init__()
        self.config = config or ShiftConfig()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def validation_inference(self) -> ShiftInference:
        return ShiftInference(adapt=0)

    def training_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"loss": self.weight.sum()}

    def align(self, reference: Tensor, sources: Tensor) -> Alignment:
        self.calls.append(self.inference)
        image = single_source(reference, sources).roll(self.inference.adapt, -1) * self.inference.gain
        return Alignment(image, torch.ones_like(image[:, :1]), torch.eye(3).expand(len(image), 1, 3, 3))


@pytest.fixture
def checkpoint(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A checkpoint folder of the method above, which the registry knows."""
    entry = registry.MethodEntry(f"{__name__}:Shift", "moves", learned=True)
    monkeypatch.setitem(registry._BUILT_IN, "shift", entry)
    monkeypatch.setattr(registry, "_import", lambda found: Shift if found is entry else real(found))
    monkeypatch.setattr(Shift, "calls", [])
    Shift().save_pretrained("ck")
    return "ck"


real: Callable[[registry.MethodEntry], Any] = registry._import


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("adapt=0", "adapt", 0),
        ("adapt = 7", "adapt", 7),
        ("gain=0.5", "gain", 0.5),
        ("gain=2", "gain", 2.0),
        ("flip=true", "flip", True),
        ("flip=False", "flip", False),
        ("start=network", "start", "network"),
        ("note=a=b", "note", "a=b"),
    ],
)
def test_a_text_is_read_by_the_type_of_its_field(checkpoint: str, text: str, name: str, value: object) -> None:
    aligner = Shift()
    chosen = inference.read_choices([text], "--set")
    inference.set_inference(aligner, chosen, "--set")
    expected = {"adapt": 3, "gain": 1.0, "flip": False, "start": "auto", "note": ""} | {name: value}
    told = inference.told_inference(aligner)
    assert told == expected
    assert type(told[name]) is type(value)
    assert inference.default_inference("shift", chosen) == expected


@pytest.mark.parametrize("method", registry.names(learned=True))
def test_every_default_can_be_given_as_a_text(method: str) -> None:
    defaults = inference.default_inference(method, ())
    for name, value in defaults.items():
        chosen = inference.read_choices([f"{name}={value}"], "--set")
        assert inference.default_inference(method, chosen) == defaults


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["adapt"], "'adapt' is no option; give NAME=VALUE"),
        (["adapt="], "'adapt=' is no option"),
        (["=3"], "'=3' is no option"),
        (["adapt=1", "adapt=1"], "adapt is given twice"),
        (
            ["steps=3"],
            "'shift' has no option 'steps'; it has adapt (a whole number), gain (a number), flip (true or",
        ),
        (["steps=3"], "start (auto or network), note (a text)"),
        (["adapt=1.5"], "adapt must be a whole number, not '1.5'"),
        (["adapt=many"], "adapt must be a whole number, not 'many'"),
        (["adapt=21"], "adapt must be 0 to 20, not 21"),
        (["adapt=-1"], "adapt must be 0 to 20, not -1"),
        (["gain=nan"], "gain must be a number, not 'nan'"),
        (["flip=1"], "flip must be true or false, not '1'"),
        (["start=classical"], "start must be auto or network, not 'classical'"),
    ],
)
def test_wrong_options_are_told_in_one_line(checkpoint: str, texts: list[str], told: str) -> None:
    with pytest.raises(InputError) as caught:
        inference.check_inference("shift", inference.read_choices(texts, "--set"), "--set")
    assert str(caught.value).startswith("--set: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_option_leaves_the_method_as_it_was(checkpoint: str) -> None:
    aligner = Shift()
    inference.set_inference(aligner, (("adapt", "5"),), "--set")
    with pytest.raises(InputError):
        inference.set_inference(aligner, (("adapt", "99"),), "--set")
    assert aligner.inference == ShiftInference(adapt=5)
    inference.set_inference(aligner, (), "--set")
    assert aligner.inference == ShiftInference()


def test_brackets_after_a_name() -> None:
    split = inference.split_name
    assert split("sift", "--methods") == ("sift", ())
    assert split("runs/a/checkpoint[adapt=0,start=network]", "--methods") == (
        "runs/a/checkpoint",
        (("adapt", "0"), ("start", "network")),
    )
    # A folder may have brackets in its name, if the text does not end with them.
    assert split("runs/a[1]/", "--methods") == ("runs/a[1]/", ())
    for text in ("ck[]", "ck[adapt]", "ck[adapt=0,]"):
        with pytest.raises(InputError, match=r"^--methods ck\[.*NAME=VALUE$"):
            split(text, "--methods")


def test_one_checkpoint_with_several_options_is_several_models(checkpoint: str) -> None:
    wanted = [checkpoint, "ck[adapt=0]", "ck[gain=0.5,adapt=2]", "ck[adapt=2, gain=0.5]", "sift", checkpoint]
    found, left_out = choose_models(wanted, weights=(), pretrained=False, tracking_uri=None)
    assert left_out == {}
    assert [(model.name, model.inference) for model in found] == [
        ("ck", ()),
        ("ck[adapt=0]", (("adapt", "0"),)),
        ("ck[gain=0.5,adapt=2]", (("adapt", "2"), ("gain", "0.5"))),
        ("sift", ()),
    ]
    assert pickle.loads(pickle.dumps(found)) == found
    same_name = [dataclasses.replace(model, name="x") for model in found[:3]]
    assert len({model_digest(model) for model in same_name}) == 3
    aligner = load_model(found[2])
    assert isinstance(aligner, Shift)
    assert aligner.inference == ShiftInference(adapt=2, gain=0.5)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("sift[adapt=0]", "--methods sift[adapt=0]: 'sift' has no inference options; leave 'adapt' out"),
        ("all[adapt=0]", "--methods all[adapt=0]: 'all' takes no options"),
        ("ck[steps=0]", "--methods ck[steps=0]: 'shift' has no option 'steps'"),
        ("ck[adapt=50]", "--methods ck[adapt=50]: adapt must be 0 to 20, not 50"),
        ("nothing[adapt=0]", "--methods nothing: no method, checkpoint folder or trained model"),
    ],
)
def test_wrong_options_of_evaluate(
    checkpoint: str, workdir: Path, wanted: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_pairs(workdir / "views", scenes=3, size=48)
    assert main(["evaluate", "--data", data, "--methods", "identity", wanted, "--workers", "1"]) == 2
    assert told in capsys.readouterr().err
    assert not (workdir / "runs").exists()


def test_evaluate_measures_each_choice_by_itself_and_once(checkpoint: str, workdir: Path) -> None:
    data = write_pairs(workdir / "views", scenes=6, size=48)
    arguments = ["evaluate", "--data", data, "--workers", "1", "--gallery", "0", "--methods"]
    wanted = ["identity", "ck", "ck[adapt=0]", "ck[adapt=9,start=network]"]
    assert main([*arguments, *wanted]) == 0
    table = json.loads(Path("runs/evaluate/default/table.json").read_text())
    psnr = {row["method"]: row["metrics"]["psnr"]["mean"] for row in table["rows"]}
    assert set(psnr) == set(wanted)
    # Moved by nothing, a source stays where `identity` leaves it; other moves give other numbers.
    assert psnr["ck[adapt=0]"] == pytest.approx(psnr["identity"], abs=1e-4)
    assert len({round(value, 2) for value in psnr.values()}) == 3
    assert {call.adapt for call in Shift.calls} == {0, 3, 9}
    Shift.calls.clear()
    assert main([*arguments, *wanted, "ck[adapt=1]"]) == 0
    assert {call.adapt for call in Shift.calls} == {1}
    again = pq.read_table("runs/evaluate/default/results.parquet").to_pylist()
    assert {row["method"] for row in again} == {*wanted, "ck[adapt=1]"}


@pytest.fixture
def pair(workdir: Path) -> list[str]:
    for name, seed in (("ref.png", 1), ("src.png", 2)):
        Image.fromarray(texture(np.random.default_rng(seed), 64)).save(name)
    return ["align", "ref.png", "src.png", "-o", "out.png", "--json", "--checkpoint", "ck"]


@pytest.mark.parametrize(
    ("arguments", "adapt", "note"),
    [
        ([], 3, ""),
        (["--adapt", "0"], 0, ""),
        (["--set", "adapt=5", "note=x"], 5, "x"),
        (["--set", "note=x", "--adapt", "4"], 4, "x"),
    ],
)
def test_align_with_options(
    checkpoint: str,
    pair: list[str],
    arguments: list[str],
    adapt: int,
    note: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*pair, *arguments, "--report", "r.html"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["inference"] == {"adapt": adapt, "gain": 1.0, "flip": False, "start": "auto", "note": note}
    source = np.asarray(Image.open("src.png"))
    assert np.array_equal(np.asarray(Image.open("out.png")), np.roll(source, adapt, axis=1))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--adapt", "21"], "--adapt: adapt must be 0 to 20, not 21"),
        (["--adapt", "-1"], "--adapt: adapt must be 0 to 20, not -1"),
        (["--adapt", "some"], "--adapt: "),
        (["--set", "steps=1"], "--set: 'shift' has no option 'steps'; it has adapt (a whole number), gain"),
        (["--set", "adapt"], "--set: 'adapt' is no option; give NAME=VALUE"),
        (["--set", "adapt=1", "--adapt", "1"], "--adapt and --set adapt=N exclude each other"),
        (["--method", "sift", "--adapt", "1"], "--adapt: 'sift' has no inference options; leave 'adapt' out"),
        (["--method", "sift", "--set", "a=b"], "--set: 'sift' has no inference options; leave 'a' out"),
    ],
)
def test_wrong_options_of_align(
    checkpoint: str, pair: list[str], arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*(pair[:-2] if "--method" in arguments else pair), *arguments]
    assert main(command) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert told in errors
    assert errors.count("\n") == 1
    assert not Path("out.png").exists()


def test_a_baseline_tells_no_options(pair: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*pair[:-2], "--method", "identity"]) == 0
    assert json.loads(capsys.readouterr().out)["inference"] == {}


def test_a_training_validates_with_the_methods_own_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shift, "calls", [])
    model = Shift()
    model.inference = ShiftInference(adapt=7, note="mine")
    pictures = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    samples = {"reference": pictures, "source": pictures, "homography": torch.eye(3).expand(3, 3, 3)}
    found, _ = validate(model, samples, batch_size=2)
    assert [call.adapt for call in Shift.calls] == [0, 0]
    assert found["val_psnr_overlap"] > 40  # not moved
    assert model.inference == ShiftInference(adapt=7, note="mine")
    with pytest.raises(InputError):
        validate(model, samples | {"source": pictures * torch.nan})
    assert model.inference == ShiftInference(adapt=7, note="mine")
