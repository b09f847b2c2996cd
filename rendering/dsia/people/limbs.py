"""Arms with hands, legs and shoes of the right side; the left ones are their mirror pictures.

An arm is made hanging down and then spread, as bodies are built. Sizes are those of a person of 1.75 m and are scaled
with the body.
"""

from __future__ import annotations

import numpy as np

from .cuts import BottomShape, TopShape
from .lofts import Part, Table, angles, chart, curve, ease, follow, joined, loft, moved, sections
from .skeleton import JOINTS, REST_SPREAD, arm_turn, rest_joints, turn
from .spec import Body, ShoeCut
from .surfaces import BOTTOM, LEG, SHOES, SKIN, SLEEVE, TOP, bottom_row, top_row

_ARM = (
    (0.835, 0.86, 0.90, 0.98, 1.03, 1.07, 1.10, 1.14, 1.22, 1.30, 1.36, 1.40, 1.43),
    # Half width across the body, and ahead; the palm faces the thigh.
    np.array([
        (0.020, 0.028), (0.0215, 0.0285), (0.026, 0.031), (0.036, 0.037), (0.040, 0.041), (0.040, 0.042),
        (0.038, 0.041), (0.040, 0.043), (0.045, 0.049), (0.048, 0.053), (0.050, 0.056), (0.049, 0.055), (0.044, 0.049),
    ]),
)  # fmt: skip
_LEG = (
    (0.045, 0.085, 0.12, 0.20, 0.29, 0.37, 0.44, 0.495, 0.54, 0.62, 0.75, 0.86, 0.93, 0.96),
    # Half width, reach to the front and to the back: shin and calf.
    np.array([
        (0.034, 0.040, 0.044), (0.033, 0.038, 0.041), (0.032, 0.035, 0.038), (0.039, 0.038, 0.046),
        (0.051, 0.044, 0.062), (0.055, 0.047, 0.068), (0.053, 0.051, 0.058), (0.056, 0.060, 0.052),
        (0.058, 0.061, 0.055), (0.067, 0.070, 0.064), (0.078, 0.080, 0.076), (0.085, 0.085, 0.088),
        (0.082, 0.080, 0.090), (0.072, 0.070, 0.080),
    ]),
)  # fmt: skip


def _muscle(body: Body) -> float:
    return (0.25 + 0.75 * body.girth) * (1 - 0.13 * body.curves)


def _spread(part: Part, body: Body) -> Part:
    rest = rest_joints(body)
    return moved(part, arm_turn("r", spread=REST_SPREAD), rest[JOINTS.index("arm_r")], np.zeros(3))


def _arm_rings(body: Body, heights: Table, offset: Table | float, segments: int) -> Table:
    centre = rest_joints(body)[JOINTS.index("arm_r")] / body.scale
    sizes = curve(heights, *_ARM) * _muscle(body)
    # The shoulder is round above its joint.
    dome = np.sqrt(np.clip(1 - (np.maximum(heights - 1.385, 0) / 0.055) ** 2, 0, 1))
    sizes = sizes * dome[:, None] + np.asarray(offset).reshape(-1, 1) * np.sqrt(dome)[:, None]
    x, y = sections(angles(segments), sizes[:, 0], sizes[:, 1], sizes[:, 1], 2.1)
    z = np.broadcast_to(heights[:, None], x.shape)
    return np.stack([x + centre[0], y + centre[1], z], axis=2) * body.scale


def _arm_weights(rings: Table, body: Body) -> Table:
    z = rings[..., 2] / body.scale
    return follow(z, ("hand_r", "forearm_r", "arm_r", "clavicle_r"), ((0.838, 0.022), (1.092, 0.045), (1.402, 0.045)))


def arm(body: Body, sleeve: float) -> Part:
    """The bare arm from within the sleeve, or from the shoulder, to the wrist."""
    edge = 1.40 - sleeve * (1.40 - 0.838)
    heights = np.array([0.832, 0.845, 0.87, 0.91, 0.95, 0.99, 1.03, 1.06, 1.092, 1.12, 1.16, 1.22, 1.28, 1.34, 1.38])
    if sleeve == 0:
        heights = np.concatenate([heights, [1.395, 1.411, 1.425, 1.435, 1.439]])
    else:
        # A hand's breadth of arm goes on within the sleeve.
        heights = np.concatenate([heights[heights < edge + 0.03], [edge + 0.035]])
    rings = _arm_rings(body, heights, 0.0, 14)
    charts = chart(len(heights), 14, (0, 1), (heights - 0.8) / 0.7)
    return _spread(loft(rings, _arm_weights(rings, body), charts, SKIN, ("round", "round")), body)


def sleeve(body: Body, shape: TopShape) -> Part:
    """The sleeve from its hem over the shoulder."""
    hem = 1.40 - shape.sleeve * (1.40 - 0.832)
    inner = np.array([0.87, 0.91, 0.95, 0.99, 1.03, 1.06, 1.092, 1.12, 1.16, 1.20, 1.25, 1.30, 1.345, 1.38])
    top = [1.395, 1.411, 1.425, 1.435, 1.439]
    heights = np.concatenate([[hem, hem + 0.012], inner[inner > hem + 0.024], top])
    # A long sleeve bunches above the wrist and at the elbow.
    wrinkle = 0.004 * np.sin(heights * 260) * (ease(heights, 0.99, 0.9) + ease(np.abs(heights - 1.09), 0.08, 0.02))
    loose = shape.sleeve_ease + wrinkle * (shape.sleeve > 0.9)
    if shape.gathered:
        loose = loose - 0.008 * ease(heights, hem + 0.05, hem + 0.02)
    # Cloth lies close on the shoulder.
    loose = loose * (1 - 0.6 * ease(heights, 1.28, 1.39))
    rings = _arm_rings(body, heights, loose, 16)
    charts = chart(len(heights), 16, (0.0, SLEEVE), top_row(heights))
    return _spread(loft(rings, _arm_weights(rings, body), charts, TOP, ("flat", "round")), body)


def hand(body: Body) -> Part:
    """The right hand: palm, four fingers slightly bent, thumb ahead."""
    size = (0.9 + 0.1 * body.girth) * (1 - 0.07 * body.curves)
    down = np.array([-0.100, -0.096, -0.085, -0.06, -0.03, -0.006, 0.03])
    wide = np.array([0.030, 0.036, 0.041, 0.042, 0.038, 0.0305, 0.024])
    thick = np.array([0.008, 0.011, 0.0125, 0.0145, 0.0155, 0.0165, 0.016])
    x, y = sections(angles(14), thick, wide, wide, 2.6)
    palm = np.stack([x, y, np.broadcast_to(down[:, None], x.shape)], axis=2)
    pieces = [palm]
    for place, length, start in (
        (0.031, 0.070, -0.094),
        (0.010, 0.078, -0.098),
        (-0.011, 0.073, -0.096),
        (-0.031, 0.056, -0.088),
    ):
        pieces.append(_finger(np.array([0.0, place, start]), length, 0.0092, turn(x=place * 130), 14.0))
    thumb = turn(x=38, z=25)
    pieces.append(_finger(np.array([-0.004, 0.028, -0.028]), 0.068, 0.0112, thumb, 6.0))
    joint = rest_joints(body)[JOINTS.index("hand_r")]
    made = []
    for rings in pieces:
        placed = rings * size * body.scale + joint
        weights = np.zeros((*placed.shape[:2], len(JOINTS)))
        weights[..., JOINTS.index("hand_r")] = 1
        made.append(
            loft(
                placed,
                weights,
                chart(len(rings), rings.shape[1], (0, 1), np.linspace(0, 0.05, len(rings))),
                SKIN,
                ("round", "round"),
            )
        )
    return _spread(joined(made), body)


def _finger(base: Table, length: float, radius: float, rotation: Table, bend: float) -> Table:
    """Rings (6, 8, 3) of a finger that hangs down from a base and bends towards the palm by three times `bend`."""
    rings, place, tilt = [], np.zeros(3), 0.0
    theta = angles(8)
    steps = (0.0, 0.30, 0.28, 0.24, 0.13, 0.05)
    for step, thick in zip(steps, (1.0, 1.0, 0.95, 0.88, 0.72, 0.35), strict=True):
        tilt += bend if 0.2 < step < 0.35 else 0.0
        frame = turn(y=tilt)
        place = place + np.einsum("ij,j->i", frame, np.array([0.0, 0.0, -step * length]))
        ring = np.stack([np.sin(theta), -np.cos(theta), np.zeros(8)], axis=1) * radius * thick
        rings.append(np.einsum("ij,sj->si", frame, ring) + place)
    # From the tip to the base, so that sections rise.
    return np.einsum("ij,rsj->rsi", rotation, np.array(rings[::-1])) + base


def _leg_rings(body: Body, heights: Table, offset: Table | float, segments: int) -> Table:
    hip = rest_joints(body)[JOINTS.index("thigh_r")][0] / body.scale
    sizes = curve(heights, *_LEG)
    fat = 1 + (body.girth - 1) * ease(heights, 0.3, 0.8)
    slim = 1 - 0.10 * body.curves * ease(heights, 0.62, 0.4)
    sizes = sizes * (fat * slim)[:, None] + np.asarray(offset).reshape(-1, 1)
    x, y = sections(angles(segments), sizes[:, 0], sizes[:, 1], sizes[:, 2], 2.1)
    z = np.broadcast_to(heights[:, None], x.shape)
    return np.stack([x + hip, y - 0.004, z], axis=2) * body.scale


def _leg_weights(rings: Table, body: Body, foot: bool) -> Table:
    z = rings[..., 2] / body.scale
    # Bare skin goes on into the shoe; a trouser leg hangs from the shin.
    joints = ("foot_r", "shin_r", "thigh_r", "pelvis") if foot else ("shin_r", "thigh_r", "pelvis")
    splits = ((0.075, 0.03), (0.495, 0.06), (0.91, 0.085))
    return follow(z, joints, splits if foot else splits[1:])


def leg(body: Body, top: float) -> Part:
    """The bare leg from within the shoe up to a height."""
    heights = np.array([0.05, 0.075, 0.10, 0.13, 0.18, 0.24, 0.30, 0.36, 0.41, 0.45, 0.48, 0.51, 0.54, 0.60, 0.68])
    heights = np.concatenate([heights[heights < top - 0.01], [top]])
    rings = _leg_rings(body, heights, 0.0, 16)
    charts = chart(len(heights), 16, (0, 1), heights)
    return loft(rings, _leg_weights(rings, body, True), charts, SKIN, ("round", "round"))


def trouser_leg(body: Body, shape: BottomShape) -> Part:
    """One leg of trousers or shorts."""
    inner = np.array(
        [0.10, 0.15, 0.20, 0.26, 0.32, 0.38, 0.43, 0.465, 0.495, 0.525, 0.56, 0.62, 0.69, 0.76, 0.82, 0.87]
    )
    heights = np.concatenate([[shape.hem, shape.hem + 0.012], inner[inner > shape.hem + 0.03], [0.91, 0.945, 0.965]])
    keys = (shape.hem, 0.3, 0.55, 0.80, 0.95) if shape.hem < 0.25 else (shape.hem, 0.80, 0.95)
    values = (shape.ease_hem, 0.6 * shape.ease_hem + 0.4 * shape.ease_knee, shape.ease_knee, shape.ease_hips, 0.002)
    loose = curve(heights, keys, values if shape.hem < 0.25 else (values[0], values[3], values[4]))
    wrinkle = 0.005 * np.sin(heights * 150) * ease(heights, 0.24, 0.10) + 0.003 * np.sin(heights * 130) * ease(
        np.abs(heights - 0.49), 0.12, 0.03
    )
    loose = loose + wrinkle * min(1.0, shape.ease_hem / 0.02)
    rings = _leg_rings(body, heights, loose, 18)
    charts = chart(len(heights), 18, (0.0, LEG), bottom_row(heights))
    return loft(rings, _leg_weights(rings, body, False), charts, BOTTOM, ("flat", "round"))


_SOLE = np.array([
    # Height, heel, tip, half width.
    (0.000, -0.062, 0.188, 0.043), (0.012, -0.068, 0.198, 0.047), (0.024, -0.068, 0.198, 0.047),
    (0.030, -0.065, 0.193, 0.045), (0.048, -0.065, 0.184, 0.044), (0.062, -0.064, 0.155, 0.042),
    (0.074, -0.062, 0.115, 0.040), (0.086, -0.060, 0.082, 0.038), (0.098, -0.058, 0.060, 0.038),
])  # fmt: skip
_SHAFT = {"sneakers": (), "leather": (), "flats": (), "boots": (0.13, 0.17, 0.21, 0.235)}


def shoe(body: Body, cut: ShoeCut) -> Part:
    """The right shoe, its sole on the ground."""
    rows = _SOLE[:6] if cut == "flats" else _SOLE
    theta = angles(20)
    bulk = {"sneakers": 1.04, "leather": 0.97, "flats": 0.92, "boots": 1.05}[cut]
    middle = np.broadcast_to(0.5 * (rows[:, 2] + rows[:, 1])[:, None], (len(rows), 20))
    half = 0.5 * (rows[:, 2] - rows[:, 1])
    x, y = sections(theta, rows[:, 3] * bulk, half, half, 2.5)
    # Narrow at the heel, wide at the ball, rounded at the tip.
    along = (y / half[:, None] + 1) / 2
    x = x * curve(along, (0.0, 0.25, 0.45, 0.68, 0.9, 1.0), (0.80, 0.72, 0.80, 1.0, 0.90, 0.8))
    rings = np.stack([x, y + middle, np.broadcast_to(rows[:, :1], x.shape)], axis=2)
    heights = rows[:, 0]
    for height in _SHAFT[cut]:
        size = curve(np.array([height]), *_LEG) + 0.010
        sx, sy = sections(theta, size[:, 0], size[:, 1], size[:, 2])
        rings = np.concatenate([rings, np.stack([sx, sy - 0.004, np.full_like(sx, height)], axis=2)])
        heights = np.append(heights, height)
    rings = rings * body.scale
    ankle = rest_joints(body)[JOINTS.index("foot_r")]
    rings[..., 0] += ankle[0]
    k = body.scale
    weights = follow(rings[..., 1] / k, ("foot_r", "toes_r"), ((0.122, 0.022),))
    weights = weights * (1 - ease(rings[..., 2] / k, 0.10, 0.16))[..., None]
    weights[..., JOINTS.index("shin_r")] = ease(rings[..., 2] / k, 0.10, 0.16)
    charts = chart(len(heights), 20, (0, 1), heights / 0.25)
    return loft(rings, weights, charts, SHOES, ("flat", "round"))
