"""Descriptors of places of a picture: the features of a ResNet, as they are or after two convolutions of our own.

The features themselves, of ImageNet's weights, are those of arXiv 2310.11605 and of its model RANSAC-Flow (Shen et al.
2020). The convolutions are ours: they are trained on rendered sequences, so that no weights have to be fetched.
"""

from __future__ import annotations

import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import geometry
from ..crossscale.backbone import Backbone
from ..crossscale.config import CrossScaleConfig
from ..draws import Draws
from .config import DiarConfig

CORNER_SHIFT = 0.3
"""Share of a side by which training moves each corner of a frame at most, along x and along y."""
MOST_TURN = math.radians(30)
"""By which training turns a frame at most."""
SCALES = (0.7, 1.4)
"""Between which training scales it."""
LEAST_SEEN = 0.999
"""Coverage from which a place counts as seen."""


class Descriptors(nn.Module):
    """Unit vectors at stride 4, 8 or 16; the one at index (r, c) lies over pixel (x, y) = (stride c, stride r).

    Every strided layer of a ResNet is padded such that output i is centred on input 2 i. So this is where features lie,
    and not at the middles of equal cells, as RANSAC-Flow has it, which is off by up to half a stride.
    """

    def __init__(self, config: DiarConfig) -> None:
        super().__init__()
        # Without weights there are none that know ImageNet's mean, and each picture's own undoes its exposure.
        self._backbone_config = CrossScaleConfig(
            backbone=config.backbone,
            backbone_weights=config.backbone_weights,
            input_norm="picture" if config.backbone_weights is None else "imagenet",
        )
        self.stride = 2 ** (config.backbone_layers + 1)
        self.temperature = config.descriptor_temperature
        self.backbone = Backbone(self._backbone_config)
        channels = (self.backbone.quarter_channels, self.backbone.fine_channels, self.backbone.coarse_channels)
        for layer in range(config.backbone_layers + 1, 4):
            setattr(self.backbone, f"layer{layer}", nn.Identity())
        width = channels[config.backbone_layers - 1]
        self.head: nn.Module = nn.Identity()
        if config.descriptor:
            self.head = nn.Sequential(
                nn.Conv2d(width, config.descriptor, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(config.descriptor, config.descriptor, 1),
            )

    def load_weights(self, weights: str | None) -> None:
        """Take over weights of the backbone: 'imagenet', a file, or None for nothing.

        Raises:
            InputError: the file does not exist or holds no state dict of this ResNet.
        """
        self.backbone.load_weights(dataclasses.replace(self._backbone_config, backbone_weights=weights))

    def forward(self, pictures: Tensor) -> Tensor:
        """Descriptors of pictures.

        Args:
            pictures: `(B, 3, H, W)`, RGB in [0, 1].

        Returns:
            `(B, C, ceil(H / stride), ceil(W / stride))`, float32, of length 1.
        """
        # What is left out of the backbone passes its input on, so that its last map is the one wanted.
        features = self.head(self.backbone(pictures)[-1])
        return F.normalize(features.float(), dim=1)


def descriptor_loss(
    descriptors: Descriptors, frames: Tensor, homographies: Tensor, masks: Tensor | None, draws: Draws
) -> Tensor:
    """How badly descriptors tell where places of frame 0 lie in another frame of the sequence, and back.

    InfoNCE (van den Oord et al. 2018) over all places of the other frame; the true place lies between four of them,
    which share it as in bilinear sampling. Both frames are warped first by random homographies, because the frames of a
    sequence may lie on each other already.

    Args:
        descriptors: to be trained.
        frames: `(B, T, 3, S, S)` in [0, 1], T >= 2.
        homographies: `(B, T, 3, 3)`, frame 0 to frame k.
        masks: `(B, T, 1, S, S)`, 1 on occluders; None where unknown.
        draws: chooses the other frames and the homographies.

    Returns:
        Nats per place, mean of the samples, a scalar.
    """
    batch, count = frames.shape[:2]
    size: geometry.Size = (frames.shape[-2], frames.shape[-1])
    other = draws.integers(1, count)
    rows = torch.arange(batch, device=frames.device)
    chosen = (torch.zeros_like(other), other)
    pictures, seen, warps = [], [], []
    for index in chosen:
        warp = random_homographies(draws, size)
        occluded = frames.new_zeros(batch, 1, *size) if masks is None else masks[rows, index].to(frames)
        both = torch.cat([frames[rows, index], 1 - occluded], dim=1)
        picture, covered = geometry.warp_by_homography(both, warp, size)
        pictures.append(picture[:, :3])
        seen.append(((picture[:, 3:] >= LEAST_SEEN) & (covered >= LEAST_SEEN)).float())
        warps.append(warp)
    # From the warped frame 0 to frame 0, on to the other frame, and to that as it was warped.
    between = torch.linalg.solve(warps[1], homographies[rows, other].double() @ warps[0])
    features = descriptors(torch.cat(pictures)).split(batch)
    scores = features[0].flatten(2).transpose(1, 2) @ features[1].flatten(2) / descriptors.temperature
    stride, map_size = descriptors.stride, (features[0].shape[-2], features[0].shape[-1])
    places = stride * geometry.pixel_grid(map_size, device=frames.device)[None].double()
    losses = []
    for matrix, table, own, there in (
        (between, scores, seen[0], seen[1]),
        (torch.linalg.inv(between), scores.transpose(1, 2), seen[1], seen[0]),
    ):
        targets = geometry.transform_points(matrix, places)
        known = own[:, 0, ::stride, ::stride] * (geometry.sample(there, targets.float())[:, 0] >= LEAST_SEEN)
        losses.append(_cross_entropy(table, targets.float() / stride, known, map_size))
    return (losses[0] + losses[1]) / 2


def random_homographies(draws: Draws, size: geometry.Size) -> Tensor:
    """Homographies `(B, 3, 3)`, float64, pixels to pixels of one size: a turn, a scale and four moved corners."""
    corners = geometry.image_corners(size, device=draws.device)
    middle, span = corners.mean(0), corners[3]
    angle = (2 * draws.uniform(dtype=torch.float64) - 1) * MOST_TURN
    low, high = (math.log(scale) for scale in SCALES)
    scale = torch.exp(low + (high - low) * draws.uniform(dtype=torch.float64))
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    turn = torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], -2)
    # Two corners that come towards each other by half of this each leave the frame convex.
    shift = (2 * draws.uniform(4, 2, dtype=torch.float64) - 1) * span * CORNER_SHIFT
    moved = (corners + shift - middle) @ turn.transpose(1, 2) + middle
    return geometry.homography_from_points(corners.expand(len(moved), -1, -1), moved)


def _cross_entropy(scores: Tensor, targets: Tensor, known: Tensor, size: geometry.Size) -> Tensor:
    """Mean cross-entropy of the softmax of `scores (B, N, h w)` where `targets (B, h, w, 2)` lie among the places."""
    # The scores at a true place are those of the four places around it, shared out bilinearly.
    logits = scores.log_softmax(2).flatten(0, 1).unflatten(1, (1, *size))
    picked = geometry.sample(logits, targets.flatten(0, 2)[:, None, None])[:, 0, 0, 0]
    inside = (geometry.coverage(targets, size) >= LEAST_SEEN).float() * known
    picked = picked.unflatten(0, inside.shape)
    places = tuple(range(1, inside.dim()))
    return (-(picked * inside).sum(places) / inside.sum(places).clamp_min(1)).mean()
