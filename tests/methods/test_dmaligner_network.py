"""`DmAligner` in training: what its losses are, what its stages train, what a checkpoint keeps."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from raylign.methods.classical.dis_flow import DisFlow
from raylign.methods.dmaligner import DmAligner, DmAlignerConfig
from raylign.methods.errors import InputError
from tests.methods.dmaligner_small import AUTHORS, SMALL, SOURCE, moving_batch, small_aligner, train_stage


def expected_losses(model: DmAligner, batch: dict[str, Tensor], gamma: float) -> tuple[Tensor, Tensor]:
    """METHODS.md 6.2 and 6.3, written down once more: the denoising loss and the mask's."""
    first, second, clean = (
        model.autoencoder.encode(batch[name]) for name in ("reference_input", "source_input", "truth")
    )
    drawn = [Generator().manual_seed(seed) for seed in batch["seed"].tolist()]
    timesteps = torch.stack([torch.randint(1000, (), generator=own) for own in drawn])
    noise = torch.stack([torch.randn(clean.shape[1:], generator=own) for own in drawn])
    alphas = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    alpha = torch.from_numpy(alphas[timesteps.numpy()]).float()[:, None, None, None]
    noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
    condition = [first, second]
    if model.mask is not None:
        probability = model.mask(first, second).sigmoid()
        grown = F.max_pool2d(probability, 5, stride=1, padding=2)
        condition.append(second * grown + first * (1 - grown))
        moving = batch["dynamic"]
    found = model.denoiser(noisy, timesteps, torch.cat(condition, 1))
    if model.mask is None:
        probability = found.mask_logits.sigmoid()
        search = DisFlow()
        there = search.flow(batch["reference"], batch["source"])
        back = search.flow(batch["source"], batch["reference"])
        y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
        at = torch.stack([x, y], -1) + there.permute(0, 2, 3, 1)
        returned = F.grid_sample(back, at * 2 / 63 - 1, align_corners=True)
        gap = (there + returned).square().sum(1)
        agrees = gap < 0.01 * (there.square().sum(1) + returned.square().sum(1)) + 0.5
        inside = ((at > -1e-3) & (at < 63 + 1e-3)).all(-1)
        moving = (~(agrees & inside)).float()[:, None]
    target = clean if model.config.prediction == "sample" else noise
    weight = (1 - gamma) * (1 - probability) + gamma * probability
    denoise = (weight * (found.prediction - target).square()).mean()
    pooled = moving.reshape(len(moving), 1, 16, 4, 16, 4).mean((3, 5))
    cross = -(pooled * probability.log() + (1 - pooled) * (1 - probability).log()).mean()
    return denoise, cross


@pytest.mark.parametrize(("reading", "gamma"), [(AUTHORS, 0.7), (AUTHORS, 0.5), (SOURCE, 0.7)])
def test_losses_are_those_of_the_paper(reading: dict[str, Any], gamma: float) -> None:
    model, batch = small_aligner(gamma=gamma, **reading), moving_batch()
    with torch.no_grad():
        denoise, mask = expected_losses(model, batch, gamma)
        torch.manual_seed(3)
        found = model.training_step(batch)
    torch.testing.assert_close(found["denoise"], denoise, rtol=1e-3, atol=0)
    # Pixels whose flow just agrees fall to one side or the other.
    torch.testing.assert_close(found["mask"], mask, rtol=1e-2, atol=0)
    torch.testing.assert_close(found["loss"], 2 * found["denoise"] + 0.1 * found["mask"])


def test_half_of_the_weight_on_what_moves_halves_the_loss() -> None:
    losses = []
    for changes in ({"gamma": 0.5}, {"gamma": 0.0}, {"gamma": 1.0}):
        torch.manual_seed(3)
        losses.append(small_aligner(**AUTHORS, **changes).training_step(moving_batch())["denoise"].item())
    assert losses[0] == pytest.approx((losses[1] + losses[2]) / 2, rel=1e-5)


def test_without_a_mask_the_loss_is_the_plain_squared_error() -> None:
    model, batch = small_aligner(dmp="none"), moving_batch()
    torch.manual_seed(3)
    found = model.training_step(batch)
    assert sorted(found) == ["denoise", "loss"]
    weighted = small_aligner(dmp="none", denoise_weight=1.0)
    torch.manual_seed(3)
    torch.testing.assert_close(found["loss"], 2 * weighted.training_step(batch)["loss"])


def test_masks_that_are_not_known_count_nothing() -> None:
    model, batch = small_aligner(), moving_batch()
    torch.manual_seed(3)
    every = model.training_step(batch)
    torch.manual_seed(3)
    none = model.training_step({**batch, "dynamic": torch.full_like(batch["dynamic"], torch.nan)})
    none["loss"].backward()
    assert none["mask"] == 0
    assert none["denoise"] == every["denoise"]
    assert all(each.grad.isfinite().all() for each in model.parameters() if each.grad is not None)


@pytest.mark.parametrize("reading", [AUTHORS, SOURCE])
def test_both_readings_learn(reading: dict[str, Any]) -> None:
    model, batch = small_aligner(**reading), moving_batch(1)
    drawn = train_stage(model, "autoencoder", batch, 15, lr=1e-2)
    assert drawn[-1] < 0.9 * drawn[0]
    told = train_stage(model, "diffusion", batch, 30, lr=1e-2)
    assert told[-1] < 0.7 * told[0]


@pytest.mark.parametrize(
    ("dmp", "geometry", "loss", "copies"),
    [
        *itertools.product(("correlation", "features", "none"), ("none", "flow"), ("latent", "picture"), (False,)),
        ("correlation", "plane", "latent", False),
        ("features", "flow", "picture", True),
        ("correlation", "plane", "latent", True),
    ],
)
def test_every_choice_trains(dmp: str, geometry: str, loss: str, copies: bool) -> None:
    model = small_aligner(dmp=dmp, geometry=geometry, loss=loss, copies=copies, min_snr=5.0).train()
    model.enter_stage("diffusion")
    found = model.training_step(moving_batch())
    assert all(value.isfinite() and value.shape == () for value in found.values())
    found["loss"].backward()
    parts = [model.denoiser] + ([model.mask] if model.mask is not None else [])
    for part in parts:
        assert all(each.grad is not None for each in part.parameters())
        assert any(each.grad.abs().sum() > 0 for each in part.parameters())
    assert all(each.grad is None for each in model.autoencoder.parameters())


@pytest.mark.parametrize("dmp", ["correlation", "none"])
def test_shares_are_told_which_picture_is_right(dmp: str) -> None:
    batch, weight = moving_batch(), 0.5
    model = small_aligner(dmp=dmp, geometry="plane", copies=True, share_weight=weight).train()
    model.enter_stage("diffusion")
    told = model.training_step(batch)
    model.config = dataclasses.replace(model.config, share_weight=0.0)
    untold = model.training_step(batch)
    assert "share" not in untold
    torch.testing.assert_close(told["loss"], untold["loss"] + weight * told["share"])
    # The denoising loss left out, the shares follow what is right.
    model = small_aligner(dmp=dmp, geometry="plane", copies=True, share_weight=1.0, denoise_weight=0.0, mask_weight=0.0)
    losses = train_stage(model, "diffusion", batch, 40, lr=1e-2)
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("reading", [AUTHORS, SOURCE])
def test_stages_train_their_own_weights(reading: dict[str, Any]) -> None:
    model, batch = small_aligner(student_share=0.2, **reading), moving_batch()
    stages = model.training_stages()
    assert [(stage.name, stage.share) for stage in stages] == [
        ("autoencoder", 0.3),
        ("diffusion", pytest.approx(0.5)),
        ("student", 0.2),
    ]
    for stage, own in (
        ("autoencoder", ("autoencoder.",)),
        ("diffusion", ("denoiser.", "mask.")),
        ("student", ("student.",)),
    ):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        if stage == "student":
            before |= {name.replace("denoiser.", "student."): before[name] for name in before if "denoiser." in name}
        losses = train_stage(model, stage, batch, 2)
        assert np.isfinite(losses).all()
        changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
        assert changed
        assert all(name.startswith(own) for name in changed)
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert trained == {name for name, _ in model.named_parameters() if name.startswith(own)}


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"vae_share": 0.0}, ["diffusion"]),
        ({}, ["autoencoder", "diffusion"]),
        ({"vae_share": 0.0, "student_share": 0.5}, ["diffusion", "student"]),
    ],
)
def test_stages_without_a_share_are_left_out(changes: dict[str, Any], names: list[str]) -> None:
    stages = small_aligner(**changes).training_stages()
    assert [stage.name for stage in stages] == names
    assert sum(stage.share for stage in stages) == pytest.approx(1)


def test_recomputed_activations_give_the_same_gradients() -> None:
    gradients = []
    for recompute in (False, True):
        model = small_aligner(student_share=0.2).train()
        model.enter_stage("diffusion")
        if recompute:
            model.enable_gradient_checkpointing()
        torch.manual_seed(3)
        model.training_step(moving_batch())["loss"].backward()
        gradients.append(torch.cat([each.grad.flatten() for each in model.denoiser.parameters()]))
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_given_autoencoder_stays_as_it_is(tmp_path: Path) -> None:
    given = small_aligner(seed=5).autoencoder.kl
    given.save_pretrained(tmp_path / "sd" / "vae")
    model = small_aligner(vae=str(tmp_path / "sd"))
    assert [stage.name for stage in model.training_stages()] == ["diffusion"]
    train_stage(model, "diffusion", moving_batch(), 2)
    kept = model.autoencoder.kl.state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in given.state_dict().items())
    # A checkpoint has these weights, so that the folder is not needed again.
    model.save_pretrained(tmp_path / "checkpoint")
    shutil.rmtree(tmp_path / "sd")
    again = DmAligner.from_pretrained(tmp_path / "checkpoint")
    reference = moving_batch()["reference"]
    assert torch.equal(model.autoencoder.encode(reference), again.autoencoder.encode(reference))
    with pytest.raises(InputError):
        DmAligner(DmAlignerConfig(**SMALL, vae=str(tmp_path / "sd")))


def test_the_autoencoder_of_another_training_is_taken_over(tmp_path: Path) -> None:
    trained = small_aligner(seed=5)
    train_stage(trained, "autoencoder", moving_batch(), 2)
    trained.save_pretrained(tmp_path)
    model = small_aligner(seed=6, vae=str(tmp_path), dmp="none", geometry="plane")
    kept, given = model.autoencoder.state_dict(), trained.autoencoder.state_dict()
    assert kept.keys() == given.keys()
    assert all(torch.equal(value, kept[name]) for name, value in given.items())
    assert [stage.name for stage in model.training_stages()] == ["diffusion"]
    with pytest.raises(InputError, match=r"another shape; give --model\.vae-channels 8 16 16$"):
        small_aligner(vae=str(tmp_path), vae_channels=(8, 8, 16))
    config = tmp_path / "config.json"
    config.write_text('{"method": "dmaligner"}')
    with pytest.raises(InputError, match="does not say what shape"):
        small_aligner(vae=str(tmp_path))
    config.write_text('{"method": "diar"}')
    with pytest.raises(InputError, match=r"is not that of an AutoencoderKL; .* or a checkpoint of 'dmaligner'$"):
        small_aligner(vae=str(tmp_path))


def test_a_checkpoint_gives_the_same_answers_and_trains_on(tmp_path: Path) -> None:
    model, batch = small_aligner(student_share=0.2), moving_batch()
    train_stage(model, "autoencoder", batch, 2)
    model.save_pretrained(tmp_path / "c")
    again = DmAligner.from_pretrained(tmp_path / "c")
    assert again.config == model.config
    assert not again.training
    again.inference = model.inference
    expected = model.align(batch["reference"], batch["source"][:, None]).image
    assert torch.equal(again.align(batch["reference"], batch["source"][:, None]).image, expected)
    assert train_stage(again, "diffusion", batch, 2) == train_stage(model, "diffusion", batch, 2)


def test_batches_must_have_what_the_losses_need() -> None:
    assert DmAligner.batch_fields(DmAlignerConfig()) == ("truth", "dynamic")
    assert DmAligner.batch_fields(DmAlignerConfig(dmp="features")) == ("truth",)
