"""`raylign render KIND`: renders a dataset, and takes up one that was interrupted."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import sys
from dataclasses import dataclass, field
from typing import Literal

import tyro

from ..methods.errors import InputError, RaylignError
from ..platform.arguments import parse
from ..platform.data.shards import DatasetInfo, resolve
from .config import SidarConfig
from .job import shards_of, standing, writing
from .presets import preset_in
from .sampling import SAMPLER_VERSION, sample_scene
from .splits import split_ranges
from .textures import Textures, check_pictures, plan_textures

KINDS = {"sidar": "a painting in several frames under changing lights, occluders and cameras (SIDAR, DIAR)"}
"""Scene kinds, and what they show."""

SMALLEST, LARGEST = 32, 8192
"""Bounds of the frames' height, in pixels."""


@dataclass(frozen=True)
class SidarOptions:
    """Render painted planes under changing light: frames, masks of the occluders, ground truth and homographies.

    The same seed and settings give the same bytes, whatever the number of workers. Run the same command again to go
    on after an interruption: only what is missing is rendered.
    """

    scenes: int
    """How many scenes; each becomes one sample."""
    out: str
    """Folder or URL (s3://, gs://) of the dataset."""
    preset: Literal["released", "handheld"] = "released"
    """What the scene options start from: the released ranges, or a print photographed by hand in daylight."""
    seed: int = 0
    """Decides everything that is random."""
    size: int = 256
    """Height of the frames, in pixels; the width is --scene.aspect times as much."""
    workers: int | None = None
    """Render processes, one CPU each; default: as many as there are CPUs."""
    textures: str | None = None
    """Folder of pictures to show instead of the built-in paintings; every render machine must see it."""
    address: str | None = None
    """Ray cluster; default: RAY_ADDRESS, else this machine."""
    shard_size: int = 8
    """Scenes per shard; a shard is what an interruption can lose."""
    val_fraction: float = 0.1
    """Share of scenes for validation."""
    test_fraction: float = 0.1
    """Share of scenes for the test."""
    blender_python: str | None = None
    """Python of another environment that has raylign[render], for the render processes."""
    scene_timeout: float = 1800.0
    """Seconds after which a scene is given up and its process replaced."""
    scene: SidarConfig = field(default_factory=SidarConfig)
    """What a scene may look like."""


def main(arguments: list[str]) -> int | None:
    """Run `raylign render`.

    Raises:
        InputError: an argument is wrong; the line names it.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    kind, rest = arguments[0], arguments[1:]
    if kind not in KINDS:
        raise InputError(f"unknown scene kind '{kind}'; choose one of {', '.join(KINDS)}")
    start = SidarOptions(scenes=tyro.MISSING, out=tyro.MISSING, scene=preset_in(rest))
    return render_sidar(parse(SidarOptions, rest, "render sidar", default=start))


def usage() -> str:
    """The help text of `raylign render --help`."""
    return "\n".join(
        [
            "usage: raylign render KIND --scenes N --out URL [OPTIONS]",
            "",
            "Render a dataset with Blender. Kinds of scenes:",
            "",
            *(f"  {name:<8}  {summary}" for name, summary in KINDS.items()),
            "",
            "'raylign render KIND --help' tells the options of a kind.",
        ]
    )


def render_sidar(options: SidarOptions) -> int:
    """Render, or go on rendering, a SIDAR dataset; returns the exit status.

    Raises:
        InputError: an option is wrong, Blender is missing, or the dataset cannot be written.
        RaylignError: not one scene could be rendered.
    """
    options = _absolute(options)
    _check(options)
    splits = split_ranges(options.scenes, options.val_fraction, options.test_fraction)
    textures, identity = plan_textures(options.scene, splits, options.textures)
    if options.textures is not None:
        check_pictures(textures, options.seed, options.textures, options.scenes)
    wanted = describe(options, splits, identity)
    info, missing = standing(options.out, wanted)
    if info.complete and not missing:
        print(f"{options.out} is complete already: {_summary(info)}", file=sys.stderr)
        return 0
    if missing and options.blender_python is None and importlib.util.find_spec("bpy") is None:
        raise InputError("Blender is missing; install it with: pip install 'raylign[render]' (Python 3.11)")
    with writing(options.out):
        # Another run may have finished in between.
        info, missing = standing(options.out, wanted)
        info = dataclasses.replace(info, complete=False)
        # An interruption leaves this, and the next run goes on from it.
        info.save(options.out)
        if missing:
            info = _render(options, textures, info, missing)
        if len(info.failed) == info.scenes:
            raise RaylignError(f"no scene could be rendered: {next(iter(info.failed.values()))}")
        dataclasses.replace(info, complete=True).save(options.out)
    print(f"{options.out}: {_summary(info)}", file=sys.stderr)
    return 0


def describe(options: SidarOptions, splits: dict[str, list[int]], textures: dict[str, object]) -> DatasetInfo:
    """The dataset that the options mean. Whatever changes its bytes is in here."""
    settings = {"sampler": SAMPLER_VERSION, "size": options.size, "textures": textures}
    return DatasetInfo(
        kind="sequence",
        generator="sidar",
        settings={**settings, "scene": dataclasses.asdict(options.scene)},
        seed=options.seed,
        scenes=options.scenes,
        shard_size=options.shard_size,
        splits=splits,
        fields=["NNN.png", "NNN.mask.png", "gt.png", "meta.json"],
        units={"homographies": "pixels of frame 0 to pixels of frame k, pixel centres at integers"},
    )


def _render(options: SidarOptions, textures: Textures, info: DatasetInfo, missing: list[str]) -> DatasetInfo:
    """Render the missing shards on Ray; returns the description with the failures."""
    # Ray is imported only when there is something to render.
    import ray

    from ..platform.cluster import ray_session
    from ..platform.progress import Progress
    from .farm import Farm, Shard

    shards = [
        Shard(
            name,
            {
                spec.key: spec.to_json()
                for spec in (
                    sample_scene(options.scene, options.seed, index, options.size, textures.choose(options.seed, index))
                    for index in indices
                )
            },
        )
        for name, indices in shards_of(info).items()
        if name in missing
    ]
    remade = {key for shard in shards for key in shard.scenes}
    scenes = len(remade)
    if scenes < info.scenes:
        print(f"going on with {options.out}: {scenes} of {info.scenes} scenes are missing", file=sys.stderr)
    with ray_session(options.address, num_cpus=options.workers), Progress("rendering", scenes, "scene") as bar:
        farm = Farm(
            url=options.out,
            pictures=options.textures,
            workers=options.workers or max(1, int(ray.cluster_resources().get("CPU", 1))),
            blender_python=options.blender_python,
            scene_timeout=options.scene_timeout,
            on_scene=lambda change, failed: bar.advance(change, f"({failed} failed)" if failed else ""),
            on_failure=lambda failed: dataclasses.replace(info, failed=dict(failed)).save(options.out),
            # A shard that is missing is made whole: failures of an earlier run get another chance.
            failed={key: reason for key, reason in info.failed.items() if key not in remade},
        )
        return dataclasses.replace(info, failed=dict(sorted(farm.render(shards).items())))


def _absolute(options: SidarOptions) -> SidarOptions:
    """The options with absolute local paths: the actors work elsewhere."""
    changes: dict[str, str] = {}
    for name in ("out", "textures", "blender_python"):
        value = getattr(options, name)
        if value and "://" not in value:
            changes[name] = os.path.abspath(os.path.expanduser(value))
    return dataclasses.replace(options, **changes)  # type: ignore[arg-type]


def _check(options: SidarOptions) -> None:
    for name, least in (("scenes", 1), ("shard_size", 1), ("workers", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise InputError(f"--{name.replace('_', '-')}: {value} is below {least}")
    if options.scenes > 999_999:
        raise InputError(f"--scenes: {options.scenes} is above 999999, the largest number that a sample's key can hold")
    if not SMALLEST <= options.size <= LARGEST:
        raise InputError(f"--size: {options.size} is not between {SMALLEST} and {LARGEST}")
    if not min(options.val_fraction, options.test_fraction) >= 0:
        raise InputError("--val-fraction, --test-fraction: a share of scenes cannot be negative")
    if not options.val_fraction + options.test_fraction < 1:
        raise InputError("--val-fraction, --test-fraction: they leave no scene for training")
    if not options.scene_timeout > 0:
        raise InputError(f"--scene-timeout: {options.scene_timeout} is not above 0")
    options.scene.validate()
    if options.blender_python and not options.address and not os.access(options.blender_python, os.X_OK):
        raise InputError(f"--blender-python {options.blender_python}: no such program")
    if not options.out:
        raise InputError("--out: is empty")
    resolve(options.out)


def _summary(info: DatasetInfo) -> str:
    made = info.scenes - len(info.failed)
    splits = sorted(info.splits.items(), key=lambda split: split[1])
    parts = ", ".join(f"{name} {end - first}" for name, (first, end) in splits)
    failed = f"; {len(info.failed)} failed (reasons in dataset.json)" if info.failed else ""
    return f"{made} scenes ({parts}){failed}"
