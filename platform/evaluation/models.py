"""Which methods and models `--methods` means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...methods.errors import InputError, MissingWeightsError
from ...methods.registry import names, needs_weights
from ..alignment import CHAMPION, ModelChoice, choose_model
from ..inference import Chosen, check_inference, split_name

ALL = "all"


def choose_models(
    wanted: Sequence[str], *, weights: Sequence[str], pretrained: bool, tracking_uri: str | None
) -> tuple[list[ModelChoice], dict[str, str]]:
    """Turn `--methods`, `--weights` and `--pretrained` into models.

    Args:
        wanted: methods by name, checkpoint folders, registered models; `all` stands for every method that can run
            here: the baselines, and of each learned method its newest trained model. `NAME[adapt=0]` is a model that
            aligns with other options than its method's defaults; the text becomes its name.
        weights: `NAME=FILE` for methods with published weights.
        pretrained: load published weights from torch's cache, or fetch them.
        tracking_uri: of the registry.

    Returns:
        The models, each under a name of its own, and the methods that `all` had to leave out, with the reason.

    Raises:
        InputError: one of them is neither method, checkpoint nor trained model, lacks its weights, or has no such
            inference options.
    """
    files = _weight_files(weights)
    models: list[ModelChoice] = []
    left_out: dict[str, str] = {}
    for text in wanted:
        name, chosen = split_name(text, "--methods")
        every = name == ALL
        if every and chosen:
            raise InputError(f"--methods {text}: '{ALL}' takes no options; give them to one method")
        for each in names() if every else [name]:
            try:
                model = _choose(each, files, pretrained, tracking_uri)
            except InputError as error:
                # 'all' and 'champion' ask for what there is.
                if not every and not (name == CHAMPION and len(wanted) > 1):
                    raise
                left_out[each] = str(error)
            else:
                models.append(_with_options(model, text, chosen) if chosen else model)
    unused = set(files) - {model.method for model in models}
    if unused:
        raise InputError(f"--weights {', '.join(sorted(unused))}: --methods has no such method")
    return _distinct(models), left_out


def _weight_files(weights: Sequence[str]) -> dict[str, str]:
    files = {}
    for text in weights:
        name, _, path = text.partition("=")
        if name not in names() or not needs_weights(name) or not path:
            able = ", ".join(each for each in names() if needs_weights(each))
            raise InputError(f"--weights {text}: give NAME=FILE with one of {able}")
        if not Path(path).expanduser().is_file():
            raise InputError(f"--weights {text}: there is no file {path}")
        files[name] = str(Path(path).expanduser().absolute())
    return files


def _choose(name: str, files: dict[str, str], pretrained: bool, tracking_uri: str | None) -> ModelChoice:
    if name in names(learned=False):
        if not needs_weights(name):
            return choose_model(name)
        if name not in files and not pretrained:
            raise MissingWeightsError(
                f"'{name}' needs its published weights; give --weights {name}=FILE, or --pretrained to fetch them"
            )
        return choose_model(name, weights=files.get(name), pretrained=name not in files)
    try:
        if name in names():
            # Asked for by its method's name, the newest model stands under that name in the table.
            return replace(choose_model(name, tracking_uri=tracking_uri), name=name)
        return choose_model(checkpoint=name, tracking_uri=tracking_uri)
    except InputError as error:
        raise InputError(f"--methods {name}: no method, checkpoint folder or trained model ({error})") from None


def _with_options(model: ModelChoice, text: str, chosen: Chosen) -> ModelChoice:
    """A model that aligns with these options, under the text that asked for it."""
    return replace(model, name=text, inference=check_inference(model.method, chosen, f"--methods {text}"))


def _distinct(models: list[ModelChoice]) -> list[ModelChoice]:
    """One of each, under names that differ."""
    kept: list[ModelChoice] = []
    for model in models:
        if _identity(model) in map(_identity, kept):
            continue
        taken = {each.name for each in kept}
        if model.name in taken:
            free = (f"{model.name}-{k}" for k in range(2, 999))
            model = replace(model, name=next(name for name in free if name not in taken))
        kept.append(model)
    return kept


def _identity(model: ModelChoice) -> tuple[object, ...]:
    """What makes two choices one model."""
    return model.target, model.weights, model.inference
