"""SIFT, MAGSAC, warp and metrics of a folder of pairs, as a plain script with OpenCV does them."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from skimage.metrics import structural_similarity


def align(reference: np.ndarray, source: np.ndarray) -> np.ndarray:
    """The homography, reference to source, with the settings of raylign's `sift`."""
    detector = cv2.SIFT_create(nfeatures=4000, enable_precise_upscale=True)
    points, descriptors = [], []
    for picture in (reference, source):
        found, described = detector.detectAndCompute(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), None)
        points.append(np.array([keypoint.pt for keypoint in found], np.float32))
        descriptors.append(np.sqrt(described / np.maximum(described.sum(1, keepdims=True), 1e-6)))
    matches = cv2.BFMatcher(cv2.NORM_L2).knnMatch(*descriptors, k=2)
    good = [a for a, b in matches if a.distance < 0.8 * b.distance]
    return cv2.findHomography(
        points[0][[match.queryIdx for match in good]],
        points[1][[match.trainIdx for match in good]],
        cv2.USAC_MAGSAC,
        3.0,
        maxIters=10000,
        confidence=0.9999,
    )[0]


def main(folder: Path) -> None:
    """Print the mean of every metric."""
    cv2.setNumThreads(1)
    rows = []
    for path in sorted(folder.glob("*_ref.png")):
        reference, source = cv2.imread(str(path)), cv2.imread(str(path).replace("_ref", "_src"))
        true = np.loadtxt(str(path).replace("_ref.png", "_H.txt"))
        height, width = reference.shape[:2]
        found = align(reference, source)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = cv2.warpPerspective(source, found, (width, height), flags=flags)
        mask = cv2.warpPerspective(np.ones((height, width), np.uint8), found, (width, height), flags=flags)[..., None]
        a, b = reference * mask, warped * mask
        error = np.square(a.astype(np.float64) - b).sum()
        psnr = 10 * np.log10(255**2 / (error / a.size))
        inside = 10 * np.log10(255**2 / (error / (3 * mask.sum())))
        ssim = structural_similarity(a, b, channel_axis=2)
        corners = np.array([[[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]]], np.float64)
        moved = [cv2.perspectiveTransform(corners, matrix) for matrix in (found, true)]
        rows.append([psnr, inside, ssim, np.linalg.norm(moved[0] - moved[1], axis=-1).mean()])
    print(np.mean(rows, 0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
