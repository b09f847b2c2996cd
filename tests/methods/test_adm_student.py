"""The student of `adm`: its loss, its stage, and that it learns what its teacher does in many steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from raylign.methods import load
from raylign.methods.adm import Adm, AdmInference
from raylign.methods.adm.chain import Chain
from raylign.methods.adm.student import Score, clean_of_student, student_losses
from raylign.methods.draws import Draws
from raylign.methods.errors import InputError
from tests.methods.adm_small import moved_pairs, retinas, small_adm


def test_at_the_clean_end_the_answer_is_what_it_is_given() -> None:
    noisy, chain = torch.randn(3, 8), Chain.linear(20, 1e-4, 0.1)
    levels = torch.tensor([-1, 5, 19])
    found = clean_of_student(lambda values, at: torch.zeros_like(values), noisy, levels, chain)
    torch.testing.assert_close(found[0], noisy[0])
    # Without noise the parameters are the noisy ones at the scale of the clean ones.
    kept = chain.alphas_cumprod[levels[1:]].sqrt().float()[:, None]
    torch.testing.assert_close(found[1:], (noisy[1:] / kept).clamp(-4, 4), rtol=2e-3, atol=2e-3)


def test_the_loss_is_the_formula_and_leaves_the_teacher_alone() -> None:
    """One DDIM step of the teacher, written down once more in float64."""
    torch.manual_seed(0)
    chain, clean = Chain.linear(20, 1e-4, 0.1), torch.randn(64, 8)
    teaching, learning = torch.tensor(0.5, requires_grad=True), torch.tensor(0.8, requires_grad=True)
    taught: list[tuple[Tensor, Tensor]] = []

    def teacher(noisy: Tensor, levels: Tensor) -> Tensor:
        taught.append((noisy, levels))
        return teaching * noisy

    loss, truth = student_losses(lambda noisy, _: learning * noisy, teacher, clean, chain, Draws({"clean": clean}))
    loss.sum().backward()
    assert teaching.grad is None
    assert learning.grad is not None
    ((noisy, levels),) = taught
    assert set(levels.tolist()) == set(range(20))

    kept = torch.cat([chain.alphas_cumprod, torch.ones(1, dtype=torch.float64)])

    def roots(at: Tensor) -> tuple[Tensor, Tensor]:
        return kept[at].sqrt()[:, None], (1 - kept[at]).sqrt()[:, None]

    def answer(seen: Tensor, at: Tensor) -> Tensor:
        time, (signal, spread) = 10 * (at + 1).double()[:, None], roots(at)
        told = ((1 - 0.8 * spread) * seen / signal).clamp(-4, 4)
        return 0.25 / (time**2 + 0.25) * seen + time / (time**2 + 0.25).sqrt() * told

    seen = noisy.detach().double()
    (signal, spread), (signal_less, spread_less) = roots(levels), roots(levels - 1)
    taken = ((1 - 0.5 * spread) * seen / signal).clamp(-4, 4)
    stepped = signal_less * taken + spread_less * (seen - signal * taken) / spread
    gap = answer(seen, levels) - answer(stepped, levels - 1)
    torch.testing.assert_close(loss.detach().double(), ((gap**2 + 1e-6).sqrt() - 1e-3).mean(1), rtol=1e-3, atol=1e-4)
    off = answer(seen, levels) - clean
    torch.testing.assert_close(truth.detach().double(), ((off**2 + 1e-6).sqrt() - 1e-3).mean(1), rtol=1e-3, atol=1e-4)


def test_a_student_learns_in_one_step_what_its_teacher_does_in_all() -> None:
    torch.manual_seed(0)
    chain = Chain.linear(4, 0.3, 0.7)
    roots = chain.alphas_cumprod.sqrt().float()
    spreads = (1 - chain.alphas_cumprod).sqrt().float()

    def told(factors: Tensor) -> Score:
        # The noise, if the clean parameters are the noisy ones times a factor.
        return lambda noisy, at: (1 - (roots * factors)[at][:, None]) * noisy / spreads[at][:, None]

    teacher, factors = told(roots), nn.Parameter(roots.clone())  # the best where clean ones come from N(0, I)
    optimizer = torch.optim.Adam([factors], lr=0.03)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    for _ in range(600):
        optimizer.zero_grad()
        clean = torch.randn(128, 1)
        student_losses(told(factors), teacher, clean, chain, Draws({"clean": clean}))[0].mean().backward()
        optimizer.step()
        schedule.step()
    noise = torch.randn(64, 1)
    wanted = noise
    for level in reversed(range(4)):
        at = torch.full((64,), level)
        wanted = chain.ddim_step(wanted, chain.clean_of(teacher(wanted, at), wanted, at), at)
    last = torch.full((64,), 3)
    assert (chain.clean_of(teacher(noise, last), noise, last) - wanted).abs().mean() > 0.3
    assert (clean_of_student(told(factors), noise, last, chain) - wanted).abs().mean() < 0.02


def test_it_starts_as_the_score_network_and_aligns_after_a_checkpoint(tmp_path: Path) -> None:
    batch = retinas(tmp_path / "d")
    model = small_adm(student_share=0.5, dropout=0.1).train()
    assert model.student is not None
    model.enter_stage("student")
    torch.testing.assert_close(model.student.state_dict(), model.score.state_dict())
    losses = model.training_step(batch)
    assert losses["loss"] == losses["consistency"] + losses["truth"]
    assert model.validation_inference().solver == "student"
    assert torch.equal(model.training_step(batch)["loss"], losses["loss"])  # no dropout in it
    model.save_pretrained(tmp_path / "model")
    reference, source, _ = moved_pairs(2, 64, 0.05)
    loaded = load(tmp_path / "model")
    assert isinstance(loaded, Adm)
    loaded.eval()
    found = []
    for solver in ("student", "ddim"):
        loaded.inference = AdmInference(solver=solver, steps=2, displacement_steps=1, iterations=1, start="noise")  # type: ignore[arg-type]
        found.append(loaded.align(reference, source[:, None]))
    assert all(each.image.isfinite().all() for each in found)
    assert found[0].homography is not None
    assert found[1].homography is not None
    assert not torch.equal(found[0].homography, found[1].homography)


def test_without_a_student_it_is_told() -> None:
    model = small_adm()
    model.inference = AdmInference(solver="student", steps=2)
    pictures = torch.rand(1, 3, 64, 64)
    with pytest.raises(InputError, match="has no student; train it with"):
        model.align(pictures, pictures[:, None])
