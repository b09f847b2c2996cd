"""`CrossScale.training_step`: its parts, its gradients, and that it learns."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from raylign.methods import geometry
from raylign.methods.crossscale import CrossScale
from raylign.methods.crossscale.losses import mesh_positions
from raylign.methods.draws import Draws
from raylign.methods.errors import InputError
from tests.methods.small import picture, small_network

PARTS = {"loss", "content", "shape", "jnd"}


def pair_batch(count: int = 4, size: int = 96, move: float = 8.0, seed: int = 0) -> dict[str, torch.Tensor]:
    """Pairs cut from larger pictures by random homographies, so that no border tells the answer."""
    generator = torch.Generator().manual_seed(seed)
    margin = int(move) + 2
    canvas = picture(seed, (size + 2 * margin, size + 2 * margin), count)
    corners = geometry.image_corners((size, size)).expand(count, 4, 2)
    moves = (torch.rand(count, 4, 2, generator=generator, dtype=torch.float64) * 2 - 1) * move
    shift = torch.tensor([[1.0, 0, margin], [0, 1, margin], [0, 0, 1]], dtype=torch.float64).expand(count, 3, 3)
    to_canvas = geometry.homography_from_points(corners, corners + moves + margin)
    reference, _ = geometry.warp_by_homography(canvas, shift, (size, size))
    source, _ = geometry.warp_by_homography(canvas, to_canvas, (size, size))
    return {"reference": reference, "source": source, "homography": torch.linalg.inv(to_canvas) @ shift}


def corner_error(network: CrossScale, batch: dict[str, torch.Tensor]) -> float:
    corners = geometry.image_corners(network.size)[None]
    truth = geometry.transform_points(batch["homography"], corners) - corners
    with torch.no_grad():
        found = network.predict(batch["reference"], batch["source"]).global_offsets
    return float((found - truth).norm(dim=-1).mean())


def test_parts_of_the_loss() -> None:
    network = small_network(supervision=2.0, shape_weight=3.0, jnd_weight=0.5, content_weight=0.7)
    losses = network.training_step(pair_batch())
    assert set(losses) == PARTS | {"corner"}
    expected = 0.7 * losses["content"] + 3 * losses["shape"] + 0.5 * losses["jnd"] + 2 * losses["corner"]
    assert torch.allclose(losses["loss"], expected)
    assert all(value.shape == () for value in losses.values())


def test_the_paper_has_no_supervision() -> None:
    assert set(small_network().training_step(pair_batch())) == PARTS
    batch = pair_batch()
    del batch["homography"]
    assert set(small_network(supervision=1.0).training_step(batch)) == PARTS


def test_unknown_homographies_do_not_count() -> None:
    network = small_network(supervision=1.0, norm="frozen")
    batch = pair_batch()
    first = {name: value[:1] for name, value in batch.items()}
    batch["homography"][1:] = torch.nan
    losses = network.training_step(batch)
    losses["loss"].backward()
    assert losses["corner"].item() == pytest.approx(network.training_step(first)["corner"].item(), rel=1e-4)
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters() if parameter.grad is not None)
    batch["homography"][:] = torch.nan
    assert network.training_step(batch)["corner"].item() == 0


def test_corner_loss_of_the_untrained_network_is_the_true_motion() -> None:
    network, batch = small_network(supervision=1.0), pair_batch()
    corners = geometry.image_corners(network.size)[None]
    on_corners = (geometry.transform_points(batch["homography"], corners) - corners).abs().mean() / 6
    regular = geometry.regular_mesh(5, 4, network.size)[None]
    inverse = geometry.invert_homography(batch["homography"])
    on_mesh = (geometry.transform_points(inverse, regular) - regular).abs().mean() / 6
    assert network.training_step(batch)["corner"].item() == pytest.approx(float(on_corners + on_mesh), rel=1e-5)


def bent_batch(count: int, bend: float) -> dict[str, torch.Tensor]:
    """Like `pair_batch`, the source pixel q showing what lies at q + d(q), d a smooth field of up to `bend` pixels."""
    batch = pair_batch(count)
    generator = torch.Generator().manual_seed(5)
    controls = (torch.rand(count, 2, 4, 4, generator=generator) * 2 - 1) * bend
    field = F.interpolate(controls, (96, 96), mode="bilinear", align_corners=True)
    positions = geometry.pixel_grid((96, 96)) + field.permute(0, 2, 3, 1)
    return {**batch, "source": geometry.sample(batch["source"], positions.float()), "displacement": field}


def test_the_true_mesh_of_a_bent_source_explains_it() -> None:
    network = small_network(mesh=(13, 13))
    batch = bent_batch(2, 4.0)
    errors = []
    for displacement in (None, batch["displacement"]):
        positions = mesh_positions(network.true_mesh(batch["homography"], displacement), network.size)
        warped = geometry.sample(batch["source"], positions)
        mask = geometry.coverage(positions, network.size)[:, None] > 0.999
        errors.append(float(((warped - batch["reference"]).abs() * mask).sum() / mask.sum()))
    assert errors[1] < 0.3 * errors[0]


def test_a_guided_local_stage_learns_the_bend_and_the_global_one_its_corners() -> None:
    network = small_network(mesh=(5, 5), supervision=1.0, guided=5.0, norm="batch", centred_correlation=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    batch = bent_batch(4, 4.0)

    def bend_error() -> float:
        with torch.no_grad():
            network.eval()
            mesh = network.predict(batch["reference"], batch["source"], batch["homography"]).mesh
            network.train()
        return float((mesh - network.true_mesh(batch["homography"], batch["displacement"])).norm(dim=-1).mean())

    before = bend_error(), corner_error(network, batch)
    torch.manual_seed(0)
    for _ in range(60):
        optimizer.zero_grad()
        network.training_step(batch)["loss"].backward()
        optimizer.step()
    after = bend_error(), corner_error(network, batch)
    assert after[0] < 0.7 * before[0]
    assert after[1] < 0.7 * before[1]


def test_a_guide_starts_from_the_known_homographies_alone() -> None:
    """Samples of unknown homographies go on from the network's own offsets, and give finite losses."""
    network = small_network(supervision=1.0, guided=0.0)
    batch = pair_batch()
    guided = network.training_step(batch)["content"]
    started = network.predict(batch["reference"], batch["source"], batch["homography"])
    assert torch.allclose(
        network._guide(torch.zeros(4, 4, 2), batch["homography"], 0.0, Draws(batch)), started.global_offsets
    )
    batch["homography"][:] = torch.nan
    unguided = network.training_step(batch)
    assert all(value.isfinite() for value in unguided.values())
    assert guided < 0.5 * unguided["content"]


@pytest.mark.parametrize("changes", [{"guided": -1.0, "supervision": 1.0}, {"guided": 1.0}])
def test_a_guide_needs_known_homographies(changes: dict[str, float]) -> None:
    with pytest.raises(InputError, match="guided"):
        small_network(**changes)


def test_gradients_reach_every_parameter() -> None:
    network = small_network(head_norm="batch")
    # The zero weights of the last layers hold back all other gradients in the very first step.
    for module in [network.coarse, network.intra, *network.cross.values()]:
        torch.nn.init.normal_(module.offsets.weight, std=0.1)
    network.training_step(pair_batch())["loss"].backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without


def test_network_input_may_differ_from_the_pictures_of_the_losses() -> None:
    network, batch = small_network(norm="frozen"), pair_batch()
    plain = network.training_step(batch)
    jittered = network.training_step({**batch, "reference_input": batch["reference"] * 0.5})
    # Untrained, the prediction is the identity whatever the network sees.
    assert torch.allclose(plain["loss"], jittered["loss"])


def test_losses_are_float32_under_autocast() -> None:
    network, batch = small_network(supervision=1.0), pair_batch()
    with torch.autocast("cpu", torch.bfloat16):
        losses = network.training_step(batch)
    assert all(value.dtype == torch.float32 for value in losses.values())
    losses["loss"].backward()


@pytest.mark.parametrize("supervision", [0.0, 1.0])
def test_overfitting_one_batch_lowers_loss_and_corner_error(supervision: float) -> None:
    torch.manual_seed(0)
    network = small_network(
        supervision=supervision,
        input_norm="picture",
        centred_correlation=True,
        head_norm="batch",
        smallest_map=3,
        linear=(128, 64),
    )
    batch = pair_batch(count=2, move=4.0)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    network.train()
    first: dict[str, float] = {}
    before = corner_error(network, batch)
    for _ in range(25):
        losses = network.training_step(batch)
        optimizer.zero_grad()
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 3.0)
        optimizer.step()
        first = first or {name: value.item() for name, value in losses.items()}
    assert losses["content"].item() < 0.6 * first["content"]
    assert losses["loss"].item() < 0.6 * first["loss"]
    assert corner_error(network, batch) < 0.6 * before
