"""Parts of programs: what training sees so that parts can be searched for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from visus.methods.nsi.model.tensors import Programs

KEPT_OBJECTS = 0.5
KEPT_ATTRIBUTES = 0.7


def cut_some(programs: Programs, share: float, seeds: Sequence[int]) -> Programs:
    """A share of the programs reduced to a part: some of the objects, some of their attributes.

    An object stays with probability 0.5 (one at least does), an attribute with 0.7 (one per object at least).

    Parameters
    ----------
    seeds : one per program: what is cut does not depend on the batch.
    """
    if share == 0.0:
        return programs
    rows, columns = programs.present.shape[1:]
    chance = torch.stack([_uniform(seed, 1 + rows * (1 + columns)) for seed in seeds]).to(programs.device)
    chosen = chance[:, 0] < share
    objects = chance[:, 1 : 1 + rows].masked_fill(~programs.mask, 2.0)
    kept = (objects < KEPT_OBJECTS) | (objects == objects.amin(1, keepdim=True))
    kept = (kept | ~chosen[:, None]) & programs.mask
    attributes = chance[:, 1 + rows :].view(-1, rows, columns).masked_fill(~programs.present, 2.0)
    stays = (attributes < KEPT_ATTRIBUTES) | (attributes == attributes.amin(-1, keepdim=True))
    present = programs.present & (stays | ~chosen[:, None, None])
    order = torch.argsort((~kept).to(torch.uint8), dim=1, stable=True)  # kept rows come first
    length = kept.sum(1)
    first = torch.arange(rows, device=programs.device) < length[:, None]

    def moved(values: Tensor) -> Tensor:
        picked = values.gather(1, order[..., None].expand(-1, -1, values.shape[2]))
        return picked.masked_fill(~first[..., None], 0)

    return replace(
        programs,
        categories=moved(programs.categories),
        values=moved(programs.values),
        present=moved(present),
        length=length,
    )


def _uniform(seed: int, count: int) -> Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed))
