"""The autoencoder of DMAligner: its latents and losses, how they are normalised, and weights from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch.distributions import Normal, kl_divergence

from raylign.methods.dmaligner import autoencoder as module
from raylign.methods.dmaligner.autoencoder import CONFIG_FILE, WEIGHTS_FILE, Autoencoder, norm_groups
from raylign.methods.dmaligner.config import DmAlignerConfig
from raylign.methods.errors import InputError
from tests.methods.small import picture

SMALL: dict[str, Any] = {"downscale": 4, "vae_channels": (8, 8, 16), "latent_channels": 3}
FOREIGN: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (8, 8, 8, 16),
    "layers_per_block": 2,
    "latent_channels": 5,
    "norm_num_groups": 2,
    "scaling_factor": 0.5,
}
FITTING: dict[str, Any] = {
    "downscale": 8,
    "vae_channels": (8, 8, 8, 16),
    "vae_layers": 2,
    "latent_channels": 5,
    "vae_attention": True,
}


def small(seed: int = 0, **changes: Any) -> Autoencoder:
    torch.manual_seed(seed)
    return Autoencoder(DmAlignerConfig(**{**SMALL, **changes}))


def save_foreign(folder: Path, **changes: Any) -> AutoencoderKL:
    """An untrained autoencoder of diffusers, and its folder."""
    torch.manual_seed(1)
    made = AutoencoderKL(**{**FOREIGN, **changes}).eval()
    made.save_pretrained(folder)
    return made


@pytest.mark.parametrize(
    ("channels", "groups"),
    [((128, 256, 512, 512), 32), ((64, 128, 256), 16), ((8, 16, 16), 2), ((9, 10, 10), 1), ((96, 192, 384), 24)],
)
def test_groups_divide_channels(channels: tuple[int, ...], groups: int) -> None:
    assert norm_groups(channels) == groups


@pytest.mark.parametrize(("downscale", "channels"), [(4, (8, 8, 16)), (8, (8, 8, 8, 16))])
@pytest.mark.parametrize("attention", [False, True])
def test_sizes(downscale: int, channels: tuple[int, ...], attention: bool) -> None:
    made = small(downscale=downscale, vae_channels=channels, vae_attention=attention)
    pictures = picture(0, (24, 40), batch=2)
    with torch.no_grad():
        latents = made(pictures, "encode")
        decoded = made(latents, "decode")
    assert made.stride == downscale
    assert latents.shape == (2, 3, 24 // downscale, 40 // downscale)
    assert decoded.shape == pictures.shape
    assert torch.equal(latents, made.encode(pictures))
    assert torch.equal(decoded, made.decode(latents))
    assert any("attentions" in name for name in made.state_dict()) == attention


def test_foreign_latents_are_normalised_channel_by_channel(tmp_path: Path) -> None:
    mean, deviation = [0.5, -1.0, 0.0, 2.0, 0.1], [1.0, 2.0, 0.5, 4.0, 0.25]
    foreign = save_foreign(tmp_path, latents_mean=mean, latents_std=deviation)
    made = small(**FITTING).eval()
    made.load_weights(str(tmp_path))
    pictures = picture(0, (24, 40), batch=2)
    with torch.no_grad():
        raw = foreign.encode(2 * pictures - 1).latent_dist.mode()
        wanted = (raw - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(deviation).view(-1, 1, 1)
        torch.testing.assert_close(made.encode(pictures), wanted)


def test_losses_are_what_their_formulas_say() -> None:
    made = small(kl_weight=0.25).eval()
    pictures = picture(0, (24, 40), batch=2)
    noise = torch.randn(2, 3, 6, 10, generator=torch.Generator().manual_seed(7))
    losses = made(pictures, "losses", noise)
    with torch.no_grad():
        mean, log_variance = made.kl.quant_conv(made.kl.encoder(2 * pictures - 1)).chunk(2, dim=1)
        posterior = Normal(mean, (log_variance / 2).exp())
        drawn = made.kl.decoder(made.kl.post_quant_conv(mean + noise * posterior.stddev)) / 2 + 0.5
    distance = (drawn - pictures).abs().mean() + ((drawn - pictures) ** 2).mean()
    divergence = kl_divergence(posterior, Normal(0.0, 1.0)).sum() / pictures.numel()
    torch.testing.assert_close(losses["reconstruction"], distance)
    torch.testing.assert_close(losses["kl"], divergence)
    torch.testing.assert_close(losses["loss"], distance + 0.25 * divergence)
    losses["loss"].backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in made.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        rounded = made(pictures, "losses", noise)
        assert made.encode(pictures).dtype == made.decode(noise).dtype == torch.float32
    assert all(value.dtype == torch.float32 for value in rounded.values())
    torch.testing.assert_close(rounded["kl"], divergence, rtol=0.1, atol=0)


def test_training_makes_decoded_pictures_like_the_encoded_ones() -> None:
    made = small()
    pictures = picture(3, (32, 32), batch=4)
    optimizer = torch.optim.Adam(made.parameters(), lr=5e-3)
    history = []
    for _ in range(120):
        losses = made(pictures, "losses", torch.randn(4, 3, 8, 8))
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        history.append(float(losses["reconstruction"]))
    assert history[-1] < 0.6 * history[0]
    # Better than a picture of one colour: latents carry something, and their normalisation is undone.
    with torch.no_grad():
        drawn = made.decode(made.encode(pictures))
    assert (drawn - pictures).abs().mean() < 0.8 * (pictures - pictures.mean(dim=(2, 3), keepdim=True)).abs().mean()


def test_latents_are_normalised_over_the_batches_seen() -> None:
    made = small()
    batches = [picture(seed, (32, 32), batch=2) * scale for seed, scale in enumerate((1.0, 0.5, 0.2))]
    with torch.no_grad():
        raw, noise = torch.cat([made.encode(batch) for batch in batches]), torch.zeros(2, 3, 8, 8)
        for count, batch in enumerate(batches, 1):
            made.losses(batch, noise)
            seen = raw[: 2 * count].transpose(0, 1).flatten(1)
            torch.testing.assert_close(made.latent_mean.flatten(), seen.mean(dim=1))
            torch.testing.assert_close(made.latent_std.flatten(), seen.std(dim=1, correction=0))
        normal = torch.cat([made.encode(batch) for batch in batches])
        torch.testing.assert_close(normal.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
        torch.testing.assert_close(normal.std(dim=(0, 2, 3), correction=0), torch.ones(3), atol=1e-4, rtol=0)
        torch.testing.assert_close(made.decode(normal), made.kl.decode(raw).sample / 2 + 0.5, atol=1e-4, rtol=0)
        before = made.latent_mean.clone()
        made.eval().losses(batches[0], noise)
        assert torch.equal(made.latent_mean, before)
        # What was seen long ago is forgotten.
        made.train().latent_batches.fill_(100_000)
        made.losses(batches[0], noise)
        first = raw[:2].mean(dim=(0, 2, 3), keepdim=True)
        torch.testing.assert_close(made.latent_mean, before + module.MOMENTUM * (first - before))


def _worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    try:
        made = small()
        made.losses(picture(rank, (32, 32)) * (1 - 0.7 * rank), torch.zeros(1, 3, 8, 8))
        save_file({"mean": made.latent_mean, "std": made.latent_std}, f"{folder}/{rank}.safetensors")
    finally:
        dist.destroy_process_group()


def test_workers_share_what_they_have_seen(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_worker, (str(tmp_path),), nprocs=2)
    with torch.no_grad():
        raw = small().encode(torch.cat([picture(0, (32, 32)), picture(1, (32, 32)) * 0.3]))
    for rank in range(2):
        found = load_file(tmp_path / f"{rank}.safetensors")
        torch.testing.assert_close(found["mean"], raw.mean(dim=(0, 2, 3), keepdim=True))
        torch.testing.assert_close(found["std"], raw.std(dim=(0, 2, 3), correction=0, keepdim=True))


def test_a_checkpoint_holds_everything() -> None:
    made = small()
    pictures = picture(0, (32, 32), batch=2)
    made.losses(pictures, torch.zeros(2, 3, 8, 8))
    # As checkpoints are read: without storage of its own.
    with torch.device("meta"):
        other = Autoencoder(made.config)
    other.load_state_dict(made.state_dict(), assign=True)
    with torch.no_grad():
        latents = made.encode(pictures)
        assert torch.equal(other.encode(pictures), latents)
        assert torch.equal(other.decode(latents), made.decode(latents))


@pytest.mark.parametrize(
    "changes", [{}, {"shift_factor": 0.3}, {"use_quant_conv": False, "use_post_quant_conv": False}]
)
@pytest.mark.parametrize("below", [False, True])
def test_foreign_weights_say_what_they_say_in_diffusers(tmp_path: Path, changes: dict[str, Any], below: bool) -> None:
    foreign = save_foreign(tmp_path / "vae" if below else tmp_path, **changes)
    made = small(2, **FITTING).eval()
    made.load_weights(str(tmp_path))
    pictures = picture(0, (32, 48), batch=2)
    with torch.no_grad():
        mode = foreign.encode(2 * pictures - 1).latent_dist.mode()
        latents = (mode - changes.get("shift_factor", 0.0)) * foreign.config.scaling_factor
        torch.testing.assert_close(made.encode(pictures), latents)
        torch.testing.assert_close(made.decode(latents), foreign.decode(mode).sample / 2 + 0.5)


def test_files_of_the_first_versions_of_diffusers_are_read(tmp_path: Path) -> None:
    foreign = save_foreign(tmp_path, scaling_factor=0.18215)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    weights = foreign.state_dict()
    for new, former in old.items():
        weights = {name.replace(f".{new}.", f".{former}."): tensor for name, tensor in weights.items()}
    assert sum(".proj_attn." in name for name in weights) == 4
    save_file(weights, tmp_path / WEIGHTS_FILE)
    config = json.loads((tmp_path / CONFIG_FILE).read_text())
    later = ("scaling_factor", "shift_factor", "mid_block_add_attention", "use_quant_conv", "use_post_quant_conv")
    (tmp_path / CONFIG_FILE).write_text(json.dumps({name: config[name] for name in config if name not in later}))
    made = small(**FITTING)
    made.load_weights(str(tmp_path))
    pictures = picture(0, (32, 32))
    with torch.no_grad():
        torch.testing.assert_close(made.encode(pictures), foreign.encode(2 * pictures - 1).latent_dist.mode() * 0.18215)


def test_another_shape_is_refused_with_the_options_that_fit(tmp_path: Path) -> None:
    save_foreign(tmp_path)
    with pytest.raises(InputError) as raised:
        small().load_weights(str(tmp_path))
    assert str(raised.value).endswith(
        "give --model.downscale 8 --model.latent-channels 5 --model.vae-channels 8 8 8 16 --model.vae-layers 2 "
        "--model.vae-attention"
    )
    save_foreign(tmp_path, mid_block_add_attention=False)
    with pytest.raises(InputError, match=r"give --model\.no-vae-attention$"):
        small(**FITTING).load_weights(str(tmp_path))


def test_what_is_no_autoencoder_is_refused(tmp_path: Path) -> None:
    made = small(**FITTING)

    def refused(reason: str) -> None:
        with pytest.raises(InputError, match=reason) as raised:
            made.load_weights(str(tmp_path))
        assert "\n" not in str(raised.value)

    refused("holds no autoencoder; give a folder")
    save_foreign(tmp_path, norm_num_groups=8)
    refused("norm_num_groups 8, and only 2 is supported")
    weights = save_foreign(tmp_path).state_dict()
    save_file({name: weights[name] for name in list(weights)[1:]}, tmp_path / WEIGHTS_FILE)
    refused("1 missing")
    (tmp_path / WEIGHTS_FILE).write_bytes(b"damaged")
    refused("the file is damaged")
    (tmp_path / WEIGHTS_FILE).unlink()
    refused("there is no such file")
    (tmp_path / CONFIG_FILE).write_text('{"_class_name": "UNet2DModel"}')
    refused("not that of an AutoencoderKL")
    (tmp_path / CONFIG_FILE).write_text("{")
    refused("cannot be read as JSON")
