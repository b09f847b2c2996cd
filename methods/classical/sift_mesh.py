"""Photometric mesh refinement: a homography bent until the pictures agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .. import geometry
from ..cubic_field import CubicField
from ..photometric import Pictures, View
from .flow_aligner import resized
from .mesh import BentHomography, CubicLattice, MeshAligner, off_plane, unbent
from .sift import Sift

MATCH_STIFFNESS = 1e-3
"""Weight of the bending against the mean over the matches."""
LEAST_OVERLAP = 0.05
"""Share of the reference that the homography must cover for the pictures to say anything."""
KEPT_OVERLAP = 0.8
"""A step must keep this share of the homography's overlap: without overlap, nothing disagrees."""


@dataclass(frozen=True)
class Level:
    """A step from coarse to fine."""

    reduction: int
    """Of the working size."""
    stiffness: float
    """Weight of the bending against the mean photometric error, per square pixel of the working size."""
    steps: int
    """At most so many Gauss-Newton steps."""


LEVELS = (Level(4, 1.5e-3, 8), Level(2, 5e-4, 8), Level(1, 1e-4, 6))


class SiftMesh(MeshAligner):
    """The homography of `Sift`, bent by a cubic B-spline mesh (Rueckert et al. 1999) that makes the colours agree.

    The mesh starts as it fits the matches off the plane best (`mesh.off_plane`). Then, coarse to fine, Gauss-Newton
    steps lower the mean over the overlap of a pseudo-Huber function of the colour difference, plus the bending: second
    differences of the control points. Each channel's gain and bias are compensated; differences from occlusion and
    from light that is no gain weigh less. At every level the homography alone may take the mesh's place, and in the end
    it stays where the mesh does not lower the mean squared colour difference. Beyond the overlap the mesh is only held
    smooth, so that the border of what is covered may be wavy.

    Without a homography the answer is the identity with confidence 0. The confidence is that of `Sift`.

    Args:
        max_side: larger pictures are reduced to this length in pixels; the result holds at full size.
        cell: side of a mesh cell, pixels of the reduced reference. The time grows steeply as it falls.
    """

    name: ClassVar[str] = "sift-mesh"

    def __init__(self, max_side: int = 512, cell: int = 16) -> None:
        self.max_side = max_side
        self.cell = cell
        self.sift = Sift()

    def estimate(self, reference: Tensor, source: Tensor) -> BentHomography:
        """See `MeshAligner.estimate`."""
        size: geometry.Size = (reference.shape[-2], reference.shape[-1])
        source_size: geometry.Size = (source.shape[-2], source.shape[-1])
        small_size, small_source_size = (_reduced(each, self.max_side / max(each)) for each in (size, source_size))
        lattice = CubicLattice(max(1, round(small_size[0] / self.cell)), max(1, round(small_size[1] / self.cell)))
        matches = self.sift.matches(reference, source)
        if matches.homography is None:
            still = CubicField(torch.zeros(1, *lattice.shape, 2), size, "spline")
            return unbent(still, lattice.rows + 1, lattice.columns + 1)
        pairs = off_plane(matches, matches.homography, source_size)
        shrink = geometry.resize_transform(source_size, small_source_size, "area").diagonal()[:2]
        control = fit_matches(lattice, pairs.reference, pairs.displacement * shrink, size)
        small = resized(reference[None].float(), small_size), resized(source[None].float(), small_source_size)
        homography = geometry.rescale_homography(
            matches.homography[None], size_a=(size, small_size), size_b=(source_size, small_source_size), rule="area"
        )
        control = refine(*small, homography, lattice, control)
        displacement = CubicField(control[None] / shrink.float(), size, "spline")
        regular = geometry.regular_mesh(lattice.rows + 1, lattice.columns + 1, size)
        bend = lattice.at(regular.flatten(0, 1), size) @ (control.double() / shrink).flatten(0, 1)
        plane = geometry.transform_points(matches.homography[None], regular[None])[0]
        return BentHomography(
            matches.homography, displacement, (plane + bend.view_as(plane)).float(), matches.confidence
        )


def fit_matches(lattice: CubicLattice, points: Tensor, vectors: Tensor, size: geometry.Size) -> Tensor:
    """Control points `(U, V, 2)`, float32, of the smooth displacement that most matches have.

    Five rounds of least squares with Cauchy weights of one pixel.

    Args:
        lattice: of the mesh.
        points: `(K, 2)`, float64, pixels of the reference.
        vectors: `(K, 2)`, float64, pixels of the reduced source.
        size: of the reference.
    """
    basis = lattice.at(points, size)
    # The least weight on the points themselves settles what no match and no bending does.
    regular = MATCH_STIFFNESS * lattice.bending() + 1e-9 * torch.eye(basis.shape[1], dtype=torch.float64)
    weights = torch.full((len(points), 1), 1 / len(points), dtype=torch.float64)
    for _ in range(5):
        weighted = (basis * weights).T
        control = torch.linalg.solve(weighted @ basis + regular, weighted @ vectors)
        weights = 1 / (1 + (basis @ control - vectors).square().sum(1, keepdim=True)) / len(points)
    return control.view(*lattice.shape, 2).float()


def refine(reference: Tensor, source: Tensor, homography: Tensor, lattice: CubicLattice, start: Tensor) -> Tensor:
    """Control points `(U, V, 2)` of the displacement with which the pictures agree best, zero where none helps.

    Args:
        reference: `(1, 3, H, W)` in [0, 1] at the working size.
        source: `(1, 3, h, w)`.
        homography: `(1, 3, 3)`, float64, between both.
        lattice: of the mesh.
        start: control points, pixels of `source`.
    """
    size, source_size = ((each.shape[-2], each.shape[-1]) for each in (reference, source))
    plane, control = torch.zeros_like(start), start
    for level in LEVELS:
        coarse, coarse_source = (_reduced(each, 1 / level.reduction) for each in (size, source_size))
        pictures = PicturePair(
            resized(reference, coarse),
            resized(source, coarse_source),
            geometry.rescale_homography(
                homography, size_a=(size, coarse), size_b=(source_size, coarse_source), rule="area"
            ),
            lattice,
            geometry.resize_transform(source_size, coarse_source, "area").diagonal()[:2].float(),
        )
        if pictures.look(plane).inside.mean() < LEAST_OVERLAP:
            return plane
        control = descend(pictures, control if pictures.agrees_better(control, plane) else plane, level)
    return control if pictures.agrees_better(control, plane) else plane


class PicturePair:
    """Reference and source at one size, to be looked at through any displacement.

    Args:
        reference: `(1, 3, H, W)` in [0, 1].
        source: `(1, 3, h, w)` in [0, 1].
        homography: `(1, 3, 3)`, float64, reference to source.
        lattice: of the mesh.
        unit: `(2,)`, what a control point's 1 is along x and y, in pixels of `source`.
    """

    def __init__(
        self, reference: Tensor, source: Tensor, homography: Tensor, lattice: CubicLattice, unit: Tensor
    ) -> None:
        self.pictures = Pictures(reference, source, unit)
        self.size: geometry.Size = (reference.shape[-2], reference.shape[-1])
        self.lattice = lattice
        self.unit = unit
        self.plane = geometry.homography_positions(homography, self.size)

    def look(self, control: Tensor, scale: float | None = None) -> View:
        """The pictures through the displacement of control points `(U, V, 2)`; `scale` as for `Pictures.look`."""
        return self.pictures.look(self.plane + self.lattice.on_pixels(control, self.size) * self.unit, scale)

    def agrees_better(self, control: Tensor, other: Tensor) -> bool:
        """Whether the squared difference through `control` is smaller than through `other`, where both see."""
        a, b = self.look(control), self.look(other)
        both = a.inside * b.inside
        errors = [float((view.residual.square().mean(0) * both).sum()) for view in (a, b)]
        return bool(a.inside.sum() >= KEPT_OVERLAP * b.inside.sum()) and errors[0] < errors[1]


def descend(pictures: PicturePair, control: Tensor, level: Level) -> Tensor:
    """Damped Gauss-Newton steps (Levenberg-Marquardt) from `control (U, V, 2)`; the control points they end at."""
    lattice = pictures.lattice
    bending = level.stiffness * lattice.bending()
    view = pictures.look(control)
    least_inside = KEPT_OVERLAP * float(view.inside.sum())

    def energy(view: View, control: Tensor) -> float:
        if float(view.inside.sum()) < least_inside:
            return float("inf")
        flat = control.double().flatten(0, 1)
        return view.error() + float((flat * (bending @ flat)).sum())

    lowest, damping = energy(view, control), 1e-4
    for _ in range(level.steps):
        hessian, gradient = normal_equations(lattice, view, bending, control)
        mean = hessian.diagonal().mean()
        while damping < 1:
            damped = hessian.clone()
            damped.diagonal().add_(damping * mean)
            # Rounding may leave a system whose flat directions are not held; more damping holds them.
            factor, failed = torch.linalg.cholesky_ex(damped)
            if not failed:
                step = torch.cholesky_solve(gradient[:, None], factor)
                candidate = control - step.view(2, *lattice.shape).permute(1, 2, 0).float()
                seen = pictures.look(candidate, view.scale)
                reached = energy(seen, candidate)
                if reached < lowest:
                    break
            damping *= 10
        else:
            return control
        settled = lowest - reached < 1e-3 * lowest
        control, view, lowest, damping = candidate, seen, reached, max(damping / 10, 1e-6)
        if settled:
            break
    return control


def normal_equations(lattice: CubicLattice, view: View, bending: Tensor, control: Tensor) -> tuple[Tensor, Tensor]:
    """Half the Gauss-Newton Hessian `(2N, 2N)` and half the gradient `(2N,)` of error plus bending; first x, then y.

    A control point's weight at a pixel is a product of one for its row and one for its column, and so are the products
    of two control points' weights: the sums over all pixels are matrix products with the pictures.

    Args:
        lattice: of the mesh.
        view: the pictures through `control`.
        bending: `(N, N)`, N = U V.
        control: `(U, V, 2)`.
    """
    down, across = lattice.bases((view.inside.shape[0], view.inside.shape[1]))
    rows, columns = lattice.shape
    pairs_down, pairs_across = ((basis[:, :, None] * basis[:, None]).flatten(1) for basis in (down, across))
    weights = view.weights() / (3 * view.scale**2 * view.inside.sum())

    def block(i: int, j: int) -> Tensor:
        sums = pairs_down.T @ (weights * (view.slopes[i] * view.slopes[j]).sum(0)) @ pairs_across
        return sums.view(rows, rows, columns, columns).transpose(1, 2).reshape(rows * columns, -1).double()

    mixed = block(0, 1)
    hessian = torch.cat(
        [torch.cat([block(0, 0) + bending, mixed], dim=1), torch.cat([mixed.T, block(1, 1) + bending], dim=1)]
    )
    pull = (down.T @ (weights * (view.slopes * view.residual).sum(1)) @ across).double().flatten(1)
    return hessian, (pull + (bending @ control.double().flatten(0, 1)).T).flatten()


def _reduced(size: geometry.Size, factor: float) -> geometry.Size:
    """A size, made smaller by a factor below 1."""
    return max(1, round(size[0] * min(1.0, factor))), max(1, round(size[1] * min(1.0, factor)))
