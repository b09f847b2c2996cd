"""`DmAlignerPipeline`: the same pixels as `DmAligner`, before and after it was saved as diffusers does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from raylign.methods.dmaligner import DmAligner, DmAlignerInference
from raylign.methods.dmaligner.pipeline import DmAlignerPipeline
from tests.methods.dmaligner_small import AUTHORS, SOURCE, moving_batch, small_aligner, train_stage

VARIANTS: list[dict[str, Any]] = [
    AUTHORS,
    {**SOURCE, "student_share": 0.2},
    {"dmp": "none", "geometry": "flow"},
    {"geometry": "plane", "copies": True},
]


def trained(variant: dict[str, Any]) -> DmAligner:
    """A model whose latents are normalised by something else than 0 and 1."""
    model = small_aligner(**variant)
    train_stage(model, "autoencoder", moving_batch(), 2)
    assert (model.autoencoder.latent_std != 1).all()
    return model


@pytest.mark.parametrize("variant", VARIANTS)
def test_pixels_are_those_of_the_aligner_also_when_loaded(variant: dict[str, Any], tmp_path: Path) -> None:
    model, batch = trained(variant), moving_batch()
    model.inference = DmAlignerInference(steps=3, seed=7)
    expected = model.align(batch["reference"], batch["source"][:, None]).image
    pipeline = DmAlignerPipeline.from_aligner(model)
    arguments = (batch["reference"], batch["source"], 3)
    assert torch.equal(pipeline(*arguments, seed=7, output_type="pt").images, expected)
    pipeline.save_pretrained(tmp_path / "p")
    assert {path.suffix for path in (tmp_path / "p").rglob("*") if path.is_file()} == {".json", ".safetensors"}
    again = DmAlignerPipeline.from_pretrained(tmp_path / "p")
    assert torch.equal(again(*arguments, seed=7, output_type="pt").images, expected)
    assert again.aligner().config == model.config
    assert set(again.components) == {"vae", "denoiser", "mask", "student"}


def test_outputs_of_every_kind_show_the_same() -> None:
    pipeline, batch = DmAlignerPipeline.from_aligner(trained({})), moving_batch(1)
    tensor, array, pictures = (
        pipeline(batch["reference"], batch["source"], 2, output_type=kind).images for kind in ("pt", "np", "pil")
    )
    assert array.shape == (1, 64, 64, 3)
    np.testing.assert_array_equal(array, tensor.permute(0, 2, 3, 1).numpy())
    np.testing.assert_allclose(np.asarray(pictures[0]), array[0] * 255, atol=0.51)


def test_pictures_may_be_those_of_pillow() -> None:
    pipeline = DmAlignerPipeline.from_aligner(trained({}))
    levels = np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3), dtype=np.uint8)
    pictures = [Image.fromarray(each) for each in levels]
    tensors = torch.from_numpy(levels).permute(0, 3, 1, 2).float() / 255
    found = pipeline(*pictures, 2, output_type="pt").images
    assert torch.equal(found, pipeline(tensors[:1], tensors[1:], 2, output_type="pt").images)


def test_a_generator_decides_the_seed() -> None:
    pipeline, batch = DmAlignerPipeline.from_aligner(trained({})), moving_batch(1)

    def drawn(generator: torch.Generator) -> torch.Tensor:
        return pipeline(batch["reference"], batch["source"], 2, generator=generator, output_type="pt").images

    generator = torch.Generator().manual_seed(3)
    first, second = drawn(generator), drawn(generator)
    assert not torch.equal(first, second)
    assert torch.equal(drawn(torch.Generator().manual_seed(3)), first)


def test_a_student_and_further_choices() -> None:
    pipeline, batch = DmAlignerPipeline.from_aligner(trained({"student_share": 0.2})), moving_batch(1)
    few, kept = (
        pipeline(batch["reference"], batch["source"], 2, output_type="pt", **choices).images
        for choices in ({"solver": "student"}, {"samples": 2})
    )
    assert few.isfinite().all()
    assert not torch.equal(few, kept)


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    DmAlignerPipeline.from_aligner(trained({})).save_pretrained(tmp_path)
    weights = tmp_path / "denoiser" / "diffusion_pytorch_model.safetensors"
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(OSError, match="safetensors"):
        DmAlignerPipeline.from_pretrained(tmp_path)
