"""The page of a sweep: how it went, which hyperparameters mattered, and what each value came to."""

from __future__ import annotations

import html
import warnings
from typing import Any

from ..platform.report import figure, page, pareto_front, plots, table
from .records import TrialRecord, best_record
from .spaces import Choice, Integer, Range, Real, Space

_COLOURS = {"finished": "#0b68cb", "stopped early": "#e5961a", "diverged": "#cc3333", "failed": "#7a7a7a"}


def sweep_report(title: str, records: list[TrialRecord], space: Space, *, grace: int | None, use: str) -> str:
    """A self-contained page about a sweep.

    Args:
        title: plain text.
        records: all trials.
        space: what was searched.
        grace: epochs that every trial has, unless it failed; None where nothing is trained.
        use: the command that takes the best point.
    """
    best = best_record(records)
    scored = [record for record in records if record.best is not None]
    sections = []
    if best is not None:
        point = table(["hyperparameter", "best", "searched"], _point_rows(best, space))
        when = "" if grace is None else f" after epoch {best.best_epoch}"
        lead = f"trial {best.number}{when}: {best.metric} = {best.best:.5g}"
        again = f"<p>Take it: <code>{html.escape(use)}</code></p>"
        sections = [
            ("Best trial", f'<p class="big">{html.escape(lead)}</p>{point}{again}'),
            ("History", _history(scored)),
            ("Importance", _importance(records, space, grace)),
            ("Slices", _slices(scored, space)),
            ("Quality against time", _pareto(scored)),
        ]
        if grace is not None:
            sections.append(("Learning curves", _curves(scored)))
    sections.append(("All trials", _table(records, space, trained=grace is not None)))
    counts = {outcome: sum(record.outcome == outcome for record in records) for outcome in _COLOURS}
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    return page(title, sections, f"{len(records)} trials: {told}.")


def importances(records: list[TrialRecord], space: Space, epoch: int) -> dict[str, float]:
    """How much each hyperparameter explains of the metric after an epoch that all trials reached (fANOVA).

    Early-stopped trials have no final value; at an epoch that all of them trained, every trial can be compared.

    Args:
        records: the trials; those without a finite value at that epoch are left out.
        space: what was searched.
        epoch: from 1.

    Returns:
        Dotted name to share, largest first; the shares add up to 1.

    Raises:
        ValueError: too few trials, or all have one value.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    distributions = {name: _distribution(allowed) for name, allowed in space.items()}
    for record in records:
        value = record.values.get(epoch)
        if value is not None and record.params.keys() == space.keys():
            study.add_trial(optuna.trial.create_trial(params=record.params, distributions=distributions, value=value))
    if len(study.trials) < 4:
        raise ValueError(f"only {len(study.trials)} trials can be compared")
    if len({trial.value for trial in study.trials}) < 2:
        raise ValueError("all trials have the same value")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        shares: dict[str, float] = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return shares


def _distribution(allowed: Range) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(allowed, Choice):
        return CategoricalDistribution(allowed.values)
    if isinstance(allowed, Real):
        return FloatDistribution(allowed.low, allowed.high, log=allowed.log)
    return IntDistribution(allowed.low, allowed.high)


def _importance(records: list[TrialRecord], space: Space, grace: int | None) -> str:
    try:
        shares = importances(records, space, grace or 1)
    except Exception as error:  # fANOVA needs scikit-learn and enough different trials
        return f"<p>Not known: {html.escape(str(error))}.</p>"
    plt: Any = plots()
    drawn, axis = plt.subplots(figsize=(6.5, 0.5 * len(shares) + 0.9))
    names = list(shares)[::-1]
    axis.barh(names, [shares[name] for name in names], color="#0b68cb")
    axis.set_xlabel("share of the variance explained (fANOVA)")
    drawn.tight_layout()
    few = " With so few trials this is a hint at most." if len(records) < 20 else ""
    metric = html.escape(records[0].metric)
    trained = (
        "" if grace is None else f" after epoch {grace}, which every trial reached that neither failed nor diverged"
    )
    lead = f"Of {metric}{trained}.{few}"
    return f"<p>{lead}</p>{figure(drawn)}"


def _history(scored: list[TrialRecord]) -> str:
    plt: Any = plots()
    drawn, axis = plt.subplots(figsize=(7.5, 3.4))
    for outcome, colour in _COLOURS.items():
        points = [(record.number, record.best) for record in scored if record.outcome == outcome]
        if points:
            axis.scatter(*zip(*points, strict=True), color=colour, label=outcome, zorder=3)
    held = [record for record in scored if record.held]
    so_far = [best.best for i in range(len(held)) if (best := best_record(held[: i + 1]))]
    axis.step([record.number for record in held], so_far, where="post", color="#1c2024", lw=1, label="best so far")
    axis.set_xlabel("trial")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_ylabel(f"best {scored[0].metric}")
    axis.legend(fontsize=8)
    drawn.tight_layout()
    return figure(drawn)


def _slices(scored: list[TrialRecord], space: Space) -> str:
    plt: Any = plots()
    drawn, axes = plt.subplots(1, len(space), figsize=(3.4 * len(space), 3.0), squeeze=False, sharey=True)
    for axis, (name, allowed) in zip(axes[0], space.items(), strict=True):
        for outcome, colour in _COLOURS.items():
            points = [(r.params[name], r.best) for r in scored if r.outcome == outcome and name in r.params]
            if points:
                axis.scatter(*zip(*points, strict=True), color=colour, s=18)
        if isinstance(allowed, Real) and allowed.log:
            axis.set_xscale("log")
        elif isinstance(allowed, Integer):
            axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_xlabel(name)
    axes[0][0].set_ylabel(f"best {scored[0].metric}")
    drawn.tight_layout()
    return figure(drawn)


def _pareto(scored: list[TrialRecord]) -> str:
    timed = [record for record in scored if record.held and record.seconds > 0]
    if not timed:
        return "<p>Not known: no times are reported.</p>"
    points = [(record.seconds, record.best or 0.0) for record in timed]
    front = pareto_front(points, higher=timed[0].mode == "max")
    plt: Any = plots()
    drawn, axis = plt.subplots(figsize=(7.5, 3.4))
    axis.scatter(*zip(*points, strict=True), color="#9aa5b1", s=18)
    axis.plot(*zip(*(points[i] for i in front), strict=True), color="#0b68cb", marker="o", label="Pareto front")
    for index in front:
        axis.annotate(str(timed[index].number), points[index], fontsize=8, xytext=(4, 4), textcoords="offset points")
    axis.set_xlabel("time of a trial (s)")
    axis.set_ylabel(f"best {timed[0].metric}")
    axis.legend(fontsize=8)
    drawn.tight_layout()
    return f"<p>On the front, with their numbers: trials that no other one beats in both.</p>{figure(drawn)}"


def _curves(scored: list[TrialRecord]) -> str:
    plt: Any = plots()
    drawn, axis = plt.subplots(figsize=(7.5, 3.4))
    for record in scored:
        axis.plot(
            list(record.values), list(record.values.values()), color=_COLOURS.get(record.outcome, "#000"), alpha=0.7,
            lw=1, marker="." if len(record.values) < 30 else "",
        )  # fmt: skip
    axis.set_xlabel("epoch")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_ylabel(scored[0].metric)
    drawn.tight_layout()
    return figure(drawn)


def _point_rows(best: TrialRecord, space: Space) -> list[tuple[str, str, str]]:
    return [(name, _short(value), str(space[name])) for name, value in best.params.items()]


def _table(records: list[TrialRecord], space: Space, *, trained: bool) -> str:
    epochs = ["at epoch", "epochs"] if trained else []
    header = ["trial", "state", f"best {records[0].metric}" if records else "best", *epochs, *space]
    rows = [
        [
            record.number,
            record.outcome + (f": {record.error}" if record.error else ""),
            "" if record.best is None else f"{record.best:.5g}",
            *((record.best_epoch or "", max(record.rows, default=0)) if trained else ()),
            *(_short(record.params.get(name, "")) for name in space),
        ]
        for record in records
    ]
    return table(header, rows)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
