"""Renders one dynamic pair: from its specification to the encoded fields of one sample."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt

from ..arrays import npz
from ..dsia.meta import Motion, dsia_meta
from ..dsia.scenes import DsiaSpec, LightSpec
from ..exposure import Light, check_light, frame_gain, png, to_srgb
from ..kinds import Device
from ..parallax.geometry import inside, rays, to_camera, to_pixels
from ..parallax.scenes import ViewSpec
from .assets import panorama_world
from .engine import add_pass, fresh_scene, render_passes, set_denoising
from .movers import ELSEWHERE, Troupe, make_movers
from .objects import add_camera, feed_pass
from .obstacles import Obstacles
from .parallax import depth_of
from .parallax_objects import add_lamp, add_place, add_sky, aim_camera
from .surface import SurfacePass, render_attribute, render_surface

SLACK = 0.004
"""Metres by which something must be nearer to hide what moves: a bent face is not cut into the same triangles twice."""

MOVING = "moving"
"""The channel that what moves by itself feeds."""

LEAST_DEPTH = 0.01
"""What is less deep than this is not before a camera, in metres."""

Field = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def render_dsia(spec: DsiaSpec, assets: str | None, threads: int, device: Device = "cpu") -> dict[str, bytes]:
    """The fields of one sample, `ref.png src.png gt.png flow.npz occlusion.png truth.npz hidden.png dynamic.png
    depth.npz meta.json`.

    `ref.png` is time 1 from view 1, `src.png` time 2 from view 2, `gt.png` time 2 from view 1 at the source's exposure:
    the source, perfectly aligned. All flows are (2, H, W) float32 in pixels, pixel centres at integers, NaN where a
    point is beside or behind the camera.

    - `flow` leads from each pixel of the reference to the same material point in the source, for the sky to the same
      direction; `occlusion.png` is 255 where that place is within the source but something nearer is seen there.
    - `truth.npz` holds `src`, from each pixel of gt to the same point in the source, and `ref`, from each pixel of the
      reference to the same material point in gt; `hidden.png` is 255 where a pixel of gt shows what the source does
      not: it is hidden there or outside.
    - `dynamic.png` is 255 where at least one of the three pictures shows, in any part of that pixel, something that
      moves.
    - `depth.npz` holds `ref`, `src` and `gt` (H, W) float32, metres along the line of sight, infinite for the sky.

    Args:
        spec: the pair.
        assets: folder of the user's assets.
        threads: threads that Cycles may use; the bytes do not depend on it.
        device: what Cycles computes on.

    Raises:
        RenderError: the pair cannot be rendered as it should be; the class says why.
    """
    with tempfile.TemporaryDirectory(prefix="raylign-scene-") as folder:
        return _Stage(spec, assets, folder, threads, device).fields()


@dataclass(frozen=True)
class _Seen:
    """What the pixel centres of a view meet at a moment."""

    surface: SurfacePass
    moving: Mask
    """Which meet something that moves by itself."""
    elsewhere: Field
    """Where what is met is at the other moment (H, W, 3); 0 for the sky."""
    touched: Mask
    """Which pixels show something that moves anywhere within them: at the rim of a body half of them miss it in the
    middle."""


class _Stage:
    """A Blender scene with what stands still; people, things and light come with the moment."""

    def __init__(self, spec: DsiaSpec, assets: str | None, folder: str, threads: int, device: Device) -> None:
        self.spec, self.assets, self.folder, self.size = spec, assets, folder, (spec.width, spec.height)
        self.scene = fresh_scene(spec.width, spec.height, threads, device)
        self.mesh = add_place(self.scene, spec.parts, spec.surfaces, spec.views, spec.width, spec.ambient)
        movers = make_movers(self.scene, spec.movers, spec.views, spec.width, spec.ambient, assets)
        self.troupe = Troupe(self.scene, movers)
        self.obstacles = Obstacles([self.mesh, *(each.moments[1] for each in movers)])
        add_pass(self.scene, MOVING)
        for material in {material.name: material for each in movers for material in each.materials}.values():
            feed_pass(material, MOVING, 1.0)
        self.camera = add_camera(self.scene, near=0.02, far=2000.0)
        self.lit: list[Any] = []

    def fields(self) -> dict[str, bytes]:
        """Everything about the pair, encoded."""
        spec, (first, second) = self.spec, self.spec.views
        self._begin(0)
        reference, here = self._take(first, "the reference")
        self._begin(1)
        truth, after = self._take(spec.truth_view, "the ground truth")
        source, there = self._take(second, "the source")
        gains = [
            frame_gain(reference, spec.exposure, first.exposure_shift),
            frame_gain(source, spec.exposure, second.exposure_shift),
        ]
        flow, hidden, visible = self._flow(first, here, second)
        onto, _, shown = self._flow(first, after, second, back=True)
        moved = self._motion(first, here)
        motion = Motion(
            _mean_length(flow, visible & ~here.moving),
            _mean_length(moved, here.moving),
        )
        dynamic = here.touched | after.touched | there.touched
        exposed = [(reference, gains[0]), (source, gains[1]), (truth, gains[1])]
        pictures = [png(to_srgb(light * np.float32(gain))) for light, gain in exposed]
        return {
            "ref.png": pictures[0],
            "src.png": pictures[1],
            "gt.png": pictures[2],
            "flow.npz": npz(flow=flow),
            "occlusion.png": _mask(hidden),
            "truth.npz": npz(src=onto, ref=moved),
            "hidden.png": _mask(~shown),
            "dynamic.png": _mask(dynamic),
            "depth.npz": npz(
                ref=depth_of(first, here.surface),
                src=depth_of(second, there.surface),
                gt=depth_of(first, after.surface),
            ),
            "meta.json": dsia_meta(spec, [*gains, gains[1]], float(visible.mean()), motion, bpy.app.version_string),
        }

    def _begin(self, moment: int) -> None:
        """Put everyone and the light where they are at a moment."""
        self.troupe.stand(moment)
        for each in self.lit:
            bpy.data.objects.remove(each)
        before = set(self.scene.objects)
        self._light(self.spec.lights[moment])
        self.lit = [each for each in self.scene.objects if each not in before]

    def _light(self, light: LightSpec) -> None:
        for lamp in light.lamps:
            add_lamp(self.scene, lamp)
        if self.scene.world:
            bpy.data.worlds.remove(self.scene.world)
        if self.spec.panorama:
            panorama_world(
                self.scene, self.assets or "", self.spec.panorama, light.sky.strength, self.spec.panorama_turn
            )
        else:
            add_sky(self.scene, light.sky, indoors=self.spec.layout == "room")

    def _take(self, view: ViewSpec, name: str) -> tuple[Light, _Seen]:
        """A picture's light, and what its pixel centres meet."""
        spec = self.spec
        aim_camera(self.camera, view)
        set_denoising(self.scene, wanted=spec.denoise)
        # The same rays tell what the camera sees and whether it moves.
        light, channels = render_passes(
            self.scene, self.folder, samples=spec.samples, bounces=spec.bounces, seed=view.seed
        )
        set_denoising(self.scene, wanted=False)
        check_light(light, name)
        surface = render_surface(self.scene, self.folder)
        carried = render_attribute(self.scene, self.folder, ELSEWHERE).astype(np.float64)
        # What moves carries more than 1 along each axis, all else nothing.
        moving = surface.hit & (carried.min(axis=2) > 0.5)
        still = np.where(surface.hit[..., None], surface.position.astype(np.float64), 0.0)
        elsewhere = np.where(moving[..., None], carried + self.troupe.corner, still)
        return light, _Seen(surface, moving, elsewhere, moving | (channels[MOVING] > 0))

    def _flow(
        self, view: ViewSpec, seen: _Seen, target: ViewSpec, *, back: bool = False
    ) -> tuple[npt.NDArray[np.float32], Mask, Mask]:
        """Flow (2, H, W) of a view's pixels into the source, at time 2.

        Args:
            view: where the pixels are.
            seen: what they show.
            target: the source's view.
            back: they show time 2 already, and not time 1.

        Returns:
            the flow, the pixels whose point lies within the source but is hidden there, and those that it shows.
        """
        width, height = self.size
        sky = ~seen.surface.hit[..., None]
        still = np.where(sky, 0.0, seen.surface.position.astype(np.float64))
        points = still if back else seen.elsewhere
        directions = _directions(view, width, height)
        origins = _pixels(view, still, directions, sky, self.size)
        targets = _pixels(target, points, directions, sky, self.size)
        candidates = inside(targets, width, height)
        hidden = np.zeros((height, width), bool)
        for which, slack in ((candidates & ~seen.moving, 0.0), (candidates & seen.moving, SLACK)):
            hidden[which] = self.obstacles.hide(target, points[which], directions[which], sky[..., 0][which], slack)
        flow = np.moveaxis(targets - origins, 2, 0).astype(np.float32)
        return flow, hidden, candidates & ~hidden

    def _motion(self, view: ViewSpec, seen: _Seen) -> npt.NDArray[np.float32]:
        """Flow (2, H, W) of the reference's pixels at time 1 to the same material points in the same view at time 2."""
        still = np.where(seen.moving[..., None], seen.surface.position.astype(np.float64), 1.0)
        begin, end = (to_camera(view, each) for each in (still, np.where(seen.moving[..., None], seen.elsewhere, 1.0)))
        pixels = [to_pixels(view, each, *self.size) for each in (begin, end)]
        return np.moveaxis(np.where(seen.moving[..., None], pixels[1] - pixels[0], 0.0), 2, 0).astype(np.float32)


def _directions(view: ViewSpec, width: int, height: int) -> Field:
    rows, columns = np.indices((height, width), dtype=np.float64)
    return rays(view, np.stack([columns, rows], axis=2), width, height)


def _pixels(view: ViewSpec, points: Field, directions: Field, sky: Mask, size: tuple[int, int]) -> Field:
    """Where a view sees points, and the sky's directions; NaN for what is beside or behind the camera."""
    camera = np.where(sky, to_camera(view, directions, points=False), to_camera(view, points))
    before = camera[..., 2:] > LEAST_DEPTH
    return np.where(before, to_pixels(view, np.where(before, camera, 1.0), *size), np.nan)


def _mean_length(flow: npt.NDArray[np.float32], where: Mask) -> float:
    lengths = np.hypot(flow[0][where].astype(np.float64), flow[1][where].astype(np.float64))
    # Four digits: the order of a sum must not show in a scene's bytes.
    return round(float(lengths.mean()), 4) if where.any() else 0.0


def _mask(where: Mask) -> bytes:
    return png(np.where(where, 255, 0).astype(np.uint8))
