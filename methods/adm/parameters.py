"""The eight numbers that stand for a homography in the chain; zero is the identity.

They are the residuals `(h11 - 1, h12, h13, h21, h22 - 1, h23, h31, h32)` of the matrix that maps the [-1, 1]
coordinates of the reference (`geometry.normalise_points`) to those of the source, scaled to h33 = 1. Source 004 does
not say which parameters it takes. This is our choice: a diffusion wants numbers around zero and of like size, and these
do not depend on the size of a picture.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from ..geometry import Size

COUNT = 8
"""Parameters of a homography."""


def to_parameters(homography: Tensor, size: Size, source_size: Size) -> Tensor:
    """The parameters of homographies in pixels; gradients flow.

    Args:
        homography: `(B, 3, 3)`, pixels of the reference to pixels of the source, of any scale.
        size: of the reference.
        source_size: of the source.

    Returns:
        `(B, 8)`, float64, not divided by `AdmConfig.homography_scale`; inf or NaN where the middle of the reference
        lies on the horizon.

    Raises:
        InputError: the homographies are not `(B, 3, 3)`.
    """
    if homography.dim() != 3 or homography.shape[1:] != (3, 3):
        raise InputError(f"homographies must be (B, 3, 3), not {tuple(homography.shape)}; give one for each sample")
    device = homography.device
    matrix = _normalising(source_size, device) @ homography.double() @ _denormalising(size, device)
    matrix = matrix / matrix[:, 2:, 2:]
    return (matrix - torch.eye(3, dtype=matrix.dtype, device=device)).flatten(1)[:, :COUNT]


def to_matrix(parameters: Tensor) -> Tensor:
    """The matrices `(B, 3, 3)` on [-1, 1] coordinates, h33 = 1, of parameters `(B, 8)`; keeps dtype, gradients flow.

    Raises:
        InputError: the parameters are not `(B, 8)`.
    """
    if parameters.dim() != 2 or parameters.shape[1] != COUNT:
        raise InputError(f"parameters must be (B, {COUNT}), not {tuple(parameters.shape)}; give one row per homography")
    residuals = torch.cat([parameters, torch.zeros_like(parameters[:, :1])], dim=1).unflatten(1, (3, 3))
    return residuals + torch.eye(3, dtype=parameters.dtype, device=parameters.device)


def to_homography(parameters: Tensor, size: Size, source_size: Size) -> Tensor:
    """The homographies in pixels of parameters; gradients flow.

    Args:
        parameters: `(B, 8)`, not divided by `AdmConfig.homography_scale`. Zero maps the corners of the reference onto
            those of the source.
        size: of the reference.
        source_size: of the source.

    Returns:
        `(B, 3, 3)`, float64, pixels of the reference to pixels of the source, h33 = 1; inf or NaN where the first pixel
        of the reference lies on the horizon.

    Raises:
        InputError: the parameters are not `(B, 8)`.
    """
    device = parameters.device
    matrix = _denormalising(source_size, device) @ to_matrix(parameters.double()) @ _normalising(size, device)
    return matrix / matrix[:, 2:, 2:]


def _normalising(size: Size, device: torch.device) -> Tensor:
    """The map `(3, 3)`, float64, from pixels to [-1, 1], as in `geometry.normalise_points`."""
    # kornia's normal_transform_pixel is of float32.
    height, width = size
    rows = [[2 / max(width - 1, 1), 0, -1], [0, 2 / max(height - 1, 1), -1], [0, 0, 1]]
    return torch.tensor(rows, dtype=torch.float64, device=device)


def _denormalising(size: Size, device: torch.device) -> Tensor:
    """The inverse of `_normalising`."""
    x, y = (max(side - 1, 1) / 2 for side in reversed(size))
    return torch.tensor([[x, 0, x], [0, y, y], [0, 0, 1]], dtype=torch.float64, device=device)
