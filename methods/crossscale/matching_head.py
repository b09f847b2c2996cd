"""The head 'matching': from features to a homography and a mesh, coarse to fine, without regression."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .. import geometry
from ..errors import InputError
from .backbone import Backbone
from .config import FINE_STRIDE, CrossScaleConfig
from .losses import fit_mesh as fit_spline
from .matching import (
    QUARTER_STRIDE,
    MatchingFeatures,
    feature_positions,
    global_matches,
    matching_losses,
    window_matches,
)
from .mesh_fit import fit_mesh, robust_homography

STRIDES = (FINE_STRIDE, QUARTER_STRIDE, QUARTER_STRIDE)
"""Of the windows that bend the mesh, one after the other. Offsets of a part of a cell come out too small; the second
turn at the same stride finds what the first has left."""
STIFFNESS = {FINE_STRIDE: 3.0, QUARTER_STRIDE: 1.0}
"""Stride to the weight of the mesh's bending (`fit_mesh`)."""

Scales = tuple[Tensor, Tensor, Tensor]
"""Backbone features at strides 4, 8 and 16."""


class MatchingHead(nn.Module):
    """Mutual best matches at stride 8, a robust homography, then windows at strides 8 and 4 that bend a mesh."""

    def __init__(self, config: CrossScaleConfig, backbone: Backbone) -> None:
        super().__init__()
        self.features = MatchingFeatures(config, backbone)
        self.size: geometry.Size = (config.working_size, config.working_size)
        self.shape = config.mesh
        self.temperature = config.matching_temperature

    def forward(self, reference: Scales, source: Scales, start: Tensor | None) -> tuple[Tensor, Tensor]:
        """Homography and mesh of pictures, from their features.

        Args:
            reference: of the reference.
            source: of the source.
            start: a homography `(B, 3, 3)`, reference to source, to begin from; None for that of the matches.

        Returns:
            H `(B, 3, 3)` and M^f `(B, U, V, 2)`, float64, pixels of the working size.
        """
        references, sources = self.features(*reference), self.features(*source)
        with torch.autocast(reference[0].device.type, enabled=False):
            if start is None:
                matches = global_matches(references[1], sources[1], self.temperature)
                homography = robust_homography(matches, self.size)
            else:
                homography = start.double()
            regular = geometry.regular_mesh(*self.shape, self.size, device=homography.device)
            plane = geometry.transform_points(geometry.invert_homography(homography), regular[None])
            mesh = plane
            for turn, stride in enumerate(STRIDES):
                here, other = (each[stride == FINE_STRIDE] for each in (references, sources))
                positions = self._positions(mesh, homography, stride, here, bent=turn > 0)
                seen = window_matches(here, other, positions, stride, self.size, self.temperature)
                mesh = fit_mesh(seen, plane, self.size, self.shape, STIFFNESS[stride])
        return homography, mesh

    def _positions(self, mesh: Tensor, homography: Tensor, stride: int, features: Tensor, *, bent: bool) -> Tensor:
        """Where the pixels under the reference's features lie in the source, `(B, h, w, 2)`, float32."""
        places = feature_positions((features.shape[-2], features.shape[-1]), stride, features.device)
        if not bent:
            return geometry.transform_points(homography, places[None].double()).float()
        width, height = self.size[1] - 1, self.size[0] - 1
        xs, ys = places[0, :, 0] * (2 / width) - 1, places[:, 0, 1] * (2 / height) - 1
        return geometry.denormalise_points(fit_spline(mesh, self.size).on_grid(xs, ys), self.size)

    def losses(self, reference: Scales, source: Scales, homography: Tensor) -> dict[str, Tensor]:
        """See `matching_losses`.

        Args:
            reference: features of the reference.
            source: of the source.
            homography: `(B, 3, 3)`, true, reference to source; NaN where unknown.

        Raises:
            InputError: none is known.
        """
        references, sources = self.features(*reference), self.features(*source)
        known = homography.isfinite().all(dim=(1, 2))
        if not bool(known.any()):
            raise InputError(
                "the head 'matching' learns from known homographies, and these pairs have none; "
                "give --augment.same-frame-probability 1, or other data"
            )
        with torch.autocast(homography.device.type, enabled=False):
            return matching_losses(
                (references[0][known], references[1][known]),
                (sources[0][known], sources[1][known]),
                homography[known].double(),
                self.size,
                self.temperature,
            )
