"""One model in several workers: gradients averaged (DDP), weights sharded (FSDP2), BatchNorm over all workers."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from ...methods.aligner import LearnedAligner


class TrainingStep(nn.Module):
    """`training_step` as a forward, so that wrappers see it."""

    def __init__(self, model: LearnedAligner) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The losses of a batch."""
        return self.model.training_step(batch)


def own_device(rank: int) -> torch.device:
    """This worker's device: its GPU where there are any."""
    if torch.cuda.is_available():
        return torch.device("cuda", rank % torch.cuda.device_count())
    return torch.device("cpu")


def in_workers(
    model: LearnedAligner, world_size: int, device: torch.device, sharding: Literal["none", "fsdp"]
) -> nn.Module:
    """The model's training step, such that its backward pass leaves the same gradients in every worker.

    The model itself is changed: with 'fsdp' its weights become shards, so optimizers are made afterwards.
    """
    step = TrainingStep(model)
    if world_size == 1:
        return step
    if sharding == "fsdp":
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(device.type, (world_size,))
        for unit in model.shard_units():
            fully_shard(unit, mesh=mesh)
        fully_shard(step, mesh=mesh)
        return step
    # Statistics are equal in all workers by themselves where BatchNorm is synced, so there is no need to send them.
    return DistributedDataParallel(
        step,
        device_ids=[device] if device.type == "cuda" else None,
        forward_sync_buffers=False,
        gradient_as_bucket_view=True,
    )


def sync_norms(model: nn.Module, device: torch.device) -> None:
    """Let the BatchNorm layers that are trained take their statistics over the samples of all workers."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            # A frozen layer keeps its statistics, and stays known as BatchNorm to whoever froze it.
            if (
                isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)
                and (child.affine and child.track_running_stats and child.momentum is not None)
                and child.weight.requires_grad
            ):
                synced = nn.SyncBatchNorm.convert_sync_batchnorm(child) if device.type == "cuda" else _SyncedNorm(child)
                setattr(parent, name, synced)


class _SyncedNorm(_BatchNorm):
    """BatchNorm over all workers on the CPU, which torch's `SyncBatchNorm` leaves out."""

    def __init__(self, norm: _BatchNorm) -> None:
        nn.Module.__init__(self)
        self.num_features, self.eps, self.momentum = norm.num_features, norm.eps, norm.momentum
        self.affine = self.track_running_stats = True
        self.weight, self.bias = norm.weight, norm.bias
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(norm, name))
        self.train(norm.training)

    def forward(self, values: Tensor) -> Tensor:
        if not self.training:
            return F.batch_norm(
                values, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps, training=False
            )
        assert self.running_mean is not None
        assert self.running_var is not None
        with torch.no_grad():
            # Of this worker's values; torch's own kernel takes a fraction of the time of `torch.var_mean`. It updates
            # nothing: what is counted is the batch of all workers.
            mean, variance = torch.batch_norm_update_stats(
                values, torch.zeros_like(self.running_mean), torch.ones_like(self.running_var), 0.0
            )
            mean, variance = mean.double(), variance.double()
            own = values[:, 0].numel()
            # Workers may hold different numbers of samples.
            total = torch.cat([own * mean, own * (variance + mean.square()), mean.new_tensor([own])])
            dist.all_reduce(total)
            count = total[-1]
            mean, square = (total[:-1] / count).chunk(2)
            variance = (square - mean.square()).clamp_min(0)
            self._count(mean, variance * (count / (count - 1).clamp_min(1)))
        return _SyncedNormalisation.apply(
            values, self.weight, self.bias, mean.float(), variance.float(), float(count), self.eps
        )

    def _count(self, mean: Tensor, variance: Tensor) -> None:
        """Take statistics of the batch into the running ones."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean.float(), self.momentum)
        self.running_var.lerp_(variance.float(), self.momentum)
        self.num_batches_tracked.add_(1)


class _SyncedNormalisation(torch.autograd.Function):
    """Normalises by given statistics, whose dependence on the values of all workers the gradient takes in."""

    @staticmethod
    def forward(context: Any, values: Tensor, weight: Tensor, bias: Tensor, *statistics: Any) -> Tensor:
        mean, variance, context.count, context.eps = statistics
        context.save_for_backward(values, weight, mean, variance)
        return F.batch_norm(values, mean, variance, weight, bias, training=False, eps=context.eps)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        values, weight, mean, variance = context.saved_tensors
        # As if the statistics were constants; the gradients of weight and bias are the sums that the rest needs.
        direct, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, values, weight, mean, variance, None, None, False, context.eps, [True, True, True]
        )
        sums = torch.cat([of_weight.double(), of_bias.double()])
        dist.all_reduce(sums)
        of_weight_mean, of_bias_mean = (sums / context.count).chunk(2)
        inverse = torch.rsqrt(variance.double() + context.eps)
        scale = inverse * weight.double()
        slope = -scale * inverse * of_weight_mean
        offset = -scale * of_bias_mean - slope * mean.double()
        # `values * slope + offset` by torch's kernel, which computes in float32 without a copy of bfloat16 values.
        plain, unit = torch.zeros_like(mean), torch.ones_like(mean)
        through = F.batch_norm(values, plain, unit, slope.float(), offset.float(), training=False, eps=0.0)
        return direct.add_(through), of_weight, of_bias, None, None, None, None


def sum_over_workers(values: Tensor, world_size: int) -> Tensor:
    """The sum of a tensor over all workers, in all of them."""
    if world_size > 1:
        dist.all_reduce(values)
    return values
