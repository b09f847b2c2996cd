"""Adm: retinal photographs registered by two coupled score-based models, a homography and a field."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from .. import geometry
from ..aligner import Alignment, LearnedAligner, Stage, single_source
from ..draws import Draws
from ..errors import InputError
from .answer import align_pairs
from .chain import Chain
from .config import EARLY, LATE, MOST_DEVIATIONS, STUDENT, VESSELS, AdmConfig, AdmInference
from .displacement import DisplacementScore
from .encoder import build_encoder
from .homography_score import HomographyScore
from .losses import falling, grid_points, p_norm_distance, rising, smoothness, windowed_ncc
from .parameters import to_homography, to_matrix, to_parameters
from .spatial_transformer import spatial_transform
from .student import student_losses
from .vessel_filter import vessel_map
from .vessel_network import VesselNetwork, vessel_loss

POINTS = 32
"""Points along each side at which homographies are compared (N = 1024; lost, our choice)."""

LEFT_OVER = 0.08
"""Share of the side by which an earlier iteration may have missed a corner, see `AdmConfig.iterated_share` (ours)."""


class Adm(LearnedAligner):
    """Active Diffusion Matching (arXiv 2604.10084).

    The reference is the destination, the source is brought into its frame: by a homography, whose eight parameters are
    drawn by a chain of 100 levels, and a field, drawn by a chain of 500; the correlation of the two vessel maps guides
    the homography.

    Args:
        config: hyperparameters; None for the defaults.
        initialise: take over `config.encoder_weights`; False when all weights come from a checkpoint.

    Raises:
        InputError: the encoder is unknown, or its weights cannot be read.
    """

    name: ClassVar[str] = "adm"
    batch_kind: ClassVar = "pair"
    Config: ClassVar[type] = AdmConfig
    Inference: ClassVar[type] = AdmInference
    min_confidence: ClassVar[float] = 0.5
    """Confidence up to which an answer counts as none: it is more likely wrong than right."""
    config: AdmConfig
    inference: AdmInference

    def __init__(self, config: AdmConfig | None = None, *, initialise: bool = True) -> None:
        super().__init__()
        self.config = config = config or AdmConfig()
        self.encoder = build_encoder(config, initialise=initialise)
        self.score = HomographyScore(config, self.encoder.features)
        self.displacement = DisplacementScore(config)
        self.vessels = VesselNetwork(config.vessel_channels) if config.vessels == "learned" else None
        self.student: HomographyScore | None = None
        if config.student_share > 0:
            # Dropout would part the two ends of a step, which shall have one answer.
            self.student = HomographyScore(replace(config, dropout=0.0), self.encoder.features)
        self._stage = LATE

    @property
    def homography_chain(self) -> Chain:
        """Noise levels of the parameters. Made anew: a model without storage is built for checkpoints."""
        return Chain.linear(self.config.homography_steps, *self.config.homography_betas)

    @property
    def displacement_chain(self) -> Chain:
        """Noise levels of the field."""
        return Chain.linear(self.config.displacement_steps, *self.config.displacement_betas)

    @classmethod
    def batch_fields(cls, config: AdmConfig) -> tuple[str, ...]:
        """See `LearnedAligner.batch_fields`."""
        return ("best_homography", "vessels") if config.vessels == "learned" else ("best_homography",)

    def validation_inference(self) -> AdmInference:
        """Few steps of one chain without guidance: what the weights know. In its stage the student draws."""
        solver, steps = ("student", 4) if self._stage == STUDENT else ("ddim", 8)
        return AdmInference(
            solver=solver,  # type: ignore[arg-type]
            steps=steps,
            displacement_steps=2,
            iterations=1,
            guidance=0.0,
            chains=1,
        )

    def training_stages(self) -> tuple[Stage, ...]:
        """The vessel network if there is one, then both paths together, the field held back in the first of their
        epochs, then the student if there shall be one."""
        first = self.config.vessel_share if self.vessels is not None else 0.0
        early, late = self.config.displacement_weight
        last = self.config.student_share
        both = 1 - first - last
        held_back = both * self.config.early_share if early != late else 0.0
        paths = (Stage(EARLY, held_back), Stage(LATE, both - held_back))
        stages = (Stage(VESSELS, first), *paths, Stage(STUDENT, last))
        return tuple(stage for stage in stages if stage.share > 0)

    def enter_stage(self, stage: str) -> None:
        """See `LearnedAligner.enter_stage`; the student starts as what the score network has become."""
        self._stage = stage
        for module in (self.encoder, self.score):
            module.requires_grad_(stage not in (VESSELS, STUDENT))
        self.displacement.requires_grad_(stage not in (VESSELS, STUDENT) and not self._field_waits)
        if self.vessels is not None:
            self.vessels.requires_grad_(stage == VESSELS)
        if self.student is not None:
            self.student.requires_grad_(stage == STUDENT)
            if stage == STUDENT:
                self.student.load_state_dict(self.score.state_dict())

    @property
    def _field_waits(self) -> bool:
        return self._stage == EARLY and self.config.displacement_weight[0] == 0

    def enable_gradient_checkpointing(self) -> None:
        """See `LearnedAligner.enable_gradient_checkpointing`."""
        self.encoder.enable_gradient_checkpointing()
        self.displacement.enable_gradient_checkpointing()

    def shard_units(self) -> list[nn.Module]:
        """See `LearnedAligner.shard_units`."""
        units = [*self.encoder.shard_units(), *self.score.shard_units(), *self.displacement.shard_units()]
        units += [] if self.student is None else self.student.shard_units()
        return units if self.vessels is None else [*units, self.vessels]

    def unscaled(self, values: Tensor) -> Tensor:
        """Parameters `(B, 8)` of values in units of the training data's deviations."""
        return values * values.new_tensor(self.config.homography_scale)

    def _scaled(self, parameters: Tensor) -> Tensor:
        """The inverse of `unscaled`, float32."""
        return (parameters / parameters.new_tensor(self.config.homography_scale)).float()

    def vessel_maps(self, pictures: Tensor) -> Tensor:
        """E_D: where vessels are, `(B, 1, S, S)`, float32 in [0, 1], of pictures `(B, 3, S, S)`; it has no gradient."""
        with torch.no_grad():
            if self.vessels is None:
                return vessel_map(pictures)
            return self.vessels(pictures).float().sigmoid()

    def training_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The losses of the stage: of the vessel network, of both paths (Eq. 5), or of the student.

        `homography` and `displacement` are the squared errors of the noise that the two paths say (or of the clean
        parameters, by `AdmConfig.prediction`), `pixel` and
        `regularisation` the sums of Eqs. 13 and 14; `loss` is their weighted sum. Pairs whose homography is not known
        count for nothing but the field.

        Args:
            batch: `reference` and `source` `(B, 3, S, S)` in [0, 1], `homography (B, 3, 3)`, NaN where unknown; where
                the network shall see other colours, `reference_input` and `source_input`; for the vessel network
                `vessels (B, 2, S, S)` in [0, 1], of the reference and of the source, NaN where unknown.
        """
        reference, source = (batch.get(f"{name}_input", batch[name]) for name in ("reference", "source"))
        if self._stage == VESSELS:
            assert self.vessels is not None
            said = self.vessels(torch.cat([reference, source]))
            loss = vessel_loss(said, torch.cat(batch["vessels"].split(1, dim=1))).mean()
            return {"loss": loss, "vessels": loss}
        size, true = (reference.shape[-2], reference.shape[-1]), batch["homography"]
        known = true.isfinite().all(dim=(1, 2))
        # Replaced before anything is computed from it: NaN times zero would still be NaN in the gradient.
        identity = torch.eye(3, dtype=torch.float64, device=true.device)
        true, draws = torch.where(known[:, None, None], true.double(), identity), Draws(batch)
        if self.config.iterated_share:
            source, true = self._iterated(source, true, known, draws)
        parameters = to_parameters(true, size, size)
        if self._stage == STUDENT:
            parts = self._student_losses(reference, source, parameters, draws)
            consistency, truth = ((part * known).mean() for part in parts)
            return {"loss": consistency + truth, "consistency": consistency, "truth": truth}
        return self._matching_losses(reference, source, parameters, known, draws)

    def _iterated(self, source: Tensor, true: Tensor, known: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Sources `(B, 3, S, S)`, some brought over by nearly the true homography, and what then is left of it."""
        size = (source.shape[-2], source.shape[-1])
        chosen = (draws.uniform() < self.config.iterated_share) & known
        corners = geometry.image_corners(size, device=source.device).expand(len(source), 4, 2)
        reach = LEFT_OVER * max(size) * draws.uniform(1, 1, dtype=torch.float64)
        left = geometry.homography_from_points(corners, corners + reach * (2 * draws.uniform(4, 2) - 1))
        brought, _ = spatial_transform(source, true @ geometry.invert_homography(left), None, size)
        of_all = chosen[:, None, None]
        return torch.where(of_all[..., None], brought, source), torch.where(of_all, left, true)

    def _student_losses(
        self, reference: Tensor, source: Tensor, parameters: Tensor, draws: Draws
    ) -> tuple[Tensor, Tensor]:
        assert self.student is not None
        # The teacher says the same to the same.
        self.score.eval()
        with torch.no_grad():
            seen = self.encoder(source), self.encoder(reference)
        student, clean = self.student, self._scaled(parameters)
        return student_losses(
            lambda noisy, levels: student(*seen, noisy, levels),
            lambda noisy, levels: self.score(*seen, noisy, levels),
            clean,
            self.homography_chain,
            draws,
        )

    def _matching_losses(
        self, reference: Tensor, source: Tensor, parameters: Tensor, known: Tensor, draws: Draws
    ) -> dict[str, Tensor]:
        config, chain = self.config, self.homography_chain
        levels, noise = draws.integers(0, len(chain)), draws.normal(8)
        clean = self._scaled(parameters)
        noisy = chain.add_noise(clean, noise, levels)
        said = self.score(self.encoder(source), self.encoder(reference), noisy, levels).float()
        told_clean = chain.clean_of(said, noisy, levels)
        found = self.unscaled(told_clean.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS))
        field = None if self._field_waits else self._field(reference, source, found, draws)
        with torch.autocast(reference.device.type, enabled=False):
            points = grid_points(POINTS, None).to(parameters.device)
            matrix, none = to_matrix(found.double()), to_matrix(torch.zeros_like(parameters))
            weights = levels + 1.0, len(chain)
            grows = rising(*weights) if config.pixel_schedule else torch.ones_like(weights[0])
            falls = falling(*weights) if config.regularisation_schedule else torch.ones_like(weights[0])
            off = p_norm_distance(to_matrix(parameters), matrix, points, config.norm).float()
            far = p_norm_distance(none, matrix, points, config.norm).float()
            wrong = said - noise if config.prediction == "noise" else told_clean - clean
            parts = {
                "homography": wrong.square().mean(1) * known,
                "pixel": grows * off * known,
                "regularisation": falls * far,
            }
            loss = parts["homography"]
            if field is not None:
                told, field_said, field_noise, maps = field
                parts["displacement"] = (told.float() - field_noise).square().mean((1, 2, 3))
                parts["pixel"] = parts["pixel"] - self._correlation(maps, found, field_said)
                parts["regularisation"] = parts["regularisation"] + smoothness(field_said)
                loss = loss + config.displacement_weight[0 if self._stage == EARLY else 1] * parts["displacement"]
            loss = loss + config.pixel_weight * parts["pixel"] + config.regularisation_weight * parts["regularisation"]
        return {"loss": loss.mean(), **{name: part.mean() for name, part in parts.items()}}

    def _field(
        self, reference: Tensor, source: Tensor, found: Tensor, draws: Draws
    ) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]:
        """What the field's path says: noise, field `(B, 2, S, S)`; the true noise; the maps of source and reference.

        The source's map is made once and brought over by the estimated homography, instead of being made from the
        source that was brought over: so a gradient reaches the homography (our choice).
        """
        size = (reference.shape[-2], reference.shape[-1])
        maps = self.vessel_maps(source), self.vessel_maps(reference)
        chain = self.displacement_chain
        levels, noise = draws.integers(0, len(chain)), draws.normal(1, *size)
        brought, _ = spatial_transform(maps[0], to_homography(found.double(), size, size), None, size)
        noisy = chain.add_noise(maps[1], noise, levels)
        said = self.displacement(brought, maps[1], noisy, levels)
        return said.noise, said.field.float(), noise, maps

    def _correlation(self, maps: tuple[Tensor, Tensor], found: Tensor, field: Tensor) -> Tensor:
        """NCC of the aligned map and the reference's, `(B,)` (Eq. 12)."""
        size = (field.shape[-2], field.shape[-1])
        homography = to_homography(found.double(), size, size)
        aligned, covered = spatial_transform(maps[0], homography, field, size)
        return windowed_ncc(aligned, maps[1], covered.detach())

    def align(self, reference: Tensor, sources: Tensor) -> Alignment:
        """See `Aligner.align`. Estimated at the working size, applied to the original pixels.

        `confidence` says how likely the answer is right, by how far the vessel maps correlate.

        Extras:
            correlation: `(B,)` in [0, 1], of the vessel maps after the alignment, where both are seen.
            agreement: `(B,)` in [0, 1], of the chains; 1 where there is one.
            restarts: `(B,)`, float32, how often chains were taken back because they had diverged.

        Raises:
            InputError: the tensors are not references `(B, 3, H, W)` with one source `(B, 1, 3, h, w)` each, of float32
                in [0, 1]; or there is no student to align with.
        """
        source = single_source(reference, sources)
        if self.inference.solver == "student" and self.student is None:
            raise InputError(
                "this model has no student; train it with --model.student-share, or take the solver ddim or dpm"
            )
        training = self.training
        self.eval()
        try:
            # The guidance needs gradients, for which tensors of somebody's inference mode are no good.
            with torch.inference_mode(mode=False), torch.no_grad():
                return align_pairs(self, reference.clone().to(self.device), source.clone().to(self.device))
        finally:
            self.train(training)
