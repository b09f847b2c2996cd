"""SIFT keypoints of pictures without their light, which find frames where descriptors fail."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import geometry
from ..classical.affine_sift import AffineSift
from ..classical.keypoints import LEAST_INLIERS, Grey, KeypointAligner, Keypoints, Matches, agree
from ..classical.sift import Sift
from ..jnd import luma
from .local_light import without_light
from .matching import resized

SIDE = 512
"""Longer side in pixels up to which small pictures are enlarged, at most to twice their size: SIFT finds next to
nothing in pictures of 100 pixels."""
WINDOW = 31
"""Side in pixels of the windows in which the light is taken out."""
NOISE = 3.0
"""Grey levels of deviation that are noise."""
CONTRAST = 50.0
"""Grey levels that one standard deviation becomes; 128 is the mean."""
THRESHOLD = 3.0
"""Pixels up to which a match of keypoints can count as inlier."""
PLANES = 3
"""Most planes that are looked for in two pictures."""
LEFT = 0.1
"""Share of all matches that has to be left for another plane."""
FURTHER = 0.25
"""Least confidence of a further plane; what agreed by chance on photographs of one plane had 0.18 and 0.24."""

PLAIN: KeypointAligner = Sift(features=2000)
TILTED: KeypointAligner = AffineSift(features=300)


def even_grey(picture: Tensor) -> Grey:
    """The grey levels of a picture `(3, H, W)` in [0, 1] without its light, enlarged if it is small."""
    size: geometry.Size = (picture.shape[-2], picture.shape[-1])
    factor = min(2.0, max(1.0, SIDE / max(size)))
    wanted = (round(size[0] * factor), round(size[1] * factor))
    relative, _ = without_light(luma(resized(picture, wanted)[None]), WINDOW, NOISE)
    levels = (relative[0, 0] * CONTRAST + 128).round().clamp(0, 255).to(torch.uint8)
    return Grey(levels.cpu().numpy(), (wanted, size))


def match_keypoints(finder: KeypointAligner, a: Keypoints, b: Keypoints) -> list[Matches]:
    """Matches of the keypoints that `finder` detected in two pictures, in pixels of the pictures.

    The first are all; where they agree on a plane, those that do not may agree on another one, and so on. What comes
    after the first has a homography.
    """
    if min(len(a.points), len(b.points)) < LEAST_INLIERS:
        return [agree(a.points[:0], b.points[:0], a.sizes, b.sizes, THRESHOLD)]
    pairs = finder.pair(a, b)
    rest, found = pairs, list[Matches]()
    while not found or (len(found) < PLANES and len(rest) >= LEFT * len(pairs)):
        another = agree(a.points[rest[:, 0]], b.points[rest[:, 1]], a.sizes, b.sizes, THRESHOLD)
        if found and another.confidence < FURTHER:
            break
        found.append(another)
        if another.homography is None:
            break
        rest = rest[~another.inliers]
    return found
