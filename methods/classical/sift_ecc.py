"""A SIFT homography, refined by the maximal correlation of the grey levels (ECC)."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import geometry
from .keypoints import grey_picture
from .planar import PlanarAligner
from .sift import Sift

LEAST_OVERLAP = 100
"""A correlation over fewer pixels says nothing about eight parameters."""


class SiftEcc(PlanarAligner):
    """`Sift`, refined by the enhanced correlation coefficient (ECC, Evangelidis and Psarakis 2008).

    ECC uses every pixel that both pictures show, and is blind to gain and offset of the light. The result of SIFT
    stands where it has confidence 0, where ECC does not converge, and where the correlation over the pixels that both
    results cover does not grow. The confidence is that of SIFT. The same pictures give the same answer.

    Args:
        max_side: larger pictures are reduced to this length in pixels.
        blur: side in pixels, odd, of the Gaussian that smooths both reduced pictures.
        iterations: most steps of ECC.
        epsilon: gain of the correlation in one step at which ECC stops.
    """

    name: ClassVar[str] = "sift-ecc"

    def __init__(self, max_side: int = 1600, blur: int = 5, iterations: int = 100, epsilon: float = 1e-6) -> None:
        self.sift = Sift(max_side)
        self.max_side = max_side
        self.blur = blur
        self.iterations = iterations
        self.epsilon = epsilon

    def estimate(self, reference: Tensor, source: Tensor) -> tuple[Tensor, float]:
        """See `PlanarAligner.estimate`."""
        found, confidence = self.sift.estimate(reference, source)
        if confidence == 0:
            return found, confidence
        a, b = grey_picture(reference, self.max_side), grey_picture(source, self.max_side)
        start = geometry.rescale_homography(found[None], size_a=a.sizes[::-1], size_b=b.sizes[::-1], rule="area")
        refined = self._refine(self._smooth(a.levels), self._smooth(b.levels), start[0].numpy())
        if refined is None:
            return found, confidence
        homography = geometry.rescale_homography(
            torch.from_numpy(refined)[None], size_a=a.sizes, size_b=b.sizes, rule="area"
        )
        return homography[0], confidence

    def _smooth(self, levels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return cv2.GaussianBlur(levels.astype(np.float32), (self.blur, self.blur), 0)

    def _refine(
        self, reference: NDArray[np.float32], source: NDArray[np.float32], start: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        """The homography of ECC, or None where it is no better than `start`.

        Args:
            reference: `(h, w)`, ECC's template.
            source: `(h, w)`, ECC's input: its warp leads from the template into the input, as ours from the reference
                into the source, with pixel centres at integers.
            start: `(3, 3)`, reference to source.
        """
        # At its rim the blurred source holds made-up levels, and its bilinear samples mix in the darkness outside.
        rim = self.blur // 2 + 1
        mask = np.zeros(source.shape, dtype=np.uint8)
        mask[rim:-rim, rim:-rim] = 255
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, self.iterations, self.epsilon)
        try:
            _, warp = cv2.findTransformECC(
                reference, source, start.astype(np.float32), cv2.MOTION_HOMOGRAPHY, criteria, mask, 1
            )
        except cv2.error as error:
            if error.code != cv2.Error.StsNoConv:
                raise
            return None
        refined = warp.astype(np.float64)
        if not np.isfinite(refined).all() or np.linalg.det(refined) <= 0:
            return None
        before, after = (_seen(source, mask, each, reference.shape) for each in (start, refined))
        both = before[1] & after[1]
        if both.sum() < LEAST_OVERLAP:
            return None
        correlations = [np.corrcoef(reference[both], levels[both])[0, 1] for levels, _ in (before, after)]
        return refined if correlations[1] > correlations[0] else None


def _seen(
    source: NDArray[np.float32], mask: NDArray[np.uint8], homography: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The source in a reference frame of `shape (h, w)`, and where it is valid."""
    frame = (shape[1], shape[0])
    levels = cv2.warpPerspective(source, homography, frame, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    valid = cv2.warpPerspective(mask, homography, frame, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    return levels, valid > 0
