"""Halving of the learning rate where the validation loss stagnates."""

from __future__ import annotations

import torch


class Halving:
    """Halve the learning rate after `patience` checks without a new lowest loss; 0 never does.

    What it remembers stands in the optimizer's parameter groups, so that a checkpoint holds it. The engine derives
    the rate of every step from a group's `initial_lr`.

    Paper: 2403.07887: halved when the validation loss stagnates for 4 epochs.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def tell(self, optimizer: torch.optim.Optimizer | None, loss: float) -> None:
        """A new validation loss."""
        if not self.patience or optimizer is None:
            return
        for group in optimizer.param_groups:
            if loss < group.get("lowest_loss", float("inf")):
                group["lowest_loss"], group["stale_checks"] = loss, 0
                continue
            group["stale_checks"] = group.get("stale_checks", 0) + 1
            if group["stale_checks"] >= self.patience:
                group["initial_lr"] = group["initial_lr"] / 2
                group["stale_checks"] = 0
