"""The model side of the service: holds the models of one replica and aligns, one pair after the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ..methods.errors import InputError, RaylignError
from ..platform.alignment import ModelChoice, align_images, load_model, unreliable
from ..platform.images import MIN_SIDE, UPLOAD_FORMATS, encode_image, read_image
from ..platform.inference import Chosen, set_inference, told_inference
from .contract import FIELD, AlignRequest, Answer, Refusal, ServedModel

if TYPE_CHECKING:
    from ..methods.aligner import Aligner

_log = logging.getLogger(__name__)


class ModelReplica:
    """One loaded default model, and the others from their first request on.

    One thread does all the work: the event loop stays free, and two alignments never share the CPUs or the random
    state, which would change their numbers.
    """

    def __init__(self, models: Sequence[ServedModel]) -> None:
        """Load the default model, the first, and prove that it aligns.

        Raises:
            RaylignError: it cannot be loaded, or gives no finite numbers.
        """
        self._models = models
        self._loaded: dict[int, Aligner] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="align")
        self._failure: str | None = None
        self._thread.submit(self._prove).result()

    async def align(self, request: AlignRequest) -> Answer | Refusal:
        """Align one pair; every failure comes back as a `Refusal`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._align, request)

    def check_health(self) -> None:
        """Called by Serve from time to time; raising gets this replica replaced."""
        if self._failure is not None:
            raise RuntimeError(self._failure)

    def _align(self, request: AlignRequest) -> Answer | Refusal:
        try:
            reference = read_image(request.reference, "field 'reference'", UPLOAD_FORMATS)
            source = read_image(request.source, "field 'source'", UPLOAD_FORMATS)
            aligner, choice = self._model(request.model, request.inference)
            aligned = align_images(aligner, reference, [source], choice)
            if not (aligned.reliable or request.force):
                raise unreliable(aligned)
            return Answer(encode_image(aligned.image, aligned.mask if request.alpha else None), aligned.facts)
        except RaylignError as error:
            return Refusal(error.http_status, str(error))
        except Exception:
            _log.exception("an alignment failed")
            self._look_after_failure()
            return Refusal(500, "an error inside the model; the service's log tells more")

    def _model(self, index: int, asked: Chosen = ()) -> tuple[Aligner, ModelChoice]:
        """A model that aligns with the options asked for, and else with those it is served with.

        Raises:
            RaylignError: it cannot be loaded, or an option is unknown or out of its limits.
        """
        served = self._models[index]
        if index not in self._loaded:
            self._loaded[index] = load_model(served.choice)
        aligner = self._loaded[index]
        set_inference(aligner, served.choice.inference, FIELD)
        most = told_inference(aligner)
        set_inference(aligner, tuple((dict(served.choice.inference) | dict(asked)).items()), FIELD)
        _check_work(told_inference(aligner), most)
        return aligner, served.choice

    def _prove(self) -> None:
        """Align a test picture with itself."""
        import torch

        picture = torch.rand(3, 2 * MIN_SIDE, 2 * MIN_SIDE, generator=torch.Generator().manual_seed(0))
        aligner, choice = self._model(0)
        align_images(aligner, picture, [picture], choice)

    def _look_after_failure(self) -> None:
        """Tell whether it was the request's fault, or whether this process is broken (a lost GPU, for example)."""
        try:
            self._prove()
        except Exception as error:
            self._failure = f"the model does not align any more: {type(error).__name__}"


def _check_work(chosen: Mapping[str, Any], served: Mapping[str, Any]) -> None:
    """Whole numbers count work (steps, starts): a stranger may have less of it than the service gives, not more.

    Raises:
        InputError: it is more.
    """
    for name, most in served.items():
        if type(most) is int and chosen[name] > most:
            raise InputError(f"{FIELD}: {name} is served up to {most}, not {chosen[name]}")
