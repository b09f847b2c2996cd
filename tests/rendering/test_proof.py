"""The proof of the geometry: warping frame k by its stored homography reproduces the ground truth.

Twenty scenes under even light, cameras from the default ranges. The pictures are smooth, so that what is measured is
where things are and not how much detail an oblique view keeps; the last test repeats it on the built-in paintings.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import map_coordinates

pytest.importorskip("bpy", reason="Blender is the extra raylign[render]")

from raylign.rendering.cameras import sidar_correction
from raylign.rendering.sidar.config import SidarConfig
from raylign.rendering.sidar.presets import PRESETS
from raylign.rendering.sidar.sampling import sample_scene
from raylign.rendering.splits import split_ranges
from raylign.rendering.textures import PaintingSpec, PictureSpec, plan_textures

from .conftest import Picture

SCENES, SIZE, FRAMES = 20, 128, 3
BORDER = 4
"""Pixels that are left out along the borders of both pictures."""
SHIFTS = [(1, 0), (-1, 0), (0, 1), (0, -1)]

Rendered = list[dict[str, bytes]]


def render(texture: PaintingSpec | PictureSpec, index: int, folder: Path | None) -> dict[str, bytes]:
    return render_scene_of(SidarConfig(frames=FRAMES, lighting="ambient"), texture, index, folder)


def render_scene_of(
    config: SidarConfig, texture: PaintingSpec | PictureSpec, index: int, folder: Path | None = None
) -> dict[str, bytes]:
    from raylign.rendering.blender.sidar import render_scene

    return render_scene(sample_scene(config, 0, index, SIZE, texture), str(folder) if folder else None, 1)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    folder = tmp_path_factory.mktemp("smooth")
    fields = []
    for index in range(SCENES):
        rng = np.random.default_rng(index)
        smooth = np.zeros((512, 512, 3))
        for cells, weight in ((4, 1.0), (8, 0.6), (14, 0.4)):
            for channel in range(3):
                grid = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
                smooth[..., channel] += weight * np.asarray(grid.resize((512, 512), Image.Resampling.BICUBIC))
        smooth = 10 + 235 * (smooth - smooth.min()) / np.ptp(smooth)
        Image.fromarray(smooth.astype(np.uint8)).save(folder / f"{index}.png")
        fields.append(render(PictureSpec(f"{index}.png", (1.0, 0.0, 0.0)), index, folder))
    return fields


def homographies(fields: Mapping[str, bytes]) -> list[np.ndarray]:
    return [np.array(each) for each in json.loads(fields["meta.json"])["homographies"]]


def sampled_at(matrix: np.ndarray) -> np.ndarray:
    """Pixels (2, H, W), x and y, to which the homography maps the pixels of frame 0."""
    rows, columns = np.indices((SIZE, SIZE), dtype=float)
    mapped = np.einsum("ij,jhw->ihw", matrix, np.stack([columns, rows, np.ones_like(rows)]))
    return mapped[:2] / mapped[2]


def warp(frame: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The frame brought to frame 0, by cubic splines."""
    x, y = sampled_at(matrix)
    return np.stack([map_coordinates(frame[..., channel], [y, x], order=3) for channel in range(3)], axis=-1)


def inside(matrix: np.ndarray) -> np.ndarray:
    """Pixels (H, W) of frame 0 that lie away from the borders of both pictures."""
    x, y = sampled_at(matrix)
    within = (np.minimum(x, y) > BORDER) & (np.maximum(x, y) < SIZE - 1 - BORDER)
    within[:BORDER] = within[-BORDER:] = within[:, :BORDER] = within[:, -BORDER:] = False
    return within


def psnr(found: np.ndarray, true: np.ndarray, within: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((found - true)[within] ** 2)))


def shifted(matrix: np.ndarray, x: float, y: float) -> np.ndarray:
    return matrix @ np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])


def remaining_motion(found: np.ndarray, true: np.ndarray, within: np.ndarray) -> float:
    """Largest motion, in pixels at the corners, of the affine motion that best explains the difference (least squares).

    Linear in the motion (Lucas and Kanade 1981), which is exact enough below a tenth of a pixel.
    """
    rows, columns = np.indices((SIZE, SIZE)) / (SIZE - 1) - 0.5
    down, right = np.gradient(true, axis=(0, 1))
    basis = [np.ones_like(rows), columns, rows]
    design = [(gradient * each[..., None])[within].ravel() for gradient in (right, down) for each in basis]
    solved, *_ = np.linalg.lstsq(np.stack(design, axis=1), (found - true)[within].ravel(), rcond=None)
    corners = np.array([[1, x, y] for x in (-0.5, 0.5) for y in (-0.5, 0.5)])
    return float(np.hypot(corners @ solved[:3], corners @ solved[3:]).max())


def test_warping_by_the_homography_reproduces_the_ground_truth(rendered: Rendered, picture: Picture) -> None:
    quality = []
    for fields in rendered:
        truth = picture(fields, "gt.png")
        for number, matrix in enumerate(homographies(fields)):
            within = inside(matrix)
            assert within.mean() > 0.2
            quality.append(psnr(warp(picture(fields, f"{number:03d}.png"), matrix), truth, within))
    print(f"\nproof: {len(quality)} frames, least {min(quality):.1f} dB, median {np.median(quality):.1f} dB")
    assert min(quality) > 35


def test_no_motion_remains(rendered: Rendered, picture: Picture) -> None:
    motion = []
    for fields in rendered:
        truth = picture(fields, "gt.png")
        for number, matrix in enumerate(homographies(fields)):
            warped = warp(picture(fields, f"{number:03d}.png"), matrix)
            motion.append(remaining_motion(warped, truth, inside(matrix)))
    print(f"\nproof: largest remaining motion {max(motion):.4f} px, median {np.median(motion):.4f} px")
    # An oblique frame has a third of frame 0's pixels along each axis: 0.08 here is 0.03 of its own pixels.
    assert max(motion) < 0.08
    assert np.median(motion) < 0.03


def test_the_measure_of_motion_sees_a_tenth_of_a_pixel(rendered: Rendered, picture: Picture) -> None:
    truth = picture(rendered[0], "gt.png")
    matrix = shifted(np.eye(3), 0.1, 0.0)
    assert remaining_motion(warp(truth, matrix), truth, inside(matrix)) == pytest.approx(0.1, rel=0.05)


def test_the_released_homography_and_every_shift_are_worse(rendered: Rendered, picture: Picture) -> None:
    """Better than without the correction, and than one pixel off in any direction."""
    correction = sidar_correction(SIZE, SIZE)
    gained = []
    for fields in rendered:
        truth = picture(fields, "gt.png")
        for number, matrix in list(enumerate(homographies(fields)))[1:]:
            frame, within = picture(fields, f"{number:03d}.png"), inside(matrix)
            ours = psnr(warp(frame, matrix), truth, within)
            released = np.linalg.inv(correction) @ matrix @ correction
            # At most half a pixel apart, at the borders: in single oblique frames the lost detail weighs more.
            gained.append(ours - psnr(warp(frame, released), truth, within))
            motion = [remaining_motion(warp(frame, each), truth, within) for each in (matrix, released)]
            assert motion[0] < motion[1]
            assert ours > max(psnr(warp(frame, shifted(matrix, *each)), truth, within) for each in SHIFTS) + 3
    assert np.mean(gained) > 0.1
    assert min(gained) > -0.2


@pytest.mark.parametrize("family", ["landscape", "marble", "mosaic", "poster", "strokes"])
def test_paintings_are_aligned_too(family: str, picture: Picture) -> None:
    """Full of detail that oblique views lose, yet best at the stored homography and without remaining motion."""
    fields = render(PaintingSpec(family, 5), 0, None)
    truth = picture(fields, "gt.png")
    for number, matrix in enumerate(homographies(fields)):
        frame, within = picture(fields, f"{number:03d}.png"), inside(matrix)
        ours = psnr(warp(frame, matrix), truth, within)
        assert ours > max(psnr(warp(frame, shifted(matrix, *each)), truth, within) for each in SHIFTS) + 1


def test_built_in_paintings_photographed_by_hand(picture: Picture) -> None:
    config = dataclasses.replace(PRESETS["handheld"], frames=2, lighting="ambient", samples=16)
    textures, _, _ = plan_textures(config.picture_share, config.picture_crop, split_ranges(SCENES, 0.1, 0.1), None)
    quality = []
    for index in range(SCENES):
        fields = render_scene_of(config, textures.choose(0, index), index)
        matrix = homographies(fields)[1]
        quality.append(psnr(warp(picture(fields, "001.png"), matrix), picture(fields, "gt.png"), inside(matrix)))
    print(f"\nhandheld: {len(quality)} frames, least {min(quality):.1f} dB, median {np.median(quality):.1f} dB")
    assert min(quality) > 35
