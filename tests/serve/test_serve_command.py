"""`raylign serve` with something wrong: told in one line, before Ray is started."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from raylign.methods.errors import InputError
from raylign.platform import models
from raylign.platform.alignment import ModelChoice
from raylign.platform.cli import main
from raylign.serve import app
from raylign.serve.app import ServeSettings, served_models
from raylign.serve.command import free_port


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_wrong_input_is_told_before_ray_starts(
    workdir: Path, taken: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ray.init", lambda *_, **__: pytest.fail("Ray was started"))
    (workdir / "ck").mkdir()
    (workdir / "bad").mkdir()
    (workdir / "bad" / "config.json").write_text(json.dumps({"method": "crossscale", "version": 1}))
    before = set(workdir.rglob("*"))
    handler = signal.getsignal(signal.SIGTERM)
    for arguments, message in (
        (["--port", str(taken), "--method", "sift"], f"--port {taken} on 127.0.0.1 is taken; choose another"),
        (["--port", "70000"], "--port must lie in 0 to 65535"),
        (["--host", "203.0.113.7"], "'203.0.113.7' is no address of this machine"),
        (["--host", "no.such.host.invalid"], "is no address of this machine"),
        ([], "raylign train METHOD --data URL' first; or serve a method that needs no training: --method sift"),
        (["--model", "night"], "no model 'night'"),
        (["--method", "raft2"], "'raft2' is not one of"),
        (["--method", "sift", "--model", "3"], "--model and --method exclude each other"),
        (["--checkpoint", "ck"], "config.json is missing"),
        (["--checkpoint", "bad"], "model.safetensors"),
        (["--method", "sift", "--max-queue", "0"], "--max-queue must be 1 or more"),
        (["--method", "sift", "--max-upload-mb", "0"], "--max-upload-mb must be above 0"),
        (["--fast"], "unknown option --fast"),
    ):
        assert main(["serve", *(["--port", "0"] if "--port" not in arguments else []), *arguments]) == 2, arguments
        output, errors = capfd.readouterr()
        assert output == ""
        assert errors.count("\n") == 1, errors
        assert message in errors
    assert set(workdir.rglob("*")) == before
    assert signal.getsignal(signal.SIGTERM) == handler


def test_a_free_port_is_found() -> None:
    assert 1024 < free_port("127.0.0.1", 0) < 65_536


def test_the_champion_answers_to_its_names(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    night = ModelChoice("crossscale", "night", "ck", 4)
    monkeypatch.setattr(app, "registered_model", lambda _text, _uri: night)
    first, *others = served_models(ServeSettings())
    assert first.choice == night
    assert first.names == ("night", "crossscale", "4", "champion")
    offered = {name for model in others for name in model.names}
    assert {"identity", "sift", "median"} <= offered
    assert not {"raft", "loftr", "crossscale"} & offered
    assert served_models(ServeSettings(model="night"))[0].names == ("night", "crossscale", "4")


def test_a_registry_out_of_reach_is_not_called_empty(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from raylign.platform.tracking import TrackingError

    def unreachable(_text: str, _uri: str | None) -> None:
        raise TrackingError("MLflow at http://there does not answer")

    monkeypatch.setattr(models, "resolve_model", unreachable)
    with pytest.raises(TrackingError, match=r"does not answer$"):
        served_models(ServeSettings(tracking_uri="http://there"))


def test_application_arguments_are_checked() -> None:
    with pytest.raises(InputError, match="unknown argument modell; there is checkpoint"):
        app.app_builder({"modell": "champion"})
    with pytest.raises(InputError, match="must be a number"):
        app.app_builder({"method": "sift", "max_queue": "many"})
    assert app.app_builder({"method": "sift", "max_upload_mb": "8", "max_queue": "3"}) is not None
