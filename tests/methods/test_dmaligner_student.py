"""The distilled student: its sampling, its loss, and that it learns what its teacher does in many steps."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from raylign.methods.dmaligner.config import DmAlignerConfig
from raylign.methods.dmaligner.diffusion import Diffusion
from raylign.methods.dmaligner.sampling import Predict, sampled, starting_noise
from raylign.methods.dmaligner.student import boundary_scales, derived_noise, student_losses, student_sampled
from raylign.methods.draws import Draws
from tests.methods.dmaligner_small import small_aligner

Prediction = Literal["sample", "epsilon"]
CPU = torch.device("cpu")


def denoiser(noisy: Tensor, timesteps: Tensor) -> Tensor:
    return torch.tanh(0.7 * noisy + 0.2) + 0.3 * torch.cos(timesteps / 300)[:, None, None, None] * noisy


def test_at_the_clean_end_the_latent_is_the_answer() -> None:
    skip, out = boundary_scales(torch.tensor([-1, 0, 999]))
    assert skip[0].item() == 1
    assert out[0].item() == 0
    # sigma_data 0.5 and times 10 and 10000, of the paper's formula.
    assert skip.flatten().tolist()[1:] == pytest.approx([0.25 / 100.25, 0.25 / 100000000.25])
    assert out.flatten().tolist()[1:] == pytest.approx([10 / math.sqrt(100.25), 1])


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 8])
def test_who_always_says_the_truth_gets_it_back(steps: int) -> None:
    truth = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(9))
    seen: list[int] = []

    def told(noisy: Tensor, timesteps: Tensor) -> Tensor:
        seen.append(int(timesteps[0]))
        return truth

    found = student_sampled(told, starting_noise((4, 3, 5), [0, 1], CPU), DmAlignerConfig(), steps)
    torch.testing.assert_close(found, truth, atol=1e-4, rtol=0)
    assert len(seen) == steps
    assert seen[0] == 999
    # Only levels that the student was trained at.
    assert set(seen) <= set(range(19, 1000, 20))
    assert seen == sorted(set(seen), reverse=True)


def test_the_starting_noise_alone_decides() -> None:
    config = DmAlignerConfig()
    noise = starting_noise((4, 6, 5), [0, 1], CPU)
    both = student_sampled(denoiser, noise, config, 4)
    torch.manual_seed(5)
    torch.testing.assert_close(student_sampled(denoiser, noise[1:], config, 4)[0], both[1])
    window = student_sampled(denoiser, noise[:, :, 2:, 1:4], config, 4)
    torch.testing.assert_close(window, both[:, :, 2:, 1:4])
    assert not torch.equal(both[0], both[1])


def test_derived_noise_is_white_and_new() -> None:
    noise = starting_noise((4, 256, 256), [0], CPU)
    drawn = [noise, *(derived_noise(noise, step) for step in (1, 2, 3))]
    for each in drawn[1:]:
        assert torch.isfinite(each).all()
        assert abs(float(each.mean())) < 0.01
        assert abs(float(each.std()) - 1) < 0.01
        assert abs(float(each.pow(4).mean()) - 3) < 0.1
        assert abs(float((each[..., 1:] * each[..., :-1]).mean())) < 0.01
    for one in range(4):
        for other in range(one):
            assert abs(float((drawn[one] * drawn[other]).mean())) < 0.01
            assert abs(float((drawn[one].square() * drawn[other].square()).mean()) - 1) < 0.03


@pytest.mark.parametrize("prediction", ["sample", "epsilon"])
def test_the_loss_is_the_formula(prediction: Prediction) -> None:
    torch.manual_seed(0)
    diffusion = Diffusion(DmAlignerConfig(prediction=prediction))
    alphas = torch.cat([diffusion.alphas_cumprod, torch.ones(1, dtype=torch.float64)])
    gain = torch.tensor(0.8, requires_grad=True)
    taught: list[tuple[Tensor, Tensor]] = []

    def teacher(noisy: Tensor, timesteps: Tensor) -> Tensor:
        taught.append((noisy, timesteps))
        return denoiser(noisy, timesteps)

    clean = torch.randn(64, 2, 3, 4)
    loss, truth = student_losses(
        lambda noisy, timesteps: gain * noisy, teacher, clean, diffusion, Draws({"clean": clean})
    )
    loss.sum().backward()

    ((noisy, more),) = taught
    less = more - 20
    assert set(more.tolist()) <= set(range(19, 1000, 20))
    assert len(set(more.tolist())) > 20

    def roots(timesteps: Tensor) -> tuple[Tensor, Tensor]:
        level = alphas[timesteps][:, None, None, None]
        return level.sqrt(), (1 - level).sqrt()

    def both_of(said: Tensor, seen: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        signal, spread = roots(timesteps)
        if prediction == "sample":
            return said, (seen - signal * said) / spread
        return (seen - spread * said) / signal, said

    def answer(factor: Tensor, seen: Tensor, timesteps: Tensor) -> Tensor:
        time = 10 * (timesteps + 1).double()[:, None, None, None]
        signal, spread = roots(timesteps)
        told = factor * seen if prediction == "sample" else (seen - spread * factor * seen) / signal
        return 0.25 / (time**2 + 0.25) * seen + time / (time**2 + 0.25).sqrt() * told

    signal, spread = roots(more)
    added = (noisy - signal * clean) / spread
    assert abs(float(added.mean())) < 0.1
    assert abs(float(added.std()) - 1) < 0.1
    taken, noise = both_of(teacher(noisy, more).double(), noisy.double(), more)
    signal_less, spread_less = roots(less)
    stepped = signal_less * taken + spread_less * noise
    factor = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    gap = answer(factor, noisy.double(), more) - answer(factor, stepped, less).detach()
    expected = ((gap**2 + 1e-6).sqrt() - 1e-3).mean((1, 2, 3))
    expected.sum().backward()
    torch.testing.assert_close(loss.double(), expected, atol=2e-4, rtol=2e-3)
    off = answer(torch.tensor(0.8), noisy.double(), more) - clean
    torch.testing.assert_close(truth.double(), ((off**2 + 1e-6).sqrt() - 1e-3).mean((1, 2, 3)), atol=2e-4, rtol=2e-3)
    assert gain.grad is not None
    assert factor.grad is not None
    assert gain.grad.item() == pytest.approx(factor.grad.item(), rel=0.01)


def test_no_gradient_reaches_the_teacher() -> None:
    torch.manual_seed(0)
    diffusion = Diffusion(DmAlignerConfig())
    teaching, learning = torch.tensor(0.5, requires_grad=True), torch.tensor(0.5, requires_grad=True)

    def scaled(factor: Tensor) -> Predict:
        return lambda noisy, timesteps: factor * noisy

    clean = torch.randn(4, 1, 2, 2)
    parts = student_losses(scaled(learning), scaled(teaching), clean, diffusion, Draws({"clean": clean}))
    torch.cat(parts).sum().backward()
    assert teaching.grad is None
    assert learning.grad is not None


def test_a_student_learns_in_one_step_what_its_teacher_does_in_all() -> None:
    torch.manual_seed(0)
    config = DmAlignerConfig(train_steps=4, beta_schedule="linear", beta_start=0.3, beta_end=0.7)
    diffusion = Diffusion(config)
    roots = diffusion.alphas_cumprod.sqrt().float()

    def teacher(noisy: Tensor, timesteps: Tensor) -> Tensor:
        # The best answer where clean latents come from N(0, I).
        return roots[timesteps][:, None, None, None] * noisy

    factors = nn.Parameter(roots.clone())

    def student(noisy: Tensor, timesteps: Tensor) -> Tensor:
        return factors[timesteps][:, None, None, None] * noisy

    optimizer = torch.optim.Adam([factors], lr=0.03)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    for _ in range(600):
        optimizer.zero_grad()
        clean = torch.randn(128, 1, 1, 1)
        student_losses(student, teacher, clean, diffusion, Draws({"clean": clean}))[0].mean().backward()
        optimizer.step()
        schedule.step()
    noise = starting_noise((1, 8, 8), [0], CPU)
    wanted = sampled(teacher, noise, config, "ddim", 4)
    assert (sampled(teacher, noise, config, "ddim", 1) - wanted).abs().mean() > 0.3
    assert (student_sampled(student, noise, config, 1) - wanted).abs().mean() < 0.02


def test_a_training_measures_the_network_that_it_trains() -> None:
    # Otherwise the best epoch of the student's stage would be its first.
    model = small_aligner(student_share=0.5)
    assert model.validation_inference().solver == "ddim"
    model.enter_stage("student")
    assert model.validation_inference().solver == "student"
