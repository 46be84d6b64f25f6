"""Exponential moving average of weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Averages:
    """A shadow copy of every parameter: shadow = decay * shadow + (1 - decay) * weight after each step.

    Buffers are not averaged: the live ones are used beside the shadow weights. A weight that several parts
    share has one shadow.
    """

    def __init__(self, parts: Mapping[str, nn.Module], decay: float) -> None:
        self.decay = decay
        named = [
            (f"{part}/{name}", weight) for part in parts for name, weight in parts[part].named_parameters()
        ]
        first = {id(weight): name for name, weight in reversed(named)}
        self._weights = {name: weight for name, weight in named if first[id(weight)] == name}
        self.shadow = {name: weight.detach().clone() for name, weight in self._weights.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the shadow towards the current weights."""
        for name, weight in self._weights.items():
            self.shadow[name].lerp_(weight.detach(), 1.0 - self.decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the block the modules hold the averaged weights."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()

    @torch.no_grad()
    def exchange(self) -> None:
        """Swap the averaged weights with those in the modules."""
        for name, weight in self._weights.items():
            kept = weight.detach().clone()
            weight.copy_(self.shadow[name])
            self.shadow[name] = kept

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the shadow weights of a checkpoint."""
        for name in self.shadow:
            self.shadow[name].copy_(tensors[name])
