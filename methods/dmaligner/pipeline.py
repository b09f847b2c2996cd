"""DMAligner as a pipeline of diffusers: its parts saved one by one, in the layout that diffusers' users know."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, ImagePipelineOutput
from diffusers.utils import is_accelerate_available
from huggingface_hub import snapshot_download
from PIL import Image
from torch import Tensor

from .config import DmAlignerConfig, DmAlignerInference
from .denoiser import Denoiser
from .dmp import CorrelationMask
from .network import DmAligner


class DmAlignerPipeline(DiffusionPipeline):
    """The parts of a `DmAligner`, and its `align` as a call; only safetensors and JSON are written and read.

    There is no scheduler among the parts: the solver is an argument of the call. Import this class before loading:
    diffusers looks up our parts among the modules that are imported.

    Args:
        vae: the autoencoder; `latents_mean` and `latents_std` of its configuration normalise latents.
        denoiser: what predicts.
        mask: what finds out what moves, where the configuration has it.
        student: a denoiser that needs few steps, where one was trained.
        method: the fields of `DmAlignerConfig` that are not its defaults.
    """

    _optional_components: ClassVar[list[str]] = ["mask", "student"]

    def __init__(
        self,
        vae: AutoencoderKL,
        denoiser: Denoiser,
        mask: CorrelationMask | None = None,
        student: Denoiser | None = None,
        method: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(vae=vae, denoiser=denoiser, mask=mask, student=student)
        self.register_to_config(method=method)

    @classmethod
    def from_aligner(cls, model: DmAligner) -> Self:
        """A pipeline that shares the weights of a model."""
        autoencoder = model.autoencoder
        autoencoder.kl.register_to_config(
            scaling_factor=1.0,
            latents_mean=autoencoder.latent_mean.flatten().tolist(),
            latents_std=autoencoder.latent_std.flatten().tolist(),
        )
        return cls(autoencoder.kl, model.denoiser, model.mask, model.student, asdict(model.config))

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **download: Any) -> Self:
        """The pipeline of a folder written by `save_pretrained`, or of a repository on the Hugging Face hub.

        Args:
            pretrained_model_name_or_path: the folder, or the id of the repository.
            download: arguments of `huggingface_hub.snapshot_download` (revision, token, cache_dir, local_files_only).

        Raises:
            OSError: a part has no safetensors file there.
        """
        folder = Path(pretrained_model_name_or_path)
        if not folder.is_dir():
            patterns = ["*.json", "*.safetensors"]
            folder = Path(snapshot_download(str(pretrained_model_name_or_path), allow_patterns=patterns, **download))
        # diffusers would fall back on pickled weights, and warn where accelerate is not installed.
        return super().from_pretrained(str(folder), use_safetensors=True, low_cpu_mem_usage=is_accelerate_available())

    def aligner(self) -> DmAligner:
        """A `DmAligner` of the parts as they are now."""
        with torch.device("meta"):
            model = DmAligner(DmAlignerConfig(**(self.config.method or {})), initialise=False)
        model.autoencoder.kl, model.denoiser = self.vae, self.denoiser
        model.mask, model.student = self.mask, self.student
        for name, values in (("mean", self.vae.config.latents_mean), ("std", self.vae.config.latents_std)):
            normaliser = torch.tensor(values, device=self.vae.device).reshape(1, -1, 1, 1)
            setattr(model.autoencoder, f"latent_{name}", normaliser)
        return model.eval()

    def __call__(
        self,
        reference: Tensor | Image.Image,
        source: Tensor | Image.Image,
        num_inference_steps: int | None = None,
        *,
        solver: Literal["ddim", "dpm", "student"] = "ddim",
        seed: int = 0,
        generator: torch.Generator | None = None,
        output_type: Literal["pt", "np", "pil"] = "pil",
        **choices: Any,
    ) -> ImagePipelineOutput:
        """The source's content seen from the reference.

        Args:
            reference: `(B, 3, H, W)` in [0, 1], or one picture.
            source: `(B, 3, h, w)` in [0, 1], or one picture.
            num_inference_steps: of the solver, a student takes up to 8; None takes the default of `DmAlignerInference`.
            solver: see `DmAlignerInference`.
            seed: of the noise; with the same the pixels are those of `DmAligner.align`.
            generator: draws the seed, if given.
            output_type: `(B, 3, H, W)` tensors, `(B, H, W, 3)` arrays, both in [0, 1], or a list of pictures.
            choices: further fields of `DmAlignerInference`.

        Raises:
            InputError: see `DmAligner.align` and `DmAlignerInference`.
        """
        if generator is not None:
            seed = int(torch.randint(2**31 - 1, (), generator=generator, device=generator.device))
        steps: dict[str, Any] = {}
        if num_inference_steps is not None:
            steps = {"student_steps" if solver == "student" else "steps": num_inference_steps}
        model = self.aligner()
        model.inference = DmAlignerInference(solver=solver, seed=seed, **steps, **choices)
        image = model.align(_tensor(reference), _tensor(source)[:, None]).image
        if output_type == "pt":
            return ImagePipelineOutput(images=image)
        arrays = image.permute(0, 2, 3, 1).cpu().numpy()
        return ImagePipelineOutput(images=arrays if output_type == "np" else self.numpy_to_pil(arrays))


def _tensor(picture: Tensor | Image.Image) -> Tensor:
    if isinstance(picture, Tensor):
        return picture
    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None].float() / 255
