"""The kinds of scenes that can be rendered, each by the names of its parts; a part is imported when it is used."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Literal

from ..methods.errors import InputError

Device = Literal["cpu", "cuda", "optix"]
"""What Blender computes on."""


@dataclass(frozen=True)
class Kind:
    """A kind of scenes; parts are `module:name`, seen from this package."""

    summary: str
    options: str
    """Function `(arguments) -> RenderOptions` that reads the command line."""
    plan: str
    """Function `(options) -> Plan`."""
    read: str
    """Function `(text) -> spec`: the scene behind what the plan says of it, in JSON; a scene has a `key`."""
    render: str
    """Function `(spec, pictures, threads, device) -> fields`; the only part that may need Blender."""
    blender: bool = True
    """Whether it does."""


KINDS = {
    "sidar": Kind(
        summary="a painting in several frames under changing lights, occluders and cameras (SIDAR, DIAR)",
        options="sidar.command:read_options",
        plan="sidar.command:plan",
        read="sidar.scenes:read_scene",
        render="blender.sidar:render_scene",
    ),
    "parallax": Kind(
        summary="a room, facade or street from two places, with flow, occlusion and depth (stitching)",
        options="parallax.command:read_options",
        plan="parallax.command:plan",
        read="parallax.order:read_scene",
        render="blender.parallax:render_parallax",
    ),
    "dsia": Kind(
        summary="people and things that move, and the second moment from the first camera (DSIA, DMAligner)",
        options="dsia.command:read_options",
        plan="dsia.command:plan",
        read="dsia.order:read_scene",
        render="blender.dsia:render_dsia",
    ),
    "fundus": Kind(
        summary="a retina photographed twice, standard and ultra-widefield, with flow and control points (ADM)",
        options="fundus.command:read_options",
        plan="fundus.command:plan",
        read="fundus.order:read_scene",
        render="blender.fundus:render_fundus",
    ),
    "collage": Kind(
        summary="pieces of many materials at several depths, twice, with flow and occlusion; thousands in minutes",
        options="collage.command:read_options",
        plan="collage.command:plan",
        read="collage.order:read_scene",
        render="collage.render:render_collage",
        blender=False,
    ),
}
"""Name to kind."""


def kind(name: str) -> Kind:
    """The kind of this name.

    Raises:
        InputError: there is none.
    """
    if name not in KINDS:
        raise InputError(f"unknown scene kind '{name}'; choose one of {', '.join(KINDS)}")
    return KINDS[name]


def part(path: str) -> Any:
    """The object behind `module:name`.

    Raises:
        ImportError: what the part needs is not installed.
    """
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(f".{module}", __package__), name)
