"""Training pairs: the homography that comes with a pair is the true one, whoever makes the batch."""

from __future__ import annotations

import pytest
import torch

from raylign.methods.geometry import warp_by_homography
from raylign.platform.data.augment import AugmentOptions
from raylign.platform.data.pairs import TrainingPairs, prefetch, validation_pairs
from tests.datasets import write_sequences


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_sequences(tmp_path_factory.mktemp("pairs") / "d", scenes=12, size=96)


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


def test_prefetch_hands_over_errors_and_stops() -> None:
    def items():
        yield 1
        raise KeyError("x")

    stream = prefetch(items())
    assert next(stream) == 1
    with pytest.raises(KeyError):
        next(stream)
    endless = prefetch(iter(int, 1))
    assert next(endless) == 0
    endless.close()
