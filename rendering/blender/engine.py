"""Cycles on the CPU, set up so that the same scene gives the same bytes, and read back as linear light."""

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

from ..errors import BlenderError
from ..exposure import Light


def blender_version() -> str:
    """Blender's version, for example `5.0.1`."""
    return str(bpy.app.version_string)


def fresh_scene(width: int, height: int, threads: int) -> Any:
    """Forget everything and give an empty Blender scene with the renderer's settings.

    The reset frees what earlier scenes left behind (removed objects keep their pictures: 7 MB a scene otherwise) and
    makes a scene independent of those before it.
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
    # Linear 32-bit light is read back, so that values can be checked before the view transform hides them.
    render.image_settings.file_format = "OPEN_EXR"
    render.image_settings.color_depth = "32"
    render.image_settings.exr_codec = "NONE"
    cycles.device = "CPU"
    # A fixed number of samples, no denoiser, no time limit: bit for bit repeatable on a CPU.
    cycles.use_adaptive_sampling = False
    cycles.use_denoising = False
    cycles.time_limit = 0.0
    cycles.use_animated_seed = False
    # Caustics need thousands of samples; with few they are nothing but bright dots.
    cycles.caustics_reflective = cycles.caustics_refractive = False
    # A pixel is the mean over its own area, as on a sensor: what lies outside the picture leaves no dark rim on the
    # ground truth, and a mask is a true share of area. Cycles' own wider filter would blur both.
    cycles.pixel_filter_type = "BOX"
    return scene


def render_light(scene: Any, folder: str, *, samples: int, bounces: int, seed: int) -> Light:
    """Render the scene's camera: linear light (height, width, 3), top row first.

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
    target = Path(folder) / "light.exr"
    target.unlink(missing_ok=True)
    scene.render.filepath = str(target)
    with silence() as said:
        try:
            bpy.ops.render.render(write_still=True)
        except RuntimeError as error:
            raise BlenderError(f"Blender stopped: {' '.join(str(error).split())}") from None
    if not target.is_file():
        raise BlenderError(f"Blender wrote no picture: {said()}")
    return _read(target, scene.render.resolution_x, scene.render.resolution_y)


def _read(target: Path, width: int, height: int) -> Light:
    image = bpy.data.images.load(str(target))
    try:
        if tuple(image.size) != (width, height):
            raise BlenderError(f"Blender wrote a picture of {tuple(image.size)} pixels instead of {(width, height)}")
        pixels = np.empty(width * height * image.channels, np.float32)
        image.pixels.foreach_get(pixels)
        # Blender's first row is the lowest.
        return pixels.reshape(height, width, image.channels)[::-1, :, :3].copy()
    finally:
        bpy.data.images.remove(image)


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
