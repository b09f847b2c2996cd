"""`Adm` in training: what its losses are, what its stages train, what a checkpoint keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from raylign.methods import load
from raylign.methods.adm import Adm, AdmConfig
from raylign.methods.adm.parameters import to_homography, to_parameters
from raylign.methods.draws import Draws
from raylign.methods.errors import InputError
from raylign.methods.geometry import image_corners, transform_points, warp_by_homography
from tests.methods.adm_small import SMALL, moved_pairs, retinas, small_adm

SCALE = (*[0.3] * 6, 0.1, 0.1)


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    return retinas(tmp_path_factory.mktemp("retinas") / "d")


def normalised(homography: Tensor, size: int) -> np.ndarray:
    """Where a 32 x 32 grid of [-1, 1] comes to lie in [-1, 1], by pixels."""
    axis = ((np.arange(32) + 0.5) / 32 - 0.5) * (size - 1) + (size - 1) / 2
    points = torch.from_numpy(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2))
    moved = transform_points(homography[None], points[None])[0].numpy()
    return moved * 2 / (size - 1) - 1


def test_losses_are_those_of_the_paper(batch: dict[str, Tensor]) -> None:
    """Eqs. 5 to 14, written down once more in NumPy for the homography's part."""
    model = small_adm(homography_scale=SCALE)
    model.enter_stage("late")
    with torch.no_grad():
        found = model.training_step(batch)
    drawn = [Generator().manual_seed(seed) for seed in batch["seed"].tolist()]
    levels = torch.stack([torch.randint(20, (), generator=own) for own in drawn])
    noise = torch.stack([torch.randn(8, generator=own) for own in drawn])
    to_unit = np.array([[2 / 63, 0, -1], [0, 2 / 63, -1], [0, 0, 1]])
    matrices = to_unit @ batch["homography"].numpy() @ np.linalg.inv(to_unit)
    matrices /= matrices[:, 2:, 2:]
    clean = (matrices - np.eye(3)).reshape(-1, 9)[:, :8] / np.array(SCALE)
    kept = np.cumprod(1 - np.linspace(1e-4, 0.1, 20))[levels.numpy()][:, None]
    noisy = np.sqrt(kept) * clean + np.sqrt(1 - kept) * noise.numpy()
    with torch.no_grad():
        encoded = [model.encoder(batch[name]) for name in ("source", "reference")]
        said = model.score(*encoded, torch.from_numpy(noisy).float(), levels).numpy()
    assert float(found["homography"]) == pytest.approx(((said - noise.numpy()) ** 2).mean(), rel=1e-4)
    estimate = np.clip((noisy - np.sqrt(1 - kept) * said) / np.sqrt(kept), -4, 4) * np.array(SCALE)
    residual = np.concatenate([estimate, np.zeros((4, 1))], 1).reshape(4, 3, 3) + np.eye(3)
    pixels = torch.from_numpy(np.linalg.inv(to_unit) @ residual @ to_unit)
    off, far = [], []
    for row in range(4):
        here = normalised(pixels[row], 64)
        off.append(np.sqrt(((here - normalised(batch["homography"][row], 64)) ** 2).sum(1).mean()))
        far.append(np.sqrt(((here - normalised(torch.eye(3).double(), 64)) ** 2).sum(1).mean()))
    share = (levels.numpy() + 1) / 20
    assert float(found["loss"]) == pytest.approx(
        float(found["homography"] + found["displacement"] + found["pixel"] + 0.1 * found["regularisation"]), rel=1e-5
    )
    # Points near the horizon are clamped in the loss, so the comparison is of rows without any.
    calm = max(off) < 3
    assert calm
    other = small_adm(homography_scale=SCALE, regularisation_schedule=False, pixel_schedule=False)
    other.enter_stage("late")
    with torch.no_grad():
        constant = other.training_step(batch)
    pixel = np.mean((1 - share) ** 2 * off) - np.mean(off)
    assert float(found["pixel"] - constant["pixel"]) == pytest.approx(pixel, rel=1e-3)
    regular = np.mean(share**2 * far) - np.mean(far)
    assert float(found["regularisation"] - constant["regularisation"]) == pytest.approx(regular, rel=1e-3)


def test_an_error_of_clean_parameters_counts_alike_at_all_levels(batch: dict[str, Tensor]) -> None:
    model = small_adm(homography_scale=SCALE, prediction="clean")
    with torch.no_grad():
        model.score.head[-1].weight.zero_()
        model.score.head[-1].bias.zero_()
        found = model.training_step(batch)
    clean = to_parameters(batch["homography"], (64, 64), (64, 64)) / torch.tensor(SCALE)
    assert float(found["homography"]) == pytest.approx(float(clean.square().mean()), rel=1e-3)


def test_what_an_earlier_iteration_leaves(batch: dict[str, Tensor]) -> None:
    """The rest brings the source that was brought over onto the reference as the whole brings the source itself."""
    model = small_adm(iterated_share=0.5)
    count = 16
    reference, source, homography = moved_pairs(count, 64, 0.1)
    draws = Draws({"source": source, "seed": torch.arange(count)})
    known = torch.arange(count) < count - 4
    brought, rest = model._iterated(source, homography, known, draws)
    untouched = (rest == homography).all(dim=2).all(dim=1)
    assert bool(untouched[~known].all())
    assert 2 <= untouched[known].sum() <= 10
    torch.testing.assert_close(brought[untouched], source[untouched])
    corners = image_corners((64, 64)).expand(count, 4, 2)
    off = (transform_points(rest, corners) - corners).norm(dim=2)[~untouched]
    assert 0 < off.max() < 0.08 * 64 * 2**0.5
    again, _ = warp_by_homography(brought, rest, (64, 64))
    assert ((again - reference)[~untouched][:, :, 12:-12, 12:-12]).abs().mean() < 0.02
    assert ((brought - reference)[~untouched][:, :, 12:-12, 12:-12]).abs().mean() > 0.03


def test_homographies_that_are_not_known_count_nothing(batch: dict[str, Tensor]) -> None:
    model = small_adm().train()
    unknown = {**batch, "homography": torch.full_like(batch["homography"], torch.nan)}
    found = model.training_step(unknown)
    found["loss"].backward()
    assert found["homography"] == 0
    assert all(each.grad.isfinite().all() for each in model.parameters() if each.grad is not None)


def test_the_field_is_held_back_in_the_first_quarter(batch: dict[str, Tensor]) -> None:
    model, parts = small_adm(), {}
    stages = model.training_stages()
    assert [(stage.name, stage.share) for stage in stages] == [("early", 0.25), ("late", 0.75)]
    for stage in stages:
        model.enter_stage(stage.name)
        with torch.no_grad():
            parts[stage.name] = model.training_step(batch)
    gap = parts["late"]["loss"] - parts["early"]["loss"]
    torch.testing.assert_close(gap, 0.9 * parts["late"]["displacement"], rtol=1e-4, atol=1e-6)
    assert [stage.name for stage in small_adm(displacement_weight=(1, 1)).training_stages()] == ["late"]


def test_a_field_that_waits(batch: dict[str, Tensor]) -> None:
    model = small_adm(displacement_weight=(0.0, 1.0), early_share=0.6).train()
    assert [(stage.name, stage.share) for stage in model.training_stages()] == [("early", 0.6), ("late", 0.4)]
    for stage, waits in (("early", True), ("late", False)):
        model.enter_stage(stage)
        model.zero_grad()
        found = model.training_step(batch)
        found["loss"].backward()
        assert ("displacement" in found) is not waits
        trained = {name.split(".")[0] for name, weight in model.named_parameters() if weight.grad is not None}
        assert trained == ({"encoder", "score"} if waits else {"encoder", "score", "displacement"})


def test_stages_train_their_own_weights(batch: dict[str, Tensor]) -> None:
    model = small_adm(vessels="learned", student_share=0.2).train()
    stages = model.training_stages()
    assert [stage.name for stage in stages] == ["vessels", "early", "late", "student"]
    assert sum(stage.share for stage in stages) == pytest.approx(1)
    trainings = {"vessels": "vessels.", "early": ("encoder.", "score.", "displacement."), "student": "student."}
    for stage, trained in trainings.items():
        model.enter_stage(stage)
        model.zero_grad()
        model.training_step(batch)["loss"].backward()
        for name, weight in model.named_parameters():
            assert (weight.grad is not None) == name.startswith(trained), name


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"homography_network": "cnn"},
        {"displacement_network": "transformer"},
        {"homography_network": "cnn", "displacement_network": "transformer"},
        {"patch_tokens": True},
        {"keypoints": 4, "iterated_share": 0.5},
        {"keypoints": 4, "homography_network": "cnn", "prediction": "clean"},
        {"vessels": "learned"},
    ],
)
def test_all_kinds_of_networks_learn(changes: dict[str, Any], batch: dict[str, Tensor]) -> None:
    model = small_adm(**changes).train()
    model.enter_stage("late")
    (optimizer,) = model.optimizers(3e-3, 0.0)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        found = model.training_step(batch)
        found["loss"].backward()
        optimizer.step()
        losses.append(found["homography"].item() + found["displacement"].item())
    assert losses[-1] < 0.75 * losses[0]


def test_the_vessel_network_learns(batch: dict[str, Tensor]) -> None:
    model = small_adm(vessels="learned").train()
    model.enter_stage("vessels")
    (optimizer,) = model.optimizers(1e-2, 0.0)
    for _ in range(40):
        optimizer.zero_grad()
        model.training_step(batch)["loss"].backward()
        optimizer.step()
    drawn, mask = model.eval().vessel_maps(batch["reference"]), batch["vessels"][:, :1]
    assert drawn[mask > 0.9].mean() > 2 * drawn[mask < 0.1].mean()


def test_a_checkpoint_keeps_all(batch: dict[str, Tensor], tmp_path: Path) -> None:
    model = small_adm(vessels="learned")
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert isinstance(again, Adm)
    assert again.config == model.config
    with torch.no_grad():
        assert torch.equal(again.training_step(batch)["loss"], model.training_step(batch)["loss"])


def test_what_it_asks_of_data() -> None:
    assert Adm.batch_fields(AdmConfig()) == ("best_homography",)
    assert Adm.batch_fields(AdmConfig(vessels="learned")) == ("best_homography", "vessels")


@pytest.mark.parametrize("changes", [{}, {"homography_network": "cnn", "displacement_network": "transformer"}])
def test_recomputed_activations_give_the_same_gradients(changes: dict[str, Any], batch: dict[str, Tensor]) -> None:
    gradients = []
    for recompute in (False, True):
        model = small_adm(**changes).train()
        if recompute:
            model.enable_gradient_checkpointing()
        model.training_step(batch)["loss"].backward()
        gradients.append(torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None]))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"working_size": 48}, "multiple of 32"),
        ({"homography_network": "rnn"}, "transformer or cnn"),
        ({"homography_betas": (0.2, 0.1)}, "first <= last"),
        ({"homography_scale": (1.0,)}, "eight numbers"),
        ({"score_width": 36}, "multiple of eight times"),
        ({"deformation_channels": ()}, "at least one"),
        ({"displacement_weight": (-1.0, 1.0)}, "two numbers from 0"),
        ({"encoder": "resnet18"}, "ViT"),
        ({"dropout": 1.0}, "dropout must be"),
        ({"keypoints": 4, "patch_tokens": True}, "take one of them"),
        ({"prediction": "score"}, "noise or clean"),
        ({"vessels": "learned", "vessel_share": 0.5, "student_share": 0.5}, "leave nothing for the two paths"),
        ({"homography_scale": (*[0.3] * 6, 0.2, 0.05)}, "below 1/4 together"),
        ({"working_size": 128, "denoiser_multipliers": (1,)}, "too few for a working_size of 128"),
    ],
)
def test_wrong_configurations(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        Adm(AdmConfig(**{**SMALL, **changes}))


def test_the_identity_is_zero() -> None:
    model = small_adm()
    corners = image_corners((64, 64))
    still = to_homography(model.unscaled(torch.zeros(1, 8)), (64, 64), (64, 64))
    torch.testing.assert_close(transform_points(still, corners[None])[0], corners)
