"""What can go wrong with a render. Each is told by name and recorded; none is shipped as a picture."""

from __future__ import annotations

from ..methods.errors import RaylignError


class RenderError(RaylignError):
    """A scene could not be rendered."""


class BlenderError(RenderError):
    """Blender itself reported an error, or wrote no picture."""


class MissingTextureError(RenderError):
    """The painting did not reach the renderer, which would paint its place pink."""


class NonFiniteError(RenderError):
    """The renderer returned infinite values or none at all (NaN)."""


class BlackFrameError(RenderError):
    """A frame without any light: nothing of the painting can be seen."""
