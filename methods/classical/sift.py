"""SIFT keypoints, ratio test and a homography by MAGSAC++."""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from .keypoints import Grey, KeypointAligner, Keypoints, found_keypoints, places

NO_DESCRIPTORS: NDArray[np.float32] = np.zeros((0, 128), dtype=np.float32)


class Sift(KeypointAligner):
    """SIFT (Lowe 2004) with RootSIFT descriptors (Arandjelovic and Zisserman 2012), matched as `KeypointAligner` does.

    The arguments are those of `KeypointAligner`.
    """

    name: ClassVar[str] = "sift"

    def detect(self, grey: Grey) -> Keypoints:
        """See `KeypointAligner.detect`; descriptors `(K, 128)`."""
        found, descriptors = found_keypoints(grey.levels, sift_detector(self.features), NO_DESCRIPTORS)
        return Keypoints(places(found), root_sift(descriptors), grey.sizes)


def sift_detector(features: int) -> Any:
    """OpenCV's SIFT, for the strongest `features` keypoints."""
    # Without precise upscaling OpenCV's keypoints lie a fraction of a pixel off, differently at each scale.
    return cv2.SIFT_create(nfeatures=features, enable_precise_upscale=True)  # type: ignore[attr-defined]


def root_sift(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    """RootSIFT of SIFT descriptors `(K, 128)`: the Hellinger kernel at no cost."""
    return np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-6))
