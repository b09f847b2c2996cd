"""Small public datasets in exactly the folders in which they are published, with known truth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tests.datasets import texture

HEIGHT, WIDTH = 48, 64
FLOW = (3.25, -1.5)
"""Of the Sintel and pairs fixtures, in pixels."""
SHIFT = np.array([[1, 0, 4.0], [0, 1, -3.0], [0, 0, 1]])
"""Homography of the HPatches and pairs fixtures: what is at x in the reference is at x + (4, -3) in the source."""
TILT = np.array([[1.05, 0.08, 3.0], [-0.04, 0.97, 2.0], [4e-4, -3e-4, 1]])
"""Homography of the SIDAR fixture, frame 0 to frame 1, pixel centres at integers."""
SIDAR_SIZE = (60, 100)


def picture(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """`(height, width, 3)` uint8, smooth."""
    return texture(np.random.default_rng(seed), max(height, width))[:height, :width]


def save(path: Path, pixels: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def shifted(pixels: np.ndarray) -> np.ndarray:
    """What `SHIFT` makes of a reference."""
    return cv2.warpPerspective(pixels, SHIFT, (pixels.shape[1], pixels.shape[0]), borderMode=cv2.BORDER_REFLECT)


def write_udis(root: Path, train: int = 3, test: int = 2) -> Path:
    for part, count in (("training", train), ("testing", test)):
        for number in range(1, count + 1):
            for side in (1, 2):
                save(root / part / f"input{side}" / f"{number:06d}.jpg", picture(100 * number + side), quality=95)
    return root


FIRE_PAIRS = ("S01", "S02", "P01", "P37", "A01")
FIRE_POINTS = np.array([[10.5, 20.25, 12.0, 18.75], [40.0, 5.5, 42.125, 4.0], [30, 30, 31, 29.5]])


def write_fire(root: Path) -> Path:
    for number, pair in enumerate(FIRE_PAIRS):
        for side in (1, 2):
            save(root / "Images" / f"{pair}_{side}.jpg", picture(10 * number + side), quality=95)
        truth = root / "Ground Truth" / f"control_points_{pair}_1_2.txt"
        truth.parent.mkdir(exist_ok=True)
        rows = FIRE_POINTS + number
        truth.write_text("".join(" ".join(f"{value:.3f}" for value in row) + " \n" for row in rows))
    return root


def constant_flow(dx: float, dy: float) -> np.ndarray:
    return np.broadcast_to(np.array([dx, dy], np.float32), (HEIGHT, WIDTH, 2)).copy()


def write_sintel(root: Path, scenes: tuple[str, ...] = ("alley_1", "bamboo_2"), frames: int = 3) -> Path:
    for number, scene in enumerate(scenes):
        for frame in range(1, frames + 1):
            for kind in ("clean", "final"):
                pixels = picture(1000 * number + frame + 50 * (kind == "final"))
                save(root / "training" / kind / scene / f"frame_{frame:04d}.png", pixels)
            if frame == frames:
                continue
            stem = f"{scene}/frame_{frame:04d}"
            (root / "training/flow" / scene).mkdir(parents=True, exist_ok=True)
            cv2.writeOpticalFlow(str(root / f"training/flow/{stem}.flo"), constant_flow(*FLOW))
            occluded, invalid = (np.zeros((HEIGHT, WIDTH), np.uint8) for _ in range(2))
            occluded[10:20, 30:] = 255  # of it, the last three columns leave the picture
            invalid[40:44, 5:9] = 255
            save(root / f"training/occlusions/{stem}.png", occluded)
            save(root / f"training/invalid/{stem}.png", invalid)
    for frame in (1, 2, 3):
        save(root / f"test/final/ambush_1/frame_{frame:04d}.png", picture(5000 + frame))
    return root


def write_davis(root: Path, frames: int = 11) -> Path:
    lists = root / "ImageSets/2017"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("bear\n")
    (lists / "val.txt").write_text("blackswan\n")
    for number, sequence in enumerate(("bear", "blackswan")):
        for frame in range(frames):
            save(root / f"JPEGImages/480p/{sequence}/{frame:05d}.jpg", picture(100 * number + frame), quality=95)
            labels = np.zeros((HEIGHT, WIDTH), np.uint8)
            labels[5:15, frame : frame + 10] = 1
            labels[20:25, 40:50] = 2
            outline = Image.fromarray(labels, "P")
            outline.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
            path = root / f"Annotations/480p/{sequence}/{frame:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            outline.save(path)
    return root


def write_hpatches(root: Path) -> Path:
    for number, sequence in enumerate(("i_ajuntament", "v_adam", "v_bird")):
        first = picture(number)
        save(root / sequence / "1.ppm", first)
        for k in range(2, 7):
            save(root / sequence / f"{k}.ppm", shifted(first))
            np.savetxt(root / sequence / f"H_1_{k}", SHIFT)
    return root


def write_dsia(root: Path) -> Path:
    for split, names in (
        ("train", ("00001_1_0001", "00001_1_0002", "00002_11_0001")),
        ("test", ("SS_00003_4_0001", "LS_00003_4_0002")),
    ):
        for number, name in enumerate(names):
            for seed, file in enumerate(("img1", "img2", "img1_warp_gt")):
                save(root / split / name / f"{file}.png", picture(100 * number + seed))
            mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            mask[4:10, 7:20] = 255
            save(root / split / name / "input_mask.png", mask)
    return root


def sidar_matrix(true: np.ndarray) -> np.ndarray:
    """What SIDAR's script writes for a homography: its pixel coordinates run from 0 to W - 1 over the whole area."""
    height, width = SIDAR_SIZE
    ours_of_theirs = np.array([[width / (width - 1), 0, -0.5], [0, height / (height - 1), -0.5], [0, 0, 1]])
    matrix = np.linalg.inv(ours_of_theirs) @ true @ ours_of_theirs
    return matrix / np.cbrt(np.linalg.det(matrix))


def write_sidar(root: Path, scenes: int = 4, *, moved: bool = True) -> Path:
    height, width = SIDAR_SIZE
    for scene in range(scenes):
        folder = root / str(scene + 7)
        painting = picture(scene, height, width)
        save(folder / "gt.png", painting)
        for k, matrix in enumerate((np.eye(3), TILT if moved else np.eye(3))):
            inside = cv2.warpPerspective(np.full((height, width), 255, np.uint8), matrix, (width, height))
            mask = np.where(inside > 127, 0, 255).astype(np.uint8)
            mask[20:30, 40:55] = 255  # the occluder
            save(folder / f"{k}.png", cv2.warpPerspective(painting, matrix, (width, height)))
            save(folder / f"{k}-m.png", mask)
        if moved:
            np.savetxt(folder / "H_0_1.mat", sidar_matrix(TILT))
    return root


def write_pictures(root: Path, count: int = 3) -> Path:
    for number in range(count):
        save(root / f"photo_{number}.png", picture(number, 300, 400))
    return root


def write_manifest(root: Path) -> Path:
    """One pair of each kind of truth, one picture without a partner, one pair without truth."""
    first = picture(1)
    save(root / "A/one.png", first)
    save(root / "A/two.jpg", shifted(first), quality=98)
    np.savetxt(root / "A/H.txt", SHIFT)
    for number in (1, 2):
        save(root / f"D/frame{number}.png", picture(10 + number))
    flow = constant_flow(*FLOW)
    flow[7, 11] = 1.7e9
    cv2.writeOpticalFlow(str(root / "D/flow.flo"), flow)
    kitti = np.zeros((HEIGHT, WIDTH, 3), np.uint16)
    kitti[..., 2], kitti[..., 1] = (int(32768 + 64 * each) for each in FLOW)
    kitti[: HEIGHT // 2, :, 0] = 1
    cv2.imwrite(str(root / "D/flow.png"), kitti)
    (root / "manifest.csv").write_text(
        "set,pair id,file1,file2,gt file,licence\n"
        "A,homogr/one,A/one.png,A/two.jpg,A/H.txt,CC0\n"
        "D,middlebury/1,D/frame1.png,D/frame2.png,D/flow.flo,CC0\n"
        "A,plain/one,A/one.png,A/two.jpg,,CC0\n"
        "F,single/one,A/one.png,,,CC0\n"
        'D,kitti/1,D/frame1.png,D/frame2.png,D/flow.png,"CC0, really"\n'
    )
    return root


def write_named_pairs(root: Path) -> Path:
    for number in range(2):
        save(root / f"room{number}_ref.png", picture(number))
        save(root / f"room{number}_src.jpg", picture(number + 9), quality=95)
    return root


def write_two_folders(root: Path) -> Path:
    for number in range(2):
        save(root / "ref" / f"{number}.png", picture(number))
        save(root / "src" / f"{number}.png", picture(number + 9, 40, 56))
    return root
