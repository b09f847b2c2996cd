"""Trials that measure inference options, without Tune around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raylign.methods.errors import InputError
from raylign.methods.registry import method_class
from raylign.platform.training.options import LoopOptions, TrainingSpec
from raylign.platform.training.reporter import PlainReporter
from raylign.tune.inference import Measuring, chosen_options
from tests.training import SMALL_MODELS, small_data


class Heard(PlainReporter):
    """Remembers the one report."""

    metrics: dict[str, float]

    def report(self, metrics: Any, checkpoint: Any) -> None:
        assert checkpoint is None
        self.metrics = dict(metrics)


def test_a_trial_aligns_with_its_options_and_changes_nothing_else(tmp_path: Path) -> None:
    cls: Any = method_class("crossscale")
    cls(cls.Config(**SMALL_MODELS["crossscale"])).save_pretrained(tmp_path / "model")
    data = small_data("crossscale", tmp_path / "data")
    spec = TrainingSpec("crossscale", data, LoopOptions(val_pairs=2, val_pictures=1))
    heard = {}
    for adapt in (0, 5, 0):
        reporter = Heard(tmp_path / "trial")
        Measuring(spec, str(tmp_path / "model"), (("start", "network"),))({"inference.adapt": adapt}, reporter)
        assert reporter.metrics["epoch"] == 1
        assert reporter.metrics["seconds_per_sample"] == reporter.metrics["seconds"] / 2
        told = {name: value for name, value in reporter.metrics.items() if "seconds" not in name}
        assert heard.setdefault(adapt, told) == told
    assert heard[0]["val_psnr_overlap"] != heard[5]["val_psnr_overlap"]
    assert (tmp_path / "trial" / "pictures" / "epoch-0001.png").exists()


def test_points_become_what_users_write() -> None:
    point = {"inference.guidance": 0.125, "inference.solver": "dpm"}
    fixed = (("chains", "2"), ("solver", "ddim"))
    assert chosen_options("adm", fixed, point) == (("chains", "2"), ("guidance", "0.125"), ("solver", "dpm"))
    assert chosen_options("dmaligner", (), {"inference.keep_pixels": True}) == (("keep_pixels", "true"),)
    with pytest.raises(InputError, match="iterations must be 1 to 16"):
        chosen_options("adm", (), {"inference.iterations": 99})
