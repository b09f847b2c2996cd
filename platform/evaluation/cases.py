"""What is measured: one thing to align, with what is known of the right answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from .results import Task
from .transforms import flow_inside, homography_flow


@dataclass(frozen=True)
class CaseTruth:
    """The right answer; None where the dataset does not tell.

    Attributes:
        picture: `(3, H, W)` in [0, 1], what the aligned picture should be. For a pair the content of the source from
            the view of the reference, in the source's light; for a set the undisturbed picture. Where a dataset has
            none, pairs are compared with the reference itself, as the UDIS protocol does.
        homography: `(3, 3)`, float64, reference pixels to source pixels; of a set `(N, 3, 3)`, to those of each
            source.
        flow: `(2, H, W)`, float32, pixels, reference to source; NaN where unknown.
        occlusion: bool `(H, W)`, true where the pixel's point is hidden in the source; where the dataset tells what of
            the true picture the source does not show, that.
        dynamic: bool `(H, W)`, true where something moves by itself.
        points: `(K, 4)`, float64, rows x_reference y_reference x_source y_source.
        masks: bool `(N + 1, H, W)`, of a task `aligned`: where the reference and each source are known.
    """

    picture: Tensor | None = None
    homography: Tensor | None = None
    flow: Tensor | None = None
    occlusion: Tensor | None = None
    dynamic: Tensor | None = None
    points: Tensor | None = None
    masks: Tensor | None = None


@dataclass(frozen=True)
class Case:
    """One thing to align.

    Attributes:
        key: unique in its dataset and task, for example `000012:3` for the pair (0, 3) of sample 000012.
        name: what people call it, for example `P37_1_2`; the key where the dataset has no names.
        scene: cases of one scene are not independent; confidence intervals resample scenes.
        subset: difficulty or group (`easy`, `S`, `illumination`), empty where there is none.
        task: see `results.Task`.
        reference: `(3, H, W)` in [0, 1].
        sources: each `(3, h, w)` in [0, 1]; one for a pair; none for a set of a single shot.
        truth: the right answer.
    """

    key: str
    name: str
    scene: str
    subset: str
    task: Task
    reference: Tensor
    sources: list[Tensor]
    truth: CaseTruth = field(default_factory=CaseTruth)

    @cached_property
    def true_flow(self) -> Tensor | None:
        """`(2, H, W)`, pixels, NaN where unknown: the true flow, or that of the true homography inside the source.

        Sets have none.
        """
        if self.task != "pair" or self.truth.flow is not None or self.truth.homography is None:
            return self.truth.flow
        (height, width), (source_height, source_width) = self.reference.shape[1:], self.sources[0].shape[1:]
        return flow_inside(homography_flow(self.truth.homography, (height, width)), (source_height, source_width))

    @property
    def target(self) -> Tensor:
        """What the aligned picture is compared with, `(3, H, W)` in [0, 1]."""
        return self.reference if self.truth.picture is None else self.truth.picture
