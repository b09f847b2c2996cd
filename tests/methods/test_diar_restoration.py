"""The restoration network: layers, what does not depend on order and number, masks, the loss, frames in a stream."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from raylign.methods.diar.blocks import DECODER_REACH, ENCODER_REACH, Decoder, Encoder, ResBlock
from raylign.methods.diar.config import DiarConfig
from raylign.methods.diar.online import OnlineRestoration
from raylign.methods.diar.restoration import Restoration, Restored, restoration_loss, restore
from raylign.methods.errors import InputError
from tests.methods.diar_network import network, shots
from tests.methods.test_properties import repeatable

AGGREGATIONS = ["softmax", "average", "deepsets"]


def test_a_residual_block_adds_two_convolutions_to_what_comes_in() -> None:
    block = ResBlock(3)
    torch.nn.init.normal_(block.second.weight)
    values = torch.randn(2, 3, 5, 4)
    hidden = F.conv2d(values, block.first.weight, padding=1).relu()
    expected = values + F.conv2d(hidden, block.second.weight, padding=1)
    torch.testing.assert_close(block(values), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ResBlock(3)(values), values)


def test_layers_are_those_of_the_table() -> None:
    made = Restoration(DiarConfig())
    weights = {name: tuple(value.shape) for name, value in made.encoder.named_parameters() if value.dim() == 4}
    assert list(weights.values()) == [
        (64, 3, 3, 3),
        *[(64, 64, 3, 3)] * 2,
        (128, 64, 3, 3),
        *[(128, 128, 3, 3)] * 2,
        (128, 128, 3, 3),
        *[(128, 128, 3, 3)] * 2,
    ]
    weights = {name: tuple(value.shape) for name, value in made.decoder.named_parameters() if value.dim() == 4}
    assert list(weights.values()) == [
        *[(128, 128, 3, 3)] * 2,
        (64, 128, 3, 3),
        *[(64, 64, 3, 3)] * 2,
        (64, 64, 3, 3),
        *[(64, 64, 3, 3)] * 2,
        (3, 64, 3, 3),
    ]
    assert made.swin is not None
    assert len(made.swin) == 4
    assert made.encoder(torch.rand(2, 3, 12, 20)).shape == (2, 128, 3, 5)
    assert made.decoder(torch.rand(2, 128, 3, 5), (11, 18)).shape == (2, 3, 11, 18)


def test_reaches_are_those_of_the_convolutions() -> None:
    encoder, decoder = network().encoder, network().decoder
    assert isinstance(encoder, Encoder)
    assert isinstance(decoder, Decoder)
    # Away from ReLU's dead half, every connection carries a gradient for some of many inputs.
    frames = torch.rand(16, 3, 96, 8, requires_grad=True)
    encoder(frames)[:, :, 12].abs().sum().backward()
    assert frames.grad is not None
    touched = frames.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert (int(touched.min()), int(touched.max())) == (48 - 18, 48 + 18)
    assert 12 - ENCODER_REACH == (48 - 18) // 4
    features = torch.randn(16, 16, 24, 4, requires_grad=True)
    decoder(features, (96, 16))[:, :, 48:52].abs().sum().backward()
    assert features.grad is not None
    touched = features.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert (int(touched.min()), int(touched.max())) == (12 - DECODER_REACH, 12 + DECODER_REACH)


@pytest.mark.parametrize(
    ("aggregation", "window", "moves"),
    [("deepsets", 1, False), ("average", 1, False), ("softmax", 1, False), ("average", 2, True), ("softmax", 3, True)],
)
def test_order_matters_only_to_windows_of_several_frames(aggregation: str, window: int, moves: bool) -> None:
    made = network(aggregation=aggregation, temporal_window=window)
    frames, masks = shots(0, 5, (22, 17))
    order = torch.tensor([3, 0, 4, 1, 2])
    with torch.no_grad():
        one, other = made(frames, masks), made(frames[:, order], masks[:, order])
    change = (one.image - other.image).abs().max()
    assert (change > 1e-4) == moves
    if not moves:
        assert change < 1e-5
        torch.testing.assert_close(one.weights[:, order], other.weights, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_a_set_twice_is_the_set(aggregation: str) -> None:
    made = network(aggregation=aggregation, skip="picture")
    frames, masks = shots(0, 4, (22, 17))
    with torch.no_grad():
        once, twice = made(frames, masks), made(frames.repeat(1, 2, 1, 1, 1), masks.repeat(1, 2, 1, 1, 1))
    torch.testing.assert_close(once.image, twice.image, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(once.weights, 2 * twice.weights[:, :4], atol=1e-5, rtol=1e-4)


def test_constant_embeddings_weigh_as_the_mean() -> None:
    softmax, mean = network(aggregation="softmax"), network(aggregation="deepsets")
    mean.encoder.load_state_dict(softmax.encoder.state_dict())
    mean.decoder.load_state_dict(softmax.decoder.state_dict())

    class Constant(torch.nn.Module):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return torch.full_like(features, 0.7)

    softmax.swin = Constant()  # type: ignore[assignment]
    frames, masks = shots(0, 4, (22, 17))
    with torch.no_grad():
        torch.testing.assert_close(softmax(frames, masks), mean(frames, masks), atol=1e-4, rtol=1e-4)


def test_average_is_the_mean_of_what_the_blocks_say() -> None:
    made = network(aggregation="average", temporal_window=2)
    frames, _ = shots(0, 3, (24, 20))
    with torch.no_grad():
        said = made.swin(made.encoder(frames[0])[None].permute(0, 1, 3, 4, 2)).mean(dim=1)  # type: ignore[misc]
        expected = made.decoder(said.permute(0, 3, 1, 2), (24, 20)) / 2 + 0.5
        torch.testing.assert_close(made(frames).image, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_frames_that_know_nothing_do_not_count(aggregation: str) -> None:
    frames, masks = shots(0, 4, (22, 17))
    masks[:, 1::2] = False
    masks[:, 0] = True
    made = network(aggregation=aggregation, skip="picture")
    with torch.no_grad():
        found, kept = made(frames, masks), made(frames[:, ::2], masks[:, ::2])
        torch.testing.assert_close(found.image, kept.image, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.weights[:, ::2], kept.weights)
        assert (found.weights[:, 1::2] == 0).all()
        plain = network(aggregation=aggregation, skip="picture", masked=False)
        assert (plain(frames, masks).weights > 0).all()


@pytest.mark.parametrize("masked", [True, False])
def test_what_lies_under_a_mask_does_not_matter(masked: bool) -> None:
    made = network(masked=masked, skip="picture")
    frames, masks = shots(0, 3, (22, 17))
    with torch.no_grad():
        one, other = made(frames, masks), made(torch.where(masks, frames, 0.9), masks.float())
    torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_with_frames_added_it_begins_as_their_mean_over_who_knows() -> None:
    made = Restoration(DiarConfig(width=8, window=4, aggregation="deepsets", skip="picture"))
    frames, masks = shots(0, 5, (24, 24))
    masks = torch.ones_like(masks)
    masks[:, 2:] = False
    with torch.no_grad():
        torch.testing.assert_close(made(frames, masks).image, frames[:, :2].mean(dim=1), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(made(frames).image, frames.mean(dim=1), atol=1e-6, rtol=1e-5)


@repeatable
@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    count=st.integers(1, 7),
    batch=st.integers(1, 2),
    aggregation=st.sampled_from(AGGREGATIONS),
    window=st.integers(1, 3),
    skip=st.sampled_from(["none", "picture"]),
    masked=st.booleans(),
    hidden=st.booleans(),
)
def test_any_size_and_number_of_frames(
    size: tuple[int, int],
    count: int,
    batch: int,
    aggregation: str,
    window: int,
    skip: str,
    masked: bool,
    hidden: bool,
) -> None:
    made = network(aggregation=aggregation, temporal_window=window, skip=skip, masked=masked)
    frames, masks = shots(3, count, size, batch)
    with torch.no_grad():
        found = made(frames, masks if hidden else None)
    assert found.image.shape == (batch, 3, *size)
    assert found.image.isfinite().all()
    assert found.weights.shape == (batch, count, 1, -(-size[0] // 4), -(-size[1] // 4))
    torch.testing.assert_close(found.weights.sum(dim=1), torch.ones_like(found.weights[:, 0]))
    image, weights = restore(made, frames[0], masks[0] if hidden else None, 32)
    torch.testing.assert_close(image, found.image[0].clamp(0, 1), atol=1e-4, rtol=0)
    assert weights.shape == (count, 1, *size)
    torch.testing.assert_close(weights.sum(dim=0), torch.ones(1, *size))


def test_every_weight_learns() -> None:
    made = network(aggregation="softmax", temporal_window=2)
    frames, masks = shots(0, 3, (24, 24), batch=2)
    restoration_loss(made(frames, masks), torch.rand(2, 3, 24, 24)).backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_it_runs_in_bfloat16() -> None:
    made = network(skip="picture")
    frames, masks = shots(0, 3, (24, 24))
    with torch.no_grad():
        exact = made(frames, masks)
        with torch.autocast("cpu", torch.bfloat16):
            coarse = made(frames, masks)
    assert coarse.image.dtype == coarse.weights.dtype == torch.float32
    torch.testing.assert_close(coarse.image, exact.image, atol=0.1, rtol=0)
    torch.testing.assert_close(coarse.weights.sum(dim=1), torch.ones_like(coarse.weights[:, 0]))


def test_loss_is_the_mean_over_samples_of_squared_errors() -> None:
    truth = torch.zeros(2, 3, 2, 2)
    image = torch.stack([torch.full((3, 2, 2), 0.5), torch.full((3, 2, 2), 0.1)])
    restored = Restored(image, torch.ones(2, 1, 1, 1, 1))
    assert restoration_loss(restored, truth).item() == pytest.approx((0.25 + 0.01) / 2)


@pytest.mark.parametrize("changes", [{"aggregation": each} for each in AGGREGATIONS] + [{"masked": False}])
def test_a_stream_gives_what_the_set_gives(changes: dict[str, Any]) -> None:
    made = network(**changes)
    frames, masks = shots(0, 5, (70, 45))
    stream = OnlineRestoration(made, tile=32)
    for count, (frame, mask) in enumerate(zip(frames[0], masks[0], strict=True), start=1):
        stream.add(frame, mask)
        assert stream.frames == count
        with torch.no_grad():
            expected = made(frames[:, :count], masks[:, :count]).image[0].clamp(0, 1)
        torch.testing.assert_close(stream.image(), expected, atol=1e-5, rtol=0)


def test_a_stream_is_refused_where_it_cannot_be() -> None:
    with pytest.raises(InputError, match="temporal_window 2 needs all frames"):
        OnlineRestoration(network(temporal_window=2))
    with pytest.raises(InputError, match="skip 'picture' needs all frames"):
        OnlineRestoration(network(skip="picture"))
    OnlineRestoration(network(temporal_window=2, aggregation="deepsets"))
    stream = OnlineRestoration(network())
    with pytest.raises(InputError, match="add one first"):
        stream.image()
    stream.add(torch.rand(3, 20, 30))
    with pytest.raises(InputError, match="one size: this one has 20 x 30 pixels, those before 30 x 20"):
        stream.add(torch.rand(3, 30, 20))
