"""Dynamic scenes as data: drawn from (seed, scene, pair) alone, with the motion that is asked for."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math

import numpy as np
import pytest

from raylign.methods.errors import InputError
from raylign.rendering.dsia import sampling
from raylign.rendering.dsia.assets import AssetList, AssetSpec
from raylign.rendering.dsia.cast import Member, draw_cast
from raylign.rendering.dsia.command import DsiaOptions, plan
from raylign.rendering.dsia.config import MOVES, SUBSETS, DsiaConfig
from raylign.rendering.dsia.order import DsiaOrder, read_scene
from raylign.rendering.dsia.sampling import sample_dsia
from raylign.rendering.dsia.scenes import DsiaSpec, PoseSpec
from raylign.rendering.dsia.subsets import pair_ranges, subset_of
from raylign.rendering.parallax.geometry import to_camera, to_pixels
from raylign.rendering.splits import split_ranges
from raylign.rendering.streams import stream

SCENES = 8
NONE = AssetList("", (), (), (), ())
PINNED = "7386acf4a1d19311"


def draw(scene: int, pair: int = 0, config: DsiaConfig | None = None, seed: int = 11) -> DsiaSpec:
    return sample_dsia(config or DsiaConfig(), seed, scene, pair, 64, SUBSETS[(scene + pair) % 4], NONE)


@pytest.fixture(scope="module")
def plans() -> list[DsiaSpec]:
    return [draw(scene) for scene in range(SCENES)]


def test_the_draw_is_pinned(plans: list[DsiaSpec]) -> None:
    # Changes when the sampler does: count SAMPLER_VERSION up then, so that nobody mixes old and new shards.
    # Nine digits: the last ones of a trigonometric function, which decides a gait's speed, are the processor's own.
    texts = [
        json.dumps(
            json.loads(json.dumps(dataclasses.asdict(plan)), parse_float=lambda text: float(f"{float(text):.9g}")),
            sort_keys=True,
        )
        for plan in plans
    ]
    assert len(set(texts)) == SCENES
    assert hashlib.sha256("".join(texts).encode()).hexdigest()[:16] == PINNED


def test_panoramas_are_turned() -> None:
    sky = AssetSpec("sky.hdr", "0" * 64, "panorama", 0.0, 0.0, 0.0, ())
    outdoors = DsiaConfig(layouts=("street",))
    with_sky = [
        sample_dsia(outdoors, 11, scene, 0, 64, "ScLf", dataclasses.replace(NONE, panoramas=(sky,)))
        for scene in range(3)
    ]
    turns = {plan.panorama_turn for plan in with_sky}
    assert len(turns) == 3
    assert all(0 < turn < 360 for turn in turns)
    assert {draw(scene, config=outdoors).panorama_turn for scene in range(3)} == {0.0}


def test_an_order_says_all(plans: list[DsiaSpec]) -> None:
    order = DsiaOrder(DsiaConfig(), 11, 3, 0, 64, SUBSETS[3], NONE)
    assert read_scene(order.to_json()) == plans[3]
    assert DsiaOrder.from_json(order.to_json()) == order


def test_pairs_of_a_scene_share_the_place_and_its_people() -> None:
    config = DsiaConfig(pairs=3, layouts=("room",), light_change=0.0)
    first, second = draw(1, 0, config), draw(1, 1, config)
    assert first.parts == second.parts
    assert first.surfaces == second.surfaces
    assert first.lights[0] == second.lights[0] == first.lights[1]
    everyone = {(each.kind, each.number) for each in draw_everyone(config, first)}
    assert {(each.kind, each.number) for spec in (first, second) for each in spec.movers} <= everyone
    assert first.views != second.views
    assert (first.key, second.key) == ("000003", "000004")


def draw_everyone(config: DsiaConfig, spec: DsiaSpec) -> list[object]:
    # Which of the places it was is not told: all of them are drawn.
    members: list[object] = []
    for attempt in range(12):
        members += draw_cast(
            config, (), (), stream("dsia", spec.dataset_seed, spec.scene, attempt, "cast"), indoors=True
        )
    return members


def test_all_moves_and_kinds_of_movers_appear(plans: list[DsiaSpec]) -> None:
    assert {spec.move for spec in plans} <= set(MOVES)
    assert len({spec.move for spec in plans}) >= 3
    assert {each.kind for spec in plans for each in spec.movers} == {"person", "thing"}
    assert len({each.number for spec in plans for each in spec.movers if each.kind == "person"}) > 5


def test_axes_of_poses_are_right_handed_and_square(plans: list[DsiaSpec]) -> None:
    for spec in plans:
        for each in spec.movers:
            for pose in each.poses:
                frame = np.array([pose.x, pose.y, pose.z])
                assert np.allclose(frame @ frame.T, np.eye(3), atol=1e-12)
                assert math.isclose(np.linalg.det(frame), 1.0, abs_tol=1e-12)


def test_a_ball_rolls_as_far_as_it_turns() -> None:
    from raylign.rendering.dsia.things.catalogue import THINGS, thing
    from raylign.rendering.dsia.tracks import Track

    number = next(number for number in range(THINGS) if thing(number).motion == "roll")
    member = Member("thing", number, None, thing(number).height)
    radius = member.height / 2
    track = Track(member, "roll", (1.0, 2.0, 0.0), (1.0, 0.0), 0.5, 0.0, 0.0, radius)
    time = math.pi * radius / 0.5  # half a turn
    start, end = track.pose(0.0), track.pose(time)
    top = start.place((0.0, 0.0, member.height))
    assert np.allclose(top, (1.0, 2.0, member.height))
    assert np.allclose(end.place((0.0, 0.0, member.height)), (1.0, 2.0 + math.pi * radius, 0.0), atol=1e-9)
    # At any moment the point at the ground stands still.
    before, after = track.pose(time / 3 - 1e-5), track.pose(time / 3 + 1e-5)
    touching = own(before, (1.0, 2.0 + 0.5 * time / 3, 0.0))
    assert np.linalg.norm(np.subtract(after.place(touching), before.place(touching))) < 1e-8


def own(pose: PoseSpec, point: tuple[float, float, float]) -> tuple[float, float, float]:
    x, y, z = np.array([pose.x, pose.y, pose.z]) @ np.subtract(point, pose.position)
    return float(x), float(y), float(z)


def test_everyone_stands_on_the_ground_in_view_and_apart(plans: list[DsiaSpec]) -> None:
    for spec in plans:
        shown = 0
        for each in spec.movers:
            middles = [np.array(pose.place((0.0, 0.0, each.height / 2))) for pose in each.poses]
            if each.kind == "person":
                assert -0.1 <= each.poses[0].position[2] <= 0.35
            else:
                assert all(middle[2] - each.height / 2 >= -0.1 - 1e-9 for middle in middles)
            camera = to_camera(spec.views[0], middles[0][None])
            pixel = to_pixels(spec.views[0], camera, spec.width, spec.height)[0]
            shown += bool(camera[0, 2] > 0 and 0 <= pixel[0] < spec.width)
            for view in spec.views:
                for middle in middles:
                    assert np.linalg.norm((middle - np.array(view.position))[:2]) > 0.9 or each.kind == "person"
        assert shown >= 1


def test_a_light_that_does_not_change_is_the_same() -> None:
    still = draw(2, config=DsiaConfig(light_change=0.0))
    changed = draw(2, config=DsiaConfig(light_change=1.0))
    assert still.lights[0] == still.lights[1]
    assert changed.lights[0] == still.lights[0]
    assert changed.lights[1] != changed.lights[0]


def test_subsets_take_turns_and_share_the_test_split() -> None:
    splits = split_ranges(80, 0.1, 0.1)
    train = [subset_of(splits, scene, 0) for scene in range(8)]
    assert sorted(train) == sorted([*SUBSETS, *SUBSETS])
    ranges = pair_ranges(splits, 30)
    assert ranges["train"] == [0, 64 * 30]
    parts = [ranges[f"test-{name}"] for name in SUBSETS]
    assert parts[0][0] == ranges["test"][0]
    assert parts[-1][1] == ranges["test"][1]
    assert [end for _, end in parts[:-1]] == [first for first, _ in parts[1:]]
    for name, (first, end) in zip(SUBSETS, parts, strict=True):
        assert {subset_of(splits, index // 30, index % 30) for index in range(first, end)} == {name}


def test_the_plan_of_the_papers_size_is_made_at_once() -> None:
    config = DsiaConfig(pairs=30)
    made = plan(DsiaOptions(scenes=1033, out="somewhere", scene=config))
    assert made.info.scenes == 30990
    assert made.pictures == 3
    order = json.loads(made.scene(12345))
    assert (order["scene"], order["pair"]) == divmod(12345, 30)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pairs": 0}, "--scene.pairs"),
        ({"pairs": 1000}, "--scene.pairs"),
        ({"people": (0, 0), "things": (0, 0)}, "nobody"),
        ({"lapse": (2.0, 1.0)}, "--scene.lapse"),
        ({"moves": ("sideways",)}, "--scene.moves"),
        ({"large_camera": (5.0, math.inf)}, "--scene.large-camera"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        plan(DsiaOptions(scenes=5000, out="somewhere", scene=DsiaConfig(**settings)))  # type: ignore[arg-type]


def test_an_impossible_motion_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "PLACES", 1)
    monkeypatch.setattr(sampling, "MOMENTS", 3)
    config = DsiaConfig(large_foreground=(50.0, 51.0), lapse=(0.03, 0.04), layouts=("room",))
    with pytest.raises(InputError, match="ScLf"):
        sample_dsia(config, 0, 0, 0, 64, "ScLf", NONE)
