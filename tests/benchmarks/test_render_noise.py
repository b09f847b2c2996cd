"""Noise against time: our frames, the denoiser, and what the released renderer does. `make bench` prints the table."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from raylign.rendering.exposure import metered_gain, png, to_srgb
from raylign.rendering.sidar.config import SidarConfig
from raylign.rendering.sidar.sampling import sample_scene
from raylign.rendering.sidar.scenes import SceneSpec
from raylign.rendering.textures import PaintingSpec, texture_image

pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="Blender is raylign[render]"),
]

SIZE, REFERENCE, THREADS, SCENES = 256, 4096, 2, 1
RELEASED = Path(__file__).with_name("released_sidar.py")


def scene(index: int) -> SceneSpec:
    return sample_scene(SidarConfig(frames=2), 7, index, SIZE, PaintingSpec("strokes", index))


def released(spec: SceneSpec, folder: Path, samples: int | None = None) -> tuple[np.ndarray, float]:
    """Light of frame 1 and the seconds that it and its mask took."""
    import OpenEXR

    folder.mkdir(exist_ok=True)
    (folder / "scene.json").write_text(spec.to_json())
    texture_image(spec.texture, None, spec.width, spec.height).save(folder / "texture.png")
    arguments = [
        str(folder / "scene.json"),
        str(folder / "texture.png"),
        str(folder),
        *([str(samples)] if samples else []),
    ]
    said = subprocess.run(
        [sys.executable, str(RELEASED), *arguments], capture_output=True, text=True, check=True, env=dict(os.environ)
    ).stdout
    times = [line.split()[1:] for line in said.splitlines() if line.startswith("seconds")]
    name = folder / ("reference.exr" if samples else "frame.exr")
    with OpenEXR.File(str(name)) as file:
        light = np.array(next(pixels.pixels for key, pixels in file.channels().items() if key in ("RGB", "RGBA")))
    return light[..., :3].astype(np.float32), sum(map(float, times[0])) if times else 0.0


def ours(spec: SceneSpec, monkeypatch: pytest.MonkeyPatch, samples: int, denoise: bool) -> tuple[np.ndarray, float]:
    """Light of frame 1 and the seconds that it and its mask took, in a scene that stands (as for all but the first)."""
    from raylign.rendering.blender import sidar as module

    seen: list[np.ndarray] = []
    times: list[float] = []
    frame = module._Stage._frame

    def timed(stage: object, *arguments: object) -> object:
        start = time.perf_counter()
        made = frame(stage, *arguments)  # type: ignore[arg-type]
        times.append(time.perf_counter() - start)
        seen.append(made[0])
        return made

    monkeypatch.setattr(module._Stage, "_frame", timed)
    module.render_scene(dataclasses.replace(spec, samples=samples, denoise=denoise), None, THREADS)
    monkeypatch.setattr(module._Stage, "_frame", frame)
    return seen[1], times[1]


def psnr(light: np.ndarray, reference: np.ndarray) -> float:
    """Of the 8-bit pictures, at the exposure of the reference."""
    gain = np.float32(metered_gain(reference))
    found, true = (to_srgb(each * gain).astype(np.float64) for each in (light, reference))
    return float(10 * np.log10(255**2 / np.mean((found - true) ** 2)))


def test_ten_times_faster_than_released_at_no_more_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [(4, False), (16, False), (64, False), (8, True), (12, True), (16, True), (32, True)]
    table: dict[str, list[tuple[float, float]]] = {}
    pictures = []
    for index in range(SCENES):
        spec = scene(index)
        their_reference, _ = released(spec, tmp_path / f"reference-{index}", REFERENCE)
        our_reference, _ = ours(spec, monkeypatch, REFERENCE, False)
        runs = [released(spec, tmp_path / f"released-{index}-{turn}") for turn in range(3)]
        seconds = statistics.median(each for _, each in runs)
        table.setdefault("released", []).append((seconds, psnr(runs[0][0], their_reference)))
        row = [runs[0][0]]
        for samples, denoise in settings:
            measured = [ours(spec, monkeypatch, samples, denoise) for _ in range(3)]
            name = f"{samples} samples{' denoised' if denoise else ''}"
            seconds = statistics.median(each for _, each in measured)
            table.setdefault(name, []).append((seconds, psnr(measured[0][0], our_reference)))
            if name in ("16 samples", "64 samples", "8 samples denoised", "16 samples denoised"):
                row.append(measured[0][0])
        row.append(our_reference)
        gain = np.float32(metered_gain(our_reference))
        pictures.append(np.concatenate([to_srgb(each * gain) for each in row], axis=1))
    (tmp_path / "noise.png").write_bytes(png(np.concatenate(pictures, axis=0)))
    print(f"\n{tmp_path / 'noise.png'}: released, 16 samples, 64 samples, 8 denoised, 16 denoised, {REFERENCE} samples")
    summary = {name: np.mean(rows, axis=0) for name, rows in table.items()}
    for name, (seconds, quality) in summary.items():
        print(f"{name:22} {seconds:7.3f} s  {quality:5.1f} dB  {summary['released'][0] / seconds:6.1f} times as fast")
    slow, target = summary["released"]
    good = [name for name, (seconds, quality) in summary.items() if seconds * 10 <= slow and quality >= target]
    assert good, "no setting is ten times as fast at no more noise"
