"""The model registry and its two commands, against a real SQLite MLflow."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from raylign.methods.errors import CheckpointError, InputError
from raylign.platform import models
from raylign.platform.cli import main
from raylign.platform.models import champion, list_models, promote, register, resolve_model
from raylign.platform.tracking import Tracker


def write_checkpoint(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"method": "crossscale"}')
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "state.pt").write_bytes(b"optimizer")
    return folder


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database; making one takes seconds, copying it does not."""
    folder = tmp_path_factory.mktemp("empty")
    Tracker(f"sqlite:///{folder}/mlflow.db")
    return folder / "mlflow.db"


@pytest.fixture
def uri(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of its own for each test, in its working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "runs").mkdir()
    shutil.copy(empty, tmp_path / "runs" / "mlflow.db")
    return f"sqlite:///{tmp_path}/runs/mlflow.db"


def train(uri: str, name: str, method: str = "crossscale", **metrics: float) -> models.ModelVersion:
    with Tracker(uri).start_run("train", name, {"method": method}) as run:
        return register(uri, run.run_id, write_checkpoint(Path("work") / name), method, name, metrics)


def test_register_keeps_the_servable_files_alone(uri: str) -> None:
    made = train(uri, "first", val_psnr_overlap=20.5, loss=math.nan)
    assert (made.version, made.method, made.name, made.aliases) == (1, "crossscale", "first", ())
    assert made.metrics["val_psnr_overlap"] == 20.5
    assert math.isnan(made.metrics["loss"])
    assert made.checkpoint.is_absolute()
    assert sorted(path.name for path in made.checkpoint.iterdir()) == ["config.json", "model.safetensors"]
    assert list_models(uri) == [made] or math.isnan(list_models(uri)[0].metrics["loss"])


def test_registering_a_run_again_makes_no_second_version(uri: str) -> None:
    run = Tracker(uri).start_run("train", "r", {})
    folder = write_checkpoint(Path("work"))
    versions = [register(uri, run.run_id, folder, "crossscale", "r", {"loss": 1.0}).version for _ in range(2)]
    assert versions == [1, 1]


def test_an_incomplete_checkpoint_is_refused(uri: str, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text("{}")
    run = Tracker(uri).start_run("train", "r", {})
    with pytest.raises(CheckpointError, match=r"model\.safetensors missing"):
        register(uri, run.run_id, tmp_path / "half", "crossscale", "r", {})
    assert list_models(uri) == []


def test_resolve_by_version_run_name_method_and_alias(uri: str) -> None:
    for name, method in [("a", "crossscale"), ("b", "diar"), ("a", "crossscale"), ("c", "crossscale")]:
        train(uri, name, method)
    assert [model.version for model in list_models(uri)] == [4, 3, 2, 1]
    assert resolve_model("2", uri).name == "b"
    assert resolve_model("a", uri).version == 3
    assert resolve_model("crossscale", uri).version == 4
    with pytest.raises(InputError, match="no model is the champion yet; run 'raylign promote MODEL'"):
        champion(uri)
    assert promote("diar", uri).aliases == ("champion",)
    assert champion(uri).version == 2
    assert promote("1", uri).version == champion(uri).version == 1
    assert [model.version for model in list_models(uri) if model.aliases] == [1]


@pytest.mark.parametrize("text", ["9", "nobody", "Champion"])
def test_unknown_model_names_what_there_is(uri: str, text: str) -> None:
    train(uri, "a")
    with pytest.raises(InputError, match=rf"no model '{text}'; there is 1 \(a, crossscale\)"):
        resolve_model(text, uri)


def test_empty_registry_tells_the_cure_and_makes_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert list_models() == []
    with pytest.raises(InputError, match="nothing is trained yet; run 'raylign train"):
        champion()
    assert not list(tmp_path.rglob("*.db"))


def test_many_versions_are_paged(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_PAGE", 3)
    tracker = Tracker(uri)
    tracker.client.create_registered_model("raylign")
    for i in range(8):
        tags = {"method": "diar", "run_name": f"r{i}"}
        tracker.client.create_model_version("raylign", f"file:///nowhere/{i}", tags=tags, await_creation_for=0)
    assert [model.version for model in list_models(uri)] == [8, 7, 6, 5, 4, 3, 2, 1]


def test_files_that_are_gone_are_told(uri: str) -> None:
    made = train(uri, "a")
    shutil.rmtree(made.checkpoint)
    with pytest.raises(CheckpointError, match=r"files of model 1 \(a\) are gone"):
        promote("a", uri)


def test_a_moved_project_folder_still_finds_its_models(uri: str, tmp_path: Path) -> None:
    train(uri, "a")
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    found = resolve_model("a", f"sqlite:///{tmp_path}/elsewhere/mlflow.db")
    assert found.checkpoint.is_relative_to(tmp_path / "elsewhere")
    assert (found.checkpoint / "model.safetensors").read_bytes() == b"weights"


def test_remote_artifacts_are_downloaded_once(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # An artifact store by another scheme than file: MLflow's own local repository behind it.
    from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry as registry
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    class Bucket(LocalArtifactRepository):
        def __init__(self, uri: str, *_: object, **__: object) -> None:
            super().__init__(uri.replace("bucket://host", f"file://{tmp_path}/bucket"))

        def download_artifacts(self, artifact_path: str, dst_path: str | None = None) -> str:
            copy = Path(str(dst_path)) / "checkpoint"
            shutil.copytree(super().download_artifacts(artifact_path), copy)
            return str(copy)

    monkeypatch.setitem(registry._registry, "bucket", Bucket)
    tracker = Tracker(uri)
    tracker.client.create_experiment("remote", artifact_location="bucket://host/1")
    run = tracker.start_run("remote", "r", {})
    register(uri, run.run_id, write_checkpoint(tmp_path / "work"), "crossscale", "r", {})
    assert not list_models(uri)[0].checkpoint.exists()
    folder = resolve_model("r", uri).checkpoint
    assert folder.is_relative_to(tmp_path / "cache")
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    shutil.rmtree(tmp_path / "bucket")
    assert resolve_model("r", uri).checkpoint == folder


def test_commands(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert "raylign train METHOD" in capsys.readouterr().out
    train(uri, "first", val_psnr_overlap=21.25, loss=math.inf)
    assert main(["promote", "first"]) == 0
    assert "model 1 (first, crossscale) is the champion" in capsys.readouterr().out
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert "first" in out
    assert "psnr_overlap 21.25" in out
    assert main(["models", "--json", "--tracking-uri", uri]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["version"] == 1
    assert row["aliases"] == ["champion"]
    assert row["metrics"] == {"val_psnr_overlap": 21.25, "loss": None}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["promote", "nobody"], "no model 'nobody'"),
        (["promote"], "MODEL"),
        (["promote", "1", "--tracking-uri", "./mlruns"], "--tracking-uri './mlruns'"),
        (["models", "--tracking-uri", "http://127.0.0.1:1"], "no MLflow server answers"),
        (["models", "--jsonn"], "--jsonn"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(
    uri: str, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
