"""The settings of a SIDAR scene: every range that is drawn from, with the released renderer's values as defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..settings import check_settings
from ..shapes import OccluderShape
from ..streams import Range

LightKind = Literal["point", "spot", "area", "sun"]
OccluderMaterial = Literal["glossy", "transparent", "refraction", "glass", "principled"]


@dataclass(frozen=True)
class SidarConfig:
    """What a SIDAR scene may look like. Lengths are in Blender units; the painting is 7 units high, centred at z = 0.

    Ranges are `LOW HIGH` and drawn uniformly. Lights, occluders and the painting's material are drawn anew for each
    frame of a scene; the painting and the cameras belong to the scene (niika/SIDAR).
    """

    frames: int = 10
    """Frames per scene; frame 0 looks straight down and is filled by the painting."""
    aspect: float = 1.0
    """Width of a frame over its height, at least 1."""
    lighting: Literal["random", "ambient"] = "random"
    """`ambient` renders every frame by the painting's own light, without lights and occluders: geometry alone."""
    samples: int = 16
    """Light paths per pixel of a frame; time grows with it, noise falls with its square root."""
    bounces: int = 4
    """Longest light path, in surface hits."""
    denoise: bool = False
    """Remove noise with OpenImageDenoise: at 256 pixels, 8 samples then have less noise than 16 without."""
    depth: bool = False
    """Also write how far away is what each pixel of each frame sees."""
    ambient: float = 0.0
    """Strength of a white light from everywhere; 0 leaves the sky black, as released."""
    exposure: Literal["metered", "fixed"] = "metered"
    """`metered` sets each frame's gain as a camera does; `fixed` keeps the gain at 1 (released: mostly too bright)."""
    exposure_shift: Range = (-0.5, 0.5)
    """What is added to a frame's exposure, in stops."""

    aligned: bool = False
    """Take all frames with the camera of frame 0: lights and occluders change, the geometry does not."""
    camera_x: Range = (-5.0, 5.0)
    """Position of the cameras of frames 1 and following; they look at the origin."""
    camera_y: Range = (-5.0, 5.0)
    """Position of the cameras of frames 1 and following."""
    camera_z: Range = (5.0, 7.0)
    """Height of the cameras of frames 1 and following; frame 0 is taken from height 10."""
    lens: Range = (15.0, 30.0)
    """Focal length of frames 1 and following, in mm on a sensor 36 mm wide."""

    lights: tuple[int, int] = (2, 4)
    """Fewest and most lights."""
    light_kinds: tuple[LightKind, ...] = ("point", "spot", "area")
    """Kinds of lights to draw from: point, spot, area (the released three), sun."""
    light_xy: Range = (-10.0, 10.0)
    """Position of a light, both across and along."""
    light_z: Range = (10.0, 15.0)
    """Height of a light; it points at the origin."""
    point_energy: Range = (1000.0, 3500.0)
    """Power of a point light, in Blender's watts."""
    spot_energy: Range = (1000.0, 10000.0)
    """Power of a spot light, in Blender's watts."""
    spot_cone: Range = (10.0, 90.0)
    """Opening of a spot light, in degrees."""
    spot_blend: Range = (0.0, 1.0)
    """Softness of a spot light's edge."""
    area_energy: Range = (1000.0, 2000.0)
    """Power of an area light, in Blender's watts."""
    area_spread: Range = (10.0, 90.0)
    """Spread of an area light, in degrees."""
    sun_energy: Range = (1.0, 10.0)
    """Power of a sun, in watts per square metre."""
    sun_angle: Range = (0.5, 20.0)
    """Apparent size of a sun, in degrees: the edges of its shadows are as soft as it is large."""
    light_saturation: Range = (0.0, 0.3)
    """Saturation of a light's colour; its hue is free."""

    occluders: tuple[int, int] = (1, 3)
    """Fewest and most occluders."""
    occluder_shapes: tuple[OccluderShape, ...] = ("cone", "sphere", "cylinder", "torus", "cube")
    """Shapes to draw from."""
    occluder_materials: tuple[OccluderMaterial, ...] = ("glossy", "transparent", "refraction", "glass", "principled")
    """Materials to draw from."""
    occluder_xy: Range = (-3.0, 3.0)
    """Position of an occluder, both across and along."""
    occluder_z: Range = (1.0, 5.0)
    """Height of an occluder."""
    occluder_scale: Range = (0.1, 1.1)
    """Scale of an occluder along each of its axes; a torus keeps its own."""
    occluder_roughness: Range = (0.0, 0.5)
    """Roughness of an occluder's surface."""
    occluder_index_of_refraction: Range = (1.0, 2.0)
    """Index of refraction of an occluder."""
    occluder_metallic: Range = (0.0, 1.0)
    """How much an occluder of the principled material is of metal."""
    occluders_hidden: bool = False
    """Shadows only: the camera does not see the occluders, their shadows and reflections stay, the masks are black."""

    roughness: Range = (0.0, 0.5)
    """Roughness of the painting's surface."""
    index_of_refraction: Range = (1.0, 2.0)
    """Index of refraction of the painting's surface."""
    metallic: Range = (0.0, 1.0)
    """How much the painting is of metal."""
    specular: Range = (0.0, 1.0)
    """Specular level of the painting's surface."""
    transmission: Range = (0.0, 1.0)
    """How much light the painting lets through."""
    coat: Range = (0.0, 1.0)
    """Weight of a clear coat on the painting."""
    coat_roughness: Range = (0.0, 1.0)
    """Roughness of the clear coat."""

    picture_share: float = 0.25
    """Share of scenes that show one of scikit-image's pictures; the others show a painting made from the seed."""
    picture_crop: Range = (0.6, 1.0)
    """Side of the part of a picture that is shown, relative to the largest part of the right aspect."""

    def validate(self) -> None:
        """Check every setting.

        Raises:
            InputError: a setting is out of its bounds; the line names its flag.
        """
        check_settings(self, _AT_LEAST, _AT_MOST)


_AT_LEAST: dict[str, float] = {
    "frames": 1, "aspect": 1, "samples": 1, "bounces": 1, "ambient": 0, "camera_z": 0.5, "lens": 1, "lights": 0,
    "light_z": 0.1, "point_energy": 0, "spot_energy": 0, "spot_cone": 1, "spot_blend": 0, "area_energy": 0,
    "area_spread": 1, "sun_energy": 0, "sun_angle": 0, "light_saturation": 0, "occluders": 0, "occluder_scale": 0.001,
    "occluder_roughness": 0, "occluder_index_of_refraction": 1, "occluder_metallic": 0, "roughness": 0,
    "index_of_refraction": 1, "metallic": 0, "specular": 0, "transmission": 0, "coat": 0, "coat_roughness": 0,
    "picture_share": 0, "picture_crop": 0.05,
}  # fmt: skip

_AT_MOST: dict[str, float] = {
    "frames": 1000, "aspect": 8, "samples": 65536, "bounces": 64, "lens": 5000, "lights": 64, "spot_cone": 180,
    "spot_blend": 1, "area_spread": 180, "sun_angle": 180, "light_saturation": 1, "occluders": 64,
    "occluder_roughness": 1, "occluder_metallic": 1, "roughness": 1, "metallic": 1, "specular": 1, "transmission": 1,
    "coat": 1, "coat_roughness": 1, "picture_share": 1, "picture_crop": 1,
}  # fmt: skip
