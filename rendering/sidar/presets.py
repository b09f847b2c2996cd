"""Named starting points for the settings of a scene; every flag still changes what it names."""

from __future__ import annotations

from collections.abc import Sequence

from ...methods.errors import InputError
from .config import SidarConfig

PRESETS: dict[str, SidarConfig] = {
    # The ranges of the released renderer: cameras far to the side, hard light on black, glass and mirrors in the way.
    "released": SidarConfig(),
    # What somebody gets who photographs a print by hand in daylight: a matte surface, a lamp at most, small obstacles,
    # views of up to 24 degrees off the vertical. Pairs are alike enough that an alignment can be judged by eye.
    "handheld": SidarConfig(
        samples=8,
        bounces=2,
        ambient=0.7,
        lights=(1, 2),
        point_energy=(200.0, 700.0),
        spot_energy=(500.0, 2000.0),
        area_energy=(200.0, 500.0),
        occluders=(0, 1),
        occluder_scale=(0.1, 0.5),
        occluder_materials=("principled",),
        camera_x=(-2.5, 2.5),
        camera_y=(-2.5, 2.5),
        camera_z=(8.0, 10.0),
        lens=(36.0, 48.0),
        roughness=(0.4, 0.9),
        metallic=(0.0, 0.0),
        specular=(0.0, 0.3),
        transmission=(0.0, 0.0),
        coat=(0.0, 0.0),
        exposure_shift=(-0.2, 0.2),
    ),
}


def preset_in(arguments: Sequence[str]) -> SidarConfig:
    """The settings that `--preset NAME` among the arguments starts from; without it those of the released renderer.

    Raises:
        InputError: no preset has this name.
    """
    name = "released"
    for position, argument in enumerate(arguments):
        if argument == "--preset":
            name = arguments[position + 1] if position + 1 < len(arguments) else ""
        elif argument.startswith("--preset="):
            name = argument.partition("=")[2]
    if name not in PRESETS:
        raise InputError(f"--preset: '{name}' is not one of {', '.join(PRESETS)}")
    return PRESETS[name]
