"""The inference copy: what the network itself gives in evaluation mode, and fresh after every change of the weights."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch

from raylign.methods.crossscale import CrossScale
from raylign.methods.crossscale.inference import InferenceCopy
from tests.methods.small import picture, set_global_offsets, small_network


def used_network(**changes: Any) -> CrossScale:
    """A network in evaluation mode with running statistics and offsets of its own."""
    network = small_network(**changes)
    generator = torch.Generator().manual_seed(0)
    for name, buffer in network.named_buffers():
        if "running_mean" in name:
            buffer.normal_(0, 0.1, generator=generator)
        if "running_var" in name:
            buffer.uniform_(0.5, 1.5, generator=generator)
    torch.nn.init.normal_(network.coarse.offsets.weight, std=0.1, generator=generator)
    torch.nn.init.normal_(network.intra.offsets.weight, std=0.1, generator=generator)
    return network.eval()


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
@pytest.mark.parametrize("correlation", ["fsc", "cl", "ccl", "cv"])
@torch.inference_mode()
def test_copy_gives_what_the_network_gives(backbone: str, correlation: str) -> None:
    narrow = {"comparison_channels": (8, 8, 16, 16), "comparison_linear": (32, 16)}
    network = used_network(backbone=backbone, correlation=correlation, head_norm="batch", **narrow)
    pair = picture(0, (96, 96), 2), picture(1, (96, 96), 2)
    copied = InferenceCopy().of(network, torch.float32)
    for ours, own in zip(copied.backbone(pair[0]), network.backbone(pair[0]), strict=True):
        assert torch.allclose(ours, own, rtol=1e-3, atol=1e-4 * float(own.abs().max()))
    for ours, own in zip(copied(*pair), network(*pair), strict=True):
        assert own.abs().max() > 0.01
        assert torch.allclose(ours, own, rtol=1e-2, atol=1e-3 * float(own.abs().max()))


@torch.inference_mode()
def test_copy_in_bfloat16_is_as_true_as_autocast() -> None:
    network = used_network()
    pair = picture(0, (96, 96)), picture(1, (96, 96))
    exact = network(*pair)[1]
    copied = InferenceCopy().of(network, torch.bfloat16)
    assert copied.backbone(pair[0])[0].dtype == torch.bfloat16
    assert copied.intra.offsets.weight.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        errors = [float((each(*pair)[1] - exact).norm()) for each in (copied, network)]
    assert errors[0] < 2 * errors[1]
    assert errors[0] < 0.1 * float(exact.norm())


def test_copy_follows_the_weights() -> None:
    network, copies = used_network(), InferenceCopy()
    first = copies.of(network, torch.float32)
    assert copies.of(network, torch.float32) is first
    assert copies.of(network, torch.bfloat16) is not first
    pair = picture(0, (96, 96)), picture(1, (96, 96))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, fused=True)
    network(*pair)[1].sum().backward()
    optimizer.step()
    changes = (
        lambda: set_global_offsets(network, torch.full((4, 2), 3.0)),
        lambda: network.backbone.stem[1].running_mean.add_(1),
        lambda: network.load_state_dict({k: v * 1.1 for k, v in network.state_dict().items()}),
    )
    for change in changes:
        with torch.no_grad():
            before = copies.of(network, torch.float32)
            change()
            after = copies.of(network, torch.float32)
            assert after is not before
            assert torch.allclose(after(*pair)[0], network(*pair)[0], rtol=1e-2, atol=1e-2)


def test_network_stays_as_it_is_and_can_be_copied() -> None:
    network, copies = used_network(), InferenceCopy()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    copies.of(network, torch.bfloat16)
    after = network.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.requires_grad for parameter in network.parameters())
    for other in (copy.deepcopy(copies), pickle.loads(pickle.dumps(copies))):
        assert other.__dict__ == InferenceCopy().__dict__
