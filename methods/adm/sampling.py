"""Active sampling: the two chains run down together, the homography's guided by the pictures (paper, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import Generator, Tensor

from .. import geometry
from .chain import Chain
from .config import MOST_DEVIATIONS
from .losses import windowed_ncc
from .parameters import to_homography
from .refinement import refined
from .spatial_transformer import composed, spatial_transform
from .student import clean_of_student

if TYPE_CHECKING:
    from .network import Adm

LEAST_AREA, MOST_AREA = 1e-3, 1e3
"""A homography that makes the frame smaller or larger than this has diverged (ours)."""
LEAST_OVERLAP = 0.01
"""Share of the frame from which the correlation of the pictures says anything (ours)."""


@dataclass
class Estimate:
    """What chains found out, each by itself.

    Attributes:
        homography: `(C, 3, 3)`, float64, pixels of the working size, reference to source.
        field: D `(C, 2, S, S)`, pixels of the reference; None where none was sampled.
        correlation: `(C,)` in [0, 1], of the vessel maps where both are seen; 0 where they hardly overlap.
        restarts: `(C,)`, how often a chain was taken back because its homography had diverged.
        steps: calls of the homography's score network, over all iterations.
    """

    homography: Tensor
    field: Tensor | None
    correlation: Tensor
    restarts: Tensor
    steps: int


def run_chains(
    model: Adm, reference: Tensor, source: Tensor, seeds: list[int], start: Tensor | None = None
) -> Estimate:
    """Sample a homography and a field for each pair.

    Args:
        model: in evaluation mode; its `inference` says how.
        reference: `(C, 3, S, S)` in [0, 1] at the working size, one row for each chain.
        source: likewise.
        seeds: one for each chain.
        start: `(C, 3, 3)`, homographies that bring the source over before the first iteration, which counts as taken
            back where it finds nothing better; NaN where a chain sees the source as it is. None for all.
    """
    side = model.config.working_size
    homography = torch.eye(3, dtype=torch.float64, device=reference.device).expand(len(reference), 3, 3)
    field: Tensor | None = None
    restarts = torch.zeros(len(reference), dtype=torch.long, device=reference.device)
    generators = [Generator().manual_seed(seed) for seed in seeds]
    fixed, steps = model.vessel_maps(reference), 0
    best: Estimate | None = None
    if start is not None:
        started = start.isfinite().all(dim=(1, 2))
        homography = torch.where(started[:, None, None], start, homography)
        field = (
            torch.zeros(len(reference), 2, side, side, device=reference.device)
            if model.inference.displacement_steps
            else None
        )
        reached = torch.where(started, map_correlation(model, source, fixed, homography, field), -1.0)
        best = _refined(model, source, fixed, Estimate(homography, field, reached, restarts, steps))
        homography, field = best.homography, best.field
    for _ in range(model.inference.iterations):
        brought, _ = spatial_transform(source, homography, field, (side, side))
        turn = _Turn(model, reference, brought, fixed, generators)
        found, bend = turn.run()
        homography, field = composed(homography, field, found, bend, (side, side))
        restarts, steps = restarts + turn.restarts, steps + turn.steps
        correlation = map_correlation(model, source, fixed, homography, field)
        now = _refined(model, source, fixed, Estimate(homography, field, correlation, restarts, steps))
        best = now if best is None else _better(best, now)
        # An iteration that made things worse is taken back (ours); the next one then starts from what was better.
        homography, field = best.homography, best.field
    assert best is not None
    return best


def map_correlation(model: Adm, source: Tensor, fixed: Tensor, homography: Tensor, field: Tensor | None) -> Tensor:
    """Correlation `(C,)` in [0, 1] of vessel maps once the source is brought over; 0 where they hardly overlap.

    Args:
        model: whose maps they are.
        source: `(C, 3, S, S)`.
        fixed: maps of the references, `(C, 1, S, S)`.
        homography: `(C, 3, 3)`, pixels, reference to source.
        field: `(C, 2, S, S)`; None for none.
    """
    brought, covered = spatial_transform(source, homography, field, (fixed.shape[-2], fixed.shape[-1]))
    correlation = windowed_ncc(model.vessel_maps(brought), fixed, covered)
    return torch.where(covered.mean((1, 2, 3)) >= LEAST_OVERLAP, correlation, 0.0)


def _refined(model: Adm, source: Tensor, fixed: Tensor, now: Estimate) -> Estimate:
    """What refinement makes better; what it makes worse, and what counts as taken back, stays as it is."""
    if not model.inference.refinement:
        return now
    moving = model.vessel_maps(source)
    homography = refined(moving, fixed, now.homography, now.field, model.inference.refinement)
    correlation = map_correlation(model, source, fixed, homography, now.field)
    correlation = torch.where(now.correlation >= 0, correlation, now.correlation)
    return _better(now, replace(now, homography=homography, correlation=correlation))


def _better(before: Estimate, now: Estimate) -> Estimate:
    improved = now.correlation >= before.correlation
    field = None
    if now.field is not None and before.field is not None:
        field = torch.where(improved[:, None, None, None], now.field, before.field)
    return Estimate(
        torch.where(improved[:, None, None], now.homography, before.homography),
        field,
        torch.where(improved, now.correlation, before.correlation),
        now.restarts,
        now.steps,
    )


class _Turn:
    """One iteration: both chains from noise to their ends.

    Args:
        model: see `run_chains`.
        reference: `(C, 3, S, S)`.
        source: `(C, 3, S, S)`, as it was brought over so far.
        fixed: vessel maps of the reference `(C, 1, S, S)`.
        generators: of the chains' noise, one for each.
    """

    def __init__(
        self, model: Adm, reference: Tensor, source: Tensor, fixed: Tensor, generators: list[Generator]
    ) -> None:
        self.model, self.inference, self.generators = model, model.inference, generators
        self.size: geometry.Size = (reference.shape[-2], reference.shape[-1])
        self.device, self.fixed = reference.device, fixed
        self.moving = model.vessel_maps(source)
        self.of_reference, self.of_source = model.encoder(reference), model.encoder(source)
        full = model.homography_chain
        self.chain = full.thinned(min(self.inference.steps, len(full)))
        self.solver = _dpm(full, self.chain) if self.inference.solver == "dpm" else None
        self.restarts = torch.zeros(len(reference), dtype=torch.long, device=self.device)
        self.steps = 0
        # The field in units in which its chain ends in unit noise.
        self.unit = self.size[0] / 32
        self.state = self._noise(2, *self.size)
        self.bend: Tensor | None = None

    def _noise(self, *shape: int) -> Tensor:
        drawn = [torch.randn(shape, generator=own) for own in self.generators]
        return torch.stack(drawn).to(self.device)

    def run(self) -> tuple[Tensor, Tensor | None]:
        """Homographies `(C, 3, 3)`, float64, pixels, and fields `(C, 2, S, S)` of the reference to this source."""
        values, clean = self._noise(8), None
        share = iter(self._share_of_field_steps())
        for place in reversed(range(len(self.chain))):
            before = clean
            clean = self._clean(values, place)
            clean, values = self._restarted(clean, values, place)
            moved = self._stepped(values, clean, place)
            self._bend(clean, next(share))
            values = self._guided(moved, place) if place > 0 else moved
            self.steps += 1
            if before is not None and place > 0 and self._settled(before, clean):
                values = clean
                self._bend(clean, [step for rest in share for step in rest])
                break
        return self._homography(values), self.bend

    def _levels(self, place: int) -> Tensor:
        return torch.full((len(self.fixed),), place, dtype=torch.long, device=self.device)

    def _clean(self, values: Tensor, place: int) -> Tensor:
        """The clean parameters that the score network, or the student, sees behind noisy ones, `(C, 8)`."""
        levels = self._levels(place)
        timesteps = self.chain.timesteps.to(self.device)[levels]
        if self.inference.solver == "student":
            student = self.model.student
            assert student is not None
            said = clean_of_student(
                lambda noisy, at: student(self.of_source, self.of_reference, noisy, at),
                values,
                timesteps,
                self.model.homography_chain,
            )
            return said.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS)
        said = self.model.score(self.of_source, self.of_reference, values, timesteps).float()
        return self.chain.clean_of(said, values, levels).clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS)

    def _restarted(self, clean: Tensor, values: Tensor, place: int) -> tuple[Tensor, Tensor]:
        """Chains whose homography has diverged go on from no motion at the same level of noise (ours)."""
        corners = geometry.image_corners(self.size, device=self.device).expand(len(clean), 4, 2)
        a, b, c, d = geometry.transform_points(self._homography(clean), corners).unbind(1)
        across, down = d - a, c - b
        area = (across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]) / 2
        whole = (self.size[0] - 1) * (self.size[1] - 1)
        # The diagonals of a frame that is not mirrored or folded span a positive area.
        spanned = area / whole
        lost = ~((spanned > LEAST_AREA) & (spanned < MOST_AREA))
        self.restarts += lost
        still = torch.where(lost[:, None], torch.zeros_like(clean), clean)
        again = self.chain.add_noise(still, self._noise(8), self._levels(place)) if bool(lost.any()) else values
        return still, torch.where(lost[:, None], again, values)

    def _stepped(self, values: Tensor, clean: Tensor, place: int) -> Tensor:
        """One step towards the clean end."""
        levels = self._levels(place)
        if self.solver is not None:
            timestep = int(self.chain.timesteps[place])
            stepped: Tensor = self.solver.step(clean, timestep, values, return_dict=False)[0]
            return stepped
        if self.inference.solver == "student":
            # Multistep consistency sampling (Song et al. 2023, Algorithm 1): new noise on the clean answer.
            return clean if place == 0 else self.chain.add_noise(clean, self._noise(8), self._levels(place - 1))
        if self.inference.solver == "ddim":
            return self.chain.ddim_step(values, clean, levels)
        score = self.chain.score_of_clean(clean, values, levels)
        return self.chain.reverse_step(values, score, levels, self._noise(8))

    def _guided(self, values: Tensor, place: int) -> Tensor:
        """The parameters moved along the gradient of the maps' correlation (Eq. 15); the field is not moved by it."""
        if not self.inference.guidance:
            return values
        with torch.enable_grad():
            free = values.detach().requires_grad_(True)
            brought, covered = spatial_transform(self.moving, self._homography(free), self.bend, self.size)
            (gradient,) = torch.autograd.grad(-windowed_ncc(brought, self.fixed, covered.detach()).sum(), free)
        length = gradient.norm(dim=1, keepdim=True)
        direction = torch.where(length > 1e-12, gradient / length.clamp_min(1e-12), torch.zeros_like(gradient))
        # Of unit length and as large as the noise of the step, because the paper's weight is lost (our choice).
        reach = self.inference.guidance * float(self.chain.betas[place]) ** 0.5
        return values - reach * torch.nan_to_num(direction)

    def _settled(self, before: Tensor, clean: Tensor) -> bool:
        """Whether no chain's corners still move by more than `inference.settle` of the side."""
        if not self.inference.settle:
            return False
        corners = geometry.image_corners(self.size, device=self.device).expand(len(clean), 4, 2)
        ends = [geometry.transform_points(self._homography(each), corners) for each in (before, clean)]
        return bool(((ends[1] - ends[0]).norm(dim=-1).amax() < self.inference.settle * self.size[0]).item())

    def _homography(self, values: Tensor) -> Tensor:
        return to_homography(self.model.unscaled(values), self.size, self.size)

    def _share_of_field_steps(self) -> Iterator[list[int]]:
        """For each step of the homography, noisiest first, the levels of the field's chain that are done beside it."""
        count = min(self.inference.displacement_steps, len(self.model.displacement_chain))
        self.field_chain = self.model.displacement_chain.thinned(max(count, 1))
        steps = len(self.chain)
        for number in range(steps):
            yield [count - 1 - each for each in range(number * count // steps, (number + 1) * count // steps)]

    def _bend(self, clean: Tensor, places: list[int]) -> None:
        """Steps of the field's chain, on the source as the homography's clean estimate brings it over."""
        if not places:
            return
        brought, _ = spatial_transform(self.moving, self._homography(clean), None, self.size)
        chain = self.field_chain
        for place in places:
            levels = self._levels(place)
            noisy = chain.add_noise(self.fixed, self._noise(1, *self.size), levels)
            timesteps = chain.timesteps.to(self.device)[levels]
            said = self.model.displacement(brought, self.fixed, noisy, timesteps).field.float() / self.unit
            if self.inference.solver == "ancestral":
                score = chain.score_of_clean(said, self.state, levels)
                self.state = chain.reverse_step(self.state, score, levels, self._noise(2, *self.size))
            else:
                self.state = chain.ddim_step(self.state, said, levels)
            # What the state holds is noise but for the end; guidance and the maps need the field itself.
            self.bend = (self.state if place == 0 else said) * self.unit


def _dpm(full: Chain, kept: Chain) -> DPMSolverMultistepScheduler:
    """DPM-Solver++ of second order along the levels that are kept; told the clean parameters."""
    scheduler = DPMSolverMultistepScheduler(
        num_train_timesteps=len(full),
        trained_betas=full.betas.tolist(),
        prediction_type="sample",
        solver_order=2,
        final_sigmas_type="zero",
    )
    scheduler.set_timesteps(timesteps=kept.timesteps.flip(0).tolist())
    return scheduler
