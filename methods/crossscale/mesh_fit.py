"""A homography and a smooth mesh from correspondences, by robust least squares."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import geometry
from ..classical.keypoints import agree
from .matching import Correspondences

THRESHOLD = 4.0
"""Pixels of the working size up to which a match may count as inlier of the homography."""
LEAST_WEIGHT = 0.02
"""Matches that the pictures speak for less are left out."""
ROUNDS = 5
"""Of reweighted least squares."""
SCALE = 1.5
"""Pixels from which on a correspondence loses weight (Cauchy)."""


def robust_homography(matches: Correspondences, size: geometry.Size) -> Tensor:
    """The homography on which most matches agree (USAC_MAGSAC, Barath et al. 2020).

    Args:
        matches: of B pairs.
        size: of the pictures.

    Returns:
        `(B, 3, 3)`, float64, reference to source; the identity where they agree on none.
    """
    found = []
    for reference, source, weight in zip(matches.reference, matches.source, matches.weight, strict=True):
        kept = weight > LEAST_WEIGHT
        agreed = agree(reference[kept].cpu().numpy(), source[kept].cpu().numpy(), (size, size), (size, size), THRESHOLD)
        found.append(torch.eye(3, dtype=torch.float64) if agreed.homography is None else agreed.homography)
    return torch.stack(found).to(matches.weight.device)


def fit_mesh(
    matches: Correspondences, start: Tensor, size: geometry.Size, shape: tuple[int, int], stiffness: float
) -> Tensor:
    """The mesh M^f `(B, U, V, 2)`, float64, that takes source points to their reference points, and bends little.

    Between vertices the mesh is bilinear; its unknowns are the vertices' offsets from `start`, which pay for their
    second differences and, very little, for themselves.

    Args:
        matches: of B pairs.
        start: M^f `(B, U, V, 2)`, float64, pixels, for example that of a homography.
        size: of both frames.
        shape: U and V.
        stiffness: weight of the bending, in square pixels, against the mean over the matches.
    """
    vertices, shares = bilinear_shares(matches.source, size, shape)
    start = start.flatten(1, 2)
    count, batch = start.shape[1], torch.arange(len(start), device=start.device)[:, None, None]
    offsets = matches.reference.double() - (start[batch, vertices] * shares[..., None]).sum(2)
    bending = stiffness * _bending(shape, start.device)
    given = matches.weight.double() / matches.weight.double().sum(1, keepdim=True).clamp_min(1e-9)
    entries = (vertices[..., :, None] * count + vertices[..., None, :]).flatten(1)
    products = shares[..., :, None] * shares[..., None, :]
    control = torch.zeros_like(start)
    for _ in range(ROUNDS):
        distance = (offsets - (control[batch, vertices] * shares[..., None]).sum(2)).square().sum(-1)
        weights = given / (1 + distance / SCALE**2)
        system = start.new_zeros(len(start), count**2)
        system.scatter_add_(1, entries, (products * weights[..., None, None]).flatten(1))
        pull = torch.zeros_like(start)
        weighted = (shares * weights[..., None])[..., None] * offsets[:, :, None]
        pull.scatter_add_(1, vertices.flatten(1)[..., None].expand(-1, -1, 2), weighted.flatten(1, 2))
        # Cholesky: torch 2.15 with MKL hangs in a batched solve of this size on several threads.
        factor = torch.linalg.cholesky_ex(system.unflatten(1, (count, count)) + bending).L
        control = torch.cholesky_solve(pull, factor)
    return (start + control).unflatten(1, shape)


def bilinear_shares(points: Tensor, size: geometry.Size, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The four vertices of the regular mesh around points, and the share of each.

    Args:
        points: `(B, K, 2)`, pixels; those outside of the frame continue the outermost cells.
        size: of the frame.
        shape: U and V.

    Returns:
        Numbers of vertices `(B, K, 4)`, row by row, and shares `(B, K, 4)`, float64, which sum to 1.
    """
    rows, columns = shape
    x, y = (
        points[..., axis].double() * ((count - 1) / (length - 1))
        for axis, count, length in ((0, columns, size[1]), (1, rows, size[0]))
    )
    left, top = x.floor().clamp(0, columns - 2), y.floor().clamp(0, rows - 2)
    right, below = x - left, y - top
    first = (top * columns + left).long()
    vertices = torch.stack([first, first + 1, first + columns, first + columns + 1], dim=-1)
    shares = [(1 - right) * (1 - below), right * (1 - below), (1 - right) * below, right * below]
    return vertices, torch.stack(shares, dim=-1)


def _bending(shape: tuple[int, int], device: torch.device) -> Tensor:
    """The form `(U V, U V)` of the vertices' mean squared second differences, and 1e-6 of their mean square."""
    rows, columns = shape
    eyes = [torch.eye(count, dtype=torch.float64, device=device) for count in shape]
    first_down, first_across = (eye.diff(n=1, dim=0).T @ eye.diff(n=1, dim=0) for eye in eyes)
    second_down, second_across = (eye.diff(n=2, dim=0).T @ eye.diff(n=2, dim=0) for eye in eyes)
    total = torch.kron(second_down, eyes[1]) + torch.kron(eyes[0], second_across)
    total = total + 2 * torch.kron(first_down, first_across)
    return (total + 1e-6 * torch.eye(rows * columns, dtype=torch.float64, device=device)) / (rows * columns)
