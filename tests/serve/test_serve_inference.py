"""Inference options of the service: those it is started with, those of a request, and their limits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from raylign.methods import registry
from raylign.methods.aligner import Alignment, LearnedAligner
from raylign.methods.errors import InputError
from raylign.platform.cli import main
from raylign.platform.images import read_image
from raylign.serve.app import ServeSettings, app_builder, served_models
from raylign.serve.contract import AlignRequest, Answer, Refusal
from raylign.serve.model import ModelReplica
from tests.datasets import png, texture
from tests.methods.dmaligner_small import small_aligner


@dataclass(frozen=True)
class FadeInference:
    steps: int = 20
    """Work."""
    gain: float = 1.0
    """No work."""

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise InputError(f"steps must not be negative, not {self.steps}")


@dataclass(frozen=True)
class FadeConfig:
    working_size: int = 32


class Fade(LearnedAligner):
    """Makes the source `gain` times as bright."""

    name: ClassVar[str] = "fade"
    Config: ClassVar[type] = FadeConfig
    Inference: ClassVar[type] = FadeInference

    def __init__(self, config: FadeConfig | None = None, *, initialise: bool = True) -> None:
        super().__init__()
        self.config = config or FadeConfig()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"loss": self.weight.sum()}

    def align(self, reference: Tensor, sources: Tensor) -> Alignment:
        return Alignment(sources[:, 0] * self.inference.gain, torch.ones_like(reference[:, :1]))


@pytest.fixture
def checkpoint(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A checkpoint folder of the method above, which the registry knows."""
    entry, real = registry.MethodEntry(f"{__name__}:Fade", "fades", learned=True), registry._import
    monkeypatch.setitem(registry._BUILT_IN, "fade", entry)
    monkeypatch.setattr(registry, "_import", lambda found: Fade if found is entry else real(found))
    Fade().save_pretrained("ck")
    return "ck"


PICTURE = png(texture(np.random.default_rng(0), 48))


def ask(replica: ModelReplica, model: int = 0, **inference: str) -> Answer | Refusal:
    request = AlignRequest(PICTURE, PICTURE, model, False, False, tuple(sorted(inference.items())))
    return asyncio.run(replica.align(request))


def answered(answer: Answer | Refusal) -> Answer:
    assert isinstance(answer, Answer), answer
    return answer


def test_a_request_sets_options_for_itself_alone(checkpoint: str) -> None:
    models = served_models(ServeSettings(checkpoint=checkpoint, set=("steps=12", "gain=0.5")))
    assert models[0].inference == {"steps": 12, "gain": 0.5}
    assert all(model.inference == {} for model in models[1:])
    replica = ModelReplica(models)
    picture = read_image(PICTURE, "")
    for asked, facts in (
        ({}, {"steps": 12, "gain": 0.5}),
        ({"gain": "1"}, {"steps": 12, "gain": 1.0}),
        ({"steps": "0"}, {"steps": 0, "gain": 0.5}),
        ({"steps": "12", "gain": "0.25"}, {"steps": 12, "gain": 0.25}),
        ({}, {"steps": 12, "gain": 0.5}),
    ):
        answer = answered(ask(replica, **asked))
        assert answer.facts["inference"] == facts
        shown = read_image(answer.png, "")
        assert float((shown - picture * facts["gain"]).abs().max()) < 0.51 / 255


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        # Work is bounded by what the service was started with, even where the method allows more.
        ({"steps": "13"}, "field 'set': steps is served up to 12, not 13"),
        ({"steps": "1000000"}, "field 'set': steps is served up to 12"),
        ({"steps": "-1"}, "field 'set': steps must not be negative, not -1"),
        ({"steps": "some"}, "field 'set': steps must be a whole number, not 'some'"),
        ({"start": "network"}, "field 'set': 'fade' has no option 'start'; it has steps (a whole number), gain (a"),
    ],
)
def test_wrong_options_of_a_request(checkpoint: str, asked: dict[str, str], told: str) -> None:
    replica = ModelReplica(served_models(ServeSettings(checkpoint=checkpoint, set=("steps=12",))))
    refusal = ask(replica, **asked)
    assert isinstance(refusal, Refusal)
    assert refusal.status == 422
    assert told in refusal.detail
    assert answered(ask(replica)).facts["inference"] == {"steps": 12, "gain": 1.0}


def test_what_is_left_to_the_network_is_bounded_too(workdir: Path) -> None:
    small_aligner(prediction="epsilon", train_steps=10).save_pretrained("noise")
    replica = ModelReplica(served_models(ServeSettings(checkpoint="noise", set=("steps=4",))))
    refusal = ask(replica, steps="0")
    assert refusal == Refusal(422, "field 'set': steps is served up to 4, not 10")
    replica = ModelReplica(served_models(ServeSettings(checkpoint="noise")))
    assert ask(replica, steps="11") == Refusal(422, "field 'set': steps is served up to 10, not 11")
    request = AlignRequest(PICTURE, PICTURE, 0, False, True, ())
    assert answered(asyncio.run(replica.align(request))).facts["inference"]["steps"] == 10


def test_options_for_a_baseline(checkpoint: str) -> None:
    models = served_models(ServeSettings(checkpoint=checkpoint))
    replica, index = ModelReplica(models), [model.names[0] for model in models].index("identity")
    refusal = ask(replica, index, steps="1")
    assert refusal == Refusal(422, "field 'set': 'identity' has no inference options; leave 'steps' out")
    assert answered(ask(replica, index)).facts["inference"] == {}


def test_options_at_the_start(
    checkpoint: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ray.init", lambda *_, **__: pytest.fail("Ray was started"))
    for arguments, told in (
        (["--checkpoint", checkpoint, "--set", "steps=-1"], "--set: steps must not be negative"),
        (["--checkpoint", checkpoint, "--set", "speed=1"], "--set: 'fade' has no option 'speed'"),
        (["--method", "sift", "--set", "steps=1"], "--set: 'sift' has no inference options"),
    ):
        assert main(["serve", "--port", "0", *arguments]) == 2
        assert told in capfd.readouterr().err
    # `serve run` gives texts.
    settings = ServeSettings.of({"checkpoint": checkpoint, "set": "steps=3,gain=0.5"})
    assert served_models(settings)[0].choice.inference == (("gain", "0.5"), ("steps", "3"))
    assert app_builder({"checkpoint": checkpoint, "set": "steps=3"}) is not None
    with pytest.raises(InputError, match="--set: 'steps' is no option"):
        app_builder({"checkpoint": checkpoint, "set": "steps"})
