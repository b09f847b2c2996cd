"""A transform as arrays: what `raylign align --save-transform` writes and `--apply` reads."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..methods.aligner import Aligner, Alignment, single_source
from ..methods.errors import InputError
from ..methods.geometry import (
    Size,
    homography_positions,
    pixel_grid,
    rescale_homography,
    resize_transform,
    sample,
    transform_points,
)
from ..methods.transform import HomographyTransform, is_covered, warp
from .alignment import AlignedPicture
from .images import MAX_PIXELS

PLANAR = 0.01
"""Pixels by which a flow may differ from that of the homography beside it, which then tells all."""


def transform_arrays(aligned: AlignedPicture) -> dict[str, NDArray[np.generic]]:
    """The arrays of `--save-transform`; those with an axis N lose it for a single source.

    Returns:
        `flow (N, 2, H, W)` float32 in pixels, reference to source; `mask (H, W)` bool; `confidence`, NaN where the
        method has none; `homography (N, 3, 3)` float64 where the method has one; `used (N,)` bool where the method
        leaves out sources that it finds nothing for: their flow and homography are NaN; `source_size (2,)`, width and
        height of the sources, to which the flow leads; `weights (N + 1, H, W)`
        float16, where the method tells them: the part of the reference (first) and of each source in each pixel.

    Raises:
        InputError: the method tells neither a flow nor a homography.
    """
    flow = aligned.flow
    if flow is None:
        if aligned.homography is None:
            raise InputError(
                f"--save-transform: '{aligned.facts['method']}' tells no transform; choose another --method"
            )
        size = (aligned.mask.shape[0], aligned.mask.shape[1])
        positions = torch.stack([homography_positions(each[None], size)[0] for each in aligned.homography])
        flow = (positions - pixel_grid(size)).permute(0, 3, 1, 2)
    if aligned.used is not None:
        flow = flow.masked_fill(~aligned.used[:, None, None, None], math.nan)
    single = len(flow) == 1
    confidence = math.nan if aligned.confidence is None else aligned.confidence
    arrays: dict[str, NDArray[np.generic]] = {
        "flow": (flow[0] if single else flow).contiguous().numpy(),
        "mask": aligned.mask.numpy(),
        "confidence": np.asarray(confidence, dtype=np.float32),
        "source_size": np.asarray(aligned.facts["sources"][0], dtype=np.int64),
    }
    if aligned.homography is not None:
        arrays["homography"] = (aligned.homography[0] if single else aligned.homography).numpy()
    if aligned.used is not None:
        arrays["used"] = (aligned.used[0] if single else aligned.used).numpy()
    if aligned.weights is not None:
        arrays["weights"] = aligned.weights.half().numpy()
    return arrays


class SavedTransform(Aligner):
    """A transform that was found before, for any pictures in the same frames.

    Pictures of another resolution than those it was found for are taken as the same frames resized.

    Args:
        path: the file; `flow`, `mask` and `confidence` must be in it, `homography` and `source_size` may.
        label: what errors call it.

    Raises:
        InputError: the file is not there, is no such file, or holds the transforms of several sources.
    """

    name: ClassVar[str] = "saved"

    def __init__(self, path: Path, label: str) -> None:
        arrays = _read(path, label)
        flow, mask = arrays["flow"], arrays["mask"]
        if flow.ndim == 4:
            raise InputError(f"{label} holds the transforms of {len(flow)} sources; save and apply them one by one")
        shapes = {"flow": (2, *mask.shape), "confidence": (), "homography": (3, 3), "source_size": (2,)}
        for name, shape in shapes.items():
            if name in arrays and (arrays[name].shape != shape or arrays[name].dtype.kind not in "fiu"):
                raise InputError(f"{label}: '{name}' is {arrays[name].dtype} {arrays[name].shape}, not numbers {shape}")
        if mask.ndim != 2 or mask.dtype != np.bool_ or mask.size == 0:
            raise InputError(f"{label}: 'mask' is {mask.dtype} {mask.shape}, not bool (H, W)")
        self._label = label
        self._flow, self._mask = torch.from_numpy(flow).float()[None], torch.from_numpy(mask)[None, None]
        self._size: Size = (mask.shape[0], mask.shape[1])
        width, height = (int(side) for side in arrays.get("source_size", np.zeros(2)))
        self._source_size: Size | None = (height, width) if min(width, height) > 0 else None
        confidence = float(arrays["confidence"])
        self._confidence = None if math.isnan(confidence) else torch.tensor([confidence])
        self._homography: Tensor | None = None
        if "homography" in arrays and np.isfinite(arrays["homography"]).all():
            self._homography = torch.from_numpy(arrays["homography"]).double()[None]

    def align(self, reference: Tensor, sources: Tensor) -> Alignment:
        """See `Aligner.align`.

        Raises:
            InputError: the pictures have another shape than those it was found for.
        """
        source = single_source(reference, sources)
        size: Size = (reference.shape[2], reference.shape[3])
        source_size: Size = (source.shape[2], source.shape[3])
        own_source = self._source_size or source_size
        for name, own, given in (("REF", self._size, size), ("SRC", own_source, source_size)):
            if abs(own[0] * given[1] - own[1] * given[0]) > max(*own, *given):
                raise InputError(
                    f"{self._label} was found for a {name} of {own[1]} x {own[0]} pixels, not {given[1]} x {given[0]}; "
                    "give one of that shape"
                )
        homography = self._homography
        if homography is not None:
            homography = rescale_homography(
                homography, size_a=(self._size, size), size_b=(own_source, source_size), rule="area"
            )
        told = None if homography is None else homography[:, None].float()
        if homography is not None and self._planar():
            transform = HomographyTransform(homography, source_size)
            found = warp(source, transform, size)
            flow = found.flow[:, None]
            return Alignment(found.image, found.mask, told, flow, self._confidence, transform=transform)
        positions = self._positions(size, own_source, source_size)
        kept = F.interpolate(self._mask.float(), size, mode="nearest-exact") > 0.5
        mask = (kept & is_covered(positions, source_size)[:, None]).float()
        flow = (positions - pixel_grid(size)).permute(0, 3, 1, 2)
        return Alignment(sample(source, positions) * mask, mask, told, flow[:, None], self._confidence)

    def _planar(self) -> bool:
        """Whether the flow is that of the homography, wherever it says anything."""
        assert self._homography is not None
        planar = (homography_positions(self._homography, self._size) - pixel_grid(self._size)).permute(0, 3, 1, 2)
        apart = (planar - self._flow).abs().amax(1, keepdim=True)
        return not bool((apart > PLANAR)[self._mask].any())

    def _positions(self, size: Size, own_source: Size, source_size: Size) -> Tensor:
        """Where each pixel of a reference lies in a source `(1, H, W, 2)`, float32, pixels."""
        flow = self._flow.nan_to_num(nan=float(-4 * max(*self._size, *own_source)))
        if size != self._size:
            flow = F.interpolate(flow, size, mode="bilinear", align_corners=False)
        start = transform_points(
            resize_transform(size, self._size, "area")[None], pixel_grid(size).double().reshape(1, -1, 2)
        )
        there = start.reshape(1, *size, 2) + flow.permute(0, 2, 3, 1)
        scaled = transform_points(resize_transform(own_source, source_size, "area")[None], there.reshape(1, -1, 2))
        return scaled.reshape(1, *size, 2).float()


def _read(path: Path, label: str) -> dict[str, NDArray[np.generic]]:
    """The arrays of a file, no larger than those of the largest picture."""
    wanted = ("flow", "mask", "confidence", "homography", "source_size")
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in archive.infolist()}
        if any(sizes.get(name, 0) > 16 * MAX_PIXELS for name in wanted):
            raise InputError(f"{label}: it holds more than {MAX_PIXELS // 10**6} megapixels")
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in wanted if name in content.files}
    except FileNotFoundError:
        raise InputError(f"{label}: there is no such file") from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{label} is no file of --save-transform ({error})") from None
    missing = [name for name in wanted[:3] if name not in arrays]
    if missing:
        raise InputError(f"{label} is no file of --save-transform: it has no '{missing[0]}'")
    return arrays
