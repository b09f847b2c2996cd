"""The baselines that merge several shots: mean, median, robust PCA and Weiss' intrinsic picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse import diags, kron, vstack
from scipy.sparse import eye as identity_matrix
from scipy.sparse.linalg import lsqr

from raylign.methods import geometry
from raylign.methods.classical import median as median_module
from raylign.methods.classical.mean import Mean
from raylign.methods.classical.median import Median
from raylign.methods.classical.reconstruction import SetAligner
from raylign.methods.classical.rpca import Rpca, robust_pca
from raylign.methods.classical.weiss import Weiss, integrate
from raylign.methods.errors import InputError
from tests.methods.shots import METHODS, columns_apart, paint_discs, psnr, random_frames
from tests.methods.small import picture

Array = NDArray[np.float64]


# What each method computes


@pytest.mark.parametrize("count", [1, 2, 5, 6])
@pytest.mark.parametrize(("method", "oracle"), [(Mean, np.nanmean), (Median, np.nanmedian)])
@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:All-NaN slice")
def test_mean_and_median_are_those_of_numpy(method: type[SetAligner], oracle: object, count: int) -> None:
    frames, masks = random_frames(count, count)
    known = np.where(masks.numpy() > 0, frames.numpy(), np.nan).astype(np.float64)
    assert callable(oracle)
    expected = np.nan_to_num(oracle(known, axis=1))
    found = method("identity").reconstruct(frames, masks)
    assert found.dtype == torch.float32
    assert np.abs(found.numpy() - expected).max() < 1e-6


def test_median_in_bands_is_the_median(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, masks = random_frames(0, 5)
    whole = Median("identity").reconstruct(frames, masks)
    monkeypatch.setattr(median_module, "_VALUES_AT_ONCE", 2000)
    assert torch.equal(Median("identity").reconstruct(frames, masks), whole)


def textbook_rpca(data: Array) -> tuple[Array, Array]:
    """Algorithm 5 of Lin, Chen and Ma (2010), line by line, with a full singular value decomposition."""
    weight = 1 / np.sqrt(max(data.shape))
    norm = np.linalg.norm(data, 2)
    y = data / max(norm, np.abs(data).max() / weight)
    e = np.zeros_like(data)
    mu = 1.25 / norm
    largest = mu * 1e7
    while True:
        u, s, v = np.linalg.svd(data - e + y / mu, full_matrices=False)
        a = u @ np.diag(np.maximum(s - 1 / mu, 0)) @ v
        w = data - a + y / mu
        e = np.sign(w) * np.maximum(np.abs(w) - weight / mu, 0)
        y = y + mu * (data - a - e)
        if np.linalg.norm(data - a - e) / np.linalg.norm(data) <= 1e-7:
            return a, e
        mu = min(1.5 * mu, largest)


def low_rank_and_sparse(seed: int, rows: int, columns: int, rank: int, share: float) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    low_rank = random.standard_normal((rows, rank)) @ random.standard_normal((rank, columns))
    hit = random.random((rows, columns)) < share
    return low_rank, np.where(hit, random.uniform(-500, 500, (rows, columns)), 0)


@pytest.mark.parametrize(("rows", "columns", "rank"), [(100, 100, 5), (40, 2000, 1), (100, 400, 2)])
def test_rpca_recovers_low_rank_and_sparse(rows: int, columns: int, rank: int) -> None:
    low_rank, sparse = low_rank_and_sparse(0, rows, columns, rank, 0.05)
    found, rest = robust_pca(torch.from_numpy(low_rank + sparse))
    assert np.linalg.norm(found.numpy() - low_rank) / np.linalg.norm(low_rank) < 1e-5
    assert ((rest.abs().numpy() > 1e-3) == (np.abs(sparse) > 1e-3)).mean() > 0.999


@pytest.mark.parametrize("seed", [0, 1])
def test_rpca_is_the_textbook_algorithm(seed: int) -> None:
    # Few rows, no exact recovery: both must stop at the same matrices all the same.
    random = np.random.default_rng(seed)
    data = np.outer(random.uniform(0.4, 1, 8), random.random(900)) + 0.1 * random.random((8, 900))
    data[random.random(data.shape) < 0.1] = 0
    expected, rest = textbook_rpca(data)
    found, found_rest = robust_pca(torch.from_numpy(data))
    assert np.linalg.norm(found.numpy() - expected) < 1e-6 * np.linalg.norm(expected)
    assert np.linalg.norm(found_rest.numpy() - rest) < 1e-6 * np.linalg.norm(expected)


def test_rpca_of_nothing_is_nothing() -> None:
    low_rank, sparse = robust_pca(torch.zeros(5, 40))
    assert (low_rank == 0).all()
    assert (sparse == 0).all()


def test_rpca_dims_what_exceeds_the_root_of_the_frames_times_the_root_mean_square() -> None:
    image = picture(0, (30, 40))[0] * 0.2
    image[:, 10:13, 10:13] = 2.6 * image.square().mean(dim=(1, 2)).sqrt()[:, None, None]
    ratio = float((image.amax(dim=(1, 2)) / image.square().mean(dim=(1, 2)).sqrt()).mean())
    assert 2 < ratio < 3
    for count, whole in ((4, False), (9, True)):
        found = Rpca("identity").reconstruct(image.repeat(1, count, 1, 1, 1), torch.ones(1, count, 1, 30, 40))[0]
        assert torch.allclose(found, image, atol=1e-5) is whole
        assert torch.allclose(found[:, 20:], image[:, 20:], atol=1e-3)


def test_rpca_sees_the_picture_in_the_middlemost_light() -> None:
    image = picture(0, (40, 50))[0] * 0.7 + 0.2
    lights = torch.linspace(0.5, 1, 11)[torch.randperm(11, generator=torch.Generator().manual_seed(0))]
    frames = torch.stack([paint_discs(image * light, seed, 2, 4) for seed, light in enumerate(lights)])[None]
    masks = torch.ones(1, 11, 1, 40, 50)
    expected = image * 0.75
    found = Rpca("identity").reconstruct(frames, masks)[0]
    # A median alone shows other lights where the middlemost one is hidden.
    assert psnr(found, expected) > psnr(Median("identity").reconstruct(frames, masks)[0], expected) + 10
    assert psnr(found, expected) > 50


def test_rpca_does_not_darken_what_only_the_reference_knows() -> None:
    image = picture(0, (30, 40))[0] * 0.7 + 0.2
    masks = torch.ones(1, 9, 1, 30, 40)
    masks[:, 1:, :, :, 30:] = 0
    assert torch.allclose(Rpca("identity").reconstruct(image.repeat(1, 9, 1, 1, 1), masks)[0], image, atol=1e-5)


def test_rpca_of_two_frames_is_their_median() -> None:
    frames, masks = random_frames(0, 4)
    masks[:, 1] = masks[:, 2] = 0
    expected = Median("identity").reconstruct(frames, masks)
    assert torch.equal(Rpca("identity").reconstruct(frames, masks), expected)


@pytest.mark.parametrize("size", [(7, 9), (1, 6), (8, 1), (12, 5)])
def test_integration_is_least_squares(size: tuple[int, int]) -> None:
    height, width = size
    random = np.random.default_rng(0)
    along_x, along_y = random.standard_normal((height, width - 1)), random.standard_normal((height - 1, width))

    def difference(length: int) -> object:
        return diags([-np.ones(length), np.ones(length)], [0, 1], shape=(length - 1, length))

    system = vstack(
        [kron(identity_matrix(height), difference(width)), kron(difference(height), identity_matrix(width))]
    )
    solution = lsqr(system, np.concatenate([along_x.ravel(), along_y.ravel()]), atol=1e-14, btol=1e-14)[0]
    found = integrate(torch.from_numpy(along_x), torch.from_numpy(along_y))
    assert np.abs(found.numpy() - (solution - solution.mean()).reshape(size)).max() < 1e-8


def test_integration_undoes_differences() -> None:
    image = torch.rand(2, 3, 37, 64, generator=torch.Generator().manual_seed(0))
    found = integrate(image.diff(dim=-1), image.diff(dim=-2))
    assert (found + image.mean(dim=(2, 3), keepdim=True) - image).abs().max() < 1e-5


def lights(seed: int, count: int, size: tuple[int, int], softness: float) -> torch.Tensor:
    """Light `(T, 1, H, W)` of another strength each time, with a shadow that moves; `softness` in pixels is the width
    of its edge. Its derivatives are sparse: at most places most frames have none."""
    generator = torch.Generator().manual_seed(seed)
    grid = geometry.pixel_grid(size)
    made = []
    for strength, x, y in torch.rand(count, 3, generator=generator):
        distance = (grid - torch.stack([x * size[1], y * size[0]])).norm(dim=-1)
        made.append((0.6 + 0.4 * strength) * (1 - 0.7 * ((12 - distance) / softness).sigmoid()))
    return torch.stack(made)[:, None]


@pytest.mark.parametrize("softness", [0.1, 3.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_weiss_takes_away_changing_light(seed: int, softness: float) -> None:
    reflectance = picture(seed, (48, 64))[0] * 0.8 + 0.1
    frames = (reflectance * lights(seed, 11, (48, 64), softness))[None]
    masks = torch.ones(1, 11, 1, 48, 64)

    def error(method: SetAligner) -> float:
        """Standard deviation of the logarithm against the reflectance: its level is not for anyone to know."""
        ratio = method.reconstruct(frames, masks)[0].log() - reflectance.log()
        return float(ratio.std(dim=(1, 2)).mean())

    assert error(Weiss("identity")) < 0.5 * error(Mean("identity"))


def test_weiss_has_the_level_of_the_median() -> None:
    image = picture(0, (40, 50))[0] * 0.7 + 0.2
    frames = torch.stack([image * level for level in (0.6, 0.9, 0.7, 1.0, 0.65)])[None]
    found = Weiss("identity").reconstruct(frames, torch.ones(1, 5, 1, 40, 50))[0]
    assert torch.allclose(found, 0.7 * image, atol=1e-4)


def test_weiss_leaves_no_seam_where_a_frame_ends() -> None:
    image = picture(0, (40, 50))[0] * 0.5 + 0.2
    frames = torch.stack([image, image * 0.6, image * 0.5])[None]
    masks = torch.ones(1, 3, 1, 40, 50)
    masks[:, 1:, :, :, 25:] = 0

    def step(method: SetAligner) -> float:
        """How much the ratio to the truth jumps at the border."""
        ratio = method.reconstruct(frames, masks)[0] / image
        return float((ratio[..., 26] - ratio[..., 23]).abs().mean())

    assert step(Weiss("identity")) < 1e-3
    assert step(Mean("identity")) > 0.2
    assert step(Median("identity")) > 0.2


def test_weiss_takes_its_level_where_it_is_known() -> None:
    image = picture(0, (30, 40))[:, :, :1].expand(-1, -1, 30, -1) * 0.5 + 0.2
    masks = torch.ones(1, 1, 1, 30, 40)
    masks[..., 15:] = 0
    found = Weiss("identity").reconstruct(image[:, None], masks)
    assert torch.allclose(found[..., :15], image[..., :15], atol=1e-4)


# What all of them have in common


@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_known_has_no_say(method: type[SetAligner]) -> None:
    frames, masks = random_frames(0, 5)
    masks[:, 0] = 1
    other = torch.where(masks > 0, frames, 1 - frames)
    expected = method("identity").reconstruct(frames, masks)
    assert torch.equal(method("identity").reconstruct(other, masks), expected)


@pytest.mark.parametrize("method", METHODS)
def test_one_frame_is_its_own_reconstruction(method: type[SetAligner]) -> None:
    frame = torch.rand(2, 1, 3, 21, 34, generator=torch.Generator().manual_seed(0)).clamp_min(1 / 255)
    found = method("identity").reconstruct(frame, torch.ones(2, 1, 1, 21, 34))
    assert (found - frame[:, 0]).abs().max() < 1e-4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [torch.bool, torch.float32])
def test_what_no_frame_knows_is_zero(method: type[SetAligner], kind: torch.dtype) -> None:
    frames, masks = random_frames(0, 4)
    masks[:, :, :, 3:9, 4:11] = 0
    found = method("identity").reconstruct(frames, masks.to(kind))
    assert found.dtype == torch.float32
    nowhere = (masks.sum(dim=1) == 0).expand_as(found)
    assert (found[nowhere] == 0).all()
    assert (found[~nowhere] > 0).float().mean() > 0.99
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    empty = method("identity").reconstruct(frames, torch.zeros_like(masks, dtype=kind))
    assert (empty == 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_frames_that_are_known_nowhere_change_nothing(method: type[SetAligner]) -> None:
    frames, masks = random_frames(0, 6)
    masks[:, 2] = masks[:, 4] = 0
    kept = [0, 1, 3, 5]
    expected = method("identity").reconstruct(frames[:, kept], masks[:, kept])
    assert torch.allclose(method("identity").reconstruct(frames, masks), expected, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_is_sample_by_sample(method: type[SetAligner]) -> None:
    frames, masks = random_frames(0, 5, batch=3)
    one_by_one = [method("identity").reconstruct(f[None], m[None])[0] for f, m in zip(frames, masks, strict=True)]
    assert torch.allclose(method("identity").reconstruct(frames, masks), torch.stack(one_by_one), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_the_shots_does_not_matter(method: type[SetAligner]) -> None:
    frames, masks = random_frames(0, 7)
    order = [3, 0, 6, 2, 5, 1, 4]
    expected = method("identity").reconstruct(frames, masks)
    assert torch.allclose(method("identity").reconstruct(frames[:, order], masks[:, order]), expected, atol=1e-6)


@pytest.mark.parametrize(("method", "least"), [(Median, 100.0), (Weiss, 60.0), (Rpca, 60.0)])
def test_occluders_in_a_minority_vanish(method: type[SetAligner], least: float) -> None:
    image = picture(0, (40, 60))[0] * 0.7 + 0.1
    frames, masks = columns_apart(image, 10)[None], torch.ones(1, 10, 1, 40, 60)
    assert psnr(method("identity").reconstruct(frames, masks)[0], image) > least
    assert psnr(Mean("identity").reconstruct(frames, masks)[0], image) < 30


@pytest.mark.parametrize("method", METHODS)
def test_wrong_shapes_are_refused(method: type[SetAligner]) -> None:
    frames, masks = random_frames(0, 3)
    for wrong_frames, wrong_masks in ((frames[0], masks), (frames[:, :0], masks[:, :0]), (frames, masks[:, :2])):
        with pytest.raises(InputError, match="must be"):
            method("identity").reconstruct(wrong_frames, wrong_masks)
    for reference, sources in ((frames[0], frames), (frames[:1, 0], frames), (frames[:, 0], frames[:, :0])):
        with pytest.raises(InputError, match="at least one source"):
            method("identity").align(reference, sources)
