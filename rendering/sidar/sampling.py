"""Draws a scene from (dataset seed, scene index): the same on every machine, Python and NumPy.

Each part of a scene has its own stream of random numbers (`streams.py`), so that a changed setting of the lights leaves
the cameras as they were.
"""

from __future__ import annotations

import colorsys
import math
import random

from ..cameras import CameraSpec, Vector, reference_camera
from ..shapes import OccluderShape
from ..streams import choice, count, stream, uniform
from ..textures import PaintingSpec, PictureSpec
from .config import SidarConfig
from .scenes import FrameSpec, LightSpec, OccluderSpec, SceneSpec, SurfaceSpec

SAMPLER_VERSION = 3
"""Counts the changes to this file or to the renderer that change what a seed makes; it is part of the settings."""

BOUNDING_RADIUS: dict[OccluderShape, float] = {
    "cone": math.sqrt(2), "sphere": 1.0, "cylinder": math.sqrt(2), "torus": 1.25, "cube": math.sqrt(3),
}  # fmt: skip
"""Radius of the sphere around each shape at scale 1 (radius 1, height and side 2; torus 1 and 0.25), in units."""

CLEARANCE = 0.3
"""Least distance between a camera and an occluder's bounding sphere, in Blender units."""


def sample_scene(
    config: SidarConfig, seed: int, index: int, size: int, texture: PaintingSpec | PictureSpec
) -> SceneSpec:
    """The scene `index` of the dataset with seed `seed`.

    Args:
        config: what a scene may look like.
        seed: the dataset's seed.
        index: the scene's place in the dataset.
        size: height of the frames, in pixels.
        texture: what the scene shows (`textures.py`).
    """
    width = round(size * config.aspect)
    cameras = sample_cameras(config, seed, index, width / size)
    return SceneSpec(
        dataset_seed=seed,
        index=index,
        width=width,
        height=size,
        lighting=config.lighting,
        samples=config.samples,
        bounces=config.bounces,
        ambient=config.ambient,
        denoise=config.denoise,
        exposure=config.exposure,
        occluders_hidden=config.occluders_hidden,
        depth=config.depth,
        texture=texture,
        frames=tuple(_frame(config, seed, index, number, camera) for number, camera in enumerate(cameras)),
    )


def sample_cameras(config: SidarConfig, seed: int, index: int, aspect: float) -> list[CameraSpec]:
    """The cameras of a scene's frames; the first is the reference camera. `aspect` is that of the whole pixels."""
    rng = stream("sidar", seed, index, "cameras")
    cameras = [reference_camera(aspect)]
    while len(cameras) < config.frames:
        place = (uniform(rng, config.camera_x), uniform(rng, config.camera_y), uniform(rng, config.camera_z))
        camera = CameraSpec(place, uniform(rng, config.lens))
        cameras.append(cameras[0] if config.aligned else camera)
    return cameras


def _frame(config: SidarConfig, seed: int, index: int, number: int, camera: CameraSpec) -> FrameSpec:
    lights, occluders = (
        stream("sidar", seed, index, number, "lights"),
        stream("sidar", seed, index, number, "occluders"),
    )
    shown = config.lighting == "random"
    return FrameSpec(
        camera=camera,
        lights=tuple(_light(config, lights) for _ in range(count(lights, config.lights) if shown else 0)),
        occluders=tuple(
            _occluder(config, occluders, camera) for _ in range(count(occluders, config.occluders) if shown else 0)
        ),
        surface=_surface(config, stream("sidar", seed, index, number, "surface")),
        exposure_shift=uniform(stream("sidar", seed, index, number, "exposure"), config.exposure_shift),
        seed=int(stream("sidar", seed, index, number, "renderer").random() * 2**31),
    )


def _light(config: SidarConfig, rng: random.Random) -> LightSpec:
    kind = choice(rng, config.light_kinds)
    energy = {
        "point": config.point_energy,
        "spot": config.spot_energy,
        "area": config.area_energy,
        "sun": config.sun_energy,
    }[kind]
    opening = {
        "point": (0.0, 0.0), "spot": config.spot_cone, "area": config.area_spread, "sun": config.sun_angle,
    }[kind]  # fmt: skip
    return LightSpec(
        kind=kind,
        position=(uniform(rng, config.light_xy), uniform(rng, config.light_xy), uniform(rng, config.light_z)),
        energy=uniform(rng, energy),
        colour=colorsys.hsv_to_rgb(rng.random(), uniform(rng, config.light_saturation), 1.0),
        opening=uniform(rng, opening),
        blend=uniform(rng, config.spot_blend),
    )


def _occluder(config: SidarConfig, rng: random.Random, camera: CameraSpec) -> OccluderSpec:
    """One occluder that does not hold the camera.

    The released ranges let an occluder (up to 6.9 high) swallow a camera (from 5 on); such a frame shows nothing of the
    painting. Its place is drawn again, a hundred times at most: ranges that leave no room keep their last draw.
    """
    shape = choice(rng, config.occluder_shapes)
    scale = (
        uniform(rng, config.occluder_scale),
        uniform(rng, config.occluder_scale),
        uniform(rng, config.occluder_scale),
    )
    if shape == "torus":
        scale = (1.0, 1.0, 1.0)
    reach = BOUNDING_RADIUS[shape] * max(scale) + CLEARANCE
    for _ in range(100):
        position = _place(config, rng)
        if math.dist(position, camera.position) > reach:
            break
    return OccluderSpec(
        shape=shape,
        position=position,
        angles=(rng.random() * math.tau, rng.random() * math.tau, rng.random() * math.tau),
        scale=scale,
        material=choice(rng, config.occluder_materials),
        colour=(rng.random(), rng.random(), rng.random()),
        roughness=uniform(rng, config.occluder_roughness),
        index_of_refraction=uniform(rng, config.occluder_index_of_refraction),
        metallic=uniform(rng, config.occluder_metallic),
    )


def _place(config: SidarConfig, rng: random.Random) -> Vector:
    return uniform(rng, config.occluder_xy), uniform(rng, config.occluder_xy), uniform(rng, config.occluder_z)


def _surface(config: SidarConfig, rng: random.Random) -> SurfaceSpec:
    return SurfaceSpec(
        roughness=uniform(rng, config.roughness),
        index_of_refraction=uniform(rng, config.index_of_refraction),
        metallic=uniform(rng, config.metallic),
        specular=uniform(rng, config.specular),
        transmission=uniform(rng, config.transmission),
        coat=uniform(rng, config.coat),
        coat_roughness=uniform(rng, config.coat_roughness),
    )
