"""CrossScale: dense cross-scale alignment with fully spatial correlation and JND guidance (arXiv 2511.09028)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import geometry
from ..aligner import Alignment, LearnedAligner, has_fast_bfloat16, single_source
from ..draws import Draws
from ..errors import InputError
from ..jnd import jnd_threshold
from ..transform import warp
from . import losses
from .adaptation import adapt
from .backbone import Backbone
from .comparison import coarse_regression, local_regression
from .confidence import likelihood
from .config import FINE_STRIDE, CrossScaleConfig, CrossScaleInference
from .fsc import transposed, unit_map, vectors_of
from .inference import InferenceCopy
from .matching_head import MatchingHead, Scales
from .resolution import MeshTransform, mesh_homography
from .start import choose_start, classical_start

SURE = 0.7
"""Confidence from which the network's homography needs no second opinion."""


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
    Inference: ClassVar[type] = CrossScaleInference
    min_confidence: ClassVar[float] = 0.5
    """An alignment that is more likely wrong than right is none."""
    config: CrossScaleConfig
    inference: CrossScaleInference

    def __init__(self, config: CrossScaleConfig | None = None, *, initialise: bool = True) -> None:
        super().__init__()
        self.config = config = config or CrossScaleConfig()
        self._copy = InferenceCopy()
        self.size: geometry.Size = (config.working_size, config.working_size)
        self.backbone = Backbone(config)
        if initialise:
            self.backbone.load_weights(config)
        if config.freeze_backbone:
            if initialise and config.backbone_weights is None:
                raise InputError("freeze_backbone needs a trained backbone; set backbone_weights as well")
            self.backbone.requires_grad_(False)
        self.matching = MatchingHead(config, self.backbone) if config.head == "matching" else None
        if self.matching is not None:
            return
        self.coarse = coarse_regression(config)
        self.intra = local_regression(config, 0, 0)
        # One module per ordered pair: their inputs have different numbers of channels, so nothing can be shared.
        self.cross = nn.ModuleDict(
            {
                f"{m}-{n}": local_regression(config, m, n)
                for m in range(config.levels + 1)
                for n in range(config.levels + 1)
                if m != n
            }
        )

    def enable_gradient_checkpointing(self) -> None:
        """Recompute the backbone's activations, the largest by far, in the backward pass."""
        self.backbone.recompute = True

    def shard_units(self) -> list[nn.Module]:
        """See `LearnedAligner.shard_units`."""
        if self.matching is not None:
            return [self.backbone, self.matching.features]
        return [self.backbone, self.coarse, self.intra, *self.cross.values()]

    def validation_inference(self) -> CrossScaleInference:
        """One pass of the network."""
        return CrossScaleInference(start="network", adapt=0)

    def forward(self, reference: Tensor, source: Tensor, start: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Offsets O_g `(B, 4, 2)` and O_l `(B, U, V, 2)`, pixels, of pictures `(B, 3, S, S)` in [0, 1].

        Args:
            reference: the pictures whose frame counts.
            source: the pictures to be aligned.
            start: O_g to go on from, `(B, 4, 2)`; None for the network's own.
        """
        return self._regress(*self.features(reference, source), start)

    def _regress(self, reference: Scales, source: Scales, start: Tensor | None) -> tuple[Tensor, Tensor]:
        """See `forward`."""
        _, fine_reference, coarse_reference = reference
        _, fine_source, coarse_source = source
        global_offsets = self._global(coarse_reference, coarse_source) if start is None else start.float()
        aligned = self._warp_features(fine_source, self._homography(global_offsets))
        scales_reference, scales_source = (
            [self._units(scale) for scale in self._pyramid(fine)] for fine in (fine_reference, aligned)
        )
        local_offsets = self.intra(scales_reference[0], scales_source[0])
        for pair, module in self.cross.items():
            m, n = map(int, pair.split("-"))
            local_offsets = local_offsets + module(scales_reference[m], scales_source[n])
        return global_offsets, local_offsets.unflatten(1, self.config.mesh)

    def _global(self, reference: Tensor, source: Tensor) -> Tensor:
        """O_g `(B, 4, 2)`, float32, of the coarse features."""
        return self.coarse(self._units(reference), self._units(source))

    def _units(self, features: Tensor) -> Tensor:
        return unit_map(features, centred=self.config.centred_correlation)

    def predict(self, reference: Tensor, source: Tensor, start: Tensor | None = None) -> Prediction:
        """Homography and mesh of pictures `(B, 3, S, S)` in [0, 1] at the working size.

        Args:
            reference: the pictures whose frame counts.
            source: the pictures to be aligned.
            start: homography `(B, 3, 3)`, reference to source, to go on from; None for the network's own.
        """
        return self.predict_from(*self.features(reference, source), start)

    def predict_from(self, reference: Scales, source: Scales, start: Tensor | None = None) -> Prediction:
        """Like `predict`, from the pictures' `features`."""
        if self.matching is not None:
            homography, mesh = self.matching(reference, source, start)
            offsets = self._global_offsets(homography), (mesh - self.true_mesh(homography)).float()
            return Prediction(*offsets, homography, mesh)
        begun = None if start is None else self._global_offsets(start)
        return self.assemble(*self._regress(reference, source, begun))

    def features(self, reference: Tensor, source: Tensor) -> tuple[Scales, Scales]:
        """Backbone features of both pictures at strides 4, 8 and 16, with the same normalisation statistics."""
        quarter, fine, coarse = (each.chunk(2) for each in self.backbone(torch.cat([reference, source])))
        return (quarter[0], fine[0], coarse[0]), (quarter[1], fine[1], coarse[1])

    def _global_offsets(self, homography: Tensor) -> Tensor:
        """O_g `(B, 4, 2)`, float32, of homographies `(B, 3, 3)`."""
        corners = geometry.image_corners(self.size, device=homography.device)
        return (geometry.transform_points(homography.double(), corners[None]) - corners).float()

    def assemble(self, global_offsets: Tensor, local_offsets: Tensor) -> Prediction:
        """The geometry that offsets `(B, 4, 2)` and `(B, U, V, 2)` stand for, in float64."""
        with torch.autocast(global_offsets.device.type, enabled=False):
            homography = self._homography(global_offsets)
            mesh = self.true_mesh(homography) + local_offsets
        return Prediction(global_offsets, local_offsets, homography, mesh)

    def true_mesh(self, homography: Tensor, displacement: Tensor | None = None) -> Tensor:
        """`H^-1(M + d(M))` `(B, U, V, 2)`, float64: the mesh that a plane with this homography has.

        Args:
            homography: `(B, 3, 3)`, reference to source.
            displacement: d `(B, 2, S, S)`, pixels: how the source is bent on top of it; None for not at all.
        """
        vertices = geometry.regular_mesh(*self.config.mesh, self.size, device=homography.device)[None]
        if displacement is not None:
            vertices = vertices.expand(len(homography), -1, -1, -1)
            vertices = vertices + geometry.sample(displacement.double(), vertices).permute(0, 2, 3, 1)
        return geometry.transform_points(geometry.invert_homography(homography.double()), vertices)

    def _homography(self, global_offsets: Tensor) -> Tensor:
        corners = geometry.image_corners(self.size, device=global_offsets.device).expand(len(global_offsets), -1, -1)
        return geometry.homography_from_points(corners, corners + global_offsets)

    def _warp_features(self, features: Tensor, homography: Tensor) -> Tensor:
        """The source's fine features in the frame of the reference. See `Backbone` for where they lie."""
        with torch.autocast(features.device.type, enabled=False):
            scale = torch.full((3,), float(FINE_STRIDE), dtype=homography.dtype, device=homography.device)
            scale[2].fill_(1)
            at_stride = homography * scale / scale[:, None]
            grid = (features.shape[-2], features.shape[-1])
            # `transposed` keeps the layout of the features for their gradient; the sampling has another one.
            planes = transposed(vectors_of(features).float()).unflatten(2, grid)
            warped, _ = geometry.warp_by_homography(planes, at_stride, grid)
        return warped

    def _pyramid(self, features: Tensor) -> list[Tensor]:
        scales = [features]
        for _ in range(self.config.levels):
            scales.append(F.max_pool2d(scales[-1], 2))
        return scales

    def training_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses of one batch: `loss`, and its unweighted parts `content`, `shape`, `jnd`, `corner` (paper Eq. 13).

        With the head 'matching' the parts are those of `matching.matching_losses`.

        Args:
            batch: `reference` and `source` `(B, 3, S, S)` in [0, 1] at the working size; where known `homography`
                `(B, 3, 3)`, reference to source, NaN in unknown ones, which `config.supervision` uses; where the
                network shall see other colours than the losses, `reference_input` and `source_input`.
        """
        reference, source = batch["reference"], batch["source"]
        config, size = self.config, self.size
        inputs = batch.get("reference_input", reference), batch.get("source_input", source)
        if self.matching is not None:
            matching = self.matching.losses(*self.features(*inputs), batch["homography"])
            return {"loss": torch.stack(list(matching.values())).sum(), **matching}
        reference_scales, source_scales = self.features(*inputs)
        own = None
        if config.guided is not None and "homography" in batch:
            own = self._global(reference_scales[2], source_scales[2])
            start = self._guide(own, batch["homography"], config.guided, Draws(batch))
            prediction = self.assemble(*self._regress(reference_scales, source_scales, start))
        else:
            prediction = self.predict_from(reference_scales, source_scales)
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
                said = prediction.global_offsets if own is None else own
                parts["corner"] = self._supervised_loss(
                    said, prediction.mesh, batch["homography"], batch.get("displacement")
                )
                loss = loss + config.supervision * parts["corner"]
        return {"loss": loss, **parts}

    def _guide(self, own: Tensor, true: Tensor, noise: float, draws: Draws) -> Tensor:
        """O_g `(B, 4, 2)` of the true homographies `(B, 3, 3)`, with noise; the network's own where they are NaN."""
        known = true.isfinite().all(dim=(1, 2))
        identity = torch.eye(3, dtype=true.dtype, device=true.device)
        offsets = self._global_offsets(torch.where(known[:, None, None], true, identity))
        offsets = offsets + draws.normal(4, 2, dtype=offsets.dtype) * (noise / 1000 * self.config.working_size)
        return torch.where(known[:, None, None], offsets, own.detach().float())

    def _supervised_loss(
        self, global_offsets: Tensor, mesh: Tensor, true: Tensor, displacement: Tensor | None
    ) -> Tensor:
        """Corner and mesh distance from true homographies `(B, 3, 3)`; NaN marks one that is unknown.

        With a displacement `(B, 2, S, S)` the source pixel q shows what the homography leads to at q + d(q).
        """
        true = true.double()
        known = true.isfinite().all(dim=(1, 2))
        identity = torch.eye(3, dtype=true.dtype, device=true.device)
        # Replaced before anything is computed from it: NaN times zero would still be NaN in the gradient.
        true = torch.where(known[:, None, None], true, identity)
        corners = geometry.image_corners(self.size, device=true.device)
        true_offsets = geometry.transform_points(true, corners[None]) - corners
        distance = losses.corner_distance(global_offsets.float(), true_offsets, self.size)
        distance = distance + losses.corner_distance(mesh, self.true_mesh(true, displacement), self.size)
        return ((distance * known).sum() / known.sum().clamp_min(1)).float()

    @torch.inference_mode()
    def align(self, reference: Tensor, sources: Tensor) -> Alignment:
        """See `Aligner.align`. The source is sampled once, at full resolution, through the mesh.

        `homography` is the one that comes closest to the mesh (`mesh_homography`), `flow` follows the mesh itself.
        `inference` says where the mesh starts from and how long it is adapted to the pair; the adaptation's
        displacement is in `flow` and `transform`, not in `homography` and `mesh`. `confidence` is a probability
        (`confidence.likelihood`), told before the adaptation.

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
        prediction = self._started(small_reference, small_source)
        # Before the adaptation: what bends pictures until they correlate leaves nothing for correlation to tell.
        positions = losses.mesh_positions(prediction.mesh, self.size)
        confidence = likelihood(small_reference, small_source, positions)
        control = None
        if self.inference.adapt:
            control = adapt(small_reference, small_source, positions, self.inference.adapt).control
        transform = MeshTransform(prediction.mesh, self.size, reference_size, source_size, control)
        warped = warp(source, transform, reference_size)
        planar, first_stage = (
            geometry.rescale_homography(
                homography, size_a=(self.size, reference_size), size_b=(self.size, source_size), rule="area"
            )
            for homography in (mesh_homography(prediction.mesh, self.size), prediction.homography)
        )
        to_full = geometry.resize_transform(self.size, reference_size, "area", device=self.device)
        return Alignment(
            image=warped.image,
            mask=warped.mask,
            homography=planar.float()[:, None],
            flow=warped.flow[:, None],
            confidence=confidence,
            extras={
                "mesh": geometry.transform_points(to_full[None], prediction.mesh).float(),
                "global_homography": first_stage.float(),
            },
            transform=transform,
        )

    def _started(self, reference: Tensor, source: Tensor) -> Prediction:
        """The prediction for pictures at the working size, from the start that `inference` names."""
        bfloat16 = has_fast_bfloat16(self.device)
        network = self._copy.of(self, torch.bfloat16 if bfloat16 else torch.float32)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
            features = network.features(reference, source)
            prediction = network.predict_from(*features)
        start = self.inference.start
        if start == "network" or (start == "auto" and self._is_sure(reference, source, prediction)):
            return prediction
        classical, confidence = classical_start(reference, source)
        if start == "auto":
            chosen, taken = choose_start(reference, source, prediction.homography, classical, confidence)
        else:
            taken = confidence > 0
            chosen = torch.where(taken[:, None, None], classical, prediction.homography)
        if not bool(taken.any()):
            return prediction
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
            return network.predict_from(*features, chosen)

    def _is_sure(self, reference: Tensor, source: Tensor, prediction: Prediction) -> bool:
        """Whether the network's own alignments need no second opinion."""
        positions = losses.mesh_positions(prediction.mesh, self.size)
        return bool((likelihood(reference, source, positions) >= SURE).all())

    def _to_working_size(self, picture: Tensor) -> Tensor:
        if (picture.shape[-2], picture.shape[-1]) == self.size:
            return picture
        return F.interpolate(picture, self.size, mode="bilinear", align_corners=False, antialias=True)
