"""The whole step's batch on every process: a contrastive loss needs all pairs."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather(own: Tensor) -> Tensor:
    """The processes' shares (b, ...) one after the other, by rank; shares may differ in length.

    Only the own share carries a gradient. A loss of the gathered batch, computed by every process and multiplied
    by their number, has after the averaging of gradients the gradient of one process with the whole batch.
    """
    world = processes()
    if world == 1:
        return own
    lengths = [torch.zeros(1, dtype=torch.long, device=own.device) for _ in range(world)]
    dist.all_gather(lengths, torch.tensor([len(own)], device=own.device))
    counts = [int(length) for length in lengths]
    sent = own.new_zeros(max(counts), *own.shape[1:])
    sent[: len(own)] = own.detach()
    shares = [torch.zeros_like(sent) for _ in range(world)]
    dist.all_gather(shares, sent)
    parts = [share[:count] for share, count in zip(shares, counts)]
    parts[dist.get_rank()] = own
    return torch.cat(parts)
