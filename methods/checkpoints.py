"""Checkpoints of learned methods: a folder with `config.json` and `model.safetensors`. Nothing is ever unpickled."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from .aligner import Aligner, LearnedAligner
from .errors import CheckpointError, RaylignError
from .registry import method_class, names

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
FORMAT_VERSION = 1
"""Counts up when a file of this version can no longer be read by older programs."""

Model = TypeVar("Model", bound=LearnedAligner)


def write_checkpoint(folder: Path, model: LearnedAligner) -> None:
    """Write a model into a folder: `{"method", "version", <fields of its configuration>}` and its weights."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    (folder / CONFIG_FILE).write_text(json.dumps(config_content(model), indent=2) + "\n")


def config_content(model: LearnedAligner) -> dict[str, Any]:
    """What `config.json` holds of a model."""
    return {"method": model.name, "version": FORMAT_VERSION, **asdict(model.config)}


def load_checkpoint(folder: str | Path) -> Aligner:
    """The model of a checkpoint folder, in evaluation mode; `config.json` names the method.

    Raises:
        CheckpointError: the folder is no complete checkpoint of a known method.
    """
    folder = Path(folder)
    method = _read_config(folder)["method"]
    if method not in names(learned=True):
        raise CheckpointError(
            f"{folder / CONFIG_FILE} names the method '{method}', which this installation does not have; it has "
            f"{', '.join(names(learned=True))}"
        )
    cls = method_class(method)
    assert issubclass(cls, LearnedAligner)
    return read_checkpoint(folder, cls)


def read_checkpoint(folder: Path, cls: type[Model]) -> Model:
    """The model of a checkpoint folder of the method `cls`, in evaluation mode.

    Raises:
        CheckpointError: the folder is no complete checkpoint of this method.
    """
    content = _read_config(folder)
    method, version = content.pop("method"), content.pop("version", None)
    if method != cls.name:
        raise CheckpointError(f"{folder} holds the method '{method}', not '{cls.name}'; load it with that one")
    if version != FORMAT_VERSION:
        raise CheckpointError(f"{folder / CONFIG_FILE} has version {version}; this program reads {FORMAT_VERSION}")
    unknown = set(content) - {field.name for field in fields(cls.Config)}
    if unknown:
        raise CheckpointError(
            f"{folder / CONFIG_FILE} has unknown fields ({', '.join(sorted(unknown))}); update raylign"
        )
    try:
        config = cls.Config(**content)
        # Without storage: no time goes into random weights that the file replaces.
        with torch.device("meta"):
            model = cls(config, initialise=False)
    except (RaylignError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder / CONFIG_FILE} is no configuration of '{method}': {_one_line(error)}") from None
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {WEIGHTS_FILE}; copy the whole checkpoint folder")
    try:
        weights = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({_one_line(error)}); copy or train the checkpoint again") from None
    wanted = model.state_dict()
    wrong = sorted(
        name for name in wanted.keys() | weights.keys() if _shape(wanted.get(name)) != _shape(weights.get(name))
    )
    if wrong:
        raise CheckpointError(
            f"{path} does not fit its {CONFIG_FILE}: {len(wrong)} tensors differ, the first is '{wrong[0]}'"
        )
    # Loaded tensors take the place of the parameters as they are; what was frozen stays frozen. They are copied
    # because in the file they begin at any multiple of 8 bytes: some machines' matrix products round by alignment.
    model.load_state_dict({name: value.clone() for name, value in weights.items()}, assign=True)
    return model.eval()


def download_checkpoint(repository: str, **options: Any) -> Path:
    """Fetch the two files of a checkpoint from the Hugging Face hub; returns their folder in the cache.

    Raises:
        CheckpointError: the repository or one of the files cannot be had.
    """
    from huggingface_hub import hf_hub_download

    try:
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            path = hf_hub_download(repository, name, **options)
    except Exception as error:  # the hub's client raises those of its network library, too
        raise CheckpointError(
            f"'{repository}' is no checkpoint folder, and the hub does not give it: {_one_line(error)}"
        ) from None
    return Path(path).parent


def model_option(name: str, value: Any) -> str:
    """The command line's option that sets a field of the configuration."""
    dashed = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--model.{dashed}" if value else f"--model.no-{dashed}"
    values = value if isinstance(value, tuple) else (value,)
    return f"--model.{dashed} {' '.join(map(str, values))}"


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is no folder; give the folder that holds {CONFIG_FILE} and {WEIGHTS_FILE}")
    if not path.is_file():
        raise CheckpointError(f"{folder} is no checkpoint: it has no {CONFIG_FILE}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {_one_line(error)}") from None
    if not isinstance(content, dict) or not isinstance(content.get("method"), str):
        raise CheckpointError(f"{path} does not name a method; it was not written by raylign")
    return content


def _shape(tensor: torch.Tensor | None) -> tuple[int, ...] | None:
    return None if tensor is None else tuple(tensor.shape)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
