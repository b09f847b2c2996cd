"""ORB keypoints, ratio test and a homography by MAGSAC++."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np

from .keypoints import Grey, KeypointAligner, Keypoints, found_keypoints


class Orb(KeypointAligner):
    """ORB (Rublee et al. 2011): oriented FAST corners and binary descriptors, matched as `KeypointAligner` does.

    Descriptors are compared by their Hamming distance. The arguments are those of `KeypointAligner`.
    """

    name: ClassVar[str] = "orb"
    distance: ClassVar[int] = cv2.NORM_HAMMING

    def detect(self, grey: Grey) -> Keypoints:
        """See `KeypointAligner.detect`; descriptors `(K, 32)`, 256 bits each."""
        # The default threshold of FAST leaves hardly any corner in the dark.
        detector = cv2.ORB_create(nfeatures=self.features, fastThreshold=5)  # type: ignore[attr-defined]
        return found_keypoints(grey, detector, np.zeros((0, 32), dtype=np.uint8))
