"""The bi-level score of images and programs, and which slot carries which primitive.

Object level: every primitive takes a slot of the image. Scene level: what they take is summed. With slots z and
primitives e of the joint space,

    sim[a, i, b, j] = <z_ai, e_bj>,   m[a, b, j] = max_i sim[a, i, b, j],   S[a, b] = sum_{j < len_b} m[a, b, j].

Paper: 2403.07887, the bi-level contrastive score; sum and plain inner products as in the published code.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from visus.errors import InputError

Assign: TypeAlias = Literal["max", "hungarian", "softmax"]
Reduce: TypeAlias = Literal["sum", "mean"]

CELLS = 2**24
"""Similarities held at once: 64 MiB in single precision."""


def bilevel_scores(
    slots: Float[Tensor, "a k d"],
    primitives: Float[Tensor, "b p d"],
    length: Int[Tensor, " b"],
    *,
    assign: Assign = "max",
    reduce: Reduce = "sum",
    normalize: bool = False,
    temperature: float = 1.0,
    cells: int = CELLS,
) -> Float[Tensor, "a b"]:
    """S of every image with every program (or query). Rows past `length` count exactly 0.

    Parameters
    ----------
    assign : `max`, each primitive its best slot, several may share one. `hungarian`, one slot per primitive at
        most, so that the sum is greatest; where objects outnumber slots, those left out count 0. `softmax`,
        each primitive the mean of its similarities weighted by softmax_i(sim / temperature).
    reduce : `sum` over the primitives, or their `mean` (0 for an empty program).
    normalize : cosines in place of inner products.
    cells : similarities held at once; more images than fit are taken in turn.

    Raises
    ------
    InputError : an unknown choice, or widths that differ.

    >>> slots = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    >>> primitives = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]])
    >>> bilevel_scores(slots, primitives, torch.tensor([3])).item()
    5.0
    >>> bilevel_scores(slots, primitives, torch.tensor([3]), assign="hungarian").item()
    3.0
    """
    _check(slots, primitives, assign, reduce)
    if normalize:
        slots, primitives = F.normalize(slots, dim=-1), F.normalize(primitives, dim=-1)
    programs, rows = primitives.shape[:2]
    padded = torch.arange(rows, device=length.device) >= length[:, None]
    step = max(1, cells // max(1, slots.shape[1] * programs * rows))
    parts = []
    for some in slots.split(step) if len(slots) else [slots]:
        similarity = _similarities(some, primitives)
        taken = _taken(similarity, length, assign, temperature)
        parts.append(taken.masked_fill(padded, 0.0).sum(-1))
    scores = torch.cat(parts)
    return scores / length.clamp(min=1) if reduce == "mean" else scores


def similarities(
    slots: Float[Tensor, "b k d"], primitives: Float[Tensor, "b p d"], *, normalize: bool = False
) -> Float[Tensor, "b k p"]:
    """Inner products (or cosines) of an image's slots with its own program's primitives."""
    if normalize:
        slots, primitives = F.normalize(slots, dim=-1), F.normalize(primitives, dim=-1)
    return slots @ primitives.mT


def associate(
    slots: Float[Tensor, "b k d"],
    primitives: Float[Tensor, "b p d"],
    length: Int[Tensor, " b"],
    *,
    assign: Assign = "max",
    normalize: bool = False,
) -> Int[Tensor, "b p"]:
    """The slot that carries each primitive of the image's own program; -1 past `length`.

    `max` and `softmax` give the most similar slot, several primitives may share it; `hungarian` gives each slot
    to one primitive at most, and -1 to those left out.
    """
    _check(slots, primitives, assign, "sum")
    similarity = similarities(slots, primitives, normalize=normalize).detach()
    if assign == "hungarian":
        return _matched(similarity[:, :, None], length[:, None])[:, 0]
    padded = torch.arange(primitives.shape[1], device=length.device) >= length[:, None]
    return similarity.argmax(1).masked_fill(padded, -1)


def _similarities(slots: Tensor, primitives: Tensor) -> Float[Tensor, "a k b p"]:
    flat = slots.flatten(0, 1) @ primitives.flatten(0, 1).T
    return flat.unflatten(0, slots.shape[:2]).unflatten(2, primitives.shape[:2])


def _taken(
    similarity: Float[Tensor, "a k b p"], length: Int[Tensor, " b"], assign: Assign, temperature: float
) -> Float[Tensor, "a b p"]:
    """What each primitive takes from the image: the object level."""
    if assign == "max":
        return similarity.max(1).values
    if assign == "softmax":
        return ((similarity / temperature).softmax(1) * similarity).sum(1)
    slot = _matched(similarity.detach(), length.expand(len(similarity), -1))
    gathered = similarity.gather(1, slot.clamp(min=0)[:, None])[:, 0]
    return gathered.masked_fill(slot < 0, 0.0)


def _matched(similarity: Float[Tensor, "a k b p"], length: Int[Tensor, "a b"]) -> Int[Tensor, "a b p"]:
    """One-to-one assignment of greatest sum for every image and program; -1 for primitives without a slot."""
    tables = similarity.double().nan_to_num(0.0).permute(0, 2, 3, 1).cpu().numpy()
    lengths = length.cpu().numpy()
    slot = np.full(tables.shape[:3], -1, np.int64)
    for pair in np.ndindex(*lengths.shape):
        rows, columns = linear_sum_assignment(tables[pair][: lengths[pair]], maximize=True)
        slot[pair][rows] = columns
    return torch.from_numpy(slot).to(similarity.device)


def _check(slots: Tensor, primitives: Tensor, assign: str, reduce: str) -> None:
    if slots.shape[-1] != primitives.shape[-1]:
        problem = f"have {slots.shape[-1]} and {primitives.shape[-1]} numbers"
        raise InputError(problem, field="slots, primitives", remedy="project both to one joint space")
    for field, given, known in (
        ("assign", assign, ("max", "hungarian", "softmax")),
        ("reduce", reduce, ("sum", "mean")),
    ):
        if given not in known:
            raise InputError(f"is {given!r}", field=field, remedy=f"choose from {', '.join(known)}")
