"""The registry of methods. Importing it loads neither torch nor any method."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from importlib.util import resolve_name
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import InputError, UnknownMethodError

if TYPE_CHECKING:
    from .aligner import Aligner

ENTRY_POINT_GROUP = "raylign.methods"


@dataclass(frozen=True)
class MethodEntry:
    """One line of the registry: where a method's class lies, and what it does in a few words."""

    target: str
    """`module:Class`; a leading dot means relative to `raylign.methods`."""
    summary: str
    learned: bool = False
    """Trained by `raylign train`."""
    published_weights: bool = False
    """Needs weights that others have published; its class takes the keywords `weights` and `pretrained`."""
    sets: bool = False
    """Takes any number of sources for one reference."""


_BUILT_IN: dict[str, MethodEntry] = {
    "adm": MethodEntry(
        ".adm:Adm",
        "Active Diffusion Matching of retinas: homography and field by two guided chains (learned)",
        learned=True,
    ),
    "affine-sift": MethodEntry(
        ".classical.affine_sift:AffineSift", "SIFT under simulated tilts (ASIFT) and a MAGSAC homography"
    ),
    "apap": MethodEntry(".classical.apap:Apap", "SIFT and moving DLT: a homography for each cell"),
    "crossscale": MethodEntry(
        ".crossscale:CrossScale", "dense cross-scale homography and mesh, JND-guided (learned)", learned=True
    ),
    "diar": MethodEntry(
        ".diar:Diar",
        "homographies of all shots together, then a network that restores (learned)",
        learned=True,
        sets=True,
    ),
    "dis-flow": MethodEntry(".classical.dis_flow:DisFlow", "DIS optical flow"),
    "dmaligner": MethodEntry(
        ".dmaligner:DmAligner",
        "view synthesis by latent diffusion: draws the source's content from the reference's view (learned)",
        learned=True,
    ),
    "identity": MethodEntry(".classical.identity:Identity", "leaves the source where it is (lower bound)"),
    "loftr": MethodEntry(
        ".classical.loftr:Loftr", "LoFTR matches (published weights) and a MAGSAC homography", published_weights=True
    ),
    "mean": MethodEntry(".classical.mean:Mean", "pixelwise mean of the aligned pictures", sets=True),
    "median": MethodEntry(".classical.median:Median", "pixelwise median of the aligned pictures", sets=True),
    "orb": MethodEntry(".classical.orb:Orb", "ORB keypoints and a MAGSAC homography"),
    "raft": MethodEntry(".classical.raft:Raft", "RAFT optical flow (published weights)", published_weights=True),
    "rpca": MethodEntry(".classical.rpca:Rpca", "robust PCA: low-rank part of the aligned pictures", sets=True),
    "sift": MethodEntry(".classical.sift:Sift", "SIFT keypoints and a MAGSAC homography"),
    "sift-ecc": MethodEntry(".classical.sift_ecc:SiftEcc", "SIFT homography refined by maximal correlation (ECC)"),
    "sift-mesh": MethodEntry(
        ".classical.sift_mesh:SiftMesh", "SIFT homography bent by a mesh, refined on the pictures"
    ),
    "weiss": MethodEntry(".classical.weiss:Weiss", "Weiss' intrinsic picture: median of the gradients", sets=True),
}


def _entries() -> dict[str, MethodEntry]:
    """Built-in methods and those that other distributions announce in the group `raylign.methods`."""
    found = dict(_BUILT_IN)
    for point in entry_points(group=ENTRY_POINT_GROUP):
        origin = f"from {point.dist.name if point.dist else '?'}"
        found.setdefault(point.name, MethodEntry(f"{point.module}:{point.attr}", origin))
    return found


def _described(entry: MethodEntry) -> MethodEntry:
    """The entry with all its marks: an entry point has room for a class only, which is asked then.

    A class that cannot be imported has none; whoever loads it hears why.
    """
    if entry.target.startswith("."):
        return entry
    try:
        cls = _import(entry)
    except InputError:
        return entry
    from .aligner import LearnedAligner

    return replace(
        entry,
        learned=issubclass(cls, LearnedAligner),
        published_weights={"weights", "pretrained"} <= set(inspect.signature(cls).parameters),
        sets=cls.max_sources is None,
    )


def _import(entry: MethodEntry) -> type[Aligner]:
    """The class of an entry.

    Raises:
        InputError: it comes from another distribution, and importing it fails or gives no `Aligner`.
    """
    module, _, attribute = entry.target.partition(":")
    if module.startswith("."):
        return getattr(importlib.import_module(module, __package__), attribute)
    from .aligner import Aligner

    try:
        cls = getattr(importlib.import_module(module), attribute)
        if not issubclass(cls, Aligner):
            raise TypeError("it is no subclass of raylign.methods.Aligner")
        return cls
    except Exception as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"the method {entry.summary} cannot be imported as {entry.target} ({told}); repair or uninstall it"
        ) from error


def names(*, learned: bool | None = None) -> list[str]:
    """Names of all methods, sorted; if asked, only those that are trained here, or only those that are not."""
    return sorted(name for name, entry in _entries().items() if learned is None or _described(entry).learned is learned)


def summary(name: str) -> str:
    """What the method does, in a few words.

    Raises:
        UnknownMethodError: no method has this name.
    """
    return _entry(name).summary


def needs_weights(name: str) -> bool:
    """Whether the method needs weights that others have published.

    Raises:
        UnknownMethodError: no method has this name.
    """
    return _described(_entry(name)).published_weights


def is_learned(name: str) -> bool:
    """Whether the method is trained by `raylign train`.

    Raises:
        UnknownMethodError: no method has this name.
    """
    return _described(_entry(name)).learned


def takes_sets(name: str) -> bool:
    """Whether the method takes any number of sources for one reference.

    Raises:
        UnknownMethodError: no method has this name.
    """
    return _described(_entry(name)).sets


def module_of(name: str) -> str:
    """The dotted name of the module that the method's class is in; it is not imported.

    Raises:
        UnknownMethodError: no method has this name.
    """
    return resolve_name(_entry(name).target.partition(":")[0], __package__)


def method_class(name: str) -> type[Aligner]:
    """The class behind a method's name.

    Raises:
        UnknownMethodError: no method has this name.
        InputError: it comes from another distribution, and importing it fails.
    """
    return _import(_entry(name))


def load(name_or_checkpoint: str | Path, *, weights: str | Path | None = None, pretrained: bool = False) -> Aligner:
    """A ready method: by name (learned ones untrained, with their default configuration), or from a checkpoint.

    Args:
        name_or_checkpoint: a name of `names()`, or a folder written by `save_pretrained` (`config.json` names the
            method, `model.safetensors` holds the weights).
        weights: file with the published weights of a method that needs them: safetensors, or a state dict of torch.
        pretrained: take those weights from torch's cache, or download them there first.

    Raises:
        UnknownMethodError: neither a method's name nor a folder.
        CheckpointError: the folder is no complete checkpoint.
        MissingWeightsError: the method needs published weights, and neither was asked for.
        InputError: the weights do not fit, cannot be had, or are given for a method that takes none; or a method of
            another distribution cannot be imported.
    """
    text = str(name_or_checkpoint)
    entry = _entries().get(text)
    if entry is not None and _described(entry).published_weights:
        # Which keywords the class takes is the promise of `published_weights`, not of `Aligner`.
        cls: Any = method_class(text)
        return cls(weights=weights, pretrained=pretrained)
    if weights is not None or pretrained:
        raise InputError(f"'{text}' takes no published weights; leave them out")
    if entry is not None:
        return method_class(text)()
    folder = Path(text)
    if not folder.is_dir():
        raise UnknownMethodError(
            f"'{text}' is neither a method ({', '.join(names())}) nor a checkpoint folder; check the spelling or path"
        )
    from .checkpoints import load_checkpoint

    return load_checkpoint(folder)


def _entry(name: str) -> MethodEntry:
    try:
        return _entries()[name]
    except KeyError:
        raise UnknownMethodError(f"unknown method '{name}'; choose one of {', '.join(names())}") from None
