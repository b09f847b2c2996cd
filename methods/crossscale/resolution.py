"""From the working size to the pictures' own resolution, without resampling the geometry."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from .. import geometry
from ..cubic_field import CubicField
from ..transform import Transform, inverted, source_border
from .losses import fit_mesh

DENSE = 4
"""Pixels of the reference for one of the working size from which on the spline is evaluated at the working pixels and
interpolated between them: at 8K that is a hundredth of the cost."""
UNSEEN_WEIGHT = 1e-3
"""Weight of a mesh vertex that lies outside of the reference, against 1 for one inside."""


def mesh_homography(mesh: Tensor, size: geometry.Size) -> Tensor:
    """The homography `(B, 3, 3)`, float64, reference to source, that comes closest to the mesh.

    The network's first stage gives a homography from coarse features; its second stage corrects it in the mesh. What a
    plane's homography is, the corrected mesh knows better. Vertices outside of the reference say little, because no
    picture content held them in place; their small weight only settles what nothing else does.

    Args:
        mesh: M^f `(B, U, V, 2)`, pixels.
        size: of both frames.
    """
    regular = geometry.regular_mesh(mesh.shape[1], mesh.shape[2], size, device=mesh.device)
    weights = geometry.coverage(mesh, size).clamp_min(UNSEEN_WEIGHT).flatten(1)
    in_reference = geometry.normalise_points(mesh, size).flatten(1, 2)
    in_source = geometry.normalise_points(regular, size).flatten(0, 1).expand_as(in_reference)
    fitted = geometry.fit_homography(in_reference, in_source, weights)
    # From [-1, 1] to pixels, on both sides.
    half = torch.tensor([(size[1] - 1) / 2, (size[0] - 1) / 2, 1.0], dtype=fitted.dtype, device=fitted.device)
    to_pixels = torch.diag(half)
    to_pixels[:2, 2] = half[:2]
    pixels = to_pixels @ fitted @ torch.linalg.inv(to_pixels)
    return pixels / pixels[:, 2:, 2:]


class MeshTransform(Transform):
    """The thin-plate spline of a mesh, between pictures of any size.

    Points of the full reference are taken into the working frame, where the spline is exactly the predicted one, and
    its values back out into the full source. Both pictures were resized by the area rule.

    Args:
        mesh: M^f `(B, U, V, 2)`, pixels of the working size.
        working_size: of the network's pictures.
        reference_size: of the full reference.
        source_size: of the full source.
        control: of a displacement on top, control points `(B, U', V', 2)` of a `CubicLattice` over the working frame,
            in pixels of the working size; None for none.
    """

    def __init__(
        self,
        mesh: Tensor,
        working_size: geometry.Size,
        reference_size: geometry.Size,
        source_size: geometry.Size,
        control: Tensor | None = None,
    ) -> None:
        self.mesh = mesh.double()
        self.working_size = working_size
        self.source_size = source_size
        self.spline = fit_mesh(mesh, working_size)
        self.displacement = None if control is None else CubicField(control.float(), working_size, "spline")
        self.dense = math.prod(reference_size) > DENSE * math.prod(working_size)
        self.into_frame = geometry.resize_transform(reference_size, working_size, "area")
        self.out_of_frame = geometry.resize_transform(working_size, source_size, "area")

    @property
    def device(self) -> torch.device:
        """See `Transform.device`."""
        return self.mesh.device

    def positions(self, xs: Tensor, ys: Tensor) -> Tensor:
        """See `Transform.positions`."""
        working = []
        for axis, coordinates in enumerate((xs, ys)):
            scale, shift = float(self.into_frame[axis, axis]), float(self.into_frame[axis, 2])
            working.append(coordinates.double() * scale + shift)
        values = self._interpolated(*working) if self.dense else self._exact(*working)
        for axis in (0, 1):
            half = (self.working_size[1 - axis] - 1) / 2
            scale, shift = float(self.out_of_frame[axis, axis]), float(self.out_of_frame[axis, 2])
            values[..., axis].mul_(half * scale).add_(half * scale + shift)
        if self.displacement is not None:
            values += self.displacement.on_grid(*working) * self.out_of_frame.diagonal()[:2].float().to(self.device)
        return values

    def _exact(self, xs: Tensor, ys: Tensor) -> Tensor:
        """The spline `(B, H, W, 2)`, in [-1, 1], at coordinates of the working frame in pixels."""
        return self.spline.on_grid(*(self._normalised(axis, each) for axis, each in enumerate((xs, ys))))

    def _normalised(self, axis: int, working: Tensor) -> Tensor:
        return (working * (2 / (self.working_size[1 - axis] - 1)) - 1).float()

    def _interpolated(self, xs: Tensor, ys: Tensor) -> Tensor:
        """Like `_exact`; where a place lies among the working pixels, its bending is interpolated from theirs."""
        columns, rows = (
            (each >= 0) & (each <= side - 1) for each, side in zip((xs, ys), reversed(self.working_size), strict=True)
        )
        values = torch.empty(len(self.mesh), len(ys), len(xs), 2, device=self.device)
        values[:, ~rows] = self._exact(xs, ys[~rows])
        within = torch.empty(len(self.mesh), int(rows.sum()), len(xs), 2, device=self.device)
        within[:, :, ~columns] = self._exact(xs[~columns], ys[rows])
        within[:, :, columns] = self._bending.on_grid(xs[columns], ys[rows]) + self._affine(xs[columns], ys[rows])
        values[:, rows] = within
        return values

    @functools.cached_property
    def _bending(self) -> CubicField:
        """What the spline adds to its affine part, at the working pixels."""
        ys, xs = (torch.arange(side, device=self.device, dtype=torch.float64) for side in self.working_size)
        return CubicField(self._exact(xs, ys) - self._affine(xs, ys), self.working_size, "convolution")

    def _affine(self, xs: Tensor, ys: Tensor) -> Tensor:
        a0, a1, a2 = self.spline.affine.float()[:, :, None, None].unbind(1)
        return a0 + a1 * self._normalised(0, xs)[:, None] + a2 * self._normalised(1, ys)[:, None, None]

    def at(self, points: Tensor) -> Tensor:
        """See `Transform.at`."""
        working = geometry.transform_points(self.into_frame[None].to(self.device), points.double())
        values = self.spline.at(geometry.normalise_points(working, self.working_size))
        values = geometry.denormalise_points(values, self.working_size)
        if self.displacement is not None:
            values = values + self.displacement.at(working)
        return geometry.transform_points(self.out_of_frame[None].to(self.device), values)

    def outline(self) -> Tensor:
        """See `Transform.outline`. The search begins on the border of the mesh."""
        border = source_border(self.source_size, device=self.device).expand(len(self.mesh), -1, -1)
        back = torch.linalg.inv(self.out_of_frame)[None].to(self.device)
        shares = (geometry.normalise_points(geometry.transform_points(back, border), self.working_size) + 1) / 2
        vertices = (self.mesh.shape[1], self.mesh.shape[2])
        places = geometry.denormalise_points(shares.clamp(0, 1) * 2 - 1, vertices)
        on_mesh = geometry.sample(self.mesh.permute(0, 3, 1, 2), places[:, None])[:, :, 0].transpose(1, 2)
        into = torch.linalg.inv(self.into_frame)[None].to(self.device)
        return inverted(self, border, geometry.transform_points(into, on_mesh))
