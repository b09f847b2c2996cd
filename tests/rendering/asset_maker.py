"""Makes files as users bring them, in Blender, into a folder: run as a program of its own.

Each model is made alone in an empty file. The walker is 1.8 m high and bends at its middle, at z = 1, by `BEND`
radians and back within two seconds; its nose, at y = -0.4, tells where it looks. What cannot be used lies in
`refused`, and what has a test of its own in `apart`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np

BEND = 0.6
FOLDER = Path(sys.argv[1])


def empty() -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)


def add_box(name: str, low: tuple[float, float, float], high: tuple[float, float, float]) -> Any:
    corners = [(x, y, z) for z in (low[2], high[2]) for y in (low[1], high[1]) for x in (low[0], high[0])]
    faces = [(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(corners, [], faces)
    mesh.uv_layers.new()
    material = bpy.data.materials.new(name)
    mesh.materials.append(material)
    box = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(box)
    return box


def add_walker(*, moves: bool) -> None:
    data = bpy.data.armatures.new("rig")
    rig = bpy.data.objects.new("rig", data)
    bpy.context.scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    for name, low, high in (("lower", 0.0, 1.0), ("upper", 1.0, 1.8)):
        bone = data.edit_bones.new(name)
        bone.head, bone.tail = (0, 0, low), (0, 0, high)
    data.edit_bones["upper"].parent = data.edit_bones["lower"]
    bpy.ops.object.mode_set(mode="OBJECT")
    for name, low, high in (
        ("lower", (-0.2, -0.1, 0.0), (0.2, 0.1, 1.0)),
        ("upper", (-0.25, -0.1, 1.0), (0.25, 0.1, 1.8)),
        ("nose", (-0.05, -0.4, 1.5), (0.05, -0.1, 1.6)),
    ):
        box = add_box(name, low, high)
        group = box.vertex_groups.new(name="lower" if name == "lower" else "upper")
        group.add(list(range(8)), 1.0, "REPLACE")
        box.parent = rig
        box.modifiers.new("rig", "ARMATURE").object = rig
    if moves:
        bone = rig.pose.bones["upper"]
        bone.rotation_mode = "XYZ"
        for frame, angle in ((1, 0.0), (25, BEND), (49, 0.0)):
            bone.rotation_euler = (angle, 0, 0)
            bone.keyframe_insert("rotation_euler", frame=frame)
        action = rig.animation_data.action
        action.name = "Walk cycle"
        for curve in action.layers[0].strips[0].channelbags[0].fcurves:
            for point in curve.keyframe_points:
                point.interpolation = "LINEAR"


def save(name: str) -> None:
    path = str(FOLDER / name)
    if name.endswith(".blend"):
        bpy.ops.wm.save_as_mainfile(filepath=path, compress=True)
    elif name.endswith(".fbx"):
        bpy.ops.export_scene.fbx(filepath=path)
    else:
        bpy.ops.export_scene.gltf(filepath=path, export_format="GLB" if name.endswith(".glb") else "GLTF_SEPARATE")


def walkers() -> None:
    add_walker(moves=True)
    save("people/walker.blend")
    save("people/walker.glb")
    save("people/walker.fbx")


def hiker() -> None:
    """Has several clips, and walks away by the one that is shown: along -y, 3 m within two seconds."""
    add_walker(moves=True)
    rig = bpy.data.objects["rig"]
    data = rig.animation_data
    bent = data.action
    bent.name = "Bow"
    bent.use_fake_user = True
    data.action = bpy.data.actions.new("Slow walk")
    bone = rig.pose.bones["lower"]
    for frame, way in ((1, 0.0), (49, 3.0)):
        # The bone's own z axis is the world's -y.
        bone.location = (0.0, 0.0, way)
        bone.keyframe_insert("location", frame=frame)
    for curve in data.action.layers[0].strips[0].channelbags[0].fcurves:
        for point in curve.keyframe_points:
            point.interpolation = "LINEAR"
    save("apart/hiker.blend")


def statue() -> None:
    add_walker(moves=False)
    save("statue.glb")


def tower() -> None:
    # In the wrong unit, and beside the origin.
    add_box("tower", (400.0, 0.0, 100.0), (600.0, 300.0, 500.0))
    save("tower.gltf")


def nothing() -> None:
    lamp = bpy.data.objects.new("lamp", bpy.data.lights.new("lamp", "POINT"))
    bpy.context.scene.collection.objects.link(lamp)
    save("nothing.blend")


def carpet() -> None:
    mesh = bpy.data.meshes.new("carpet")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (1, 1, 0)], [], [(0, 1, 2)])
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("carpet", mesh))
    save("refused/carpet.glb")


def dense() -> None:
    box = add_box("dense", (0, 0, 0), (1, 1, 1))
    subdivision = box.modifiers.new("subdivision", "SUBSURF")
    subdivision.subdivision_type = "SIMPLE"
    subdivision.levels = subdivision.render_levels = 8
    save("refused/dense.blend")


def script() -> None:
    box = add_box("script", (0, 0, 0), (1, 1, 1))
    target = str(FOLDER / "written")
    text = bpy.data.texts.new("start.py")
    text.write(f"open({target!r}, 'w').close()\n")
    text.use_module = True
    curve = box.driver_add("location", 2)
    curve.driver.expression = f"(open({target!r}, 'w').close(), 5.0)[1]"
    box.driver_add("location", 0).driver.expression = "frame + 1"
    save("script.blend")
    Path(target).unlink(missing_ok=True)


def unpacked() -> None:
    box = add_box("unpacked", (0, 0, 0), (1, 1, 1))
    picture = bpy.data.images.new("bricks", 8, 8)
    picture.filepath_raw, picture.file_format = str(FOLDER / "bricks.png"), "PNG"
    picture.save()
    picture.source = "FILE"
    tree = box.data.materials[0].node_tree
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = picture
    tree.links.new(node.outputs[0], tree.nodes["Principled BSDF"].inputs["Base Color"])
    save("refused/unpacked.blend")


def painted() -> None:
    """Shows a picture of its own."""
    box = add_box("painted", (0, 0, 0), (1, 1, 1))
    picture = bpy.data.images.new("dots", 8, 8)
    picture.pixels.foreach_set(np.linspace(0, 1, 256, dtype=np.float32))
    picture.pack()
    tree = box.data.materials[0].node_tree
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = picture
    tree.links.new(node.outputs[0], tree.nodes["Principled BSDF"].inputs["Base Color"])
    for name in ("painted.blend", "painted.glb", "painted.gltf"):
        save(f"apart/{name}")


def panorama(name: str, width: int, value: float) -> None:
    height = 32
    pixels = np.ones((height, width, 4), np.float32)
    pixels[..., :3] = 0.1 * (value > 0)
    # Its red shines in the quarter around a quarter of the width.
    pixels[:, width // 8 : 3 * width // 8, 0] = value
    image = bpy.data.images.new(name, width, height, float_buffer=True)
    image.pixels.foreach_set(pixels.ravel())
    image.file_format = "OPEN_EXR" if name.endswith(".exr") else "HDR"
    image.filepath_raw = str(FOLDER / name)
    image.save()


def panoramas() -> None:
    panorama("sky.exr", 64, 5.0)
    panorama("refused/banner.hdr", 96, 5.0)
    panorama("refused/endless.exr", 64, float("inf"))
    panorama("refused/night.exr", 64, 0.0)


MAKERS: tuple[Callable[[], None], ...] = (
    walkers, hiker, statue, tower, nothing, carpet, dense, script, unpacked, painted, panoramas,
)  # fmt: skip

if __name__ == "__main__":
    for folder in ("people", "refused", "apart"):
        (FOLDER / folder).mkdir()
    for make in MAKERS:
        empty()
        make()
