"""Optuna as a searcher of Ray Tune.

Ray's own `OptunaSearch` tells Optuna that a trial which the scheduler stopped early is COMPLETE, with the poor value it
had by then, and leaves a trial that reported NaN RUNNING for ever; both mislead the sampler. It also cannot be resumed
from a database after a hard kill. `StudySearch` keeps Optuna's in-memory study, which Tune pickles together with its
own state so that the two never differ, and tells each trial's true end:

| what happened                     | Optuna's state | value                       |
|-----------------------------------|----------------|-----------------------------|
| trained to the last epoch         | COMPLETE       | its best epoch              |
| stopped early by the scheduler    | PRUNED         | its epochs are intermediate |
| the metric became NaN or infinite | PRUNED         | the last intermediate one is NaN, which TPE ranks last |
| crashed, also after its retry     | FAIL           | none                        |
"""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher

from ..methods.errors import InputError
from .records import EPOCH, OUTCOME, TRIAL_ID, Mode, outcome_of
from .spaces import Space, suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

_STATES = {
    "finished": TrialState.COMPLETE,
    "stopped early": TrialState.PRUNED,
    "diverged": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


def make_study(name: str, mode: Mode, seed: int, trials: int) -> optuna.Study:
    """An in-memory study with a seeded TPE sampler.

    Args:
        name: the study's name.
        mode: whether more or less is better.
        seed: of the sampler; with one trial at a time equal seeds give equal sweeps.
        trials: how many are planned; up to a third of them, at most 10, are drawn at random first.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=max(1, min(10, trials // 3)),
            multivariate=True,
            # Trials run side by side: each keeps away from where others still run.
            constant_liar=True,
            seed=seed,
        )
    return optuna.create_study(sampler=sampler, study_name=name, direction="maximize" if mode == "max" else "minimize")


class StudySearch(Searcher):
    """Asks an Optuna study for trials and tells it how they end."""

    def __init__(
        self, study: optuna.Study, space: Space, *, metric: str, mode: Mode, epochs: int, first: Mapping[str, Any]
    ) -> None:
        """Make a searcher.

        Args:
            study: an in-memory study.
            space: what to search.
            metric: the metric that a trial reports once per epoch.
            mode: whether more or less of it is better.
            epochs: how many epochs a whole trial has; fewer reports mean it was stopped early.
            first: values for the first trial; what is left out is drawn.
        """
        super().__init__(metric=metric, mode=mode)
        self.study = study
        self._space = dict(space)
        self._epochs = epochs
        self._running: dict[str, optuna.Trial] = {}
        self._values: dict[str, dict[int, float]] = {}
        if first:
            study.enqueue_trial(dict(first))

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """The next point, as a flat mapping with dotted names."""
        trial = self.study.ask()
        trial.set_user_attr(TRIAL_ID, trial_id)
        self._running[trial_id] = trial
        self._values[trial_id] = {}
        return suggest(self._space, trial)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Keep the metric of one epoch."""
        trial = self._running.get(trial_id)
        if trial is None:
            return
        step, value = int(result[EPOCH]), float(result[self.metric])
        # An epoch that is told again after a crash keeps its first value: Optuna takes none twice.
        if step not in self._values[trial_id]:
            self._values[trial_id][step] = value
            trial.report(value, step)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell how a trial ended; the last result comes only here."""
        if trial_id not in self._running:
            return
        if result and self.metric in result:
            self.on_trial_result(trial_id, result)
        trial, values = self._running.pop(trial_id), self._values.pop(trial_id)
        outcome = outcome_of(values, self._epochs, error=error)
        trial.set_user_attr(OUTCOME, outcome)
        pick = max if self.mode == "max" else min
        self.study.tell(trial, pick(values.values()) if outcome == "finished" else None, _STATES[outcome])

    def save(self, checkpoint_path: str) -> None:
        """Pickle the study and the running trials."""
        with open(checkpoint_path, "wb") as stream:
            pickle.dump({**self.__dict__}, stream)

    def restore(self, checkpoint_path: str) -> None:
        """Take over what `save` wrote."""
        with open(checkpoint_path, "rb") as stream:
            self.__dict__.update(pickle.load(stream))


def saved_study(folder: Path) -> optuna.Study | None:
    """The study among the newest state that Tune has saved in an experiment's folder; None before the first save.

    Raises:
        InputError: the state is damaged.
    """
    if not list(folder.glob("searcher-state-*.pkl")):
        return None
    search = StudySearch(make_study("empty", "max", 0, 1), {}, metric="", mode="max", epochs=1, first={})
    try:
        search.restore_from_dir(str(folder))
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError) as error:
        raise InputError(
            f"the state of the sweep in {folder} cannot be read ({error}); choose another --name, or remove that folder"
        ) from None
    return search.study


def keep_study(study: optuna.Study, database: Path) -> None:
    """Copy a study into an SQLite file, for optuna-dashboard and later questions; replaces an older copy."""
    part = database.with_name(f".{database.name}.part")
    part.unlink(missing_ok=True)
    optuna.copy_study(
        from_study_name=study.study_name, from_storage=study._storage, to_storage=f"sqlite:///{part.absolute()}"
    )
    part.replace(database)
