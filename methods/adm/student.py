"""A student of the homography's score network, from any noise level to the clean end in one step (ours).

Consistency distillation (Song et al. 2023, arXiv 2303.01469). The field needs no student: its network tells the clean
field at each level anyway.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..dmaligner.student import boundary_scales, pseudo_huber
from ..draws import Draws
from .chain import Chain
from .config import MOST_DEVIATIONS

Score = Callable[[Tensor, Tensor], Tensor]
"""A score network with its pictures: `(B, 8)` noisy parameters and `(B,)` levels of the training to `(B, 8)` noise."""


def clean_of_student(student: Score, noisy: Tensor, levels: Tensor, chain: Chain) -> Tensor:
    """What the student takes for the clean parameters, `(B, 8)`.

    Args:
        student: with its pictures.
        noisy: `(B, 8)`, divided by `AdmConfig.homography_scale`.
        levels: `(B,)`, long, of the training's chain; -1 is the clean end, where the answer is `noisy` itself.
        chain: the training's, with all its levels.
    """
    skip, out = (scale.flatten(1) for scale in boundary_scales(levels))
    # At the clean end the answer counts nothing, but the network knows no level -1.
    known = levels.clamp_min(0)
    clean = chain.clean_of(student(noisy, known).float(), noisy, known)
    return skip * noisy + out * clean.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS)


def student_losses(student: Score, teacher: Score, clean: Tensor, chain: Chain, draws: Draws) -> tuple[Tensor, Tensor]:
    """How far the student's answers at both ends of one DDIM step of the teacher differ, and how far from the truth.

    The answer at the less noisy end is the target and has no gradient. The distance to the truth keeps all answers from
    becoming the same, see `dmaligner.student.student_losses`.

    Args:
        student: with its pictures.
        teacher: likewise; called without gradient.
        clean: true parameters `(B, 8)`, divided by `AdmConfig.homography_scale`.
        chain: the training's.
        draws: gives each sample its level and its noise.

    Returns:
        `consistency` and `truth`, each `(B,)`, float32, the mean pseudo-Huber distance.
    """
    levels = draws.integers(0, len(chain))
    noisy = chain.add_noise(clean, draws.normal(clean.shape[1]), levels)
    with torch.no_grad():
        said = chain.clean_of(teacher(noisy, levels).float(), noisy, levels)
        stepped = chain.ddim_step(noisy, said.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS), levels)
        target = clean_of_student(student, stepped, levels - 1, chain)
    found = clean_of_student(student, noisy, levels, chain)
    return pseudo_huber(found - target), pseudo_huber(found - clean)
