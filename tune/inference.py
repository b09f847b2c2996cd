"""Trials that train nothing: one trained model that aligns held-out samples, each time with other inference options."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..methods.aligner import LearnedAligner
from ..platform.data.augment import AugmentOptions
from ..platform.data.training import held_out
from ..platform.inference import Chosen, check_inference, set_inference
from ..platform.training.options import TrainingSpec, tuples
from ..platform.training.reporter import Reporter
from ..platform.training.validation import validate
from .records import EPOCH
from .spaces import INFERENCE


def chosen_options(method: str, fixed: Chosen, point: Mapping[str, Any]) -> Chosen:
    """The inference options of a point of a space, as `raylign align --set` takes them.

    Args:
        method: whose options they are.
        fixed: what all trials have in common; the point wins.
        point: dotted names to values.

    Raises:
        InputError: the method does not take a value.
    """
    values = dict(fixed)
    for name, value in point.items():
        values[name.removeprefix(INFERENCE)] = str(value).lower() if isinstance(value, bool) else str(value)
    return check_inference(method, tuple(sorted(values.items())), "--space")


@dataclass(frozen=True)
class Measuring:
    """What a trial of a sweep over inference options does: one epoch, in which nothing is trained."""

    spec: TrainingSpec
    """The dataset, how many of its held-out samples are measured (`loop.val_pairs`), and the seed."""
    checkpoint: str
    """Folder of the trained model."""
    fixed: Chosen
    """Inference options that all trials have in common."""

    def __call__(self, point: Mapping[str, Any], reporter: Reporter) -> None:
        """Measure a point of the search space with the validation of the training, and report it as epoch 1.

        Raises:
            CheckpointError: the checkpoint is not there, incomplete or damaged.
            InputError: the dataset does not fit the method.
        """
        from ..platform.alignment import ModelChoice, load_model

        model = load_model(ModelChoice(self.spec.method, self.checkpoint, self.checkpoint))
        assert isinstance(model, LearnedAligner)
        set_inference(model, chosen_options(self.spec.method, self.fixed, point), "--space")
        samples = held_out(
            model.batch_kind,
            self.spec.data,
            "val",
            model.config.working_size,
            self.spec.loop.val_pairs,
            AugmentOptions(**tuples(self.spec.augment)).frames,
            model.batch_fields(model.config),
        )
        # What a first call loads is not the time of an alignment.
        validate(model, {name: value[:1] for name, value in samples.items()}, inference=model.inference)
        began = time.monotonic()
        metrics, picture = validate(
            model,
            samples,
            inference=model.inference,
            seed=self.spec.loop.seed,
            pictures=self.spec.loop.val_pictures,
        )
        seconds = time.monotonic() - began
        count = len(next(iter(samples.values())))
        reporter.report({EPOCH: 1, **metrics, "seconds": seconds, "seconds_per_sample": seconds / count}, None)
        if picture is not None:
            reporter.keep("pictures/epoch-0001.png", picture)
