"""`raylign render KIND`: renders a dataset, and takes up one that was interrupted."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys

from ..methods.errors import InputError, RaylignError
from ..platform.data.shards import DatasetInfo
from .job import shards_of, standing, writing
from .kinds import KINDS, kind, part
from .options import Plan, RenderOptions, absolute


def main(arguments: list[str]) -> int:
    """Run `raylign render`.

    Raises:
        InputError: an argument is wrong; the line names it.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    chosen = kind(arguments[0])
    options = absolute(part(chosen.options)(arguments[1:]))
    plan: Plan = part(chosen.plan)(options)
    for note in plan.notes:
        print(note, file=sys.stderr)
    if options.dry_run:
        from .estimate import dry_run

        _need_blender(options, plan)
        return dry_run(options, plan)
    return render(options, plan)


def usage() -> str:
    """The help text of `raylign render --help`."""
    return "\n".join(
        [
            "usage: raylign render KIND --scenes N --out URL [OPTIONS]",
            "",
            "Render a dataset. Kinds of scenes:",
            "",
            *(f"  {name:<8}  {each.summary}" for name, each in KINDS.items()),
            "",
            "'raylign render KIND --help' tells the options of a kind.",
        ]
    )


def _need_blender(options: RenderOptions, plan: Plan) -> None:
    if kind(plan.kind).blender and options.blender_python is None and importlib.util.find_spec("bpy") is None:
        raise InputError("Blender is missing; install it with: pip install 'raylign[render]' (Python 3.11)")


def render(options: RenderOptions, plan: Plan) -> int:
    """Render, or go on rendering, a dataset; returns the exit status.

    Raises:
        InputError: an option is wrong, Blender is missing, or the dataset cannot be written.
        RaylignError: not one scene could be rendered.
    """
    info, missing = standing(options.out, plan.info)
    if info.complete and not missing:
        print(f"{options.out} is complete already: {_summary(info)}", file=sys.stderr)
        return 0
    if missing:
        _need_blender(options, plan)
    with writing(options.out):
        # Another run may have finished in between.
        info, missing = standing(options.out, plan.info)
        info = dataclasses.replace(info, complete=False)
        # An interruption leaves this, and the next run goes on from it.
        info.save(options.out)
        if missing:
            info = _render(options, plan, info, missing)
        if len(info.failed) == info.scenes:
            raise RaylignError(f"no scene could be rendered: {next(iter(info.failed.values()))}")
        dataclasses.replace(info, complete=True).save(options.out)
    print(f"{options.out}: {_summary(info)}", file=sys.stderr)
    return 0


def _render(options: RenderOptions, plan: Plan, info: DatasetInfo, missing: list[str]) -> DatasetInfo:
    """Render the missing shards on Ray; returns the description with the failures."""
    # Ray is imported only when there is something to render.
    from ..platform.cluster import ray_session
    from .farm import Farm, Shard
    from .watch import Watch

    shards = [Shard(name, indices) for name, indices in shards_of(info).items() if name in missing]
    remade = {shard.key(index) for shard in shards for index in shard.indices}
    scenes = len(remade)
    if scenes < info.scenes:
        print(f"going on with {options.out}: {scenes} of {info.scenes} scenes are missing", file=sys.stderr)
    cpus = (options.workers or 0) * options.worker_cpus or None
    with ray_session(options.address, num_cpus=cpus), Watch(scenes, plan.pictures) as watch:
        farm = Farm.of(options, plan)
        farm.on_scene, farm.on_failure = watch.scene, watch.failure
        farm.on_put_aside = lambda failed: dataclasses.replace(info, failed=dict(failed)).save(options.out)
        # A shard that is missing is made whole: failures of an earlier run get another chance.
        farm.failed = {key: reason for key, reason in info.failed.items() if key not in remade}
        return dataclasses.replace(info, failed=dict(sorted(farm.render(shards).items())))


def _summary(info: DatasetInfo) -> str:
    made = info.scenes - len(info.failed)
    splits = sorted(info.splits.items(), key=lambda split: split[1])
    parts = ", ".join(f"{name} {end - first}" for name, (first, end) in splits)
    failed = f"; {len(info.failed)} failed (reasons in dataset.json)" if info.failed else ""
    return f"{made} scenes ({parts}){failed}"
