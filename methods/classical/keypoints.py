"""What the baselines that match points share: keypoints, ratio test, and a homography by MAGSAC++."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import geometry
from .planar import PlanarAligner

LEAST_INLIERS = 8
"""Fewer inliers than this agree by chance: four of them always do."""


SMALLEST_SIDE = 4
"""Of pictures in which keypoints are sought: smaller ones have none, and OpenCV's detectors fail on single rows."""


@dataclass(frozen=True)
class Matches:
    """Points of a reference and of a source that look alike, and the homography on which most of them agree.

    Attributes:
        reference: `(K, 2)`, float64, pixels of the reference at its full size.
        source: `(K, 2)`, float64, pixels of the source at its full size.
        inliers: `(K,)`, bool, which of them agree with the homography; none without one.
        homography: `(3, 3)`, float64, reference to source, h33 = 1; None where the matches do not agree on one.
        confidence: in [0, 1]; `s^2 / (1 + s^2)` with `s = inliers / (8 + 0.3 K)`, which is 0.5 where Brown and Lowe
            (2007, Eq. 13) accept a pair of pictures; 0 without a homography.
    """

    reference: NDArray[np.float64]
    source: NDArray[np.float64]
    inliers: NDArray[np.bool_]
    homography: Tensor | None
    confidence: float


@dataclass(frozen=True)
class Grey:
    """A grey picture in which points are sought.

    Attributes:
        levels: `(h, w)`, uint8.
        sizes: the size of `levels`, and that of the picture it was made of by the resize rule "area".
    """

    levels: NDArray[np.uint8]
    sizes: tuple[geometry.Size, geometry.Size]


@dataclass(frozen=True)
class Keypoints:
    """Keypoints of one picture.

    Attributes:
        points: `(K, 2)`, float32, pixels of the grey picture.
        descriptors: `(K, D)`, float32, or uint8 for binary ones.
        sizes: as those of `Grey`.
    """

    points: NDArray[np.float32]
    descriptors: NDArray[Any]
    sizes: tuple[geometry.Size, geometry.Size]


class MatchingAligner(PlanarAligner):
    """A `PlanarAligner` whose homography comes from matches; without one, the identity with confidence 0."""

    @abstractmethod
    def matches(self, reference: Tensor, source: Tensor) -> Matches:
        """Every match that was found between two pictures, and the homography on which most of them agree.

        Args:
            reference: `(3, H, W)` in [0, 1].
            source: `(3, h, w)` in [0, 1].
        """

    def estimate(self, reference: Tensor, source: Tensor) -> tuple[Tensor, float]:
        """See `PlanarAligner.estimate`."""
        found = self.matches(reference, source)
        if found.homography is None:
            return torch.eye(3, dtype=torch.float64), 0.0
        return found.homography, found.confidence


class KeypointAligner(MatchingAligner):
    """Keypoints in both pictures, Lowe's ratio test (2004) and USAC_MAGSAC (Barath et al. 2020).

    The confidence is that of `Matches`. Without a homography the answer is the identity with confidence 0. The same
    pictures give the same answer.

    Args:
        max_side: larger pictures are reduced to this length in pixels before keypoints are sought.
        features: keypoints per picture, the strongest first.
        ratio: largest ratio of the distances to the best and to the second match.
        threshold: reprojection error in pixels of the reduced pictures up to which a match can count as inlier.
    """

    distance: ClassVar[int] = cv2.NORM_L2
    """The OpenCV norm that compares descriptors."""

    def __init__(self, max_side: int = 1600, features: int = 4000, ratio: float = 0.8, threshold: float = 3.0) -> None:
        self.max_side = max_side
        self.features = features
        self.ratio = ratio
        self.threshold = threshold

    @abstractmethod
    def detect(self, grey: Grey) -> Keypoints:
        """Keypoints and descriptors of a grey picture."""

    def matches(self, reference: Tensor, source: Tensor) -> Matches:
        """See `MatchingAligner.matches`: those that survive the ratio test."""
        a, b = (self.detect(grey_picture(picture, self.max_side)) for picture in (reference, source))
        pairs = self.pair(a, b) if min(len(a.points), len(b.points)) >= LEAST_INLIERS else np.zeros((0, 2), np.intp)
        return agree(a.points[pairs[:, 0]], b.points[pairs[:, 1]], a.sizes, b.sizes, self.threshold)

    def pair(self, a: Keypoints, b: Keypoints) -> NDArray[np.intp]:
        """Indices `(K, 2)` into the keypoints of a and b that match."""
        nearest = cv2.BFMatcher(self.distance).knnMatch(a.descriptors, b.descriptors, k=2)
        return np.array(
            [(best.queryIdx, best.trainIdx) for best, other in nearest if best.distance < self.ratio * other.distance],
            dtype=np.intp,
        ).reshape(-1, 2)


def grey_picture(picture: Tensor, max_side: int) -> Grey:
    """The grey levels of a picture `(3, H, W)` in [0, 1], reduced so that no side is longer than `max_side` pixels."""
    height, width = picture.shape[-2:]
    levels = (picture.permute(1, 2, 0).float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    grey = cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY)
    factor = min(1.0, max_side / max(height, width))
    reduced: geometry.Size = (max(1, round(height * factor)), max(1, round(width * factor)))
    if factor < 1:
        grey = cv2.resize(grey, (reduced[1], reduced[0]), interpolation=cv2.INTER_AREA)
    return Grey(grey, (reduced, (height, width)))


def found_keypoints(
    levels: NDArray[np.uint8], detector: Any, none_found: NDArray[Any], mask: NDArray[np.uint8] | None = None
) -> tuple[Sequence[cv2.KeyPoint], NDArray[Any]]:
    """What an OpenCV detector finds, and its descriptors `(K, D)`.

    Args:
        levels: `(h, w)`, a grey picture.
        detector: with OpenCV's `detectAndCompute`.
        none_found: `(0, D)`, the descriptors where it finds nothing.
        mask: `(h, w)`, nonzero where it may find something; None for everywhere.
    """
    if min(levels.shape) < SMALLEST_SIDE:
        return (), none_found
    keypoints, descriptors = detector.detectAndCompute(levels, mask)
    return keypoints, none_found if descriptors is None else descriptors


def places(keypoints: Sequence[cv2.KeyPoint]) -> NDArray[np.float32]:
    """Where OpenCV says that keypoints lie, `(K, 2)`."""
    return np.array([keypoint.pt for keypoint in keypoints], dtype=np.float32).reshape(-1, 2)


def agree(
    reference: NDArray[np.float32],
    source: NDArray[np.float32],
    reference_sizes: tuple[geometry.Size, geometry.Size],
    source_sizes: tuple[geometry.Size, geometry.Size],
    threshold: float,
) -> Matches:
    """Find the homography on which most matches agree, by USAC_MAGSAC, and bring all to full size.

    Args:
        reference: `(K, 2)`, pixels of the reduced reference.
        source: `(K, 2)`, pixels of the reduced source.
        reference_sizes: of the reduced reference and at full size; reduced by the rule "area".
        source_sizes: those of the source.
        threshold: reprojection error in pixels of the reduced pictures up to which a match can count as inlier.
    """
    full = [
        geometry.transform_points(
            geometry.resize_transform(*sizes, "area")[None], torch.from_numpy(points).double()[None]
        )[0].numpy()
        for points, sizes in ((reference, reference_sizes), (source, source_sizes))
    ]
    nothing = Matches(full[0], full[1], np.zeros(len(reference), dtype=np.bool_), None, 0.0)
    if len(reference) < LEAST_INLIERS:
        return nothing
    # USAC draws its samples from a generator of its own, which starts alike in each call.
    matrix, mask = cv2.findHomography(reference, source, cv2.USAC_MAGSAC, threshold, maxIters=10_000, confidence=0.9999)
    inliers = 0 if mask is None else int(mask.sum())
    # A camera does not turn a picture inside out: a negative determinant is a chance agreement.
    if matrix is None or inliers < LEAST_INLIERS or not np.isfinite(matrix).all() or np.linalg.det(matrix) <= 0:
        return nothing
    homography = geometry.rescale_homography(
        torch.from_numpy(matrix)[None], size_a=reference_sizes, size_b=source_sizes, rule="area"
    )[0]
    strength = inliers / (8 + 0.3 * len(reference))
    return Matches(full[0], full[1], mask[:, 0].astype(np.bool_), homography, strength**2 / (1 + strength**2))
