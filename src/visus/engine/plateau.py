"""Lowering of the learning rate where the validation loss stagnates."""

from __future__ import annotations

import torch


class Plateau:
    """Multiply the learning rate by `factor` after `patience` checks without a new lowest loss; 0 never does.

    What it remembers stands in the optimizer's parameter groups, so that a checkpoint holds it. The engine derives
    the rate of every step from a group's `initial_lr`.

    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> optimizer.param_groups[0]["initial_lr"] = 1.0
    >>> plateau = Plateau(2, factor=0.5)
    >>> for loss in (3.0, 3.0, 3.0, 3.0):
    ...     plateau.tell(optimizer, loss)
    >>> optimizer.param_groups[0]["initial_lr"]
    0.5
    """

    def __init__(self, patience: int, *, factor: float) -> None:
        self.patience, self.factor = patience, factor

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
                group["initial_lr"] = group["initial_lr"] * self.factor
                group["stale_checks"] = 0
