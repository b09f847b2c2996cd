"""Checkpoints: a round trip, and one clear line for everything that is no checkpoint."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from raylign.methods import load
from raylign.methods.checkpoints import load_checkpoint
from raylign.methods.crossscale import CrossScale
from raylign.methods.errors import CheckpointError, UnknownMethodError
from tests.methods.small import SMALL, picture, small_network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    network = small_network(seed=1, backbone_weights=None)
    with torch.no_grad():
        network.coarse.offsets.weight.normal_(generator=torch.Generator().manual_seed(0))
    network.save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a test tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def rewrite(folder: Path, **changes: Any) -> None:
    content = json.loads((folder / "config.json").read_text())
    content.update(changes)
    (folder / "config.json").write_text(json.dumps(content))


def test_round_trip(folder: Path) -> None:
    original = small_network(seed=1)
    with torch.no_grad():
        original.coarse.offsets.weight.normal_(generator=torch.Generator().manual_seed(0))
    loaded = load(folder)
    assert isinstance(loaded, CrossScale)
    assert not loaded.training
    loaded.inference = original.inference
    assert loaded.config == original.config
    state = loaded.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in original.state_dict().items())
    reference, source = picture(0, (70, 90)), picture(1, (70, 90))[:, None]
    assert torch.equal(loaded.align(reference, source).image, original.align(reference, source).image)


def test_loaded_weights_lie_in_memory_as_trained_ones_do(folder: Path) -> None:
    # Where the file has them they begin at any multiple of 8 bytes, and products of matrices may round differently.
    assert all(parameter.data_ptr() % 64 == 0 for parameter in load(folder).parameters())


def test_a_loaded_model_can_be_trained_and_saved(folder: Path, tmp_path: Path) -> None:
    network = CrossScale.from_pretrained(folder)
    pictures = picture(0, (96, 96), 2)
    network.train().training_step({"reference": pictures, "source": pictures.flip(0)})["loss"].backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    network.save_pretrained(tmp_path / "again")
    assert isinstance(load_checkpoint(tmp_path / "again"), CrossScale)


def test_config_names_the_method_and_every_field(folder: Path) -> None:
    content = json.loads((folder / "config.json").read_text())
    assert content["method"] == "crossscale"
    assert content["version"] == 1
    assert content["backbone"] == "resnet18"
    assert content["mesh"] == list(SMALL["mesh"])
    assert {path.name for path in folder.iterdir()} >= {"config.json", "model.safetensors"}


@pytest.mark.usefixtures("no_network")
def test_backbone_weights_are_not_fetched_again(folder: Path) -> None:
    rewrite(folder, backbone_weights="imagenet")
    network = load_checkpoint(folder)
    assert isinstance(network, CrossScale)
    assert network.config.frozen_norm
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert "backbone.stem.1.weight" in frozen
    assert "backbone.stem.0.weight" not in frozen


@pytest.mark.usefixtures("no_network")
def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no folder"):
        load_checkpoint(tmp_path / "nothing")
    with pytest.raises(UnknownMethodError, match="neither a method"):
        load(tmp_path / "nothing")


def test_every_defect_is_told_in_one_line(folder: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    config = (folder / "config.json").read_text()

    def restore() -> None:
        (folder / "model.safetensors").write_bytes(weights)
        (folder / "config.json").write_text(config)

    def truncate() -> None:
        (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])

    def garbage() -> None:
        (folder / "model.safetensors").write_bytes(b"\x80\x04pickle" * 20)

    defects: list[tuple[Any, str]] = [
        (lambda: (folder / "model.safetensors").unlink(), "has no model.safetensors"),
        (truncate, "is damaged"),
        (garbage, "is damaged"),
        (lambda: (folder / "model.safetensors").write_bytes(b""), "is damaged"),
        (lambda: (folder / "config.json").unlink(), "has no config.json"),
        (lambda: (folder / "config.json").write_text("{"), "cannot be read as JSON"),
        (lambda: (folder / "config.json").write_bytes(b"\xff\xfe\x00"), "cannot be read as JSON"),
        (lambda: (folder / "config.json").write_text("[]"), "does not name a method"),
        (lambda: (folder / "config.json").write_text('{"levels": 1}'), "does not name a method"),
        (lambda: rewrite(folder, method="teleport"), "does not have"),
        (lambda: rewrite(folder, method="sift"), "does not have"),
        (lambda: rewrite(folder, version=99), "has version 99"),
        (lambda: rewrite(folder, colour="blue"), "unknown fields"),
        (lambda: rewrite(folder, levels=17), "levels must be"),
        (lambda: rewrite(folder, levels="many"), "is no configuration"),
        (lambda: rewrite(folder, backbone="vgg"), "is no configuration"),
        (lambda: rewrite(folder, mesh=7), "is no configuration"),
        (lambda: rewrite(folder, levels=0), "does not fit"),
        (lambda: rewrite(folder, trunk=24), "does not fit"),
    ]
    for spoil, message in defects:
        restore()
        spoil()
        with pytest.raises(CheckpointError, match=message) as caught:
            load_checkpoint(folder)
        assert "\n" not in str(caught.value)
        with pytest.raises(CheckpointError):
            CrossScale.from_pretrained(folder)
    restore()
    load_checkpoint(folder)


def test_pickles_are_not_read(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(small_network().state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors"):
        load_checkpoint(folder)


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint folder, and the hub does not give it") as caught:
        CrossScale.from_pretrained("somebody/something", local_files_only=True, cache_dir=tmp_path)
    assert "\n" not in str(caught.value)
