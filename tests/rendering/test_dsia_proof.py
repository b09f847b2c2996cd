"""The proof of dynamic scenes: fifty of them, their pictures against their flows. `make test-slow` runs it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

import numpy as np
import pytest

pytest.importorskip("bpy", reason="Blender is the extra raylign[render]")

from raylign.rendering.dsia.cast import draw_cast
from raylign.rendering.dsia.config import SUBSETS, DsiaConfig
from raylign.rendering.dsia.sampling import KIND, sample_dsia
from raylign.rendering.parallax.kit import Kit
from raylign.rendering.parallax.places import build_place, light_colour
from raylign.rendering.streams import choice, stream

from .conftest import Picture
from .test_dsia_render import NONE, array, bilinear, render

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SCENES, SIZE = 50, 128
NOISY, FINE = 31.0, 128
"""Below so many dB a scene is measured again, with so many samples."""
EVEN = DsiaConfig(aspect=1.0, samples=16, light_change=0.0, exposure="fixed", exposure_shift=(0.0, 0.0))
"""Equal light at both moments."""


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(np.square((a - b)[where]).mean(), 1e-9)))


def onto_reference(fields: Mapping[str, bytes], picture: Picture) -> float:
    """PSNR of gt, moved by its flow, against ref, outside of what moves."""
    ys, xs = np.indices((SIZE, SIZE), dtype=np.float64)
    reference, truth = (picture(fields, f"{name}.png") for name in ("ref", "gt"))
    moved = np.moveaxis(array(fields, "truth.npz", "ref"), 0, 2)
    found = bilinear(truth, np.stack([xs, ys], axis=2) + moved)
    return psnr(found, reference, picture(fields, "dynamic.png") == 0)


def test_fifty_scenes(picture: Picture) -> None:
    ys, xs = np.indices((SIZE, SIZE), dtype=np.float64)
    still_psnr, plain, warped_psnr, unwarped, agree = [], [], [], [], []
    for scene in range(SCENES):
        spec = sample_dsia(EVEN, 77, scene, 0, SIZE, SUBSETS[scene % 4], NONE)
        fields = render(spec, threads=2)
        if (found := onto_reference(fields, picture)) < NOISY:
            # How much of the difference is noise, more light paths tell.
            again = onto_reference(render(dataclasses.replace(spec, samples=FINE), threads=2), picture)
            print(f"scene {scene}: {found:.1f} dB, with {FINE} samples {again:.1f} dB")
            found = again
        still_psnr.append(found)
        reference, source, truth = (picture(fields, f"{name}.png") for name in ("ref", "src", "gt"))
        dynamic, hidden = picture(fields, "dynamic.png") > 0, picture(fields, "hidden.png") > 0
        plain.append(psnr(source, reference, ~dynamic))
        landing = np.moveaxis(array(fields, "truth.npz", "src"), 0, 2) + np.stack([xs, ys], axis=2)
        warped_psnr.append(psnr(bilinear(source, np.nan_to_num(landing)), truth, ~hidden))
        unwarped.append(psnr(source, truth, ~hidden))
        agree.append(json.loads(fields["meta.json"])["subset"] == spec.subset)
        assert dynamic.any()
    for name, values in (
        ("gt onto ref outside dynamic", still_psnr),
        ("src as it is onto ref", plain),
        ("src onto gt outside hidden", warped_psnr),
        ("src as it is onto gt", unwarped),
    ):
        print(f"{name}: worst {min(values):.1f}, median {np.median(values):.1f} dB")
    print(f"subset measured as asked for: {sum(agree)} of {SCENES}")
    assert min(still_psnr) > 30
    assert np.median(warped_psnr) > np.median(unwarped) + 5
    assert sum(agree) >= 0.95 * SCENES


def test_the_plans_of_the_papers_size_are_all_different() -> None:
    config, seen = DsiaConfig(), set()
    for scene in range(1033):
        layout = choice(stream(KIND, 0, scene, "layout"), config.layouts)
        kit, light = Kit(stream(KIND, 0, scene, 0, "place")), stream(KIND, 0, scene, 0, "light")
        build_place(config, layout, kit, light_colour(config, light))
        cast = draw_cast(config, (), (), stream(KIND, 0, scene, 0, "cast"), indoors=layout == "room")
        seen.add((layout, tuple(kit.parts), tuple(kit.surfaces), tuple((each.kind, each.number) for each in cast)))
    assert len(seen) == 1033
    assert len({parts for _, parts, _, _ in seen}) == 1033
