"""Blender's objects for a parallax scene: parts with their surfaces, lamps, sun and sky, the camera."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt
from mathutils import Matrix, Vector
from PIL import Image, ImageFilter

from ..cameras import SENSOR_WIDTH
from ..parallax.meshes import Mesh, scene_mesh
from ..parallax.scenes import LampSpec, PartSpec, SkySpec, SurfaceSpec, ViewSpec
from ..parallax.surfaces import seamless, surface_picture

TEXELS_PER_PIXEL = 2
"""Texture samples per pixel where a surface is nearest to the cameras, along each axis."""
SMOOTHING = 1.0
"""Standard deviation, in texels, of the Gaussian that each level of a texture passes through."""
TEXELS = (8, 1024)
"""Least and most texels of a texture along each axis."""
LEVELS = 4
"""A surface's texture in halves of its resolution: Cycles itself has none and would make noise of far detail."""


def mesh_object(scene: Any, name: str, mesh: Mesh, materials: list[Any]) -> Any:
    """An object with its own normals, texture coordinates and a material for each surface."""
    data = bpy.data.meshes.new(name)
    data.vertices.add(len(mesh.vertices))
    data.vertices.foreach_set("co", mesh.vertices.astype(np.float32).ravel())
    data.loops.add(len(mesh.corners))
    data.loops.foreach_set("vertex_index", mesh.corners)
    data.polygons.add(len(mesh.counts))
    starts = np.concatenate([[0], np.cumsum(mesh.counts)[:-1]]).astype(np.int32)
    data.polygons.foreach_set("loop_start", starts)
    data.polygons.foreach_set("material_index", mesh.surfaces)
    data.update(calc_edges=True)
    data.uv_layers.new().data.foreach_set("uv", mesh.texture.astype(np.float32).ravel())
    normals = data.attributes.new("custom_normal", "FLOAT_VECTOR", "CORNER")
    normals.data.foreach_set("vector", mesh.normals.astype(np.float32).ravel())
    for material in materials:
        data.materials.append(material)
    made = bpy.data.objects.new(name, data)
    scene.collection.objects.link(made)
    return made


def add_place(
    scene: Any,
    parts: Sequence[PartSpec],
    surfaces: Sequence[SurfaceSpec],
    views: Sequence[ViewSpec],
    width: int,
    ambient: float,
) -> Mesh:
    """Everything that stands still, in one object, its textures as fine as the views can show; its mesh."""
    pixel = min(pixel_size(view, width) for view in views)
    distances = reaches(parts, views)
    materials: list[Any] = []
    for number, surface in enumerate(surfaces):
        if number not in distances:
            materials.append(None)
            continue
        extent = _face_size(parts, number) if surface.fitted else surface.tile
        materials.append(surface_material(surface, extent, distances[number], pixel, ambient))
    mesh = scene_mesh(parts, surfaces)
    mesh_object(scene, "parts", mesh, materials)
    return mesh


def _face_size(parts: Sequence[PartSpec], surface: int) -> tuple[float, float]:
    """Width and height of the largest faces with a surface."""
    own = [each for each in parts if each.surface == surface]
    wide = max(2 * max(each.half[0], each.half[1]) for each in own)
    high = max(2 * (each.half[2] if each.half[2] > 0.05 else min(each.half[0], each.half[1])) for each in own)
    return wide, high


def pixel_size(view: ViewSpec, width: int) -> float:
    """What a pixel covers at a distance of 1."""
    return SENSOR_WIDTH / (view.lens * width)


def surface_material(
    spec: SurfaceSpec, extent: tuple[float, float], reach: tuple[float, float], pixel: float, ambient: float
) -> Any:
    """A surface under light, its texture as fine as the picture can show.

    Args:
        spec: the surface.
        extent: width and height of one tile, in metres.
        reach: distances of the cameras to its nearest and farthest parts, in metres.
        pixel: what a pixel covers at a distance of 1.
        ambient: light that it gives by itself, times its colour.
    """
    material = bpy.data.materials.new("surface")
    tree = material.node_tree
    tree.nodes.clear()
    output, shader = tree.nodes.new("ShaderNodeOutputMaterial"), tree.nodes.new("ShaderNodeBsdfPrincipled")
    shader.inputs["Roughness"].default_value = spec.roughness
    shader.inputs["Specular IOR Level"].default_value = 0.3
    texels = [int(min(max(TEXELS_PER_PIXEL * each / (reach[0] * pixel), TEXELS[0]), TEXELS[1])) for each in extent]
    picture = surface_picture(spec, texels[0], texels[1])
    colour = _levels(tree, spec, picture, reach)
    tree.links.new(colour, shader.inputs["Base Color"])
    tree.links.new(colour, shader.inputs["Emission Color"])
    shader.inputs["Emission Strength"].default_value = ambient
    # It is seen, but too weak to be looked for as a light.
    material.cycles.emission_sampling = "NONE"
    tree.links.new(shader.outputs[0], output.inputs["Surface"])
    return material


def _levels(tree: Any, spec: SurfaceSpec, picture: npt.NDArray[np.uint8], reach: tuple[float, float]) -> Any:
    """The texture, ever coarser with each doubling of the distance."""
    level = _level(tree, reach[0])
    colour = None
    for number in range(LEVELS):
        size = max(2, picture.shape[1] >> number), max(2, picture.shape[0] >> number)
        image = Image.fromarray(picture).resize(size, Image.Resampling.BOX)
        texture = tree.nodes.new("ShaderNodeTexImage")
        texture.image = blender_image(_smoothed(image, seamless(spec.family)))
        texture.interpolation, texture.extension = "Linear", "REPEAT" if seamless(spec.family) else "MIRROR"
        if colour is None:
            colour = texture.outputs["Color"]
        else:
            share, mix = tree.nodes.new("ShaderNodeMath"), tree.nodes.new("ShaderNodeMix")
            share.operation, share.use_clamp, mix.data_type = "SUBTRACT", True, "RGBA"
            tree.links.new(level, share.inputs[0])
            share.inputs[1].default_value = number - 1
            tree.links.new(share.outputs[0], mix.inputs["Factor"])
            # Sockets 6 and 7 are the colours; those before belong to the node's other data types.
            tree.links.new(colour, mix.inputs[6])
            tree.links.new(texture.outputs["Color"], mix.inputs[7])
            colour = mix.outputs[2]
        if min(size) <= TEXELS[0] or reach[0] * 2**number >= reach[1]:
            break
    return colour


def _level(tree: Any, nearest: float) -> Any:
    """How often the distance from the camera doubles the nearest."""
    camera = tree.nodes.new("ShaderNodeCameraData")
    ratio, level = tree.nodes.new("ShaderNodeMath"), tree.nodes.new("ShaderNodeMath")
    ratio.operation, level.operation = "DIVIDE", "LOGARITHM"
    tree.links.new(camera.outputs["View Distance"], ratio.inputs[0])
    ratio.inputs[1].default_value = nearest
    tree.links.new(ratio.outputs[0], level.inputs[0])
    level.inputs[1].default_value = 2.0
    return level.outputs[0]


def _smoothed(image: Image.Image, wraps: bool) -> npt.NDArray[np.uint8]:
    margin = 4
    pixels = np.pad(np.asarray(image), ((margin, margin), (margin, margin), (0, 0)), "wrap" if wraps else "symmetric")
    smooth = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(SMOOTHING))
    return np.asarray(smooth)[margin:-margin, margin:-margin]


def blender_image(pixels: npt.NDArray[np.uint8]) -> Any:
    """Blender's picture of sRGB pixels (H, W, 3), top row first."""
    height, width = pixels.shape[:2]
    image = bpy.data.images.new("texture", width, height)
    colours = np.ones((height, width, 4), np.float32)
    # Blender's first row is the lowest.
    colours[..., :3] = pixels[::-1].astype(np.float32) / np.float32(255)
    image.pixels.foreach_set(colours.ravel())
    image.update()
    return image


def aim_camera(camera: Any, view: ViewSpec) -> None:
    """Place the camera."""
    camera.data.lens = view.lens
    right, up = Vector(view.right), Vector(view.up)
    camera.matrix_world = _standing(view.position, right, up, right.cross(up))


def _standing(position: tuple[float, float, float], x: Vector, y: Vector, z: Vector) -> Matrix:
    turn = Matrix((x, y, z)).transposed().to_4x4()
    return Matrix.Translation(position) @ turn


def _facing(position: tuple[float, float, float], direction: tuple[float, float, float]) -> Matrix:
    """A place from which a light shines along a direction, its width level."""
    back = -Vector(direction)
    side = Vector((0, 1, 0)) if abs(back.z) > 0.999 else Vector((0, 0, 1))
    across = side.cross(back).normalized()
    return _standing(position, across, back.cross(across), back)


def add_lamp(scene: Any, spec: LampSpec) -> None:
    """A lamp, itself unseen."""
    data = bpy.data.lights.new("lamp", spec.kind.upper())
    data.energy, data.color = spec.energy, spec.colour
    if spec.kind == "area":
        data.shape, data.size, data.size_y = "RECTANGLE", spec.size[0], spec.size[1]
    else:
        data.shadow_soft_size = spec.size[0]
    lamp = bpy.data.objects.new("lamp", data)
    lamp.matrix_world = _facing(spec.position, spec.direction)
    lamp.visible_camera = lamp.visible_glossy = False
    scene.collection.objects.link(lamp)


def add_sky(scene: Any, spec: SkySpec, *, indoors: bool) -> None:
    """Sky with clouds, seen by the camera, and the sun."""
    if spec.sun_strength > 0:
        _add_sun(scene, spec)
    world = bpy.data.worlds.new("sky")
    scene.world = world
    # The sky is smooth; a small map of where its light comes from is enough and made at once. Indoors most of its
    # directions are walls: there its light comes by the window's lamp.
    world.cycles.sampling_method, world.cycles.sample_map_resolution = "NONE" if indoors else "MANUAL", 64
    tree = world.node_tree
    background = tree.nodes["Background"]
    background.inputs["Strength"].default_value = spec.strength
    direction = tree.nodes.new("ShaderNodeTexCoord").outputs["Generated"]
    split = tree.nodes.new("ShaderNodeSeparateXYZ")
    tree.links.new(direction, split.inputs[0])
    gradient = _ramp(tree, split.outputs["Z"], (0.0, spec.horizon), (0.55, spec.zenith))
    # Clouds lie on a plane overhead: the direction, divided by its height.
    flat = tree.nodes.new("ShaderNodeVectorMath")
    lifted = tree.nodes.new("ShaderNodeMath")
    lifted.operation, flat.operation = "ADD", "DIVIDE"
    tree.links.new(split.outputs["Z"], lifted.inputs[0])
    lifted.inputs[1].default_value = 0.25
    tree.links.new(direction, flat.inputs[0])
    tree.links.new(lifted.outputs[0], flat.inputs[1])
    moved = tree.nodes.new("ShaderNodeVectorMath")
    tree.links.new(flat.outputs[0], moved.inputs[0])
    moved.inputs[1].default_value = spec.shift
    noise = tree.nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value, noise.inputs["Detail"].default_value = 1.6, 2.0
    tree.links.new(moved.outputs[0], noise.inputs["Vector"])
    edge = 0.75 - 0.5 * spec.clouds
    cover = _ramp(tree, noise.outputs[0], (edge - 0.1, (0.0, 0.0, 0.0)), (edge + 0.15, (0.9, 0.9, 0.9)))
    mix = tree.nodes.new("ShaderNodeMix")
    mix.data_type = "RGBA"
    tree.links.new(cover, mix.inputs["Factor"])
    tree.links.new(gradient, mix.inputs[6])
    mix.inputs[7].default_value = (0.95, 0.95, 0.97, 1.0)
    tree.links.new(mix.outputs[2], background.inputs["Color"])


def _ramp(tree: Any, value: Any, *stops: tuple[float, tuple[float, float, float]]) -> Any:
    """Colours between two stops."""
    node = tree.nodes.new("ShaderNodeValToRGB")
    for element, (place, colour) in zip(node.color_ramp.elements, stops, strict=True):
        element.position, element.color = place, (*colour, 1.0)
    tree.links.new(value, node.inputs[0])
    return node.outputs["Color"]


def _add_sun(scene: Any, spec: SkySpec) -> None:
    sun = bpy.data.lights.new("sun", "SUN")
    sun.energy, sun.color, sun.angle = spec.sun_strength, spec.sun_colour, math.radians(1.0)
    lamp = bpy.data.objects.new("sun", sun)
    lamp.matrix_world = _facing((0.0, 0.0, 0.0), (-spec.sun[0], -spec.sun[1], -spec.sun[2]))
    scene.collection.objects.link(lamp)


def reaches(parts: Sequence[PartSpec], views: Sequence[ViewSpec]) -> dict[int, tuple[float, float]]:
    """Surface to the distances of the nearest and the farthest of its parts' boxes; the nearest is at least 0.5 m."""
    found: dict[int, tuple[float, float]] = {}
    for part in parts:
        cosine, sine = part.turn
        for view in views:
            x, y, z = (a - b for a, b in zip(view.position, part.centre, strict=True))
            own = [abs(each) for each in (cosine * x + sine * y, cosine * y - sine * x, z)]
            near = math.hypot(*(max(0.0, each - half) for each, half in zip(own, part.half, strict=True)))
            far = math.hypot(*(each + half for each, half in zip(own, part.half, strict=True)))
            least, most = found.get(part.surface, (math.inf, 0.0))
            found[part.surface] = min(least, max(near, 0.5)), max(most, far)
    return found
