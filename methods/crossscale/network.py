"""CrossScale: dense cross-scale alignment with fully spatial correlation and JND guidance (arXiv 2511.09028)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import geometry
from ..aligner import Alignment, LearnedAligner, has_fast_bfloat16, single_source
from ..jnd import jnd_threshold
from . import losses
from .backbone import Backbone
from .confidence import overlap_correlation
from .config import COARSE_STRIDE, FINE_STRIDE, CrossScaleConfig
from .fsc import Regression
from .resolution import full_resolution_positions, mesh_homography


@dataclass(frozen=True)
class Prediction:
    """What one forward pass says, in pixels of the working size.

    Attributes:
        global_offsets: O_g `(B, 4, 2)`: reference corner c (top-left, top-right, bottom-left, bottom-right) lies at
            c + O_g[c] in the source.
        local_offsets: O_l `(B, U, V, 2)`.
        homography: H `(B, 3, 3)`, float64, reference to source.
        mesh: M^f `= H^-1(M) + O_l`, `(B, U, V, 2)`, float64: where the source's mesh vertices lie in the reference.
    """

    global_offsets: Tensor
    local_offsets: Tensor
    homography: Tensor
    mesh: Tensor


class CrossScale(LearnedAligner):
    """Global corner offsets from coarse features, then local mesh offsets from all pairs of fine scales.

    Args:
        config: hyperparameters; None for the paper's.
        initialise: take over `config.backbone_weights`; False when all weights come from a checkpoint.
    """

    name: ClassVar[str] = "crossscale"
    Config: ClassVar[type] = CrossScaleConfig
    config: CrossScaleConfig

    def __init__(self, config: CrossScaleConfig | None = None, *, initialise: bool = True) -> None:
        super().__init__()
        self.config = config = config or CrossScaleConfig()
        self.size: geometry.Size = (config.working_size, config.working_size)
        self.backbone = Backbone(config)
        if initialise:
            self.backbone.load_weights(config)
        coarse = config.working_size // COARSE_STRIDE
        grids = [config.working_size // FINE_STRIDE // 2**level for level in range(config.levels + 1)]
        vertices = config.mesh[0] * config.mesh[1]
        self.coarse = Regression(config, coarse, coarse, points=4)
        self.intra = Regression(config, grids[0], grids[0], points=vertices)
        # One module per ordered pair: their inputs have different numbers of channels, so nothing can be shared.
        self.cross = nn.ModuleDict(
            {
                f"{m}-{n}": Regression(config, grids[m], grids[n], points=vertices)
                for m in range(config.levels + 1)
                for n in range(config.levels + 1)
                if m != n
            }
        )

    def enable_gradient_checkpointing(self) -> None:
        """Recompute the backbone's activations, the largest by far, in the backward pass."""
        self.backbone.recompute = True

    def forward(self, reference: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Offsets O_g `(B, 4, 2)` and O_l `(B, U, V, 2)`, pixels, of pictures `(B, 3, S, S)` in [0, 1]."""
        # Both pictures in one batch: the same normalisation statistics for both.
        fine, coarse = self.backbone(torch.cat([reference, source]))
        global_offsets = self.coarse(*coarse.chunk(2))
        fine_reference, fine_source = fine.chunk(2)
        aligned = self._warp_features(fine_source, self._homography(global_offsets))
        scales_reference, scales_source = self._pyramid(fine_reference), self._pyramid(aligned)
        local_offsets = self.intra(scales_reference[0], scales_source[0])
        for pair, module in self.cross.items():
            m, n = map(int, pair.split("-"))
            local_offsets = local_offsets + module(scales_reference[m], scales_source[n])
        return global_offsets, local_offsets.unflatten(1, self.config.mesh)

    def predict(self, reference: Tensor, source: Tensor) -> Prediction:
        """Homography and mesh of pictures `(B, 3, S, S)` in [0, 1] at the working size."""
        return self.assemble(*self(reference, source))

    def assemble(self, global_offsets: Tensor, local_offsets: Tensor) -> Prediction:
        """The geometry that offsets `(B, 4, 2)` and `(B, U, V, 2)` stand for, in float64."""
        with torch.autocast(global_offsets.device.type, enabled=False):
            homography = self._homography(global_offsets)
            mesh = self.true_mesh(homography) + local_offsets
        return Prediction(global_offsets, local_offsets, homography, mesh)

    def true_mesh(self, homography: Tensor) -> Tensor:
        """`H^-1(M)` `(B, U, V, 2)`, float64: the mesh that a plane with this homography has."""
        regular = geometry.regular_mesh(*self.config.mesh, self.size, device=homography.device)
        return geometry.transform_points(geometry.invert_homography(homography.double()), regular[None])

    def _homography(self, global_offsets: Tensor) -> Tensor:
        corners = geometry.image_corners(self.size, device=global_offsets.device).expand(len(global_offsets), -1, -1)
        return geometry.homography_from_points(corners, corners + global_offsets)

    def _warp_features(self, features: Tensor, homography: Tensor) -> Tensor:
        """The source's fine features in the frame of the reference. See `Backbone` for where they lie."""
        with torch.autocast(features.device.type, enabled=False):
            scale = torch.full((3,), float(FINE_STRIDE), dtype=homography.dtype, device=homography.device)
            scale[2].fill_(1)
            at_stride = homography * scale / scale[:, None]
            warped, _ = geometry.warp_by_homography(
                features.float(), at_stride, (features.shape[-2], features.shape[-1])
            )
        return warped

    def _pyramid(self, features: Tensor) -> list[Tensor]:
        scales = [features]
        for _ in range(self.config.levels):
            scales.append(F.max_pool2d(scales[-1], 2))
        return scales

    def training_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses of one batch: `loss`, and its unweighted parts `content`, `shape`, `jnd`, `corner` (paper Eq. 13).

        Args:
            batch: `reference` and `source` `(B, 3, S, S)` in [0, 1] at the working size; where known `homography`
                `(B, 3, 3)`, reference to source, NaN in unknown ones, which `config.supervision` uses; where the
                network shall see other colours than the losses, `reference_input` and `source_input`.
        """
        reference, source = batch["reference"], batch["source"]
        config, size = self.config, self.size
        prediction = self.predict(batch.get("reference_input", reference), batch.get("source_input", source))
        parts: dict[str, Tensor] = {}
        with torch.autocast(reference.device.type, enabled=False):
            reference_signed, source_signed = reference.float() * 2 - 1, source.float() * 2 - 1
            positions = losses.mesh_positions(prediction.mesh, size)
            warped = geometry.sample(source_signed, positions)
            mask = geometry.coverage(positions, size)[:, None]
            parts["content"] = losses.content_loss(
                reference_signed, source_signed, warped, mask, prediction.homography, config.homography_content_weight
            )
            parts["shape"] = losses.shape_loss(prediction.mesh.float(), size)
            threshold = jnd_threshold(reference, edge_protection=config.edge_protection)
            parts["jnd"] = losses.jnd_loss(reference_signed, warped, mask, threshold)
            loss = config.content_weight * parts["content"]
            loss = loss + config.shape_weight * parts["shape"] + config.jnd_weight * parts["jnd"]
            if config.supervision and "homography" in batch:
                parts["corner"] = self._supervised_loss(prediction, batch["homography"])
                loss = loss + config.supervision * parts["corner"]
        return {"loss": loss, **parts}

    def _supervised_loss(self, prediction: Prediction, true: Tensor) -> Tensor:
        """Corner and mesh distance from true homographies `(B, 3, 3)`; NaN marks one that is unknown."""
        true = true.double()
        known = true.isfinite().all(dim=(1, 2))
        identity = torch.eye(3, dtype=true.dtype, device=true.device)
        # Replaced before anything is computed from it: NaN times zero would still be NaN in the gradient.
        true = torch.where(known[:, None, None], true, identity)
        corners = geometry.image_corners(self.size, device=true.device)
        true_offsets = geometry.transform_points(true, corners[None]) - corners
        distance = losses.corner_distance(prediction.global_offsets, true_offsets, self.size)
        distance = distance + losses.corner_distance(prediction.mesh, self.true_mesh(true), self.size)
        return ((distance * known).sum() / known.sum().clamp_min(1)).float()

    @torch.inference_mode()
    def align(self, reference: Tensor, sources: Tensor) -> Alignment:
        """See `Aligner.align`. The source is sampled once, at full resolution, through the mesh.

        `homography` is the one that comes closest to the mesh (`mesh_homography`), `flow` follows the mesh itself.
        `confidence` is the correlation of both pictures' luma in the overlap at the working size, 0 where it is
        negative or where less than 5 % overlap. It is a plain measure of likeness, not a probability.

        Extras:
            mesh: M^f `(B, U, V, 2)` in pixels of the reference.
            global_homography: `(B, 3, 3)`, the first stage's, reference to source.
        """
        source = single_source(reference, sources)
        device = self.device
        training = self.training
        self.eval()
        try:
            with torch.autocast(device.type, enabled=False):
                return self._align(reference.to(device), source.to(device))
        finally:
            self.train(training)

    def _align(self, reference: Tensor, source: Tensor) -> Alignment:
        reference_size: geometry.Size = (reference.shape[-2], reference.shape[-1])
        source_size: geometry.Size = (source.shape[-2], source.shape[-1])
        small_reference, small_source = (self._to_working_size(picture) for picture in (reference, source))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_fast_bfloat16(self.device)):
            prediction = self.predict(small_reference, small_source)
        positions = full_resolution_positions(prediction.mesh, self.size, reference_size, source_size)
        mask = (geometry.coverage(positions, source_size) >= losses.OVERLAP).float()[:, None]
        small_positions = losses.mesh_positions(prediction.mesh, self.size)
        confidence = overlap_correlation(
            small_reference,
            geometry.sample(small_source, small_positions),
            geometry.coverage(small_positions, self.size)[:, None] >= losses.OVERLAP,
        )
        planar, first_stage = (
            geometry.rescale_homography(
                homography, size_a=(self.size, reference_size), size_b=(self.size, source_size), rule="area"
            )
            for homography in (mesh_homography(prediction.mesh, self.size), prediction.homography)
        )
        to_full = geometry.resize_transform(self.size, reference_size, "area", device=self.device)
        image = geometry.sample(source, positions) * mask
        grid = geometry.pixel_grid(reference_size, device=self.device)
        return Alignment(
            image=image,
            mask=mask,
            homography=planar.float()[:, None],
            flow=positions.sub_(grid).permute(0, 3, 1, 2)[:, None],
            confidence=confidence,
            extras={
                "mesh": geometry.transform_points(to_full[None], prediction.mesh).float(),
                "global_homography": first_stage.float(),
            },
        )

    def _to_working_size(self, picture: Tensor) -> Tensor:
        if (picture.shape[-2], picture.shape[-1]) == self.size:
            return picture
        return F.interpolate(picture, self.size, mode="bilinear", align_corners=False, antialias=True)
