"""The options of `raylign render sidar`, and the dataset that they mean."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

import tyro

from ...platform.arguments import parse
from ...platform.data.shards import DatasetInfo
from ..options import Plan, RenderOptions, check
from ..splits import split_ranges
from ..textures import plan_textures
from .config import SidarConfig
from .presets import preset_in
from .sampling import SAMPLER_VERSION, sample_scene


@dataclass(frozen=True)
class SidarOptions(RenderOptions):
    """Render painted planes under changing light: frames, masks of the occluders, ground truth and homographies.

    The same seed and settings give the same bytes, whatever the number of workers. Run the same command again to go
    on after an interruption: only what is missing is rendered.
    """

    preset: Literal["released", "handheld"] = "released"
    """What the scene options start from: the released ranges, or a print photographed by hand in daylight."""
    textures: str | None = None
    """Folder of pictures to show instead of the built-in paintings; every render machine must see it."""
    scene: SidarConfig = field(default_factory=SidarConfig)
    """What a scene may look like."""


def read_options(arguments: list[str]) -> SidarOptions:
    """The options on the command line.

    Raises:
        InputError: an argument is wrong; the line names it.
    """
    start = SidarOptions(scenes=tyro.MISSING, out=tyro.MISSING, scene=preset_in(arguments))
    return parse(SidarOptions, arguments, "render sidar", default=start)


def plan(options: SidarOptions) -> Plan:
    """The dataset that the options mean.

    Raises:
        InputError: an option is wrong, or no picture of the folder can be used.
    """
    check(options)
    options.scene.validate()
    config, splits = options.scene, split_ranges(options.scenes, options.val_fraction, options.test_fraction)
    textures, identity, refused = plan_textures(config.picture_share, config.picture_crop, splits, options.textures)
    depth = ["NNN.depth.npz"] if config.depth else []
    info = DatasetInfo(
        kind="sequence",
        generator="sidar",
        settings={
            "sampler": SAMPLER_VERSION,
            "size": options.size,
            "device": options.device,
            "textures": identity,
            "scene": dataclasses.asdict(config),
        },
        seed=options.seed,
        scenes=options.scenes,
        shard_size=options.shard_size,
        splits=splits,
        fields=["NNN.png", "NNN.mask.png", *depth, "gt.png", "meta.json"],
        units={
            "homographies": "pixels of frame 0 to pixels of frame k, pixel centres at integers",
            **({"depth": "Blender units along the optical axis; the painting is 7 high"} if config.depth else {}),
        },
    )

    def scene(index: int) -> str:
        texture = textures.choose(options.seed, index)
        return sample_scene(config, options.seed, index, options.size, texture).to_json()

    return Plan("sidar", info, scene, config.frames, options.textures, _notes(refused))


def _notes(refused: dict[str, str]) -> tuple[str, ...]:
    """What to say of the pictures that were passed over."""
    if not refused:
        return ()
    return (f"--textures: {len(refused)} skipped, for example {next(iter(refused.values()))}",)
