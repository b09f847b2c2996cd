"""Hyperparameters of Active Diffusion Matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import InputError

VESSELS, EARLY, LATE, STUDENT = "vessels", "early", "late", "student"
"""Stages of a training."""
MOST_DEVIATIONS = 4.0
"""Clean parameters are taken to be at most this many deviations from the mean, so that no estimate runs away and no
loss explodes (ours)."""


@dataclass(frozen=True)
class AdmConfig:
    """Hyperparameters of the two paths and of their training; most numbers of source 004 are lost, see each field."""

    working_size: int = 256
    """Side S in pixels of the squares that both paths see; a multiple of 32. Lost: 256 for development, 512 in the
    end (our choice)."""
    homography_network: Literal["transformer", "cnn"] = "transformer"
    """Encoder and score network of the homography: a ViT with a transformer (the paper), or a ResNet with an MLP (its
    ablation)."""
    displacement_network: Literal["cnn", "transformer"] = "cnn"
    """Networks of the field: U-Nets (the paper), or transformers over patches (its ablation)."""
    encoder: str = "vit_small_patch16_224"
    """The ViT, by its name in timm; the paper's is initialised from DINO."""
    encoder_weights: str | None = None
    """Start of the encoder: None (random) or the path of a .safetensors or .pth state dict; the ViT's has timm's names,
    such as DINO's, the ResNet's torchvision's (of resnet18). Not read again when a checkpoint is loaded."""
    patch_tokens: bool = False
    """Let the score network look at the patches of both pictures, too (cross-attention), and not only at one vector
    of each. Our extension; off is the paper."""
    keypoints: int = 0
    """Learned landmarks whose places in a picture are told beside its vector. The ResNet then ends with its third
    group, at an eighth of the side. Our extension; 0 is the paper."""
    score_width: int = 512
    """Width of the homography's score network."""
    score_layers: int = 8
    """Its transformer layers."""
    score_heads: int = 4
    """Their heads."""
    dropout: float = 0.1
    """Dropout of these layers."""
    homography_steps: int = 100
    """T_H: noise levels of the homography's chain; the paper gains nothing beyond 100."""
    homography_betas: tuple[float, float] = (1e-4, 0.1)
    """Noise added at its first and last level, linear between (lost; PoseDiffusion's)."""
    homography_scale: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.1, 0.1)
    """What each of the eight parameters is divided by: its standard deviation in the training data, because the chain
    ends in unit noise."""
    prediction: Literal["noise", "clean"] = "noise"
    """What the homography's score network tells: the noise (METHODS.md 5.3; the paper's word is lost), or the clean
    parameters, whose error then counts alike at all levels. Told the noise, the levels at which only the pictures tell
    the answer count a two-hundredth of those at which it is all but given."""
    displacement_steps: int = 500
    """T_D: noise levels of the field's chain; the paper gains up to 500 and loses beyond."""
    displacement_betas: tuple[float, float] = (4e-6, 4e-2)
    """Noise added at its first and last level, linear between (lost; DiffuseMorph's, scaled from 2000 steps)."""
    vessels: Literal["filter", "learned"] = "filter"
    """Where the vessel maps come from: the fixed filter (the paper), or a network trained on rendered truth (ours)."""
    vessel_channels: int = 16
    """Channels of that network at full resolution."""
    vessel_share: float = 0.2
    """Share of the epochs that trains that network."""
    denoiser_channels: int = 64
    """Channels of the denoiser at full resolution."""
    denoiser_multipliers: tuple[int, ...] = (1, 2, 4, 4)
    """Its channels at each resolution, in `denoiser_channels`."""
    denoiser_blocks: int = 1
    """Its residual blocks at each resolution."""
    deformation_channels: tuple[int, ...] = (16, 32, 32, 32)
    """Channels of the deformation network's encoder, one for each halving (VoxelMorph's)."""
    displacement_weight: tuple[float, float] = (0.1, 1.0)
    """gamma: weight of the field's score loss early in the training and after it (lost). The two equal turn this
    schedule off. With 0 the field's path waits: early on neither it nor the maps' correlation is computed (ours)."""
    early_share: float = 0.25
    """Share of the epochs of both paths that is early."""
    pixel_weight: float = 1.0
    """lambda_1: weight of the pixel loss (lost; the paper: robust over a wide range)."""
    regularisation_weight: float = 0.1
    """lambda_2: weight of the regularisation (lost, as above)."""
    pixel_schedule: bool = True
    """Let the pixel loss grow as the noise falls, quadratically; off is the ablation."""
    regularisation_schedule: bool = True
    """Let the regularisation of the homography fall as the noise falls, quadratically; off is the ablation."""
    iterated_share: float = 0.0
    """Share of the training pairs whose source is brought over first, as an earlier iteration would leave it. Our
    extension: the paper iterates with a network that has never seen such a pair; 0 is the paper."""
    student_share: float = 0.0
    """Share of the epochs that distils a student of the homography's score network, which needs few steps; 0 for
    none. Ours."""
    norm: float = 2.0
    """p of the distance between homographies (lost)."""

    def __post_init__(self) -> None:
        # JSON and YAML have no tuples.
        for name in ("homography_betas", "homography_scale", "displacement_betas", "denoiser_multipliers"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("deformation_channels", "displacement_weight"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, values in (
            ("homography_network", ("transformer", "cnn")),
            ("displacement_network", ("cnn", "transformer")),
            ("vessels", ("filter", "learned")),
            ("prediction", ("noise", "clean")),
        ):
            if getattr(self, name) not in values:
                raise InputError(f"{name} must be {' or '.join(values)}, not '{getattr(self, name)}'")
        for name, low, high in (
            ("keypoints", 0, 1024),
            ("score_width", 8, 4096),
            ("score_layers", 1, 64),
            ("score_heads", 1, 64),
            ("dropout", 0, 0.9),
            ("homography_steps", 2, 10000),
            ("displacement_steps", 2, 10000),
            ("vessel_channels", 8, 256),
            ("vessel_share", 0.01, 0.9),
            ("student_share", 0, 0.9),
            ("iterated_share", 0, 1),
            ("early_share", 0.01, 0.99),
            ("denoiser_channels", 8, 1024),
            ("denoiser_blocks", 1, 8),
            ("norm", 1, 8),
            ("pixel_weight", 0, 1e6),
            ("regularisation_weight", 0, 1e6),
        ):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} must be {low} to {high}, not {getattr(self, name)}")
        if self.keypoints and self.patch_tokens:
            raise InputError("keypoints and patch_tokens are two ways to the same; take one of them")
        if self.vessels == "learned" and self.vessel_share + self.student_share >= 1:
            raise InputError("vessel_share and student_share leave nothing for the two paths; lower one of them")
        if self.working_size % 32 or not 32 <= self.working_size <= 1024:
            raise InputError(f"working_size must be a multiple of 32 from 32 to 1024, not {self.working_size}")
        for name in ("homography_betas", "displacement_betas"):
            betas = getattr(self, name)
            if len(betas) != 2 or not 0 < betas[0] <= betas[1] < 1:
                raise InputError(f"{name} must be two numbers with 0 < first <= last < 1, not {betas}")
        if len(self.homography_scale) != 8 or min(self.homography_scale) <= 0:
            raise InputError(f"homography_scale must be eight numbers above 0, not {self.homography_scale}")
        # Where both last parameters are 4 deviations from the mean the corners still lie before the horizon.
        if MOST_DEVIATIONS * (self.homography_scale[6] + self.homography_scale[7]) >= 1:
            raise InputError("the last two numbers of homography_scale must be below 1/4 together; lower them")
        if self.working_size >> (len(self.denoiser_multipliers) - 1) > 64:
            raise InputError(
                f"denoiser_multipliers of {len(self.denoiser_multipliers)} numbers are too few for a working_size of "
                f"{self.working_size}: attention would see more than 64 x 64 places; give more"
            )
        if self.score_width % (8 * self.score_heads):
            raise InputError("score_width must be a multiple of eight times score_heads")
        if self.denoiser_channels % 8 or not self.denoiser_multipliers or min(self.denoiser_multipliers) < 1:
            raise InputError("denoiser_channels must be a multiple of 8, denoiser_multipliers whole numbers from 1 on")
        if 2 ** (max(len(self.denoiser_multipliers) - 1, len(self.deformation_channels))) > 32:
            raise InputError("denoiser_multipliers may be at most 6, deformation_channels at most 5 numbers")
        if not self.deformation_channels or min(self.deformation_channels) < 1:
            raise InputError("deformation_channels must be at least one number, each from 1 on")
        if len(self.displacement_weight) != 2 or min(self.displacement_weight) < 0:
            raise InputError(f"displacement_weight must be two numbers from 0 on, not {self.displacement_weight}")


@dataclass(frozen=True)
class AdmInference:
    """What can be chosen anew at each alignment: nothing here needs a new training.

    The defaults were chosen on rendered validation pairs: a start from keypoints raised the area under the curve from
    .53 to .72 between standard and ultra-widefield pictures, and from .14 to 1 between standard ones, and 4 steps were
    as good as 8. The source's way, as far as it is told: solver ancestral, 100 and 500 steps, start noise.
    """

    solver: Literal["ancestral", "ddim", "dpm", "student"] = "ddim"
    """Reverse steps with fresh noise (the paper), DDIM, DPM-Solver++ of second order, or the distilled student."""
    steps: int = 4
    """Steps of the homography's chain; fewer than the training's levels are spread evenly over them."""
    displacement_steps: int = 4
    """Steps of the field's chain, shared out evenly over those of the homography; 0 for no field."""
    iterations: int = 2
    """R: how often the whole is done, each time from the source as it was brought over so far (the paper: "a few
    additional iterations")."""
    guidance: float = 0.1
    """w_g: how far the gradient of the pictures' correlation moves the homography at each step; 0 turns it off."""
    refinement: int = 0
    """Steps up the gradient of the vessel maps' correlation after each iteration, from coarse maps to fine ones; what
    they make worse is taken back. Ours: guidance is one such step at each level of noise. 0 is the paper's."""
    start: Literal["noise", "keypoints"] = "keypoints"
    """"noise" is the paper's. "keypoints" runs one more chain, from the source as the better of ORB's and SIFT's
    homographies brings it over, and keeps that homography where the chain makes it no better (ours)."""
    chains: int = 1
    """Chains that are run side by side from noise. The one whose pictures agree most is taken, and how many of the
    others agree with it is told (`extras`). The paper runs 1."""
    settle: float = 0.0
    """Stop early when the estimate of the homography moves its corners by less than this share of the side in a step;
    0 never does."""
    seed: int = 0
    """Of the noise."""

    def __post_init__(self) -> None:
        if self.solver not in ("ancestral", "ddim", "dpm", "student"):
            raise InputError(f"solver must be ancestral, ddim, dpm or student, not '{self.solver}'")
        if self.start not in ("noise", "keypoints"):
            raise InputError(f"start must be noise or keypoints, not '{self.start}'")
        for name, low, high in (
            ("steps", 1, 10000),
            ("displacement_steps", 0, 10000),
            ("iterations", 1, 16),
            ("guidance", 0, 100),
            ("refinement", 0, 1000),
            ("chains", 1, 64),
            ("settle", 0, 1),
            ("seed", 0, 2**31 - 1),
        ):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} must be {low} to {high}, not {getattr(self, name)}")
