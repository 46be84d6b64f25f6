"""The training step's view of the engine: where backward, mixed precision, clipping and stepping happen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from visus.errors import VisusError


def parameters_of(optimizer: Any) -> list[Tensor]:
    """All parameters an optimizer moves."""
    return [weight for group in optimizer.param_groups for weight in group["params"]]


class StepTurn:
    """One micro-batch of one step. Satisfies `visus.protocols.Turn`.

    `update` gives gradients only to the parameters of the named optimizer, so alternating losses (min-max,
    teacher-student) do not leak into each other.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        optimizers: Mapping[str, Any],
        *,
        accumulate: int,
        clip_norm: float | None,
        after_update: Callable[[], None],
    ) -> None:
        self._accelerator, self._optimizers = accelerator, optimizers
        self._accumulate, self._clip, self._after = accumulate, clip_norm, after_update
        self._seen: set[str] = set()
        self._micro, self._items = 0, 0
        self.seed = self.epoch = self.step = 0
        self.phase, self.progress = "", 0.0
        self.device = accelerator.device

    def enter(self, *, micro: int, items: int, seed: int, phase: str, epoch: int, step: int, progress: float) -> None:
        """Begin micro-batch `micro` of a step over `items` items on all processes together."""
        self._micro, self._items = micro, items
        self.seed, self.phase, self.epoch, self.step, self.progress = seed, phase, epoch, step, progress
        self._seen.clear()

    def mean(self, values: Tensor, weight: Tensor | None = None) -> Tensor:
        """(Weighted) mean of per-item `values` (b,) over the whole step's batch.

        The result carries a factor that the averaging of gradients over processes and micro-batches takes out
        again, so the gradient equals that of one process with the whole batch, also when shares are unequal.
        With weights and accumulation the weights are normalized within each micro-batch.
        """
        world = self._accelerator.num_processes
        count = values.new_tensor(float(values.shape[0]))
        if weight is None and self._items:
            return values.sum() * (world * self._accumulate / self._items)
        weight = torch.ones_like(values) if weight is None else weight.to(values.dtype)
        total, together = self._sum(weight.sum()), self._sum(count)
        share = together * self._accumulate / self._items if self._items and self._accumulate > 1 else 1.0
        return (values * weight).sum() * world * share / total.clamp(min=torch.finfo(values.dtype).tiny)

    def _sum(self, value: Tensor) -> Tensor:
        if self._accelerator.num_processes == 1:
            return value.detach()
        return self._accelerator.reduce(value.detach().clone(), "sum")

    def update(self, name: str, loss: Tensor) -> None:
        """Backward of `loss` for optimizer `name`; on the last micro-batch clip and step."""
        if name not in self._optimizers:
            raise KeyError(f"no optimizer {name!r}; the method names {sorted(self._optimizers)}")
        if self._accumulate > 1 and name in self._seen:
            raise VisusError(f"optimizer {name!r} is updated twice in one step: use accumulate=1 for this method")
        self._seen.add(name)
        optimizer = self._optimizers[name]
        weights = [weight for weight in parameters_of(optimizer) if weight.requires_grad]
        self._accelerator.backward(loss / self._accumulate, inputs=weights)
        if self._micro + 1 < self._accumulate:
            return
        self._average(weights)
        if self._clip is not None:
            self._accelerator.unscale_gradients(optimizer)
            torch.nn.utils.clip_grad_norm_(weights, self._clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        self._after()

    def _average(self, weights: list[Tensor]) -> None:
        """Average gradients over processes in one message."""
        if self._accelerator.num_processes == 1:
            return
        for weight in weights:
            if weight.grad is None:  # a process whose share did not touch this parameter still takes part
                weight.grad = torch.zeros_like(weight)
        flat = torch.cat([weight.grad.reshape(-1) for weight in weights])
        flat = self._accelerator.reduce(flat, "mean")
        for weight, part in zip(weights, flat.split([weight.numel() for weight in weights])):
            weight.grad.copy_(part.view_as(weight))
