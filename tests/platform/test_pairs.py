"""Training pairs: the homography that comes with a pair is the true one, whoever makes the batch, however varied."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from raylign.methods.errors import InputError
from raylign.methods.geometry import homography_positions, pixel_grid, sample, warp_by_homography
from raylign.platform.data.augment import AugmentOptions
from raylign.platform.data.pairs import TrainingPairs, validation_pairs
from tests.datasets import png, write_samples, write_sequences

PLAIN = {"brightness": 0.0, "colour": 0.0}

# Batch (1, 2) of the first raylign, before there was more than views, brightness and colour.
MEANS = {
    "reference": [0.54064, 0.42244, 0.4533, 0.46021],
    "source": [0.46985, 0.39115, 0.50382, 0.46391],
    "reference_input": [0.4045, 0.4055, 0.63182, 0.53785],
    "source_input": [0.44233, 0.34984, 0.43702, 0.57228],
}
HOMOGRAPHIES = [
    [0.81351, 0.07374, 0.13352, -0.1014, 0.95055, -0.45396],
    [1.33338, -0.2291, 2.04663, 0.12773, 0.92699, 2.48262],
    [0.99506, 0.1558, -4.34257, -0.14701, 1.04655, 1.22351],
    [1.03978, -0.05537, -0.42233, 0.13967, 0.82675, -0.63454],
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_sequences(tmp_path_factory.mktemp("pairs") / "d", scenes=12, size=96)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_sequences(tmp_path_factory.mktemp("small") / "d", scenes=12, frames=5, size=64)


@pytest.fixture(scope="module")
def coordinates(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Frames whose red is x and whose green is y, in pixels: each view tells where it looks."""
    ys, xs = np.indices((256, 256))
    frame = png(np.stack([xs, ys, np.full_like(xs, 128)], -1).astype(np.uint8))
    meta = json.dumps({"homographies": [np.eye(3).tolist()] * 2}).encode()
    info = {"kind": "sequence", "generator": "test", "splits": {"train": [0, 4]}, "fields": []}
    samples = [{"000.png": frame, "001.png": frame, "gt.png": frame, "meta.json": meta}] * 4
    return write_samples(tmp_path_factory.mktemp("coordinates") / "d", samples, info)


def relative_error(reference: torch.Tensor, source: torch.Tensor, homography: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference in the overlap after a gain per picture is taken out."""
    warped, mask = warp_by_homography(source, homography, reference.shape[-2:])
    mask = (mask > 0.999).float()
    count = mask.sum((2, 3), keepdim=True)
    gain = (reference * mask).sum((1, 2, 3), keepdim=True) / (warped * mask).sum((1, 2, 3), keepdim=True)
    return (((warped * gain - reference).abs() * mask).sum((2, 3), keepdim=True) / count).mean((1, 2, 3))


def test_the_homography_aligns_the_pair(url: str) -> None:
    pairs = TrainingPairs(url, 64, 16, AugmentOptions(brightness=0, colour=0), seed=3)
    batch = pairs.batch(0, 0)
    aligned = relative_error(batch["reference"], batch["source"], batch["homography"])
    identity = relative_error(batch["reference"], batch["source"], torch.eye(3).double().expand(16, 3, 3))
    assert aligned.max() < 0.012
    assert aligned.mean() < 0.3 * identity.mean()


def test_validation_pairs_are_whole_frames(url: str) -> None:
    batch = validation_pairs(url, "val", 48, 4)
    assert batch["reference"].shape == (4, 3, 48, 48)
    assert relative_error(batch["reference"], batch["source"], batch["homography"]).max() < 0.012


def test_batches_depend_on_epoch_and_step_alone(url: str) -> None:
    make = lambda: TrainingPairs(url, 32, 8, AugmentOptions(), seed=5)  # noqa: E731
    straight = [batch["source"] for batch in make().epoch(1, 3)]
    late = [batch["source"] for batch in make().epoch(1, 3, first_step=2)]
    assert torch.equal(straight[2], late[0])
    assert not torch.equal(straight[0], make().batch(2, 0)["source"])


def test_workers_share_the_same_global_batch(url: str) -> None:
    whole = TrainingPairs(url, 32, 8, AugmentOptions(), seed=5).batch(0, 1)
    parts = [TrainingPairs(url, 32, 8, AugmentOptions(), seed=5, rank=r, world_size=2).batch(0, 1) for r in range(2)]
    for name, value in whole.items():
        torch.testing.assert_close(torch.cat([part[name] for part in parts]), value)


def test_an_epoch_sees_every_scene(url: str) -> None:
    pairs = TrainingPairs(url, 32, 4, AugmentOptions(), seed=0)
    seen = [position for step in range(pairs.steps_per_epoch) for position in pairs._order(0, step)]
    assert sorted(seen) == list(range(8))


def test_batches_are_what_they_always_were(small: str) -> None:
    batch = TrainingPairs(small, 32, 4, AugmentOptions(), seed=5).batch(1, 2)
    assert list(batch) == ["reference", "source", "reference_input", "source_input", "homography", "seed"]
    means = {name: value.double().mean((1, 2, 3)) for name, value in batch.items() if name in MEANS}
    for name, expected in MEANS.items():
        assert means[name].tolist() == pytest.approx(expected, abs=1e-4), name
    for row, expected in zip(batch["homography"], HOMOGRAPHIES, strict=True):
        assert row[:2].flatten().tolist() == pytest.approx(expected, abs=1e-4)


# Augmentation of pairs


def places(view: Tensor) -> Tensor:
    """`(B, S, S, 2)`: where in the picture of `coordinates` each pixel of a view lies, in pixels."""
    return view[:, :2].permute(0, 2, 3, 1) * 255


def inner(positions: Tensor, size: int, margin: float = 2.0) -> Tensor:
    return ((positions > margin) & (positions < size - 1 - margin)).all(-1)


@pytest.mark.parametrize("flip", [0.0, 0.5, 1.0])
def test_the_homography_stays_exact_under_mirroring(coordinates: str, flip: float) -> None:
    options = AugmentOptions(flip=flip, same_frame_probability=0)
    batch = TrainingPairs(coordinates, 96, 16, options, seed=3).batch(0, 0)
    there = homography_positions(batch["homography"], (96, 96))
    found = sample(batch["source"], there)[:, :2].permute(0, 2, 3, 1) * 255
    use = inner(there, 96) & inner(places(batch["reference"]), 256, 4)
    assert use.float().mean() > 0.5
    assert (found - places(batch["reference"]))[use].abs().max() < 0.05
    for name in ("reference", "source"):
        rising = places(batch[name])[:, 48, 70, 0] > places(batch[name])[:, 48, 20, 0]
        assert rising.float().mean() == pytest.approx(1 - flip, abs=0.3)
        assert flip == 0.5 or rising.all() == (flip == 0)


def test_a_mirrored_view_is_the_view_mirrored(url: str) -> None:
    make = lambda flip: TrainingPairs(url, 48, 8, AugmentOptions(flip=flip), seed=3).batch(0, 0)  # noqa: E731
    plain, mirrored = make(0.0), make(1.0)
    for name in ("reference", "source", "reference_input", "source_input"):
        torch.testing.assert_close(mirrored[name], plain[name].flip(-1), atol=0, rtol=0)
    mirror = torch.tensor([[-1.0, 0, 47], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    expected = mirror @ plain["homography"] @ mirror
    torch.testing.assert_close(mirrored["homography"], expected / expected[:, 2:, 2:])


@pytest.mark.parametrize("flip", [0.0, 0.5])
def test_displacement_tells_where_each_source_pixel_comes_from(coordinates: str, flip: float) -> None:
    base = TrainingPairs(coordinates, 96, 16, AugmentOptions(flip=flip), seed=3).batch(0, 0)
    options = AugmentOptions(flip=flip, displacement=0.06)
    batch = TrainingPairs(coordinates, 96, 16, options, seed=3).batch(0, 0)
    assert "displacement" not in base
    field = batch["displacement"]
    assert (field.shape, field.dtype) == ((16, 2, 96, 96), torch.float32)
    length = field.norm(dim=1).amax((1, 2))
    assert length.max() <= 0.06 * 96 + 1e-4
    assert length.max() > 0.5 * 0.06 * 96
    assert length.std() > 0.5
    for name in ("reference", "reference_input", "homography"):
        assert torch.equal(batch[name], base[name])
    there = pixel_grid((96, 96)) + field.permute(0, 2, 3, 1)
    found = sample(base["source"], there)[:, :2].permute(0, 2, 3, 1) * 255
    use = inner(there, 96) & inner(places(batch["source"]), 256, 4)
    assert use.float().mean() > 0.5
    assert (found - places(batch["source"]))[use].abs().max() < 0.05
    moved = (places(batch["source"]) - places(base["source"]))[use].norm(dim=-1)
    assert moved.mean() > 1
    step = (field[:, :, :, 1:] - field[:, :, :, :-1]).abs().max()
    assert step < 0.9  # smooth, and nowhere folded


def test_changes_do_what_they_say(url: str) -> None:
    def changed(**options: float) -> tuple[Tensor, Tensor]:
        batch = TrainingPairs(url, 64, 8, AugmentOptions(**PLAIN, **options), seed=1).batch(0, 0)
        return batch["reference"], batch["reference_input"]

    def roughness(pictures: Tensor) -> Tensor:
        return (pictures[..., 1:] - pictures[..., :-1]).abs().mean((1, 2, 3))

    before, after = changed(blur=3.0)
    assert (roughness(after) < roughness(before) + 1e-5).all()
    assert roughness(after).mean() < 0.8 * roughness(before).mean()
    before, after = changed(noise=0.1)
    assert (roughness(after) > roughness(before)).all()
    assert (after - before).std((1, 2, 3)).max() < 0.11
    before, after = changed(gamma=1.0)
    inside = (before > 0.1) & (before < 0.9)
    power = after.clamp_min(1e-3).log() / before.clamp_min(1e-3).log()
    for row in range(8):
        powers = power[row][inside[row]]
        assert powers.std() < 1e-2
        assert 0.49 < powers.mean() < 2.01
    before, after = changed(hue=0.3)
    torch.testing.assert_close(after.amax(1), before.amax(1), atol=1e-3, rtol=0)
    torch.testing.assert_close(after.amin(1), before.amin(1), atol=1e-3, rtol=0)
    weak, strong = changed(jpeg=5.0), changed(jpeg=95.0)
    assert (weak[1] - weak[0]).abs().mean() < (strong[1] - strong[0]).abs().mean()


@pytest.mark.parametrize(
    ("option", "value"), [("flip", 1.5), ("hue", -0.1), ("jpeg", 100.0), ("displacement_grid", 1), ("frames", 1)]
)
def test_options_out_of_range_are_told(option: str, value: float) -> None:
    with pytest.raises(InputError, match=f"--augment.{option.replace('_', '-')} must lie between"):
        AugmentOptions(**{option: value})
