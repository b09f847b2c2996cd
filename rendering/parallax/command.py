"""The options of `raylign render parallax`, and the dataset that they mean."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import tyro

from ...platform.arguments import parse
from ...platform.data.shards import DatasetInfo
from ..options import Plan, RenderOptions, check
from ..splits import split_ranges
from .config import ParallaxConfig
from .difficulty import difficulty_of, split_ranges_by_difficulty
from .order import ParallaxOrder
from .sampling import SAMPLER_VERSION


@dataclass(frozen=True)
class ParallaxOptions(RenderOptions):
    """Render static rooms, facades and streets from two places: pictures, flow, occlusion and depth.

    Each scene is easy, moderate or hard by its parallax, which is measured and stored. Training and validation scenes
    take turns; the test scenes come in three parts, the splits test-easy, test-moderate and test-hard. The same seed
    and settings give the same bytes, whatever the number of workers. Run the same command again to go on after an
    interruption: only what is missing is rendered.
    """

    scene: ParallaxConfig = field(default_factory=ParallaxConfig)
    """What a scene may look like."""


def read_options(arguments: list[str]) -> ParallaxOptions:
    """The options on the command line.

    Raises:
        InputError: an argument is wrong; the line names it.
    """
    start = ParallaxOptions(scenes=tyro.MISSING, out=tyro.MISSING)
    return parse(ParallaxOptions, arguments, "render parallax", default=start)


def plan(options: ParallaxOptions) -> Plan:
    """The dataset that the options mean.

    Raises:
        InputError: an option is wrong.
    """
    check(options)
    options.scene.validate()
    config, splits = options.scene, split_ranges(options.scenes, options.val_fraction, options.test_fraction)
    info = DatasetInfo(
        kind="pair",
        generator="parallax",
        settings={
            "sampler": SAMPLER_VERSION,
            "size": options.size,
            "device": options.device,
            "scene": dataclasses.asdict(config),
        },
        seed=options.seed,
        scenes=options.scenes,
        shard_size=options.shard_size,
        splits=split_ranges_by_difficulty(splits),
        fields=["ref.png", "src.png", "gt.png", "flow.npz", "occlusion.png", "depth.npz", "meta.json"],
        units={
            "flow": "pixels, from a pixel of ref to the same point's place in src, pixel centres at integers",
            "occlusion": "255 where that place lies in src but something nearer hides the point",
            "depth": "metres along the optical axis, infinite for the sky",
            "overlap": "share of the pixels of ref whose point is seen in src",
            "parallax": "distance between the flow and that of the best homography: pixels, percent of the diagonal",
        },
    )

    def scene(index: int) -> str:
        difficulty = difficulty_of(splits, index)
        return ParallaxOrder(config, options.seed, index, options.size, difficulty).to_json()

    return Plan("parallax", info, scene, pictures=2)
