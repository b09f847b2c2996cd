"""The searcher and the spaces, without Ray running."""

from __future__ import annotations

import dataclasses
import math
import pickle
from pathlib import Path

import optuna
import pytest

from raylign.methods.errors import InputError
from raylign.methods.registry import method_class, names
from raylign.platform.training.options import LoopOptions, TrainingSpec
from raylign.tune.search import StudySearch, keep_study, make_study, saved_study
from raylign.tune.spaces import Choice, Integer, Real, apply, search_space, searches_inference, space_names, start_point

SPACE = {"loop.lr": Real(1e-4, 1.0, log=True), "model.levels": Integer(0, 2), "model.kind": Choice(("a", "b"))}


def searcher(trials: int = 20, seed: int = 0, mode: str = "max") -> StudySearch:
    study = make_study("s", mode, seed, trials)  # type: ignore[arg-type]
    return StudySearch(study, SPACE, metric="m", mode=mode, epochs=3, first={})  # type: ignore[arg-type]


def run(search: StudySearch, trial_id: str, values: list[float], *, error: bool = False) -> optuna.trial.FrozenTrial:
    """Play one trial as Tune does: the last result comes with the completion, too."""
    search.suggest(trial_id)
    results = [{"epoch": epoch, "m": value} for epoch, value in enumerate(values, start=1)]
    for result in results[:-1]:
        search.on_trial_result(trial_id, result)
    search.on_trial_complete(trial_id, None if error or not results else results[-1], error)
    return next(trial for trial in search.study.trials if trial.user_attrs.get("tune_trial") == trial_id)


@pytest.mark.parametrize(
    ("values", "error", "state", "outcome"),
    [
        ([1.0, 3.0, 2.0], False, "COMPLETE", "finished"),
        ([1.0, 3.0], False, "PRUNED", "stopped early"),
        ([1.0, math.nan], False, "PRUNED", "diverged"),
        ([math.inf], False, "PRUNED", "diverged"),
        ([1.0, 2.0], True, "FAIL", "failed"),
        ([], False, "FAIL", "failed"),
        ([], True, "FAIL", "failed"),
    ],
)
def test_each_end_is_told_as_what_it_is(values: list[float], error: bool, state: str, outcome: str) -> None:
    trial = run(searcher(), "a", values, error=error)
    assert (trial.state.name, trial.user_attrs["outcome"]) == (state, outcome)
    if state == "COMPLETE":
        assert trial.value == 3.0
    if state == "PRUNED":
        assert len(trial.intermediate_values) == len(values), "with the last epoch"


def test_the_value_of_a_trial_is_its_best_epoch_also_when_less_is_better() -> None:
    assert run(searcher(mode="min"), "a", [3.0, 1.0, 2.0]).value == 1.0


def test_what_is_told_twice_after_a_crash_counts_once(recwarn: pytest.WarningsRecorder) -> None:
    search = searcher()
    search.suggest("a")
    for epoch in (1, 2, 2, 3):
        search.on_trial_result("a", {"epoch": epoch, "m": float(epoch)})
    search.on_trial_complete("a", {"epoch": 3, "m": 3.0})
    search.on_trial_complete("a", {"epoch": 3, "m": 3.0})
    search.on_trial_result("a", {"epoch": 3, "m": 9.0})
    assert search.study.trials[0].intermediate_values == {1: 1.0, 2: 2.0, 3: 3.0}
    assert not [warning for warning in recwarn if "already reported" in str(warning.message)]


def test_equal_seeds_give_equal_sweeps() -> None:
    def points(seed: int) -> list[dict[str, object]]:
        search = searcher(seed=seed)
        return [run(search, str(i), [float(i % 5)] * 3).params for i in range(12)]

    assert points(1) == points(1)
    assert points(1) != points(2)


def test_early_stopped_and_diverged_trials_teach_the_sampler() -> None:
    search = searcher(trials=9)
    for i in range(40):
        trial_id = str(i)
        good = search.suggest(trial_id)["loop.lr"] > 0.03
        for epoch in (1, 2, 3) if good else (1,):
            result = {"epoch": epoch, "m": 1.0 if good else (math.nan if i % 2 else 0.0)}
            search.on_trial_result(trial_id, result)
        search.on_trial_complete(trial_id, result)
    late = [trial.params["loop.lr"] > 0.03 for trial in search.study.trials[20:]]
    assert sum(late) >= 14, "a third would be chance"


def test_state_survives_a_pickle_and_goes_on_as_if_nothing_happened(tmp_path: Path) -> None:
    search = searcher()
    for i in range(8):
        run(search, str(i), [float(i)] * 3)
    search.suggest("running")
    search.on_trial_result("running", {"epoch": 1, "m": 1.0})
    search.save_to_dir(str(tmp_path), "session")
    again = searcher(seed=99)
    again.restore_from_dir(str(tmp_path))
    for each in (search, again):
        each.on_trial_complete("running", {"epoch": 2, "m": 2.0})
    assert [t.params for t in again.study.trials] == [t.params for t in search.study.trials]
    assert again.suggest("next") == search.suggest("next")
    found = saved_study(tmp_path)
    assert found is not None
    assert found.trials[-1].state.name == "RUNNING"


def test_no_state_and_damaged_state(tmp_path: Path) -> None:
    assert saved_study(tmp_path) is None
    (tmp_path / "searcher-state-x.pkl").write_bytes(b"\x80\x04half")
    with pytest.raises(InputError, match=r"cannot be read .* choose another --name"):
        saved_study(tmp_path)


def test_the_kept_study_replaces_an_older_copy(tmp_path: Path) -> None:
    search = searcher()
    run(search, "a", [1.0, math.nan])
    run(search, "b", [1.0, 2.0, 3.0])
    for _ in range(2):
        keep_study(search.study, tmp_path / "study.db")
    kept = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/study.db")
    assert [trial.state.name for trial in kept.trials] == ["PRUNED", "COMPLETE"]
    assert math.isnan(kept.trials[0].intermediate_values[2])
    assert [path.name for path in tmp_path.iterdir()] == ["study.db"]


def test_the_users_own_values_come_first_where_they_lie_in_their_ranges() -> None:
    space = search_space("crossscale", "default")
    spec = TrainingSpec("crossscale", "/d", LoopOptions(lr=1e-3), {}, {"levels": 3, "jnd_weight": 0.5})
    first = start_point(space, spec)
    assert first == {"loop.lr": 1e-3, "model.jnd_weight": 0.5}
    search = StudySearch(make_study("s", "max", 0, 5), space, metric="m", mode="max", epochs=1, first=first)
    assert search.suggest("a").items() >= first.items()
    assert search.suggest("b")["loop.lr"] != 1e-3


def test_what_a_model_aligns_with_already_comes_first() -> None:
    space, spec = search_space("adm", "inference"), TrainingSpec("adm", "/d")
    started = {"inference.start": "keypoints", "inference.refinement": 0}
    usual = {"inference.guidance": 0.1, "inference.iterations": 2, **started}
    assert start_point(space, spec) == {**usual, "inference.steps": 4, "inference.solver": "ddim"}
    fixed = (("solver", "dpm"), ("steps", "200"))
    assert start_point(space, spec, fixed) == {**usual, "inference.solver": "dpm"}


@pytest.mark.parametrize("method", names(learned=True))
def test_every_space_names_fields_that_exist(method: str) -> None:
    config = method_class(method).Config()  # type: ignore[attr-defined]
    for name in space_names(method):
        space = search_space(method, name)
        assert pickle.loads(pickle.dumps(dict(space))) == dict(space)
        study = make_study("s", "max", 0, 3)
        point = StudySearch(study, space, metric="m", mode="max", epochs=1, first={}).suggest("a")
        hyperparameters = {key: value for key, value in point.items() if not key.startswith("inference.")}
        spec = apply(TrainingSpec(method, "/d", model=dataclasses.asdict(config)), hyperparameters)
        method_class(method).Config(**spec.model)  # type: ignore[attr-defined]
        options = {key[10:]: value for key, value in point.items() if key.startswith("inference.")}
        method_class(method).Inference(**options)  # type: ignore[attr-defined]
        assert len(options) in (0, len(space))
        assert searches_inference(space) == bool(options)
        assert all(point[key] in allowed for key, allowed in space.items())
        assert all(vars(spec.loop)[key[5:]] == value for key, value in point.items() if key.startswith("loop."))


def test_unknown_space_is_told() -> None:
    with pytest.raises(
        InputError, match="crossscale has no space 'nope'; choose one of default, weights, inference, optimizer"
    ):
        search_space("crossscale", "nope")
    assert search_space("somebody-elses", "default") == search_space("somebody-elses", "optimizer")
