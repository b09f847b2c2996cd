"""The trunk: what is seen of it is clothes, lofted over its sections; the neck; skirts; a backpack.

Sizes are those of a person of 1.75 m and are scaled with the body. Widths follow the means of the ANSUR II survey
(Gordon et al. 2014): chest, waist and hip breadths and depths of men and women.
"""

from __future__ import annotations

import numpy as np

from .cuts import BottomShape, TopShape
from .lofts import Part, Table, angles, chart, curve, ease, follow, loft, sections, share_with
from .skeleton import JOINTS
from .spec import Body
from .surfaces import BOTTOM, EXTRA, SKIN, TOP, bottom_row, top_row

SEGMENTS = 32

_HEIGHTS = (0.80, 0.82, 0.86, 0.91, 0.98, 1.04, 1.10, 1.18, 1.28, 1.35, 1.40, 1.43, 1.452, 1.472, 1.49)
# Half width, reach to the front and to the back at these heights.
_BROAD = np.array([
    (0.085, 0.060, 0.070), (0.125, 0.085, 0.100), (0.158, 0.100, 0.118), (0.170, 0.105, 0.120), (0.166, 0.106, 0.108),
    (0.156, 0.106, 0.098), (0.149, 0.104, 0.095), (0.155, 0.108, 0.099), (0.169, 0.117, 0.103), (0.177, 0.112, 0.105),
    (0.174, 0.096, 0.100), (0.160, 0.080, 0.092), (0.128, 0.068, 0.080), (0.080, 0.060, 0.068), (0.064, 0.056, 0.061),
])  # fmt: skip
_CURVED = np.array([
    (0.085, 0.060, 0.075), (0.130, 0.085, 0.105), (0.165, 0.098, 0.124), (0.179, 0.100, 0.126), (0.171, 0.098, 0.112),
    (0.145, 0.092, 0.095), (0.124, 0.086, 0.089), (0.130, 0.090, 0.090), (0.146, 0.100, 0.095), (0.151, 0.096, 0.097),
    (0.148, 0.082, 0.092), (0.135, 0.070, 0.084), (0.108, 0.060, 0.072), (0.067, 0.053, 0.060), (0.054, 0.049, 0.054),
])  # fmt: skip
_SWAY = ((0.80, 0.91, 1.10, 1.28, 1.40, 1.49), (0.0, -0.005, 0.010, 0.0, -0.014, -0.014))
"""How far the sections lie ahead: the curve of the spine."""


def outline(body: Body, heights: Table, offset: Table | float, segments: int = SEGMENTS) -> Table:
    """Rings (R, S, 3) around the trunk at heights (R,) of a person of 1.75 m, `offset` metres outside the skin."""
    sizes = curve(heights, _HEIGHTS, _BROAD + body.curves * (_CURVED - _BROAD))
    # Fat sits around the waist and hardly at the neck.
    wide = 1 + (body.girth - 1) * curve(heights, (0.8, 1.1, 1.35, 1.49), (0.9, 1.15, 0.8, 0.4))
    sizes = sizes * wide[:, None]
    theta = angles(segments)
    grow = np.broadcast_to(np.asarray(offset, np.float64), heights.shape)
    x, y = sections(theta, sizes[:, 0] + grow, sizes[:, 1] + grow, sizes[:, 2] + grow, 2.3)
    high = np.broadcast_to(heights[:, None], x.shape)
    ahead, behind = ease(-np.cos(theta), 0.1, 0.8), ease(np.cos(theta), 0.1, 0.8)
    bust = 0.036 * body.curves * ease(body.height, 1.3, 1.5)
    y = y + ahead * bust * np.exp(-(((np.abs(x) - 0.075) / 0.055) ** 2) - ((high - 1.265) / 0.06) ** 2)
    y = y + ahead * body.belly * np.exp(-((x / 0.13) ** 2) - ((high - 1.05) / 0.10) ** 2)
    y = y - behind * 0.022 * np.exp(-(((np.abs(x) - 0.075) / 0.06) ** 2) - ((high - 0.89) / 0.06) ** 2)
    y = y - behind * 0.012 * np.exp(-(((np.abs(x) - 0.08) / 0.05) ** 2) - ((high - 1.33) / 0.07) ** 2)
    y = y + curve(heights, *_SWAY)[:, None]
    # The collar lies lower in front than at the nape.
    z = high - 0.45 * ease(high, 1.40, 1.48) * y
    return np.stack([x, y, z], axis=2) * body.scale


def trunk_weights(rings: Table, body: Body) -> Table:
    """Weights (R, S, J) of points (R, S, 3) on the trunk."""
    k = body.scale
    x, z = rings[..., 0] / k, rings[..., 2] / k
    joints = ("pelvis", "spine", "chest", "neck")
    weights = follow(z, joints, ((1.045, 0.06), (1.17, 0.07), (1.475, 0.03)))
    for side, sign in (("r", 1), ("l", -1)):
        raised = 0.85 * ease(sign * x, 0.06, 0.16) * ease(z, 1.27, 1.40)
        weights = share_with(weights, f"clavicle_{side}", raised)
        weights = share_with(weights, f"thigh_{side}", 0.5 * ease(z, 0.95, 0.82) * ease(sign * x, 0.0, 0.08))
    return weights


def draped_weights(rings: Table, body: Body) -> Table:
    """Weights (R, S, J) of cloth that hangs around both legs."""
    k = body.scale
    x, z = rings[..., 0] / k, rings[..., 2] / k
    weights = follow(z, ("pelvis", "spine"), ((1.045, 0.06),))
    share, right = ease(z, 0.97, 0.74), ease(x, -0.10, 0.10)
    weights[..., JOINTS.index("pelvis")] -= share
    for side, part in (("r", right), ("l", 1 - right)):
        below = 0.7 * ease(z, 0.54, 0.42)
        weights[..., JOINTS.index(f"thigh_{side}")] = share * part * (1 - below)
        weights[..., JOINTS.index(f"shin_{side}")] = share * part * below
    return weights


def hips(body: Body, shape: BottomShape) -> Part:
    """The bottom from the crotch to the waist."""
    heights = np.array([0.80, 0.812, 0.83, 0.86, 0.90, 0.94, 0.98, 1.02, 1.06, 1.085, 1.09])
    rings = outline(body, heights, shape.ease_hips)
    rows = bottom_row(heights)
    charts = chart(len(heights), SEGMENTS, (0, 1), rows)
    return loft(rings, trunk_weights(rings, body), charts, BOTTOM, ("round", "flat"))


def shell(body: Body, shape: TopShape) -> Part:
    """The top from its hem to its collar, without sleeves."""
    steps = np.array([1.06, 1.10, 1.15, 1.20, 1.24, 1.28, 1.32, 1.355, 1.385, 1.41, 1.43, 1.447, 1.462, 1.475])
    upper = steps[(steps > shape.hem + 0.02) & (steps < shape.collar - 0.004)]
    lower = np.arange(shape.hem + 0.05, 1.045, 0.05)
    heights = np.concatenate([[shape.hem, shape.hem + 0.012], lower, upper, [shape.collar]])
    loose = shape.ease + shape.flare * ease(heights, 1.02, shape.hem - 0.15)
    # Cloth lies close on the shoulders, whatever hangs below.
    loose = loose * (1 - 0.45 * ease(heights, 1.36, 1.44) - 0.3 * ease(heights, 1.44, 1.475))
    if shape.gathered:
        loose = loose + 0.014 * ease(heights, shape.hem + 0.03, shape.hem + 0.09) - 0.010
    rings = outline(body, np.maximum(heights, 0.90), loose)
    rings[..., 2] += ((heights - np.maximum(heights, 0.90)) * body.scale)[:, None]
    weights = trunk_weights(rings, body)
    low = rings[..., 2] < 0.97 * body.scale
    weights = np.where(low[..., None], draped_weights(rings, body), weights)
    charts = chart(len(heights), SEGMENTS, (0, 1), top_row(heights))
    return loft(rings, weights, charts, TOP, ("flat", "flat"))


def skirt(body: Body, hem: float, flare: float, surface: int) -> Part:
    """A skirt from the waist down to a hem, wider there by `flare` metres, with folds."""
    waist = 1.075
    heights = np.concatenate([np.linspace(hem, 0.90, 10), [0.95, 1.0, 1.04, waist]])
    rings = outline(body, np.maximum(heights, 0.92), 0.014)
    rings[..., 2] += ((heights - np.maximum(heights, 0.92)) * body.scale)[:, None]
    open_ = ease(heights, 0.98, hem - 0.25)[:, None]
    theta = angles(SEGMENTS)
    fold = 1 + 0.22 * np.cos(8 * theta) * open_
    rings[..., 0] += np.sin(theta) * flare * open_ * fold * body.scale
    rings[..., 1] += -np.cos(theta) * flare * open_ * fold * body.scale
    rows = top_row(heights) if surface == TOP else bottom_row(heights)
    return loft(
        rings, draped_weights(rings, body), chart(len(heights), SEGMENTS, (0, 1), rows), surface, ("flat", "flat")
    )


def neck(body: Body) -> Part:
    """The neck, from within the collar to within the head."""
    k = body.scale
    head, chin = body.head / k, body.chin / k
    width = (0.058 - 0.012 * body.curves) * (0.6 + 0.4 * body.girth)
    heights = np.array([1.40, 1.43, 1.455, 1.475, 1.495, 1.515, chin + 0.08 * head, chin + 0.3 * head])
    size = width * np.array([1.15, 1.15, 1.12, 1.05, 1.0, 0.97, 0.96, 0.9])
    x, y = sections(angles(16), size, size * 0.98, size * 1.04)
    y = y + np.array([-0.02, -0.02, -0.02, -0.02, -0.018, -0.014, -0.012, -0.01])[:, None]
    z = np.broadcast_to(heights[:, None], x.shape) - 0.45 * np.minimum(y, 0.05) * ease(heights, 1.53, 1.47)[:, None]
    rings = np.stack([x, y, z], axis=2) * k
    weights = follow(z, ("chest", "neck", "head"), ((1.46, 0.035), (1.53, 0.04)))
    return loft(
        rings, weights, chart(len(heights), 16, (0, 1), np.linspace(0, 1, len(heights))), SKIN, ("round", "round")
    )


def backpack(body: Body) -> Part:
    """A rucksack on the back; its straps are painted on the top."""
    heights = np.array([0.0, 0.02, 0.06, 0.14, 0.24, 0.33, 0.39, 0.42, 0.435])
    size = np.array([0.55, 0.85, 0.98, 1.0, 1.0, 0.97, 0.88, 0.65, 0.3])
    x, y = sections(angles(20), 0.15 * size, 0.075 * size, 0.075 * size, 3.2)
    z = np.broadcast_to(heights[:, None], x.shape) + 1.02
    rings = np.stack([x, y - 0.105 * (0.4 + 0.6 * body.girth) - 0.085, z], axis=2) * body.scale
    weights = follow(z, ("spine", "chest"), ((1.1, 0.05),))
    return loft(rings, weights, chart(len(heights), 20, (0, 1), heights / 0.435), EXTRA, ("round", "round"))
