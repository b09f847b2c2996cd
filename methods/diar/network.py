"""Diar: dense matching that brings a set of shots together, and a network that makes one clean picture of them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from .. import geometry
from ..aligner import Alignment, LearnedAligner, Stage, check_frames, check_set, has_fast_bfloat16
from ..checkpoints import model_option, read_checkpoint
from ..draws import Draws
from ..errors import InputError
from ..transform import HomographyTransform, warp
from .alignment import FoundFrames, align_frames
from .config import DiarConfig, DiarInference
from .descriptors import Descriptors, descriptor_loss
from .restoration import Restoration, restoration_loss, restore

DESCRIPTORS, RESTORATION = "descriptors", "restoration"
"""Stages of a training."""
DESCRIPTOR_SHAPE = ("backbone", "backbone_weights", "backbone_layers", "descriptor")
"""Options that descriptors and those taken over must have in common."""
COVERED = 0.999
"""Coverage from which a pixel counts as known."""
LEAST_SIDE = 32
"""Side in pixels from which pictures are restored in bfloat16."""


class Diar(LearnedAligner):
    """Homographies from dense descriptors, all of them refined together, then a restoration of the aligned frames.

    The reference counts as one of the shots: it is frame 0, known everywhere, so the picture covers the whole frame.

    Args:
        config: hyperparameters; None for the defaults.
        initialise: take over `config.backbone_weights` and `config.descriptors`; False when all weights come from a
            checkpoint.

    Raises:
        CheckpointError: `config.descriptors` is no checkpoint of this method.
        InputError: its descriptors have another shape than the configuration says, or the backbone does not fit.
    """

    name: ClassVar[str] = "diar"
    max_sources: ClassVar[int | None] = None
    batch_kind: ClassVar = "sequence"
    Config: ClassVar[type] = DiarConfig
    Inference: ClassVar[type] = DiarInference
    config: DiarConfig
    inference: DiarInference

    def __init__(self, config: DiarConfig | None = None, *, initialise: bool = True) -> None:
        super().__init__()
        self.config = config = config or DiarConfig()
        self.descriptors = Descriptors(config)
        if initialise:
            self.descriptors.load_weights(config.backbone_weights)
            if config.descriptors:
                self._take_descriptors(Path(config.descriptors).expanduser())
        self.restoration = Restoration(config)
        self._stage = RESTORATION

    def _take_descriptors(self, folder: Path) -> None:
        other = read_checkpoint(folder, Diar)
        differing = [name for name in DESCRIPTOR_SHAPE if getattr(other.config, name) != getattr(self.config, name)]
        if differing:
            options = (model_option(name, getattr(other.config, name)) for name in differing)
            raise InputError(f"{folder}: its descriptors have another shape; give {' '.join(options)}")
        self.descriptors.load_state_dict(other.descriptors.state_dict())

    def validation_inference(self) -> DiarInference:
        """The descriptors and the restoration as they are: matches at one size, nothing refined."""
        return DiarInference(bundle=False, refine=False, scales=1)

    def training_stages(self) -> tuple[Stage, ...]:
        """The descriptors, then the restoration; `config.descriptor_share` divides the epochs."""
        share = 0.0 if self.config.descriptors else self.config.descriptor_share
        stages = (Stage(DESCRIPTORS, share), Stage(RESTORATION, 1 - share))
        return tuple(stage for stage in stages if stage.share)

    def enter_stage(self, stage: str) -> None:
        """See `LearnedAligner.enter_stage`."""
        self._stage = stage
        for name, part in ((DESCRIPTORS, self.descriptors), (RESTORATION, self.restoration)):
            part.requires_grad_(name == stage)

    def shard_units(self) -> list[nn.Module]:
        """See `LearnedAligner.shard_units`."""
        return [self.descriptors, self.restoration]

    def training_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The loss of the stage: `descriptor`, the contrast of matches, or `restoration`, the mean squared error.

        Args:
            batch: `frames (B, T, 3, S, S)` in [0, 1]; `truth (B, 3, S, S)`; where known `homographies (B, T, 3, 3)`,
                frame 0 to frame k, without which, or where they are NaN, the frames lie on each other; where known
                `masks (B, T, 1, S, S)`, 1 on occluders; where the network shall see other colours than the loss,
                `inputs` like `frames`.
        """
        frames = batch.get("inputs", batch["frames"])
        homographies, draws = self._known(batch, frames), Draws(batch)
        if self._stage == DESCRIPTORS:
            loss = descriptor_loss(self.descriptors, frames, homographies, batch.get("masks"), draws)
            return {"loss": loss, "descriptor": loss}
        order = draws.order(frames.shape[1])
        rows = torch.arange(len(frames), device=frames.device)[:, None]
        frames, masks = self._brought_together(frames[rows, order], homographies[rows, order], draws)
        loss = restoration_loss(self.restoration(frames, masks), batch["truth"])
        return {"loss": loss, "restoration": loss}

    @staticmethod
    def _known(batch: dict[str, Tensor], frames: Tensor) -> Tensor:
        """Homographies `(B, T, 3, 3)`, float64, the identity where none is known."""
        identity = torch.eye(3, dtype=torch.float64, device=frames.device).expand(*frames.shape[:2], 3, 3)
        if "homographies" not in batch:
            return identity
        homographies = batch["homographies"].double()
        return torch.where(homographies.isfinite().all(dim=(2, 3), keepdim=True), homographies, identity)

    def _brought_together(self, frames: Tensor, homographies: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Frames in the frame of the first, its corners off by the noise `config.jitter`, and where they are known."""
        size: geometry.Size = (frames.shape[-2], frames.shape[-1])
        with torch.autocast(frames.device.type, enabled=False):
            matrices = homographies.flatten(0, 1)
            if self.config.jitter:
                corners = geometry.image_corners(size, device=frames.device).expand(len(matrices), 4, 2)
                noise = draws.normal(frames.shape[1], 4, 2, dtype=corners.dtype).flatten(0, 1)
                moved = corners + noise * self.config.jitter
                matrices = matrices @ geometry.homography_from_points(corners, moved)
            warped, covered = geometry.warp_by_homography(frames.flatten(0, 1), matrices, size)
        masks = (covered >= COVERED).to(frames.dtype)
        return (warped * masks).unflatten(0, frames.shape[:2]), masks.unflatten(0, frames.shape[:2])

    @torch.inference_mode()
    def reconstruct(self, frames: Tensor, masks: Tensor) -> Tensor:
        """The undisturbed picture behind frames that lie on each other.

        Args:
            frames: `(B, T, 3, H, W)`, RGB in [0, 1], T >= 1.
            masks: `(B, T, 1, H, W)` in {0, 1} or bool, where a frame is known.

        Returns:
            `(B, 3, H, W)`, float32 in [0, 1]; zero where no frame is known.

        Raises:
            InputError: the tensors have other shapes, or are not float32 in [0, 1].
        """
        check_frames(frames, masks)
        known = masks > 0.5
        pictures = [self._restore(each, where)[0] for each, where in zip(frames, known, strict=True)]
        return torch.stack(pictures) * known.any(dim=1)

    @torch.inference_mode()
    def align(self, reference: Tensor, sources: Tensor) -> Alignment:
        """See `Aligner.align`.

        The mask is 1 everywhere. A source that nothing is found for (confidence 0) is left out; its homography means
        nothing. `confidence` is the mean over the sources that were used, 0 if none was. There is no flow: for many
        large pictures it would be most of the memory.

        Extras:
            frames_used: bool `(B, N + 1)`, the reference first.
            source_confidence: `(B, N)`.
            weights: `(B, N + 1, 1, H, W)`, float16, which frame each pixel came from; their sum over the frames is 1.

        Raises:
            InputError: the tensors are not references `(B, 3, H, W)` with sources `(B, N, 3, h, w)`, N >= 1, of float32
                in [0, 1].
        """
        check_set(reference, sources)
        device, training = self.device, self.training
        self.eval()
        try:
            made = [
                self._align(one.to(device), several.to(device)) for one, several in zip(reference, sources, strict=True)
            ]
        finally:
            self.train(training)
        confidences = torch.stack([found.confidences for _, _, found in made])
        used = torch.stack([found.found for _, _, found in made])
        return Alignment(
            image=torch.stack([image for image, _, _ in made]),
            mask=torch.ones_like(reference[:, :1], device=device),
            homography=torch.stack([found.homographies for _, _, found in made]).float(),
            confidence=(confidences * used).sum(dim=1) / used.sum(dim=1).clamp_min(1) if self.inference.align else None,
            extras={
                "frames_used": torch.cat([torch.ones_like(used[:, :1]), used], dim=1),
                "source_confidence": confidences,
                "weights": torch.stack([weights for _, weights, _ in made]),
            },
        )

    def _align(self, reference: Tensor, sources: Tensor) -> tuple[Tensor, Tensor, FoundFrames]:
        size: geometry.Size = (reference.shape[-2], reference.shape[-1])
        if not self.inference.align:
            return self._as_they_are(reference, sources)
        found = align_frames(self.descriptors, reference, list(sources), self.inference)
        frames, masks = [reference], [torch.ones(1, *size, dtype=torch.bool, device=reference.device)]
        for source, homography, located in zip(sources, found.homographies, found.found, strict=True):
            if located:
                transform = HomographyTransform(homography[None], (source.shape[-2], source.shape[-1]))
                warped = warp(source[None], transform, size)
                frames.append(warped.image[0])
                masks.append(warped.mask[0] > 0)
        image, weights = self._restore(torch.stack(frames), torch.stack(masks))
        every = weights.new_zeros(len(sources) + 1, *weights.shape[1:])
        every[torch.cat([torch.ones_like(found.found[:1]), found.found])] = weights
        return image, every.half(), found

    def _as_they_are(self, reference: Tensor, sources: Tensor) -> tuple[Tensor, Tensor, FoundFrames]:
        if sources.shape[-2:] != reference.shape[-2:]:
            raise InputError(
                f"sources of {sources.shape[-1]} x {sources.shape[-2]} pixels do not lie on a reference of "
                f"{reference.shape[-1]} x {reference.shape[-2]}; leave align on"
            )
        frames = torch.cat([reference[None], sources])
        image, weights = self._restore(frames, torch.ones_like(frames[:, :1]))
        ones = torch.ones(len(sources), device=reference.device)
        identity = torch.eye(3, dtype=torch.float64, device=reference.device).expand(len(sources), 3, 3)
        return image, weights.half(), FoundFrames(identity, ones, ones > 0)

    def _restore(self, frames: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """The picture `(3, H, W)` in [0, 1] and the weights `(T, 1, H, W)` of frames `(T, 3, H, W)` at full size."""
        kind = frames.device.type
        # In narrow maps oneDNN's bfloat16 convolutions now and then leave memory that nobody has written.
        fast = has_fast_bfloat16(frames.device) and min(frames.shape[-2:]) >= LEAST_SIDE
        with torch.autocast(kind, torch.bfloat16, enabled=fast):
            return restore(self.restoration, frames.to(self.device), masks.to(self.device), self.inference.tile)
