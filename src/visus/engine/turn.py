"""The training step's view of the engine: where backward, mixed precision, clipping and stepping happen."""

from __future__ import annotations

from collections.abc import Mapping
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
        optimizers: Mapping[str, torch.optim.Optimizer],
        *,
        accumulate: int = 1,
        clip_norm: float | None = None,
    ) -> None:
        self._accelerator, self._optimizers = accelerator, optimizers
        self._accumulate, self._clip = accumulate, clip_norm
        self._seen: set[str] = set()
        self._micro, self._items = 0, 0
        self.seed = self.epoch = self.step = 0
        self.phase, self.progress = "", 0.0
        self.device: torch.device = accelerator.device

    def enter(
        self, *, micro: int, items: int, seed: int, phase: str, epoch: int, step: int, progress: float
    ) -> None:
        """Begin micro-batch `micro` of a step over `items` items on all processes together."""
        self._micro, self._items = micro, items
        self.seed, self.phase, self.epoch, self.step, self.progress = seed, phase, epoch, step, progress
        self._seen.clear()

    def leave(self) -> None:
        """End the step: under accumulation the loss scale changes here only, so gradients share one."""
        if self._accelerator.scaler is not None and self._accumulate > 1 and self._seen:
            self._accelerator.scaler.update()

    def mean(self, values: Tensor, weight: Tensor | None = None) -> Tensor:
        """(Weighted) mean of per-item `values` (b,) over the whole step's batch.

        The result carries a factor that the averaging of gradients over processes and micro-batches takes out
        again, so the gradient equals that of one process with the whole batch, also when shares are unequal.
        With weights and accumulation the weights are normalized within each micro-batch.
        """
        world = self._accelerator.num_processes
        if weight is None:
            return values.sum() * (world * self._accumulate / self._items)
        weight = weight.to(values.dtype)
        total = self._sum(weight.sum()).clamp(min=torch.finfo(values.dtype).tiny)
        share: Tensor | float = 1.0
        if self._accumulate > 1:
            share = self._sum(values.new_tensor(float(len(values)))) * self._accumulate / self._items
        return (values * weight).sum() * world * share / total

    def _sum(self, value: Tensor) -> Tensor:
        if self._accelerator.num_processes == 1:
            return value.detach()
        total: Any = self._accelerator.reduce(value.detach(), "sum")
        return total

    def update(self, name: str, loss: Tensor) -> None:
        """Backward of `loss` for optimizer `name`; on the last micro-batch clip and step.

        Raises
        ------
        visus.errors.VisusError : a second update of one optimizer under accumulation, or nothing to train.
        """
        if name not in self._optimizers:
            raise KeyError(f"no optimizer {name!r}; the method names {sorted(self._optimizers)}")
        if self._accumulate > 1 and name in self._seen:
            raise VisusError(
                f"optimizer {name!r} is updated twice in one step: use accumulate=1 for this method"
            )
        self._seen.add(name)
        optimizer = self._optimizers[name]
        weights = [weight for weight in parameters_of(optimizer) if weight.requires_grad]
        if not weights:
            raise VisusError(f"every parameter of optimizer {name!r} is frozen in phase {self.phase!r}")
        # the step runs under autocast, which is for forward passes only
        with torch.autocast(self.device.type, enabled=False):
            self._accelerator.backward(loss / self._accumulate, inputs=weights)
            if self._micro + 1 == self._accumulate:
                self._average(weights)
                self._advance(optimizer, weights)

    def _advance(self, optimizer: torch.optim.Optimizer, weights: list[Tensor]) -> None:
        scaler = self._accelerator.scaler
        if self._clip is not None:
            if scaler is not None:
                scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(weights, self._clip)
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            if self._accumulate == 1:
                scaler.update()
        optimizer.zero_grad(set_to_none=True)

    def _average(self, weights: list[Tensor]) -> None:
        """Average gradients over processes in one message; parameters no process reached keep none."""
        if self._accelerator.num_processes == 1:
            return
        here = [weight.grad is not None for weight in weights]
        # a process whose share did not touch a parameter still takes part
        own = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        message = torch.cat([*(gradient.reshape(-1) for gradient in own), weights[0].new_tensor(here)])
        flat: Any = self._accelerator.reduce(message, "mean")
        *parts, anywhere = flat.split([*(weight.numel() for weight in weights), len(weights)])
        for weight, part, somewhere in zip(weights, parts, here if all(here) else anywhere.tolist()):
            weight.grad = part.view_as(weight).to(weight.dtype) if somewhere else None
