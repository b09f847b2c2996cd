"""Pairs of retinas in training: masks of vessels, and homographies that are not true but come closest."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from raylign.methods.errors import DatasetError
from raylign.methods.geometry import warp_by_homography
from raylign.platform.data.augment import AugmentOptions
from raylign.platform.data.pairs import TrainingPairs, validation_pairs
from raylign.platform.data.samples import Samples
from raylign.platform.data.training import check_data
from tests.datasets import write_moving, write_retinas, write_sequences

FIELDS = ("vessels", "best_homography")
PLAIN = {"brightness": 0.0, "colour": 0.0}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_retinas(tmp_path_factory.mktemp("retinas") / "d", scenes=12, size=96)


def darkness(pictures: Tensor) -> Tensor:
    """How much darker than what is around it each pixel is, in red."""
    return torch.nn.functional.avg_pool2d(pictures[:, :1], 9, 1, 4) - pictures[:, :1]


def test_masks_show_the_vessels_of_both_views(url: str) -> None:
    options = AugmentOptions(**PLAIN, view_probability=1.0, same_frame_probability=0.3, flip=0.5)
    batch = TrainingPairs(url, 64, 16, options, fields=FIELDS, seed=3).batch(0, 0)
    assert batch["vessels"].shape == (16, 2, 64, 64)
    assert 0 <= batch["vessels"].min() < batch["vessels"].max() <= 1
    for number, name in enumerate(("reference", "source")):
        mask, dark = batch["vessels"][:, number : number + 1], darkness(batch[name])
        assert dark[mask > 0.9].mean() > 0.15
        assert dark[mask < 0.1].mean() < 0.02
    # The homography that comes closest is the true one here: it brings mask onto mask.
    warped, seen = warp_by_homography(batch["vessels"][:, 1:], batch["homography"], (64, 64))
    sure = (seen > 0.999).float()
    error = ((warped - batch["vessels"][:, :1]).abs() * sure).sum() / sure.sum()
    other = ((batch["vessels"][:, 1:] - batch["vessels"][:, :1]).abs() * sure).sum() / sure.sum()
    assert error < 0.35 * other


def test_only_who_asks_gets_the_homography_that_comes_closest(url: str) -> None:
    options = AugmentOptions(**PLAIN, same_frame_probability=0.0)
    assert TrainingPairs(url, 64, 8, options, seed=3).batch(0, 0)["homography"].isnan().all()
    asked = TrainingPairs(url, 64, 8, options, fields=("best_homography",), seed=3).batch(0, 0)
    assert asked["homography"].isfinite().all()
    assert "vessels" not in asked
    held_out = validation_pairs(url, "val", 96, 2, FIELDS)
    stored = torch.tensor(Samples(url, "val")[0].meta["parallax"]["homography"], dtype=torch.float64)
    torch.testing.assert_close(held_out["homography"][0], stored / stored[2, 2])
    assert held_out["vessels"].shape == (2, 2, 96, 96)


def test_frames_may_come_in_either_order(url: str) -> None:
    options = AugmentOptions(**PLAIN, view_probability=0.0, same_frame_probability=0.0)
    pairs = TrainingPairs(url, 96, 16, options, fields=FIELDS, seed=3)
    batch, samples = pairs.batch(0, 0), Samples(url, "train")
    swapped = 0
    for row, position in enumerate(pairs._order(0, 0)):
        masks = samples.truth(position, ("vessels",)).vessels
        first, second = (mask.float() / 255 for mask in masks)
        turned = bool((batch["vessels"][row, 0] - second).abs().max() < 0.01)
        swapped += turned
        wanted = torch.stack([second, first] if turned else [first, second])
        torch.testing.assert_close(batch["vessels"][row], wanted, atol=1e-4, rtol=0)
    assert 0 < swapped < 16


def test_datasets_without_them_are_refused(tmp_path: Path) -> None:
    moving = write_moving(tmp_path / "moving", scenes=12, size=48)
    check_data("pair", moving, 2, ("best_homography",))
    with pytest.raises(DatasetError, match=r"no masks of vessels .*raylign render fundus"):
        check_data("pair", moving, 2, FIELDS)
    sequences = write_sequences(tmp_path / "sequences", scenes=12, size=48)
    check_data("pair", sequences, 2, ("best_homography",))
    with pytest.raises(DatasetError, match="no masks of vessels"):
        check_data("pair", sequences, 2, FIELDS)
