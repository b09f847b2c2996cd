"""SIFT keypoints, ratio test and a homography by MAGSAC++."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import geometry
from .planar import PlanarAligner

LEAST_INLIERS = 8
"""Fewer inliers than this agree by chance: four of them always do."""


class Sift(PlanarAligner):
    """SIFT (Lowe 2004) with RootSIFT descriptors, Lowe's ratio test and USAC_MAGSAC (Barath et al. 2020).

    The confidence is `s^2 / (1 + s^2)` with `s = inliers / (8 + 0.3 matches)`: it is 0.5 where Brown and Lowe (2007,
    Eq. 13) accept a pair of pictures. Without a homography the answer is the identity with confidence 0. The same
    pictures give the same answer.

    Args:
        max_side: larger pictures are reduced to this length in pixels before keypoints are sought.
        features: keypoints per picture, the strongest first.
        ratio: largest ratio of the distances to the best and to the second match.
        threshold: reprojection error in pixels of the reduced pictures up to which a match can count as inlier.
        seed: of the random samples.
    """

    name: ClassVar[str] = "sift"

    def __init__(
        self, max_side: int = 1600, features: int = 4000, ratio: float = 0.8, threshold: float = 3.0, seed: int = 0
    ) -> None:
        self.max_side = max_side
        self.features = features
        self.ratio = ratio
        self.threshold = threshold
        self.seed = seed

    def estimate(self, reference: Tensor, source: Tensor) -> tuple[Tensor, float]:
        """See `PlanarAligner.estimate`."""
        nothing = torch.eye(3, dtype=torch.float64), 0.0
        reference_keypoints, reference_descriptors, reference_sizes = self._detect(reference)
        source_keypoints, source_descriptors, source_sizes = self._detect(source)
        if min(len(reference_keypoints), len(source_keypoints)) < LEAST_INLIERS:
            return nothing
        matches = cv2.BFMatcher(cv2.NORM_L2).knnMatch(reference_descriptors, source_descriptors, k=2)
        good = [pair[0] for pair in matches if pair[0].distance < self.ratio * pair[1].distance]
        if len(good) < LEAST_INLIERS:
            return nothing
        cv2.setRNGSeed(self.seed)
        matrix, inlier_mask = cv2.findHomography(
            reference_keypoints[[match.queryIdx for match in good]],
            source_keypoints[[match.trainIdx for match in good]],
            cv2.USAC_MAGSAC,
            self.threshold,
            maxIters=10_000,
            confidence=0.9999,
        )
        inliers = 0 if inlier_mask is None else int(inlier_mask.sum())
        # A camera does not turn a picture inside out: a negative determinant is a chance agreement.
        if matrix is None or inliers < LEAST_INLIERS or not np.isfinite(matrix).all() or np.linalg.det(matrix) <= 0:
            return nothing
        homography = geometry.rescale_homography(
            torch.from_numpy(matrix)[None], size_a=reference_sizes, size_b=source_sizes, rule="area"
        )[0]
        strength = inliers / (8 + 0.3 * len(good))
        return homography, strength**2 / (1 + strength**2)

    def _detect(
        self, picture: Tensor
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], tuple[geometry.Size, geometry.Size]]:
        """Keypoints `(K, 2)`, descriptors `(K, 128)`, and the sizes of the reduced picture and of the picture."""
        height, width = picture.shape[-2:]
        levels = (picture.permute(1, 2, 0).float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
        grey = cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY)
        factor = min(1.0, self.max_side / max(height, width))
        reduced: geometry.Size = (max(1, round(height * factor)), max(1, round(width * factor)))
        if factor < 1:
            grey = cv2.resize(grey, (reduced[1], reduced[0]), interpolation=cv2.INTER_AREA)
        # Without precise upscaling OpenCV's keypoints lie a fraction of a pixel off, differently at each scale.
        detector = cv2.SIFT_create(nfeatures=self.features, enable_precise_upscale=True)  # type: ignore[attr-defined]
        keypoints, descriptors = detector.detectAndCompute(grey, None)
        points = np.array([keypoint.pt for keypoint in keypoints], dtype=np.float32).reshape(-1, 2)
        if descriptors is None:
            descriptors = np.zeros((0, 128), dtype=np.float32)
        # RootSIFT (Arandjelovic and Zisserman 2012): the Hellinger kernel at no cost.
        descriptors = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-6))
        return points, descriptors, (reduced, (height, width))
