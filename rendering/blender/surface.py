"""Where the centre of each pixel meets the scene, exactly: the source of flow, depth and occlusion.

Every surface shines with the colour of its own position, and each pixel takes one sample at its centre. Light cannot be
negative, so positions are counted from a corner below the scene; what stays black is sky. Values are 32-bit floats:
in a scene of 200 m they are good to 0.02 mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt
from mathutils import Vector

from .engine import render_light


@dataclass(frozen=True)
class SurfacePass:
    """What the camera's pixels see first.

    A sample lies within 0.005 pixels of its pixel's centre; whoever needs more projects the position.
    """

    position: npt.NDArray[np.float32]
    """World position (H, W, 3), in scene units; NaN where nothing is hit."""

    @property
    def hit(self) -> npt.NDArray[np.bool_]:
        """Which pixels (H, W) meet a surface."""
        return np.isfinite(self.position[..., 0])


def render_surface(scene: Any, folder: str) -> SurfacePass:
    """Find what each pixel centre of the scene's camera meets; the scene is left as it was.

    Args:
        scene: the Blender scene.
        folder: where a picture may lie for a moment.

    Raises:
        BlenderError: Blender stopped or wrote nothing.
    """
    corner = _low_corner(scene)
    light = _render_shining(scene, folder, _position_material(corner))
    # Adding in float64 loses nothing of what the renderer gave.
    position = np.where(light.min(axis=2, keepdims=True) > 0, light.astype(np.float64) + np.asarray(corner), np.nan)
    return SurfacePass(position.astype(np.float32))


def render_attribute(scene: Any, folder: str, name: str) -> npt.NDArray[np.float32]:
    """What the vertices that each pixel centre meets carry, interpolated (H, W, 3); 0 where nothing of it is met.

    Args:
        scene: the Blender scene; it is left as it was.
        folder: where a picture may lie for a moment.
        name: attribute of three numbers above 0 per vertex; objects without it count as 0, and hide what has it.

    Raises:
        BlenderError: Blender stopped or wrote nothing.
    """
    material = _shining("attribute")
    tree = material.node_tree
    carried = tree.nodes.new("ShaderNodeAttribute")
    carried.attribute_name = name
    tree.links.new(carried.outputs["Vector"], tree.nodes["Emission"].inputs["Color"])
    return _render_shining(scene, folder, material)


def _render_shining(scene: Any, folder: str, material: Any) -> npt.NDArray[np.float32]:
    """The pixel centres' colours when all surfaces have this material; it is removed afterwards."""
    layer, cycles, world = scene.view_layers[0], scene.cycles, scene.world
    override, pixel_filter, breadth = layer.material_override, cycles.pixel_filter_type, cycles.filter_width
    layer.material_override, scene.world = material, None
    # The narrowest filter there is; Blender's box filter would ignore its width and spread over the pixel.
    cycles.pixel_filter_type, cycles.filter_width = "GAUSSIAN", 0.01
    try:
        return render_light(scene, folder, samples=1, bounces=0, seed=0)
    finally:
        layer.material_override, scene.world = override, world
        cycles.pixel_filter_type, cycles.filter_width = pixel_filter, breadth
        bpy.data.materials.remove(material)


def _low_corner(scene: Any) -> tuple[float, float, float]:
    """A corner one unit below everything, along each axis."""
    bpy.context.view_layer.update()
    corners = [
        each.matrix_world @ Vector(corner) for each in scene.objects if each.type == "MESH" for corner in each.bound_box
    ]
    low = [min(corner[axis] for corner in corners) for axis in range(3)]
    return low[0] - 1, low[1] - 1, low[2] - 1


def _shining(name: str) -> Any:
    """A material that shines and lights nothing."""
    material = bpy.data.materials.new(name)
    # No light of the scene comes from it.
    material.cycles.emission_sampling = "NONE"
    tree = material.node_tree
    tree.nodes.clear()
    output, shine = tree.nodes.new("ShaderNodeOutputMaterial"), tree.nodes.new("ShaderNodeEmission")
    tree.links.new(shine.outputs[0], output.inputs["Surface"])
    return material


def _position_material(corner: tuple[float, float, float]) -> Any:
    material = _shining("position")
    tree = material.node_tree
    geometry, minus = tree.nodes.new("ShaderNodeNewGeometry"), tree.nodes.new("ShaderNodeVectorMath")
    minus.operation = "SUBTRACT"
    minus.inputs[1].default_value = corner
    tree.links.new(geometry.outputs["Position"], minus.inputs[0])
    tree.links.new(minus.outputs[0], tree.nodes["Emission"].inputs["Color"])
    return material
