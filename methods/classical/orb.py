"""ORB keypoints, ratio test and a homography by MAGSAC++."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import geometry
from .keypoints import Grey, KeypointAligner, Keypoints, found_keypoints, places

REDUCTION = 1.2
"""Of each level of the pyramid against the one before: OpenCV's default."""


class Orb(KeypointAligner):
    """ORB (Rublee et al. 2011): oriented FAST corners and binary descriptors, matched as `KeypointAligner` does.

    Descriptors are compared by their Hamming distance. OpenCV multiplies a corner's place in its level of the pyramid
    by the level's reduction, as if the centres of the top-left pixels lay on each other; here it is brought to the
    picture as the level was made, by the resize rule "area". The arguments are those of `KeypointAligner`.
    """

    name: ClassVar[str] = "orb"
    distance: ClassVar[int] = cv2.NORM_HAMMING

    def detect(self, grey: Grey) -> Keypoints:
        """See `KeypointAligner.detect`; descriptors `(K, 32)`, 256 bits each."""
        # The default threshold of FAST leaves hardly any corner in the dark.
        detector = cv2.ORB_create(  # type: ignore[attr-defined]
            nfeatures=self.features, scaleFactor=REDUCTION, fastThreshold=5
        )
        found, descriptors = found_keypoints(grey.levels, detector, np.zeros((0, 32), dtype=np.uint8))
        levels = np.array([keypoint.octave for keypoint in found], dtype=np.intp)
        return Keypoints(from_pyramid(places(found), levels, grey.sizes[0]), descriptors, grey.sizes)


def from_pyramid(points: NDArray[np.float32], levels: NDArray[np.intp], size: geometry.Size) -> NDArray[np.float32]:
    """ORB's corners at their places in the picture.

    Args:
        points: `(K, 2)`, what OpenCV tells: pixels of the level times its reduction.
        levels: `(K,)`, of the pyramid.
        size: of the picture.
    """
    moved = points.copy()
    for level in np.unique(levels):
        # In float32, as OpenCV does: the rounded size of a level may hang on it.
        reduction = np.float32(float(np.float32(REDUCTION)) ** int(level))
        inverse = np.float32(1) / reduction
        height, width = (round(float(np.float32(side) * inverse)) for side in size)
        scale = np.array([size[1] / width, size[0] / height])
        here = levels == level
        moved[here] = (points[here] / reduction + 0.5) * scale - 0.5
    return moved
