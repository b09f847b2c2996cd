"""Hyperparameters of DMAligner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import InputError

AUTOENCODER, DIFFUSION, STUDENT = "autoencoder", "diffusion", "student"
"""Stages of a training."""
PAPER_STEPS = 50
MOST_STUDENT_STEPS = 8


@dataclass(frozen=True)
class DmAlignerConfig:
    """Hyperparameters of the autoencoder, the denoiser and their training.

    Source 000 and the authors' own material differ. `prediction="sample"` with `dmp="correlation"` is the authors'
    reading, `prediction="epsilon"` with `dmp="features"` the source's; the authors' training script has
    `dmp="none", loss="latent"`.
    """

    working_size: int = 256
    """Side in pixels of the squares that training sees; a multiple of 32."""
    downscale: Literal[4, 8] = 4
    """Pixels from one latent to the next."""
    latent_channels: int = 4
    """Channels of a latent."""
    vae_channels: tuple[int, ...] = (64, 128, 256)
    """Channels of the autoencoder at full, half, quarter ... resolution; one more than the halvings of `downscale`."""
    vae_layers: int = 1
    """Residual blocks of the autoencoder at each resolution."""
    vae_attention: bool = False
    """Self-attention in the middle of the autoencoder, as Stable Diffusion's has."""
    vae: str | None = None
    """Folder of an AutoencoderKL as diffusers saves it (Stable Diffusion's `vae`), or a checkpoint of this method,
    whose autoencoder is then taken as it is. Its shape must be what the fields above say. Not read again when a
    checkpoint is loaded."""
    kl_weight: float = 1e-6
    """Weight of the Kullback-Leibler term in the autoencoder's loss."""
    prediction: Literal["sample", "epsilon"] = "sample"
    """What the denoiser says: the clean latent (the authors) or the noise (the source)."""
    dmp: Literal["correlation", "features", "none"] = "correlation"
    """Where the mask of what moves comes from: the correlation volume of the two latents, supervised by the renderer's
    masks where the data has them (the authors); the denoiser's own decoder features, supervised by flow that does not
    agree there and back, as attention on them (the source); or no mask at all."""
    correlation_radius: int = 8
    """Reach of the correlation volume in latents; the paper's is lost (8 at a downscale of 4, 4 at 8: our choice)."""
    dilation: int = 2
    """r: latents by which the mask grows before the two latents are fused by it."""
    gamma: float = 0.7
    """Weight of what the mask shows in the loss, against 1 - gamma; the paper's is lost, more than 0.5 favours what
    moves (our choice)."""
    loss: Literal["picture", "latent"] = "latent"
    """What is compared: decoded pictures (the paper) or latents (the authors' script; a fraction of the cost)."""
    denoise_weight: float = 2.0
    """Weight of the denoising loss."""
    mask_weight: float = 0.1
    """Weight of the mask's cross-entropy."""
    share_weight: float = 0.0
    """Weight of a cross-entropy that tells the shares of `copies` which picture is right where; 0 leaves them to the
    denoising loss alone."""
    min_snr: float = 0.0
    """Gamma of min-SNR weighting (arXiv 2303.09556); 0 turns it off, 5 is usual."""
    geometry: Literal["none", "flow", "plane"] = "none"
    """'flow' also shows the denoiser the source as optical flow (DIS) brings it to the reference, and where that flow
    agrees there and back; 'plane' besides as the homography brings it that most of the flow follows, which leaves what
    moves where the source has it, and how what each picture shows moves against that homography. Our options; 'none' is
    the paper."""
    copies: bool = False
    """The denoiser also sees the reference in the source's light, and says at each latent how much of that one and of
    each warped source's is taken over, and what is added; so it need not draw what one of them shows. Our option, for
    `prediction="sample"` with a `geometry`; the paper draws everything."""
    channels: int = 96
    """Channels of the denoiser at full latent resolution."""
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    """Channels of the denoiser at each resolution, in `channels`."""
    blocks: int = 2
    """Residual blocks of the denoiser at each resolution."""
    attention_levels: int = 2
    """Lowest resolutions of the denoiser that have self-attention."""
    train_steps: int = 1000
    """T: noise levels."""
    beta_schedule: Literal["scaled_linear", "linear"] = "scaled_linear"
    """How the noise grows from `beta_start` to `beta_end`."""
    beta_start: float = 0.00085
    """Noise added at the first level."""
    beta_end: float = 0.012
    """Noise added at the last level."""
    timestep_power: float = 1.0
    """p: noise levels are drawn as `T u^(1 / p)` with u uniform in [0, 1). 1 is the paper's; more draws noisier levels,
    at which few steps begin and nothing but the two pictures tells what to draw (our option)."""
    vae_share: float = 0.3
    """Share of the epochs that trains the autoencoder; without meaning where `vae` is given."""
    student_share: float = 0.0
    """Share of the epochs that distils a student which needs few steps; 0 for no student."""

    def __post_init__(self) -> None:
        # JSON and YAML have no tuples.
        for name in ("vae_channels", "multipliers"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, values in (
            ("downscale", (4, 8)),
            ("prediction", ("sample", "epsilon")),
            ("dmp", ("correlation", "features", "none")),
            ("loss", ("picture", "latent")),
            ("geometry", ("none", "flow", "plane")),
            ("beta_schedule", ("scaled_linear", "linear")),
        ):
            if getattr(self, name) not in values:
                raise InputError(f"{name} must be {' or '.join(map(str, values))}, not '{getattr(self, name)}'")
        for name, low, high in (
            ("latent_channels", 1, 64),
            ("vae_layers", 1, 8),
            ("correlation_radius", 1, 32),
            ("dilation", 0, 16),
            ("channels", 8, 1024),
            ("blocks", 1, 8),
            ("train_steps", 4, 10000),
            ("gamma", 0, 1),
            ("timestep_power", 1, 100),
            ("vae_share", 0, 0.9),
            ("student_share", 0, 0.9),
        ):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} must be {low} to {high}, not {getattr(self, name)}")
        for name in ("kl_weight", "denoise_weight", "mask_weight", "min_snr"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must not be negative, not {getattr(self, name)}")
        if self.working_size % 32 or not 32 <= self.working_size <= 1024:
            raise InputError(f"working_size must be a multiple of 32 from 32 to 1024, not {self.working_size}")
        if 2 ** (len(self.vae_channels) - 1) != self.downscale or min(self.vae_channels) < 8:
            raise InputError(
                f"vae_channels must be {self.downscale.bit_length()} numbers from 8 on for a downscale of "
                f"{self.downscale}, not {self.vae_channels}"
            )
        if not self.multipliers or min(self.multipliers) < 1 or self.channels % 8:
            raise InputError("multipliers must be whole numbers from 1 on, and channels a multiple of 8")
        if not 0 <= self.attention_levels <= len(self.multipliers):
            raise InputError(f"attention_levels must be 0 to {len(self.multipliers)}, not {self.attention_levels}")
        if not 0 < self.beta_start <= self.beta_end < 1:
            raise InputError(f"0 < beta_start <= beta_end < 1 must hold, not {self.beta_start} and {self.beta_end}")
        if self.copies and (self.prediction != "sample" or self.geometry == "none"):
            raise InputError("copies needs prediction 'sample' and geometry 'flow' or 'plane'")
        if self.share_weight and not self.copies:
            raise InputError("share_weight needs copies")
        if self.vae is None and self.vae_share + self.student_share >= 1:
            raise InputError("vae_share and student_share leave nothing for the diffusion; lower one of them")

    @property
    def condition_channels(self) -> int:
        """Channels that the denoiser sees beside the noisy latent: both latents, their fusion, what is brought over."""
        maps = {"none": 0, "flow": 1, "plane": 5}[self.geometry]
        return self._brought_from + self._brought * self.latent_channels + maps

    @property
    def copied_from(self) -> tuple[int, ...]:
        """The channel of the condition at which each latent begins that `copies` may take over."""
        if not self.copies:
            return ()
        return tuple(self._brought_from + number * self.latent_channels for number in range(self._brought))

    @property
    def _brought_from(self) -> int:
        return (3 if self.dmp == "correlation" else 2) * self.latent_channels

    @property
    def _brought(self) -> int:
        """Pictures brought over: the source by flow and by the plane, the reference into the source's light."""
        return {"none": 0, "flow": 1, "plane": 2}[self.geometry] + self.copies


@dataclass(frozen=True)
class DmAlignerInference:
    """What can be chosen anew at each alignment."""

    solver: Literal["ddim", "dpm", "student"] = "ddim"
    """DDIM (the paper), DPM-Solver++ of second order, or the distilled student."""
    steps: int = 0
    """Steps of 'ddim' and 'dpm'. 0 takes the paper's 50 where the network predicts the noise, and 1 where it
    predicts the clean latent: there 4 were 0.7 dB better than 50 on pairs of the validation split, and 1 was 0.7 dB
    better than 4. More of them draw more decidedly what moves."""
    student_steps: int = 1
    """Steps of 'student'; on pairs of the validation split 1 is 0.7 dB better than 4."""
    seed: int = 0
    """Of the noise that the sampling starts from."""
    samples: int = 1
    """K: pictures drawn for each pair. With more than one the answer is their mean, and how far they differ is told;
    that takes several `steps`, after one they hardly differ."""
    carry_detail: bool = True
    """Add to what is drawn what the autoencoder loses of each picture, as far as that was copied; for models that were
    trained with `copies`. On pairs of the validation split it is 2.4 dB better."""
    keep_pixels: bool = False
    """Take over pixels of the source, by optical flow, where nothing moves and both pictures show the same."""
    side: int = 3840
    """Longer side in pixels up to which pictures are drawn at their own size; larger ones are reduced to it."""
    tile: int = 512
    """Side in pixels of the windows in which larger pictures are drawn; a multiple of 32."""
    overlap: int = 128
    """Pixels that neighbouring windows share, at most half of `tile`; a multiple of 32."""

    def __post_init__(self) -> None:
        if self.solver not in ("ddim", "dpm", "student"):
            raise InputError(f"solver must be ddim, dpm or student, not '{self.solver}'")
        for name, low, high in (
            ("steps", 0, 1000),
            ("student_steps", 1, MOST_STUDENT_STEPS),
            ("seed", 0, 2**31 - 1),
            ("samples", 1, 64),
            ("side", 64, 8192),
            ("tile", 64, 2048),
            ("overlap", 32, 1024),
        ):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} must be {low} to {high}, not {getattr(self, name)}")
        if self.tile % 32 or self.overlap % 32 or 2 * self.overlap > self.tile:
            raise InputError("tile and overlap must be multiples of 32, and overlap at most half of tile")
