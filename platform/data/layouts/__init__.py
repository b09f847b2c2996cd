"""Readers of public datasets in the folders in which they are published: one small file per dataset.

A layout turns the published files into the fields of docs/architecture.md, "Samples", when they are asked for; nothing
is copied and nothing is decoded to open a folder. `opening.open_reader` picks the layout.
"""

from __future__ import annotations

NAMES = ("udis-d", "fire", "sintel", "davis", "hpatches", "dsia", "sidar", "pairs", "homographynet", "shots")
"""Layouts by the prefix that forces them, as in `fire:/data/FIRE`."""


def split_prefix(url: str) -> tuple[str | None, str]:
    """The layout that a URL forces, None where it forces none, and the rest of the URL.

    Args:
        url: for example `fire:/data/FIRE`, `/data/FIRE` or `s3://bucket/set`.
    """
    name, colon, place = url.partition(":")
    return (name, place) if colon and name in NAMES else (None, url)
