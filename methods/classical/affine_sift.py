"""SIFT under simulated tilts, ratio test and a homography by MAGSAC++."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from .keypoints import Grey, KeypointAligner, Keypoints, found_keypoints, places
from .sift import NO_DESCRIPTORS, root_sift, sift_detector

CELL = 2.0
"""Side in pixels of the cells in which matches count as the same."""
VIEWS = (
    (1.0, 0.0),
    *((2 ** (step / 2), float(turn)) for step in range(1, 6) for turn in np.arange(0, 180, 72 / 2 ** (step / 2))),
)
"""Tilts, and turns in degrees."""


class AffineSift(KeypointAligner):
    """ASIFT (Morel and Yu 2009): SIFT on views of both pictures under simulated turns and tilts of the camera.

    The views are those of the paper: tilts `1, sqrt 2, ..., 4 sqrt 2`, at turns in steps of 72 degrees divided by the
    tilt. The keypoints of all views, with RootSIFT descriptors, are matched as `KeypointAligner` does. A place that is
    found in several views gives one match only, as in the paper: copies of a chance match would agree.
    `cv2.AffineFeature` is not used: it tilts by dropping columns, which moves what it finds by up to half a pixel.

    Args:
        max_side: larger pictures are reduced to this length in pixels before keypoints are sought.
        features: keypoints per view, the strongest first; matching takes the time of the square of all of them.
        ratio: largest ratio of the distances to the best and to the second match.
        threshold: reprojection error in pixels of the reduced pictures up to which a match can count as inlier.
    """

    name: ClassVar[str] = "affine-sift"

    def __init__(self, max_side: int = 800, features: int = 400, ratio: float = 0.8, threshold: float = 3.0) -> None:
        super().__init__(max_side, features, ratio, threshold)

    def detect(self, grey: Grey) -> Keypoints:
        """See `KeypointAligner.detect`; descriptors `(K, 128)`."""
        detector = sift_detector(self.features)
        points, descriptors = [], []
        for tilt, turn in VIEWS:
            view, seen, pose = tilted(grey.levels, tilt, turn)
            found, described = found_keypoints(view, detector, NO_DESCRIPTORS, seen)
            back = cv2.invertAffineTransform(pose)
            points.append(places(found) @ back[:, :2].T + back[:, 2])
            descriptors.append(described)
        return Keypoints(np.concatenate(points).astype(np.float32), root_sift(np.concatenate(descriptors)), grey.sizes)

    def pair(self, a: Keypoints, b: Keypoints) -> NDArray[np.intp]:
        """See `KeypointAligner.pair`; each pair of places once."""
        pairs = super().pair(a, b)
        both = np.concatenate([a.points[pairs[:, 0]], b.points[pairs[:, 1]]], axis=1)
        _, first = np.unique(np.floor(both / CELL), axis=0, return_index=True)
        return pairs[np.sort(first)]


def tilted(
    levels: NDArray[np.uint8], tilt: float, turn: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64]]:
    """What a turned and tilted camera sees of a grey picture (Morel and Yu 2009, section 3).

    Args:
        levels: `(h, w)`.
        tilt: what the picture's columns are narrowed by, after the turn.
        turn: degrees.

    Returns:
        The view `(H, W)`, where it shows the picture (255, else 0), and the affine map `(2, 3)` from pixels of the
        picture to pixels of the view.
    """
    height, width = levels.shape
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    rotation = np.array([[cosine, -sine], [sine, cosine]])
    corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]]) @ rotation.T
    pose = np.column_stack([rotation, -corners.min(0)])
    across, down = np.ceil(np.ptp(corners, axis=0)).astype(int) + 1
    view = levels
    if turn:
        view = cv2.warpAffine(view, pose, (across, down), borderMode=cv2.BORDER_REPLICATE)
    if tilt > 1:
        # Along the narrowed side only; what OpenCV takes for 0 is a blur of its own choice.
        view = cv2.GaussianBlur(view, (0, 0), sigmaX=0.8 * np.sqrt(tilt**2 - 1), sigmaY=0.01)
        across = int(np.ceil((across - 1) / tilt)) + 1
        narrowed = np.array([[1 / tilt, 0, 0], [0, 1, 0]])
        view = cv2.warpAffine(view, narrowed, (across, down), borderMode=cv2.BORDER_REPLICATE)
        pose[0] /= tilt
    everywhere = np.full_like(levels, 255)
    return view, cv2.warpAffine(everywhere, pose, (across, down), flags=cv2.INTER_NEAREST), pose
