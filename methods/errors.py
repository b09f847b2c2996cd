"""The errors that raylign raises on purpose. Each message is one line that tells the cure.

The command line turns `exit_status` into its exit status, the service turns `http_status` into its answer.
"""

from __future__ import annotations


class RaylignError(Exception):
    """Base of every error that raylign raises on purpose."""

    exit_status = 1
    http_status = 500


class InputError(RaylignError):
    """What the user gave is wrong: a file, an option, a name, a full disk, a busy port."""

    exit_status = 2
    http_status = 422


class ImageError(InputError):
    """A picture is missing, unreadable, truncated, too small or too large."""


class UnknownMethodError(InputError):
    """No alignment method has this name."""


class CheckpointError(InputError):
    """A checkpoint is missing, incomplete, or belongs to another method."""


class MissingWeightsError(InputError):
    """A method needs published weights, and neither a file nor their download was asked for."""


class DatasetError(InputError):
    """A dataset is missing, incomplete, or of another kind than the command needs."""


class UnreliableAlignmentError(RaylignError):
    """No alignment with enough confidence was found; nothing was written."""

    exit_status = 3
    http_status = 422
