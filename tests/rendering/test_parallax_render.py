"""Rendered parallax scenes: exact truth against an independent caster, measured parallax, repeatable bytes."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("bpy", reason="Blender is the extra raylign[render]")

from raylign.methods.errors import InputError
from raylign.rendering.parallax.config import DIFFICULTIES, Layout, ParallaxConfig
from raylign.rendering.parallax.sampling import sample_parallax
from raylign.rendering.parallax.scenes import ParallaxSpec

from .conftest import Picture
from .test_parallax_caster import nearest_hits

SIZE = 64
LAYOUTS: tuple[Layout, ...] = ("room", "facade", "street")
CASES = [(layout, index) for layout in LAYOUTS for index in range(3)]
"""Each layout in each class: scene `index` is of class `index`."""
Rendered = dict[tuple[str, int], tuple[ParallaxSpec, dict[str, bytes]]]


def plan(layout: Layout, index: int, size: int = SIZE, **settings: object) -> ParallaxSpec:
    config = ParallaxConfig(layouts=(layout,), **{"samples": 8, **settings})  # type: ignore[arg-type]
    return sample_parallax(config, 5, index, size, DIFFICULTIES[index % 3])


def render(spec: ParallaxSpec, threads: int = 1) -> dict[str, bytes]:
    from raylign.rendering.blender.parallax import render_parallax

    return render_parallax(spec, None, threads)


@pytest.fixture(scope="module")
def rendered() -> Rendered:
    return {case: (spec := plan(*case), render(spec)) for case in CASES}


def array(fields: Mapping[str, bytes], field: str, name: str) -> np.ndarray:
    return np.load(io.BytesIO(fields[field]))[name].astype(np.float64)


def cameras(fields: Mapping[str, bytes]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Intrinsics, rotation and centre of both cameras, from the metadata."""
    result = []
    for each in json.loads(fields["meta.json"])["cameras"]:
        matrix = np.asarray(each["world_to_camera"])
        result.append((np.asarray(each["intrinsics"]), matrix[:, :3], -matrix[:, :3].T @ matrix[:, 3]))
    return result


def grid() -> np.ndarray:
    """Pixels (H, W, 3), homogeneous."""
    ys, xs = np.indices((SIZE, SIZE), dtype=np.float64)
    return np.stack([xs, ys, np.ones_like(xs)], axis=2)


def expected(spec: ParallaxSpec, fields: Mapping[str, bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Flow (H, W, 2), occlusion, depth and part of every reference pixel, by the caster in float64."""
    (k, r, c), (k2, r2, c2) = cameras(fields)
    directions = (grid().reshape(-1, 3) @ np.linalg.inv(k).T) @ r
    depth, part = nearest_hits(spec.parts, c, directions)
    sky = part < 0
    points = c + np.where(sky, 0, depth)[:, None] * directions
    towards = np.where(sky[:, None], directions, points - c2)
    image = towards @ r2.T @ k2.T
    landing = image[:, :2] / image[:, 2:]
    inside = ((landing >= -0.5) & (landing <= SIZE - 0.5)).all(axis=1)
    reach, _ = nearest_hits(spec.parts, c2, towards)
    hidden = inside & np.where(sky, np.isfinite(reach), reach < 1 - 1e-4)
    shape = (SIZE, SIZE)
    flow = (landing - grid().reshape(-1, 3)[:, :2]).reshape(*shape, 2)
    return flow, hidden.reshape(shape), np.where(sky, np.inf, depth).reshape(shape), part.reshape(shape)


def test_a_pair_has_its_fields(rendered: Rendered) -> None:
    _, fields = rendered["room", 0]
    names = ["depth.npz", "flow.npz", "gt.png", "meta.json", "occlusion.png", "ref.png", "src.png"]
    assert sorted(fields) == names
    meta = json.loads(fields["meta.json"])
    assert meta["size"] == [SIZE, SIZE]
    assert (meta["layout"], meta["difficulty"], meta["index"]) == ("room", "easy", 0)
    assert "homography" not in meta
    assert "homographies" not in meta
    assert np.load(io.BytesIO(fields["flow.npz"]))["flow"].dtype == np.float32
    assert array(fields, "flow.npz", "flow").shape == (2, SIZE, SIZE)


@pytest.mark.parametrize("case", CASES)
def test_flow_depth_and_occlusion_are_exact(rendered: Rendered, picture: Picture, case: tuple[Layout, int]) -> None:
    spec, fields = rendered[case]
    flow, hidden, depth, part = expected(spec, fields)
    found = np.moveaxis(array(fields, "flow.npz", "flow"), 0, 2)
    # At an outline the sample, up to 0.005 px beside the centre, may meet the other part; at an edge of one part it
    # may meet another face, whose flow is the same there.
    shown = array(fields, "depth.npz", "ref")
    with np.errstate(invalid="ignore"):
        same = np.isclose(shown, depth, rtol=2e-3) | (np.isinf(shown) & np.isinf(depth))
    assert same.mean() > 0.99
    apart = np.hypot(*np.moveaxis(found - flow, 2, 0))
    landing = found + grid()[..., :2]
    near = ((landing > -SIZE) & (landing < 2 * SIZE)).all(axis=2)
    assert apart[same & near].max() < 0.02
    assert (part >= 0).mean() > 0.5
    occlusion = picture(fields, "occlusion.png")
    assert set(np.unique(occlusion)) <= {0, 255}
    assert ((occlusion > 0) == hidden).mean() >= 0.995
    assert (occlusion > 0)[hidden].mean() > 0.9 or hidden.sum() < 10


@pytest.mark.parametrize("case", CASES)
def test_flow_is_the_reprojected_depth(rendered: Rendered, case: tuple[Layout, int]) -> None:
    _, fields = rendered[case]
    (k, r, c), (k2, r2, c2) = cameras(fields)
    depth = array(fields, "depth.npz", "ref")
    rays = (grid() @ np.linalg.inv(k).T) @ r
    known = np.where(np.isinf(depth), 1.0, depth)[..., None]
    towards = np.where(np.isinf(depth)[..., None], rays, known * rays + c - c2)
    image = towards @ r2.T @ k2.T
    landing = image[..., :2] / image[..., 2:]
    found = np.moveaxis(array(fields, "flow.npz", "flow"), 0, 2) + grid()[..., :2]
    near = ((landing > -SIZE) & (landing < 2 * SIZE)).all(axis=2)
    assert np.hypot(*np.moveaxis(found - landing, 2, 0))[near].max() < 0.02


@pytest.mark.parametrize("case", CASES)
def test_the_measured_parallax_is_of_its_class(rendered: Rendered, picture: Picture, case: tuple[Layout, int]) -> None:
    spec, fields = rendered[case]
    meta = json.loads(fields["meta.json"])
    low, high = ParallaxConfig().parallax(spec.difficulty)
    # The plan sees 576 rays and the picture 4096 pixels: the 90th percentile of such a sample is good to some 10 %,
    # of which the sampler's margin takes most.
    assert low * 0.9 <= meta["parallax"]["p90_percent"] <= high * 1.1
    flow = np.moveaxis(array(fields, "flow.npz", "flow"), 0, 2)
    landing = flow + grid()[..., :2]
    visible = ((landing >= -0.5) & (landing <= SIZE - 0.5)).all(axis=2) & (picture(fields, "occlusion.png") == 0)
    assert meta["overlap"] == pytest.approx(visible.mean(), abs=1e-3)
    assert 0.45 < meta["overlap"] < 0.99
    # OpenCV's homography of least squares is the independent opinion.
    points, targets = grid()[visible][:, :2], landing[visible]
    matrix, _ = cv2.findHomography(points, targets, 0)
    for homography in (matrix, np.asarray(meta["parallax"]["homography"])):
        image = np.column_stack([points, np.ones(len(points))]) @ homography.T
        left = np.hypot(*(image[:, :2] / image[:, 2:] - targets).T)
        p90 = 100 * np.quantile(left, 0.9) / math.hypot(SIZE, SIZE)
        assert p90 == pytest.approx(meta["parallax"]["p90_percent"], rel=0.03)


def test_the_warped_source_is_the_ground_truth(rendered: Rendered, picture: Picture) -> None:
    for case in CASES:
        _, fields = rendered[case]
        flow = array(fields, "flow.npz", "flow").astype(np.float32)
        target = grid()[..., :2].astype(np.float32) + np.moveaxis(flow, 0, 2)
        source, truth = picture(fields, "src.png").astype(np.float32), picture(fields, "gt.png")
        warped = cv2.remap(source, target[..., 0], target[..., 1], cv2.INTER_LINEAR)
        inner = ((target > 0) & (target < SIZE - 1)).all(axis=2) & (picture(fields, "occlusion.png") == 0)
        error = np.square(warped - truth)[inner].mean()
        assert error < 0.5 * np.square(source - truth)[inner].mean()


def test_pictures_are_well_exposed_and_textured(rendered: Rendered, picture: Picture) -> None:
    for case in CASES:
        _, fields = rendered[case]
        shot = picture(fields, "ref.png").mean(axis=2)
        assert 60 < shot.mean() < 190
        assert (shot < 3).mean() < 0.08
        assert (shot > 252).mean() < 0.2
        surface = np.isfinite(array(fields, "depth.npz", "ref"))
        blocks = shot.reshape(8, 8, 8, 8).std(axis=(1, 3))
        assert (blocks[surface.reshape(8, 8, 8, 8).all(axis=(1, 3))] > 2).mean() > 0.97


def test_the_ground_truth_has_the_exposure_of_the_source(picture: Picture) -> None:
    spec = plan("facade", 0)
    reference, source = spec.views
    dark = dataclasses.replace(spec, views=(reference, dataclasses.replace(source, exposure_shift=-1.5)))
    fields = render(dark)
    means = {name: picture(fields, f"{name}.png").mean() for name in ("ref", "src", "gt")}
    assert means["gt"] < 0.8 * means["ref"]
    assert means["gt"] == pytest.approx(means["src"], rel=0.2)


def test_the_bytes_are_the_same_in_any_process_and_with_any_threads(rendered: Rendered) -> None:
    spec, fields = rendered["room", 1]
    assert render(spec, threads=2) == fields
    program = (
        "import sys, hashlib; from raylign.rendering.parallax.scenes import ParallaxSpec as S;"
        "from raylign.rendering.blender.parallax import render_parallax as r;"
        "f = r(S.from_json(sys.stdin.read()), None, 1);"
        "sys.stderr.write(' '.join(k + hashlib.sha256(f[k]).hexdigest() for k in sorted(f)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], input=spec.to_json(), capture_output=True, check=True, text=True
    )
    assert said.stderr.strip().endswith(" ".join(k + hashlib.sha256(fields[k]).hexdigest() for k in sorted(fields)))


def test_the_surface_pass_is_exact_and_leaves_the_scene_as_it_was(tmp_path: Path) -> None:
    import bpy

    from raylign.rendering.blender.engine import fresh_scene, render_light
    from raylign.rendering.blender.objects import add_camera
    from raylign.rendering.blender.surface import render_surface

    scene = fresh_scene(33, 33, 1)
    mesh = bpy.data.meshes.new("wall")
    # A wall that slants: x + 2 z = -20, wider than the picture except above.
    mesh.from_pydata([(-30, -90, 5), (30, -90, -25), (30, 2, -25), (-30, 2, 5)], [], [(0, 1, 2, 3)])
    scene.collection.objects.link(bpy.data.objects.new("wall", mesh))
    add_camera(scene).data.lens = 18.0
    scene.world = bpy.data.worlds.new("sky")
    before = render_light(scene, str(tmp_path), samples=4, bounces=0, seed=3)
    found = render_surface(scene, str(tmp_path))
    assert (render_light(scene, str(tmp_path), samples=4, bounces=0, seed=3) == before).all()
    position = found.position.astype(np.float64)
    assert 0.3 < found.hit.mean() < 0.9
    assert (found.hit == np.isfinite(position).all(axis=2)).all()
    seen = position[found.hit]
    assert np.abs(seen[:, 0] + 2 * seen[:, 2] + 20).max() < 1e-4
    # The camera looks along -z from the origin: back to pixels, at the centres.
    rows, columns = np.nonzero(found.hit)
    assert np.abs(seen[:, 0] / -seen[:, 2] * 16.5 + 16 - columns).max() < 0.006
    assert np.abs(-seen[:, 1] / -seen[:, 2] * 16.5 + 16 - rows).max() < 0.006


def test_pictures_are_refused() -> None:
    from raylign.rendering.blender.parallax import render_parallax

    with pytest.raises(InputError, match="--textures"):
        render_parallax(plan("room", 0), "/tmp", 1)
