"""What the released SIDAR renderer does for one frame and its mask, done with today's Blender.

The frame by Cycles with Blender's own settings and a time limit of one second, the mask by the rasteriser, everything
made anew for each frame. Written from the description of the renderer, for comparison only.

Run as `python released_sidar.py SCENE.json TEXTURE.png FOLDER [SAMPLES]`; renders frame 1 of the scene and says how
long that took. With SAMPLES the light alone is rendered, by so many samples without time limit, denoiser or adaption.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any

import bpy
from mathutils import Matrix, Vector

from raylign.rendering.cameras import rotation
from raylign.rendering.sidar.scenes import FrameSpec, SceneSpec

SHAPES = {
    "cone": "cone_add",
    "sphere": "uv_sphere_add",
    "cylinder": "cylinder_add",
    "torus": "torus_add",
    "cube": "cube_add",
}
SHADERS = {
    "glossy": "ShaderNodeBsdfAnisotropic",
    "transparent": "ShaderNodeBsdfTransparent",
    "refraction": "ShaderNodeBsdfRefraction",
    "glass": "ShaderNodeBsdfGlass",
    "principled": "ShaderNodeBsdfPrincipled",
}


def material(shader: str, values: dict[str, Any], image: Any = None) -> Any:
    made = bpy.data.materials.new("material")
    made.use_nodes = True
    tree = made.node_tree
    tree.nodes.clear()
    output, node = tree.nodes.new("ShaderNodeOutputMaterial"), tree.nodes.new(shader)
    for socket in node.inputs:
        if socket.name in values:
            socket.default_value = values[socket.name]
    if image is not None:
        texture = tree.nodes.new("ShaderNodeTexImage")
        texture.image = image
        tree.links.new(texture.outputs["Color"], node.inputs[0])
    tree.links.new(node.outputs[0], output.inputs["Surface"])
    return made


def build(spec: SceneSpec, frame: FrameSpec, texture: Path) -> tuple[Any, list[Any]]:
    """Everything in the scene, from nothing; the plane and the occluders are returned."""
    for collection in (bpy.data.objects, bpy.data.materials, bpy.data.meshes, bpy.data.lights, bpy.data.cameras):
        for each in list(collection):
            collection.remove(each)
    bpy.ops.mesh.primitive_plane_add(size=2)
    plane = bpy.context.object
    plane.scale = (3.5 * spec.aspect, 3.5, 1)
    surface = frame.surface
    values = {
        "Roughness": surface.roughness,
        "IOR": surface.index_of_refraction,
        "Metallic": surface.metallic,
        "Specular IOR Level": surface.specular,
        "Transmission Weight": surface.transmission,
        "Coat Weight": surface.coat,
        "Coat Roughness": surface.coat_roughness,
    }
    image = bpy.data.images.load(str(texture), check_existing=False)
    plane.data.materials.append(material("ShaderNodeBsdfPrincipled", values, image))
    for light in frame.lights:
        data = bpy.data.lights.new("light", light.kind.upper())
        data.energy, data.color = light.energy, light.colour
        if light.kind == "spot":
            data.spot_size, data.spot_blend = math.radians(light.opening), light.blend
        elif light.kind == "area":
            data.spread = math.radians(light.opening)
        lamp = bpy.data.objects.new("light", data)
        bpy.context.collection.objects.link(lamp)
        lamp.location = light.position
        lamp.rotation_euler = Vector((0, 0, 1)).rotation_difference(Vector(light.position)).to_euler()
    occluders = []
    for each in frame.occluders:
        getattr(bpy.ops.mesh, f"primitive_{SHAPES[each.shape]}")(location=each.position, rotation=each.angles)
        occluder = bpy.context.object
        if each.shape != "torus":
            occluder.scale = each.scale
        if each.shape != "cube":
            bpy.ops.object.shade_smooth()
        colour = (*each.colour, 1.0)
        values = {"Color": colour, "Base Color": colour, "Roughness": each.roughness, "IOR": each.index_of_refraction}
        occluder.data.materials.append(material(SHADERS[each.material], {**values, "Metallic": each.metallic}))
        occluders.append(occluder)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.lens = frame.camera.lens
    camera.matrix_world = Matrix.Translation(frame.camera.position) @ Matrix(rotation(frame.camera).tolist()).to_4x4()
    bpy.context.collection.objects.link(camera)
    bpy.context.scene.camera = camera
    return plane, occluders


def world(colour: tuple[float, float, float, float]) -> None:
    scene = bpy.context.scene
    if scene.world is None:
        scene.world = bpy.data.worlds.new("World")
        scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs[0].default_value = colour


def render(target: Path, engine: str, file_format: str) -> None:
    scene = bpy.context.scene
    scene.render.engine = engine
    scene.render.image_settings.file_format = file_format
    if file_format == "OPEN_EXR":
        scene.render.image_settings.color_depth = "32"
    scene.render.filepath = str(target)
    bpy.ops.render.render(write_still=True)


def main(scene_file: str, texture: str, folder: str, samples: str | None = None) -> None:
    spec = SceneSpec.from_json(Path(scene_file).read_text())
    frame = spec.frames[1]
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = spec.width, spec.height
    scene.view_settings.view_transform = "Standard"
    start = time.perf_counter()
    plane, occluders = build(spec, frame, Path(texture))
    world((0, 0, 0, 1))
    if samples:
        scene.cycles.samples, scene.cycles.use_adaptive_sampling, scene.cycles.use_denoising = (
            int(samples),
            False,
            False,
        )
        render(Path(folder) / "reference.exr", "CYCLES", "OPEN_EXR")
        return
    scene.cycles.time_limit = 1
    # Linear light instead of the 8-bit picture, so that both can be compared at one exposure; it takes the same time.
    render(Path(folder) / "frame.exr", "CYCLES", "OPEN_EXR")
    middle = time.perf_counter()
    plane.data.materials.clear()
    plane.data.materials.append(material("ShaderNodeBsdfDiffuse", {"Color": (0, 0, 0, 1)}))
    for each in occluders:
        each.data.materials.clear()
        each.data.materials.append(material("ShaderNodeBsdfDiffuse", {"Color": (1, 1, 1, 1)}))
    for light in list(bpy.data.lights):
        bpy.data.lights.remove(light)
    world((1, 1, 1, 1))
    render(Path(folder) / "mask.png", "BLENDER_EEVEE", "PNG")
    end = time.perf_counter()
    print(f"seconds {middle - start} {end - middle}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
