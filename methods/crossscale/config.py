"""Hyperparameters of the cross-scale method. Field docstrings are the help texts of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import InputError

FINE_STRIDE = 8
"""Pixels from one fine feature to the next."""
COARSE_STRIDE = 16
"""The same for coarse features."""


@dataclass(frozen=True)
class CrossScaleConfig:
    """The defaults are the paper's configuration; `linear`, `branch` and `trunk` are layout F, see `fsc.Regression`."""

    backbone: Literal["resnet18", "resnet34", "resnet50"] = "resnet50"
    """Feature extractor, shared by both images: fine features from its layer2, coarse ones from its layer3."""
    backbone_weights: str | None = None
    """Start of the backbone: None (random), 'imagenet' (downloads torchvision's weights) or the path of a .safetensors
    or .pth state dict of the same ResNet, or of a cross-scale network that has it (model.safetensors of a checkpoint).
    Not read again when a checkpoint is loaded."""
    freeze_backbone: bool = False
    """Train the heads alone, on the features of the given backbone weights. Our option, for short trainings: a step
    then costs a fraction."""
    norm: Literal["auto", "batch", "frozen"] = "auto"
    """BatchNorm of the backbone: 'batch' trains it and its statistics, 'frozen' keeps the given statistics, which
    small batches would spoil; 'auto' is 'frozen' with backbone weights or a frozen backbone and 'batch' without, where
    there are no statistics worth keeping."""
    input_norm: Literal["imagenet", "picture"] = "imagenet"
    """What the backbone's input is normalised by: 'imagenet' by the mean and deviation that pretrained weights know,
    'picture' by those of each picture and channel. Our option, for training from scratch: features of an untrained
    backbone then match across changes of exposure and colour."""
    levels: int = 2
    """N: how often the fine features are halved; N^2 + N cross-scale correlations are made (0 to 3)."""
    mesh: tuple[int, int] = (13, 13)
    """Rows and columns of mesh vertices."""
    working_size: int = 512
    """Side in pixels of the square that the network sees; a multiple of 16, 96 to 1024."""
    branch: tuple[int, int, int, int] = (32, 64, 128, 256)
    """Channels of each correlation branch: after its first convolution, then after each of its three stages."""
    trunk: int = 512
    """Channels of the convolutions on both branches together."""
    linear: tuple[int, int] = (2048, 1024)
    """Widths of the two hidden linear layers of each regression head."""
    smallest_map: int = 1
    """A max-pool is left out where it would make a side of the map shorter than this. 1 is the paper's layout; at small
    working sizes 2 to 4 keeps the final maps as large as the paper's are at 512."""
    correlation: Literal["fsc", "cl", "ccl", "cv"] = "fsc"
    """How two feature maps are compared: 'fsc' is the paper's fully spatial correlation; its Table 1 compares it with
    'cl' (correlations seen from the reference only), 'ccl' (contextual correlation) and 'cv' (cost volume)."""
    comparison_channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    """Channels of the convolutions of 'cl', 'ccl' and 'cv', where `branch` and `trunk` do not apply."""
    comparison_linear: tuple[int, int] = (4096, 2048)
    """Widths of their two hidden linear layers (the second is half as wide in the global stage)."""
    explicit_correlation: bool = False
    """Compute all correlations before their first convolution, as the paper does. The same result, up to rounding,
    comes at a fraction of the cost from convolving the features first; this is for counting the paper's operations."""
    relative_correlation: bool = False
    """Count the channels of a position's correlations from that position (around the rim) instead of from the other
    picture's corner; the values are the same. Our option for 'fsc' and 'cl', for training from scratch: a convolution
    then reads a motion alike everywhere, where the paper's channels have to be learned for each position apart."""
    centred_correlation: bool = False
    """Subtract each picture's mean feature before the correlation. Our option, for training from scratch: features
    after a ReLU all point the same way, which hides the matches."""
    correlation_temperature: float = 0.0
    """Softmax of the correlations over the other picture's positions, at this temperature; 0 is the paper, which takes
    them as they are. Our option, for training from scratch: at 0.05 the best match stands out from the first step on,
    and some thousand pairs teach what otherwise takes many times as many."""
    head_norm: Literal["none", "batch"] = "none"
    """BatchNorm after each convolution of the correlation branches and trunks. The paper names none; our option, for
    training from scratch: what differs between two pairs is a small part of a correlation, and drowns without it."""
    head: Literal["regression", "matching"] = "regression"
    """What reads the correlations: 'regression' is the paper's convolutions and linear layers; 'matching' takes the
    best matches, a robust homography from them, and a smooth mesh through what they say off it, at strides 8 and 4. Our
    option: it learns features alone, from pairs with known homographies, and needs far fewer of them."""
    matching_channels: tuple[int, int] = (64, 128)
    """Channels of the features that are matched, at strides 4 and 8 (head 'matching')."""
    matching_temperature: float = 0.05
    """Temperature of the softmax over cosines (head 'matching')."""
    content_weight: float = 1.0
    """Weight of the content loss."""
    homography_content_weight: float = 3.0
    """Weight of the two homography terms inside the content loss, against 1 for the mesh term."""
    shape_weight: float = 10.0
    """alpha: weight of the shape-preserving loss."""
    jnd_weight: float = 1.0
    """beta: weight of the just-noticeable-difference loss."""
    edge_protection: bool = False
    """Edge protection in the thresholds of the just-noticeable-difference loss (Canny on the CPU at every step)."""
    supervision: float = 0.0
    """Weight of the corner loss, for data with known homographies: L1 distance of the four corners and of the mesh
    vertices in units of 1/16 of the working size. 0 is the paper, which has no ground truth."""
    guided: float | None = None
    """Where the local stage goes on from in training, for data with known homographies: None is the paper, from what
    the global stage says; a number, from the known homography with its corners moved by normal noise of so many
    thousandths of the working size. Our option, for short trainings: a local stage behind a global one that has learned
    nothing yet sees no two features that belong together."""

    def __post_init__(self) -> None:
        # JSON and YAML have no tuples.
        for name in ("mesh", "branch", "linear", "comparison_channels", "comparison_linear", "matching_channels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.working_size % COARSE_STRIDE or not 96 <= self.working_size <= 1024:
            raise InputError(f"working_size must be a multiple of 16 from 96 to 1024, not {self.working_size}")
        if self.head == "matching" and self.working_size % 64:
            raise InputError(f"working_size must be a multiple of 64 with the head 'matching', not {self.working_size}")
        if not 0 <= self.levels <= 3:
            raise InputError(f"levels must be 0 to 3, not {self.levels}")
        if len(self.mesh) != 2 or min(self.mesh) < 3:
            raise InputError(f"mesh must have at least 3 rows and 3 columns of vertices, not {self.mesh}")
        if self.correlation not in ("fsc", "cl", "ccl", "cv"):
            raise InputError(f"correlation must be fsc, cl, ccl or cv, not '{self.correlation}'")
        if self.correlation_temperature < 0:
            raise InputError(f"correlation_temperature must not be negative, not {self.correlation_temperature}")
        if self.guided is not None and self.guided < 0:
            raise InputError(f"guided must not be negative, not {self.guided}")
        if self.guided is not None and not self.supervision:
            raise InputError("guided needs the known homographies; set supervision to more than 0 as well")
        if self.freeze_backbone and self.head == "matching":
            raise InputError("freeze_backbone leaves the head 'matching' next to nothing; set head to 'regression'")
        if self.freeze_backbone and self.norm == "batch":
            raise InputError("norm batch would change what freeze_backbone keeps; leave norm at auto")
        if self.smallest_map < 1:
            raise InputError(f"smallest_map must be at least 1, not {self.smallest_map}")

    @property
    def frozen_norm(self) -> bool:
        """Whether the backbone's BatchNorm keeps its statistics and its affine part."""
        given = self.freeze_backbone or self.backbone_weights is not None
        return self.norm == "frozen" or (self.norm == "auto" and given)


@dataclass(frozen=True)
class CrossScaleInference:
    """What can be chosen anew at each alignment."""

    start: Literal["auto", "network", "classical"] = "auto"
    """Homography that the mesh starts from: the network's, SIFT's, or ('auto') SIFT's where the network is unsure of
    its own and SIFT's brings the pictures closer together."""
    adapt: int = 80
    """Most steps of the adaptation to the pair at hand; 0 turns it off."""

    def __post_init__(self) -> None:
        if self.start not in ("auto", "network", "classical"):
            raise InputError(f"start must be auto, network or classical, not '{self.start}'")
        if not 0 <= self.adapt <= 1000:
            raise InputError(f"adapt must be 0 to 1000, not {self.adapt}")
