"""The structure of UDIS++ (Nie et al. 2023), shape for shape and with random weights: what crossscale is timed against.

ResNet-50 to layer3, contextual correlation at strides 16 and 8, a regression head behind each, then the warps: one by
the homography, one by a dense thin-plate spline, each of the picture and of a mask of ones. Written from a description
of the network, not from its program.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raylign.methods import geometry
from raylign.methods.crossscale.backbone import Backbone
from raylign.methods.crossscale.config import CrossScaleConfig

SIZE = (512, 512)
MESH = 13


def contextual_flow(reference: Tensor, target: Tensor) -> Tensor:
    """Feature flow `(B, 2, h, w)`: the target's 3 x 3 patches are filters for the reference, sample by sample."""
    height, width = reference.shape[-2:]
    places = geometry.pixel_grid((height, width)).view(-1, 2)
    flows = []
    for a, b in zip(F.normalize(reference, dim=1), F.normalize(target, dim=1), strict=True):
        filters = F.unfold(b[None], 3, padding=1)[0].T.reshape(height * width, -1, 3, 3)
        shares = torch.softmax(10 * F.conv2d(a[None], filters, padding=1), dim=1)[0].float()
        flows.append(torch.einsum("khw,kc->chw", shares, places) - places.T.view(2, height, width))
    return torch.stack(flows)


def head(widths: list[int], flat: int, linear: tuple[int, int], outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    before = 2
    for width in widths:
        for inputs in (before, width):
            layers += [nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.ReLU(inplace=True)]
        layers.append(nn.MaxPool2d(2))
        before = width
    layers.append(nn.Flatten())
    for inputs, width in ((flat, linear[0]), linear):
        layers += [nn.Linear(inputs, width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(linear[1], outputs))


class UDIS2(nn.Module):
    """Offsets of four corners `(B, 4, 2)` and of 13 x 13 vertices `(B, 169, 2)` of pictures `(B, 3, 512, 512)`."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone(CrossScaleConfig())
        self.coarse = head([64, 128, 256], 4096, (4096, 1024), 8)
        self.fine = head([64, 128, 256, 512], 8192, (4096, 2048), 2 * MESH**2)

    def forward(self, reference: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        _, fine, coarse = self.backbone(torch.cat([reference, source]))
        corners = self.coarse(contextual_flow(*coarse.chunk(2))).view(-1, 4, 2).float()
        homography = corner_homography(corners)
        scale = torch.tensor([8.0, 8, 1], dtype=torch.float64)
        fine_reference, fine_source = fine.chunk(2)
        aligned, _ = geometry.warp_by_homography(fine_source.float(), homography * scale / scale[:, None], (64, 64))
        vertices = self.fine(contextual_flow(fine_reference, aligned)).view(-1, MESH**2, 2).float()
        return corners, vertices


def corner_homography(offsets: Tensor) -> Tensor:
    corners = geometry.image_corners(SIZE).expand(len(offsets), -1, -1)
    return geometry.homography_from_points(corners, corners + offsets)


def warps(source: Tensor, corners: Tensor, vertices: Tensor) -> tuple[Tensor, Tensor]:
    """The source with its mask `(B, 6, 512, 512)`, warped by the homography and by the spline."""
    both = torch.cat([source, torch.ones_like(source)], dim=1)
    homography = corner_homography(corners)
    planar = gathered(both, geometry.homography_positions(homography, SIZE))
    regular = geometry.regular_mesh(MESH, MESH, SIZE).view(1, -1, 2)
    mesh = geometry.transform_points(geometry.invert_homography(homography), regular) + vertices
    positions = dense_spline(geometry.normalise_points(mesh, SIZE), geometry.normalise_points(regular, SIZE))
    return planar, gathered(both, geometry.denormalise_points(positions, SIZE))


def dense_spline(points: Tensor, values: Tensor) -> Tensor:
    """The spline at all pixels `(B, 512, 512, 2)`: every radial term of every pixel in one tensor."""
    batch, count, _ = points.shape
    squared = (points[:, :, None] - points[:, None]).square().sum(-1)
    system = points.new_zeros(batch, count + 3, count + 3)
    system[:, :count, 0], system[:, :count, 1:3] = 1, points
    system[:, :count, 3:] = squared * torch.log(squared + 1e-6)
    system[:, count, 3:], system[:, count + 1 :, 3:] = 1, points.transpose(1, 2)
    right = torch.cat([values.expand(batch, -1, -1), points.new_zeros(batch, 3, 2)], dim=1)
    weights = (torch.linalg.inv(system) @ right).float()
    axis = torch.linspace(-1, 1, SIZE[0])
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1).view(1, 1, -1, 2)
    squared = (grid - points.float()[:, :, None]).square().sum(-1)
    radial = squared * torch.log(squared + 1e-6)
    ones = torch.ones(batch, 1, grid.shape[2])
    terms = torch.cat([ones, grid[:, 0].transpose(1, 2).expand(batch, -1, -1), radial], dim=1)
    return (weights.transpose(1, 2) @ terms).transpose(1, 2).view(batch, *SIZE, 2)


def gathered(image: Tensor, positions: Tensor) -> Tensor:
    """Bilinear samples `(B, C, H, W)` as spatial transformers of that time take them: four gathers and their sum."""
    channels, (height, width) = image.shape[1], image.shape[-2:]
    flat = image.flatten(2)
    x, y = positions.unbind(-1)
    left, top = x.floor(), y.floor()
    result = torch.zeros_like(image)
    for column, row in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        weight = (1 - (x - column).abs()) * (1 - (y - row).abs()) * inside
        index = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).long().flatten(1)
        taken = flat.gather(2, index[:, None].expand(-1, channels, -1)).view_as(result)
        result += taken * weight[:, None]
    return result
