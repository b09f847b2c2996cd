"""`DmAligner.align`: the way from noise to a picture, its windows and samples, and its contract as an `Aligner`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from raylign.methods.dmaligner import DmAligner, DmAlignerInference
from raylign.methods.dmaligner.drawing import pairs_at_once
from raylign.methods.errors import InputError
from tests.methods.dmaligner_small import (
    AUTHORS,
    SOURCE,
    ReferenceDenoiser,
    moving_batch,
    small_aligner,
)
from tests.methods.shots import psnr
from tests.methods.small import picture

SCENE = picture(3, (64, 64))


@pytest.fixture(scope="module")
def still() -> DmAligner:
    """An autoencoder that knows `SCENE`, and a denoiser that knows the truth where nothing differs."""
    model = small_aligner(dmp="none").train()
    optimizer = torch.optim.Adam(model.autoencoder.parameters(), 1e-2)
    for _ in range(180):
        optimizer.zero_grad()
        noise = torch.randn(1, model.config.latent_channels, 16, 16)
        model.autoencoder(SCENE, "losses", noise)["loss"].backward()
        optimizer.step()
    model.denoiser = ReferenceDenoiser()  # type: ignore[assignment]
    return model.eval()


def chosen(model: DmAligner, **choices: Any) -> DmAligner:
    model.inference = DmAlignerInference(**{"steps": 2, **choices})
    return model


def round_trip(model: DmAligner, pictures: Tensor) -> Tensor:
    """Encoded and decoded at once, after the borders were repeated to whole latents."""
    height, width = pictures.shape[-2:]
    padding = (0, max(32, -(-width // 4) * 4) - width, 0, max(32, -(-height // 4) * 4) - height)
    padded = F.pad(pictures, padding, mode="replicate")
    with torch.no_grad():
        decoded = model.autoencoder.decode(model.autoencoder.encode(padded))
    return decoded.clamp(0, 1)[..., :height, :width]


@pytest.mark.parametrize("size", [(64, 64), (50, 61), (9, 64)])
@pytest.mark.parametrize(("solver", "steps"), [("ddim", 1), ("ddim", 50), ("dpm", 10)])
def test_of_a_static_pair_the_truth_gives_the_round_trip(
    still: DmAligner, size: tuple[int, int], solver: str, steps: int
) -> None:
    reference = SCENE[..., : size[0], : size[1]]
    found = chosen(still, solver=solver, steps=steps).align(reference, reference[:, None])
    expected = round_trip(still, reference)
    torch.testing.assert_close(found.image, expected, atol=1e-3, rtol=0)
    # The autoencoder bounds what can be reached.
    assert psnr(found.image, reference) == pytest.approx(psnr(expected, reference), abs=0.05)
    assert psnr(found.image, reference) > 12


def test_larger_pictures_are_drawn_reduced(still: DmAligner) -> None:
    reference = picture(3, (96, 128))
    found = chosen(still, side=64).align(reference, reference[:, None])
    small = F.interpolate(reference, (48, 64), mode="bilinear", antialias=True)
    expected = F.interpolate(round_trip(still, small), (96, 128), mode="bilinear", antialias=True)
    torch.testing.assert_close(found.image, expected, atol=1e-3, rtol=0)


def test_pictures_that_are_wide_enough_for_bfloat16_stay_the_same(still: DmAligner) -> None:
    reference = picture(3, (130, 150))
    found = chosen(still).align(reference, reference[:, None])
    assert psnr(found.image, round_trip(still, reference)) > 35
    for reading in (AUTHORS, SOURCE):
        drawn = small_aligner(**reading, geometry="flow").align(reference, reference.flip(-1)[:, None])
        assert drawn.image.isfinite().all()
        assert drawn.image.dtype == drawn.extras["dynamic"].dtype == torch.float32


def test_windows_join_without_seams(still: DmAligner) -> None:
    reference = picture(3, (100, 180))
    whole, tiled, alone = (
        chosen(still, tile=tile, overlap=32).align(reference, reference[:, None]).image for tile in (512, 64, 192)
    )
    assert torch.equal(whole, alone)
    assert tiled.shape == whole.shape
    assert psnr(tiled, whole) > 25
    # Where windows begin, neighbours differ no more than elsewhere.
    jumps = (tiled - whole).diff(dim=-1).abs().mean((0, 1, 2))
    assert jumps.max() < 8 * jumps.median() + 0.01


@pytest.mark.parametrize("reading", [AUTHORS, SOURCE])
def test_a_pair_does_not_depend_on_seed_states_or_its_batch(
    reading: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = small_aligner(**reading), moving_batch(3)
    reference, sources = batch["reference"], batch["source"][:, None]
    found = model.align(reference, sources)
    assert not torch.equal(found.image[0], found.image[1])
    torch.manual_seed(99)
    assert torch.equal(model.align(reference, sources).image, found.image)
    alone = model.align(reference[1:2], sources[1:2])
    torch.testing.assert_close(alone.image, found.image[1:2], atol=1e-4, rtol=0)
    torch.testing.assert_close(alone.extras["dynamic"], found.extras["dynamic"][1:2], atol=1e-4, rtol=0)
    monkeypatch.setattr("raylign.methods.dmaligner.drawing.AT_ONCE", 2 * 64 * 64)
    torch.testing.assert_close(model.align(reference, sources).image, found.image, atol=1e-4, rtol=0)
    model.inference = replace(model.inference, seed=1)
    assert not torch.allclose(model.align(reference, sources).image, found.image, atol=1e-2)


def test_windows_bound_how_many_pairs_are_drawn_together() -> None:
    assert pairs_at_once((512, 512), 512) == pairs_at_once((9000, 9000), 512) == 4
    assert pairs_at_once((4000, 4000), 2048) == 1
    assert pairs_at_once((1, 1), 512) == 1024


def test_several_samples_give_their_mean_and_how_they_differ() -> None:
    model, batch = small_aligner(), moving_batch()
    reference, sources = batch["reference"], batch["source"][:, None]
    each = torch.stack([chosen(model, seed=seed).align(reference, sources).image for seed in (4, 5, 6)])
    found = chosen(model, seed=4, samples=3).align(reference, sources)
    torch.testing.assert_close(found.image, each.mean(0), atol=1e-5, rtol=0)
    spread = each.std(0).mean(1, keepdim=True)
    torch.testing.assert_close(found.extras["uncertainty"], spread, atol=1e-4, rtol=0)
    assert spread.mean() > 1e-3


def test_the_mask_is_told_at_full_size() -> None:
    model, batch = small_aligner(), moving_batch()
    found = model.align(batch["reference"], batch["source"][:, None])
    with torch.no_grad():
        assert model.mask is not None
        logits = model.mask(model.autoencoder.encode(batch["reference"]), model.autoencoder.encode(batch["source"]))
    expected = F.interpolate(logits.sigmoid(), (64, 64), mode="bilinear")
    torch.testing.assert_close(found.extras["dynamic"], expected, atol=1e-4, rtol=0)
    assert sorted(found.extras) == ["dynamic"]
    assert sorted(small_aligner(dmp="none").align(batch["reference"], batch["source"][:, None]).extras) == []


def test_of_a_static_pair_pixels_are_kept_as_they_are(still: DmAligner) -> None:
    reference = SCENE
    found = chosen(still, keep_pixels=True).align(reference, reference[:, None])
    kept = found.extras["kept"]
    assert kept.shape == (1, 1, 64, 64)
    assert (kept == 1).float().mean() > 0.1
    same = (kept == 1).expand_as(reference)
    torch.testing.assert_close(found.image[same], reference[same], atol=2e-3, rtol=0)
    drawn = chosen(still).align(reference, reference[:, None])
    unkept = (kept == 0).expand_as(reference)
    assert torch.equal(found.image[unkept], drawn.image[unkept])
    # What the source confirms is what was drawn, not what was taken from it.
    assert torch.equal(found.confidence, drawn.confidence)  # type: ignore[arg-type]


@pytest.mark.parametrize("solver", ["ddim", "dpm", "student"])
def test_copied_pictures_keep_the_detail_that_the_autoencoder_loses(solver: str) -> None:
    model = small_aligner(geometry="flow", copies=True, student_share=0.2)
    batch = moving_batch()
    brought = model.brought_over(batch["reference"], batch["source"])
    assert brought is not None
    for denoiser in (model.denoiser, model.student):
        assert denoiser is not None
        bias = denoiser.conv_out.bias
        assert bias is not None
        with torch.no_grad():
            denoiser.conv_out.weight.zero_()
            bias.zero_()
            # All of the second picture: the reference in the source's light.
            bias[model.config.latent_channels + 1] = 1e4
    wanted = brought.pictures[1]
    for size in (512, 64):
        kept = chosen(model, solver=solver, tile=size, overlap=32).align(batch["reference"], batch["source"][:, None])
        torch.testing.assert_close(kept.image, wanted, atol=1e-3, rtol=0)
    lost = chosen(model, solver=solver, carry_detail=False).align(batch["reference"], batch["source"][:, None])
    torch.testing.assert_close(lost.image, round_trip(model, wanted), atol=1e-3, rtol=0)
    assert psnr(lost.image, wanted) < 20


def test_confidence_follows_what_the_source_confirms(still: DmAligner) -> None:
    reference, other = SCENE, picture(9, (64, 64))
    same, strange = (
        float(chosen(still).align(reference, source[:, None]).confidence)  # type: ignore[arg-type]
        for source in (reference, other)
    )
    assert same > 0.5
    assert strange < 0.3


def test_a_student_draws_in_few_steps() -> None:
    batch = moving_batch()
    reference, sources = batch["reference"], batch["source"][:, None]
    model = chosen(small_aligner(student_share=0.2), solver="student", student_steps=2)
    first, again = (model.align(reference, sources).image for _ in range(2))
    assert torch.equal(first, again)
    assert first.isfinite().all()
    without = chosen(small_aligner(), solver="student")
    with pytest.raises(InputError, match="student-share"):
        without.align(reference, sources)


def test_more_steps_than_noise_levels_are_refused() -> None:
    batch = moving_batch()
    with pytest.raises(InputError, match="steps"):
        chosen(small_aligner(train_steps=10), steps=11).align(batch["reference"], batch["source"][:, None])


@pytest.mark.parametrize(
    ("variant", "steps"),
    [
        ({"prediction": "sample"}, 1),
        ({"prediction": "epsilon"}, 50),
        ({"prediction": "epsilon", "train_steps": 10}, 10),
    ],
)
def test_who_predicts_noise_takes_the_papers_steps_unless_told(variant: dict[str, Any], steps: int) -> None:
    batch = moving_batch(1)
    told, untold = (chosen(small_aligner(**variant), steps=number) for number in (steps, 0))
    expected, found = (model.align(batch["reference"], batch["source"][:, None]).image for model in (told, untold))
    assert torch.equal(found, expected)
    other = chosen(untold, steps=2).align(batch["reference"], batch["source"][:, None]).image
    assert not torch.equal(other, expected)


def test_aligning_leaves_a_training_as_it_is() -> None:
    model, batch = small_aligner().train(), moving_batch()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.align(batch["reference"], batch["source"][:, None])
    assert model.training
    assert model.autoencoder.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


shapes = st.tuples(st.integers(1, 90), st.integers(1, 90))
variants = st.sampled_from(
    [
        AUTHORS,
        SOURCE,
        {"dmp": "features", "geometry": "flow", "copies": True},
        {"downscale": 8, "vae_channels": (8, 8, 8, 8)},
    ]
)


@settings(derandomize=True, deadline=None, max_examples=12, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(shapes, shapes, st.integers(1, 2), variants, st.booleans())
def test_any_sizes_give_finite_pictures(
    size: tuple[int, int], other: tuple[int, int], batch: int, variant: dict[str, Any], keep: bool
) -> None:
    model = chosen(small_aligner(**variant), keep_pixels=keep, tile=64, overlap=32)
    found = model.align(picture(1, size, batch), picture(2, other, batch)[:, None])
    assert found.image.shape == (batch, 3, *size)
    assert 0 <= found.image.min() <= found.image.max() <= 1
    assert found.mask.shape == (batch, 1, *size)
    assert (found.mask == 1).all()
    assert found.confidence is not None
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
    assert all(value.shape == (batch, 1, *size) and value.isfinite().all() for value in found.extras.values())
    assert found.homography is None
    assert found.flow is None


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_nothing_to_see_is_no_alignment(still: DmAligner, level: float) -> None:
    flat = torch.full((1, 3, 80, 80), level)
    found = chosen(still, keep_pixels=True).align(picture(3, (80, 80)), flat[:, None])
    assert found.image.isfinite().all()
    assert float(found.confidence) < 0.1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reference", "sources"),
    [
        (torch.zeros(1, 3, 8, 8, dtype=torch.float64), torch.zeros(1, 1, 3, 8, 8)),
        (torch.zeros(1, 3, 8, 8), torch.full((1, 1, 3, 8, 8), torch.nan)),
        (torch.zeros(1, 3, 8, 8), torch.full((1, 1, 3, 8, 8), 200.0)),
        (torch.zeros(1, 3, 8, 8), torch.zeros(1, 2, 3, 8, 8)),
        (torch.zeros(0, 3, 8, 8), torch.zeros(0, 1, 3, 8, 8)),
        (torch.zeros(1, 3, 0, 8), torch.zeros(1, 1, 3, 8, 8)),
    ],
)
def test_what_are_no_pictures_is_refused(reference: Tensor, sources: Tensor) -> None:
    with pytest.raises(InputError):
        small_aligner().align(reference, sources)
