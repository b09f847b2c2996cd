"""`Diar`: its training stages, its contract as an `Aligner` of sets, and what it does with pictures it cannot use."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raylign.methods import geometry
from raylign.methods.diar import Diar, DiarConfig, DiarInference
from raylign.methods.errors import CheckpointError, InputError
from raylign.methods.registry import is_learned, load, takes_sets
from tests.methods.small import picture
from tests.methods.test_reconstruction_shots import plane_shots
from tests.training import SMALL_MODELS


def small_diar(seed: int = 0, **changes: Any) -> Diar:
    torch.manual_seed(seed)
    return Diar(DiarConfig(**{**SMALL_MODELS["diar"], **changes})).eval()


def sequence_batch(batch: int = 2, frames: int = 4, size: int = 64, seed: int = 0) -> dict[str, torch.Tensor]:
    """Frames under homographies, each with another gain, and what frame 0 would show undisturbed."""
    truth = picture(seed, (size, size), batch)
    generator = torch.Generator().manual_seed(seed)
    corners = geometry.image_corners((size, size)).expand(batch * frames, 4, 2)
    moves = (torch.rand(batch * frames, 4, 2, generator=generator, dtype=torch.float64) * 2 - 1) * 4
    moves[::frames] = 0
    homographies = geometry.homography_from_points(corners, corners + moves)
    shown, _ = geometry.warp_by_homography(
        truth.repeat_interleave(frames, 0), geometry.invert_homography(homographies), (size, size)
    )
    gain = 0.6 + 0.4 * torch.rand(batch * frames, 1, 1, 1, generator=generator)
    return {
        "frames": (shown * gain).unflatten(0, (batch, frames)),
        "truth": truth,
        "homographies": homographies.unflatten(0, (batch, frames)),
    }


def test_it_is_a_learned_method_of_sets() -> None:
    assert is_learned("diar")
    assert takes_sets("diar")
    network = load("diar")
    assert isinstance(network, Diar)
    assert network.config == DiarConfig()


def test_stages_train_their_own_weights() -> None:
    network = small_diar(descriptor_share=0.5).train()
    assert [(stage.name, stage.share) for stage in network.training_stages()] == [
        ("descriptors", 0.5),
        ("restoration", 0.5),
    ]
    for stage, part in (("descriptors", network.descriptors), ("restoration", network.restoration)):
        network.enter_stage(stage)
        network.zero_grad()
        losses = network.training_step(sequence_batch())
        assert all(value.isfinite() and value.shape == () for value in losses.values())
        losses["loss"].backward()
        assert {id(each) for each in part.parameters()} >= {
            id(each) for each in network.parameters() if each.grad is not None
        }
        assert any(each.grad is not None and each.grad.abs().sum() > 0 for each in part.parameters())
    assert [stage.name for stage in small_diar(descriptor_share=0.0).training_stages()] == ["restoration"]
    assert [stage.name for stage in small_diar(descriptor_share=1.0).training_stages()] == ["descriptors"]


def test_restoration_learns_from_frames_brought_together() -> None:
    network = small_diar(skip="picture").train()
    network.enter_stage("restoration")
    optimizer = torch.optim.Adam(network.restoration.parameters(), lr=3e-3)
    batch = sequence_batch()
    torch.manual_seed(0)
    first = network.training_step(batch)["loss"].item()
    for _ in range(60):
        optimizer.zero_grad()
        loss = network.training_step(batch)["loss"]
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3 * first
    # Without the homographies the frames do not lie on each other, and the same weights do worse.
    apart = {name: value for name, value in batch.items() if name != "homographies"}
    assert network.training_step(apart)["loss"].item() > 1.5 * loss.item()


def test_descriptors_of_another_checkpoint_are_taken_over_and_not_trained(tmp_path: Path) -> None:
    other = small_diar(seed=1, aggregation="average")
    other.save_pretrained(tmp_path / "other")
    network = small_diar(seed=2, descriptors=str(tmp_path / "other"), descriptor_share=0.5)
    for name, weights in other.descriptors.state_dict().items():
        assert torch.equal(network.descriptors.state_dict()[name], weights)
    own = small_diar(seed=2).restoration.state_dict()
    assert all(torch.equal(own[name], weights) for name, weights in network.restoration.state_dict().items())
    assert [(stage.name, stage.share) for stage in network.training_stages()] == [("restoration", 1.0)]
    network.save_pretrained(tmp_path / "network")
    shutil.rmtree(tmp_path / "other")
    assert isinstance(load(str(tmp_path / "network")), Diar)


def test_descriptors_of_another_shape_are_refused(tmp_path: Path) -> None:
    small_diar(backbone_layers=2, descriptor=24).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"another shape; give --model\.backbone-layers 2 --model\.descriptor 24$"):
        small_diar(descriptors=str(tmp_path))
    with pytest.raises(CheckpointError, match=r"config\.json"):
        small_diar(descriptors=str(tmp_path / "none"))


def test_frames_of_unknown_homographies_lie_on_each_other() -> None:
    network = small_diar()
    batch = sequence_batch()
    identity = torch.eye(3, dtype=torch.float64).expand(2, 4, 3, 3)
    losses = []
    for homographies in (identity, torch.full_like(identity, torch.nan), None):
        own = {**batch, "homographies": homographies} if homographies is not None else dict(batch)
        if homographies is None:
            del own["homographies"]
        losses.append(network.training_step(own)["loss"].item())
    # The frames are the same to the bit, their places in memory are not: products of matrices may round by them.
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)


def test_jitter_moves_frames_in_training_alone() -> None:
    batch = sequence_batch()
    still, moved = (small_diar(jitter=jitter).training_step(batch)["loss"].item() for jitter in (0.0, 3.0))
    assert still != moved
    frames, masks = batch["frames"], torch.ones(2, 4, 1, 64, 64)
    assert torch.equal(
        small_diar(jitter=0.0).reconstruct(frames, masks), small_diar(jitter=3.0).reconstruct(frames, masks)
    )


@pytest.fixture(scope="module")
def plane() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return plane_shots(0, 4, (180, 240))


def test_align_brings_a_set_together(plane: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    _, shots, homographies = plane
    found = small_diar(skip="picture").align(shots[:1], shots[None, 1:])
    assert found.image.shape == (1, 3, 180, 240)
    assert found.homography is not None
    corners = geometry.image_corners((180, 240))[None].expand(3, -1, -1)
    told = geometry.transform_points(found.homography[0].double(), corners)
    assert (told - geometry.transform_points(homographies[1:], corners)).norm(dim=-1).mean() < 1
    assert found.extras["frames_used"].tolist() == [[True] * 4]
    weights = found.extras["weights"]
    assert weights.shape == (1, 4, 1, 180, 240)
    torch.testing.assert_close(weights.float().sum(1), torch.ones(1, 1, 180, 240), atol=5e-3, rtol=0)
    assert found.confidence is not None
    assert float(found.confidence) > 0.3
    assert 0 <= found.image.min() <= found.image.max() <= 1


def test_a_shot_of_something_else_is_left_out(plane: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    _, shots, _ = plane
    strange = plane_shots(7, 1, (180, 240))[1]
    found = small_diar().align(shots[:1], torch.cat([shots[1:2], strange, shots[2:3]])[None])
    assert found.extras["frames_used"].tolist() == [[True, True, False, True]]
    assert found.extras["source_confidence"][0, 1] == 0
    assert (found.extras["weights"][0, 2] == 0).all()
    alone = small_diar().align(shots[:1], strange[None])
    assert float(alone.confidence) == 0  # type: ignore[arg-type]


def test_without_aligning_the_frames_are_taken_as_they_are(
    plane: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    _, shots, _ = plane
    network = small_diar()
    network.inference = DiarInference(align=False)
    found = network.align(shots[:1], shots[None, 1:])
    assert torch.equal(found.image, network.reconstruct(shots[None], torch.ones(1, 4, 1, 180, 240)))
    assert found.confidence is None
    assert torch.equal(found.homography[0], torch.eye(3).expand(3, 3, 3))  # type: ignore[index]


def test_frames_that_are_not_aligned_must_have_one_size() -> None:
    network = small_diar()
    network.inference = DiarInference(align=False)
    with pytest.raises(InputError, match="leave align on"):
        network.align(torch.rand(1, 3, 40, 40), torch.rand(1, 1, 3, 40, 44))


def test_sources_may_have_another_size(plane: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    _, shots, homographies = plane
    larger = torch.nn.functional.interpolate(shots[1:], (270, 480), mode="bilinear", align_corners=False)
    found = small_diar().align(shots[:1], larger[None])
    to_larger = geometry.resize_transform((180, 240), (270, 480), "area")
    corners = geometry.image_corners((180, 240))[None].expand(3, -1, -1)
    told = geometry.transform_points(found.homography[0].double(), corners)  # type: ignore[index]
    assert (told - geometry.transform_points(to_larger @ homographies[1:], corners)).norm(dim=-1).mean() < 3


def test_a_checkpoint_gives_the_same_answers(tmp_path: Path) -> None:
    network = small_diar(temporal_window=2)
    network.save_pretrained(tmp_path / "c")
    again = load(tmp_path / "c")
    assert isinstance(again, Diar)
    assert again.config == network.config
    frames, masks = sequence_batch()["frames"], torch.ones(2, 4, 1, 64, 64)
    assert torch.equal(network.reconstruct(frames, masks), again.reconstruct(frames, masks))


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"aggregation": "max"}, "aggregation"),
        ({"temporal_window": 4}, "temporal_window"),
        ({"backbone_layers": 0}, "backbone_layers"),
        ({"working_size": 100}, "working_size"),
        ({"width": 9, "heads": 4}, "heads"),
        ({"descriptor_share": 1.5}, "descriptor_share"),
        ({"jitter": -1.0}, "jitter"),
    ],
)
def test_impossible_hyperparameters_are_refused(changes: dict[str, Any], names: str) -> None:
    with pytest.raises(InputError, match=names):
        DiarConfig(**{**SMALL_MODELS["diar"], **changes})


@pytest.mark.parametrize(
    ("changes", "names"), [({"side": 10}, "side"), ({"scales": 0}, "scales"), ({"tile": 130}, "tile")]
)
def test_impossible_choices_are_refused(changes: dict[str, int], names: str) -> None:
    with pytest.raises(InputError, match=names):
        DiarInference(**changes)


shapes = st.tuples(st.integers(1, 90), st.integers(1, 90))


@settings(derandomize=True, deadline=None, max_examples=15, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(shapes, shapes, st.integers(1, 2), st.integers(1, 3), st.booleans())
def test_any_sizes_give_finite_pictures(
    size: tuple[int, int], other: tuple[int, int], batch: int, count: int, same: bool
) -> None:
    reference = picture(1, size, batch)
    sources = reference[:, None].expand(-1, count, -1, -1, -1) if same else picture(2, other, batch * count)
    sources = sources.reshape(batch, count, 3, *sources.shape[-2:])
    found = small_diar(temporal_window=2).align(reference, sources)
    assert found.image.shape == (batch, 3, *size)
    assert found.image.isfinite().all()
    assert found.homography is not None
    assert found.homography.isfinite().all()
    assert found.confidence is not None
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()


@pytest.mark.parametrize(
    ("reference", "sources"),
    [
        (torch.zeros(1, 3, 8, 8, dtype=torch.float64), torch.zeros(1, 1, 3, 8, 8)),
        (torch.zeros(1, 3, 8, 8), torch.full((1, 1, 3, 8, 8), torch.nan)),
        (torch.zeros(1, 3, 8, 8), torch.full((1, 1, 3, 8, 8), torch.inf)),
        (torch.zeros(1, 3, 8, 8), torch.full((1, 1, 3, 8, 8), 200.0)),
        (torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 3, 8, 8)),
        (torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 4, 8, 8)),
        (torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)),
        (torch.zeros(0, 3, 8, 8), torch.zeros(0, 1, 3, 8, 8)),
        (torch.zeros(1, 3, 8, 8), torch.zeros(1, 0, 3, 8, 8)),
        (torch.zeros(2, 3, 8, 8), torch.zeros(1, 1, 3, 8, 8)),
        (torch.zeros(1, 3, 0, 8), torch.zeros(1, 1, 3, 8, 8)),
    ],
)
def test_what_are_no_pictures_is_refused(reference: torch.Tensor, sources: torch.Tensor) -> None:
    with pytest.raises(InputError):
        small_diar().align(reference, sources)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_nothing_to_match_is_no_alignment(level: float) -> None:
    flat = torch.full((1, 3, 80, 80), level)
    found = small_diar().align(flat, flat[:, None])
    assert float(found.confidence) == 0  # type: ignore[arg-type]
    assert found.extras["frames_used"].tolist() == [[True, False]]
