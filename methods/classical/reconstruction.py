"""What the baselines that merge several shots of one flat thing into one picture have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from ..aligner import Aligner, Alignment, check_frames, check_set
from ..registry import load

ALIGNER = "sift"
"""The pair method that brings shots together, unless another is named."""


class SetAligner(Aligner):
    """An `Aligner` that brings each source onto the reference with a pair method and merges all shots.

    The reference counts as one of the shots: it is frame 0, known everywhere, so the merged picture covers the whole
    frame. A source that the pair method finds nothing for (confidence 0) is left out. Brightness and colour stay as
    they were taken: nothing is equalised before merging, so what a method does not explain itself shows as seams.

    Args:
        aligner: the pair method, a name or a checkpoint folder as `raylign.methods.load` takes it; `identity` for shots
            that lie on each other already.
    """

    max_sources: ClassVar[int | None] = None

    def __init__(self, aligner: str = ALIGNER) -> None:
        self.aligner = load(aligner)

    @abstractmethod
    def merge(self, frames: Tensor, masks: Tensor) -> Tensor:
        """The picture behind aligned frames; `reconstruct` without checks, limits and unknown pixels.

        Args:
            frames: `(B, T, 3, H, W)` in [0, 1].
            masks: bool `(B, T, 1, H, W)`, where a frame is known.

        Returns:
            `(B, 3, H, W)`, about [0, 1]; any finite value where no frame is known.
        """

    @torch.inference_mode()
    def reconstruct(self, frames: Tensor, masks: Tensor) -> Tensor:
        """The undisturbed picture behind frames that lie on each other.

        Args:
            frames: `(B, T, 3, H, W)`, RGB in [0, 1], T >= 1; frame 0 is the reference.
            masks: `(B, T, 1, H, W)` in {0, 1} or bool, where a frame is known.

        Returns:
            `(B, 3, H, W)`, float32 in [0, 1]; zero where no frame is known.

        Raises:
            InputError: the tensors have other shapes, or are not float32 in [0, 1].
        """
        check_frames(frames, masks)
        known = masks > 0.5
        return self.merge(frames, known).float().clamp(0, 1) * known.any(dim=1)

    @torch.inference_mode()
    def align(self, reference: Tensor, sources: Tensor) -> Alignment:
        """See `Aligner.align`.

        The mask is 1 everywhere. `homography` is there if the pair method tells one; that of a source that was left
        out means nothing. `confidence` is the mean of the pair method's over the sources that were used, 0 if none
        was. `extras`: `frames_used`, bool `(B, N + 1)`, the reference first, and `source_confidence (B, N)`. A pair
        method without confidence is taken at its word, and then there is none here either. There is no flow: for many
        large pictures it would be most of the memory.

        Raises:
            InputError: the tensors are not references `(B, 3, H, W)` with sources `(B, N, 3, h, w)`, N >= 1, of float32
                in [0, 1].
        """
        check_set(reference, sources)
        frames, masks = [reference], [torch.ones_like(reference[:, :1])]
        homographies, confidences = [], []
        for source in sources.split(1, dim=1):
            found = self.aligner.align(reference, source)
            frames.append(found.image)
            masks.append(found.mask)
            if found.homography is not None:
                homographies.append(found.homography)
            if found.confidence is not None:
                confidences.append(found.confidence)
        used = torch.ones(len(reference), len(frames), dtype=torch.bool, device=reference.device)
        extras = {"frames_used": used}
        confidence = None
        if confidences:
            extras["source_confidence"] = torch.stack(confidences, dim=1)
            used[:, 1:] = extras["source_confidence"] > 0
            # What was left out has confidence 0 and adds nothing.
            confidence = extras["source_confidence"].sum(dim=1) / used[:, 1:].sum(dim=1).clamp_min(1)
        return Alignment(
            image=self.reconstruct(
                torch.stack(frames, dim=1), torch.stack(masks, dim=1) * used[:, :, None, None, None]
            ),
            mask=torch.ones_like(reference[:, :1]),
            homography=torch.cat(homographies, dim=1) if homographies else None,
            confidence=confidence,
            extras=extras,
        )
