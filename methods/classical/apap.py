"""As-projective-as-possible warps: a homography for each place, by moving DLT."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from .. import geometry
from ..cubic_field import CubicField
from .mesh import BentHomography, MeshAligner, off_plane, unbent
from .sift import Sift


class Apap(MeshAligner):
    """APAP (Zaragoza et al. 2013, "As-projective-as-possible image stitching with moving DLT").

    Each vertex of a regular mesh on the reference gets its own homography from all matches, weighted by
    `max(exp(-d^2 / sigma^2), gamma)` with the distance d to the vertex (Eqs. 8 to 10). What these homographies move
    their vertices beyond the global one is interpolated by cubic convolution, so that no cell has an edge that shows;
    a vertex moves no farther than the matches do. Matches are those of `Sift`, also off its plane (`mesh.off_plane`).

    Without a homography the answer is the identity with confidence 0. The confidence is that of `Sift`.

    Args:
        vertices: of the mesh along each side.
        sigma: width of the weights, as a share of the reference's diagonal.
        gamma: least weight, which holds on to the global homography where no match is near.
    """

    name: ClassVar[str] = "apap"

    def __init__(self, vertices: int = 33, sigma: float = 0.06, gamma: float = 0.01) -> None:
        self.vertices = vertices
        self.sigma = sigma
        self.gamma = gamma
        self.sift = Sift()

    def estimate(self, reference: Tensor, source: Tensor) -> BentHomography:
        """See `MeshAligner.estimate`."""
        size: geometry.Size = (reference.shape[-2], reference.shape[-1])
        source_size: geometry.Size = (source.shape[-2], source.shape[-1])
        matches = self.sift.matches(reference, source)
        if matches.homography is None:
            still = CubicField(torch.zeros(1, self.vertices, self.vertices, 2), size, "convolution")
            return unbent(still, self.vertices, self.vertices)
        pairs = off_plane(matches, matches.homography, source_size)
        regular = geometry.regular_mesh(self.vertices, self.vertices, size)
        sigma = self.sigma * (size[0] ** 2 + size[1] ** 2) ** 0.5
        local = moving_dlt(pairs.reference, pairs.source, regular.flatten(0, 1), sigma, self.gamma)
        plane = geometry.transform_points(matches.homography[None], regular[None])[0]
        moved = geometry.transform_points(local, regular.reshape(-1, 1, 2)).view_as(regular)
        bend = _shortened(moved - plane, pairs.displacement.norm(dim=1).max())
        displacement = CubicField(bend.float()[None], size, "convolution")
        return BentHomography(matches.homography, displacement, (plane + bend).float(), matches.confidence)


def moving_dlt(reference: Tensor, source: Tensor, places: Tensor, sigma: float, gamma: float) -> Tensor:
    """A homography for each place: `argmin |W A h|` with `|h| = 1` (Zaragoza et al. 2013, Eq. 9).

    Points are conditioned first (Hartley 1997): centre at zero, mean distance `sqrt(2)`.

    Args:
        reference: `(K, 2)`, float64, pixels.
        source: `(K, 2)`, float64, pixels.
        places: `(C, 2)`, float64, pixels of the reference.
        sigma: width of the weights, pixels.
        gamma: least weight, in [0, 1].

    Returns:
        `(C, 3, 3)`, float64, reference to source, of norm 1 in conditioned coordinates.
    """
    to_a, to_b = _conditioning(reference), _conditioning(source)
    x, y = geometry.transform_points(to_a[None], reference[None])[0].unbind(1)
    u, v = geometry.transform_points(to_b[None], source[None])[0].unbind(1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    rows = torch.stack(
        [
            torch.stack([zero, zero, zero, -x, -y, -one, v * x, v * y, v], dim=1),
            torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y, -u], dim=1),
        ],
        dim=1,
    )
    weights = torch.exp(-torch.cdist(places, reference).square() / sigma**2).clamp_min(gamma)
    # The smallest right singular vector of W A is the smallest eigenvector of A^T W^2 A; a match's share of A^T A is
    # the same for all places, so one matrix product sums it for all of them.
    shares = (rows.transpose(1, 2) @ rows).flatten(1)
    normal = (weights.square() @ shares).view(-1, 9, 9)
    conditioned = torch.linalg.eigh(normal).eigenvectors[:, :, 0].reshape(-1, 3, 3)
    return torch.linalg.inv(to_b) @ conditioned @ to_a


def _conditioning(points: Tensor) -> Tensor:
    """The similarity `(3, 3)` that puts the points' centre at zero and their mean distance at `sqrt(2)`."""
    centre = points.mean(0)
    scale = 2**0.5 / (points - centre).norm(dim=1).mean()
    transform = torch.eye(3, dtype=points.dtype) * scale
    transform[:2, 2] = -scale * centre
    transform[2, 2] = 1
    return transform


def _shortened(vectors: Tensor, longest: Tensor) -> Tensor:
    """Vectors `(..., 2)`, none longer than `longest`; zero where one is not finite."""
    length = vectors.norm(dim=-1, keepdim=True)
    return torch.where(length.isfinite(), vectors * (longest / length.clamp_min(1e-12)).clamp(max=1), 0.0)
