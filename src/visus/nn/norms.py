"""Batch normalization whose statistics span all processes.

torch's own SyncBatchNorm needs a GPU; this one works on any backend, so that two CPU processes train as one
does.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _SumOverProcesses(torch.autograd.Function):
    """Sum over processes; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


class SyncedBatchNorm(_BatchNorm):
    """BatchNorm over (b, c, *space) or (b, c) of any number of spatial axes.

    In training with several processes the mean and the variance are those of all processes' items together;
    otherwise (evaluation, one process) it is torch's batch norm. Parameters and buffers keep torch's names.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least (b, c), got shape {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        together = (
            self.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        )
        if not together:
            return super().forward(input)
        self._check_input_dim(input)
        axes = [0, *range(2, input.dim())]
        wide = input.double() if input.dtype == torch.float64 else input.float()
        count = wide.new_full((1,), wide.numel() / wide.shape[1])
        count = _SumOverProcesses.apply(count)
        mean = _SumOverProcesses.apply(wide.sum(axes)) / count
        shape = (1, -1) + (1,) * (input.dim() - 2)
        centered = wide - mean.view(shape)
        # two passes: E[x^2] - E[x]^2 loses digits when the mean is large
        variance = _SumOverProcesses.apply((centered**2).sum(axes)) / count
        self._track(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        out = centered * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), momentum)


def sync_batch_norm(module: nn.Module) -> None:
    """Make every BatchNorm in `module` (also `module` itself) a SyncedBatchNorm.

    The objects stay the same and only change their class, so references, hooks, parameters and names survive.
    """
    for child in module.modules():
        if type(child) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            child.__class__ = SyncedBatchNorm


def has_batch_norm(module: nn.Module) -> bool:
    """Whether some layer of `module` normalizes over the batch."""
    return any(isinstance(child, _BatchNorm) for child in module.modules())
