"""Several workers train as one does: BatchNorm over all of them, averaged gradients, sharded weights."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import nn

from raylign.platform.training.workers import sync_norms
from tests.training import LEARNED, small_spec, small_stages, train_in_processes


def _network() -> nn.Module:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 16, 4))
    network.append(nn.BatchNorm1d(4))
    return network.to(memory_format=torch.channels_last)


def _values() -> torch.Tensor:
    return torch.randn(6, 3, 6, 6, generator=torch.Generator().manual_seed(2)) * 3 + 1


def _norm_worker(rank: int, port: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    network = _network()
    sync_norms(network, torch.device("cpu"))
    values = _values()[:2] if rank == 0 else _values()[2:]
    values.requires_grad_(True)
    output = network(values)
    (output * torch.arange(4.0)).square().sum().backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    for gradient in gradients:
        dist.all_reduce(gradient)
    torch.save((output.detach(), values.grad, gradients, network.state_dict()), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_batch_norm_over_workers_with_unequal_shares(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_norm_worker, (port, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    network, values = _network(), _values().requires_grad_(True)
    output = network(values)
    (output * torch.arange(4.0)).square().sum().backward()
    torch.testing.assert_close(torch.cat([first[0], second[0]]), output.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.cat([first[1], second[1]]), values.grad, rtol=1e-4, atol=1e-5)
    for found, parameter in zip(first[2], network.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad, rtol=1e-4, atol=1e-4)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(first[3][name], value, rtol=1e-5, atol=1e-6)
        assert torch.equal(first[3][name], second[3][name]), name


@pytest.mark.parametrize(
    "method", [pytest.param(each, marks=() if each == "crossscale" else pytest.mark.slow) for each in LEARNED]
)
def test_sharded_weights_train_as_whole_ones(method: str, data_for: Callable[[str], str], tmp_path: Path) -> None:
    url, epochs, found = data_for(method), max(2, small_stages(method)), {}
    for sharding in ("none", "fsdp"):
        spec = small_spec(method, url, epochs=epochs, steps_per_epoch=2, sharding=sharding, ema=0.9)
        found[sharding] = train_in_processes(spec, 2, tmp_path / sharding)
    for name in ("loss", "val_psnr_overlap"):
        assert [entry[name] for entry in found["fsdp"]] == pytest.approx(
            [entry[name] for entry in found["none"]], rel=1e-3
        )
    whole, sharded = (load_file(tmp_path / each / "last" / "model.safetensors") for each in ("none", "fsdp"))
    assert whole.keys() == sharded.keys()
    assert all(value.shape == whole[name].shape for name, value in sharded.items())
    # Its checkpoint goes on in one worker, with whole weights.
    spec = small_spec(method, url, epochs=epochs + 1, steps_per_epoch=2, ema=0.9)
    history = train_in_processes(spec, 1, tmp_path / "fsdp")
    assert [entry["epoch"] for entry in history] == [epochs + 1]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("method", LEARNED)
def test_200_steps_with_1_2_and_4_workers_end_at_the_same_loss(
    method: str, data_for: Callable[[str], str], tmp_path: Path
) -> None:
    url, losses = data_for(method), {}
    for workers in (1, 2, 4):
        # The method's usual learning rate: rounding grows with each step, ten times as fast at ten times the rate.
        spec = small_spec(method, url, epochs=20, steps_per_epoch=10, batch_size=8, val_every=20, lr=1e-4)
        history = train_in_processes(spec, workers, tmp_path / str(workers))
        losses[workers] = history[-1]["loss"]
    print(f"\n{method}: loss of steps 191 to 200 by workers: {losses}")
    assert losses[2] == pytest.approx(losses[1], rel=1e-3)
    assert losses[4] == pytest.approx(losses[1], rel=1e-3)
