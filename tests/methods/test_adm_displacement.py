"""The score of the field: its layout against VoxelMorph's and diffusers', its units, what depends on what."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_2d import UNet2DModel
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from raylign.methods.adm.config import AdmConfig
from raylign.methods.adm.displacement import (
    DeformationNetwork,
    DeformationTransformer,
    Denoiser,
    DenoisingTransformer,
    DisplacementScore,
)
from raylign.methods.adm.spatial_transformer import spatial_transform
from raylign.methods.errors import InputError

TINY: dict[str, Any] = {
    "working_size": 32,
    "denoiser_channels": 8,
    "denoiser_multipliers": (1, 2),
    "deformation_channels": (8, 8),
}
KINDS = ("cnn", "transformer")
few = settings(derandomize=True, deadline=None, max_examples=12, database=None)


def score(kind: str = "cnn", seed: int = 0, *, awake: bool = True, **changes: Any) -> DisplacementScore:
    """A tiny one; `awake`, the layers that start at zero have random weights like the others."""
    torch.manual_seed(seed)
    network = DisplacementScore(AdmConfig(**{**TINY, "displacement_network": kind, **changes}))
    if awake:
        for weights in network.parameters():
            if weights.dim() > 1 and weights.std() < 1e-3:
                nn.init.normal_(weights, std=0.1)
    return network.eval()


def inputs(batch: int = 2, side: int = 32, seed: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    moving, fixed = torch.rand(2, batch, 1, side, side, generator=generator)
    noisy = torch.randn(batch, 1, side, side, generator=generator)
    return moving, fixed, noisy, torch.tensor([3, 450, 120, 7])[:batch]


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_it_starts_with_no_noise_and_almost_no_field(kind: str) -> None:
    noise, field = score(kind, awake=False)(*inputs())
    assert torch.equal(noise, torch.zeros(2, 1, 32, 32))
    assert field.shape == (2, 2, 32, 32)
    assert 0 < field.abs().max() < 0.01


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [32, 96])
@torch.no_grad()
def test_the_field_is_told_in_units_of_a_thirty_second_of_the_side(kind: str, side: int) -> None:
    network = score(kind, working_size=side)
    head = network.deformation.flow if isinstance(network.deformation, DeformationNetwork) else network.deformation.head
    head.weight.zero_()
    assert head.bias is not None
    head.bias.copy_(torch.tensor([1.0, -2.0]).repeat_interleave(len(head.bias) // 2))
    moving, fixed, noisy, timesteps = inputs(side=side)
    field = network(moving, fixed, noisy, timesteps).field
    expected = torch.tensor([side / 32, -side / 16]).view(1, 2, 1, 1).expand(2, -1, side, side)
    torch.testing.assert_close(field, expected)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_an_item_does_not_depend_on_its_batch(kind: str) -> None:
    network, batch = score(kind), inputs(4)
    together = network(*batch)
    for item in range(4):
        alone = network(*(values[item : item + 1] for values in batch))
        for one, all_of_them in zip(alone, together, strict=True):
            torch.testing.assert_close(one, all_of_them[item : item + 1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_what_depends_on_what(kind: str) -> None:
    network, batch = score(kind), inputs(1)
    noise, field = network(*batch)
    torch.testing.assert_close(network.field_of(batch[0], noise), field)
    for changed in range(4):
        others = list(batch)
        others[changed] = inputs(1, seed=2)[changed] if changed < 3 else torch.tensor([300])
        other_noise, other_field = network(*others)
        assert (other_noise - noise).abs().max() > 1e-3
        assert (other_field - field).abs().max() > 1e-5
    # The fixed map reaches the field through the noise alone.
    assert not torch.allclose(network.field_of(inputs(1, seed=2)[0], noise), field)
    assert not torch.allclose(network.field_of(batch[0], noise + 1), field)


@pytest.mark.parametrize("kind", KINDS)
def test_all_weights_are_trained_and_all_are_in_a_shard(kind: str) -> None:
    network = score(kind).train()
    noise, field = network(*inputs())
    (noise.square().mean() + field.square().mean()).backward()
    for name, weights in network.named_parameters():
        assert weights.grad is not None, name
        assert weights.grad.isfinite().all()
        # What all channels of a head's keys have in common has no effect on attention.
        if not name.endswith(("to_k.bias", "in_proj_bias")):
            assert weights.grad.abs().max() > 0, name
    units = [weights for unit in network.shard_units() for weights in unit.parameters()]
    assert {id(weights) for weights in units} == {id(weights) for weights in network.parameters()}
    assert len(units) == len(list(network.parameters()))


@pytest.mark.parametrize("kind", KINDS)
def test_the_field_teaches_the_denoiser(kind: str) -> None:
    network = score(kind)
    moving, fixed, noisy, timesteps = inputs()
    noisy.requires_grad_()
    field = network(moving, fixed, noisy, timesteps).field
    (gradient,) = torch.autograd.grad(field.square().mean(), noisy)
    assert gradient.abs().amax(dim=(1, 2, 3)).min() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_recomputed_activations_give_the_same_gradients(kind: str) -> None:
    network, batch = score(kind).train(), inputs()
    gradients = []
    for recompute in (False, True):
        if recompute:
            network.enable_gradient_checkpointing()
        noise, field = network(*batch)
        gradients.append(torch.autograd.grad(noise.square().mean() + field.mean(), list(network.parameters())))
        with torch.no_grad():
            torch.testing.assert_close(network(*batch).field, field)
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain)


def kept_for_backward(network: DisplacementScore) -> int:
    """Numbers that the forward pass keeps."""
    kept = []

    def pack(values: Tensor) -> Tensor:
        kept.append(values.numel())
        return values

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda values: values):
        network(*inputs())
    return sum(kept)


@pytest.mark.parametrize("kind", KINDS)
def test_recomputing_keeps_less(kind: str) -> None:
    network = score(kind).train()
    before = kept_for_backward(network)
    network.enable_gradient_checkpointing()
    assert kept_for_backward(network) < 0.6 * before


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_results_are_float32_under_autocast(kind: str) -> None:
    # Of the values nothing is asked: oneDNN's bfloat16 convolutions are not to be trusted in maps this small.
    with torch.autocast("cpu", torch.bfloat16):
        noise, field = score(kind)(*inputs())
    assert noise.dtype == field.dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_all_stays_on_its_device(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On torch's device without storage, which refuses tensors of another one, and knows no autocast."""
    monkeypatch.setattr(torch, "autocast", lambda *arguments, **options: contextlib.nullcontext())
    network = score(kind).to("meta")
    for values in network(*(each.to("meta") for each in inputs())):
        assert values.is_meta


@few
@given(
    kind=st.sampled_from(KINDS),
    side=st.sampled_from([32, 64, 96]),
    multipliers=st.sampled_from([(1,), (2, 1), (1, 2, 4), (1, 1, 1, 1, 1, 1)]),
    deformation=st.sampled_from([(1,), (5, 3), (4, 4, 4, 4, 4)]),
    channels=st.sampled_from([8, 24]),
    blocks=st.integers(1, 2),
    batch=st.integers(1, 2),
)
def test_whatever_the_configuration(
    kind: str,
    side: int,
    multipliers: tuple[int, ...],
    deformation: tuple[int, ...],
    channels: int,
    blocks: int,
    batch: int,
) -> None:
    network = score(
        kind,
        working_size=side,
        denoiser_multipliers=multipliers,
        deformation_channels=deformation,
        denoiser_channels=channels,
        denoiser_blocks=blocks,
    )
    with torch.no_grad():
        noise, field = network(*inputs(batch, side))
    assert noise.shape == (batch, 1, side, side)
    assert field.shape == (batch, 2, side, side)
    assert noise.isfinite().all()
    assert field.isfinite().all()
    assert noise.std() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_maps_that_do_not_fit_are_refused(kind: str) -> None:
    network, (moving, fixed, noisy, timesteps) = score(kind), inputs()
    with pytest.raises(InputError, match=r"fixed must be \(2, 1, 32, 32\).*working size"):
        network(moving, fixed[:1], noisy, timesteps)
    with pytest.raises(InputError, match="noisy must be"):
        network(moving, fixed, noisy[..., :31], timesteps)
    with pytest.raises(InputError, match="moving must be"):
        network(moving.expand(-1, 2, -1, -1), fixed, noisy, timesteps)
    with pytest.raises(InputError, match=r"timesteps must be \(2,\)"):
        network(moving, fixed, noisy, timesteps[:1])
    with pytest.raises(InputError, match="noise_said must be"):
        network.field_of(moving, noisy[0])


@torch.no_grad()
def test_denoiser_is_guided_diffusions_unet() -> None:
    """Diffusers' U-Net with the options that make it that of guided diffusion, written out for the defaults."""
    with torch.device("meta"):
        ours = DisplacementScore(AdmConfig()).denoiser
        theirs = UNet2DModel(
            in_channels=3,
            out_channels=1,
            down_block_types=("DownBlock2D", "DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"),
            block_out_channels=(64, 128, 256, 256),
            layers_per_block=1,
            resnet_time_scale_shift="scale_shift",
            attn_norm_num_groups=16,
            norm_num_groups=16,
        )
    assert isinstance(ours, Denoiser)
    shapes = [{name: value.shape for name, value in each.state_dict().items()} for each in (ours.unet, theirs)]
    assert shapes[0] == shapes[1]
    attentions = [module for module in ours.modules() if isinstance(module, Attention)]
    # One on the way down, one in the middle, two on the way up, all at an eighth of the size.
    assert [attention.heads for attention in attentions] == [4] * 4
    assert all(attention.group_norm is not None for attention in attentions)
    assert {type(block).__name__ for block in ours.unet.down_blocks[:3]} == {"DownBlock2D"}
    assert all(
        module.time_embedding_norm == "scale_shift" for module in ours.modules() if isinstance(module, ResnetBlock2D)
    )


@torch.no_grad()
def test_blocks_of_the_denoiser_start_as_the_identity() -> None:
    denoiser = score(awake=False).denoiser
    assert isinstance(denoiser, Denoiser)
    values = torch.rand(1, 16, 8, 8)
    (attention, *_) = (module for module in denoiser.modules() if isinstance(module, Attention))
    assert torch.equal(attention(values), values)
    block = denoiser.unet.mid_block.resnets[0]
    assert torch.equal(block(values, torch.rand(1, 32)), values)
    assert block.conv1.weight.abs().max() > 0


def voxelmorph(weights: dict[str, Tensor], maps: Tensor) -> Tensor:
    """VoxelMorph's network as its authors wrote it, for four halvings: each line is a layer."""

    def layer(name: str, values: Tensor) -> Tensor:
        values = F.conv2d(values, weights[f"{name}.0.weight"], weights[f"{name}.0.bias"], padding=1)
        return torch.where(values > 0, values, 0.2 * values)

    def twice(values: Tensor) -> Tensor:
        return values.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)

    def half(values: Tensor) -> Tensor:
        return values.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2)).amax(dim=(-3, -1))

    full = layer("down.0", maps)
    second = layer("down.1", half(full))
    fourth = layer("down.2", half(second))
    eighth = layer("down.3", half(fourth))
    hidden = torch.cat([twice(layer("up.0", half(eighth))), eighth], dim=1)
    hidden = torch.cat([twice(layer("up.1", hidden)), fourth], dim=1)
    hidden = torch.cat([twice(layer("up.2", hidden)), second], dim=1)
    hidden = torch.cat([twice(layer("up.3", hidden)), full], dim=1)
    hidden = layer("last.2", layer("last.1", layer("last.0", hidden)))
    return F.conv2d(hidden, weights["flow.weight"], weights["flow.bias"], padding=1)


@torch.no_grad()
def test_deformation_network_is_voxelmorphs() -> None:
    torch.manual_seed(0)
    network = DeformationNetwork(AdmConfig().deformation_channels)
    shapes = [tuple(weights.shape[:2]) for weights in network.parameters() if weights.dim() == 4]
    down, up = [(16, 2), (32, 16), (32, 32), (32, 32)], [(32, 32), (32, 64), (32, 64), (32, 64)]
    assert shapes == [*down, *up, (32, 48), (16, 32), (16, 16), (2, 16)]
    assert 0.8e-5 < network.flow.weight.std() < 1.2e-5
    assert network.flow.bias is not None
    assert network.flow.bias.abs().max() == 0
    network.flow.weight.mul_(1e5)
    maps = torch.rand(2, 2, 48, 64)
    torch.testing.assert_close(network(maps), voxelmorph(network.state_dict(), maps), rtol=1e-4, atol=1e-5)


def test_transformers_have_about_as_many_weights() -> None:
    with torch.device("meta"):
        cnn, transformer = (DisplacementScore(AdmConfig(displacement_network=kind)) for kind in ("cnn", "transformer"))
    for one, other in zip(cnn.shard_units(), transformer.shard_units(), strict=True):
        ratio = sum(weights.numel() for weights in other.parameters()) / sum(
            weights.numel() for weights in one.parameters()
        )
        assert 0.8 < ratio < 1.25
    assert isinstance(transformer.denoiser, DenoisingTransformer)
    assert isinstance(transformer.deformation, DeformationTransformer)


@torch.no_grad()
def test_a_transformer_knows_where_its_patches_are() -> None:
    network = score("transformer")
    moving = torch.zeros(1, 1, 32, 32)
    noise, field = network(moving, moving, moving, torch.tensor([5]))
    corners = noise.unfold(2, 8, 8).unfold(3, 8, 8)[0, 0].flatten(0, 1)
    gaps = (corners[:, None] - corners).abs().amax(dim=(-2, -1))
    assert gaps[~torch.eye(16, dtype=torch.bool)].min() > 1e-4
    assert field.std() > 0


@torch.no_grad()
def test_a_transformers_patches_do_not_show_in_its_field() -> None:
    deformation = score("transformer", working_size=128).deformation
    assert isinstance(deformation, DeformationTransformer)
    # The worst case: one vector for each whole patch.
    deformation.head.weight.copy_(deformation.head.weight.unflatten(0, (2, -1))[:, :1].expand(-1, 64, -1).flatten(0, 1))
    maps = torch.rand(4, 2, 128, 128, generator=torch.Generator().manual_seed(3))
    raw, field = deformation.transformed(maps, None), deformation(maps)
    steps = [values.diff(dim=-1).abs().mean(dim=(0, 1, 2)) for values in (raw, field)]
    across = [each[7::8].mean() for each in steps]
    within = [each[3::8].mean() for each in steps]
    assert within[0] == 0
    # Random steps at each border of patches, under a Gaussian of half a patch, give 1.19 on average.
    assert 1.0 < across[1] / within[1] < 1.5
    assert across[1] < 0.2 * across[0]


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_to_bring_a_line_over(kind: str) -> None:
    """Two pixels to the side, from the pictures alone: no true field is told."""
    rows = torch.arange(32.0)
    fixed = torch.exp(-((rows - 14) ** 2) / 8).expand(1, 1, 32, 32).contiguous()
    moving = torch.exp(-((rows - 16) ** 2) / 8).expand(1, 1, 32, 32).contiguous()
    network = score(kind, awake=False).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        noise = torch.randn(fixed.shape, generator=generator)
        said, field = network(moving, fixed, (fixed + noise) / 2**0.5, torch.tensor([100]))
        brought, _ = spatial_transform(moving, torch.eye(3)[None], field, (32, 32))
        loss = (brought - fixed).square().mean() + 0.1 * (said - noise).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (brought - fixed).square().mean() < 0.2 * (moving - fixed).square().mean()
    assert 1 < field[0, 0, 8:24, 12:17].mean() < 3
