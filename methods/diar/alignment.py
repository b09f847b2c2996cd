"""Where each of a set of frames lies: matches, all homographies together, and the last parts of a pixel."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import geometry
from ..classical.keypoints import Keypoints, Matches, agree
from .bundle import PairMatches, adjust
from .config import DiarInference
from .descriptors import Descriptors
from .keypoints import PLAIN, TILTED, even_grey, match_keypoints
from .matching import Places, describe, mutual_matches, resized
from .refinement import correlation, dominant, refine_homography

LEAST_CONFIDENCE = 0.3
"""Of a pair of frames that is believed; unrelated pictures stay below it."""
SURE = 0.6
"""Confidence of matches of keypoints from which the pictures are not asked."""
MIDDLE, SLOPE = 0.33, 30.0
"""Of the logistic function that makes a confidence of the correlation of two pictures. Set by hand on 36 warped frames
of rendered sequences: refined homographies that were right mostly had 0.41 and more, random ones 0.18 at most, and one
wrong frame of those found was still believed."""
KEYPOINT_SCALE = 1.0
"""Error of a match of keypoints in pixels that halves its weight."""
ALL_PAIRS = 12
"""Frames up to which all pairs are matched."""
NEIGHBOURS = (1, 2, 4)
"""With more frames, each is matched with the reference and with those so many shots away."""
MOST_MATCHES = 300
"""Matches of a pair that the joint refinement takes."""


@dataclass(frozen=True)
class FoundFrames:
    """Where frames lie.

    Attributes:
        homographies: `(N, 3, 3)`, float64, pixels of the reference to pixels of source k, h33 = 1; the identity where
            nothing was found.
        confidences: `(N,)`, float32 in [0, 1]: that of the weakest pair on the way from the reference to the source, by
            its matches (`classical.keypoints.Matches`) or by how well the pictures correlate; 0 where nothing was
            found.
        found: `(N,)`, bool.
    """

    homographies: Tensor
    confidences: Tensor
    found: Tensor


@torch.inference_mode()
def align_frames(
    descriptors: Descriptors, reference: Tensor, sources: Sequence[Tensor], inference: DiarInference
) -> FoundFrames:
    """Find the homography of each source.

    Each source is matched with the reference: by keypoints, where these fail by descriptors, then by keypoints under
    simulated tilts, and last it is tried whether it lies on the reference already; without `inference.keypoints` by
    descriptors alone, as in the paper, and then the last. With `inference.bundle`, sources are matched with each other
    too; one that does not match the reference is found through others, and all homographies are refined together. With
    `inference.refine`, each is refined on the pictures.

    Args:
        descriptors: in evaluation mode.
        reference: `(3, H, W)`, RGB in [0, 1].
        sources: `(3, h, w)` each, RGB in [0, 1], of any sizes.
        inference: sizes and steps.
    """
    frames = [_Frame(descriptors, picture, inference) for picture in (reference, *sources)]
    pairs = {(0, k): _match_reference(frames[0], frames[k]) for k in range(1, len(frames))}
    if inference.bundle:
        pairs |= {(i, j): _match(frames[i], frames[j]) for i, j in _further_pairs(len(frames))}
    believed = {key: pair for key, pair in pairs.items() if pair.confidence >= LEAST_CONFIDENCE}
    homographies, confidences = _chained(believed, len(frames))
    if inference.bundle:
        matches = [pair.for_bundle(*key) for key, pair in believed.items() if min(confidences[k] for k in key) > 0]
        homographies = adjust(homographies, matches, [frame.size for frame in frames])
    found = torch.tensor(confidences) > 0
    full = []
    for frame, homography, located in zip(frames[1:], homographies[1:], found[1:], strict=True):
        if located and inference.refine:
            start = homography.to(reference.device)
            homography = refine_homography(frames[0].picture, frame.picture, start).cpu()
        sizes = [(each.size, each.full_size) for each in (frames[0], frame)]
        rescaled = geometry.rescale_homography(homography[None], size_a=sizes[0], size_b=sizes[1], rule="area")[0]
        full.append(rescaled if located else torch.eye(3, dtype=torch.float64))
    return FoundFrames(
        homographies=torch.stack(full).to(reference.device),
        confidences=torch.tensor(confidences[1:], device=reference.device),
        found=found[1:].to(reference.device),
    )


@dataclass(frozen=True)
class _Pair:
    """What is known of two frames, in pixels of their reduced pictures.

    Attributes:
        matches: of the two.
        homography: `(3, 3)`, float64, first to second; the identity with confidence 0.
        confidence: in [0, 1].
        scale: error of a match in pixels that halves its weight.
    """

    matches: Matches
    homography: Tensor
    confidence: float
    scale: float

    def for_bundle(self, first: int, second: int) -> PairMatches:
        chosen = np.flatnonzero(self.matches.inliers)
        chosen = chosen[np.linspace(0, len(chosen) - 1, min(len(chosen), MOST_MATCHES)).astype(np.intp)]
        points = [torch.from_numpy(each[chosen]) for each in (self.matches.reference, self.matches.source)]
        scale = torch.full((len(chosen),), self.scale, dtype=torch.float64)
        return PairMatches(first, second, points[0], points[1], scale)


class _Frame:
    """A picture at the size at which it is matched, and what was found in it so far."""

    def __init__(self, descriptors: Descriptors, picture: Tensor, inference: DiarInference) -> None:
        self.full_size: geometry.Size = (picture.shape[-2], picture.shape[-1])
        self.picture = reduced(picture, inference.side)
        self.size: geometry.Size = (self.picture.shape[-2], self.picture.shape[-1])
        self.descriptors = descriptors
        self.scales = inference.scales
        self.uses_keypoints = inference.keypoints
        self._keypoints: dict[bool, Keypoints] = {}
        self._places: Places | None = None

    def keypoints(self, *, tilted: bool) -> Keypoints:
        if tilted not in self._keypoints:
            finder = TILTED if tilted else PLAIN
            self._keypoints[tilted] = finder.detect(even_grey(self.picture))
        return self._keypoints[tilted]

    def places(self) -> Places:
        """At one size."""
        if self._places is None:
            self._places = describe(self.descriptors, self.picture)
        return self._places


def reduced(picture: Tensor, side: int) -> Tensor:
    """A picture `(3, H, W)`, reduced by the rule "area" where its longer side is longer than `side` pixels."""
    height, width = picture.shape[-2:]
    factor = min(1.0, side / max(height, width))
    return resized(picture, (max(1, round(height * factor)), max(1, round(width * factor))))


def _match_reference(reference: _Frame, source: _Frame) -> _Pair:
    """What the first way to match a source that is believed finds; nothing where none is."""
    for matches, scale in _ways(reference, source):
        pair = _judged(reference, source, matches, scale)
        if pair.confidence >= LEAST_CONFIDENCE:
            return pair
    return pair


def _ways(reference: _Frame, source: _Frame) -> Iterator[tuple[Matches, float]]:
    if reference.uses_keypoints:
        yield _by_keypoints(reference, source, tilted=False)
    yield _by_descriptors(reference, source, describe(source.descriptors, source.picture, source.scales))
    if reference.uses_keypoints:
        yield _by_keypoints(reference, source, tilted=True)
    # Shots of a camera that stood still lie on each other, whatever hides the points that could match.
    same = geometry.resize_transform(reference.size, source.size, "area")
    yield Matches(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0, np.bool_), same, 0.0), 1.0


def _match(a: _Frame, b: _Frame) -> _Pair:
    """Two sources."""
    return _judged(
        a, b, *(_by_keypoints(a, b, tilted=False) if a.uses_keypoints else _by_descriptors(a, b, b.places()))
    )


def _judged(a: _Frame, b: _Frame, matches: Matches, scale: float) -> _Pair:
    """Matches, and whether to believe them: many that agree, or else pictures that correlate under what they say.

    Descriptors of neighbouring places are alike, so that many of them agree by chance; so only keypoints can speak for
    themselves.
    """
    if matches.homography is None:
        return _Pair(matches, torch.eye(3, dtype=torch.float64), 0.0, scale)
    if scale == KEYPOINT_SCALE and matches.confidence >= SURE:
        return _Pair(matches, matches.homography, matches.confidence, scale)
    start = matches.homography.to(a.picture.device)
    refined = refine_homography(a.picture, b.picture, start)
    logit = SLOPE * (correlation(a.picture, b.picture, refined) - MIDDLE)
    return _Pair(matches, refined.cpu(), 1 / (1 + math.exp(-logit)), scale)


def _by_keypoints(a: _Frame, b: _Frame, *, tilted: bool) -> tuple[Matches, float]:
    """Matches, and the error in pixels that halves the weight of one."""
    finder = TILTED if tilted else PLAIN
    planes = match_keypoints(finder, a.keypoints(tilted=tilted), b.keypoints(tilted=tilted))
    homographies = [plane.homography for plane in planes if plane.homography is not None]
    if len(homographies) < 2:
        return planes[0], KEYPOINT_SCALE
    chosen = dominant(a.picture, b.picture, torch.stack(homographies).to(a.picture.device))
    return planes[chosen], KEYPOINT_SCALE


def _by_descriptors(a: _Frame, b: _Frame, places: Places) -> tuple[Matches, float]:
    """Likewise, with any `places` of b."""
    stride = a.descriptors.stride
    points = [each.float().cpu().numpy() for each in mutual_matches(a.places(), places)]
    found = agree(points[0], points[1], (a.size, a.size), (b.size, b.size), 0.75 * stride)
    # Of an error even from minus to plus half a stride.
    return found, stride / 12**0.5


def _further_pairs(count: int) -> list[tuple[int, int]]:
    """Pairs of sources that are matched."""
    if count <= ALL_PAIRS:
        return [(i, j) for i in range(1, count) for j in range(i + 1, count)]
    return [(i, i + step) for i in range(1, count) for step in NEIGHBOURS if i + step < count]


def _chained(pairs: dict[tuple[int, int], _Pair], count: int) -> tuple[Tensor, list[float]]:
    """Homographies `(F, 3, 3)` and confidences by the ways from frame 0 whose weakest pair is strongest (Prim).

    A frame that no way leads to has the identity and confidence 0.
    """
    steps: dict[int, list[tuple[int, Tensor, float]]] = {k: [] for k in range(count)}
    for (i, j), pair in pairs.items():
        steps[i].append((j, pair.homography, pair.confidence))
        steps[j].append((i, torch.linalg.inv(pair.homography), pair.confidence))
    homographies = torch.eye(3, dtype=torch.float64).repeat(count, 1, 1)
    confidences = [1.0] + [0.0] * (count - 1)
    reached = [0]
    while True:
        open_steps = [
            (min(confidences[i], confidence), i, j, step)
            for i in reached
            for j, step, confidence in steps[i]
            if j not in reached
        ]
        if not open_steps:
            return homographies, confidences
        # Of equal ways the one from the earliest frame: errors add up along a way.
        confidence, i, j, step = max(open_steps, key=lambda each: (each[0], -reached.index(each[1])))
        chained = step @ homographies[i]
        homographies[j], confidences[j] = chained / chained[2, 2], confidence
        reached.append(j)
