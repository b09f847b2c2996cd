"""Encoders and score networks of the homography's path, against timm, torchvision and plain formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from raylign.methods.adm.chain import Chain
from raylign.methods.adm.config import AdmConfig
from raylign.methods.adm.encoder import Encoded, ImageEncoder, ResNetEncoder, VitEncoder, build_encoder
from raylign.methods.adm.homography_score import HomographyScore
from raylign.methods.adm.keypoints import Keypoints
from raylign.methods.errors import InputError
from tests.methods.small import picture

TINY: dict[str, Any] = {
    "working_size": 64,
    "encoder": "test_vit",
    "score_width": 32,
    "score_layers": 2,
    "score_heads": 2,
}
KINDS: list[dict[str, Any]] = [
    {"homography_network": network, "patch_tokens": tokens}
    for network in ("transformer", "cnn")
    for tokens in (False, True)
]


def tiny(**changes: Any) -> AdmConfig:
    return AdmConfig(**{**TINY, **changes})


def encoder_of(config: AdmConfig, seed: int = 0) -> ImageEncoder:
    torch.manual_seed(seed)
    return build_encoder(config).eval()


def score_of(config: AdmConfig, features: int, seed: int = 0) -> HomographyScore:
    torch.manual_seed(seed)
    return HomographyScore(config, features).eval()


def normalised(pictures: Tensor) -> Tensor:
    return torchvision.transforms.functional.normalize(pictures, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def inputs(config: AdmConfig, features: int = 16, batch: int = 3) -> tuple[Encoded, Encoded, Tensor, Tensor]:
    """Words of an encoder, parameters and levels."""
    made = []
    for seed in (0, 10):
        tokens = drawn(batch, 4, features, seed=seed + 1) if config.patch_tokens else None
        made.append(Encoded(drawn(batch, features, seed=seed), tokens))
    return made[0], made[1], drawn(batch, 8, seed=20), torch.tensor([0, 40, 99])[:batch]


# Encoders


def test_places_are_means_of_heatmaps() -> None:
    places = Keypoints(3, 2)
    values = drawn(2, 3, 5, 7)
    heights = (places.heatmaps(values)).detach().numpy()
    along_y, along_x = np.mgrid[-1:1:5j, -1:1:7j]
    for row, found in enumerate(places(values).detach().numpy()):
        for k in range(2):
            share = np.exp(heights[row, k])
            share /= share.sum()
            x, y = (share * along_x).sum(), (share * along_y).sum()
            spread = np.sqrt((share * ((along_x - x) ** 2 + (along_y - y) ** 2)).sum())
            assert found[[k, 2 + k, 4 + k]] == pytest.approx([x, y, spread], abs=1e-6)


@pytest.mark.parametrize("network", ["transformer", "cnn"])
def test_a_vector_with_places(network: str) -> None:
    plain, config = tiny(homography_network=network), tiny(homography_network=network, keypoints=5)
    encoder = encoder_of(config)
    width = 256 if network == "cnn" else encoder_of(plain).features
    assert encoder.features == width + 15
    found = encoder(picture(0, (64, 64), batch=2))
    assert found.vector.shape == (2, encoder.features)
    assert found.vector[:, width : width + 10].abs().max() <= 1
    assert len(encoder.shard_units()) == len(encoder_of(plain).shard_units()) - (network == "cnn")


def test_places_follow_the_picture() -> None:
    """One heatmap that sees brightness alone: its place is that of the bright spot, to a cell."""
    encoder = encoder_of(tiny(homography_network="cnn", keypoints=1))
    assert encoder.keypoints is not None
    spots = torch.zeros(2, 1, 8, 8)
    spots[0, 0, 2, 5] = spots[1, 0, 6, 1] = 50.0
    encoder.keypoints.heatmaps = nn.Conv2d(1, 1, 1)
    with torch.no_grad():
        encoder.keypoints.heatmaps.weight.fill_(1.0)
    found = encoder.keypoints(spots)
    expected = [[5 * 2 / 7 - 1, 2 * 2 / 7 - 1, 0], [1 * 2 / 7 - 1, 6 * 2 / 7 - 1, 0]]
    torch.testing.assert_close(found, torch.tensor(expected), atol=2e-3, rtol=0)


def test_the_clean_parameters_told() -> None:
    """What the network tells as clean is what the chain makes of the noise that it returns."""
    config = tiny(prediction="clean")
    score = score_of(config, 16)
    last = score.head[-1]
    assert isinstance(last, nn.Linear)
    told = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0, 0.1, -0.3, 0.7])
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(told)
    source, reference, parameters, levels = inputs(config)
    said = score(source, reference, parameters, levels)
    chain = Chain.linear(config.homography_steps, *config.homography_betas)
    torch.testing.assert_close(chain.clean_of(said, parameters, levels), told.expand(3, 8), atol=1e-4, rtol=1e-4)


def test_vector_is_the_class_token_of_timm() -> None:
    encoder = encoder_of(tiny(patch_tokens=True))
    assert isinstance(encoder, VitEncoder)
    theirs = timm.create_model("test_vit", num_classes=0, img_size=64).eval()
    theirs.load_state_dict(encoder.vit.state_dict())
    pictures = picture(0, (64, 64), batch=2)
    found = encoder(pictures)
    torch.testing.assert_close(found.vector, theirs(normalised(pictures)))
    assert found.tokens is not None
    torch.testing.assert_close(found.tokens, theirs.forward_features(normalised(pictures))[:, 1:])
    assert found.vector.shape == (2, encoder.features)
    assert found.tokens.shape == (2, 16, encoder.features)


@torch.no_grad()
def test_other_tokens_that_are_no_patches_are_left_out() -> None:
    encoder = encoder_of(tiny(encoder="deit_tiny_distilled_patch16_224", patch_tokens=True))
    assert isinstance(encoder, VitEncoder)
    found = encoder(picture(0, (64, 64)))
    values = encoder.vit.forward_features(normalised(picture(0, (64, 64))))
    assert values.shape[1] == 2 + 16
    torch.testing.assert_close(found.vector, values[:, 0])
    torch.testing.assert_close(found.tokens, values[:, 2:])


def test_the_default_is_the_dino_vit() -> None:
    with torch.device("meta"):
        encoder = build_encoder(AdmConfig())
        score = HomographyScore(AdmConfig(), encoder.features)
    assert encoder.features == 384
    assert len(encoder.shard_units()) == 12
    assert (score.token.in_features, score.token.out_features) == (904, 512)
    assert len(score.shard_units()) == 8


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_of_another_size_are_taken_over(tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(5)
    theirs = timm.create_model("test_vit", pretrained=False)  # of 160 pixels, with a classifier
    path = tmp_path / f"dino{suffix}"
    save = save_file if suffix == ".safetensors" else torch.save
    save(theirs.state_dict(), path)
    encoder = encoder_of(tiny(encoder_weights=str(path)))
    assert isinstance(encoder, VitEncoder)
    wanted = theirs.state_dict()
    for name, value in encoder.vit.state_dict().items():
        if name != "pos_embed":
            assert torch.equal(value, wanted[name]), name
    places = wanted["pos_embed"][:, 1:].transpose(1, 2).unflatten(2, (10, 10))
    smaller = F.interpolate(places, (4, 4), mode="bicubic", antialias=True, align_corners=False)
    torch.testing.assert_close(encoder.vit.pos_embed[:, 1:], smaller.flatten(2).transpose(1, 2))
    torch.testing.assert_close(encoder.vit.pos_embed[:, :1], wanted["pos_embed"][:, :1])


def test_weights_are_not_read_when_a_checkpoint_will_bring_them() -> None:
    config = tiny(encoder_weights="/nowhere/dino.pth")
    assert build_encoder(config, initialise=False).features == 64
    with pytest.raises(InputError, match="no such file"):
        build_encoder(config)


@pytest.mark.parametrize("network", ["transformer", "cnn"])
def test_other_weights_are_refused(tmp_path: Path, network: str) -> None:
    path = tmp_path / "other.safetensors"
    for content in ({"a": torch.zeros(3)}, {"pos_embed": torch.zeros(2)}, {"pos_embed": torch.zeros(1, 17, 8)}):
        save_file(content, path)
        with pytest.raises(InputError, match=r"no weights of|none of"):
            build_encoder(tiny(homography_network=network, encoder_weights=str(path)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vit_of_nobody", "none of timm"),
        ("hf-hub:timm/vit_small_patch16_224.dino", "none of timm"),
        ("test_efficientnet", "no plain ViT"),
        ("test_vit_relpos", "no plain ViT"),
        ("test_vit2", "no plain ViT with a class token"),
        ("vit_small_patch14_dinov2", r"14 pixels .* do not divide"),
    ],
)
def test_encoders_that_do_not_fit_are_refused(name: str, message: str) -> None:
    with torch.device("meta"), pytest.raises(InputError, match=message):
        build_encoder(tiny(encoder=name))


@pytest.mark.parametrize("network", ["transformer", "cnn"])
@pytest.mark.parametrize("shape", [(1, 3, 32, 64), (1, 1, 64, 64), (3, 64, 64)])
def test_pictures_of_another_size_are_refused(network: str, shape: tuple[int, ...]) -> None:
    with torch.device("meta"):
        encoder = build_encoder(tiny(homography_network=network))
    with pytest.raises(InputError, match="64, 64"):
        encoder(torch.zeros(shape))


@torch.no_grad()
def test_cnn_is_the_resnet_of_torchvision() -> None:
    encoder = encoder_of(tiny(homography_network="cnn", patch_tokens=True))
    assert isinstance(encoder, ResNetEncoder)
    pictures = picture(0, (64, 64), batch=2)
    found = encoder(pictures)
    torch.testing.assert_close(found.vector, encoder.resnet(normalised(pictures)))
    # Positions: sinusoids of row and column, the same for all pictures, of mean square 1/2.
    assert found.tokens is not None
    assert found.tokens.shape == (2, 4, 512)
    bands = 1 / 10000 ** (np.arange(128) / 128)
    places = np.array([[row, column] for row in range(2) for column in range(2)])
    angles = places[:, :, None] * bands
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1).reshape(4, 512)
    features = found.tokens - torch.from_numpy(waves).float()
    torch.testing.assert_close(features.mean(dim=1), found.vector, rtol=1e-4, atol=1e-4)
    assert (features >= -1e-5).all()


@torch.no_grad()
@pytest.mark.parametrize("network", ["transformer", "cnn"])
def test_a_picture_does_not_depend_on_its_batch(network: str) -> None:
    encoder = encoder_of(tiny(homography_network=network)).train()
    pictures = picture(0, (64, 64), batch=3)
    torch.testing.assert_close(encoder(pictures[:1]).vector, encoder(pictures).vector[:1], rtol=1e-4, atol=1e-4)
    assert encoder(pictures).tokens is None


def test_cnn_starts_from_weights_with_batch_normalisation(tmp_path: Path) -> None:
    torch.manual_seed(5)
    theirs = torchvision.models.resnet18(weights=None).state_dict()
    torch.save(theirs, tmp_path / "imagenet.pth")
    encoder = encoder_of(tiny(homography_network="cnn", encoder_weights=str(tmp_path / "imagenet.pth")))
    assert isinstance(encoder, ResNetEncoder)
    own = encoder.resnet.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in own.items())
    assert sum(module.weight.numel() for module in encoder.modules() if isinstance(module, nn.Conv2d)) > 1e7


@pytest.mark.parametrize("kind", KINDS)
def test_networks_without_storage_come_alive_with_their_weights(kind: dict[str, Any]) -> None:
    config = tiny(**kind)
    whole = nn.ModuleList([encoder_of(config), score_of(config, encoder_of(config).features)])
    with torch.device("meta"):
        encoder = build_encoder(config, initialise=False)
        empty = nn.ModuleList([encoder, HomographyScore(config, encoder.features)])
    empty.load_state_dict(whole.state_dict(), assign=True)
    empty.eval()
    pictures = picture(0, (64, 64), batch=2)
    found, expected = [
        score(encoder(pictures[:1]), encoder(pictures[1:]), drawn(1, 8), torch.tensor([7]))
        for encoder, score in (whole, empty)
    ]
    torch.testing.assert_close(found, expected)


# Score networks


@torch.no_grad()
def test_score_is_what_the_formulas_say() -> None:
    config = tiny()
    score = score_of(config, 16)
    source, reference, parameters, timesteps = inputs(config)
    angles = timesteps[:, None] * torch.exp(-np.log(10000.0) * torch.arange(128) / 128)
    first, second = score.time_embedding.linear_1, score.time_embedding.linear_2
    time = second(F.silu(first(torch.cat([angles.cos(), angles.sin()], dim=1))))
    token = score.token(torch.cat([source.vector, reference.vector, parameters, time], dim=1))
    for layer in score.layers:
        # A single token looks at itself only, whatever the queries and keys are.
        attention = layer.self_attn
        value = F.linear(layer.norm1(token), attention.in_proj_weight[64:], attention.in_proj_bias[64:])
        token = token + attention.out_proj(value)
        token = token + layer.linear2(F.relu(layer.linear1(layer.norm2(token))))
    hidden = F.relu(score.head[1](score.head[0](token)))
    torch.testing.assert_close(score(source, reference, parameters, timesteps), score.head[3](hidden))


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_everything_that_goes_in_counts(kind: dict[str, Any]) -> None:
    config = tiny(**kind)
    score = score_of(config, 16)
    source, reference, parameters, timesteps = inputs(config)
    found = score(source, reference, parameters, timesteps)
    assert found.shape == (3, 8)
    others = [
        (source, source, parameters, timesteps),
        (reference, reference, parameters, timesteps),
        (reference, source, parameters, timesteps),
        (source, reference, parameters + 0.1, timesteps),
        (source, reference, parameters, timesteps + 1),
    ]
    if config.patch_tokens:
        swapped = source._replace(tokens=reference.tokens), reference._replace(tokens=source.tokens)
        others += [(*swapped, parameters, timesteps), (swapped[0], reference, parameters, timesteps)]
    for other in others:
        assert (score(*other) - found).abs().amax(dim=1).min() > 1e-5


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_does_not_depend_on_its_batch(kind: dict[str, Any]) -> None:
    config = tiny(**kind)
    score = score_of(config, 16)
    source, reference, parameters, timesteps = inputs(config)
    first = [Encoded(each.vector[:1], None if each.tokens is None else each.tokens[:1]) for each in (source, reference)]
    alone = score(*first, parameters[:1], timesteps[:1])
    together = score(source, reference, parameters, timesteps)
    torch.testing.assert_close(alone, together[:1], rtol=1e-4, atol=1e-5)


def test_mlp_of_the_ablation_has_as_many_weights() -> None:
    with torch.device("meta"):
        counts = [
            sum(weights.numel() for weights in HomographyScore(AdmConfig(homography_network=network), 384).parameters())
            for network in ("transformer", "cnn")
        ]
    assert counts[1] == pytest.approx(counts[0], rel=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_all_weights(kind: dict[str, Any]) -> None:
    config = tiny(**kind)
    encoder = encoder_of(config)
    score = score_of(config, encoder.features)
    parameters = drawn(1, 8).requires_grad_()
    pictures = picture(0, (64, 64), batch=2)
    score(encoder(pictures[:1]), encoder(pictures[1:]), parameters, torch.tensor([50])).square().sum().backward()
    for module in (encoder, score):
        for name, weights in module.named_parameters():
            assert weights.grad is not None, name
            assert weights.grad.isfinite().all(), name
    used = [*encoder.shard_units(), *score.shard_units()]
    assert all(max(weights.grad.abs().max() for weights in unit.parameters()) > 0 for unit in used)
    assert parameters.grad is not None
    assert parameters.grad.abs().min() > 0


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_autocast_rounds_nothing(kind: dict[str, Any]) -> None:
    config = tiny(**kind)
    score = score_of(config, 16)
    plain = score(*inputs(config))
    with torch.autocast("cpu", torch.bfloat16):
        found = score(*inputs(config))
    assert found.dtype == torch.float32
    assert torch.equal(found, plain)


@torch.no_grad()
def test_narrow_words_and_wide_parameters_are_taken() -> None:
    config = tiny(patch_tokens=True)
    score = score_of(config, 16)
    source, reference, parameters, timesteps = inputs(config)
    assert source.tokens is not None
    narrow = Encoded(source.vector.bfloat16(), source.tokens.bfloat16())
    found = score(narrow, reference, parameters.double(), timesteps)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, score(source, reference, parameters, timesteps), rtol=0.05, atol=0.05)


def test_dropout_works_in_training_only() -> None:
    for kind in KINDS:
        config = tiny(dropout=0.5, **kind)
        score = score_of(config, 16)
        batch = inputs(config)
        assert torch.equal(score(*batch), score(*batch))
        score.train()
        assert not torch.equal(score(*batch), score(*batch))


def test_patches_that_are_wanted_must_be_there() -> None:
    score = score_of(tiny(patch_tokens=True), 16)
    with pytest.raises(InputError, match="set patch_tokens"):
        score(*inputs(tiny()))


@pytest.mark.parametrize("network", ["transformer", "cnn"])
def test_noise_of_two_pairs_can_be_learned(network: str) -> None:
    config = tiny(homography_network=network, dropout=0.0)
    score = score_of(config, 16).train()
    source, reference, _, _ = inputs(config, batch=2)
    chain, clean = Chain.linear(100, 1e-4, 0.1), drawn(2, 8, seed=30)
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(2).repeat(32)
    optimizer = torch.optim.Adam(score.parameters(), 3e-3)
    losses = []
    for _ in range(80):
        t = torch.randint(100, (64,), generator=generator)
        noise = torch.randn(64, 8, generator=generator)
        words = (Encoded(each.vector[rows], None) for each in (source, reference))
        loss = (score(*words, chain.add_noise(clean[rows], noise, t), t) - noise).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.6 * losses[0]
