"""The procedural retina: vessel trees as published, a map that shows them, the same eye at every visit."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

from raylign.methods.errors import InputError
from raylign.rendering.fundus.retina.calibres import ARTERIOLES, central_equivalent
from raylign.rendering.fundus.retina.measures import bifurcations, box_dimension, vessel_statistics
from raylign.rendering.fundus.retina.painting import RetinaMaps, paint_retina
from raylign.rendering.fundus.retina.sampling import change_retina, sample_retina
from raylign.rendering.fundus.retina.spec import CONDITIONS, RetinaConfig, RetinaSpec
from raylign.rendering.fundus.retina.sphere import to_map, to_sphere
from raylign.rendering.fundus.retina.tree import Tree
from raylign.rendering.fundus.retina.vessels import Vessels, grow_vessels

PINNED = "47beb6b91c1d4144"
PINNED_TREES = "ff6e0c515e7dd936"
DENSITY = 3.0
EYES = 2


VISUAL = 0.29
"""Millimetres of retina per visual degree."""


def right(seed: int, map_degree: float = VISUAL) -> RetinaSpec:
    return sample_retina(RetinaConfig(left=0.0), seed, 0, map_degree)


@pytest.fixture(scope="module")
def specs() -> list[RetinaSpec]:
    return [right(seed) for seed in range(EYES)]


@pytest.fixture(scope="module")
def grown(specs: list[RetinaSpec]) -> list[Vessels]:
    return [grow_vessels(spec.eye, spec.vessels) for spec in specs]


@pytest.fixture(scope="module")
def maps(specs: list[RetinaSpec]) -> RetinaMaps:
    return paint_retina(specs[0], DENSITY)


@pytest.fixture(scope="module")
def measured(specs: list[RetinaSpec]) -> list[dict[str, float]]:
    return [vessel_statistics(spec) for spec in specs]


def both(vessels: Vessels) -> tuple[Tree, Tree]:
    return vessels.arteries, vessels.veins


def visual(tree: Tree, spec: RetinaSpec) -> npt.NDArray[np.float64]:
    return to_map(tree.points) / spec.eye.scale


def test_the_map_is_azimuthal_equidistant() -> None:
    places = np.array([[30.0, 0.0], [0.0, 60.0], [-3.0, 4.0], [0.0, 0.0], [70.0, -70.0]])
    points = to_sphere(places)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(np.degrees(np.arccos(points[:, 2])), np.hypot(*places.T), atol=1e-6)
    np.testing.assert_allclose(points[0], [0.5, 0, math.sqrt(0.75)], atol=1e-8)
    np.testing.assert_allclose(to_map(points), places, atol=1e-6)


def test_json_gives_the_same_retina_back(specs: list[RetinaSpec]) -> None:
    for index in range(20):
        spec = sample_retina(RetinaConfig(), 5, index, VISUAL)
        assert RetinaSpec.from_json(spec.to_json()) == spec
        assert RetinaSpec.from_dict(json.loads(json.dumps(dataclasses.asdict(spec)))) == spec


def test_the_draw_is_pinned(specs: list[RetinaSpec]) -> None:
    drawn = [sample_retina(RetinaConfig(), 11, index, VISUAL) for index in range(40)]
    assert {spec.condition for spec in drawn} == set(CONDITIONS)
    assert {spec.side for spec in drawn} == {"left", "right"}
    text = "".join(spec.to_json() + change_retina(spec, 11, 0).to_json() for spec in drawn)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == PINNED


def test_the_growth_is_pinned(grown: list[Vessels]) -> None:
    # What grows decides the branchings, so it must not depend on the machine; places are rounded, see `sphere.py`.
    digest = hashlib.sha256()
    for tree in (*both(grown[0]), grown[0].choroid):
        digest.update(tree.parents.astype("<i8").tobytes())
        digest.update(np.round(tree.points * 1e9).astype("<i8").tobytes())
    assert digest.hexdigest()[:16] == PINNED_TREES


def test_murrays_law_holds_at_each_branching(specs: list[RetinaSpec], grown: list[Vessels]) -> None:
    for spec, vessels in zip(specs, grown, strict=True):
        for tree in both(vessels):
            children: dict[int, list[float]] = {}
            for parent, width in zip(tree.parents.tolist(), tree.widths.tolist(), strict=True):
                children.setdefault(parent, []).append(width)
            branchings = 0
            for node, widths in children.items():
                if node >= 0 and tree.parents[node] >= 0:
                    together = sum(width**spec.vessels.exponent for width in widths)
                    assert together ** (1 / spec.vessels.exponent) == pytest.approx(tree.widths[node], rel=1e-9)
                    branchings += len(widths) > 1
                assert len(widths) <= 2
            assert branchings > 300


def test_a_tree_is_one_tree(grown: list[Vessels]) -> None:
    for vessels in grown:
        for tree in both(vessels):
            own = np.arange(len(tree.parents))
            assert (tree.parents < own).all()
            assert (tree.parents[1:] >= 0).all()
            assert tree.parents[0] == -1
            steps = np.linalg.norm(tree.points[1:] - tree.points[tree.parents[1:]], axis=1)
            assert np.degrees(steps.max()) < 2.0


def test_calibres_beside_the_disc(specs: list[RetinaSpec], measured: list[dict[str, float]]) -> None:
    # Knudtson et al. 2003 and the Blue Mountains, ARIC and Beaver Dam studies: arterioles of about 150 micrometres,
    # venules of about 220, their ratio about 0.67.
    for spec, numbers in zip(specs, measured, strict=True):
        assert numbers["arteriole"] == pytest.approx(spec.vessels.arteriole, rel=1e-6)
        assert numbers["ratio"] == pytest.approx(spec.vessels.ratio, rel=1e-6)
        assert 130 < numbers["arteriole"] < 170
        assert 185 < numbers["venule"] < 265
        assert 70 < numbers["widest_arteriole"] < 150
        assert 90 < numbers["widest_venule"] < 200
        assert numbers["exponent"] == pytest.approx(spec.vessels.exponent, abs=1e-3)


def test_the_equivalent_is_knudtsons() -> None:
    # By hand: pairs (6, 1), (5, 2), (4, 3), then the widest with the narrowest, the middle one carried over.
    a, b, c = (0.88 * math.hypot(*pair) for pair in ((6, 1), (5, 2), (4, 3)))
    wanted = 0.88 * math.hypot(0.88 * math.hypot(a, c), b)
    widths = np.array([6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.5])
    assert central_equivalent(widths, ARTERIOLES) == pytest.approx(wanted)


def test_the_vessels_are_as_published(measured: list[dict[str, float]]) -> None:
    for numbers in measured:
        # Zamir et al. 1992 and Hughes et al. 2006: 70 to 90 degrees between the branches of retinal vessels.
        assert 65 < numbers["angle"] < 90
        # Kalitzeos et al. 2013 and Hart et al. 1999: usual vessels are 1.05 to 1.15 times as long as their chord.
        assert 1.03 < numbers["tortuosity"] < 1.17
        # Mainster 1990, Masters 2004, Liew et al. 2008: 1.4 to 1.7.
        assert 1.4 < numbers["fractal"] < 1.7
        # The vessels drawn in DRIVE and STARE cover 8 to 14 % of the field.
        assert 0.06 < numbers["density"] < 0.16
        assert 0.3 < numbers["asymmetry"] < 0.8


def test_box_counting_of_known_shapes() -> None:
    full = np.ones((512, 512), bool)
    assert box_dimension(full) == pytest.approx(2)
    assert box_dimension(np.eye(512, dtype=bool)) == pytest.approx(1)
    carpet = np.ones((1, 1), bool)
    for _ in range(9):
        carpet = np.kron(carpet, np.array([[1, 1], [1, 0]], bool))
    assert box_dimension(carpet) == pytest.approx(math.log2(3), abs=1e-6)


def test_no_vessel_in_the_avascular_zone(specs: list[RetinaSpec], grown: list[Vessels]) -> None:
    for spec, vessels in zip(specs, grown, strict=True):
        for tree in both(vessels):
            starts, ends, widths = tree.strands()
            shares = np.linspace(0, 1, 9)[:, None, None]
            between = (starts * (1 - shares) + ends * shares) / spec.eye.scale
            gap = np.linalg.norm(between - np.array(spec.eye.fovea), axis=2) - widths / 2
            assert gap.min() > spec.vessels.avascular
            # But twigs come near.
            assert gap.min() < 3 * spec.vessels.avascular
    fovea = np.array(specs[0].eye.fovea) * specs[0].eye.scale
    maps = paint_retina(specs[0], 6.0, (fovea[0] - 8, fovea[1] - 8, fovea[0] + 8, fovea[1] + 8))
    rows, columns = np.indices(maps.vessels.shape)
    across, down = (columns + maps.left) / 6 - fovea[0], (rows + maps.top) / 6 - fovea[1]
    distance = np.hypot(across, down) / specs[0].eye.scale
    assert maps.vessels[distance < specs[0].vessels.avascular - 0.2].max() == 0
    assert maps.vessels[distance < 4].max() > 50


def test_vessels_reach_the_periphery_in_all_directions(specs: list[RetinaSpec], grown: list[Vessels]) -> None:
    for vessels in grown:
        for tree in both(vessels):
            places = to_map(tree.points)
            radius, sector = np.hypot(*places.T), np.floor(np.degrees(np.arctan2(places[:, 1], places[:, 0])) / 45)
            for each in range(-4, 4):
                assert radius[sector == each].max() > 92
            assert radius.max() < 118


def test_arcades_go_around_the_macula(specs: list[RetinaSpec], grown: list[Vessels]) -> None:
    for spec, vessels in zip(specs, grown, strict=True):
        for tree in both(vessels):
            offset = visual(tree, spec) - np.array(spec.eye.fovea)
            across, up = offset @ np.array(spec.eye.axis), offset @ np.array([-spec.eye.axis[1], spec.eye.axis[0]])
            above_fovea = np.abs(across) < 1.0
            for side in (1, -1):
                large = above_fovea & (side * up > 5) & (side * up < 17)
                assert tree.widths[large].max() > 0.45 * tree.widths.max()
            assert tree.widths[above_fovea & (np.abs(up) < 4)].max(initial=0.0) < 0.4 * tree.widths.max()


def test_arteries_and_veins_cross_and_alternate(specs: list[RetinaSpec], grown: list[Vessels]) -> None:
    for spec, vessels in zip(specs, grown, strict=True):
        kinds = []
        for tree in both(vessels):
            places = visual(tree, spec) - np.array(spec.eye.disc)
            inner = np.linalg.norm(places, axis=1) < 14
            out = (tree.parents >= 0) & ~inner & inner[tree.parents] & (tree.widths > 0.1)
            kinds += [(math.atan2(y, x), tree is vessels.veins) for x, y in places[out].tolist()]
        around = [vein for _, vein in sorted(kinds)]
        changes = sum(a != b for a, b in zip(around, around[1:] + around[:1], strict=True))
        assert changes >= 0.4 * len(around)


def test_the_mask_is_where_the_polylines_are(specs: list[RetinaSpec], grown: list[Vessels], maps: RetinaMaps) -> None:
    # Independent of the painter: sixteen samples in each pixel, each covered if a vessel's middle line on the sphere is
    # nearer than half its width.
    spec, half = specs[0], len(maps.vessels) // 2
    starts, ends, widths = (np.concatenate(each) for each in zip(*map(Tree.strands, both(grown[0])), strict=True))
    generator = np.random.default_rng(4)
    near_disc = np.array(spec.eye.disc) * spec.eye.scale
    centres = np.concatenate([near_disc + generator.uniform(-8, 8, (150, 2)), generator.uniform(-70, 70, (250, 2))])
    pixels = np.unique(np.round(centres * DENSITY).astype(int), axis=0)
    fine = (np.stack(np.meshgrid(np.arange(8), np.arange(8)), axis=-1).reshape(-1, 2) + 0.5) / 8 - 0.5
    first, last = to_sphere(starts), to_sphere(ends)
    errors = []
    for column, row in pixels.tolist():
        samples = to_sphere((np.array([column, row]) + fine) / DENSITY)
        middle = to_sphere(np.array([[column, row]]) / DENSITY)
        close = np.linalg.norm(first - middle, axis=1) < math.radians(3)
        covered = np.zeros(len(samples), bool)
        for a, b, width in zip(first[close], last[close], widths[close], strict=True):
            share = np.clip(((samples - a) @ (b - a)) / ((b - a) @ (b - a)), 0, 1)[:, None]
            covered |= np.linalg.norm(samples - a - share * (b - a), axis=1) < math.radians(width * spec.eye.scale) / 2
        errors.append(maps.vessels[half + row, half + column] / 255 - covered.mean())
    assert np.abs(errors).mean() < 0.02
    assert np.quantile(np.abs(errors), 0.97) < 0.13
    assert abs(np.mean(errors)) < 0.01


def test_vessels_are_darker_and_veins_the_darkest(
    specs: list[RetinaSpec], grown: list[Vessels], maps: RetinaMaps
) -> None:
    half, green = len(maps.vessels) // 2, maps.colour[:, :, 1].astype(float)
    ground = float(np.median(green[maps.vessels == 0]))
    medians = []
    for tree in both(grown[0]):
        distance = np.linalg.norm(visual(tree, specs[0]) - np.array(specs[0].eye.disc), axis=1)
        large = (tree.widths > 0.5 * tree.widths.max()) & (distance > 6) & (distance < 20)
        columns, rows = np.round(to_map(tree.points[large]) * DENSITY).astype(int).T + half
        medians.append(float(np.median(green[rows, columns])))
    assert medians[1] < medians[0] < 0.85 * ground


def test_disc_fovea_and_reach(specs: list[RetinaSpec], maps: RetinaMaps) -> None:
    spec, half = specs[0], len(maps.colour) // 2
    assert maps.colour.shape == (2 * half + 1, 2 * half + 1, 3)
    assert maps.reach == half / DENSITY >= 105
    assert spec.eye.disc[0] > 0 > spec.eye.fovea[0]

    def mean(place: tuple[float, float], radius: float) -> npt.NDArray[np.float64]:
        steps = DENSITY * spec.eye.scale
        column, row, reach = (round(each) for each in (*(half + np.array(place) * steps), radius * steps))
        return maps.colour[row - reach : row + reach + 1, column - reach : column + reach + 1].mean(axis=(0, 1))

    beside = (spec.eye.fovea[0] - 6.0, spec.eye.fovea[1])
    assert mean(spec.eye.disc, 1.5)[1] > 1.3 * mean(beside, 2.0)[1]
    assert mean(spec.eye.fovea, 1.0)[1] < 0.9 * mean(beside, 2.0)[1]
    assert math.dist(spec.eye.disc, spec.eye.fovea) == pytest.approx(15.5, abs=0.8)


def test_a_left_eye_is_a_right_one_in_the_mirror(specs: list[RetinaSpec], maps: RetinaMaps) -> None:
    other = dataclasses.replace(specs[0], side="left")
    mirrored = paint_retina(other, DENSITY)
    assert (mirrored.colour == maps.colour[:, ::-1]).all()
    assert (mirrored.vessels == maps.vessels[:, ::-1]).all()
    assert bifurcations(other) == [(-x, y, width) for x, y, width in bifurcations(specs[0])]


def test_landmarks_lie_on_vessels(specs: list[RetinaSpec], maps: RetinaMaps) -> None:
    found = bifurcations(specs[0])
    assert len(found) > 500
    half = len(maps.vessels) // 2
    for x, y, width in found[:40]:
        assert width > 0.1
        row, column = round(half + y * DENSITY), round(half + x * DENSITY)
        assert maps.vessels[row - 1 : row + 2, column - 1 : column + 2].max() > 100


def test_a_later_visit_keeps_the_vessels() -> None:
    for index in range(6):
        before = sample_retina(RetinaConfig(), 3, index, VISUAL)
        after = change_retina(before, 3, index)
        assert (after.vessels, after.eye, after.side, after.disc) == (
            before.vessels, before.eye, before.side, before.disc,
        )  # fmt: skip
        assert set(after.lesions) != set(before.lesions)
        assert after.ground.tone != before.ground.tone
    first, second = (paint_retina(each, 2.0, (-40.0, -40.0, 40.0, 40.0)) for each in (before, after))
    assert (first.vessels == second.vessels).all()
    assert (first.colour != second.colour).any()


def test_the_same_retina_at_another_resolution(specs: list[RetinaSpec], maps: RetinaMaps) -> None:
    coarse = paint_retina(specs[0], DENSITY / 3)
    half = len(coarse.vessels) // 2
    middle = len(maps.vessels) // 2
    part = maps.colour[middle - 3 * half + 0 : middle + 3 * half + 1].astype(float)
    cut = part[:, middle - 3 * half : middle + 3 * half + 1, 1]
    blocks = cut[2:-2, 2:-2].reshape(2 * half - 1, 3, 2 * half - 1, 3).mean(axis=(1, 3))
    correlation = np.corrcoef(blocks.ravel(), coarse.colour[1:-1, 1:-1, 1].ravel())[0, 1]
    assert correlation > 0.97


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_part_has_the_pixels_of_the_whole(specs: list[RetinaSpec], side: Literal["left", "right"]) -> None:
    spec = dataclasses.replace(specs[0], side=side)
    whole, part = paint_retina(spec, 2.0), paint_retina(spec, 2.0, (-40.3, -12.0, 3.0, 30.1))
    assert (part.left, part.top) == (-81, -24)
    assert part.colour.shape == (86, 88, 3)
    rows, columns = (slice(a - b, a - b + n) for a, b, n in zip(
        (part.top, part.left), (whole.top, whole.left), part.vessels.shape, strict=True))  # fmt: skip
    assert (part.colour == whole.colour[rows, columns]).all()
    assert (part.vessels == whole.vessels[rows, columns]).all()


def test_painting_twice_gives_the_same_bytes(specs: list[RetinaSpec], maps: RetinaMaps) -> None:
    grow_vessels.cache_clear()
    again = paint_retina(specs[0], DENSITY)
    assert again.colour.tobytes() == maps.colour.tobytes()
    assert again.vessels.tobytes() == maps.vessels.tobytes()


@pytest.mark.parametrize("condition", ["drusen", "diabetic", "occlusion", "treated"])
def test_lesions_are_seen_and_the_vessels_stay(condition: str) -> None:
    specs = (sample_retina(RetinaConfig(healthy=0.0), 1, index, 0.2) for index in range(100))
    spec = next(each for each in specs if each.condition == condition)
    part = (-50.0, -50.0, 50.0, 50.0)
    sick, sound = (paint_retina(each, 2.0, part) for each in (spec, dataclasses.replace(spec, lesions=())))
    changed = (np.abs(sick.colour.astype(int) - sound.colour).max(axis=2) > 12).sum()
    assert changed > 20
    assert (sick.vessels == sound.vessels).all()


def test_true_angles_at_the_eyes_centre() -> None:
    # 11.5 mm: 0.2007 mm of retina per degree at the eye's centre, so that 15.5 visual degrees are 22.4 of them.
    spec = right(0, map_degree=0.2007)
    assert spec.eye.scale == pytest.approx(1.445, abs=0.001)
    maps = paint_retina(spec, 2.0)
    assert maps.reach >= 105
    half = len(maps.vessels) // 2
    column, row = (round(half + each * spec.eye.scale * 2.0) for each in spec.eye.disc)
    assert maps.colour[row - 2 : row + 3, column - 2 : column + 3, 1].mean() > 1.2 * np.median(maps.colour[:, :, 1])


@pytest.mark.parametrize(
    ("setting", "flag"),
    [({"ratio": (0.7, 0.6)}, "ratio"), ({"exponent": (1.0, 3.0)}, "exponent"), ({"healthy": 1.5}, "healthy"),
     ({"arteriole": (float("nan"), 150)}, "arteriole")],
)  # fmt: skip
def test_bad_settings_are_refused(setting: dict[str, float], flag: str) -> None:
    with pytest.raises(InputError, match=flag):
        RetinaConfig(**setting).validate()
    RetinaConfig().validate()
