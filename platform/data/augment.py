"""Augmentation as batched tensor operations: geometric views, displacement, and changes of the network's inputs.

A view of a picture is a homography from the view's pixels to the picture's pixels, so that cropping, resizing and
perspective are one sampling. All random numbers of a global batch are drawn at once from one generator
and then sliced by rank: a training on 8 workers sees the same numbers as one on a single worker.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ...methods.errors import InputError
from ...methods.geometry import homography_from_points, homography_positions, pixel_grid, sample, transform_points
from .degradations import DEGRADATIONS, STRENGTHS, degrade
from .samples import float_image


@dataclass(frozen=True)
class AugmentOptions:
    """How training samples are varied; nothing of it touches validation or test samples."""

    view_probability: float = 0.75
    """Share of samples seen through random views (crop, shift, perspective) instead of the whole frames."""
    same_frame_probability: float = 0.25
    """Share of pairs made of two views of one frame, so that only geometry differs."""
    shift: float = 0.10
    """Largest random move of a view's corners, as a share of the picture's side."""
    zoom: tuple[float, float] = (0.7, 0.95)
    """Side of a view as a share of the picture's side."""
    brightness: float = 0.3
    """Brightness of each picture is multiplied by U(1 - b, 1 + b), in the network's input only."""
    colour: float = 0.3
    """Each channel of each picture is multiplied by U(1 - c, 1 + c), in the network's input only."""
    contrast: float = 0.0
    """Distance of each pixel from the picture's mean grey is multiplied by U(1 - c, 1 + c), in the input only."""
    gamma: float = 0.0
    """Each picture is raised to a power from 1 / (1 + g) to 1 + g, in the input only."""
    saturation: float = 0.0
    """Distance of each pixel from its own grey is multiplied by U(1 - s, 1 + s), in the input only."""
    hue: float = 0.0
    """Hue of each picture is turned by U(-h, h), as a share of the full circle, in the input only."""
    blur: float = 0.0
    """Each picture is blurred by a Gaussian of standard deviation U(0, b) pixels, in the input only."""
    noise: float = 0.0
    """Gaussian noise of standard deviation U(0, n) is added to values in [0, 1], in the input only."""
    jpeg: float = 0.0
    """Each picture is compressed as JPEG of quality U(100 - j, 100), in the input only."""
    degradation: float = 0.0
    """Share of the pictures that are degraded: noise, blur or low light in one of three strengths (input only)."""
    flip: float = 0.0
    """Share of samples that are mirrored left to right, all their views together."""
    displacement: float = 0.0
    """A smooth field moves the source's pixels by up to U(0, d) of its side (pairs only). It may fold where
    d exceeds 0.25 / (displacement_grid - 1)."""
    displacement_grid: int = 4
    """Control points of that field along each side."""
    frames: int = 10
    """Frames of a training sequence, the reference included (sequences only)."""

    def __post_init__(self) -> None:
        for name, least, most in _LIMITS:
            value = getattr(self, name)
            if not least <= value <= most:
                option = name.replace("_", "-")
                raise InputError(f"--augment.{option} must lie between {least:g} and {most:g}, not at {value:g}")

    @property
    def varies_inputs(self) -> bool:
        """Whether the network sees other pixels than the losses."""
        return bool(self.brightness or self.colour) or self.degrades_inputs

    @property
    def degrades_inputs(self) -> bool:
        """Whether anything beyond brightness and colour is changed."""
        changes = self.contrast, self.gamma, self.saturation, self.hue, self.blur, self.noise, self.jpeg
        return any((*changes, self.degradation))


ALL_DEGRADATIONS = tuple((kind, strength) for kind in DEGRADATIONS for strength in STRENGTHS)
"""Every kind in every strength."""

_LIMITS = (
    ("contrast", 0, 1),
    ("gamma", 0, 10),
    ("saturation", 0, 1),
    ("hue", 0, 0.5),
    ("blur", 0, 20),
    ("noise", 0, 1),
    ("jpeg", 0, 99),
    ("degradation", 0, 1),
    ("flip", 0, 1),
    ("displacement", 0, 0.5),
    ("displacement_grid", 2, 64),
    ("frames", 2, 1000),
)
"""Field of `AugmentOptions`, least and largest value."""


@dataclass(frozen=True)
class PairViews:
    """The random numbers of one batch of pairs; see `draw_views`."""

    same_frame: Tensor
    """`(B,)` bool."""
    reference: Tensor
    """`(B, 4, 2)`, corners of the reference view in the unit square of its picture."""
    source: Tensor
    """`(B, 4, 2)`, likewise for the source."""
    gain_reference: Tensor
    """`(B, 3, 1, 1)`, factor on the reference as the network sees it."""
    gain_source: Tensor
    """`(B, 3, 1, 1)`, likewise for the source."""

    def __getitem__(self, rows: slice) -> PairViews:
        return PairViews(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def draw_views(count: int, options: AugmentOptions, generator: Generator) -> PairViews:
    """Draw the random numbers of `count` pairs.

    A view is a square of side `zoom` at a random place that both pictures share, whose corners then move by up to
    `shift`, independently in reference and source, and stay inside the picture: no black border tells the answer.
    """

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.rand(*shape, generator=generator) * (high - low) + low

    unit = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    whole = uniform(count) >= options.view_probability
    same = (uniform(count) < options.same_frame_probability) & ~whole
    side = uniform(count, 1, 1, low=options.zoom[0], high=options.zoom[1])
    place = uniform(count, 1, 2) * (1 - side)
    square = unit * side + place
    # A common move of all four corners and one of each: shifts and perspective both occur.
    views = []
    for _ in range(2):
        move = uniform(count, 1, 2, low=-0.5, high=0.5) + uniform(count, 4, 2, low=-0.5, high=0.5)
        corners = (square + move * options.shift).clamp(0.0, 1.0)
        views.append(torch.where(whole[:, None, None], unit, corners))
    gains = []
    for _ in range(2):
        brightness = uniform(count, 1, 1, 1, low=1 - options.brightness, high=1 + options.brightness)
        colour = uniform(count, 3, 1, 1, low=1 - options.colour, high=1 + options.colour)
        gains.append(brightness * colour)
    return PairViews(same, views[0], views[1], gains[0], gains[1])


@dataclass(frozen=True)
class InputChanges:
    """The random numbers that turn B x P pictures into network inputs; see `draw_changes` and `change_inputs`."""

    gain: Tensor
    """`(B, P, 3, 1, 1)`, factor on each channel."""
    contrast: Tensor
    """`(B, P)`, factor on the distance from the mean grey."""
    gamma: Tensor
    """`(B, P)`, exponent."""
    saturation: Tensor
    """`(B, P)`, factor on the distance from grey."""
    hue: Tensor
    """`(B, P)`, angle in radians."""
    blur: Tensor
    """`(B, P)`, standard deviation in pixels."""
    noise: Tensor
    """`(B, P)`, standard deviation."""
    jpeg: Tensor
    """`(B, P)`, quality, 1 to 100."""
    seed: Tensor
    """`(B, P)` int64, of the noise: drawing it here for the whole batch would cost each worker all workers' time."""
    degradation: Tensor
    """`(B, P)` int64, place in `ALL_DEGRADATIONS`, -1 for none."""

    def map(self, change: Callable[[Tensor], Tensor]) -> InputChanges:
        """The same change of every tensor: a slice, one of the pictures, a flattening."""
        return InputChanges(*(change(getattr(self, name)) for name in self.__dataclass_fields__))


def draw_changes(
    count: int, pictures: int, options: AugmentOptions, generator: Generator, gain: Tensor | None = None
) -> InputChanges:
    """Draw the random numbers of `count` samples of `pictures` pictures; turning one option on moves no other.

    Args:
        count: B.
        pictures: P.
        options: how far each change may go.
        generator: of the random numbers.
        gain: `(B, P, 3, 1, 1)`, where it is drawn already.
    """

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(count, pictures, *shape, generator=generator) * (high - low) + low

    if gain is None:
        brightness = uniform(1 - options.brightness, 1 + options.brightness, 1, 1, 1)
        gain = brightness * uniform(1 - options.colour, 1 + options.colour, 3, 1, 1)
    power = math.log1p(options.gamma)
    return InputChanges(
        gain=gain,
        contrast=uniform(1 - options.contrast, 1 + options.contrast),
        gamma=uniform(-power, power).exp(),
        saturation=uniform(1 - options.saturation, 1 + options.saturation),
        hue=uniform(-2 * math.pi * options.hue, 2 * math.pi * options.hue),
        blur=uniform(0, options.blur),
        noise=uniform(0, options.noise),
        jpeg=uniform(100 - options.jpeg, 100),
        seed=torch.randint(2**62, (count, pictures), generator=generator),
        degradation=torch.where(
            uniform(0, 1) < options.degradation,
            torch.randint(len(ALL_DEGRADATIONS), (count, pictures), generator=generator),
            -1,
        ),
    )


def change_inputs(pictures: Tensor, changes: InputChanges, options: AugmentOptions) -> Tensor:
    """Pictures as the network sees them.

    Args:
        pictures: `(N, 3, S, S)` in [0, 1].
        changes: with N rows, `(N,)` and `(N, 3, 1, 1)`.
        options: which changes are on.

    Returns:
        `(N, 3, S, S)` in [0, 1].
    """
    changed = (pictures * changes.gain).clamp_(0, 1)
    if not options.degrades_inputs:
        return changed
    from kornia import enhance, filters

    if options.contrast:
        changed = enhance.adjust_contrast_with_mean_subtraction(changed, changes.contrast)
    if options.gamma:
        changed = enhance.adjust_gamma(changed, changes.gamma)
    if options.saturation:
        changed = enhance.adjust_saturation_with_gray_subtraction(changed, changes.saturation)
    if options.hue:
        changed = enhance.adjust_hue(changed, changes.hue)
    if options.blur:
        side = 2 * math.ceil(3 * options.blur) + 1
        sigma = changes.blur.clamp_min(1e-3)[:, None].expand(-1, 2)
        changed = filters.gaussian_blur2d(changed, side, sigma, "replicate")
    if options.noise:
        grains = [torch.randn(changed.shape[1:], generator=Generator().manual_seed(s)) for s in changes.seed.tolist()]
        changed = changed + changes.noise[:, None, None, None] * torch.stack(grains)
    if options.jpeg:
        changed = enhance.jpeg_codec_differentiable(changed.clamp(0, 1), changes.jpeg)
    changed = changed.clamp(0, 1)
    if options.degradation:
        degraded = []
        for each, which, seed in zip(
            changed.split(1), changes.degradation.tolist(), changes.seed.tolist(), strict=True
        ):
            kind, strength = ALL_DEGRADATIONS[max(which, 0)]
            degraded.append(each if which < 0 else degrade(each, kind, strength, _grains(seed)))
        changed = torch.cat(degraded)
    return changed


def _grains(seed: int) -> Generator:
    """Other random numbers than those of the noise with this seed."""
    return Generator().manual_seed(seed ^ 1)


def mirror_pictures(pictures: Tensor, flip: Tensor) -> Tensor:
    """`(B, ..., S, S)` with pixel x in the place of S - 1 - x where `flip (B,)` is true."""
    return torch.where(flip.view(-1, *[1] * (pictures.dim() - 1)), pictures.flip(-1), pictures)


def mirror_displacement(displacement: Tensor, flip: Tensor) -> Tensor:
    """The field `(B, 2, S, S)` of mirrored views, from that of the views."""
    across = displacement * torch.tensor([-1.0, 1.0]).view(2, 1, 1)
    return torch.where(flip.view(-1, 1, 1, 1), across.flip(-1), displacement)


def mirror_homographies(homographies: Tensor, flip: Tensor, size: int) -> Tensor:
    """Homographies `(B, ..., 3, 3)` between views of side `size` when both are mirrored where `flip (B,)` is true."""
    mirror = torch.tensor([[-1.0, 0.0, size - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    mirrored = mirror @ homographies @ mirror
    mirrored = mirrored / mirrored[..., 2:, 2:]
    return torch.where(flip.view(-1, *[1] * (homographies.dim() - 1)), mirrored, homographies)


def displacement_field(controls: Tensor, size: int) -> Tensor:
    """A smooth field through control points, bicubic between them.

    Args:
        controls: `(B, 2, G, G)` from corner pixel centre to corner pixel centre.
        size: S.

    Returns:
        `(B, 2, S, S)` float32, scaled so that its longest vector has length 1.
    """
    field = F.interpolate(controls, (size, size), mode="bicubic", align_corners=True)
    return field / field.norm(dim=1, keepdim=True).amax((2, 3), keepdim=True).clamp_min(1e-12)


def view_homography(corners: Tensor, size: int, height: int, width: int) -> Tensor:
    """Homography from the pixels of a `size` x `size` view to the pixels of its picture.

    Corners mean image-area corners: the view's (-0.5, -0.5) lies on the picture's point with unit coordinates
    `corners[0]`, so a view of the whole frame is the area resize of it.

    Args:
        corners: `(B, 4, 2)` in [0, 1], order TL, TR, BL, BR.
        size: side of the view in pixels.
        height: of the picture in pixels.
        width: of the picture in pixels.

    Returns:
        `(B, 3, 3)` float64.
    """
    area = torch.tensor([[-0.5, -0.5], [size - 0.5, -0.5], [-0.5, size - 0.5], [size - 0.5, size - 0.5]])
    target = corners.double() * torch.tensor([width, height], dtype=torch.float64) - 0.5
    return homography_from_points(area.double().expand(len(corners), 4, 2), target)


def render_views(pictures: Tensor, to_picture: Tensor, size: int, displacement: Tensor | None = None) -> Tensor:
    """Sample pictures at `size` x `size` views; shrinks by area first so that nothing aliases.

    Args:
        pictures: `(B, C, H, W)`.
        to_picture: `(B, 3, 3)` float64, pixels of the view to those of the picture.
        size: S, side of the view.
        displacement: `(B, 2, S, S)`, pixels of the view: pixel q shows what the view has at q + d(q).

    Returns:
        `(B, C, S, S)`.
    """
    height, width = pictures.shape[-2:]
    factor = min(height, width) // size
    if factor > 1:
        pictures = F.avg_pool2d(pictures, factor)
        # Pixel centres of the pooled picture: x' = (x + 0.5) / factor - 0.5.
        pool = torch.diag(torch.tensor([1 / factor, 1 / factor, 1.0], dtype=torch.float64))
        pool[:2, 2] = 0.5 / factor - 0.5
        to_picture = pool @ to_picture
    # A view of the whole frame reaches half a pixel beyond the outer pixel centres: there the border repeats.
    limit = torch.tensor([pictures.shape[-1] - 1.0, pictures.shape[-2] - 1.0])
    if displacement is None:
        positions = homography_positions(to_picture, (size, size))
    else:
        positions = transform_points(to_picture, pixel_grid((size, size)) + displacement.permute(0, 2, 3, 1)).float()
    return sample(pictures, torch.minimum(positions.clamp_min(0), limit))


def render_pictures(
    pictures: list[Tensor], corners: Tensor, size: int, displacement: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Views of pictures that may differ in size.

    Args:
        pictures: N of uint8 `(3, H, W)`.
        corners: `(N, 4, 2)` in the unit squares of the pictures.
        size: S, side of the views.
        displacement: `(N, 2, S, S)`, see `render_views`.

    Returns:
        The views, float32 `(N, 3, S, S)` in [0, 1], and their homographies into the pictures, float64 `(N, 3, 3)`.
    """
    images = torch.empty(len(pictures), 3, size, size)
    matrices = torch.empty(len(pictures), 3, 3, dtype=torch.float64)
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, picture in enumerate(pictures):
        groups.setdefault(tuple(picture.shape), []).append(row)
    for shape, rows in groups.items():
        matrix = view_homography(corners[rows], size, shape[-2], shape[-1])
        stack = float_image(torch.stack([pictures[row] for row in rows]))
        images[rows] = render_views(stack, matrix, size, None if displacement is None else displacement[rows])
        matrices[rows] = matrix
    return images, matrices
