"""Pairs with dense ground truth and without a homography: reading, training, validation, evaluation."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from raylign.methods.errors import DatasetError
from raylign.platform.data.augment import AugmentOptions
from raylign.platform.data.cameras import plane_depth, plane_homography, reproject, stored_cameras
from raylign.platform.data.pairs import TrainingPairs, validation_pairs
from raylign.platform.data.samples import Samples, spread
from raylign.platform.data.shards import ShardReader
from raylign.platform.data.truth import decode_arrays
from raylign.platform.evaluation.datasets import EvaluationSet, choose_datasets
from raylign.platform.evaluation.measure import measure
from raylign.platform.training.loop import build_model
from raylign.platform.training.options import TrainingSpec
from tests.datasets import arrays, read_samples, write_pairs, write_planar, write_samples, write_sequences
from tests.training import SMALL_MODELS


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_pairs(tmp_path_factory.mktemp("pairs") / "d", scenes=6, size=96)


def test_truth_of_a_pair(url: str) -> None:
    samples = Samples(url)
    truth = samples.truth(3)
    with np.load(io.BytesIO(ShardReader(url).read(3)["flow.npz"])) as stored:
        assert torch.equal(truth.flow, torch.from_numpy(stored["flow"]))
    assert truth.flow.shape == (2, 96, 96)
    assert truth.flow.dtype == torch.float32
    assert truth.occlusion.dtype == torch.bool
    assert truth.occlusion.any()
    assert [depth.shape for depth in truth.depths] == [(96, 96), (96, 96)]
    assert truth.depths[0].isinf().any()
    assert truth.masks is None


def test_truth_of_a_sequence(tmp_path: Path) -> None:
    truth = Samples(write_planar(tmp_path / "d", lighting="random")).truth(1)
    assert (truth.flow, truth.occlusion) == (None, None)
    assert len(truth.depths) == len(truth.masks) == 3
    assert not truth.masks[0].any()
    assert truth.masks[1].any()
    plain = Samples(write_sequences(tmp_path / "plain")).truth(0)
    assert (plain.flow, plain.occlusion, plain.depths, plain.masks) == (None, None, None, None)


def test_only_what_is_asked_for_is_read(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    read = ShardReader.read

    def spy(self: ShardReader, position: int, suffixes: list[str] | None = None) -> dict[str, bytes]:
        asked.extend(suffixes or ["everything"])
        return read(self, position, suffixes)

    monkeypatch.setattr(ShardReader, "read", spy)
    samples = Samples(url)
    samples[0]
    assert set(asked) == {"ref.png", "src.png", "gt.png", "meta.json"}
    asked.clear()
    truth = samples.truth(0, ["flow"])
    assert asked == ["meta.json", "flow.npz"]
    assert (truth.occlusion, truth.depths) == (None, None)


@pytest.mark.parametrize(
    ("suffix", "content", "reason"),
    [
        ("flow.npz", arrays(flow=np.array([None])), "pickled"),
        ("flow.npz", arrays(flow=np.zeros((2, 9, 9), np.float32)), "shape"),
        ("flow.npz", arrays(flow=np.zeros((2, 96, 96), np.int16)), "int16"),
        ("flow.npz", arrays(other=np.zeros((2, 96, 96), np.float32)), "no array 'flow'"),
        ("flow.npz", arrays(flow=np.zeros((2, 96, 96), np.float32))[:150], "damaged"),
        ("flow.npz", b"", "damaged"),
        ("depth.npz", arrays(ref=np.zeros((96, 96), np.float32)), "no array 'src'"),
        ("occlusion.png", b"\x89PNG", "damaged"),
        ("meta.json", b"[1]", "not a JSON object"),
    ],
)
def test_damaged_truth_names_sample_and_field(
    url: str, tmp_path: Path, suffix: str, content: bytes, reason: str
) -> None:
    samples, info = read_samples(url)
    samples[1][suffix] = content
    with pytest.raises(DatasetError, match=reason) as caught:
        Samples(write_samples(tmp_path / "d", samples, info)).truth(1)
    assert "sample 000001" in str(caught.value)
    assert suffix in str(caught.value)


def test_a_huge_array_is_refused_before_it_is_read() -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2, 10**6, 10**6)})
    content = io.BytesIO(arrays(flow=np.zeros(1, np.float32)))
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("flow.npy", header.getvalue())
    with pytest.raises(DatasetError, match="shape"):
        decode_arrays(content.getvalue(), "here", {"flow": (2, 4, 4)})


def test_cameras_make_the_stored_geometry(url: str, tmp_path: Path) -> None:
    sample, truth = Samples(url)[0], Samples(url).truth(0)
    positions, depth = reproject(truth.depths[0].numpy(), *stored_cameras(sample.meta, 2))
    ys, xs = np.indices((96, 96))
    flow = np.stack([positions[..., 0] - xs, positions[..., 1] - ys])
    assert np.abs(flow - truth.flow.numpy()).max() < 1e-3
    assert np.isinf(depth[truth.depths[0].isinf().numpy()]).all()

    planar = Samples(write_planar(tmp_path / "d"))
    sample, truth = planar[0], planar.truth(0)
    cameras = stored_cameras(sample.meta, 3)
    found = torch.from_numpy(plane_homography(cameras[0], cameras[2]))
    torch.testing.assert_close(found / found[2, 2], sample.homographies[2])
    seen = truth.depths[2].isfinite()
    torch.testing.assert_close(torch.from_numpy(plane_depth(cameras[2], (64, 64))).float()[seen], truth.depths[2][seen])


def test_a_training_batch_has_no_homography_where_none_is_known(url: str) -> None:
    same = TrainingPairs(url, 32, 8, AugmentOptions(view_probability=1, same_frame_probability=1), seed=0).batch(0, 0)
    assert same["homography"].isfinite().all()
    other = TrainingPairs(url, 32, 8, AugmentOptions(same_frame_probability=0), seed=0).batch(0, 0)
    assert other["homography"].isnan().all()
    assert other["reference"].shape == (8, 3, 32, 32)
    assert all(other[name].isfinite().all() for name in ("reference", "source", "reference_input", "source_input"))


def test_a_method_takes_a_training_step_on_pairs(url: str) -> None:
    model = build_model(TrainingSpec("crossscale", url, model=SMALL_MODELS["crossscale"]))
    batch = TrainingPairs(url, 96, 4, AugmentOptions(same_frame_probability=0.5), seed=1).batch(0, 0)
    assert 0 < batch["homography"].isnan().all((1, 2)).sum() < 4
    losses = model.training_step(batch)
    losses["loss"].backward()
    assert losses["corner"].isfinite()
    assert all(weight.grad.isfinite().all() for weight in model.parameters() if weight.grad is not None)


def test_validation_and_evaluation_leave_homography_metrics_out(url: str) -> None:
    batch = validation_pairs(url, "test", 48, 4)
    assert batch["reference"].shape == (2, 3, 48, 48)
    assert batch["homography"].isnan().all()
    cases = EvaluationSet(choose_datasets([url], "test-hard", None)[0])
    assert [cases.case("pair", index).key for index in range(cases.count("pair"))] == ["000005"]
    metrics = measure(cases.case("pair", 0), None)
    assert "psnr_overlap" in metrics
    assert "corner_error" not in metrics


def test_a_pair_without_source_is_one_clear_error(url: str, tmp_path: Path) -> None:
    samples, info = read_samples(url)
    samples[0].pop("src.png")
    with pytest.raises(DatasetError, match=r"sample 000000 of .* has ref\.png, not ref and src"):
        Samples(write_samples(tmp_path / "d", samples, info))[0]


def test_spread() -> None:
    assert spread(10, 3) == [0, 4, 9]
    assert spread(3, 10) == [0, 1, 2]
    assert spread(5, 1) == [0]
