"""`raylign demo`: the whole chain on this machine, small, with a report at the end.

Every step is a raylign command as a user would type it, run as a process of its own: the demo shows the commands, and
a kill at any moment leaves only what those commands leave, which resume by themselves.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..methods.errors import InputError, RaylignError
from .arguments import parse
from .children import start_command

NAME = "demo"
"""Name of the demo's training and sweep."""


@dataclass(frozen=True)
class DemoOptions:
    """The whole chain on this machine, small: render, train, tune, evaluate, promote, serve, report."""

    scenes: int = 100
    """Scenes to render."""
    epochs: int = 8
    """Epochs to train."""
    steps_per_epoch: int = 24
    """Optimizer steps in an epoch."""
    trials: int = 6
    """Trials of the sweep."""
    trial_epochs: int = 4
    """Most epochs of a trial."""
    trial_steps: int = 12
    """Optimizer steps in an epoch of a trial."""
    frames: int = 4
    """Frames per scene."""
    size: int = 128
    """Side of the rendered frames, in pixels."""
    workers: int = 0
    """Render actors and training workers; 0 means one per CPU, at most 2."""
    seed: int = 0
    """Seed of everything."""


@dataclass(frozen=True)
class Step:
    """One step of the demo: a title and the command behind it."""

    title: str
    arguments: tuple[str, ...]

    @property
    def command(self) -> str:
        """The step as a user would type it."""
        return "raylign " + shlex.join(self.arguments)


def main(arguments: Sequence[str]) -> int:
    """Run the demo; a second run continues or skips what is done."""
    options = parse(DemoOptions, arguments, "demo")
    if options.scenes < 10 or options.trials < 1 or options.epochs < 1 or options.frames < 2:
        raise InputError("a demo needs --scenes 10, --frames 2, --epochs 1 and --trials 1 or more")
    folder = Path("runs/demo")
    folder.mkdir(parents=True, exist_ok=True)
    steps = plan(options)
    timings: dict[str, float] = {}
    began = time.monotonic()
    for number, (key, step) in enumerate(steps.items(), 1):
        print(f"\n[{number}/{len(steps) + 1}] {step.title}\n  $ {step.command}", flush=True)
        start = time.monotonic()
        run_step(step)
        timings[key] = time.monotonic() - start
    print(f"\n[{len(steps) + 1}/{len(steps) + 1}] serve the champion, send it a held-out pair", flush=True)
    start = time.monotonic()
    served = serve_pair(folder, options)
    timings["serve"] = time.monotonic() - start
    timings["all"] = time.monotonic() - began
    from .demo_report import write_report

    gain = write_report(folder, steps, served, timings)
    print(
        f"\nOn held-out scenes the trained model beats identity by {gain:.1f} dB of overlap PSNR.\n"
        f"report       {folder.absolute() / 'report.html'}\n"
        f"dataset      {folder.absolute() / 'data'}\n"
        f"checkpoint   {Path('runs/train').absolute() / NAME / 'checkpoint'}\n"
        f"sweep        {Path('runs/tune').absolute() / NAME / 'report.html'}\n"
        f"MLflow       mlflow ui --backend-store-uri sqlite:///{Path('runs/mlflow.db').absolute()}\n\n"
        "Try next:\n"
        f"  raylign align {folder}/pair/reference.png {folder}/pair/source.png -o aligned.png\n"
        "  raylign serve            # then open http://127.0.0.1:8000/docs\n"
        "  raylign render sidar --scenes 200 --out runs/mine --seed 7\n"
        f"({timings['all']:.0f} s in all)"
    )
    return 0


def plan(options: DemoOptions) -> dict[str, Step]:
    """The commands of the demo, in order."""
    workers = options.workers or min(2, len(os.sched_getaffinity(0)))
    data = "runs/demo/data"
    # A network small enough to learn from a few thousand pairs on two cores. Known homographies supervise it: without
    # weights to start from, the paper's unsupervised losses alone take far longer.
    model = (
        *("--model.backbone", "resnet18", "--model.working-size", "96", "--model.mesh", "5", "5"),
        *("--model.branch", "32", "32", "64", "64", "--model.trunk", "128", "--model.linear", "512", "256"),
        *("--model.smallest-map", "3", "--model.centred-correlation", "--model.correlation-temperature", "0.05"),
        *("--model.head-norm", "batch", "--model.input-norm", "picture", "--model.supervision", "1"),
        *("--model.homography-content-weight", "0", "--augment.view-probability", "0.2"),
    )
    return {
        "render": Step(
            "render planar scenes with Blender in Ray actors",
            (
                *("render", "sidar", "--scenes", str(options.scenes), "--out", data),
                *("--size", str(options.size), "--seed", str(options.seed), "--workers", str(workers)),
                *("--preset", "handheld", "--scene.frames", str(options.frames)),
            ),
        ),
        "train": Step(
            "train the cross-scale method with Ray Train",
            (
                *("train", "crossscale", "--data", data, "--name", NAME, "--workers", str(workers), "--resume"),
                *("--loop.epochs", str(options.epochs), "--loop.steps-per-epoch", str(options.steps_per_epoch)),
                *("--loop.batch-size", "32", "--loop.lr", "1e-3", "--loop.schedule", "cosine"),
                *(
                    "--loop.warmup-steps",
                    "20",
                    "--loop.val-every",
                    "2",
                    "--loop.seed",
                    str(options.seed),
                    *model,
                    "--model.levels",
                    "1",
                ),
            ),
        ),
        "tune": Step(
            "search levels, JND weight and learning rate with Ray Tune, Optuna and ASHA",
            (
                *("tune", "crossscale", "--data", data, "--name", NAME, "--trials", str(options.trials)),
                *("--epochs-max", str(options.trial_epochs), "--grace", "1", "--seed", str(options.seed)),
                *("--loop.steps-per-epoch", str(options.trial_steps), "--loop.batch-size", "16", "--loop.lr", "1e-3"),
                *("--loop.val-pairs", "16", *model),
            ),
        ),
        "evaluate": Step(
            "compare on held-out scenes",
            (
                *("evaluate", "--data", data, "--methods", "identity", "sift", NAME),
                *("--json", "runs/demo/evaluation.json", "--html", "runs/demo/evaluation.html"),
            ),
        ),
        "promote": Step("make the trained model the champion", ("promote", NAME)),
    }


def run_step(step: Step) -> None:
    """Run one command to its end.

    Raises:
        RaylignError: it failed; its own message stands above.
    """
    process = start_command(step.arguments)
    try:
        status = process.wait()
    except BaseException:
        process.terminate()
        process.wait(timeout=30)
        raise
    if status:
        raise RaylignError(f"stopped at '{step.title}' (exit status {status}); see above, then run the demo again")


def serve_pair(folder: Path, options: DemoOptions) -> dict[str, Any]:
    """Serve the champion on a free port, send it one held-out pair, and compare with `raylign align`.

    Returns:
        Paths of the pictures, the command line, and whether both answers are equal byte for byte.

    Raises:
        RaylignError: the service does not come up or does not answer as `raylign align` does.
    """
    import httpx

    pair = write_pair(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    arguments = ("serve", "--port", str(port))
    print(f"  $ raylign {shlex.join(arguments)}", flush=True)
    log = folder / "serve.log"
    with log.open("wb") as stream:
        server = start_command(arguments, stdout=stream, stderr=stream)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                if httpx.get(f"{url}/healthz", timeout=5).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            if server.poll() is not None or time.monotonic() > deadline:
                raise RaylignError(f"the service did not come up; see {log}")
            time.sleep(0.5)
        print(
            f"  $ curl -F reference=@{pair['reference']} -F source=@{pair['source']} {url}/v1/align -o served.png",
            flush=True,
        )
        files = {name: (f"{name}.png", pair[name].read_bytes(), "image/png") for name in ("reference", "source")}
        began = time.monotonic()
        answer = httpx.post(f"{url}/v1/align", files=files, data={"force": "true"}, timeout=120)
        seconds = time.monotonic() - began
        if answer.status_code != 200:
            raise RaylignError(f"the service answered {answer.status_code}: {answer.text[:200]}")
        pair["served"].write_bytes(answer.content)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(timeout=60)
        except subprocess.TimeoutExpired:
            server.kill()
    align = ("align", str(pair["reference"]), str(pair["source"]), "-o", str(pair["aligned"]), "--method", "auto")
    run_step(Step("align the same pair on the command line", (*align, "--force")))
    same = pair["aligned"].read_bytes() == answer.content
    if not same:
        raise RaylignError(f"the served answer differs from 'raylign {shlex.join(align)}'; compare {folder / 'pair'}")
    return {**{name: str(path) for name, path in pair.items()}, "seconds": seconds, "same": same}


def write_pair(folder: Path) -> dict[str, Path]:
    """Write one held-out pair, frames 0 and 1 of the first test scene, as PNG files."""
    from .data.shards import ShardReader

    reader = ShardReader(str((folder / "data").absolute()), "test")
    content = reader.read(0, ["000.png", "001.png"])
    place = folder / "pair"
    place.mkdir(exist_ok=True)
    paths = {name: place / f"{name}.png" for name in ("reference", "source", "served", "aligned")}
    paths["reference"].write_bytes(content["000.png"])
    paths["source"].write_bytes(content["001.png"])
    return paths
