"""Things that move: solids against formulas, every thing's mesh and pictures, and that no two are the same."""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from functools import cache, partial

import numpy as np
import pytest
from scipy import ndimage

from raylign.rendering.dsia.coverings import Covering
from raylign.rendering.dsia.things import boxes, pictures, solids
from raylign.rendering.dsia.things.bench import Bench
from raylign.rendering.dsia.things.catalogue import MEMBERS, THINGS, ThingSpec, thing, thing_coverings, thing_mesh
from raylign.rendering.dsia.things.colours import BLACK, WHITE
from raylign.rendering.dsia.things.outlines import circle, rectangle, toothed, triangles
from raylign.rendering.dsia.things.solids import Skin
from raylign.rendering.parallax.meshes import Mesh

SKIN = Skin(0, None)
NAMES = [each.name for each in MEMBERS]
ROLLING = [number for number, each in enumerate(MEMBERS) if each.motion == "roll"]


def volume(mesh: Mesh) -> float:
    """By Gauss's theorem: the faces' cones from the origin."""
    total, start = 0.0, 0
    for count in mesh.counts:
        points = mesh.vertices[mesh.corners[start : start + count]]
        for step in range(1, count - 1):
            total += float(np.dot(points[0], np.cross(points[step], points[step + 1]))) / 6
        start += count
    return total


def loose_edges(mesh: Mesh) -> int:
    """Edges, by place, that are not passed once each way."""
    places = [tuple(each) for each in np.round(mesh.vertices, 7) + 0.0]
    edges: Counter[tuple[tuple[float, ...], tuple[float, ...]]] = Counter()
    start = 0
    for count in mesh.counts:
        face = [places[each] for each in mesh.corners[start : start + count]]
        edges.update(zip(face, face[1:] + face[:1], strict=True))
        start += count
    return sum(number != edges[b, a] for (a, b), number in edges.items())


def face_normals(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Area vector of each face, and the face of each corner."""
    face = np.repeat(np.arange(len(mesh.counts)), mesh.counts)
    ends = np.cumsum(mesh.counts)
    following = np.arange(len(face)) + 1
    following[ends - 1] = ends - mesh.counts
    points = mesh.vertices[mesh.corners]
    middle = np.stack([np.bincount(face, points[:, axis]) for axis in range(3)], axis=1) / mesh.counts[:, None]
    apart = points - middle[face]
    crossed = np.cross(apart, apart[following])
    return np.stack([np.bincount(face, crossed[:, axis]) for axis in range(3)], axis=1) / 2, face


def shoelace(outline: list[tuple[float, float]]) -> float:
    after = outline[1:] + outline[:1]
    return sum(a[0] * b[1] - a[1] * b[0] for a, b in zip(outline, after, strict=True)) / 2


GEAR = toothed(0.8, 1.0, 12)
TURN = math.sin(math.tau / 24) * 24 / math.tau
"""Area of 24 sides over that of a circle."""
ARC = [(0.0, 2 - 2 * math.cos(math.pi * step / 48), 2 * math.sin(math.pi * step / 48)) for step in range(25)]
"""A quarter of a circle."""
SOLIDS = {
    "box": (boxes.box(SKIN, (-1, -2, 0), (1, 2, 3)), 24.0, 1e-9),
    "tapered box": (boxes.box(SKIN, (-1, -1, 0), (1, 1, 3), taper=(0.5, 0.5)), 3 * (4 + 1 + 2) / 3, 1e-9),
    "round box": (boxes.box(SKIN, (-1, -1, -1), (1, 1, 1), bevel=0.05), 8.0, 0.01),
    "ball": (solids.ball(SKIN, (1.0, 2.0, 0.5), sides=64, rings=32), 4 / 3 * math.pi, 0.01),
    "cylinder": (solids.lathe(SKIN, [(0, 0), (2, 0), (2, 3), (0, 3)]), 12 * math.pi * TURN, 1e-9),
    "cone": (solids.lathe(SKIN, [(0, 0), (2, 0), (0, 3)]), 4 * math.pi * TURN, 1e-9),
    "ring": (solids.lathe(SKIN, circle(0.5, 64, (2.0, 1.0)), sides=128, closed=True), math.pi**2, 0.01),
    "gear": (solids.extrude(SKIN, GEAR, -1, 2), 3 * shoelace(GEAR), 1e-9),
    "round plate": (solids.extrude(SKIN, rectangle((-1, -2), (3, 2), 0.5), 0, 0.5, bevel=0.02), 8.0, 0.02),
    "rod": (solids.tube(SKIN, [(0, 0, 0), (1, 2, 2)], 0.1, sides=48), 3 * math.pi * 0.01, 0.01),
    "bent rod": (solids.tube(SKIN, ARC, 0.1, sides=48), math.pi**2 * 0.01, 0.01),
    "loft": (
        solids.loft(SKIN, [[(-a, -a, z), (a, -a, z), (a, a, z), (-a, a, z)] for a, z in ((1.0, 0.0), (2.0, 3.0))]),
        3 * (4 + 16 + 8) / 3, 1e-9,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SOLIDS)
def test_solids_are_closed_and_have_the_volume_of_the_formula(name: str) -> None:
    mesh, expected, tolerance = SOLIDS[name]
    assert volume(mesh) == pytest.approx(expected, rel=tolerance)
    assert loose_edges(mesh) == 0


def test_normals_of_round_solids_are_exact() -> None:
    sphere = solids.ball(SKIN, (2.0, 2.0, 2.0))
    assert np.allclose(sphere.normals, sphere.vertices[sphere.corners] / 2)
    ellipsoid = solids.ball(SKIN, (1.0, 2.0, 3.0))
    gradient = ellipsoid.vertices[ellipsoid.corners] / np.array([1.0, 4.0, 9.0])
    assert np.allclose(ellipsoid.normals, gradient / np.linalg.norm(gradient, axis=1, keepdims=True))
    cone = solids.lathe(SKIN, [(2.0, 0.0), (1.0, 1.0)])
    place = cone.vertices[cone.corners]
    out = np.column_stack([place[:, :2] / np.hypot(place[:, 0], place[:, 1])[:, None], np.ones(len(place))])
    assert np.allclose(cone.normals, out / math.sqrt(2))


def test_a_box_has_flat_sides_and_shows_its_pictures_upright() -> None:
    mesh = boxes.box(SKIN, (-1, -2, 0), (1, 2, 3), faces={"front": Skin(1, None), "left": Skin(2, (0.5, 0.5))})
    area, face = face_normals(mesh)
    assert np.allclose(mesh.normals, (area / np.linalg.norm(area, axis=1, keepdims=True))[face])
    place, surface = mesh.vertices[mesh.corners], mesh.surfaces[face]
    front = surface == 1
    assert np.allclose(place[front, 1], 2)
    # Who looks at the front has -x to the right.
    assert np.allclose(mesh.texture[front], np.column_stack([(1 - place[front, 0]) / 2, place[front, 2] / 3]))
    left = surface == 2
    assert np.allclose(place[left, 0], -1)
    assert np.ptp(mesh.texture[left], axis=0).tolist() == [8.0, 6.0]


def test_a_polygon_is_cut_into_triangles_that_cover_it_once() -> None:
    cut = triangles(GEAR)
    areas = [shoelace([GEAR[each] for each in corners]) for corners in cut]
    assert len(cut) == len(GEAR) - 2
    assert min(areas) >= 0
    assert sum(areas) == pytest.approx(shoelace(GEAR))


def test_a_bench_turns_what_is_put_down() -> None:
    bench = Bench(random.Random(0))
    bench.at(1, 2, 3, yaw=90).at(roll=90).tube(SKIN, [(0, 0, 0), (0, 0, 5)], 0.01)
    # The rod's z becomes x by the roll, and then y by the yaw.
    assert np.allclose(bench.pieces[0].vertices.max(axis=0), [1.01, 7, 3.01], atol=2e-3)
    drawing = Bench(random.Random(0))
    drawing.side().tube(SKIN, [(0, 0, 0), (4, 3, 2)], 0.01)
    assert np.allclose(drawing.pieces[0].vertices.max(axis=0), [2, 4, 3], atol=0.02)
    drawing = Bench(random.Random(0))
    drawing.face(1.0).tube(SKIN, [(0, 0, 0), (4, 3, 2)], 0.01)
    far = drawing.pieces[0].vertices[np.abs(drawing.pieces[0].vertices[:, 0]).argmax()]
    assert np.allclose(far, [-4, 3, 3], atol=0.02)


def test_there_are_over_a_hundred_things_and_all_differ() -> None:
    assert THINGS >= 100
    assert len({each.family for each in MEMBERS}) >= 30
    assert len(set(NAMES)) == THINGS
    shapes, looks = [], []
    for spec in map(thing, range(THINGS)):
        shapes.append(hashlib.sha256(np.round(thing_mesh(spec).vertices, 6).tobytes()).hexdigest())
        looks.append(_look(painted(spec)))
    # What has the same shape has other pictures.
    assert len(set(looks)) == THINGS
    assert len(set(shapes)) > 0.8 * THINGS


@cache
def painted(spec: ThingSpec) -> list[Covering]:
    return thing_coverings(spec)


def _look(coverings: list[Covering]) -> str:
    digest = hashlib.sha256()
    for each in coverings:
        digest.update(each.picture.tobytes())
    return digest.hexdigest()


def test_a_thing_is_the_same_each_time() -> None:
    for number in range(0, THINGS, 17):
        first, second = thing_mesh(thing(number)), thing_mesh(thing(number))
        for name in ("vertices", "counts", "corners", "surfaces", "normals", "texture"):
            assert getattr(first, name).tobytes() == getattr(second, name).tobytes()
        assert _look(thing_coverings(thing(number))) == _look(painted(thing(number)))


@pytest.mark.parametrize("number", range(THINGS), ids=NAMES)
def test_each_thing_is_sound(number: int) -> None:
    spec = thing(number)
    mesh, coverings = thing_mesh(spec), painted(spec)
    assert np.isfinite(mesh.vertices).all()
    assert np.isfinite(mesh.texture).all()
    assert mesh.counts.sum() == len(mesh.corners) == len(mesh.normals) == len(mesh.texture)
    assert 20 < len(mesh.counts) < 8000
    assert mesh.corners.min() >= 0
    assert mesh.corners.max() < len(mesh.vertices)
    assert np.allclose(np.linalg.norm(mesh.normals, axis=1), 1)
    area, face = face_normals(mesh)
    size = np.linalg.norm(area, axis=1)
    assert size.min() > 1e-10 * spec.height**2
    # Exact normals lie on the outer side of their faces; the edges of leaves bend most.
    assert (mesh.normals * (area / size[:, None])[face]).sum(axis=1).min() > 0.1
    assert mesh.vertices[:, 2].min() == pytest.approx(0, abs=1e-12)
    assert mesh.vertices[:, 2].max() == pytest.approx(spec.height)
    assert np.hypot(mesh.vertices[:, 0], mesh.vertices[:, 1]).max() == pytest.approx(spec.radius)
    assert 0.04 < spec.height < 2.8
    assert spec.radius < 2.6
    # What is shown is there, and what is there is shown.
    assert set(mesh.surfaces.tolist()) == set(range(len(coverings)))
    for each in coverings:
        assert each.picture.dtype == np.uint8
        assert each.picture.ndim == 3
        assert min(each.picture.shape[:2]) >= 48
        assert each.picture.std(axis=(0, 1)).max() > 0.5
        assert 0 < each.roughness <= 1


@pytest.mark.parametrize("number", ROLLING, ids=[NAMES[number] for number in ROLLING])
def test_what_rolls_is_round_about_its_axle(number: int) -> None:
    spec = thing(number)
    vertices = thing_mesh(spec).vertices
    reach = np.hypot(vertices[:, 1], vertices[:, 2] - spec.height / 2)
    assert reach.max() == pytest.approx(spec.height / 2, rel=0.02)
    # Also between its corners: each sector of the rim comes as far.
    angles = np.arctan2(vertices[:, 1], vertices[:, 2] - spec.height / 2)
    sectors = np.floor((angles + math.pi) / math.tau * 8).astype(int) % 8
    assert min(reach[sectors == each].max() for each in range(8)) > 0.95 * spec.height / 2


def test_motions_fit_the_things() -> None:
    motions: dict[str, set[str]] = {}
    for each in MEMBERS:
        motions.setdefault(each.motion, set()).add(each.family)
    assert set(motions) == {"roll", "slide", "spin", "fly", "tumble"}
    assert {"ball", "barrel", "tyre"} <= motions["roll"]
    assert {"plane", "drone", "kite"} <= motions["fly"]
    assert {"car", "bicycle", "suitcase"} <= motions["slide"]


@pytest.mark.parametrize("number", range(1, 7))
def test_a_die_has_its_pips(number: int) -> None:
    dark = pictures.pips(number, WHITE, BLACK).mean(axis=2) < 100
    assert ndimage.label(dark)[1] == number


def test_opposite_sides_of_a_die_add_up_to_seven() -> None:
    spec = thing(NAMES.index("white die"))
    mesh, coverings = thing_mesh(spec), painted(spec)
    pips = [ndimage.label(each.picture.mean(axis=2) < 100)[1] for each in coverings]
    area, _ = face_normals(mesh)
    sides = np.argsort(-np.linalg.norm(area, axis=1))[:6].tolist()
    for side in sides:
        other = min(sides, key=lambda each: float(np.dot(area[each], area[side])))
        assert pips[mesh.surfaces[side]] + pips[mesh.surfaces[other]] == 7


def test_words_are_read_from_left_to_right() -> None:
    # An L: a stroke on the left, a foot below.
    picture = pictures.letter("L", WHITE, BLACK, WHITE).mean(axis=2) < 100
    rows, columns = np.nonzero(picture)
    assert picture[:, columns.min() : columns.min() + 5].sum() > 4 * picture[:, columns.max() - 4 : columns.max()].sum()
    assert picture[rows.max() - 5 : rows.max()].sum() > 3 * picture[rows.min() : rows.min() + 5].sum()


def test_patterns_that_wrap_join_at_their_edges() -> None:
    for paint in (partial(pictures.stripes, (WHITE, BLACK), 4), partial(pictures.checks, WHITE, BLACK, 4)):
        picture = paint().astype(float)
        step = np.abs(np.diff(picture, axis=1)).max()
        assert np.abs(picture[:, 0] - picture[:, -1]).max() <= step
