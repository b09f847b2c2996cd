"""The registry of methods. Importing it loads neither torch nor any method."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import UnknownMethodError

if TYPE_CHECKING:
    from .aligner import Aligner

ENTRY_POINT_GROUP = "raylign.methods"


@dataclass(frozen=True)
class MethodEntry:
    """One line of the registry: where a method's class lies, and what it does in a few words."""

    target: str
    """`module:Class`; a leading dot means relative to `raylign.methods`."""
    summary: str
    learned: bool = False


_BUILT_IN: dict[str, MethodEntry] = {
    "crossscale": MethodEntry(
        ".crossscale:CrossScale", "dense cross-scale homography and mesh, JND-guided (learned)", learned=True
    ),
    "identity": MethodEntry(".classical.identity:Identity", "leaves the source where it is (lower bound)"),
    "sift": MethodEntry(".classical.sift:Sift", "SIFT keypoints and a MAGSAC homography"),
}


def _entries() -> dict[str, MethodEntry]:
    """Built-in methods and those that other distributions announce in the group `raylign.methods`."""
    found = dict(_BUILT_IN)
    for point in entry_points(group=ENTRY_POINT_GROUP):
        found.setdefault(point.name, MethodEntry(point.value, f"from {point.dist.name if point.dist else '?'}"))
    return found


def names(*, learned: bool | None = None) -> list[str]:
    """Names of all methods, sorted; only the learned or only the classical ones if asked."""
    return sorted(name for name, entry in _entries().items() if learned is None or entry.learned is learned)


def summary(name: str) -> str:
    """What the method does, in a few words.

    Raises:
        UnknownMethodError: no method has this name.
    """
    return _entry(name).summary


def method_class(name: str) -> type[Aligner]:
    """The class behind a method's name.

    Raises:
        UnknownMethodError: no method has this name.
    """
    module, _, attribute = _entry(name).target.partition(":")
    package = __package__ if module.startswith(".") else None
    return getattr(importlib.import_module(module, package), attribute)


def load(name_or_checkpoint: str | Path) -> Aligner:
    """A ready method: by name (learned ones untrained, with their default configuration), or from a checkpoint.

    Args:
        name_or_checkpoint: a name of `names()`, or a folder written by `save_pretrained` (`config.json` names the
            method, `model.safetensors` holds the weights).

    Raises:
        UnknownMethodError: neither a method's name nor a folder.
        CheckpointError: the folder is no complete checkpoint.
    """
    text = str(name_or_checkpoint)
    if text in _entries():
        return method_class(text)()
    folder = Path(text)
    if not folder.is_dir():
        raise UnknownMethodError(
            f"'{text}' is neither a method ({', '.join(names())}) nor a checkpoint folder; check the spelling or path"
        )
    from .checkpoints import load_checkpoint

    return load_checkpoint(folder)


def _entry(name: str) -> MethodEntry:
    try:
        return _entries()[name]
    except KeyError:
        raise UnknownMethodError(f"unknown method '{name}'; choose one of {', '.join(names())}") from None
