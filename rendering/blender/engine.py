"""Cycles, set up so that the same scene gives the same bytes, and read back as linear light."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt
import OpenEXR

from ..errors import BlenderError
from ..exposure import Light
from ..kinds import Device

Channel = npt.NDArray[np.float32]
"""One number per pixel (height, width), top row first."""


def blender_version() -> str:
    """Blender's version, for example `5.0.1`."""
    return str(bpy.app.version_string)


def fresh_scene(width: int, height: int, threads: int, device: Device = "cpu") -> Any:
    """Forget everything and give an empty Blender scene with the renderer's settings.

    The reset frees what earlier scenes left behind (removed objects keep their pictures: 7 MB a scene otherwise) and
    makes a scene independent of those before it.

    Raises:
        BlenderError: there is no such device.
    """
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    render, cycles = scene.render, scene.cycles
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100
    # Blender knows neither OMP_NUM_THREADS nor Ray's num_cpus; left alone it takes every core of the machine.
    render.threads_mode, render.threads = "FIXED", threads
    render.film_transparent = False
    render.dither_intensity = 0.0
    # Keeping data between renders would save 2 ms a frame (a plane and a few solids make no large BVH), but then the
    # order of the lights, and with it the noise, depends on what was rendered before.
    render.use_persistent_data = False
    # Linear 32-bit light is read back, so that values can be checked before the view transform hides them; with all
    # passes in one file, one render gives a frame and its mask.
    render.image_settings.media_type = "MULTI_LAYER_IMAGE"
    render.image_settings.file_format = "OPEN_EXR_MULTILAYER"
    render.image_settings.color_depth = "32"
    render.image_settings.exr_codec = "NONE"
    # A fixed number of samples, no time limit: bit for bit repeatable on a CPU.
    cycles.use_adaptive_sampling = False
    cycles.time_limit = 0.0
    cycles.use_animated_seed = False
    # Half the time of the slowest setting, for 0.3 dB (256 px).
    cycles.denoising_prefilter, cycles.denoising_quality = "FAST", "BALANCED"
    set_denoising(scene, wanted=False)
    # Caustics need thousands of samples; with few they are nothing but bright dots.
    cycles.caustics_reflective = cycles.caustics_refractive = False
    # A pixel is the mean over its own area, as on a sensor: what lies outside the picture leaves no dark rim on the
    # ground truth, and a mask is a true share of area. Cycles' own wider filter would blur both.
    cycles.pixel_filter_type = "BOX"
    _use_device(cycles, device)
    return scene


def set_denoising(scene: Any, *, wanted: bool) -> None:
    """Whether what is rendered next is denoised, with the sampling that suits it.

    A tree to choose lights by does not pay for a handful of them where noise stays: without it 16 samples take a fifth
    less time and have 1.6 dB less noise (15 frames of the released ranges against 1,024 samples). What is left after
    the denoiser is another matter: with the tree and with noise that is spread evenly (blue noise) 16 samples end 1.5,
    1.1, -0.8 and 3.0 dB better in four such frames, for a tenth to a third more time, and a room of 8 samples 0.9 dB.
    """
    cycles = scene.cycles
    cycles.use_denoising = cycles.use_light_tree = wanted
    cycles.sampling_pattern = "BLUE_NOISE" if wanted else "AUTOMATIC"


def check_device(device: Device) -> None:
    """Make sure that the device is there.

    Raises:
        BlenderError: it is not.
    """
    if device != "cpu" and not _devices(device):
        raise BlenderError(f"Blender finds no {device.upper()} device on this machine")


def _devices(device: Device) -> list[Any]:
    preferences = bpy.context.preferences.addons["cycles"].preferences
    preferences.compute_device_type = device.upper()
    preferences.refresh_devices()
    return [each for each in preferences.devices if each.type == device.upper()]


def _use_device(cycles: Any, device: Device) -> None:
    """Point Cycles at the device; the factory settings forget it each time."""
    if device == "cpu":
        cycles.device = "CPU"
        return
    check_device(device)
    for each in bpy.context.preferences.addons["cycles"].preferences.devices:
        each.use = each.type == device.upper()
    cycles.device = "GPU"


def add_pass(scene: Any, name: str) -> None:
    """Let `render_passes` give a further channel, which materials feed (`objects.feed_pass`)."""
    channel = scene.view_layers[0].aovs.add()
    channel.name, channel.type = name, "VALUE"


def render_light(scene: Any, folder: str, *, samples: int, bounces: int, seed: int) -> Light:
    """Render the scene's camera: linear light (height, width, 3), top row first; arguments as `render_passes`."""
    return render_passes(scene, folder, samples=samples, bounces=bounces, seed=seed)[0]


def render_passes(
    scene: Any, folder: str, *, samples: int, bounces: int, seed: int
) -> tuple[Light, dict[str, Channel]]:
    """Render the scene's camera: linear light (height, width, 3), top row first, and the channels of `add_pass`.

    Args:
        scene: the Blender scene.
        folder: where the picture may lie for a moment.
        samples: light paths per pixel.
        bounces: longest light path in surface hits; 0 for surfaces that shine by themselves.
        seed: of the renderer's noise.

    Raises:
        BlenderError: Blender stopped or wrote nothing.
    """
    cycles = scene.cycles
    cycles.samples, cycles.seed = samples, seed
    cycles.max_bounces = cycles.diffuse_bounces = cycles.glossy_bounces = cycles.transmission_bounces = bounces
    target = Path(folder) / "passes.exr"
    target.unlink(missing_ok=True)
    scene.render.filepath = str(target)
    with silence() as said:
        try:
            bpy.ops.render.render(write_still=True)
        except RuntimeError as error:
            raise BlenderError(f"Blender stopped: {' '.join(str(error).split())}") from None
    if not target.is_file():
        raise BlenderError(f"Blender wrote no picture: {said()}")
    channels = _read(target, (scene.render.resolution_y, scene.render.resolution_x))
    light = np.stack([channels.pop(f"Combined.{colour}") for colour in "RGB"], axis=2)
    return light, {name.removesuffix(".X"): values for name, values in channels.items()}


def _read(target: Path, shape: tuple[int, int]) -> dict[str, Channel]:
    """Channels of an EXR file, without the view layer's name before them."""
    try:
        with OpenEXR.File(str(target), separate_channels=True) as file:
            channels = {
                name.partition(".")[2]: np.array(channel.pixels, np.float32)
                for part in file.parts
                for name, channel in part.channels.items()
            }
    except Exception as error:  # the library raises plain RuntimeError and TypeError
        raise BlenderError(f"Blender wrote a damaged picture: {' '.join(str(error).split())}") from None
    wrong = [values.shape for values in channels.values() if values.shape != shape]
    if wrong:
        raise BlenderError(f"Blender wrote a picture of {wrong[0]} pixels instead of {shape}")
    return channels


@contextlib.contextmanager
def silence() -> Iterator[Any]:
    """Keep Blender's chatter off standard output, which it writes past Python; yields what tells the last lines."""
    sys.stdout.flush()
    with tempfile.TemporaryFile() as heard:
        kept = os.dup(1)
        os.dup2(heard.fileno(), 1)

        def said() -> str:
            heard.seek(0)
            return " ".join(heard.read().decode(errors="replace").split()[-40:])

        try:
            yield said
        finally:
            sys.stdout.flush()
            os.dup2(kept, 1)
            os.close(kept)
