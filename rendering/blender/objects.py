"""Blender's objects for the parts of a scene: painting, camera, lights, occluders."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import bpy
from mathutils import Matrix, Vector

from ..cameras import SENSOR_WIDTH, CameraSpec, plane_corners, rotation
from ..errors import MissingTextureError
from ..shapes import solid
from ..sidar.scenes import LightSpec, OccluderSpec, SurfaceSpec


def add_painting(scene: Any, aspect: float) -> Any:
    """The plane of the painting, its texture upright as frame 0 sees it; without material yet."""
    corners = plane_corners(aspect)[[3, 2, 1, 0]].tolist()
    mesh = bpy.data.meshes.new("painting")
    mesh.from_pydata(corners, [], [(0, 1, 2, 3)])
    mesh.uv_layers.new().data.foreach_set("uv", [0, 0, 1, 0, 1, 1, 0, 1])
    painting = bpy.data.objects.new("painting", mesh)
    mesh.materials.append(None)
    scene.collection.objects.link(painting)
    return painting


def load_texture(path: Path) -> Any:
    """The texture's picture.

    Raises:
        MissingTextureError: Blender cannot read it.
    """
    try:
        image = bpy.data.images.load(str(path))
    except RuntimeError as error:
        raise MissingTextureError(f"Blender cannot read the texture: {' '.join(str(error).split())}") from None
    if 0 in tuple(image.size):
        raise MissingTextureError(f"Blender cannot read the texture {path.name}")
    return image


def surface_material(image: Any) -> Any:
    """The painting under light: a principled surface that `set_surface` varies."""
    material, tree = _material("surface")
    shader = tree.nodes.new("ShaderNodeBsdfPrincipled")
    tree.links.new(_texture_colour(tree, image), shader.inputs["Base Color"])
    _use(tree, shader)
    return material


def set_surface(material: Any, spec: SurfaceSpec) -> None:
    """Give the painting's surface its values."""
    shader = material.node_tree.nodes["Principled BSDF"]
    for name, value in (
        ("Roughness", spec.roughness),
        ("IOR", spec.index_of_refraction),
        ("Metallic", spec.metallic),
        ("Specular IOR Level", spec.specular),
        ("Transmission Weight", spec.transmission),
        ("Coat Weight", spec.coat),
        ("Coat Roughness", spec.coat_roughness),
    ):
        shader.inputs[name].default_value = value


def feed_pass(material: Any, name: str, value: float) -> None:
    """Let a material's surface add `value`, times its share of a pixel, to the channel `name` (`engine.add_pass`)."""
    output = material.node_tree.nodes.new("ShaderNodeOutputAOV")
    output.aov_name, output.inputs["Value"].default_value = name, value


def shining_material(name: str, image: Any = None, level: float = 1.0) -> Any:
    """A surface that shines by itself and reflects nothing: by the picture, or evenly."""
    material, tree = _material(name)
    shader = tree.nodes.new("ShaderNodeEmission")
    if image is not None:
        tree.links.new(_texture_colour(tree, image), shader.inputs["Color"])
    shader.inputs["Strength"].default_value = level
    _use(tree, shader)
    return material


def add_camera(scene: Any, near: float = 0.05, far: float = 1000.0) -> Any:
    """The camera, with the sensor of `cameras.py`; it sees what lies between `near` and `far`."""
    camera = bpy.data.cameras.new("camera")
    camera.sensor_fit, camera.sensor_width = "HORIZONTAL", SENSOR_WIDTH
    camera.clip_start, camera.clip_end = near, far
    scene.camera = bpy.data.objects.new("camera", camera)
    scene.collection.objects.link(scene.camera)
    return scene.camera


def aim_camera(camera: Any, spec: CameraSpec) -> None:
    """Place the camera."""
    camera.data.lens = spec.lens
    camera.matrix_world = Matrix.Translation(spec.position) @ Matrix(rotation(spec).tolist()).to_4x4()


def set_sky(scene: Any, strength: float) -> None:
    """White light from everywhere; the camera itself sees black beside the painting."""
    world = bpy.data.worlds.new("sky")
    scene.world = world
    background = world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (1.0, 1.0, 1.0, 1.0)
    background.inputs["Strength"].default_value = strength
    world.cycles_visibility.camera = False


def add_light(scene: Any, spec: LightSpec) -> Any:
    """A light that points at the origin."""
    data = bpy.data.lights.new("light", spec.kind.upper())
    data.energy, data.color = spec.energy, spec.colour
    if spec.kind == "spot":
        data.spot_size, data.spot_blend = math.radians(spec.opening), spec.blend
    elif spec.kind == "area":
        data.spread = math.radians(spec.opening)
    elif spec.kind == "sun":
        data.angle = math.radians(spec.opening)
    light = bpy.data.objects.new("light", data)
    light.matrix_world = Matrix.Translation(spec.position) @ (
        Vector(spec.position).to_track_quat("Z", "Y").to_matrix().to_4x4()
    )
    scene.collection.objects.link(light)
    return light


def add_occluder(scene: Any, spec: OccluderSpec, hidden: bool) -> Any:
    """A solid with its material; `hidden` keeps its shadows but hides it from the camera."""
    form = solid(spec.shape)
    mesh = bpy.data.meshes.new("occluder")
    mesh.from_pydata(form.vertices, [], form.faces)
    # Without it the faces are smooth and Blender would work the normals out itself (`shapes.py` tells why it must not).
    normals = mesh.attributes.new("custom_normal", "FLOAT_VECTOR", "CORNER")
    normals.data.foreach_set("vector", [part for face in form.normals for normal in face for part in normal])
    mesh.materials.append(_occluder_material(spec))
    occluder = bpy.data.objects.new("occluder", mesh)
    occluder.location, occluder.rotation_euler, occluder.scale = spec.position, spec.angles, spec.scale
    occluder.visible_camera = not hidden
    scene.collection.objects.link(occluder)
    return occluder


def _occluder_material(spec: OccluderSpec) -> Any:
    material, tree = _material("occluder")
    kind = {
        "glossy": "ShaderNodeBsdfAnisotropic",
        "transparent": "ShaderNodeBsdfTransparent",
        "refraction": "ShaderNodeBsdfRefraction",
        "glass": "ShaderNodeBsdfGlass",
        "principled": "ShaderNodeBsdfPrincipled",
    }[spec.material]
    shader = tree.nodes.new(kind)
    values: dict[str, Any] = {
        "Color": (*spec.colour, 1.0),
        "Base Color": (*spec.colour, 1.0),
        "Roughness": spec.roughness,
        "IOR": spec.index_of_refraction,
        "Metallic": spec.metallic,
    }
    for socket in shader.inputs:
        if socket.name in values:
            socket.default_value = values[socket.name]
    _use(tree, shader)
    return material


def _material(name: str) -> tuple[Any, Any]:
    """A material with its output node and nothing else."""
    material = bpy.data.materials.new(name)
    tree = material.node_tree
    tree.nodes.clear()
    tree.nodes.new("ShaderNodeOutputMaterial")
    return material, tree


def _use(tree: Any, shader: Any) -> None:
    tree.links.new(shader.outputs[0], tree.nodes["Material Output"].inputs["Surface"])


def _texture_colour(tree: Any, image: Any) -> Any:
    texture = tree.nodes.new("ShaderNodeTexImage")
    texture.image, texture.interpolation, texture.extension = image, "Linear", "EXTEND"
    return texture.outputs["Color"]
