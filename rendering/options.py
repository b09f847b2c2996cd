"""The options that every kind of scenes has, and what a kind makes of them: a plan."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable
from dataclasses import dataclass

from ..methods.errors import InputError
from ..platform.data.shards import DatasetInfo, resolve
from .kinds import Device

SMALLEST, LARGEST = 32, 8192
"""Bounds of the pictures' height, in pixels."""
MOST_SAMPLES = 999_999
"""Samples that a dataset may have."""


@dataclass(frozen=True)
class RenderOptions:
    """What to render, where to, and with what."""

    scenes: int
    """How many scenes; each becomes one sample."""
    out: str
    """Folder or URL (s3://, gs://) of the dataset."""
    seed: int = 0
    """Decides everything that is random."""
    size: int = 256
    """Height of the pictures, in pixels; the width is --scene.aspect times as much."""
    address: str | None = None
    """Ray cluster; default: RAY_ADDRESS, else this machine."""
    workers: int | None = None
    """Render processes; default: as many as the cluster has room for, also when it grows or shrinks."""
    device: Device = "cpu"
    """What Blender computes on; with cuda or optix each render process takes a GPU."""
    worker_cpus: int = 1
    """CPUs, and threads of Blender, of a render process. One renders most pictures; more make one picture sooner."""
    memory_limit: float = 3.0
    """Memory in GiB from which on a render process is replaced, once its shard is out."""
    scene_timeout: float = 1800.0
    """Seconds after which a scene is given up and its process replaced."""
    blender_python: str | None = None
    """Python of another environment that has raylign[render], for the render processes."""
    shard_size: int = 8
    """Scenes per shard; a shard is what the loss of a process can cost."""
    val_fraction: float = 0.1
    """Share of scenes for validation."""
    test_fraction: float = 0.1
    """Share of scenes for the test."""
    dry_run: bool = False
    """Render a few scenes for measurement, write nothing to --out, and tell what the whole would take."""
    dry_run_scenes: int = 12
    """Scenes to measure, evenly spread over the dataset."""
    nodes: tuple[int, ...] = (4, 16)
    """Numbers of machines like this one to tell the time for."""
    price: float = 0.04
    """Price of a core-hour, for the cost of a dry run."""


@dataclass(frozen=True)
class Plan:
    """A dataset that is to be rendered."""

    kind: str
    info: DatasetInfo
    """Its description. Whatever changes its bytes is in there."""
    scene: Callable[[int], str]
    """What the actors need to know of the scene of an index, as JSON (`Kind.read`)."""
    pictures: int
    """Pictures that a camera takes in a scene."""
    folder: str | None = None
    """Folder of pictures that the scenes show; None for what raylign has itself."""
    notes: tuple[str, ...] = ()
    """What the user should know before it starts."""


def absolute(options: RenderOptions) -> RenderOptions:
    """The options with absolute local paths: the actors work elsewhere."""
    changes: dict[str, str] = {}
    for name in ("out", "textures", "assets", "blender_python"):
        value = getattr(options, name, None)
        if value and "://" not in value:
            changes[name] = os.path.abspath(os.path.expanduser(value))
    return dataclasses.replace(options, **changes)  # type: ignore[arg-type]


def check(options: RenderOptions) -> None:
    """Check what all kinds share.

    Raises:
        InputError: an option is out of its bounds; the line names its flag.
    """
    for name in ("scenes", "shard_size", "workers", "worker_cpus", "dry_run_scenes"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"{_flag(name)}: {value} is below 1")
    if options.scenes > MOST_SAMPLES:
        raise InputError(
            f"--scenes: {options.scenes} is above {MOST_SAMPLES}, the largest number that a sample's key can hold"
        )
    if not SMALLEST <= options.size <= LARGEST:
        raise InputError(f"--size: {options.size} is not between {SMALLEST} and {LARGEST}")
    if not min(options.val_fraction, options.test_fraction) >= 0:
        raise InputError("--val-fraction, --test-fraction: a share of scenes cannot be negative")
    if not options.val_fraction + options.test_fraction < 1:
        raise InputError("--val-fraction, --test-fraction: they leave no scene for training")
    for name in ("scene_timeout", "memory_limit"):
        if not getattr(options, name) > 0:
            raise InputError(f"{_flag(name)}: {getattr(options, name)} is not above 0")
    if not 0 <= options.price < math.inf:
        raise InputError(f"--price: {options.price} is not a price")
    if any(nodes < 1 for nodes in options.nodes):
        raise InputError("--nodes: a number of machines is at least 1")
    if options.blender_python and not options.address and not os.access(options.blender_python, os.X_OK):
        raise InputError(f"--blender-python {options.blender_python}: no such program")
    if not options.out:
        raise InputError("--out: is empty")
    resolve(options.out)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
