"""The user's own characters, objects and panoramas: what is used, what is refused and why, and what is shown."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from raylign.methods.errors import InputError
from raylign.rendering.dsia import assets
from raylign.rendering.dsia.assets import AssetList, AssetSpec, asset_digest, probe, survey_assets
from raylign.rendering.errors import RenderError

BEND = 0.6
WALKERS = ("people/walker.blend", "people/walker.fbx", "people/walker.glb")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files made by Blender."""
    pytest.importorskip("bpy", reason="Blender is the extra raylign[render]")
    root = tmp_path_factory.mktemp("made")
    maker = Path(__file__).with_name("asset_maker.py")
    done = subprocess.run([sys.executable, "-P", str(maker), str(root)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="module")
def folder(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those that can be used, among others that nobody can open."""
    root = tmp_path_factory.mktemp("assets") / "mine"
    shutil.copytree(made, root, ignore=shutil.ignore_patterns("refused", "apart"))
    rubbish = np.random.default_rng(0).bytes(4096)
    (root / "broken.blend").write_bytes(rubbish)
    (root / "hollow.fbx").write_bytes(b"")
    (root / "notes.txt").write_text("about the assets")
    (root / "endless.gltf").write_text('{"buffers": [{"uri": "../../secret.bin"}]}')
    (root / "torn.glb").write_bytes((root / "people/walker.glb").read_bytes()[:-2000])
    with (root / "giant.fbx").open("wb") as file:
        # It takes no space on the disk.
        file.truncate(assets.MOST_BYTES + (1 << 20))
    (root / ".hidden.glb").write_bytes(rubbish)
    return root


@pytest.fixture(scope="module")
def surveyed(folder: Path) -> AssetList:
    return survey_assets(str(folder), sys.executable)


def spec_of(surveyed: AssetList, name: str) -> AssetSpec:
    found = (*surveyed.characters, *surveyed.objects, *surveyed.panoramas)
    return next(each for each in found if each.path == name)


def test_what_can_be_used_is_found(surveyed: AssetList) -> None:
    assert [each.path for each in surveyed.characters] == list(WALKERS)
    assert [each.path for each in surveyed.objects] == ["script.blend", "statue.glb", "tower.gltf"]
    assert [each.path for each in surveyed.panoramas] == ["sky.exr"]
    for walker in surveyed.characters:
        assert walker.height == pytest.approx(1.8, abs=1e-3)
        assert walker.seconds == pytest.approx(2.0, abs=0.05)
        assert len(walker.actions) == 1
        assert "Walk cycle" in walker.actions[0]
    assert spec_of(surveyed, "statue.glb").seconds == 0
    # The tower's unit is another: 400 high.
    assert spec_of(surveyed, "tower.gltf").height == 1.0
    assert spec_of(surveyed, "tower.gltf").radius == pytest.approx(math.hypot(100, 150) / 400, rel=1e-4)


def test_what_cannot_be_used_is_told_with_its_reason(surveyed: AssetList) -> None:
    reasons = dict(surveyed.skipped)
    expected = {
        "broken.blend": "is broken",
        "endless.gltf": "outside of its folder",
        "giant.fbx": "is enormous",
        "hollow.fbx": "is empty",
        "nothing.blend": "no mesh",
        "notes.txt": "is none of",
        "torn.glb": "is broken",
    }
    assert sorted(reasons) == sorted(expected)
    for name, words in expected.items():
        assert words in reasons[name], (name, reasons[name])
        assert "\n" not in reasons[name]
        assert "Traceback" not in reasons[name]


REFUSED = {
    "banner.hdr": "twice as wide",
    "carpet.glb": "is flat",
    "dense.blend": "is enormous",
    "endless.exr": "no finite number",
    "night.exr": "is black",
    "unpacked.blend": "pack it",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_use_is_refused(made: Path, name: str) -> None:
    from raylign.rendering.blender.assets import measure
    from raylign.rendering.blender.engine import fresh_scene

    with pytest.raises(RenderError, match=REFUSED[name]):
        measure(fresh_scene(8, 8, 1), made / "refused" / name)


def test_no_script_of_a_file_has_run(folder: Path, surveyed: AssetList) -> None:
    assert "script.blend" in [each.path for each in surveyed.objects]
    assert not (folder / "written").exists()


def test_drivers_with_python_are_taken_out(folder: Path) -> None:
    bpy = pytest.importorskip("bpy", reason="Blender is the extra raylign[render]")
    from raylign.rendering.blender.engine import fresh_scene
    from raylign.rendering.blender.models import open_model

    (mesh,) = open_model(fresh_scene(8, 8, 1), folder / "script.blend").meshes
    # One that Blender works out without Python may stay.
    assert [curve.driver.expression for curve in mesh.animation_data.drivers] == ["frame + 1"]
    assert not bpy.data.texts


def test_a_clip_called_after_walking_is_shown_on_the_spot(made: Path) -> None:
    from raylign.rendering.blender.assets import Asset, measure
    from raylign.rendering.blender.engine import fresh_scene
    from raylign.rendering.blender.models import open_model

    path = made / "apart/hiker.blend"
    facts = measure(fresh_scene(8, 8, 1), path)
    assert facts["actions"] == ["Slow walk", "Bow"]
    assert facts["seconds"] == pytest.approx(2.0)
    model = open_model(fresh_scene(8, 8, 1), path)
    # In the file it goes away.
    assert np.allclose(model.points(2.0) - model.points(0.0), [0, -3, 0], atol=1e-5)
    asset = Asset(model)
    for time in (0.0, 0.7, 1.9, 4.3):
        assert np.allclose(asset.mesh(time).vertices, asset.mesh(0.0).vertices, atol=1e-5)


@pytest.mark.parametrize("name", ["painted.blend", "painted.glb", "painted.gltf"])
def test_pictures_inside_are_shown(made: Path, name: str) -> None:
    from raylign.rendering.blender.assets import Asset
    from raylign.rendering.blender.engine import fresh_scene
    from raylign.rendering.blender.models import open_model

    asset = Asset(open_model(fresh_scene(8, 8, 1), made / "apart" / name))
    (material,) = asset.materials
    (image,) = (node.image for node in material.node_tree.nodes if node.bl_idname == "ShaderNodeTexImage")
    assert tuple(image.size) == (8, 8)
    assert np.ptp(np.array(image.pixels)) > 0.9


def test_assets_do_not_disturb_each_other(folder: Path, surveyed: AssetList) -> None:
    from raylign.rendering.blender.assets import load_asset
    from raylign.rendering.blender.engine import fresh_scene

    alone = [load_asset(fresh_scene(32, 32, 1), str(folder), spec).mesh(0.7) for spec in surveyed.characters]
    scene = fresh_scene(32, 32, 1)
    together = [load_asset(scene, str(folder), spec) for spec in surveyed.characters]
    for asset, mesh in zip(together, alone, strict=True):
        again = asset.mesh(0.7)
        assert again.vertices.tobytes() == mesh.vertices.tobytes()
        assert again.normals.tobytes() == mesh.normals.tobytes()


def test_the_list_survives_json(surveyed: AssetList) -> None:
    first = surveyed.characters[0]
    content = json.loads(json.dumps(first.__dict__))
    assert AssetSpec(**{**content, "actions": tuple(content["actions"])}) == first


def bent(angle: float) -> np.ndarray:
    """Corners of the walker, forward +y, its upper part turned about the x axis at z = 1."""
    boxes = [
        ((-0.2, -0.1, 0.0), (0.2, 0.1, 1.0)),
        ((-0.25, -0.1, 1.0), (0.25, 0.1, 1.8)),
        ((-0.05, -0.4, 1.5), (0.05, -0.1, 1.6)),
    ]
    corners = []
    for number, (low, high) in enumerate(boxes):
        for x in (low[0], high[0]):
            for y in (low[1], high[1]):
                for z in (low[2], high[2]):
                    if number:
                        cosine, sine = math.cos(angle), math.sin(angle)
                        corners.append((x, cosine * y - sine * (z - 1), 1 + sine * y + cosine * (z - 1)))
                    else:
                        corners.append((x, y, z))
    # The origin is under the middle of what it covers at rest: y from -0.4 to 0.1. Then half a turn.
    return (np.array(corners) - [0, -0.15, 0]) * [-1, -1, 1]


@pytest.mark.parametrize("name", WALKERS)
def test_a_character_moves_by_its_clip(folder: Path, surveyed: AssetList, name: str) -> None:
    from raylign.rendering.blender.assets import load_asset
    from raylign.rendering.blender.engine import fresh_scene

    spec = spec_of(surveyed, name)
    scene = fresh_scene(32, 32, 1)
    asset = load_asset(scene, str(folder), spec)
    assert len(scene.objects) == 0
    rest = asset.mesh(0.0)
    assert len(asset.materials) == len(set(rest.surfaces.tolist())) == 3
    for time, angle in ((0.0, 0.0), (0.5, 0.5 * BEND), (1.0, BEND), (1.25, 0.75 * BEND), (2.5, 0.5 * BEND)):
        mesh = asset.mesh(time)
        wanted = bent(angle)
        apart = np.sqrt(((mesh.vertices[:, None] - wanted[None]) ** 2).sum(axis=2))
        assert apart.min(axis=1).max() < 4e-3
        assert apart.min(axis=0).max() < 4e-3
        assert np.array_equal(mesh.corners, rest.corners)
        assert np.array_equal(mesh.texture, rest.texture)
        assert np.hypot(mesh.vertices[:, 0], mesh.vertices[:, 1]).max() <= spec.radius + 0.02
        assert_flat_outward(mesh.vertices, mesh.counts, mesh.corners, mesh.normals)


def assert_flat_outward(vertices: np.ndarray, counts: np.ndarray, corners: np.ndarray, normals: np.ndarray) -> None:
    """The boxes have sharp edges: normals are those of the faces."""
    start = 0
    for count in counts:
        a, b, c = vertices[corners[start : start + 3]]
        normal = np.cross(b - a, c - a)
        assert np.allclose(normals[start : start + count], normal / np.linalg.norm(normal), atol=1e-4)
        start += count


def test_an_asset_is_the_same_each_time(folder: Path, surveyed: AssetList) -> None:
    from raylign.rendering.blender.assets import load_asset
    from raylign.rendering.blender.engine import fresh_scene

    spec = spec_of(surveyed, "people/walker.glb")
    meshes = [load_asset(fresh_scene(32, 32, 1), str(folder), spec).mesh(0.37) for _ in range(2)]
    for name in ("vertices", "counts", "corners", "surfaces", "normals", "texture"):
        assert getattr(meshes[0], name).tobytes() == getattr(meshes[1], name).tobytes()


def test_an_object_stands_on_the_origin(folder: Path, surveyed: AssetList) -> None:
    from raylign.rendering.blender.assets import load_asset
    from raylign.rendering.blender.engine import fresh_scene

    mesh = load_asset(fresh_scene(32, 32, 1), str(folder), spec_of(surveyed, "tower.gltf")).mesh(3.0)
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    assert np.allclose(low, [-0.25, -0.375, 0], atol=1e-5)
    assert np.allclose(high, [0.25, 0.375, 1], atol=1e-5)


def test_smooth_normals_are_those_of_a_sphere() -> None:
    bpy = pytest.importorskip("bpy", reason="Blender is the extra raylign[render]")
    from raylign.rendering.blender.engine import fresh_scene
    from raylign.rendering.blender.models import Model

    scene = fresh_scene(32, 32, 1)
    bpy.ops.mesh.primitive_ico_sphere_add(subdivisions=4)
    ball = bpy.context.active_object
    bpy.ops.object.shade_smooth()
    model = Model(scene, [ball], [])
    points = model.points(0.0)
    outward = points[model.corners]
    assert np.allclose(model.normals(points), outward / np.linalg.norm(outward, axis=1, keepdims=True), atol=0.01)


def test_a_changed_file_is_refused(folder: Path, surveyed: AssetList, tmp_path: Path) -> None:
    from raylign.rendering.blender.assets import load_asset, panorama_world
    from raylign.rendering.blender.engine import fresh_scene

    spec = spec_of(surveyed, "statue.glb")
    shutil.copy(folder / spec.path, tmp_path)
    load_asset(fresh_scene(32, 32, 1), str(tmp_path), spec)
    with (tmp_path / spec.path).open("ab") as file:
        file.write(b" ")
    with pytest.raises(RenderError, match="has changed"):
        load_asset(fresh_scene(32, 32, 1), str(tmp_path), spec)
    with pytest.raises(RenderError, match="cannot read"):
        panorama_world(fresh_scene(32, 32, 1), str(tmp_path), spec_of(surveyed, "sky.exr"), 1.0, 0.0)


def test_a_gltf_is_known_by_what_it_refers_to(folder: Path, tmp_path: Path) -> None:
    for each in folder.glob("tower.*"):
        shutil.copy(each, tmp_path)
    before = asset_digest(tmp_path / "tower.gltf")
    assert before == asset_digest(folder / "tower.gltf")
    content = bytearray((tmp_path / "tower.bin").read_bytes())
    content[0] ^= 1
    (tmp_path / "tower.bin").write_bytes(content)
    assert asset_digest(tmp_path / "tower.gltf") != before
    alone = folder / "statue.glb"
    assert asset_digest(alone) == hashlib.sha256(alone.read_bytes()).hexdigest()


@pytest.mark.parametrize(("turn", "where"), [(0.0, 0), (90.0, 90), (-90.0, 270)])
def test_a_panorama_is_seen_around(folder: Path, surveyed: AssetList, tmp_path: Path, turn: float, where: int) -> None:
    from mathutils import Matrix

    from raylign.rendering.blender.assets import panorama_world
    from raylign.rendering.blender.engine import fresh_scene, render_light
    from raylign.rendering.blender.objects import add_camera

    scene = fresh_scene(16, 16, 1)
    panorama_world(scene, str(folder), spec_of(surveyed, "sky.exr"), 2.0, turn)
    camera = add_camera(scene)
    camera.data.lens = 100
    for degrees in (0, 90, 180, 270):
        # Level, from looking along +y turned to the left. The picture's middle is towards +x, its quarter towards +y.
        camera.matrix_world = Matrix.Rotation(math.radians(degrees), 4, "Z") @ Matrix.Rotation(math.pi / 2, 4, "X")
        light = render_light(scene, str(tmp_path), samples=1, bounces=0, seed=0)
        assert light[..., 0] == pytest.approx(10.0 if degrees == where else 0.2, rel=1e-3)
        assert light[..., 2] == pytest.approx(0.2, rel=1e-3)


def program(path: Path, text: str) -> str:
    """A stand-in for Python."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_file_that_hangs_or_crashes_costs_itself_alone(tmp_path: Path) -> None:
    slow = program(tmp_path / "slow", "exec sleep 60")
    assert "took longer" in probe(slow, "x.glb", seconds=0.3)["reason"]
    crash = program(tmp_path / "crash", "kill -SEGV $$")
    assert "signal 11" in probe(crash, "x.glb")["reason"]
    lost = program(tmp_path / "lost", "echo '[1]'; echo 'out of luck' >&2; exit 1")
    assert "out of luck" in probe(lost, "x.glb")["reason"]


def test_one_that_crashes_leaves_the_others(tmp_path: Path) -> None:
    answer = json.dumps({"kind": "object", "height": 1.0, "radius": 0.5, "seconds": 0.0, "actions": []})
    python = program(
        tmp_path / "python", f"case \"$4\" in *bad*) kill -SEGV $$;; *.fbx) echo '{answer}';; *) echo '{{}}';; esac"
    )
    root = tmp_path / "mine"
    root.mkdir()
    for name in ("b.fbx", "bad.fbx", "a.fbx"):
        (root / name).write_bytes(name.encode())
    found = survey_assets(str(root), python)
    assert [each.path for each in found.objects] == ["a.fbx", "b.fbx"]
    assert [name for name, _ in found.skipped] == ["bad.fbx"]
    assert found.objects[0].sha256 != found.objects[1].sha256


def test_memory_is_bounded(folder: Path) -> None:
    from raylign.rendering.blender import probe_asset

    code = (
        "import sys; from raylign.rendering.blender import probe_asset as p;"
        "p.MOST_MEMORY = 300 << 20; sys.exit(p.main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code, str(folder / "statue.glb")], capture_output=True)
    assert done.returncode != 0 or "reason" in json.loads(done.stdout)
    assert probe_asset.MOST_MEMORY > 300 << 20


def test_bad_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        survey_assets(str(tmp_path / "none"), sys.executable)
    with pytest.raises(InputError, match="is empty"):
        survey_assets(str(tmp_path), sys.executable)
    (tmp_path / "a.fbx").write_bytes(b"x")
    with pytest.raises(InputError, match="cannot be run"):
        survey_assets(str(tmp_path), str(tmp_path / "no-python"))
    without = program(tmp_path.parent / f"{os.getpid()}-without", "echo 'No module named bpy' >&2; exit 1")
    with pytest.raises(InputError, match=r"No module named bpy.*raylign\[render\]"):
        survey_assets(str(tmp_path), without)
    broken = program(tmp_path.parent / f"{os.getpid()}-broken", "[ $# = 4 ] && kill -SEGV $$; echo '{}'")
    with pytest.raises(InputError, match=r"none of 1 files can be used; a\.fbx: is broken: Blender died of it"):
        survey_assets(str(tmp_path), broken)
