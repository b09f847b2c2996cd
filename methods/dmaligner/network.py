"""DmAligner: the source's content drawn from the reference's view by a latent diffusion model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import geometry
from ..aligner import Alignment, LearnedAligner, Stage, single_source
from ..draws import Draws
from ..errors import InputError
from .autoencoder import Autoencoder
from .config import AUTOENCODER, DIFFUSION, PAPER_STEPS, STUDENT, DmAlignerConfig, DmAlignerInference
from .denoiser import Denoiser, denoiser_of
from .diffusion import Diffusion
from .dmp import CorrelationMask, flow_inconsistency, fused, mask_loss, masked_loss
from .drawing import align_pairs, pairs_at_once
from .geometry_condition import flow_matches, in_source_light, motion_off_plane, plane_of, rightness, share_loss
from .sampling import Predict
from .student import student_losses


class Brought(NamedTuple):
    """What classical geometry makes of a pair, in the frame of the reference."""

    pictures: list[Tensor]
    """`(B, 3, H, W)` each, in [0, 1]: the source as optical flow brings it over; with `geometry="plane"` as the plane
    of what stands still does; with `copies` the reference in the source's light."""
    maps: Tensor
    """`(B, M, H, W)`: 1 where the flow agrees there and back; with `geometry="plane"` also `motion_off_plane`."""


class DmAligner(LearnedAligner):
    """Draws what the source shows at its time as the reference's camera would see it (arXiv 2602.23022).

    There is no homography and no flow: the answer covers the whole frame, also where nothing of the source leads to.

    Args:
        config: hyperparameters; None for the defaults.
        initialise: take over the weights of `config.vae`; False when all weights come from a checkpoint.

    Raises:
        InputError: `config.vae` is no autoencoder of the shape that the configuration says.
    """

    name: ClassVar[str] = "dmaligner"
    batch_kind: ClassVar = "pair"
    Config: ClassVar[type] = DmAlignerConfig
    Inference: ClassVar[type] = DmAlignerInference
    min_confidence: ClassVar[float] = 0.2
    """Confidence up to which an answer counts as none; set by hand, not calibrated."""
    config: DmAlignerConfig
    inference: DmAlignerInference

    def __init__(self, config: DmAlignerConfig | None = None, *, initialise: bool = True) -> None:
        super().__init__()
        self.config = config = config or DmAlignerConfig()
        self.autoencoder = Autoencoder(config)
        if config.vae and initialise:
            self.autoencoder.load_weights(config.vae)
        self.denoiser = denoiser_of(config)
        self.mask: CorrelationMask | None = None
        if config.dmp == "correlation":
            self.mask = CorrelationMask(config.latent_channels, config.correlation_radius)
        self.student: Denoiser | None = denoiser_of(config) if config.student_share > 0 else None
        self._stage = DIFFUSION

    @classmethod
    def batch_fields(cls, config: DmAlignerConfig) -> tuple[str, ...]:
        """See `LearnedAligner.batch_fields`."""
        return ("truth", "dynamic") if config.dmp == "correlation" else ("truth",)

    def settled(self, inference: DmAlignerInference) -> DmAlignerInference:
        """See `LearnedAligner.settled`: `steps` of 0 become 1 or the paper's, at most the noise levels there are."""
        if inference.steps:
            return inference
        needed = 1 if self.config.prediction == "sample" else min(PAPER_STEPS, self.config.train_steps)
        return replace(inference, steps=needed)

    def validation_inference(self) -> DmAlignerInference:
        """The default; in its stage the student draws."""
        return DmAlignerInference(solver="student" if self._stage == STUDENT else "ddim")

    def training_stages(self) -> tuple[Stage, ...]:
        """The autoencoder unless it is given, the diffusion, and the student if there shall be one."""
        first = 0.0 if self.config.vae else self.config.vae_share
        last = self.config.student_share
        stages = (Stage(AUTOENCODER, first), Stage(DIFFUSION, 1 - first - last), Stage(STUDENT, last))
        return tuple(stage for stage in stages if stage.share > 0)

    def enter_stage(self, stage: str) -> None:
        """See `LearnedAligner.enter_stage`; the student starts as what the denoiser has become."""
        self._stage = stage
        parts: dict[str, tuple[nn.Module | None, ...]] = {
            AUTOENCODER: (self.autoencoder,),
            DIFFUSION: (self.denoiser, self.mask),
            STUDENT: (self.student,),
        }
        for name, modules in parts.items():
            for module in modules:
                if module is not None:
                    module.requires_grad_(name == stage)
        if stage == STUDENT:
            assert self.student is not None
            self.student.load_state_dict(self.denoiser.state_dict())

    def enable_gradient_checkpointing(self) -> None:
        """See `LearnedAligner.enable_gradient_checkpointing`."""
        self.denoiser.enable_gradient_checkpointing()
        if self.student is not None:
            self.student.enable_gradient_checkpointing()

    def training_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The losses of the stage.

        The autoencoder's are those of `Autoencoder.losses`. The diffusion's (METHODS.md 6.3) are `denoise`, the squared
        error weighted by the mask, and `mask`, its cross-entropy; with `share_weight` also `share`, see
        `geometry_condition.share_loss`; `loss` is their weighted sum. The student's are `consistency` and `truth`, and
        `loss` is their sum. Noise levels are drawn before the noise.

        Args:
            batch: `reference`, `source` and `truth`, the source's content seen from the reference, `(B, 3, S, S)` in
                [0, 1]; with a mask from the correlation `dynamic (B, 1, S, S)`, 1 where something moves, NaN where that
                is not known; where the network shall see other colours, `reference_input` and `source_input`.
        """
        reference, source = (batch.get(f"{name}_input", batch[name]) for name in ("reference", "source"))
        pictures, draws = torch.cat([reference, source, batch["truth"]]), Draws(batch)
        if self._stage == AUTOENCODER:
            height, width = (side // self.autoencoder.stride for side in pictures.shape[-2:])
            noise = draws.normal(3, self.config.latent_channels, height, width).transpose(0, 1).flatten(0, 1)
            return self.autoencoder(pictures, "losses", noise)
        with torch.no_grad():
            first, second, clean = self._encoded(pictures).chunk(3)
            brought = self.brought_over(reference, source)
            warped = None if brought is None else self.warped_latents(map(self._encoded, brought.pictures), brought)
        if self._stage == STUDENT:
            return self._student_losses(first, second, clean, warped, draws)
        losses, shares = self._diffusion_losses(batch, first, second, clean, warped, draws)
        if self.config.share_weight:
            assert brought is not None
            assert shares is not None
            right = rightness(brought.pictures, batch["truth"], self.autoencoder.stride)
            losses["share"] = share_loss(shares.float(), right).mean()
            losses["loss"] = losses["loss"] + self.config.share_weight * losses["share"]
        return losses

    def _encoded(self, pictures: Tensor) -> Tensor:
        return self.autoencoder(pictures, "encode").float()

    def brought_over(self, reference: Tensor, source: Tensor) -> Brought | None:
        """What the denoiser is shown beside the pair; None unless the configuration asks for it.

        Args:
            reference: `(B, 3, H, W)` in [0, 1], sides multiples of the autoencoder's stride.
            source: of the same size.
        """
        if self.config.geometry == "none":
            return None
        matches = flow_matches(reference, source)
        pictures, maps = [geometry.sample(source, matches.positions)], [matches.agrees.float()]
        if self.config.geometry == "plane":
            plane = plane_of(matches)
            size: geometry.Size = (source.shape[-2], source.shape[-1])
            pictures.append(geometry.warp_by_homography(source, plane, size)[0])
            maps.append(motion_off_plane(matches, plane))
        if self.config.copies:
            pictures.append(in_source_light(reference, pictures[0], matches.agrees))
        return Brought(pictures, torch.cat(maps, dim=1))

    def warped_latents(self, latents: Iterable[Tensor], brought: Brought) -> Tensor:
        """Latents `(B, C, h, w)` of the pictures that are brought over, and the maps at their size, in one tensor."""
        return torch.cat([*latents, F.avg_pool2d(brought.maps, self.autoencoder.stride)], dim=1)

    def condition(self, first: Tensor, second: Tensor, logits: Tensor | None, warped: Tensor | None) -> Tensor:
        """What the denoiser sees beside the noisy latent: `(B, config.condition_channels, h, w)`.

        Args:
            first: latent of the reference `(B, C, h, w)`.
            second: latent of the source, of the same size.
            logits: of `mask` `(B, 1, h, w)`, where there is one: both latents fused by it are seen, too.
            warped: see `warped_latents`.
        """
        parts = [first, second]
        if logits is not None:
            parts.append(fused(first, second, logits.sigmoid(), self.config.dilation))
        if warped is not None:
            parts.append(warped)
        return torch.cat(parts, dim=1)

    def _diffusion_losses(
        self,
        batch: dict[str, Tensor],
        first: Tensor,
        second: Tensor,
        clean: Tensor,
        warped: Tensor | None,
        draws: Draws,
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """The losses, and the shares of what the denoiser copies."""
        # Made anew: a model that is loaded from a checkpoint is built without storage, which the levels need.
        config, diffusion = self.config, Diffusion(self.config)
        timesteps = diffusion.noisier(draws.integers(0, config.train_steps))
        noise = draws.normal(*clean.shape[1:])
        noisy = diffusion.add_noise(clean, noise, timesteps)
        logits = None if self.mask is None else self.mask(first, second).float()
        found = self.denoiser(noisy, timesteps, self.condition(first, second, logits, warped))
        drawn, wanted = found.prediction.float(), diffusion.target(clean, noise)
        if config.loss == "picture":
            drawn = self.autoencoder(diffusion.clean_of(drawn, noisy, timesteps), "decode").float()
            wanted = batch["truth"]
        if found.mask_logits is not None:
            logits = found.mask_logits.float()
        with torch.autocast(clean.device.type, enabled=False):
            weights = diffusion.weights(timesteps)
            if logits is None:
                denoise = (weights * (drawn - wanted).square().mean((1, 2, 3))).mean()
                return {"loss": config.denoise_weight * denoise, "denoise": denoise}, found.shares
            # With a gradient here the mask would shrink to lower the loss.
            seen = logits.detach().sigmoid()
            if config.loss == "picture":
                seen = F.interpolate(seen, wanted.shape[-2:], mode="bilinear", align_corners=False)
            denoise = (weights * masked_loss(drawn, wanted, seen, config.gamma)).mean()
            mask = mask_loss(logits, self._moving(batch)).mean()
        loss = config.denoise_weight * denoise + config.mask_weight * mask
        return {"loss": loss, "denoise": denoise, "mask": mask}, found.shares

    def _moving(self, batch: dict[str, Tensor]) -> Tensor:
        """What the mask shall show, at the size of latents."""
        if self.config.dmp == "features":
            truth = flow_inconsistency(batch["reference"], batch["source"])
        else:
            truth = batch["dynamic"]
        return F.avg_pool2d(truth.float(), self.autoencoder.stride)

    def _student_losses(
        self, first: Tensor, second: Tensor, clean: Tensor, warped: Tensor | None, draws: Draws
    ) -> dict[str, Tensor]:
        with torch.no_grad():
            logits = None if self.mask is None else self.mask(first, second).float()
            condition = self.condition(first, second, logits, warped)

        def told_by(network: nn.Module | None) -> Predict:
            assert network is not None
            return lambda noisy, timesteps: network(noisy, timesteps, condition).prediction.float()

        parts = student_losses(told_by(self.student), told_by(self.denoiser), clean, Diffusion(self.config), draws)
        consistency, truth = (part.mean() for part in parts)
        return {"loss": consistency + truth, "consistency": consistency, "truth": truth}

    @torch.inference_mode()
    def align(self, reference: Tensor, sources: Tensor) -> Alignment:
        """See `Aligner.align`.

        The mask is 1 everywhere. `confidence` is the share of the drawn picture that the source confirms, see
        `geometry_condition.confirmed_share`.

        Extras:
            dynamic: `(B, 1, H, W)`, probability that something moves, where the method has a mask; that of the denoiser
                is the one of its last step.
            uncertainty: `(B, 1, H, W)`, standard deviation over the drawn pictures, mean of the colours, where
                `inference.samples` > 1.
            kept: `(B, 1, H, W)` in [0, 1], weight of pixels that were taken over from the source, with
                `inference.keep_pixels`.

        Raises:
            InputError: the tensors are not references `(B, 3, H, W)` with one source `(B, 1, 3, h, w)` each, of float32
                in [0, 1]; or the model cannot sample as `inference` says.
        """
        source = single_source(reference, sources)
        if self.inference.solver == "student" and self.student is None:
            raise InputError(
                "this model has no student; train it with --model.student-share, or take the solver ddim or dpm"
            )
        device, training = self.device, self.training
        several = pairs_at_once((reference.shape[-2], reference.shape[-1]), self.inference.tile)
        self.eval()
        try:
            parts = [
                align_pairs(self, some.to(device), theirs.to(device))
                for some, theirs in zip(reference.split(several), source.split(several), strict=True)
            ]
        finally:
            self.train(training)
        image = torch.cat([part.image for part in parts])
        return Alignment(
            image=image,
            mask=torch.ones_like(image[:, :1]),
            confidence=torch.cat([part.confidence for part in parts if part.confidence is not None]),
            extras={name: torch.cat([part.extras[name] for part in parts]) for name in parts[0].extras},
        )
