"""The network that says which noise lies in the parameters of a homography, of two pictures' vectors."""

from __future__ import annotations

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn

from ..errors import InputError
from .chain import Chain
from .config import AdmConfig
from .encoder import Encoded
from .parameters import COUNT

SINUSOIDS = 256
"""Of the noise level, guided diffusion's (lost; PoseDiffusion's number)."""
TIME_WIDTH = 128
"""Of the noise level's embedding (lost; PoseDiffusion's)."""
HEAD_WIDTH = 128
"""Of the hidden layer of the last MLP (lost; PoseDiffusion's)."""


class ResidualMlp(nn.Module):
    """A residual MLP, normalised before: the CNN's counterpart of a transformer layer, with about as many weights.

    Args:
        width: of its values.
        dropout: after both linear layers.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        # 8 width^2 weights. The transformer layer has 4 width^2 in its attention and as many in its MLP.
        self.layers = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, values: Tensor) -> Tensor:
        """`(..., width)` to the same."""
        return values + self.layers(values)


class HomographyScore(nn.Module):
    """s_H of source 004, section 3.3.1: Linear, transformer encoder on a single token, MLP; its widths are lost.

    The vectors of source and reference, the noisy parameters and the noise level's embedding make up the token. In the
    ablation's CNN, residual MLPs take the place of the transformer's layers. With `config.patch_tokens` (our extension)
    the layers of both kinds are those of a transformer decoder: the token also looks at the patches of both pictures.

    Args:
        config: hyperparameters.
        features: length of the pictures' vectors.
    """

    def __init__(self, config: AdmConfig, features: int) -> None:
        super().__init__()
        width = config.score_width
        self.time_proj = Timesteps(SINUSOIDS, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(SINUSOIDS, TIME_WIDTH)
        self.token = nn.Linear(2 * features + COUNT + TIME_WIDTH, width)
        self.config = config
        self.patch_tokens = config.patch_tokens
        if self.patch_tokens:
            self.patch = nn.Sequential(nn.Linear(features, width), nn.LayerNorm(width))
            # Which picture a patch is of: the source, or the reference.
            self.picture = nn.Parameter(0.02 * torch.randn(2, 1, width))
        self.layers = nn.ModuleList(_layer(config) for _ in range(config.score_layers))
        self.head = nn.Sequential(
            nn.Linear(width, HEAD_WIDTH), nn.LayerNorm(HEAD_WIDTH), nn.ReLU(), nn.Linear(HEAD_WIDTH, COUNT)
        )

    def forward(self, source: Encoded, reference: Encoded, parameters: Tensor, timesteps: Tensor) -> Tensor:
        """The noise in the parameters; with `AdmConfig.prediction` "clean" what the clean ones that it tells leave.

        Args:
            source: the source picture as the encoder sees it, B of them.
            reference: the reference picture, likewise.
            parameters: `(B, 8)`, noisy, divided by `AdmConfig.homography_scale`.
            timesteps: `(B,)`, long, levels of the training's chain.

        Returns:
            `(B, 8)`, float32.

        Raises:
            InputError: patches are wanted, and the encoder gave none.
        """
        # bfloat16 would round the parameters by more than the noise of the lowest levels.
        with torch.autocast(parameters.device.type, enabled=False):
            weight = self.token.weight
            time = self.time_embedding(self.time_proj(timesteps).to(weight))
            vectors = [source.vector.to(weight), reference.vector.to(weight)]
            token = self.token(torch.cat([*vectors, parameters.to(weight), time], dim=1))[:, None]
            patches = self._patches(source, reference) if self.patch_tokens else None
            for layer in self.layers:
                token = layer(token) if patches is None else layer(token, patches)
            said = self.head(token[:, 0])
            if self.config.prediction == "noise":
                return said
            chain = Chain.linear(self.config.homography_steps, *self.config.homography_betas)
            return chain.noise_of(said, parameters.to(said), timesteps)

    def _patches(self, source: Encoded, reference: Encoded) -> Tensor:
        """The patches of both pictures, `(B, 2 N, width)`."""
        if source.tokens is None or reference.tokens is None:
            raise InputError("the score network looks at patches, the encoder gives none; set patch_tokens for both")
        tokens = [each.to(self.token.weight) for each in (source.tokens, reference.tokens)]
        return torch.cat([self.patch(each) + kind for each, kind in zip(tokens, self.picture, strict=True)], dim=1)

    def shard_units(self) -> list[nn.Module]:
        """Its layers, see `LearnedAligner.shard_units`."""
        return list(self.layers)


def _layer(config: AdmConfig) -> nn.Module:
    """One of the layers between the token and the head."""
    width, dropout = config.score_width, config.dropout
    if config.homography_network == "cnn" and not config.patch_tokens:
        return ResidualMlp(width, dropout)
    kind = nn.TransformerDecoderLayer if config.patch_tokens else nn.TransformerEncoderLayer
    return kind(width, config.score_heads, 2 * width, dropout, batch_first=True, norm_first=True)
