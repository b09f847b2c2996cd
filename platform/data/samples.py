"""Decoded samples: one frame set (`sequence`) or one pair (`pair`), with the geometry that is known of them.

Pixels are uint8 `(3, H, W)` RGB tensors as stored; `float_image` makes float32 in [0, 1] of them. Homographies are
float64 `(3, 3)`, pixel centres at integers, from the first named frame to the second.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...methods.errors import DatasetError
from .layouts.opening import open_reader
from .pictures import decode_rgb, picture_size
from .truth import DENSE, Truth, decode_arrays, decode_mask

LEAST_H33 = 1e-12
"""Share of the largest entry of a homography up to which its h33 is rounding error."""


@dataclass(frozen=True)
class Sample:
    """One sample of a dataset.

    Attributes:
        key: the sample's name in its shard.
        frames: uint8 `(3, H, W)` each; a pair is a sequence of two: reference and source.
        homographies: float64 `(T, 3, 3)`, frame 0 to frame k (the first is the identity), `h33 = 1` unless it is 0, or
            None where unknown.
        gt: uint8 `(3, H, W)`, the undisturbed picture from the view of frame 0, where the dataset has it.
        meta: the rest of `meta.json`.
    """

    key: str
    frames: list[Tensor]
    homographies: Tensor | None
    gt: Tensor | None
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the publisher calls the sample; its key where it has no name."""
        return str(self.meta.get("name", self.key))

    @property
    def subset(self) -> str:
        """Its group or difficulty; empty where it has none."""
        return str(self.meta.get("subset", self.meta.get("difficulty", "")))

    @property
    def points(self) -> Tensor | None:
        """Control points `(K, 4)`, float64, rows x_ref y_ref x_src y_src in pixels, or None where there are none.

        Raises:
            DatasetError: `meta.json` holds something else.
        """
        stored = self.meta.get("points")
        if stored is None:
            return None
        try:
            points = torch.tensor(stored, dtype=torch.float64)
        except (TypeError, ValueError):
            points = torch.empty(0)
        if points.dim() != 2 or points.shape[1] != 4:
            raise DatasetError(f"sample {self.key} has control points that are not rows of four numbers")
        return points

    def homography(self, a: int, b: int) -> Tensor | None:
        """Homography from frame a to frame b, scaled to `h33 = 1` unless it is 0, or None where unknown."""
        return homography_between(self.homographies, a, b)


def homography_between(homographies: Tensor | None, a: int, b: int) -> Tensor | None:
    """Homography from frame a to frame b, scaled to `h33 = 1` unless it is 0, or None where unknown.

    Args:
        homographies: `(T, 3, 3)`, frame 0 to frame k, or None.
        a: frame number.
        b: frame number.
    """
    if a == b:
        return torch.eye(3, dtype=torch.float64)
    if homographies is None:
        return None
    return _scaled(homographies[b] @ torch.linalg.inv(homographies[a]))


def _scaled(matrices: Tensor) -> Tensor:
    """Homographies `(..., 3, 3)` with `h33 = 1`, or the largest entry 1 where h33 is 0: pixel (0, 0) is at infinity."""
    last, most = matrices[..., 2:, 2:], matrices.abs().amax((-2, -1), keepdim=True)
    return matrices / torch.where(last.abs() > LEAST_H33 * most, last, most)


def decode_picture(content: bytes, where: str) -> Tensor:
    """Decode the bytes of a picture (PNG, JPEG, WebP, PPM, TIFF, BMP) to a uint8 `(3, H, W)` tensor, upright.

    Raises:
        DatasetError: the bytes are damaged; `where` names their place.
    """
    return torch.from_numpy(decode_rgb(content, where)).permute(2, 0, 1).contiguous()


def float_image(pixels: Tensor) -> Tensor:
    """uint8 pixels to float32 in [0, 1]."""
    return pixels.float().div_(255.0)


def spread(total: int, count: int) -> list[int]:
    """At most `count` of the positions 0 to `total` - 1, evenly spread, the first and the last among them."""
    count = min(total, count)
    return [round(step * (total - 1) / max(1, count - 1)) for step in range(count)]


class Samples:
    """The decoded samples of one split of a dataset, by position."""

    def __init__(self, url: str, split: str | None = None) -> None:
        """Open the dataset at `url`: shards, or a public dataset in its published folder (`layouts`).

        Raises:
            DatasetError: it is missing, incomplete, empty, or of an unknown kind.
        """
        self.reader = open_reader(url, split)
        if self.reader.info.kind not in ("pair", "sequence"):
            raise DatasetError(f"{url} is of kind '{self.reader.info.kind}'; this raylign reads pair and sequence")
        self._keys = self.reader.keys

    def __len__(self) -> int:
        return len(self.reader)

    def where(self, position: int, field: str | None = None) -> str:
        """Names a sample or one of its fields in an error; a field that is a file of its own, by its path."""
        sample = f"sample {self._keys[position]} of {self.reader.url}"
        return sample if field is None else self.reader.file_of(position, field) or f"{sample}, {field}"

    def _sizes(self, position: int, meta: dict[str, Any]) -> list[tuple[int, int]]:
        """(height, width) of each frame: what `meta.json` says, or else the pictures' headers."""
        names = self.frame_names(position)
        match meta.get("size"):
            case [int(width), int(height)]:
                return [(height, width)] * len(names)
        content = self.reader.read(position, names)
        return [picture_size(content[name], self.where(position, name)) for name in names]

    def frame_names(self, position: int) -> list[str]:
        """Suffixes of the sample's frames, in order."""
        fields = self.reader.fields(position)
        if self.reader.info.kind == "pair":
            names = [name for stem in ("ref.", "src.") for name in fields if name.startswith(stem)]
            if len(names) != 2:
                raise DatasetError(f"{self.where(position)} has {', '.join(names) or 'nothing'}, not ref and src")
            return names
        return sorted(name for name in fields if name.count(".") == 1 and name.partition(".")[0].isdigit())

    def gt_name(self, position: int) -> str | None:
        """Suffix of the sample's undisturbed picture, where it has one."""
        return next((name for name in self.reader.fields(position) if name.startswith("gt.")), None)

    def mask_name(self, frame_name: str) -> str:
        """Suffix of the mask of the occluders of a frame."""
        return f"{frame_name.partition('.')[0]}.mask.png"

    def decode(self, position: int, name: str, content: bytes) -> Tensor:
        """One picture of a sample from its encoded bytes.

        Args:
            position: within the split.
            name: suffix of a frame, of the undisturbed picture or of a mask.
            content: the field `name`.

        Returns:
            Uint8 `(3, H, W)`, or of a mask bool `(H, W)`, true on occluders.

        Raises:
            DatasetError: the bytes are damaged.
        """
        where = self.where(position, name)
        if name.endswith(".mask.png"):
            return torch.from_numpy(decode_mask(content, where) > 127)
        return decode_picture(content, where)

    def homographies(self, position: int, content: bytes, *, fitted: bool = False) -> Tensor | None:
        """`Sample.homographies` from the field `meta.json`.

        Args:
            position: within the split.
            content: the field.
            fitted: where no homography is true of a pair, take the one that comes closest to its flow.

        Raises:
            DatasetError: it is damaged, or says something else than 3 x 3 matrices for the sample's frames.
        """
        where = self.where(position)
        meta = _meta(content, where)
        found = _homographies(meta, len(self.frame_names(position)), where)
        if found is None and fitted and isinstance(meta.get("parallax"), dict):
            return _homographies(meta["parallax"], len(self.frame_names(position)), where)
        return found

    def __getitem__(self, position: int) -> Sample:
        names, gt_name = self.frame_names(position), self.gt_name(position)
        content = self.reader.read(position, [*names, *([gt_name] if gt_name else []), "meta.json"])
        where = self.where(position)
        meta = _meta(content["meta.json"], where)
        return Sample(
            key=self._keys[position],
            frames=[decode_picture(content[name], self.where(position, name)) for name in names],
            homographies=_homographies(meta, len(names), where),
            gt=decode_picture(content[gt_name], self.where(position, gt_name)) if gt_name else None,
            meta=meta,
        )

    def truth(self, position: int, only: Collection[str] = DENSE) -> Truth:
        """The dense ground truth of one sample, which `samples[position]` never reads.

        Args:
            position: within the split.
            only: what to read, of `DENSE`.

        Raises:
            DatasetError: a field is damaged, or of another size than the frames.
        """
        fields, frames = self.reader.fields(position), self.frame_names(position)
        masks = [self.mask_name(name) for name in frames]
        if self.reader.info.kind == "pair":
            depths = ["depth.npz"]
        else:
            depths = [f"{name.partition('.')[0]}.depth.npz" for name in frames]
        groups = {
            "flow": ["flow.npz"],
            "occlusion": ["occlusion.png"],
            "hidden": ["hidden.png"],
            "dynamic": ["dynamic.png"],
            "depth": depths,
            "mask": masks,
            "vessels": ["vessels.png", "vessels-src.png"],
        }
        wanted = {name: group for name, group in groups.items() if name in only and set(group) <= set(fields)}
        where = self.where(position)
        content = self.reader.read(position, ["meta.json", *(name for group in wanted.values() for name in group)])
        sizes = self._sizes(position, _meta(content["meta.json"], where))

        def grey(name: str, size: tuple[int, int]) -> Tensor:
            label = self.where(position, name)
            pixels = decode_mask(content[name], label)
            if pixels.shape != size:
                raise DatasetError(f"{label}: {pixels.shape[1]} x {pixels.shape[0]} pixels, unlike its frame")
            return torch.tensor(pixels)

        def mask(name: str, size: tuple[int, int]) -> Tensor:
            return grey(name, size) > 127

        def arrays(name: str, shapes: dict[str, tuple[int, ...]]) -> list[Tensor]:
            found = decode_arrays(content[name], self.where(position, name), shapes)
            return [torch.from_numpy(found[each]) for each in shapes]

        depth: list[Tensor] = []
        if "depth" in wanted and self.reader.info.kind == "pair":
            depth = arrays("depth.npz", {"ref": sizes[0], "src": sizes[1]})
        elif "depth" in wanted:
            depth = [arrays(name, {"depth": size})[0] for name, size in zip(depths, sizes, strict=True)]
        return Truth(
            flow=arrays("flow.npz", {"flow": (2, *sizes[0])})[0] if "flow" in wanted else None,
            occlusion=mask("occlusion.png", sizes[0]) if "occlusion" in wanted else None,
            hidden=mask("hidden.png", sizes[0]) if "hidden" in wanted else None,
            dynamic=mask("dynamic.png", sizes[0]) if "dynamic" in wanted else None,
            depths=depth if "depth" in wanted else None,
            masks=[mask(*each) for each in zip(masks, sizes, strict=True)] if "mask" in wanted else None,
            vessels=[grey(*each) for each in zip(groups["vessels"], sizes, strict=True)]
            if "vessels" in wanted
            else None,
        )


def _meta(content: bytes, where: str) -> dict[str, Any]:
    try:
        meta = json.loads(content)
    except ValueError:
        meta = None
    if not isinstance(meta, dict):
        raise DatasetError(f"{where}: meta.json is not a JSON object; run 'raylign data verify' on the dataset")
    return meta


def _homographies(meta: dict[str, Any], frames: int, where: str) -> Tensor | None:
    stored = meta.get("homographies", [meta["homography"]] if meta.get("homography") is not None else None)
    if stored is None:
        return None
    try:
        matrices = torch.tensor(stored, dtype=torch.float64)
    except (TypeError, ValueError):
        raise DatasetError(f"{where} has homographies that are not 3 x 3 matrices") from None
    if matrices.shape == (frames - 1, 3, 3):
        matrices = torch.cat([torch.eye(3, dtype=torch.float64)[None], matrices])
    if matrices.shape != (frames, 3, 3):
        raise DatasetError(f"{where} has {frames} frames but homographies of shape {tuple(matrices.shape)}")
    if not torch.isfinite(matrices).all():
        raise DatasetError(f"{where} has a homography that is not finite; run 'raylign data verify' on the dataset")
    return _scaled(matrices)
