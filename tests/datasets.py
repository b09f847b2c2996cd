"""Small datasets for tests, drawn with NumPy: textured planes under known homographies and changing light."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from raylign.platform.data.shards import DatasetInfo, ShardReader, ShardWriter, shard_name


def texture(rng: np.random.Generator, size: int) -> np.ndarray:
    """A smooth coloured picture `(size, size, 3)` uint8 with structure at several scales."""
    picture = np.zeros((size, size, 3), np.float32)
    for scale, weight in ((4, 1.0), (10, 0.7), (24, 0.4)):
        noise = rng.random((scale, scale, 3), dtype=np.float32)
        picture += weight * cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    picture -= picture.min()
    return (picture / picture.max() * 255).astype(np.uint8)


def homography(rng: np.random.Generator, size: int, shift: float) -> np.ndarray:
    """A random homography that moves each corner by up to `shift` pixels."""
    corners = np.array([[0, 0], [size - 1, 0], [0, size - 1], [size - 1, size - 1]], np.float32)
    moved = corners + rng.uniform(-shift, shift, (4, 2)).astype(np.float32)
    return cv2.getPerspectiveTransform(corners, moved)


def png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def write_sequences(
    folder: Path, *, scenes: int = 12, frames: int = 3, size: int = 64, shift: float = 6.0, shard_size: int = 4
) -> str:
    """A `sequence` dataset: frame k shows the same picture as frame 0 under `homographies[k]` and another gain."""
    url = str(folder)
    for shard in range(-(-scenes // shard_size)):
        with ShardWriter(url, shard_name(shard)) as writer:
            for index in range(shard * shard_size, min(scenes, (shard + 1) * shard_size)):
                rng = np.random.default_rng(index)
                base = texture(rng, size)
                fields, matrices = {"gt.png": png(base)}, []
                for k in range(frames):
                    matrix = np.eye(3) if k == 0 else homography(rng, size, shift)
                    gain = rng.uniform(0.8, 1.0)
                    frame = cv2.warpPerspective(base, matrix, (size, size), borderMode=cv2.BORDER_REFLECT)
                    fields[f"{k:03d}.png"] = png((frame * gain).astype(np.uint8))
                    matrices.append(matrix.tolist())
                fields["meta.json"] = json.dumps({"homographies": matrices, "seed": index}).encode()
                writer.write(f"{index:06d}", fields)
    held = max(1, scenes // 6)
    DatasetInfo(
        kind="sequence",
        generator="test",
        settings={},
        seed=0,
        scenes=scenes,
        shard_size=shard_size,
        splits={
            "train": [0, scenes - 2 * held],
            "val": [scenes - 2 * held, scenes - held],
            "test": [scenes - held, scenes],
        },
        fields=["NNN.png", "gt.png", "meta.json"],
        complete=True,
    ).save(url)
    return url


def arrays(**named: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **named)
    return buffer.getvalue()


def write_samples(folder: Path, samples: list[dict[str, bytes]], info: dict, shard_size: int = 4) -> str:
    """A dataset of ready-made samples; `info` is the rest of what `dataset.json` says."""
    url = str(folder)
    for shard in range(-(-len(samples) // shard_size)):
        with ShardWriter(url, shard_name(shard)) as writer:
            for index in range(shard * shard_size, min(len(samples), (shard + 1) * shard_size)):
                writer.write(f"{index:06d}", samples[index])
    settings = {"settings": {}, "seed": 0, "scenes": len(samples), "shard_size": shard_size, "complete": True} | info
    DatasetInfo(**settings).save(url)
    return url


def read_samples(url: str) -> tuple[list[dict[str, bytes]], dict]:
    """What `write_samples` takes, of a dataset that is there: tests damage one field and write it again."""
    info = asdict(DatasetInfo.load(url))
    return list(ShardReader(url)), {name: info[name] for name in ("kind", "generator", "settings", "splits", "fields")}


def look_at(position: np.ndarray, target: np.ndarray, down: np.ndarray) -> np.ndarray:
    """World to camera `(3, 4)`, axes x right, y down, z forward."""
    z = (target - position) / np.linalg.norm(target - position)
    x = np.cross(down, z) / np.linalg.norm(np.cross(down, z))
    turn = np.stack([x, np.cross(z, x), z])
    return np.column_stack([turn, -turn @ position])


def cast(size: int, focal: float, camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre `(3,)` and directions `(size, size, 3)` in the world, one unit deep, of the rays through the pixels."""
    middle = (size - 1) / 2
    ys, xs = np.indices((size, size))
    rays = np.stack([(xs - middle) / focal, (ys - middle) / focal, np.ones((size, size))], -1)
    return -camera[:, :3].T @ camera[:, 3], rays @ camera[:, :3]


def planar_sample(index: int, size: int, frames: int, lighting: str) -> dict[str, bytes]:
    """A painting on z = 0 seen by cameras above it; with `random` lighting a sphere floats before frames 1 onwards."""
    rng = np.random.default_rng(index)
    base = texture(rng, size)
    half, height = 3.5, 10.0
    cameras, lenses = [], []
    for k in range(frames):
        position = np.array([0, 0, height]) if k == 0 else np.array([*rng.uniform(-2, 2, 2), rng.uniform(8, 10)])
        cameras.append(look_at(position, np.zeros(3), np.array([0.0, -1.0, 0.0])))
        lenses.append(height * size / 7 * (1 if k == 0 else rng.uniform(0.8, 1.0)))
    middle = (size - 1) / 2
    intrinsics = [np.array([[lens, 0, middle], [0, lens, middle], [0, 0, 1.0]]) for lens in lenses]
    planes = [k @ c[:, [0, 1, 3]] for k, c in zip(intrinsics, cameras, strict=True)]
    fields: dict[str, bytes] = {"gt.png": png(base)}
    matrices, spheres = [], []
    for k in range(frames):
        matrix = planes[k] @ np.linalg.inv(planes[0])
        matrices.append(matrix / np.cbrt(np.linalg.det(matrix)))
        centre, rays = cast(size, lenses[k], cameras[k])
        depth = -centre[2] / rays[..., 2]
        points = centre + depth[..., None] * rays
        on = (np.abs(points[..., :2]) <= half).all(-1)
        depth = np.where(on, depth, np.inf)
        frame = cv2.warpPerspective(base, matrices[-1], (size, size), flags=cv2.INTER_CUBIC)
        frame[~on] = 0
        mask = np.zeros((size, size), np.uint8)
        spheres.append([])
        if lighting == "random":
            frame = (frame * rng.uniform(0.6, 0.9)).astype(np.uint8)
        if lighting == "random" and k > 0:
            ball, radius = np.array([*rng.uniform(-1.5, 1.5, 2), 2.0]), 0.7
            a, b = (rays * rays).sum(-1), (rays * (centre - ball)).sum(-1)
            inner = b * b - a * (((centre - ball) ** 2).sum() - radius**2)
            hit = inner > 0
            depth = np.where(hit, (-b - np.sqrt(np.maximum(inner, 0))) / a, depth)
            frame[hit], mask[hit] = (200, 60, 40), 255
            spheres[-1].append({"shape": "sphere", "position": ball.tolist(), "radius": radius})
        fields[f"{k:03d}.png"] = png(frame)
        fields[f"{k:03d}.mask.png"] = png(mask)
        fields[f"{k:03d}.depth.npz"] = arrays(depth=depth.astype(np.float32))
    meta = {
        "size": [size, size],
        "lighting": lighting,
        "occluders": spheres,
        "homographies": [each.tolist() for each in matrices],
        "cameras": [
            {"intrinsics": k.tolist(), "world_to_camera": c.tolist()} for k, c in zip(intrinsics, cameras, strict=True)
        ],
    }
    return fields | {"meta.json": json.dumps(meta).encode()}


def write_planar(folder: Path, *, scenes: int = 6, frames: int = 3, size: int = 64, lighting: str = "ambient") -> str:
    """A `sequence` dataset with cameras, masks and depth, exact to the pixel."""
    info = {
        "kind": "sequence",
        "generator": "test",
        "splits": {"train": [0, scenes - 2], "val": [scenes - 2, scenes - 1], "test": [scenes - 1, scenes]},
        "fields": ["NNN.png", "NNN.mask.png", "NNN.depth.npz", "gt.png", "meta.json"],
    }
    return write_samples(folder, [planar_sample(k, size, frames, lighting) for k in range(scenes)], info)


def moving_sample(index: int, size: int) -> dict[str, bytes]:
    """A plane seen from two places while a disc moves on it; gt is the source's moment from the reference's place."""
    rng = np.random.default_rng(200 + index)
    base, matrix = texture(rng, size), homography(rng, size, size / 16)
    ys, xs = np.indices((size, size))
    discs = [np.hypot(xs - x, ys - y) < size / 8 for x, y in rng.uniform(0.3 * size, 0.7 * size, (2, 2))]
    moments = [np.where(disc[..., None], np.array([230, 60, 40], np.uint8), base) for disc in discs]
    truth = (moments[1] * rng.uniform(0.8, 1.0)).astype(np.uint8)
    return {
        "ref.png": png(moments[0]),
        "src.png": png(cv2.warpPerspective(truth, matrix, (size, size), borderMode=cv2.BORDER_REFLECT)),
        "gt.png": png(truth),
        "dynamic.png": png((discs[0] | discs[1]).astype(np.uint8) * 255),
        "meta.json": json.dumps({"size": [size, size], "homography": matrix.tolist()}).encode(),
    }


def write_moving(folder: Path, *, scenes: int = 12, size: int = 64) -> str:
    """A `pair` dataset in which something moves, with the true picture, its mask and a homography of the plane."""
    return _write_pairs(folder, [moving_sample(k, size) for k in range(scenes)])


def _write_pairs(folder: Path, samples: list[dict[str, bytes]]) -> str:
    """A `pair` dataset; the last third of the samples is held out."""
    held, count = max(1, len(samples) // 6), len(samples)
    info = {
        "kind": "pair",
        "generator": "test",
        "splits": {
            "train": [0, count - 2 * held],
            "val": [count - 2 * held, count - held],
            "test": [count - held, count],
        },
        "fields": list(samples[0]),
    }
    return write_samples(folder, samples, info)


def retina_sample(index: int, size: int) -> dict[str, bytes]:
    """A bright disc with dark lines, the vessels, seen twice: only the homography that comes closest is known."""
    rng = np.random.default_rng(300 + index)
    ys, xs = np.indices((size, size))
    disc = np.hypot(xs - (size - 1) / 2, ys - (size - 1) / 2) < 0.47 * size
    vessels = np.zeros((size, size), np.uint8)
    for _ in range(6):
        start, end = rng.uniform(0.1 * size, 0.9 * size, (2, 2)).round().astype(int).tolist()
        cv2.line(vessels, start, end, 255, max(1, size // 40), cv2.LINE_AA)
    vessels[~disc] = 0
    base = (texture(rng, size) * 0.15 + np.array([170, 90, 40])).clip(0, 255)
    base = np.where(disc[..., None], base * (1 - 0.6 * vessels[..., None] / 255), 0).astype(np.uint8)
    matrix = homography(rng, size, size / 12)
    seen = [cv2.warpPerspective(picture, matrix, (size, size)) for picture in (base, vessels)]
    return {
        "ref.png": png(base),
        "src.png": png(seen[0]),
        "vessels.png": png(vessels),
        "vessels-src.png": png(seen[1]),
        "meta.json": json.dumps({"size": [size, size], "parallax": {"homography": matrix.tolist()}}).encode(),
    }


def write_retinas(folder: Path, *, scenes: int = 12, size: int = 64) -> str:
    """A `pair` dataset shaped like that of the renderer of retinas, with masks of vessels."""
    return _write_pairs(folder, [retina_sample(k, size) for k in range(scenes)])


class Layers:
    """A wall with a board before it, and sky above the wall: what a ray meets is known in closed form."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.wall, self.top = 6.0, -1.6
        self.board, self.centre = rng.uniform(3.2, 4.2), rng.uniform(-0.5, 0.5, 2)
        self.half = np.array([0.8, 0.6])
        self.pictures = [texture(rng, 256).astype(np.float32) for _ in range(2)]

    def depths(self, centre: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance along each ray (in units of the ray) and the surface: 0 wall, 1 board, 2 sky."""
        far = (self.wall - centre[2]) / rays[..., 2]
        near = (self.board - centre[2]) / rays[..., 2]
        on_wall = (centre + far[..., None] * rays)[..., 1] >= self.top
        at = (centre + near[..., None] * rays)[..., :2] - self.centre
        on_board = (np.abs(at) <= self.half).all(-1)
        depth = np.where(on_board, near, np.where(on_wall, far, np.inf))
        return depth, np.where(on_board, 1, np.where(on_wall, 0, 2))

    def colours(self, centre: np.ndarray, rays: np.ndarray) -> np.ndarray:
        depth, surface = self.depths(centre, rays)
        points = centre + np.where(np.isfinite(depth), depth, 0)[..., None] * rays
        colours = np.empty((*depth.shape, 3), np.float32)
        colours[:] = (150, 190, 230)
        for number, picture in enumerate(self.pictures):
            place = ((points[..., :2] + 8) / 16 * 255 * (1.5 if number else 1)).astype(np.float32) % 255
            drawn = cv2.remap(picture, place[..., 0], place[..., 1], cv2.INTER_LINEAR)
            colours[surface == number] = drawn[surface == number]
        return colours.clip(0, 255).astype(np.uint8)


def pair_sample(index: int, size: int) -> dict[str, bytes]:
    """Two views of `Layers`; the reference is a little darker than source and ground truth."""
    rng = np.random.default_rng(100 + index)
    scene, focal, middle = Layers(rng), 1.1 * size, (size - 1) / 2
    intrinsics = np.array([[focal, 0, middle], [0, focal, middle], [0, 0, 1.0]])
    places = [np.zeros(3), np.array([rng.choice([-1, 1]) * rng.uniform(0.4, 0.7), *rng.uniform(-0.15, 0.15, 2)])]
    goals = [np.array([0, 0, 5.0]), np.array([*rng.uniform(-0.3, 0.3, 2), 5.0])]
    cameras = [look_at(place, goal, np.array([0.0, 1.0, 0.0])) for place, goal in zip(places, goals, strict=True)]
    views = [cast(size, focal, camera) for camera in cameras]
    depths = [scene.depths(*view)[0] for view in views]
    picture = [scene.colours(*view) for view in views]
    centre, rays = views[0]
    known = np.isfinite(depths[0])
    points = np.where(known[..., None], centre + np.where(known, depths[0], 0)[..., None] * rays, rays * 1e9)
    seen = points @ cameras[1][:, :3].T + cameras[1][:, 3]
    pixels = (seen @ intrinsics.T)[..., :2] / seen[..., 2:]
    ys, xs = np.indices((size, size))
    flow = np.stack([pixels[..., 0] - xs, pixels[..., 1] - ys])
    towards = points - views[1][0]
    met, _ = scene.depths(views[1][0], towards)
    hidden = met < 1 - 1e-6
    inside = ((pixels >= -0.5) & (pixels <= size - 0.5)).all(-1)
    hidden &= inside
    visible = inside & ~hidden
    start = np.stack([xs, ys], -1)[visible].astype(np.float64)
    fitted, _ = cv2.findHomography(start, pixels[visible], 0)
    moved = cv2.perspectiveTransform(start[None], fitted)[0]
    distance = np.linalg.norm(pixels[visible] - moved, axis=-1)
    p90 = float(np.quantile(distance, 0.9))
    meta = {
        "size": [size, size],
        "cameras": [{"intrinsics": intrinsics.tolist(), "world_to_camera": each.tolist()} for each in cameras],
        "overlap": float(visible.mean()),
        "parallax": {
            "p90_px": p90,
            "p90_percent": 100 * p90 / float(np.hypot(size, size)),
            "rms_px": float(np.sqrt((distance**2).mean())),
            "homography": fitted.tolist(),
        },
        "layout": "layers",
        "difficulty": ("easy", "moderate", "hard")[index % 3],
    }
    return {
        "ref.png": png((picture[0] * 0.85).astype(np.uint8)),
        "src.png": png(picture[1]),
        "gt.png": png(picture[0]),
        "flow.npz": arrays(flow=flow.astype(np.float32)),
        "occlusion.png": png(hidden.astype(np.uint8) * 255),
        "depth.npz": arrays(ref=depths[0].astype(np.float32), src=depths[1].astype(np.float32)),
        "meta.json": json.dumps(meta).encode(),
    }


def write_pairs(folder: Path, *, scenes: int = 6, size: int = 64) -> str:
    """A `pair` dataset with exact flow, occlusion, depth and cameras, without a homography between the pictures."""
    info = {
        "kind": "pair",
        "generator": "test",
        "splits": {
            "train": [0, scenes - 2],
            "val": [scenes - 2, scenes - 1],
            "test": [scenes - 2, scenes],
            "test-hard": [scenes - 1, scenes],
        },
        "fields": ["ref.png", "src.png", "gt.png", "flow.npz", "occlusion.png", "depth.npz", "meta.json"],
    }
    return write_samples(folder, [pair_sample(k, size) for k in range(scenes)], info)
