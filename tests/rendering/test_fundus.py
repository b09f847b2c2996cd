"""Fundus scenes as data: cameras and eyes against independent geometry, overlaps, control points, splits, settings."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re

import cv2
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.spatial.transform import Rotation

from raylign.methods.errors import InputError
from raylign.rendering.fundus.command import plan, read_options
from raylign.rendering.fundus.config import KINDS, FundusConfig, PairKind
from raylign.rendering.fundus.film import blurred, field_cover
from raylign.rendering.fundus.lids import shade
from raylign.rendering.fundus.maps import BORDER, bilinear, density_of, edges, part_of, vessel_mask
from raylign.rendering.fundus.optics import (
    at_centre,
    bend,
    forward,
    from_map,
    grid,
    in_field,
    project,
    rays,
    seen_at,
    straighten,
    to_map,
)
from raylign.rendering.fundus.order import FundusOrder, read_scene
from raylign.rendering.fundus.retina.painting import RetinaMaps
from raylign.rendering.fundus.sampling import field_overlap, sample_fundus
from raylign.rendering.fundus.scenes import EyeSpec, FundusSpec, ShotSpec
from raylign.rendering.fundus.shares import kind_of, split_ranges_by_kind
from raylign.rendering.fundus.shots import StandardShot, wide_shot
from raylign.rendering.fundus.truth import best_homography, pair_truth
from raylign.rendering.streams import stream

SIZE = 96
PINNED = "4b3c2b0580a0b8d1"
Pairs = dict[PairKind, FundusSpec]


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return {kind: sample_fundus(FundusConfig(), 4, number, SIZE, kind) for number, kind in enumerate(KINDS)}


def truth_of(spec: FundusSpec):  # type: ignore[no-untyped-def]
    return pair_truth(spec, (shade(spec.shots[0], SIZE, SIZE), shade(spec.shots[1], SIZE, SIZE)))


def landed(spec: FundusSpec, pixel: np.ndarray) -> np.ndarray:
    """Where a pixel of the reference is in the source, by rotation matrices and root finding."""
    matrices = [np.array([shot.right, -np.array(shot.up), forward(shot)]) for shot in spec.shots]
    reference, source = spec.shots
    bent = (pixel - np.array(reference.centre)) / reference.focal
    way = matrices[0].T @ np.array([*(bent / (1 + reference.distortion * (bent @ bent))), 1.0])
    start = np.array(reference.position)

    def outside(length: float) -> float:
        x, y, z = start + length * way
        return float(x * x + (y / spec.eye.stretch) ** 2 + z * z - spec.eye.radius**2)

    point = start + brentq(outside, 1.0, 100.0, xtol=1e-13) * way
    x, y, depth = matrices[1] @ (point - np.array(source.position))
    flat = np.array([x, y]) / depth
    radius = float(np.hypot(*flat))
    # The radius on the film whose straightened one it is.
    found = brentq(lambda r: r / (1 + source.distortion * r * r) - radius, 0.0, 1.6 * radius + 1e-9, xtol=1e-14)
    return np.array(source.centre) + source.focal * flat * found / radius


def test_the_draw_is_pinned(pairs: Pairs) -> None:
    # Changes when the sampler does: count SAMPLER_VERSION up then, so that nobody mixes old and new shards.
    parts = [[dataclasses.asdict(each) for each in (pairs[kind].eye, *pairs[kind].shots)] for kind in KINDS]
    # Nine digits: the last ones of a trigonometric function are the processor's own.
    rounded = json.loads(json.dumps(parts), parse_float=lambda text: float(f"{float(text):.9g}"))
    said = json.dumps(rounded, sort_keys=True)
    assert hashlib.sha256(said.encode()).hexdigest()[:16] == PINNED


def test_an_order_draws_the_same_scene(pairs: Pairs) -> None:
    order = FundusOrder(FundusConfig(), 4, 2, SIZE, "P")
    assert read_scene(order.to_json()) == pairs["P"]
    assert pairs["P"].key == "000002"
    assert sample_fundus(FundusConfig(), 5, 2, SIZE, "P").shots != pairs["P"].shots


@pytest.mark.parametrize("kind", KINDS)
def test_flow_agrees_with_an_independent_projection(pairs: Pairs, kind: PairKind) -> None:
    spec = pairs[kind]
    truth = truth_of(spec)
    rows, columns = np.nonzero(truth.visible)
    chosen = slice(None, None, max(1, len(rows) // 60))
    assert len(rows[chosen]) >= 40
    for row, column in zip(rows[chosen], columns[chosen], strict=True):
        expected = landed(spec, np.array([column, row], float))
        np.testing.assert_allclose(truth.targets[row, column], expected, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_control_points_are_homography_plus_field(pairs: Pairs, kind: PairKind) -> None:
    spec = pairs[kind]
    truth = truth_of(spec)
    fitted = best_homography(spec, truth)
    assert fitted is not None
    assert len(spec.points) >= 10
    flat = np.column_stack([grid(SIZE, SIZE).reshape(-1, 2), np.ones(SIZE * SIZE)]) @ fitted.homography.T
    field = truth.targets - (flat[:, :2] / flat[:, 2:]).reshape(SIZE, SIZE, 2)
    for x, y, u, v in spec.points:
        where = np.array([[[x, y]]], np.float32)
        local = np.array(
            [cv2.remap(field[..., axis], where[..., 0], where[..., 1], cv2.INTER_LINEAR) for axis in (0, 1)]
        )
        px, py, pw = fitted.homography @ [x, y, 1.0]
        assert math.hypot(px / pw + local[0, 0, 0] - u, py / pw + local[1, 0, 0] - v) < 0.1
        np.testing.assert_allclose(landed(spec, np.array([x, y])), (u, v), atol=1e-7)
        assert min(x, y, u, v) >= 0
        assert max(x, y, u, v) <= SIZE - 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_homography_is_of_least_squares_and_leaves_a_field(pairs: Pairs, kind: PairKind) -> None:
    spec = pairs[kind]
    truth = truth_of(spec)
    fitted = best_homography(spec, truth)
    assert fitted is not None
    points, targets = grid(SIZE, SIZE)[truth.visible], truth.targets[truth.visible]
    matrix, _ = cv2.findHomography(points, targets, 0)
    image = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    rms = math.sqrt(np.square(image[:, :2] / image[:, 2:] - targets).sum(axis=1).mean())
    assert fitted.rms_px <= rms * 1.001
    assert rms == pytest.approx(fitted.rms_px, rel=0.05)
    assert 0.01 < fitted.p90_px < 0.1 * SIZE


def test_overlaps_are_those_of_their_kinds(pairs: Pairs) -> None:
    config = FundusConfig()
    for kind, (low, high) in (("S", config.overlap), ("A", config.overlap), ("P", config.overlap_little)):
        for seed in range(3):
            spec = sample_fundus(config, seed, 7, SIZE, kind)  # type: ignore[arg-type]
            truth = truth_of(spec)
            assert low - 0.03 < truth.field_overlap < high + 0.03
            assert field_overlap(spec.eye, *spec.shots) == pytest.approx(truth.field_overlap, abs=0.02)
    wide = truth_of(pairs["sfi-uwfi"])
    assert 0.02 < wide.overlap < 0.5


def test_only_later_visits_change_the_retina(pairs: Pairs) -> None:
    for kind in KINDS:
        first, second = pairs[kind].retinas
        assert (first != second) == (kind == "A")
    first, second = pairs["A"].retinas
    assert (first.eye, first.vessels) == (second.eye, second.vessels)


def test_kinds_have_their_cameras(pairs: Pairs) -> None:
    for kind in KINDS:
        cameras = tuple(shot.camera for shot in pairs[kind].shots)
        assert cameras == (("wide", "standard") if kind == "sfi-uwfi" else ("standard", "standard"))


def test_cameras_are_orthonormal_and_within_the_eye(pairs: Pairs) -> None:
    for spec in pairs.values():
        for shot in spec.shots:
            matrix = np.array([shot.right, shot.up, forward(shot)])
            np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-14)
            x, y, z = shot.position
            assert x * x + (y / spec.eye.stretch) ** 2 + z * z <= spec.eye.radius**2 * (1 + 1e-12)
            assert math.hypot(x, z) <= 1.3
            assert y < 0


def wide(eye: EyeSpec, **settings: object) -> ShotSpec:
    config = FundusConfig(wide_crop=(1.0, 1.0), **settings)  # type: ignore[arg-type]
    return wide_shot(config, stream("fundus", 0, 0, "test"), eye, SIZE)


@pytest.mark.parametrize("decentration", [0.0, 1.2])
def test_an_ultra_widefield_picture_is_stereographic(decentration: float) -> None:
    eye = EyeSpec(11.5, 1.0)
    shot = wide(eye, decentration=(decentration, decentration), wide_field=(200.0, 200.0))
    # The place opposite of the centre of projection is the picture's middle; angles from there at the eye's centre.
    middle = -np.array(shot.position) / 11.5
    side = np.cross(middle, [0.3, 0.2, 1.0])
    side /= np.linalg.norm(side)
    for around in np.linspace(0, 2 * np.pi, 12):
        way = Rotation.from_rotvec(around * middle).apply(side)
        for degrees in (5.0, 40.0, 75.0, 100.0):
            angle = math.radians(degrees)
            pixel = project(shot, 11.5 * (math.cos(angle) * middle + math.sin(angle) * way))
            radius = math.hypot(*(pixel - np.array(shot.centre)))
            # Stereographic: twice the tangent of half the angle; the field's edge at 100 degrees.
            expected = shot.stop[0] * math.tan(angle / 2) / math.tan(math.radians(50))
            assert radius == pytest.approx(expected, abs=1e-6)


def test_a_standard_field_is_told_as_visual_angle() -> None:
    eye = EyeSpec(11.5, 1.0)
    config = FundusConfig(decentration=(0.0, 0.0), roll=(0.0, 0.0))
    shot = StandardShot(config, stream("fundus", 0, 0, "test"), eye, SIZE, 45.0).at((0.0, 0.0))
    edge = seen_at(eye, shot, np.array(shot.centre) + np.array([shot.stop[0], 0.0]))
    # 22.5 visual degrees are 22.5 * 0.29 mm of retina, along the arc from the pole.
    arc = 11.5 * math.atan2(math.hypot(edge[0], edge[2]), edge[1])
    assert arc == pytest.approx(22.5 * 0.29, rel=1e-6)
    assert at_centre(eye, 22.5) == pytest.approx(math.degrees(arc / 11.5))


def test_x_is_right_and_y_down() -> None:
    eye = EyeSpec(11.5, 1.02)
    shot = StandardShot(
        FundusConfig(decentration=(0.0, 0.0), roll=(0.0, 0.0)), stream("fundus", 0, 0, "test"), eye, SIZE, 45.0
    ).at((0.0, 0.0))
    right, down = (project(shot, np.array(from_map(eye, place))) for place in ((10.0, 0.0), (0.0, 10.0)))
    assert right[0] > SIZE / 2 + 5
    assert right[1] == pytest.approx((SIZE - 1) / 2)
    assert down[1] > SIZE / 2 + 5
    assert down[0] == pytest.approx((SIZE - 1) / 2)


def test_lens_and_map_are_inverted_exactly(pairs: Pairs) -> None:
    pixels = grid(SIZE, SIZE)
    for spec in pairs.values():
        for shot in spec.shots:
            np.testing.assert_allclose(bend(shot, straighten(shot, pixels)), pixels, atol=1e-9)
            points = seen_at(spec.eye, shot, pixels[::13, ::13])
            np.testing.assert_allclose(project(shot, points), pixels[::13, ::13], atol=1e-8)
            surface = points[..., 0] ** 2 + (points[..., 1] / spec.eye.stretch) ** 2 + points[..., 2] ** 2
            np.testing.assert_allclose(surface, spec.eye.radius**2, rtol=1e-12)
            for point in points.reshape(-1, 3)[::7]:
                place = to_map(point)
                np.testing.assert_allclose(from_map(spec.eye, (place[0], place[1])), point, atol=1e-6)
                cosine = point[1] / np.linalg.norm(point)
                assert math.hypot(*place) == pytest.approx(math.degrees(math.acos(cosine)), abs=1e-6)


def test_the_lens_is_monotone_far_beyond_the_picture() -> None:
    for bulge in (-0.1, 0.1):
        config = FundusConfig(distortion=(bulge, bulge))
        shot = StandardShot(config, stream("fundus", 0, 0, "test"), EyeSpec(11.5, 1.0), SIZE, 50.0).at((0.0, 0.0))
        plane = np.stack([np.linspace(0, 20, 4000), np.zeros(4000)], axis=1)
        radius = bend(shot, plane)[:, 0]
        assert (np.diff(radius) > 0).all()
        edge = straighten(shot, np.array(shot.centre) + np.array([shot.stop[0], 0]))[0]
        assert shot.stop[0] / (shot.focal * edge) == pytest.approx(1 + bulge)


def test_occlusion_is_what_one_of_the_two_does_not_show(pairs: Pairs) -> None:
    for spec in pairs.values():
        truth = truth_of(spec)
        lids = [shade(shot, SIZE, SIZE).hides for shot in spec.shots]
        inside = ((truth.targets >= -0.5) & (truth.targets <= SIZE - 0.5)).all(axis=2)
        assert not (truth.hidden & ~inside).any()
        assert (truth.visible ^ truth.hidden)[inside].all()
        rows, columns = np.nonzero(truth.visible)
        for row, column in list(zip(rows, columns, strict=True))[::37]:
            assert in_field(spec.shots[0], np.array([column, row]))
            assert not lids[0][row, column]
            assert in_field(spec.shots[1], truth.targets[row, column])
    assert truth_of(pairs["S"]).hidden.any()


def test_lids_cover_from_above_and_below() -> None:
    eye = EyeSpec(11.5, 1.0)
    config = {"lids": 1.0, "lid_reach": (0.25, 0.25), "lashes": (0, 0)}
    shot = wide(eye, **config)
    assert [lid.upper for lid in shot.film.lids] == [True, False]
    flat = tuple(dataclasses.replace(lid, tilt=0.0, bend=0.0) for lid in shot.film.lids)
    shot = dataclasses.replace(shot, film=dataclasses.replace(shot.film, lids=flat))
    hides = shade(shot, SIZE, SIZE).hides[:, SIZE // 2]
    first, last = np.flatnonzero(~hides)[[0, -1]]
    middle = (SIZE - 1) / 2
    assert first == pytest.approx(middle - 0.75 * shot.stop[1], abs=1)
    assert last == pytest.approx(middle + 0.75 * shot.stop[1], abs=1)
    more = wide(eye, **{**config, "lashes": (18, 18)})
    bare = dataclasses.replace(
        more, film=dataclasses.replace(more.film, lids=tuple(dataclasses.replace(x, lashes=()) for x in more.film.lids))
    )
    assert shade(more, SIZE, SIZE).taken.sum() > shade(bare, SIZE, SIZE).taken.sum() + 5


def test_the_field_cover_is_the_area_of_an_ellipse() -> None:
    shot = wide(EyeSpec(11.5, 1.0))
    cover = field_cover(shot, SIZE, SIZE)
    fine = (grid(SIZE * 8, SIZE * 8) + 0.5) / 8 - 0.5
    exact = in_field(shot, fine).reshape(SIZE, 8, SIZE, 8).mean(axis=(1, 3))
    assert np.abs(cover - exact).max() < 0.12
    assert cover.sum() == pytest.approx(math.pi * shot.stop[0] * shot.stop[1], rel=0.002)


def test_blur_is_a_gaussian() -> None:
    light = np.random.default_rng(1).random((40, 50, 3)).astype(np.float32)
    expected = cv2.GaussianBlur(light, (0, 0), 1.3, borderType=cv2.BORDER_REPLICATE)
    np.testing.assert_allclose(blurred(light, 1.3), expected, atol=2e-3)
    np.testing.assert_array_equal(blurred(light, 0.0), light)


def test_a_part_of_the_map_holds_what_is_shown(pairs: Pairs) -> None:
    for spec in pairs.values():
        for shot in spec.shots:
            pixels = grid(SIZE, SIZE)[in_field(shot, grid(SIZE, SIZE))]
            places = to_map(seen_at(spec.eye, shot, pixels))
            left, top, right, bottom = part_of(spec.eye, shot, pixels)
            assert left == pytest.approx(places[:, 0].min() - BORDER)
            assert bottom == pytest.approx(places[:, 1].max() + BORDER)
            assert left < right
            assert top < bottom
            # Two points of the map for each pixel, where the picture is finest.
            middle = seen_at(spec.eye, shot, np.array(shot.centre) + np.array([[-0.5, 0.0], [0.5, 0.0]]))
            degrees = np.hypot(*(to_map(middle)[1] - to_map(middle)[0]))
            assert density_of(shot) * degrees == pytest.approx(2.0, rel=0.15)


def test_bilinear_values_lie_on_the_plane_of_a_ramp() -> None:
    rows, columns = np.indices((20, 30))
    ramp = 3.0 * columns - 2.0 * rows
    x, y = np.random.default_rng(2).uniform(0, [[29.0], [19.0]], (2, 50))
    np.testing.assert_allclose(bilinear(ramp, x, y), 3 * x - 2 * y, atol=1e-5)
    np.testing.assert_allclose(bilinear(np.dstack([ramp, -ramp]), x, y)[:, 1], 2 * y - 3 * x, atol=1e-5)
    np.testing.assert_allclose(bilinear(ramp, np.array([-3.0, 40.0]), np.array([0.0, 30.0])), [0.0, 87.0 - 38.0])


def test_the_vessel_mask_is_the_covered_area(pairs: Pairs) -> None:
    spec = pairs["S"]
    # One straight vessel along x = 4 degrees, half a degree wide, in a map of 20 points per degree.
    density, half = 20.0, 900
    steps = (np.arange(2 * half + 1) - half) / density
    inside = np.clip((0.25 - np.abs(steps - 4.0)) * density + 0.5, 0, 1) * 255
    vessel = np.broadcast_to(inside.round().astype(np.uint8), (2 * half + 1, 2 * half + 1))
    maps = RetinaMaps(vessel, vessel, density, -half, -half)
    np.testing.assert_allclose(edges(maps), [-45.025, -45.025, 45.025, 45.025])
    shot = spec.shots[0]
    mask = vessel_mask(spec.eye, shot, maps, SIZE, SIZE)
    fine = (grid(SIZE * 10, SIZE * 10) + 0.5) / 10 - 0.5
    places = to_map(seen_at(spec.eye, shot, fine))
    exact = (np.abs(places[..., 0] - 4.0) < 0.25).reshape(SIZE, 10, SIZE, 10).mean(axis=(1, 3))
    exact[~in_field(shot, grid(SIZE, SIZE))] = 0
    assert mask.max() > 100
    assert np.abs(mask / 255 - exact).mean() < 0.004
    assert np.abs(mask / 255 - exact).max() < 0.15


def test_kinds_are_drawn_by_their_shares_and_cut_the_test_split() -> None:
    config = FundusConfig(share_wide=2, share_much=1, share_little=1, share_later=0)
    splits = {"train": [0, 400], "val": [400, 410], "test": [410, 420]}
    kinds = [kind_of(config, 3, splits, index) for index in range(420)]
    assert kinds[:400].count("sfi-uwfi") == pytest.approx(200, abs=40)
    assert "A" not in kinds
    ranges = split_ranges_by_kind(config, splits)
    assert list(ranges) == ["train", "val", "test", "test-sfi-uwfi", "test-s", "test-p"]
    for name in ("sfi-uwfi", "S", "P"):
        first, end = ranges[f"test-{name.lower()}"]
        assert set(kinds[first:end]) == {name}
    assert sum(end - first for name, (first, end) in ranges.items() if name.startswith("test-")) == 10
    assert split_ranges_by_kind(config, {"train": [0, 4]}) == {"train": [0, 4]}


def test_a_plan_tells_what_decides_the_bytes() -> None:
    options = read_options(["--scenes", "20", "--out", "nowhere", "--size", "64", "--seed", "9", "--scene.lids", "0"])
    found = plan(options)
    assert (found.kind, found.info.kind, found.pictures) == ("fundus", "pair", 2)
    assert found.info.settings["scene"]["lids"] == 0
    order = FundusOrder.from_json(found.scene(3))
    assert (order.seed, order.index, order.size, order.config.lids) == (9, 3, 64, 0)
    assert "vessels.png" in found.info.fields


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"field": (50.0, 40.0)}, "--scene.field"),
        ({"field": (10.0, 40.0)}, "--scene.field"),
        ({"eye_radius": (1.0, 11.0)}, "--scene.eye-radius"),
        ({"overlap": (0.5, 0.9)}, "--scene.overlap"),
        ({"overlap_little": (0.3, 0.9)}, "--scene.overlap-little"),
        ({"wide_crop": (0.5, 1.5)}, "--scene.wide-crop"),
        ({"distortion": (-0.5, 0.0)}, "--scene.distortion"),
        ({"samples": 0}, "--scene.samples"),
        ({"lids": math.nan}, "--scene.lids"),
        ({"share_wide": -1.0}, "--scene.share-wide"),
        ({"share_wide": 0.0, "share_much": 0.0, "share_little": 0.0, "share_later": 0.0}, "--scene.share-wide"),
        ({"ratio": (0.1, 0.7)}, "--scene.ratio"),
    ],
)
def test_mistakes_are_named(settings: dict[str, object], flag: str) -> None:
    with pytest.raises(InputError, match=re.escape(flag)):
        FundusConfig(**settings).validate()  # type: ignore[arg-type]


def test_the_defaults_are_valid() -> None:
    FundusConfig().validate()


def test_impossible_settings_are_told() -> None:
    config = FundusConfig(overlap=(0.999, 1.0), magnification=(1.3, 1.3))
    with pytest.raises(InputError, match=re.escape("--scene.overlap")):
        sample_fundus(config, 0, 0, SIZE, "S")


def test_rays_lead_back_to_their_pixels(pairs: Pairs) -> None:
    for spec in pairs.values():
        shot = spec.shots[0]
        pixels = np.array([[3.0, 5.0], [50.0, 40.0]])
        points = np.array(shot.position) + 7 * rays(shot, pixels)
        np.testing.assert_allclose(project(shot, points), pixels, atol=1e-9)
