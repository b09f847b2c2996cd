"""Parallax scenes as data: drawn from (seed, index) alone, within their ranges, unchanged by a trip through JSON."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from raylign.methods.errors import InputError
from raylign.rendering.parallax.casting import Caster
from raylign.rendering.parallax.config import DIFFICULTIES, Difficulty, ParallaxConfig
from raylign.rendering.parallax.difficulty import difficulty_of, split_ranges_by_difficulty
from raylign.rendering.parallax.fitting import apply, fit_homography, measure_parallax
from raylign.rendering.parallax.geometry import AHEAD, axes, forward, rays, to_camera, to_pixels, turned
from raylign.rendering.parallax.looking import CLEARANCE
from raylign.rendering.parallax.sampling import sample_parallax
from raylign.rendering.parallax.scenes import ParallaxSpec, PartSpec, SurfaceSpec, ViewSpec
from raylign.rendering.parallax.surfaces import PATTERNS, seamless, surface_picture

SCENES = 50
PINNED = "bffe7d7b67f668e6"


@pytest.fixture(scope="module")
def plans() -> list[ParallaxSpec]:
    return [sample_parallax(ParallaxConfig(), 11, index, 64, DIFFICULTIES[index % 3]) for index in range(SCENES)]


def view(position: tuple[float, float, float] = (0.0, 0.0, 0.0), pan: float = 0.0, tilt: float = 0.0) -> ViewSpec:
    return ViewSpec(position, *axes(turned(pan), turned(tilt), AHEAD), 28.0, 0.0, 0)


def test_json_gives_the_same_scene_back(plans: list[ParallaxSpec]) -> None:
    for plan in plans[:6]:
        assert ParallaxSpec.from_json(plan.to_json()) == plan
    assert plans[3].key == "000003"


def test_the_draw_is_pinned(plans: list[ParallaxSpec]) -> None:
    # Changes when the sampler does: count SAMPLER_VERSION up then, so that nobody mixes old and new shards.
    assert hashlib.sha256("".join(plan.to_json() for plan in plans).encode()).hexdigest()[:16] == PINNED


def test_the_draw_does_not_depend_on_the_process(plans: list[ParallaxSpec]) -> None:
    program = (
        "from raylign.rendering.parallax.config import ParallaxConfig as C; import hashlib;"
        "from raylign.rendering.parallax.sampling import sample_parallax as s;"
        "print(hashlib.sha256(s(C(), 11, 4, 64, 'moderate').to_json().encode()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    said = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True, text=True)
    assert said.stdout.strip() == hashlib.sha256(plans[4].to_json().encode()).hexdigest()


def test_seed_and_index_make_the_scene(plans: list[ParallaxSpec]) -> None:
    assert len({plan.parts for plan in plans}) == SCENES
    assert {plan.layout for plan in plans} == {"room", "facade", "street"}
    assert sample_parallax(ParallaxConfig(), 12, 0, 64, "easy").parts != plans[0].parts


def test_cameras_stand_in_free_space(plans: list[ParallaxSpec]) -> None:
    more = [sample_parallax(ParallaxConfig(), 12, index, 64, DIFFICULTIES[index % 3]) for index in range(50)]
    for plan in (*plans, *more):
        for each in plan.views:
            for part in plan.parts:
                x, y, z = (a - b for a, b in zip(each.position, part.centre, strict=True))
                own = part.turn[0] * x + part.turn[1] * y, part.turn[0] * y - part.turn[1] * x, z
                gaps = [max(0.0, abs(a) - half) for a, half in zip(own, part.half, strict=True)]
                assert math.hypot(*gaps) >= CLEARANCE
            assert 0.8 < each.position[2] < 2.5


def test_views_are_right_handed_and_turned_a_little(plans: list[ParallaxSpec]) -> None:
    for plan in plans:
        for each in plan.views:
            matrix = np.array([each.right, each.up, forward(each)])
            np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-14)
            assert np.linalg.det(matrix) == pytest.approx(-1)
        angle = math.degrees(math.acos(np.dot(forward(plan.views[0]), forward(plan.views[1]))))
        assert angle < 13.1
        length = math.dist(plan.views[0].position, plan.views[1].position)
        assert 0 < length <= 2.5
        assert length * 256 == pytest.approx(round(length * 256), abs=1e-6)


def test_scenes_are_deep(plans: list[ParallaxSpec]) -> None:
    for plan in plans:
        assert len(plan.parts) > 100
        steps = (np.arange(16) + 0.5) * 4 - 0.5
        pixels = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        depth, part = Caster(plan.parts).cast(plan.views[0].position, rays(plan.views[0], pixels, 64, 64))
        seen = depth[np.isfinite(depth)]
        assert len(seen) > 0.5 * depth.size
        assert np.quantile(seen, 0.95) > 1.4 * np.quantile(seen, 0.05)
        assert len(set(part.tolist())) > 12


def test_turned_is_sine_and_cosine() -> None:
    for degrees in (-180, -90, -33.3, 0, 12, 90, 179):
        expected = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        assert turned(degrees) == pytest.approx(expected, abs=1e-8)


def test_a_camera_turns_left_and_looks_up() -> None:
    assert forward(view()) == pytest.approx((0, 1, 0))
    assert forward(view(pan=90)) == pytest.approx((-1, 0, 0))
    assert forward(view(tilt=30)) == pytest.approx((0, math.cos(math.pi / 6), 0.5))


def test_rays_and_projection_are_inverse() -> None:
    each = view((1.0, 2.0, 3.0), 20, -10)
    pixels = np.array([[0.0, 0.0], [63.0, 10.0], [31.5, 31.5]])
    points = np.asarray(each.position) + 7 * rays(each, pixels, 64, 64)
    camera = to_camera(each, points)
    np.testing.assert_allclose(camera[:, 2], 7, atol=1e-12)
    np.testing.assert_allclose(to_pixels(each, camera, 64, 64), pixels, atol=1e-10)


def test_a_homography_is_found_and_leaves_nothing() -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 255, (500, 2))
    truth = np.array([[1.05, 0.06, -9.0], [-0.04, 0.97, 14.0], [2e-4, -3e-4, 1.0]])
    fitted = fit_homography(points, apply(truth, points), 256, 256)
    assert fitted is not None
    np.testing.assert_allclose(fitted, truth, rtol=1e-6, atol=1e-9)
    found = measure_parallax(points, apply(truth, points), 256, 256)
    assert found is not None
    assert found.p90_px < 1e-6


def test_the_fit_is_of_least_squares() -> None:
    rng = np.random.default_rng(2)
    points = rng.uniform(0, 127, (300, 2))
    targets = points + np.array([8, 3]) + rng.normal(0, 2, points.shape)
    found = measure_parallax(points, targets, 128, 128)
    assert found is not None
    least = np.square(apply(found.homography, points) - targets).sum()
    assert found.rms_px == pytest.approx(math.sqrt(least / 300))
    for row, column, step in ((0, 0, 1e-3), (1, 2, 0.05), (2, 0, 1e-5), (2, 1, 1e-5)):
        for sign in (-1, 1):
            other = found.homography.copy()
            other[row, column] += sign * step
            assert np.square(apply(other, points) - targets).sum() > least


def test_few_points_have_no_parallax() -> None:
    assert measure_parallax(np.zeros((5, 2)), np.zeros((5, 2)), 64, 64) is None
    assert measure_parallax(np.ones((50, 2)), np.ones((50, 2)), 64, 64) is None


@pytest.mark.parametrize("family", sorted(PATTERNS))
def test_patterns_are_textured_repeatable_and_seamless(family: str) -> None:
    spec = SurfaceSpec(family, 5, (2.0, 2.0), False, (1.0, 1.0, 1.0), 0.8)
    picture = surface_picture(spec, 128, 128)
    assert (picture == surface_picture(spec, 128, 128)).all()
    assert (picture != surface_picture(dataclasses.replace(spec, seed=6), 128, 128)).any()
    grey = picture.mean(axis=2)
    blocks = grey.reshape(8, 16, 8, 16).std(axis=(1, 3))
    assert np.quantile(blocks, 0.1) > 1.5
    assert seamless(family)


def test_difficulties_interleave_and_cut_the_test_split() -> None:
    splits = {"train": [0, 10], "val": [10, 12], "test": [12, 20]}
    assert [difficulty_of(splits, index) for index in range(12)] == [*DIFFICULTIES] * 4
    assert [difficulty_of(splits, index) for index in range(12, 20)] == ["easy"] * 2 + ["moderate"] * 3 + ["hard"] * 3
    ranges = split_ranges_by_difficulty(splits)
    assert list(ranges) == ["train", "val", "test", "test-easy", "test-moderate", "test-hard"]
    assert [ranges[f"test-{name}"] for name in DIFFICULTIES] == [[12, 14], [14, 17], [17, 20]]
    for name in DIFFICULTIES:
        assert {difficulty_of(splits, index) for index in range(*ranges[f"test-{name}"])} == {name}
    assert split_ranges_by_difficulty({"train": [0, 4], "test": [4, 6]}) == {"train": [0, 4], "test": [4, 6]}


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"layouts": ()}, "--scene.layouts"),
        ({"layouts": ("castle",)}, "--scene.layouts"),
        ({"aspect": 0.5}, "--scene.aspect"),
        ({"samples": 0}, "--scene.samples"),
        ({"lens": (30.0, 20.0)}, "--scene.lens"),
        ({"hard": (3.0, 80.0)}, "--scene.hard"),
        ({"overlap": (0.5, 1.5)}, "--scene.overlap"),
        ({"pan": (-90.0, 0.0)}, "--scene.pan"),
        ({"sun_strength": (math.nan, math.nan)}, "--scene.sun-strength"),
        ({"sky_strength": (1.0, math.inf)}, "--scene.sky-strength"),
    ],
)
def test_mistakes_are_named(settings: dict[str, object], flag: str) -> None:
    with pytest.raises(InputError, match=re.escape(flag)):
        ParallaxConfig(**settings).validate()  # type: ignore[arg-type]


def test_the_defaults_are_valid() -> None:
    ParallaxConfig().validate()


def test_impossible_settings_are_told() -> None:
    easy: Difficulty = "easy"
    config = ParallaxConfig(layouts=("room",), baseline=(2.4, 2.5))
    with pytest.raises(InputError, match=re.escape("--scene.easy")):
        sample_parallax(config, 0, 0, 64, easy)


def test_parts_keep_their_surface(plans: list[ParallaxSpec]) -> None:
    for plan in plans:
        assert all(0 <= part.surface < len(plan.surfaces) for part in plan.parts)
        assert all(min(part.half) > 0 for part in plan.parts)


def test_a_cone_is_met_at_its_side() -> None:
    cone = PartSpec("cylinder", (0.0, 5.0, 0.0), (1.0, 1.0, 1.0), AHEAD, 0, 2, (0.02, 0.02))
    depth, part = Caster([cone]).cast((0.0, 0.0, 0.0), np.array([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.19]]))
    assert depth[0] == pytest.approx(5 - 0.51)
    assert part.tolist()[:2] == [0, -1]
