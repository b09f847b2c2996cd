"""The options of `raylign render collage`, and the dataset that they mean."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import tyro

from ...platform.arguments import parse
from ...platform.data.shards import DatasetInfo
from ..options import Plan, RenderOptions, check
from ..splits import split_of, split_ranges
from ..textures import plan_textures
from .config import CollageConfig
from .order import CollageOrder
from .sampling import SAMPLER_VERSION


@dataclass(frozen=True)
class CollageOptions(RenderOptions):
    """Lay pieces of many materials at several depths and picture them twice: pictures, flow and occlusion.

    Made without Blender, many scenes a second. The same seed and settings give the same bytes, whatever the number of
    workers. Run the same command again to go on after an interruption: only what is missing is rendered.
    """

    textures: str | None = None
    """Folder of pictures to cut pieces from, among the materials made from the seed; every machine must see it."""
    shard_size: int = 64
    """Scenes per shard; a shard is what the loss of a process can cost."""
    scene: CollageConfig = field(default_factory=CollageConfig)
    """What a scene may look like."""


def read_options(arguments: list[str]) -> CollageOptions:
    """The options on the command line.

    Raises:
        InputError: an argument is wrong; the line names it.
    """
    start = CollageOptions(scenes=tyro.MISSING, out=tyro.MISSING)
    return parse(CollageOptions, arguments, "render collage", default=start)


def plan(options: CollageOptions) -> Plan:
    """The dataset that the options mean.

    Raises:
        InputError: an option is wrong, or no picture of the folder can be used.
    """
    check(options)
    options.scene.validate()
    config, splits = options.scene, split_ranges(options.scenes, options.val_fraction, options.test_fraction)
    textures, identity, refused = plan_textures(config.picture_share, config.picture_crop, splits, options.textures)
    info = DatasetInfo(
        kind="pair",
        generator="collage",
        settings={
            "sampler": SAMPLER_VERSION,
            "size": options.size,
            "textures": identity,
            "scene": dataclasses.asdict(config),
        },
        seed=options.seed,
        scenes=options.scenes,
        shard_size=options.shard_size,
        splits=splits,
        fields=["ref.png", "src.png", "gt.png", "flow.npz", "occlusion.png", "meta.json"],
        units={
            "flow": "pixels, from a pixel of ref to the same point's place in src, pixel centres at integers",
            "occlusion": "255 where that place lies in src but a nearer piece hides the point",
            "levels": "pixels of ref to pixels of src, of the background and of the planes before it",
            "overlap": "share of the pixels of ref whose point is seen in src",
            "parallax": "distance between the flow and that of the best homography: pixels, percent of the diagonal",
        },
    )

    def scene(index: int) -> str:
        split = split_of(splits, index)
        pictures = textures.pictures.get(split, [])
        return CollageOrder.place(config, options.seed, index, options.size, split, pictures).to_json()

    notes = (f"--textures: {len(refused)} skipped, for example {next(iter(refused.values()))}",) if refused else ()
    return Plan("collage", info, scene, pictures=2, folder=options.textures, notes=notes)
