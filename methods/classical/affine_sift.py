"""SIFT under simulated tilts, ratio test and a homography by MAGSAC++."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from .keypoints import Grey, KeypointAligner, Keypoints, found_keypoints
from .sift import root_sift, sift_detector

CELL = 2.0
"""Side in pixels of the cells in which matches count as the same."""


class AffineSift(KeypointAligner):
    """ASIFT (Morel and Yu 2009): SIFT on views of both pictures under simulated turns and tilts of the camera.

    The views are those of `cv2.AffineFeature`: tilts `1, sqrt 2, ..., 4 sqrt 2`, at steps of 72 degrees divided by the
    tilt. The keypoints of all views, with RootSIFT descriptors, are matched as `KeypointAligner` does. A place that is
    found in several views gives one match only, as in the paper: copies of a chance match would agree.

    Args:
        max_side: larger pictures are reduced to this length in pixels before keypoints are sought.
        features: keypoints per view, the strongest first; matching takes the time of the square of all of them.
        ratio: largest ratio of the distances to the best and to the second match.
        threshold: reprojection error in pixels of the reduced pictures up to which a match can count as inlier.
        seed: of the random samples.
    """

    name: ClassVar[str] = "affine-sift"

    def __init__(
        self, max_side: int = 800, features: int = 400, ratio: float = 0.8, threshold: float = 3.0, seed: int = 0
    ) -> None:
        super().__init__(max_side, features, ratio, threshold, seed)

    def detect(self, grey: Grey) -> Keypoints:
        """See `KeypointAligner.detect`; descriptors `(K, 128)`."""
        detector = cv2.AffineFeature_create(sift_detector(self.features))  # type: ignore[attr-defined]
        found = found_keypoints(grey, detector, np.zeros((0, 128), dtype=np.float32))
        return replace(found, descriptors=root_sift(found.descriptors))

    def pair(self, a: Keypoints, b: Keypoints) -> NDArray[np.intp]:
        """See `KeypointAligner.pair`; each pair of places once."""
        pairs = super().pair(a, b)
        places = np.concatenate([a.points[pairs[:, 0]], b.points[pairs[:, 1]]], axis=1)
        _, first = np.unique(np.floor(places / CELL), axis=0, return_index=True)
        return pairs[np.sort(first)]
