"""The aligned picture of a pair: encoded, drawn out of noise, decoded, all in windows so that any size fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..aligner import Alignment, has_fast_bfloat16
from ..classical.flow_aligner import resized
from ..geometry import Size
from .denoiser import Denoiser
from .geometry_condition import confirmed_share, kept_pixels
from .sampling import Predict, sampled, starting_noise
from .student import student_sampled
from .tiling import blended

if TYPE_CHECKING:
    from .network import DmAligner

LEAST_SIDE = 32
"""Side in pixels to which smaller pictures are padded."""
AT_ONCE = 2**20
"""Pixels of all windows that the networks see together."""
CONFIDENCE_SIDE = 512
"""Longer side in pixels at which the confidence is measured."""
FAST_SIDES = {"latents": 32, "pictures": 128}
"""Sides from which the networks compute in bfloat16: in narrow maps oneDNN's bfloat16 convolutions now and then leave
memory that nobody has written."""


def pairs_at_once(size: Size, tile: int) -> int:
    """How many pairs of a size are drawn together."""
    height, width = (min(max(side, LEAST_SIDE), tile) for side in size)
    return max(1, AT_ONCE // (height * width))


def align_pairs(model: DmAligner, reference: Tensor, source: Tensor) -> Alignment:
    """The alignments of a few pairs, as `DmAligner.align` tells them.

    Args:
        model: in evaluation mode.
        reference: `(B, 3, H, W)` in [0, 1], on the device of the model.
        source: `(B, 3, h, w)`.
    """
    size: Size = (reference.shape[-2], reference.shape[-1])
    reference, source = reference.clamp(0, 1), resized(source, size).clamp(0, 1)
    working = _limited(size, model.inference.side)
    drawing = Drawing(model, resized(reference, working), resized(source, working))
    picture, extras = drawing.drawn()
    image = picture = resized(picture, size)
    extras = {name: resized(values, size) for name, values in extras.items()}
    small = _limited(size, CONFIDENCE_SIDE)
    confidence = confirmed_share(resized(picture, small), resized(source, small))
    if model.inference.keep_pixels:
        image, extras["kept"] = kept_pixels(picture, reference, source, extras.get("dynamic"))
    return Alignment(image=image, mask=torch.ones_like(image[:, :1]), confidence=confidence, extras=extras)


class Drawing:
    """Pairs of one size, encoded once, and drawn as often as wanted.

    Args:
        model: in evaluation mode.
        reference: `(B, 3, H, W)` in [0, 1].
        source: of the same size.
    """

    def __init__(self, model: DmAligner, reference: Tensor, source: Tensor) -> None:
        self.model, self.inference = model, model.settled(model.inference)
        self.batch, self.device = len(reference), reference.device
        self.size: Size = (reference.shape[-2], reference.shape[-1])
        self.stride = model.autoencoder.stride
        height, width = (-(-max(side, LEAST_SIDE) // self.stride) for side in self.size)
        self.latent_size: Size = (height, width)
        reference, source = self._padded(reference), self._padded(source)
        first, second = self._encoded(reference), self._encoded(source)
        self._logits = self._mask_logits(first, second)
        self._shares: Tensor | None = None
        self._details: list[Tensor] = []
        warped = None
        brought = model.brought_over(reference, source)
        if brought is not None:
            latents = [self._encoded(picture) for picture in brought.pictures]
            warped = model.warped_latents(latents, brought)
            if model.config.copies and self.inference.carry_detail:
                pairs = zip(brought.pictures, latents, strict=True)
                self._details = [picture - self._decoded(latent) for picture, latent in pairs]
        self._condition = model.condition(first, second, self._logits, warped)

    def drawn(self) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean of all samples `(B, 3, H, W)` in [0, 1], and `uncertainty` and `dynamic` as `DmAligner.align` says.

        The first sample starts from the noise of `inference.seed`, each further one from that of the next seed.
        """
        samples = self.inference.samples
        mean = torch.zeros(self.batch, 3, *self.size, device=self.device)
        # Welford's sums, so that the samples need not all be kept.
        squares = torch.zeros_like(mean)
        for number in range(samples):
            picture = self._sample(self.inference.seed + number)
            gap = picture - mean
            mean += gap / (number + 1)
            squares += gap * (picture - mean)
        extras = {}
        if samples > 1:
            extras["uncertainty"] = (squares / (samples - 1)).sqrt().mean(dim=1, keepdim=True)
        if self._logits is not None:
            padded = (self.latent_size[0] * self.stride, self.latent_size[1] * self.stride)
            moving = F.interpolate(self._logits.sigmoid(), padded, mode="bilinear", align_corners=False)
            extras["dynamic"] = self._cropped(moving)
        return mean, extras

    def _sample(self, seed: int) -> Tensor:
        """One picture `(B, 3, H, W)` in [0, 1]."""
        config, inference = self.model.config, self.inference
        # The same seed for all: what is drawn for a pair does not depend on the others.
        noise = starting_noise((config.latent_channels, *self.latent_size), [seed] * self.batch, self.device)
        if inference.solver == "student":
            assert self.model.student is not None
            latents = student_sampled(self._predict(self.model.student), noise, config, inference.student_steps)
        else:
            latents = sampled(self._predict(self.model.denoiser), noise, config, inference.solver, inference.steps)
        picture = self._decoded(latents)
        if self._details:
            assert self._shares is not None, "the last step has told them"
            for share, detail in zip(self._shares.split(1, dim=1), self._details, strict=True):
                picture += F.interpolate(share, detail.shape[-2:], mode="bilinear", align_corners=False) * detail
        return self._cropped(picture).clamp(0, 1)

    def _predict(self, denoiser: Denoiser) -> Predict:
        """The prediction for whole latents: at each step the windows' predictions are blended.

        A mask and shares that the denoiser tells are kept until its next step.
        """
        config = self.model.config
        channels, copied = config.latent_channels, len(config.copied_from)
        tells_mask = config.dmp == "features"

        def predict(noisy: Tensor, timesteps: Tensor) -> Tensor:
            def draw(rows: slice, columns: slice) -> Tensor:
                with self._precision("latents"):
                    found = denoiser(noisy[..., rows, columns], timesteps, self._condition[..., rows, columns])
                return torch.cat([values.float() for values in found if values is not None], dim=1)

            told = self._blended(channels + tells_mask + copied, draw)
            prediction, mask, shares = told.split((channels, int(tells_mask), copied), dim=1)
            if tells_mask:
                self._logits = mask
            if copied:
                self._shares = shares
            return prediction

        return predict

    def _mask_logits(self, first: Tensor, second: Tensor) -> Tensor | None:
        mask = self.model.mask
        if mask is None:
            return None

        def draw(rows: slice, columns: slice) -> Tensor:
            with self._precision("latents"):
                return mask(first[..., rows, columns], second[..., rows, columns]).float()

        return self._blended(1, draw)

    def _encoded(self, pictures: Tensor) -> Tensor:
        def draw(rows: slice, columns: slice) -> Tensor:
            with self._precision("pictures"):
                part = pictures[..., self._in_pixels(rows), self._in_pixels(columns)]
                return self.model.autoencoder(part, "encode").float()

        return self._blended(self.model.config.latent_channels, draw)

    def _decoded(self, latents: Tensor) -> Tensor:
        def draw(rows: slice, columns: slice) -> Tensor:
            with self._precision("pictures"):
                return self.model.autoencoder(latents[..., rows, columns], "decode").float()

        return self._blended(3, draw, scale=self.stride)

    def _blended(self, channels: int, draw: Callable[[slice, slice], Tensor], scale: int = 1) -> Tensor:
        tile, overlap = self.inference.tile // self.stride, self.inference.overlap // self.stride
        return blended(self.latent_size, tile, overlap, channels, self.batch, self.device, draw, scale=scale)

    def _precision(self, seen: Literal["latents", "pictures"]) -> torch.autocast:
        side = min(*self.latent_size, self.inference.tile // self.stride)
        if seen == "pictures":
            side *= self.stride
        fast = has_fast_bfloat16(self.device) and side >= FAST_SIDES[seen]
        return torch.autocast(self.device.type, torch.bfloat16, enabled=fast)

    def _in_pixels(self, part: slice) -> slice:
        return slice(part.start * self.stride, part.stop * self.stride)

    def _padded(self, pictures: Tensor) -> Tensor:
        """Pictures whose sides are multiples of the stride, continued by their last row and column."""
        below, right = (latents * self.stride - side for latents, side in zip(self.latent_size, self.size, strict=True))
        return F.pad(pictures, (0, right, 0, below), mode="replicate")

    def _cropped(self, pictures: Tensor) -> Tensor:
        return pictures[..., : self.size[0], : self.size[1]]


def _limited(size: Size, side: int) -> Size:
    """The size, reduced so that its longer side is at most `side`."""
    factor = min(1.0, side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
