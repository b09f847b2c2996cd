"""Hyperparameters of DIAR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import InputError

STRIDE = 4
"""Pixels from one of the encoder's features to the next."""


@dataclass(frozen=True)
class DiarConfig:
    """Hyperparameters of the restoration (arXiv 2310.11605, part B) and of the descriptors that align (part A).

    The paper gives neither layers nor widths; these are ours. Its three models are `temporal_window` 1, 2 and 3.
    """

    aggregation: Literal["softmax", "average", "deepsets"] = "softmax"
    """How the features of all frames become one: 'softmax' weighs the encoder's by a softmax over the frames of what
    the Swin blocks say (the paper's best), 'average' is the mean of the Swin blocks' output, 'deepsets' that of the
    encoder's, without Swin blocks."""
    temporal_window: int = 1
    """P: frames in an attention window, 1 to 3. With 1 the order of the frames does not matter."""
    window: int = 8
    """Side of an attention window, in features."""
    blocks: int = 4
    """Swin blocks; every second one has shifted windows."""
    heads: int = 4
    """Attention heads of each."""
    mlp_ratio: float = 4.0
    """Width of their hidden layer, in widths of the features."""
    width: int = 64
    """Channels at full resolution; features at half and quarter resolution have twice as many."""
    masked: bool = True
    """Leave out features that a frame does not cover. False is the paper, where they are taken as black."""
    skip: Literal["none", "picture"] = "none"
    """'picture' adds the frames themselves, weighed as their features are, to what the decoder draws, which then only
    has to correct them. 'none' is the paper, whose decoder draws everything from features at quarter resolution."""
    descriptor_share: float = 0.25
    """Share of the epochs that trains the descriptors; the others train the restoration. Without meaning where
    `descriptors` are given."""
    jitter: float = 0.0
    """Standard deviation in pixels by which training moves the corners of each frame off their known places, so that
    the restoration gets used to frames that do not lie on each other exactly."""
    working_size: int = 128
    """Side in pixels of the squares that training sees; a multiple of 32."""
    descriptors: str | None = None
    """Checkpoint of this method whose descriptors are taken over, and not trained: restorations can be compared on
    frames that are aligned alike. Not read again when a checkpoint is loaded."""
    backbone: Literal["resnet18", "resnet34", "resnet50"] = "resnet18"
    """ResNet of the descriptors; the paper's is resnet50."""
    backbone_weights: str | None = None
    """Start of the backbone: None (random), 'imagenet' (downloads torchvision's weights) or the path of a state dict of
    the same ResNet. Not read again when a checkpoint is loaded."""
    backbone_layers: int = 2
    """The layer of the backbone that is matched, 1 to 3: strides 4, 8 and 16. The paper's is 3."""
    descriptor: int = 128
    """Channels of a convolution that makes descriptors of the backbone's features; 0 matches the features themselves,
    as the paper does with ImageNet's."""
    descriptor_temperature: float = 0.05
    """Temperature of the softmax over cosines by which the descriptors are trained."""

    def __post_init__(self) -> None:
        if self.aggregation not in ("softmax", "average", "deepsets"):
            raise InputError(f"aggregation must be softmax, average or deepsets, not '{self.aggregation}'")
        for name, low, high in (
            ("temporal_window", 1, 3),
            ("window", 1, 64),
            ("width", 1, 512),
            ("blocks", 1, 12),
            ("backbone_layers", 1, 3),
        ):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} must be {low} to {high}, not {getattr(self, name)}")
        if not 0 <= self.descriptor_share <= 1:
            raise InputError(f"descriptor_share must lie between 0 and 1, not {self.descriptor_share}")
        if self.jitter < 0:
            raise InputError(f"jitter must not be negative, not {self.jitter}")
        if self.working_size % 32 or not 32 <= self.working_size <= 1024:
            raise InputError(f"working_size must be a multiple of 32 from 32 to 1024, not {self.working_size}")
        if 2 * self.width % self.heads:
            raise InputError(f"heads must divide {2 * self.width}, twice the width, and {self.heads} does not")


@dataclass(frozen=True)
class DiarInference:
    """What can be chosen anew at each alignment."""

    align: bool = True
    """Estimate homographies; off for shots that lie on each other already."""
    keypoints: bool = True
    """Match keypoints, of pictures without their light, before descriptors; off is the paper."""
    bundle: bool = True
    """Refine all homographies together, from the matches of all pairs of frames."""
    refine: bool = True
    """Refine each homography on the pictures themselves, to parts of a pixel."""
    side: int = 1024
    """Longer side in pixels of the pictures that are matched and refined; larger ones are reduced to it."""
    scales: int = 7
    """Sizes at which each source is compared with the reference, from 2 to 1/2 of its own."""
    tile: int = 512
    """Side in pixels of the tiles in which large pictures are restored; a multiple of 32."""

    def __post_init__(self) -> None:
        for name, low, high in (("side", 64, 4096), ("scales", 1, 15), ("tile", 128, 8192)):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} must be {low} to {high}, not {getattr(self, name)}")
        if self.tile % 32:
            raise InputError(f"tile must be a multiple of 32, not {self.tile}")
