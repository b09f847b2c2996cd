"""Published weights: from a local file or, where asked for, by the download of the library. Nothing is ever unpickled.

A method with published weights takes the keywords `weights: str | Path | None = None, pretrained: bool = False`, is an
`nn.Module`, and fills its network by `load_published`, or by `state_dict` and `fit`; its line in the registry says
`published_weights=True`.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from urllib.parse import urlparse

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from .errors import InputError, MissingWeightsError

TORCH_SUFFIXES = (".pth", ".pt", ".ckpt")
"""Names of files that torch saved; only their tensors are read."""


def load_published(model: nn.Module, method: str, *, weights: str | Path | None, pretrained: bool, url: str) -> None:
    """Fill a network with published weights and put it into evaluation mode.

    Args:
        model: the network.
        method: name of the method, for messages.
        weights: see `state_dict`.
        pretrained: see `state_dict`.
        url: see `state_dict`.

    Raises:
        MissingWeightsError: neither a file nor the download was asked for.
        InputError: no weights are to be had there, or they do not fit the network.
    """
    fit(model, state_dict(method, weights, pretrained, url), method)
    model.eval()


def state_dict(method: str, weights: str | Path | None, pretrained: bool, url: str) -> dict[str, Tensor]:
    """The published tensors of a method, by name, on the CPU.

    Args:
        method: name of the method, for messages.
        weights: a local file: safetensors, or a dictionary of tensors saved by torch, maybe under the key `state_dict`.
        pretrained: take the file of `url` from torch's cache (`torch.hub`), or download it there first. A hash in the
            file's name is checked.
        url: where the weights are published.

    Raises:
        MissingWeightsError: neither a file nor the download was asked for.
        InputError: both were, the file is missing, damaged or holds more than tensors, or the download fails.
    """
    if weights is not None and pretrained:
        raise InputError(f"'{method}': a weights file and the download exclude each other; give one")
    if weights is not None:
        return _read(Path(weights).expanduser())
    if pretrained:
        return _download(method, url)
    raise MissingWeightsError(
        f"'{method}' needs published weights; give their file (--weights FILE, weights=...), or let "
        f"{url} be downloaded (--pretrained, pretrained=True)"
    )


def fit(model: nn.Module, found: Mapping[str, Tensor], method: str) -> None:
    """Copy tensors into a network whose names and shapes they must have.

    Raises:
        InputError: a name is missing or unknown, or a shape differs.
    """
    wanted = model.state_dict()
    reshaped = [name for name in found if name in wanted and found[name].shape != wanted[name].shape]
    keys = model.load_state_dict({name: found[name] for name in found if name not in reshaped}, strict=False)
    wrong = {
        "missing": [name for name in keys.missing_keys if name not in reshaped],
        "unknown": keys.unexpected_keys,
        "of another shape": reshaped,
    }
    told = [f"{len(those)} {what} (first '{those[0]}')" for what, those in wrong.items() if those]
    if told:
        raise InputError(f"these are no weights of '{method}': tensors {', '.join(told)}; give its published file")


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"weights {path}: there is no such file; check the path")
    if path.suffix not in (".safetensors", *TORCH_SUFFIXES):
        raise InputError(f"weights {path}: the name must end in .safetensors, {', '.join(TORCH_SUFFIXES)}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:
        raise InputError(
            f"weights {path}: the file is damaged, or holds more than tensors, which is not read; save its state dict "
            "as safetensors"
        ) from None
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise InputError(f"weights {path}: the file is damaged ({_one_line(error)}); fetch it again") from None
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"weights {path}: this is no dictionary of tensors; save the state dict of the network")
    return content


def _download(method: str, url: str) -> dict[str, Tensor]:
    path = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)
    if not path.is_file():
        try:
            # torch announces the download on standard output, which belongs to results.
            with contextlib.redirect_stdout(sys.stderr):
                torch.hub.load_state_dict_from_url(
                    url, map_location="cpu", progress=sys.stderr.isatty(), check_hash=True, weights_only=True
                )
        except (OSError, HTTPException, RuntimeError, ValueError, UnpicklingError) as error:
            raise InputError(
                f"'{method}': no weights from {url} ({_one_line(error)}); fetch the file elsewhere and put it at "
                f"{path}, or give it by --weights FILE"
            ) from None
    return _read(path)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
