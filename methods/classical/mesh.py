"""What the baselines that bend a homography have in common: matches off the plane, and the warp.

Where reference pixel x lies in the source is `H x + d(x)`: a homography, and a smooth displacement for what no plane
explains. A scene of one plane keeps `d = 0` and is mapped exactly, at any resolution of the mesh.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .. import geometry
from ..aligner import Aligner, Alignment, single_source
from ..cubic_field import CubicField
from ..transform import HomographyTransform, warp
from .keypoints import Matches

FARTHEST = 0.1
"""How far a match may lie from where the homography puts it, as a share of the source's diagonal. In scenes with
strong parallax the best plane misses the rest by some per cent; chance matches lie anywhere."""
ALIKE = 0.005
"""Up to this distance two neighbouring matches move alike, as a share of the source's diagonal: 3.6 px at 512 x 512."""
NEIGHBOURS = 8
SUPPORT = 3
"""How many of the nearest matches must move alike: fewer than half, for matches at the edge of an object."""


@dataclass(frozen=True)
class BentHomography:
    """A homography and a displacement on top, of one pair.

    Attributes:
        homography: H `(3, 3)`, float64, reference to source.
        displacement: d, over the reference's frame, in pixels of the source, for a batch of one.
        mesh: `(U, V, 2)`, float32: where the vertices of `geometry.regular_mesh` on the reference lie in the source.
        confidence: in [0, 1].
    """

    homography: Tensor
    displacement: CubicField
    mesh: Tensor
    confidence: float


class MeshAligner(Aligner):
    """An `Aligner` that knows one bent homography for each pair.

    Extras:
        mesh: `(B, U, V, 2)`, where the vertices of the regular mesh on the reference lie in the source, pixels.
    """

    @abstractmethod
    def estimate(self, reference: Tensor, source: Tensor) -> BentHomography:
        """What one pair's pictures say.

        Args:
            reference: `(3, H, W)` in [0, 1].
            source: `(3, h, w)` in [0, 1].
        """

    @torch.inference_mode()
    def align(self, reference: Tensor, sources: Tensor) -> Alignment:
        """See `Aligner.align`. `homography` is the one that is bent, `flow` follows the mesh.

        The flow is far outside of the source where a pixel lies beyond the horizon of the homography.
        """
        source = single_source(reference, sources)
        found = [self.estimate(a.cpu(), b.cpu()) for a, b in zip(reference, source, strict=True)]
        homography = torch.stack([each.homography for each in found]).to(reference.device)
        control = torch.cat([each.displacement.control for each in found]).to(reference.device)
        displacement = replace(found[0].displacement, control=control)
        transform = HomographyTransform(homography, (source.shape[-2], source.shape[-1]), displacement)
        warped = warp(source, transform, (reference.shape[-2], reference.shape[-1]))
        return Alignment(
            image=warped.image,
            mask=warped.mask,
            homography=homography.float()[:, None],
            flow=warped.flow[:, None],
            confidence=torch.tensor([each.confidence for each in found], device=reference.device),
            extras={"mesh": torch.stack([each.mesh for each in found]).to(reference.device)},
            transform=transform,
        )


@dataclass(frozen=True)
class OffPlane:
    """Matches that agree with their neighbours, and how far they lie off the homography.

    Attributes:
        reference: `(K, 2)`, float64, pixels of the reference.
        source: `(K, 2)`, float64, pixels of the source.
        displacement: `source - H reference`, `(K, 2)`, float64, pixels of the source.
    """

    reference: Tensor
    source: Tensor
    displacement: Tensor


def off_plane(matches: Matches, homography: Tensor, source_size: geometry.Size) -> OffPlane:
    """The matches to bend a homography by: its inliers, and those that move as their neighbours do.

    The inliers alone would hide the parallax that is to be found. A match off the plane is kept where it lies no
    farther from it than 10 % of the diagonal and at least 3 of its 8 nearest such matches lie off by the same vector,
    within 0.5 % of the diagonal.

    Args:
        matches: of one pair.
        homography: `(3, 3)`, reference to source.
        source_size: of the source, whose diagonal is the unit of the thresholds.
    """
    both, first = np.unique(np.concatenate([matches.reference, matches.source], axis=1), axis=0, return_index=True)
    reference, source = torch.from_numpy(both).split(2, dim=1)
    inliers = torch.from_numpy(matches.inliers[first])
    displacement = source - geometry.transform_points(homography[None], reference[None])[0]
    diagonal = float(np.hypot(*source_size))
    near = inliers | (displacement.norm(dim=1) <= FARTHEST * diagonal)
    reference, source, displacement, inliers = (each[near] for each in (reference, source, displacement, inliers))
    kept = inliers | _supported(reference, displacement, ALIKE * diagonal)
    return OffPlane(reference[kept], source[kept], displacement[kept])


def _supported(points: Tensor, vectors: Tensor, tolerance: float) -> Tensor:
    """Which of the points `(K, 2)` have enough neighbours with a like vector, bool `(K,)`."""
    distances = torch.cdist(points, points).fill_diagonal_(torch.inf)
    nearest = distances.topk(min(NEIGHBOURS, len(points) - 1), largest=False).indices
    alike = (vectors[nearest] - vectors[:, None]).norm(dim=2) <= tolerance
    return alike.sum(1) >= SUPPORT


def unbent(still: CubicField, rows: int, columns: int) -> BentHomography:
    """The answer where nothing was found: the identity with confidence 0.

    Args:
        still: a displacement of zero, of the shape that the method's displacements have.
        rows: of the mesh's vertices.
        columns: of the mesh's vertices.
    """
    return BentHomography(
        torch.eye(3, dtype=torch.float64),
        still,
        geometry.regular_mesh(rows, columns, still.size).float(),
        confidence=0.0,
    )


@dataclass(frozen=True)
class CubicLattice:
    """Uniform cubic B-splines over a picture: a smooth field with continuous second derivatives.

    A picture is cut into `rows` x `columns` cells over its whole area, so that the same control points mean the same
    field at any size of the picture.
    """

    rows: int
    columns: int

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers (U, V) of control points: the spline reaches one cell beyond the picture, its support two."""
        return self.rows + 3, self.columns + 3

    def bases(self, size: geometry.Size) -> tuple[Tensor, Tensor]:
        """Weights of the control points' rows at each row of pixels, `(H, U)`, and of their columns `(W, V)`, float32.

        The field at all pixels is `down @ control @ across.T`.
        """
        xs, ys = geometry.pixel_axes(size)
        return _cubic(ys, size[0], self.rows).float(), _cubic(xs, size[1], self.columns).float()

    def on_pixels(self, control: Tensor, size: geometry.Size) -> Tensor:
        """The field `(H, W, 2)` of control points `(U, V, 2)` at each pixel of a picture."""
        down, across = self.bases(size)
        return torch.stack([down @ each @ across.T for each in control.unbind(-1)], dim=-1)

    def at(self, points: Tensor, size: geometry.Size) -> Tensor:
        """Weights `(K, U V)`, float64, of the control points at points `(K, 2)` in pixels."""
        across, down = (_cubic(points[:, 0], size[1], self.columns), _cubic(points[:, 1], size[0], self.rows))
        return (down[:, :, None] * across[:, None]).flatten(1)

    def bending(self) -> Tensor:
        """The form `(U V, U V)`, float64, of the mean square of the control points' second differences.

        Along x, along y and twice the mixed one: the discrete thin-plate energy. Fields of affine maps have none.
        """
        (down, second_down), (across, second_across) = (
            [differences(count, order) for order in (1, 2)] for count in self.shape
        )
        one_down, one_across = (torch.eye(count, dtype=torch.float64) for count in self.shape)
        total = torch.kron(second_down, one_across) + torch.kron(one_down, second_across) + 2 * torch.kron(down, across)
        return total / len(total)


def _cubic(coordinates: Tensor, length: int, cells: int) -> Tensor:
    """Weights `(K, cells + 3)`, float64, of the control points along one side at pixel coordinates `(K,)`."""
    places = (coordinates.double() + 0.5) * (cells / length)
    distance = (places[:, None] - torch.arange(-1, cells + 2)).abs()
    near = 2 / 3 - distance.square() + distance**3 / 2
    return torch.where(distance < 1, near, (2 - distance).clamp_min(0) ** 3 / 6)


def differences(count: int, order: int) -> Tensor:
    """The form `(count, count)`, float64, of the sum of squared differences of an order."""
    operator = torch.eye(count, dtype=torch.float64).diff(n=order, dim=0)
    return operator.T @ operator
