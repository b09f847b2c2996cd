"""The contract that every method keeps: `Aligner.align(reference, sources) -> Alignment`.

Convention (docs/architecture.md, "Geometry"): images are `(B, 3, H, W)`, RGB, float32 in [0, 1]; pixel centres lie at
integers, x to the right, y down; `H_ab` maps pixels of a to pixels of b, so that bringing b into the frame of a samples
b at `H_ab x_a`; flow is `(B, 2, H, W)`, (x, y) in pixels, from the reference frame into the source.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from .errors import InputError

if TYPE_CHECKING:
    from .transform import Transform


@dataclass(frozen=True)
class Stage:
    """A part of a training in which one set of weights is trained, with optimizers and a schedule of its own."""

    name: str
    """What `LearnedAligner.enter_stage` knows it by."""
    share: float = 1.0
    """Its part of all epochs, against the shares of the other stages."""


@dataclass
class Alignment:
    """What a method found out about one batch of references and their N sources each.

    Attributes:
        image: `(B, 3, H, W)` in [0, 1], the sources brought into the reference frame, merged where N > 1; zero where
            `mask` is zero.
        mask: `(B, 1, H, W)` in {0, 1}, where `image` is covered by a source.
        homography: `(B, N, 3, 3)`, reference pixels to source pixels, scaled to `h33 = 1`, where the method has one.
        flow: `(B, N, 2, H, W)`, pixels, reference to source, where the method has one.
        confidence: `(B,)` in [0, 1], where the method has one.
        extras: method-specific tensors (mesh, dynamic mask, weights).
        transform: where any point of the reference plane lies in the source, where a pair method knows that beyond
            the reference's frame.
    """

    image: Tensor
    mask: Tensor
    homography: Tensor | None = None
    flow: Tensor | None = None
    confidence: Tensor | None = None
    extras: dict[str, Tensor] = field(default_factory=dict)
    transform: Transform | None = None


class Aligner(ABC):
    """Anything that brings sources into the frame of a reference."""

    name: ClassVar[str]
    """The name in the registry."""

    max_sources: ClassVar[int | None] = 1
    """How many sources one call takes: 1 for the pair methods, None for any number."""

    @abstractmethod
    def align(self, reference: Tensor, sources: Tensor) -> Alignment:
        """Bring `sources` into the frame of `reference`.

        Args:
            reference: `(B, 3, H, W)`, RGB in [0, 1].
            sources: `(B, N, 3, h, w)`, RGB in [0, 1]; may have another size than the reference.

        Returns:
            The alignment at the full resolution of the reference.
        """


def single_source(reference: Tensor, sources: Tensor) -> Tensor:
    """The source `(B, 3, h, w)` of a pair method.

    Raises:
        InputError: the tensors are not one reference `(B, 3, H, W)` with one source each `(B, 1, 3, h, w)`, hold no
            pixels, are not float32, or hold numbers that are not finite or far from [0, 1].
    """
    if reference.dim() != 4 or reference.shape[1] != 3 or sources.dim() != 5 or sources.shape[2] != 3:
        raise InputError(
            f"reference must be (B, 3, H, W) and sources (B, N, 3, h, w), not {tuple(reference.shape)} and "
            f"{tuple(sources.shape)}"
        )
    if len(reference) != len(sources) or sources.shape[1] != 1:
        raise InputError(
            f"this method aligns one source with each reference, not sources of shape {tuple(sources.shape)} with "
            f"{len(reference)} references"
        )
    _check_pictures(reference=reference, sources=sources)
    return sources[:, 0]


def check_set(reference: Tensor, sources: Tensor) -> None:
    """Refuse what are no references `(B, 3, H, W)` with sources `(B, N, 3, h, w)`, N >= 1.

    Raises:
        InputError: the tensors have other shapes, hold no pixels, are not float32, or hold numbers that are not finite
            or far from [0, 1].
    """
    if reference.dim() != 4 or reference.shape[1] != 3 or sources.dim() != 5 or sources.shape[2] != 3:
        raise InputError(
            f"reference must be (B, 3, H, W) and sources (B, N, 3, h, w), not {tuple(reference.shape)} and "
            f"{tuple(sources.shape)}"
        )
    if len(reference) != len(sources) or sources.shape[1] < 1:
        raise InputError(
            f"each reference needs at least one source, and sources of shape {tuple(sources.shape)} are not that for "
            f"{len(reference)} references"
        )
    _check_pictures(reference=reference, sources=sources)


def check_frames(frames: Tensor, masks: Tensor) -> None:
    """Refuse what are no frames `(B, T, 3, H, W)`, T >= 1, with masks `(B, T, 1, H, W)`.

    Raises:
        InputError: the tensors have other shapes, hold no pixels, or the frames are not float32, or hold numbers that
            are not finite or far from [0, 1].
    """
    if frames.dim() != 5 or frames.shape[1] < 1 or frames.shape[2] != 3:
        raise InputError(f"frames must be (B, T, 3, H, W) with at least one frame, not {tuple(frames.shape)}")
    if masks.shape != frames[:, :, :1].shape:
        raise InputError(f"masks must be {tuple(frames[:, :, :1].shape)}, not {tuple(masks.shape)}")
    _check_pictures(frames=frames)


def _check_pictures(**named: Tensor) -> None:
    """Refuse pictures without pixels, or with values that are none.

    Raises:
        InputError: with the name.
    """
    for name, pictures in named.items():
        if pictures.numel() == 0:
            raise InputError(f"{name} of shape {tuple(pictures.shape)} has no pixels; give at least one picture")
        if pictures.dtype != torch.float32:
            raise InputError(f"{name} must be float32 in [0, 1], not {pictures.dtype}; convert it first")
        # The extremes carry every NaN and infinity. A resize may leave [0, 1] a little, 0 to 255 and -1 to 1 do by far.
        low, high = (float(extreme) for extreme in torch.aminmax(pictures))
        if not (low >= -0.5 and high <= 1.5):
            raise InputError(f"{name} must be finite and in [0, 1], not from {low:g} to {high:g}; scale or repair it")


@dataclass(frozen=True)
class NoInferenceOptions:
    """Of a method that aligns in one way only."""


class LearnedAligner(nn.Module, PyTorchModelHubMixin, Aligner):
    """An `Aligner` with weights: trained by `raylign train`, saved as safetensors and JSON.

    A subclass is built from its configuration, `Method(config)`, and takes the keyword `initialise=False` when all its
    weights will come from a checkpoint.
    """

    Config: ClassVar[type]
    """The frozen dataclass of the method's hyperparameters; the only positional constructor argument."""

    batch_kind: ClassVar[Literal["pair", "sequence"]] = "pair"
    """What `training_step` eats: batches of pairs or of sequences."""

    Inference: ClassVar[type] = NoInferenceOptions
    """A frozen dataclass of what can be chosen anew at each alignment (steps, guidance, starts); all fields have
    defaults, which are what users get."""

    config: Any
    inference: Any
    """The chosen `Inference`; the class's defaults until somebody sets it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.inference = self.Inference()

    @abstractmethod
    def training_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses of one batch; the key `loss` is the sum that is minimised, the others are its unweighted parts.

        Each is a mean over the samples, so that a batch may be cut into slices. Random numbers of samples come from
        `draws.Draws(batch)`, which makes them the same on any number of workers; others, of layers such as dropout,
        from torch's global generator, which the training seeds for each step and worker.

        Args:
            batch: for pairs `reference (B,3,S,S)`, `source (B,3,S,S)` in [0, 1] at the working size and, where known,
                `homography (B,3,3)` reference to source; for sequences `frames (B,T,3,S,S)`, `truth (B,3,S,S)` and,
                where known, `homographies (B,T,3,3)` frame 0 to frame k and `masks (B,T,1,S,S)`; for both
                `seed (B,)`, for `Draws`. Pairs also have what
                `batch_fields` asks for: `truth (B,3,S,S)` in [0, 1], what the source shows from the view of the
                reference, in the colours of the source as the network sees it; `dynamic (B,1,S,S)` in {0, 1}, 1 where
                something moves by itself, NaN in the whole row of a sample of which that is unknown;
                `vessels (B,2,S,S)` in [0, 1], where reference and source show vessels of a retina.
        """

    @classmethod
    def batch_fields(cls, config: Any) -> tuple[str, ...]:
        """What a model of this configuration needs of batches of pairs besides, of `truth`, `dynamic` and `vessels`;
        with `best_homography` the homography is the one that comes closest where none is true of a pair."""
        return ()

    def settled(self, inference: Any) -> Any:
        """The same options, with a value for each that they leave to the network."""
        return inference

    def validation_inference(self) -> Any:
        """The `Inference` with which a training measures itself: what the weights can do, without costly help."""
        return type(self).Inference()

    def training_stages(self) -> tuple[Stage, ...]:
        """The stages of a training, in order; one that trains everything, unless the method says otherwise."""
        return (Stage("all"),)

    def enter_stage(self, stage: str) -> None:
        """Get ready for a stage: which weights are trained (`requires_grad_`), which losses `training_step` gives."""

    def optimizers(self, lr: float, weight_decay: float) -> list[torch.optim.Optimizer]:
        """Optimizers of the stage that was entered; the schedule multiplies the learning rate of each of their groups.

        The norm of the gradient is clipped for each optimizer by itself. One AdamW over all weights that are trained,
        unless the method says otherwise.

        Args:
            lr: learning rate at the start.
            weight_decay: decoupled weight decay.
        """
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return [torch.optim.AdamW(trained, lr=lr, weight_decay=weight_decay, fused=True)]

    def enable_gradient_checkpointing(self) -> None:
        """Recompute activations in the backward pass instead of keeping them.

        Raises:
            InputError: the method cannot.
        """
        raise InputError(f"'{self.name}' cannot recompute activations; leave --loop.recompute out")

    def shard_units(self) -> list[nn.Module]:
        """Modules whose weights are gathered together when each worker keeps a part of all weights (FSDP).

        Each must be run by calling it, within `training_step`.
        """
        return [module for module in self.children() if any(True for _ in module.parameters())]

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **download: Any) -> Self:
        """The model of a checkpoint folder, or of a repository on the Hugging Face hub, in evaluation mode.

        Args:
            pretrained_model_name_or_path: a folder written by `save_pretrained`, or the id of a repository.
            download: arguments of `huggingface_hub.snapshot_download` (revision, token, cache_dir, local_files_only).

        Raises:
            CheckpointError: no complete checkpoint of this method is there.
        """
        from .checkpoints import download_checkpoint, read_checkpoint

        folder = Path(pretrained_model_name_or_path)
        if not folder.is_dir():
            folder = download_checkpoint(str(pretrained_model_name_or_path), **download)
        return read_checkpoint(folder, cls)

    def _save_pretrained(self, save_directory: Path) -> None:
        """What the mixin's `save_pretrained` and `push_to_hub` write."""
        from .checkpoints import write_checkpoint

        write_checkpoint(save_directory, self)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.parameters()).device


def has_fast_bfloat16(device: torch.device) -> bool:
    """Where bfloat16 is computed natively: GPUs, CPUs with AMX or AVX512-BF16. Elsewhere it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
