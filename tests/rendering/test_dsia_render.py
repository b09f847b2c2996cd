"""Rendered dynamic pairs: truth against poses and depths, the motion that was asked for, repeatable bytes."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping

import numpy as np
import pytest

pytest.importorskip("bpy", reason="Blender is the extra raylign[render]")

from raylign.rendering.dsia.assets import AssetList
from raylign.rendering.dsia.config import SUBSETS, DsiaConfig
from raylign.rendering.dsia.sampling import sample_dsia
from raylign.rendering.dsia.scenes import DsiaSpec, PoseSpec

from .conftest import Picture

SIZE = 64
NONE = AssetList("", (), (), (), ())
Rendered = list[tuple[DsiaSpec, dict[str, bytes]]]


def draw(scene: int, **settings: object) -> DsiaSpec:
    config = DsiaConfig(**{"samples": 4, "aspect": 1.0, **settings})  # type: ignore[arg-type]
    return sample_dsia(config, 3, scene, 0, SIZE, SUBSETS[scene % 4], NONE)


def render(spec: DsiaSpec, threads: int = 1) -> dict[str, bytes]:
    from raylign.rendering.blender.dsia import render_dsia

    return render_dsia(spec, None, threads)


@pytest.fixture(scope="module")
def rendered() -> Rendered:
    return [(spec := draw(scene), render(spec)) for scene in range(4)]


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
    ys, xs = np.indices((SIZE, SIZE), dtype=np.float64)
    return np.stack([xs, ys, np.ones_like(xs)], axis=2)


def points(fields: Mapping[str, bytes], camera: int, depth: str) -> np.ndarray:
    """World points (H, W, 3) of a view's pixels; infinite for the sky."""
    k, r, c = cameras(fields)[camera]
    rays = (grid() @ np.linalg.inv(k).T) @ r
    with np.errstate(invalid="ignore"):
        return c + array(fields, "depth.npz", depth)[..., None] * rays


def project(fields: Mapping[str, bytes], camera: int, world: np.ndarray) -> np.ndarray:
    k, r, c = cameras(fields)[camera]
    image = (world - c) @ r.T @ k.T
    return image[..., :2] / image[..., 2:]


def test_a_pair_has_its_fields(rendered: Rendered) -> None:
    from raylign.rendering.dsia.command import FIELDS

    for spec, fields in rendered:
        assert list(fields) == list(FIELDS)
        meta = json.loads(fields["meta.json"])
        assert (meta["scene"], meta["pair"], meta["size"]) == (spec.scene, 0, [SIZE, SIZE])
        assert len(meta["movers"]) == len(spec.movers) >= 1
        assert "homography" not in meta


def test_the_measured_motion_is_that_of_the_subset(rendered: Rendered) -> None:
    for spec, fields in rendered:
        meta = json.loads(fields["meta.json"])
        assert meta["subset"] == spec.subset


def test_the_flow_of_what_stands_still_is_the_reprojected_depth(rendered: Rendered, picture: Picture) -> None:
    for _, fields in rendered:
        still = picture(fields, "dynamic.png") == 0
        world = points(fields, 0, "ref")
        known = still & np.isfinite(world).all(axis=2)
        landing = project(fields, 1, np.where(known[..., None], world, 1.0))
        found = np.moveaxis(array(fields, "flow.npz", "flow"), 0, 2) + grid()[..., :2]
        near = ((landing > -SIZE) & (landing < 2 * SIZE)).all(axis=2)
        assert known.mean() > 0.4
        assert np.hypot(*np.moveaxis(found - landing, 2, 0))[known & near].max() < 0.02
        assert (array(fields, "truth.npz", "ref")[:, still] == 0).all()


def test_the_flow_of_the_truth_is_its_reprojected_depth(rendered: Rendered) -> None:
    for _, fields in rendered:
        world = points(fields, 0, "gt")
        known = np.isfinite(world).all(axis=2)
        landing = project(fields, 1, np.where(known[..., None], world, 1.0))
        found = np.moveaxis(array(fields, "truth.npz", "src"), 0, 2) + grid()[..., :2]
        near = ((landing > -SIZE) & (landing < 2 * SIZE)).all(axis=2)
        assert np.hypot(*np.moveaxis(found - landing, 2, 0))[known & near].max() < 0.02


def test_rigid_things_move_as_their_poses_say(picture: Picture) -> None:
    spec = draw(5, people=(0, 0), things=(2, 3), small_foreground=(2.0, 4.0))
    fields = render(spec)
    moved = np.moveaxis(array(fields, "truth.npz", "ref"), 0, 2)
    flow = np.moveaxis(array(fields, "flow.npz", "flow"), 0, 2)
    moving = np.hypot(moved[..., 0], moved[..., 1]) > 0
    world = points(fields, 0, "ref")
    best = np.full(moving.shape, np.inf)
    apart = np.full(moving.shape, np.inf)
    for mover in spec.movers:
        begin, end = mover.poses
        own = (world - np.array(begin.position)) @ axes(begin).T
        later = own @ axes(end) + np.array(end.position)
        error = np.hypot(*np.moveaxis(project(fields, 0, later) - grid()[..., :2] - moved, 2, 0))
        # Whose pixel it is: within the upright cylinder around the mover.
        inside = (np.abs(own[..., 2] - mover.height / 2) < mover.height / 2 + 0.02) & moving
        best = np.where(inside & (error < best), error, best)
        error = np.hypot(*np.moveaxis(project(fields, 1, later) - grid()[..., :2] - flow, 2, 0))
        apart = np.where(inside & (error < apart), error, apart)
    assert moving.sum() > 12
    assert best[moving].max() < 0.05
    assert apart[moving].max() < 0.05


def axes(pose: PoseSpec) -> np.ndarray:
    return np.array([pose.x, pose.y, pose.z])


def test_dynamic_is_the_union_over_the_three_pictures(rendered: Rendered, picture: Picture) -> None:
    for spec, fields in rendered[:2]:
        dynamic = picture(fields, "dynamic.png") > 0
        depth = {name: array(fields, "depth.npz", name) for name in ("ref", "gt")}
        # From the same place the depths differ only where something has come or gone.
        with np.errstate(invalid="ignore"):
            changed = ~(np.abs(depth["ref"] - depth["gt"]) < 1e-3 * depth["ref"]) & np.isfinite(depth["ref"])
        assert not (changed & ~dynamic).any()
        assert 0.002 < dynamic.mean() < 0.8
        alone = render(dataclasses.replace(spec, movers=()))
        assert not (picture(alone, "dynamic.png") > 0).any()
        assert (array(alone, "truth.npz", "ref") == 0).all()


def test_dynamic_marks_pixels_that_something_moving_covers_in_part(picture: Picture) -> None:
    spec = draw(0, samples=32)
    fine = render(dataclasses.replace(spec, width=4 * SIZE, height=4 * SIZE, samples=4))
    covered = (picture(fine, "dynamic.png") > 0).reshape(SIZE, 4, SIZE, 4).mean(axis=(1, 3))
    dynamic = picture(render(spec), "dynamic.png") > 0
    in_part = (covered > 0.1) & (covered < 0.9)
    assert in_part.sum() > 20
    assert dynamic[in_part].mean() > 0.97
    assert dynamic[covered == 0].mean() < 0.01


def test_the_truth_is_the_source_where_the_cameras_are_one(picture: Picture) -> None:
    spec = draw(1, light_change=1.0)
    fields = render(dataclasses.replace(spec, views=(spec.views[0], spec.truth_view)))
    assert fields["gt.png"] == fields["src.png"]
    assert fields["ref.png"] != fields["src.png"]
    assert np.abs(array(fields, "truth.npz", "src")).max() < 1e-4
    # A grazing ray may meet its own surface a little earlier.
    assert (picture(fields, "hidden.png") > 0).mean() < 0.003


def test_the_truth_is_the_reference_where_time_stands_still(picture: Picture) -> None:
    spec = draw(2, light_change=0.0, exposure="fixed", exposure_shift=(0.0, 0.0))
    movers = tuple(dataclasses.replace(each, poses=(each.poses[0],) * 2) for each in spec.movers)
    second = dataclasses.replace(spec.views[1], seed=spec.views[0].seed)
    fields = render(dataclasses.replace(spec, movers=movers, views=(spec.views[0], second)))
    assert fields["gt.png"] == fields["ref.png"]
    assert np.abs(array(fields, "truth.npz", "ref")).max() < 1e-3
    assert json.loads(fields["meta.json"])["motion"]["foreground_px"] < 1e-3


def test_the_source_warped_by_the_flow_is_the_truth(picture: Picture) -> None:
    spec = draw(0, samples=32, light_change=0.5)
    fields = render(spec)
    source, truth = picture(fields, "src.png"), picture(fields, "gt.png")
    landing = np.moveaxis(array(fields, "truth.npz", "src"), 0, 2) + grid()[..., :2]
    shown = picture(fields, "hidden.png") == 0
    warped = bilinear(source, landing)
    assert psnr(warped, truth, shown) > psnr(source, truth, shown) + 3
    assert psnr(warped, truth, shown) > 24


def bilinear(picture: np.ndarray, places: np.ndarray) -> np.ndarray:
    from scipy.ndimage import map_coordinates

    where = [places[..., 1], places[..., 0]]
    return np.stack([map_coordinates(picture[..., c], where, order=1, mode="nearest") for c in range(3)], axis=2)


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square((a - b)[where]).mean()))


def test_bytes_are_repeatable(rendered: Rendered) -> None:
    spec, fields = rendered[1]
    assert render(spec, threads=2) == fields
