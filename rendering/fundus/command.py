"""The options of `raylign render fundus`, and the dataset that they mean."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import tyro

from ...platform.arguments import parse
from ...platform.data.shards import DatasetInfo
from ..options import Plan, RenderOptions, check
from ..splits import split_ranges
from .config import FundusConfig
from .order import FundusOrder
from .sampling import SAMPLER_VERSION
from .shares import kind_of, split_ranges_by_kind


@dataclass(frozen=True)
class FundusOptions(RenderOptions):
    """Render pairs of retinal photographs: standard and ultra-widefield ones of one eye, with flow and control points.

    A pair is of the kind sfi-uwfi (a standard picture and an ultra-widefield one) or of one of the kinds S, P and A of
    the FIRE dataset; the shares are settings. The test scenes come in parts as well, the splits test-sfi-uwfi, test-s,
    test-p and test-a. The same seed and settings give the same bytes, whatever the number of workers. Run the same
    command again to go on after an interruption: only what is missing is rendered.
    """

    scene: FundusConfig = field(default_factory=FundusConfig)
    """What a scene may look like."""


def read_options(arguments: list[str]) -> FundusOptions:
    """The options on the command line.

    Raises:
        InputError: an argument is wrong; the line names it.
    """
    start = FundusOptions(scenes=tyro.MISSING, out=tyro.MISSING)
    return parse(FundusOptions, arguments, "render fundus", default=start)


def plan(options: FundusOptions) -> Plan:
    """The dataset that the options mean.

    Raises:
        InputError: an option is wrong.
    """
    check(options)
    options.scene.validate()
    config, splits = options.scene, split_ranges(options.scenes, options.val_fraction, options.test_fraction)
    info = DatasetInfo(
        kind="pair",
        generator="fundus",
        settings={
            "sampler": SAMPLER_VERSION,
            "size": options.size,
            "device": options.device,
            "scene": dataclasses.asdict(config),
        },
        seed=options.seed,
        scenes=options.scenes,
        shard_size=options.shard_size,
        splits=split_ranges_by_kind(config, splits),
        fields=[
            *("ref.png", "src.png", "gt.png", "flow.npz", "occlusion.png", "vessels.png", "vessels-src.png"),
            "meta.json",
        ],
        units={
            "flow": "pixels, from a pixel of ref to the same point's place in src, pixel centres at integers",
            "occlusion": "255 where that place lies in src but a field stop or a lid hides the point in ref or in src",
            "vessels": "share of the pixel that vessels cover, 255 for all of it; of ref, and of src",
            "overlap": "share of the pixels of ref whose point is seen in both",
            "field_overlap": "the same, among the pixels of ref that show the retina",
            "parallax": "distance between the flow and that of the best homography: pixels, percent of the diagonal",
            "points": "rows x_ref y_ref x_src y_src of branchings of vessels, in pixels",
        },
    )

    def scene(index: int) -> str:
        kind = kind_of(config, options.seed, splits, index)
        return FundusOrder(config, options.seed, index, options.size, kind).to_json()

    return Plan("fundus", info, scene, pictures=2)
