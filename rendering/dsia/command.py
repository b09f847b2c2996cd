"""The options of `raylign render dsia`, and the dataset that they mean."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field

import tyro

from ...methods.errors import InputError
from ...platform.arguments import parse
from ...platform.data.shards import DatasetInfo
from ..options import MOST_SAMPLES, Plan, RenderOptions, check
from ..splits import split_ranges
from .assets import AssetList, survey_assets
from .config import DsiaConfig
from .order import DsiaOrder
from .sampling import SAMPLER_VERSION
from .subsets import pair_ranges, subset_of

FIELDS = (
    "ref.png", "src.png", "gt.png", "flow.npz", "occlusion.png", "truth.npz", "hidden.png", "dynamic.png", "depth.npz",
    "meta.json",
)  # fmt: skip
"""Of each pair."""


@dataclass(frozen=True)
class DsiaOptions(RenderOptions):
    """Render people and things that move: two moments from two places, and the second moment from the first place.

    Each pair belongs to one of four subsets, small or large motion of the camera (ScSf, ScLf, LcSf, LcLf), by motions
    that are measured and stored. Training and validation pairs take turns; the test scenes come in four parts, the
    splits test-ScSf to test-LcLf. The same seed and settings give the same bytes, whatever the number of workers. Run
    the same command again to go on after an interruption: only what is missing is rendered.
    """

    assets: str | None = None
    """Folder with your own .blend, .glb, .gltf and .fbx characters and objects and .hdr and .exr panoramas, to show
    instead of the built-in ones; every render machine must see it."""
    scene: DsiaConfig = field(default_factory=DsiaConfig)
    """What a scene may look like."""


def read_options(arguments: list[str]) -> DsiaOptions:
    """The options on the command line.

    Raises:
        InputError: an argument is wrong; the line names it.
    """
    start = DsiaOptions(scenes=tyro.MISSING, out=tyro.MISSING)
    return parse(DsiaOptions, arguments, "render dsia", default=start)


def plan(options: DsiaOptions) -> Plan:
    """The dataset that the options mean.

    Raises:
        InputError: an option is wrong, or no file of the assets can be used.
    """
    check(options)
    options.scene.validate()
    config = options.scene
    if options.scenes * config.pairs > MOST_SAMPLES:
        raise InputError(f"--scenes, --scene.pairs: {options.scenes} x {config.pairs} is above {MOST_SAMPLES} pairs")
    if config.people[1] + config.things[1] == 0:
        raise InputError("--scene.people, --scene.things: nobody and nothing would move")
    assets = _assets(options)
    splits = split_ranges(options.scenes, options.val_fraction, options.test_fraction)
    info = DatasetInfo(
        kind="pair",
        generator="dsia",
        settings={
            "sampler": SAMPLER_VERSION,
            "size": options.size,
            "device": options.device,
            "scenes": options.scenes,
            "scene": dataclasses.asdict(config),
            # What the files are, not where they lie.
            "assets": [each.sha256 for each in (*assets.characters, *assets.objects, *assets.panoramas)],
        },
        seed=options.seed,
        scenes=options.scenes * config.pairs,
        shard_size=options.shard_size,
        splits=pair_ranges(splits, config.pairs),
        fields=list(FIELDS),
        units={
            "flow": "pixels, from a pixel of ref to the same material point's place in src, pixel centres at integers",
            "occlusion": "255 where that place lies in src but something nearer hides the point",
            "truth": "pixels: `src` from a pixel of gt to the same point's place in src; `ref` from a pixel of ref to "
            "the same material point's place in gt",
            "hidden": "255 where a pixel of gt shows a point that src does not, hidden or outside of it",
            "dynamic": "255 where ref, src or gt, anywhere in that pixel, shows something that moves by itself",
            "depth": "metres along the optical axis, infinite for the sky; of ref, src and gt",
            "motion": "mean length of the flow of what stands still, and of the motion seen from view 1 of what moves: "
            "pixels, percent of the width",
            "overlap": "share of the pixels of ref whose point is seen in src",
        },
    )

    def scene(index: int) -> str:
        number, pair = divmod(index, config.pairs)
        return DsiaOrder(
            config, options.seed, number, pair, options.size, subset_of(splits, number, pair), assets
        ).to_json()

    notes = [f"--assets: {name} skipped: {reason}" for name, reason in assets.skipped]
    return Plan("dsia", info, scene, pictures=3, folder=assets.folder or None, notes=tuple(notes))


def _assets(options: DsiaOptions) -> AssetList:
    if options.assets is None:
        return AssetList("", (), (), (), ())
    return survey_assets(options.assets, options.blender_python or sys.executable)
