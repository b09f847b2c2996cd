"""Collages: flow and occlusion against the pictures and warped masks, and what a dataset promises."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from raylign.methods.errors import InputError
from raylign.platform.data.flows import fit_to_flow, landing, parallax, visible_pixels
from raylign.platform.data.shards import DatasetInfo
from raylign.rendering.collage.command import plan, read_options
from raylign.rendering.collage.laying import Stack, View
from raylign.rendering.collage.materials import SIDE, material_pictures
from raylign.rendering.collage.order import read_scene
from raylign.rendering.collage.render import render_collage
from raylign.rendering.collage.scenes import CollageSpec, MaterialSpec
from raylign.rendering.collage.shapes import SHAPES, outline
from raylign.rendering.options import Plan

SIZE = 96
QUICK = ("--scene.material-pool", "8")
PLAIN = (
    *("--scene.noise", "0", "0", "--scene.vignette", "0", "0", "--scene.exposure-shift", "0", "0"),
    *("--scene.white-balance", "0", "0", "--scene.gamma", "1", "1"),
)


def planned(*more: str, scenes: int = 30, seed: int = 5) -> Plan:
    common = ["--scenes", str(scenes), "--out", "nowhere", "--size", str(SIZE), "--seed", str(seed)]
    return plan(read_options([*common, *QUICK, *more]))


def spec(index: int, *more: str) -> CollageSpec:
    return read_scene(planned(*more).scene(index))


def pixels(fields: Mapping[str, bytes], name: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(fields[name])))


def flow(fields: Mapping[str, bytes]) -> np.ndarray:
    return np.load(io.BytesIO(fields["flow.npz"]))["flow"]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square(a.astype(np.float64) - b).mean()))


def warped(fields: Mapping[str, bytes], move: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The source at the flow's places by OpenCV's cubic filter, and where that can be compared."""
    rows, columns = np.indices((SIZE, SIZE), dtype=np.float32)
    x, y = columns + move[0], rows + move[1]
    source = pixels(fields, "src.png").astype(np.float32)
    inner = (x > 2) & (y > 2) & (x < SIZE - 3) & (y < SIZE - 3)
    # Beside the border of a plane a pixel mixes two planes.
    jumps = np.abs(np.diff(move, axis=2, prepend=move[:, :, :1])) + np.abs(np.diff(move, axis=1, prepend=move[:, :1]))
    edges = (jumps.max(axis=0) > 0.5) | (pixels(fields, "occlusion.png") > 0)
    away = cv2.dilate(edges.astype(np.uint8), np.ones((7, 7), np.uint8)) == 0
    return cv2.remap(source, x, y, cv2.INTER_CUBIC), inner & away


@pytest.mark.parametrize("index", range(4))
def test_the_source_warped_by_the_flow_is_the_reference(index: int) -> None:
    fields = render_collage(spec(index, *PLAIN), None, 1)
    move, target = flow(fields), pixels(fields, "ref.png")
    again, judged = warped(fields, move)
    assert judged.sum() > 500
    stored = psnr(again[judged], target[judged])
    assert stored > 35
    for shift in ((0.5, 0.0), (0.0, -0.5)):
        other = warped(fields, move + np.array(shift, np.float32)[:, None, None])[0]
        assert psnr(other[judged], target[judged]) < stored - 1


def test_without_differences_between_the_cameras_the_ground_truth_is_the_reference() -> None:
    fields = render_collage(spec(1, *PLAIN), None, 1)
    assert np.array_equal(pixels(fields, "gt.png"), pixels(fields, "ref.png"))
    assert not np.array_equal(pixels(fields, "src.png"), pixels(fields, "ref.png"))


def test_a_background_alone_moves_by_its_homography_and_hides_nothing() -> None:
    scene = spec(2, "--scene.levels", "0", "0")
    fields = render_collage(scene, None, 1)
    rows, columns = np.indices((SIZE, SIZE), dtype=np.float64)
    points = np.stack([columns, rows], axis=-1).reshape(-1, 1, 2)
    expected = cv2.perspectiveTransform(points, np.array(scene.levels[0])) - points
    assert np.abs(flow(fields).transpose(1, 2, 0) - expected.reshape(SIZE, SIZE, 2)).max() < 1e-4
    assert pixels(fields, "occlusion.png").max() == 0
    assert json.loads(fields["meta.json"])["parallax"]["p90_px"] < 1e-3


def test_flow_and_occlusion_follow_the_masks() -> None:
    """Masks warped by OpenCV to five times the pictures' size tell the levels, pixel for pixel but at edges."""
    scene = spec(8, "--scene.levels", "2", "3", "--scene.parallax", "6", "8", "--scene.zoom", "1", "1")
    fields = render_collage(scene, None, 1)
    stack = Stack.of(scene, None)
    finer = 5

    def levels(to_view: list[np.ndarray]) -> np.ndarray:
        grid = np.array([[finer, 0, (finer - 1) / 2], [0, finer, (finer - 1) / 2], [0, 0, 1]])
        found = np.zeros((finer * SIZE, finer * SIZE), np.uint8)
        for piece in stack.pieces:
            matrix = grid @ to_view[piece.level] @ piece.to_reference
            mask = cv2.warpPerspective(piece.picture[..., 3].astype(np.float32), matrix, found.shape)
            found[mask >= 127.5] = piece.level
        return found

    here, there = levels([np.eye(3) for _ in stack.levels]), levels(stack.levels)
    rows, columns = np.indices((SIZE, SIZE))
    own = here[finer * rows + finer // 2, finer * columns + finer // 2]
    places = np.stack([columns, rows], axis=-1).reshape(-1, 1, 2).astype(np.float64)
    moves = np.stack([cv2.perspectiveTransform(places, matrix) for matrix in stack.levels]).reshape(-1, SIZE, SIZE, 2)
    targets = np.take_along_axis(moves, own[None, ..., None].astype(np.int64), axis=0)[0]
    off = np.abs(landing(flow(fields)) - targets).max(axis=-1) > 1e-3
    assert off.mean() < 0.002
    inside = ((targets > -0.5) & (targets < SIZE - 0.5)).all(axis=-1)
    column, row = np.round(finer * targets.clip(0, SIZE - 1) + (finer - 1) / 2).astype(int).transpose(2, 0, 1)
    hidden = inside & (there[row, column] > own)
    stored = pixels(fields, "occlusion.png")
    assert set(np.unique(stored)) == {0, 255}
    assert hidden.sum() > 100
    assert ((stored > 0) != hidden)[~off].mean() < 0.01


def test_the_look_up_of_levels_agrees_with_asking_every_mask() -> None:
    scene = spec(4, "--scene.levels", "3", "3")
    stack = Stack.of(scene, None)
    view = View(stack, stack.levels, SIZE, SIZE)
    places = np.random.default_rng(0).uniform(0, SIZE - 1, (3000, 2))
    places = places[np.argsort(places[:, 1], kind="stable")]
    assert (view.levels_at(places) != view._ask(places)).mean() < 0.002
    assert len(np.unique(view.levels_at(places))) == 4


def test_meta_tells_overlap_and_parallax_of_the_flow() -> None:
    for index in range(3):
        fields = render_collage(spec(index), None, 1)
        meta = json.loads(fields["meta.json"])
        positions = landing(flow(fields))
        visible = visible_pixels(positions, pixels(fields, "occlusion.png") > 0, (SIZE, SIZE))
        assert meta["overlap"] == pytest.approx(visible.mean(), abs=1e-6)
        best = parallax(positions, visible, fit_to_flow(positions, visible))
        assert meta["parallax"]["rms_px"] == pytest.approx(best.rms_px, rel=0.05, abs=0.02)
        assert meta["parallax"]["p90_px"] == pytest.approx(best.p90_px, rel=0.15, abs=0.1)


def test_the_background_overlaps_as_much_as_is_asked() -> None:
    for index in range(6):
        scene = spec(index, "--scene.overlap", "0.6", "0.6", "--scene.levels", "0", "0", "--scene.pieces", "0", "0")
        rows, columns = np.indices((SIZE, SIZE), dtype=np.float64)
        points = np.stack([columns, rows], axis=-1).reshape(-1, 1, 2)
        places = cv2.perspectiveTransform(points, np.array(scene.levels[0]))[:, 0]
        assert ((places > -0.5) & (places < SIZE - 0.5)).all(axis=-1).mean() == pytest.approx(0.6, abs=0.03)


def test_the_bytes_depend_on_seed_and_index_alone() -> None:
    made = planned()
    first = render_collage(read_scene(made.scene(6)), None, 1)
    material_pictures.cache_clear()
    render_collage(read_scene(made.scene(3)), None, 1)
    assert render_collage(read_scene(made.scene(6)), None, 2) == first
    assert render_collage(read_scene(planned(seed=6).scene(6)), None, 1)["ref.png"] != first["ref.png"]


def test_no_held_out_scene_shows_a_material_of_the_training() -> None:
    made = planned("--scene.picture-share", "0.5", scenes=60)
    shown: dict[str, set[MaterialSpec]] = {}
    for split, (first, end) in made.info.splits.items():
        shown[split] = {each for index in range(first, end) for each in read_scene(made.scene(index)).materials}
    for name in ("val", "test"):
        assert not shown["train"] & shown[name]
        assert not {each.picture for each in shown["train"]} & {each.picture for each in shown[name]} - {""}
    assert any(each.picture for each in shown["train"])


def test_every_outline_fills_a_part_of_its_square_and_leaves_its_border() -> None:
    for shape in SHAPES:
        for seed in range(5):
            mask = outline(shape, seed, 64, 0.0)
            assert mask.shape == (64, 64)
            assert 0.005 < (mask > 127).mean() < 0.9, (shape, seed)
            assert mask[0].max() == mask[-1].max() == mask[:, 0].max() == mask[:, -1].max() == 0, (shape, seed)


@pytest.mark.parametrize("family", ["noise", "gradient", "windows", "stripes", "brick", "marble"])
def test_materials_are_made_from_their_seed(family: str) -> None:
    first, half, *_ = material_pictures(MaterialSpec(family, 3), None)
    assert (first.shape, half.shape) == ((SIDE, SIDE, 3), (SIDE // 2, SIDE // 2, 3))
    assert not np.array_equal(first, material_pictures(MaterialSpec(family, 4), None)[0])
    # Fields of one colour would tell no place from another.
    assert first.std() > 1


def test_pictures_of_a_folder_are_cut_up(tmp_path: Path) -> None:
    """A folder's only picture is red: so are the materials that come from it."""
    Image.new("RGB", (80, 60), (250, 10, 20)).save(tmp_path / "red.png")
    made = planned("--textures", str(tmp_path), "--scene.picture-share", "1")
    materials = read_scene(made.scene(0)).materials
    assert {each.picture for each in materials} == {"red.png"}
    assert np.abs(material_pictures(materials[0], str(tmp_path))[0].astype(int) - (250, 10, 20)).max() <= 1
    with pytest.raises(InputError, match="does not see"):
        material_pictures(dataclasses.replace(materials[0], seed=1), str(tmp_path / "elsewhere"))


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (("--scene.overlap", "0.9", "0.6"), "--scene.overlap"),
        (("--scene.pieces", "5", "5000"), "--scene.pieces"),
        (("--scene.blur", "0", "1"), "--scene.blur"),
        (("--textures", "/nowhere/at/all"), "--textures"),
        (("--size", "12"), "--size"),
    ],
)
def test_mistakes_are_named(more: tuple[str, ...], named: str) -> None:
    with pytest.raises(InputError, match=named):
        planned(*more)


def test_the_plan_describes_a_dataset_of_pairs() -> None:
    info: DatasetInfo = planned().info
    assert (info.kind, info.generator) == ("pair", "collage")
    assert info.fields == ["ref.png", "src.png", "gt.png", "flow.npz", "occlusion.png", "meta.json"]
    assert set(render_collage(spec(0), None, 1)) == set(info.fields)
