"""The denoiser, against diffusers' own U-Net with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn

from raylign.methods.dmaligner.config import DmAlignerConfig
from raylign.methods.dmaligner.denoiser import Denoiser, MaskHead, denoiser_of
from raylign.methods.errors import InputError

TINY: dict[str, Any] = {"channels": 16, "multipliers": (1, 2, 2), "blocks": 1, "attention_levels": 2}
"""Three levels, so that a side is filled up to a multiple of 4."""


def tiny(seed: int = 0, **changes: Any) -> tuple[Denoiser, DmAlignerConfig]:
    torch.manual_seed(seed)
    config = DmAlignerConfig(**{**TINY, **changes})
    return denoiser_of(config).eval(), config


def inputs(config: DmAlignerConfig, size: tuple[int, int], batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    noisy = torch.randn(batch, config.latent_channels, *size, generator=generator)
    condition = torch.randn(batch, config.condition_channels, *size, generator=generator)
    return noisy, torch.tensor([3, 700, 40, 999])[:batch], condition


def diffusers_unet(denoiser: Denoiser) -> UNet2DModel:
    """UNet2DModel of the shape that `TINY` says, with the denoiser's weights."""
    unet = UNet2DModel(
        in_channels=denoiser.conv_in.in_channels,
        out_channels=denoiser.conv_out.out_channels,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(16, 32, 32),
        layers_per_block=1,
        attention_head_dim=32,
        norm_num_groups=4,
    )
    weights = {name: value for name, value in denoiser.state_dict().items() if not name.startswith("mask_head.")}
    unet.load_state_dict(weights)
    return unet.eval()


@torch.no_grad()
def test_denoiser_is_the_unet_of_diffusers() -> None:
    denoiser, config = tiny()
    noisy, timesteps, condition = inputs(config, (8, 12))
    expected = diffusers_unet(denoiser)(torch.cat([noisy, condition], dim=1), timesteps).sample
    found = denoiser(noisy, timesteps, condition)
    assert found.mask_logits is None
    torch.testing.assert_close(found.prediction, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("dmp", "geometry", "channels"),
    [
        ("none", "none", 12),
        ("features", "none", 12),
        ("correlation", "none", 16),
        ("correlation", "flow", 21),
        ("none", "plane", 25),
    ],
)
def test_input_channels(dmp: str, geometry: str, channels: int) -> None:
    denoiser, config = tiny(dmp=dmp, geometry=geometry)
    assert denoiser.conv_in.in_channels == channels
    assert denoiser.conv_out.out_channels == 4
    noisy, timesteps, condition = inputs(config, (4, 4))
    assert noisy.shape[1] + condition.shape[1] == channels
    denoiser(noisy, timesteps, condition)


@pytest.mark.parametrize(("dmp", "starts"), [("correlation", (12, 16, 20)), ("none", (8, 12, 16))])
@torch.no_grad()
def test_copies_are_taken_from_what_is_brought_over(dmp: str, starts: tuple[int, ...]) -> None:
    denoiser, config = tiny(dmp=dmp, geometry="plane", copies=True)
    noisy, timesteps, condition = inputs(config, (5, 7))
    wanted = [condition[:, start : start + 4] for start in starts]
    bias = denoiser.conv_out.bias
    assert bias is not None
    denoiser.conv_out.weight.zero_()
    for number in range(4):
        bias.zero_()
        bias[:4] = torch.tensor([1.0, 2.0, 3.0, 4.0])
        bias[4 + number] = 1e4
        # The last share is that of none of them.
        expected = bias[:4, None, None] + (wanted[number] if number < 3 else torch.zeros(2, 4, 5, 7))
        torch.testing.assert_close(denoiser(noisy, timesteps, condition).prediction, expected)
    bias.zero_()
    expected = torch.stack(wanted).sum(dim=0) / 4
    torch.testing.assert_close(denoiser(noisy, timesteps, condition).prediction, expected)


@pytest.mark.parametrize("wrong", [{"geometry": "none"}, {"geometry": "flow", "prediction": "epsilon"}])
def test_copies_need_something_to_copy(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="copies needs prediction 'sample' and geometry"):
        tiny(copies=True, **wrong)


def test_a_weight_of_shares_needs_copies() -> None:
    with pytest.raises(InputError, match="share_weight needs copies"):
        tiny(geometry="plane", share_weight=0.1)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (8, 3)])
@torch.no_grad()
def test_any_size_is_filled_up_with_its_border(size: tuple[int, int]) -> None:
    denoiser, config = tiny(dmp="features", geometry="flow", copies=True)
    noisy, timesteps, condition = inputs(config, size)
    found = denoiser(noisy, timesteps, condition)
    rows, columns = (torch.arange(-(-side // 4) * 4).clamp_max(side - 1) for side in size)
    filled = denoiser(noisy[:, :, rows][..., columns], timesteps, condition[:, :, rows][..., columns])
    for cut, whole in zip(found, filled, strict=True):
        assert cut.shape[-2:] == size
        torch.testing.assert_close(cut, whole[..., : size[0], : size[1]], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_an_item_does_not_depend_on_its_batch() -> None:
    denoiser, config = tiny(dmp="features")
    noisy, timesteps, condition = inputs(config, (8, 8), batch=4)
    together = denoiser(noisy, timesteps, condition)
    for item in range(4):
        only = slice(item, item + 1)
        alone = denoiser(noisy[only], timesteps[only], condition[only])
        torch.testing.assert_close(alone.prediction, together.prediction[only], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(alone.mask_logits, together.mask_logits[only], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_mask_strengthens_the_features_up_to_twice() -> None:
    denoiser, config = tiny(dmp="features")
    noisy, timesteps, condition = inputs(config, (8, 12))
    plain = diffusers_unet(denoiser)(torch.cat([noisy, condition], dim=1), timesteps).sample
    assert denoiser.conv_out.bias is not None
    bias = denoiser.conv_out.bias[:, None, None]
    assert isinstance(denoiser.mask_head, MaskHead)
    last = denoiser.mask_head.read[-1]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    last.weight.zero_()
    for logit, factor in ((-1e4, 1.0), (0.0, 1.5), (1e4, 2.0)):
        last.bias.fill_(logit)
        found = denoiser(noisy, timesteps, condition)
        assert torch.equal(found.mask_logits, torch.full((2, 1, 8, 12), logit))
        torch.testing.assert_close(found.prediction - bias, factor * (plain - bias), rtol=1e-4, atol=1e-5)


def test_mask_is_read_from_every_level_and_trained_by_the_prediction_too() -> None:
    denoiser, config = tiny(dmp="features")
    found = denoiser(*inputs(config, (8, 8)))
    assert isinstance(denoiser.mask_head, MaskHead)
    reductions = list(denoiser.mask_head.reductions.parameters())
    assert len(reductions) == 2 * 3
    for output in (found.mask_logits, found.prediction):
        gradients = torch.autograd.grad(output.square().mean(), reductions, retain_graph=True)
        assert all(gradient.abs().max() > 0 for gradient in gradients)


def test_recomputed_activations_give_the_same_gradients() -> None:
    denoiser, config = tiny(dmp="features")
    batch = inputs(config, (8, 8))
    gradients = []
    for recompute in (False, True):
        if recompute:
            denoiser.enable_gradient_checkpointing()
        assert denoiser.is_gradient_checkpointing == recompute
        found = denoiser(*batch)
        loss = found.prediction.square().mean() + found.mask_logits.mean()
        gradients.append(torch.autograd.grad(loss, list(denoiser.parameters())))
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain)


@pytest.mark.parametrize("levels", [0, 1, 3])
def test_attention_levels_are_the_lowest(levels: int) -> None:
    denoiser, config = tiny(attention_levels=levels)
    attentions = sum(isinstance(module, Attention) for module in denoiser.modules())
    # One for each block on the way down and on the way up, where there is one more, and one in the middle.
    assert attentions == (levels * (1 + 2) + 1 if levels else 0)
    has_any = [any(isinstance(module, Attention) for module in block.modules()) for block in denoiser.down_blocks]
    assert has_any == [False] * (3 - levels) + [True] * levels
    denoiser(*inputs(config, (4, 4)))


@torch.no_grad()
def test_saved_denoiser_comes_back(tmp_path: Path) -> None:
    denoiser, config = tiny(dmp="features", geometry="flow", copies=True)
    denoiser.save_pretrained(tmp_path)
    again = Denoiser.from_pretrained(tmp_path)
    batch = inputs(config, (8, 8))
    for found, expected in zip(again(*batch), denoiser(*batch), strict=True):
        assert torch.equal(found, expected)
