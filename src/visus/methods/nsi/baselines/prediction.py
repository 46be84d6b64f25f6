"""Hungarian set prediction: slots are taught to say their object's attributes, retrieval is by matching cost."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from visus.errors import InputError
from visus.methods.nsi.baselines.contender import Contender, Corners, Images
from visus.methods.nsi.losses import set_prediction
from visus.methods.nsi.model.generator import Emissions, ProgramHeads
from visus.methods.nsi.model.images import SlotImageEncoder
from visus.methods.nsi.model.schema import Schema
from visus.methods.nsi.model.tensors import Programs

MOST_SLOTS = 12
CELLS = 2**18
"""Numbers held at once: small enough for a processor's cache."""


class SetPredictor(Contender):
    """HMC: one head per attribute on every slot, matched one-to-one to the objects.

    Source: set prediction of Slot Attention (2006.15055); the matching baseline of 2403.07887.
    """

    def __init__(self, images: SlotImageEncoder, schema: Schema, *, size: int) -> None:
        super().__init__(images, schema)
        self.heads = ProgramHeads(schema, size)

    def loss(
        self,
        inputs: Images,
        programs: Programs,
        boxes: Corners,
        *,
        generator: torch.Generator,
        beta: float,
    ) -> Float[Tensor, ""]:
        found, lost = self.reconstruct(inputs, generator)
        return set_prediction(self.heads(found.slots), programs, self.schema) + beta * lost

    def embed(self, inputs: Images, boxes: Corners) -> Float[Tensor, "b k d"]:
        return self.images(inputs).slots

    def score(self, pictures: Tensor, programs: Programs) -> Float[Tensor, "a b"]:
        return -matching_table(self.heads(pictures), programs, self.schema)


@torch.no_grad()
def matching_table(emissions: Emissions, programs: Programs, schema: Schema) -> Float[Tensor, "a b"]:
    """`visus.methods.nsi.losses.matching_costs` of all pairs, without a loop over pairs.

    Primitives beyond the slots cost as much as the average matched one.
    """
    slots, count = emissions.presence.shape[1], len(programs)
    rows = []
    step = max(1, CELLS // max(1, count * 2**slots))
    for start in range(0, len(emissions.presence), step):
        some = emissions.rows(slice(start, start + step))
        cost = pairwise_costs(some, programs, schema)
        lengths = programs.length.expand(len(cost), -1)
        least = least_matching(cost.flatten(0, 1), lengths.flatten()).view(lengths.shape)
        beyond = lengths / lengths.clamp(1, slots)
        rows.append(least * beyond + F.softplus(some.presence).sum(1, keepdim=True))
    return torch.cat(rows)


def pairwise_costs(emissions: Emissions, programs: Programs, schema: Schema) -> Float[Tensor, "a b q p"]:
    """Cost of every slot of every picture answering for every primitive of every program.

    Cross-entropy per category, Huber loss per number, less the slot's logit of being present; missing
    attributes cost nothing.

    Raises
    ------
    InputError : the schema has optional attributes, about whose presence this baseline says nothing.
    """
    if any(each.optional for each in schema.attributes):
        raise InputError("has optional attributes", field="schema", remedy="train without them")
    there = programs.present.to(emissions.mean.dtype)
    cost = -emissions.presence[:, None, :, None].expand(-1, len(programs), -1, programs.present.shape[1])
    for logits, classes, each in zip(
        emissions.categories, programs.categories.unbind(-1), schema.categorical
    ):
        likelihood = logits.log_softmax(-1)[..., classes]
        cost = cost - likelihood.transpose(1, 2) * there[:, None, :, schema.places[each.name]]
    for each in schema.continuous:
        for column in range(*schema.columns[each.name].indices(schema.width)):
            gap = emissions.mean[:, None, :, column, None] - programs.values[None, :, None, :, column]
            cost = cost + _huber(gap) * there[:, None, :, schema.places[each.name]]
    return cost


class _Halves(NamedTuple):
    """Subsets of the slots with and without one of them, in the same order."""

    having: Int[Tensor, " s"]
    lacking: Int[Tensor, " s"]


def least_matching(cost: Float[Tensor, "n q p"], length: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Least sum over one-to-one assignments of the first `length` columns to rows, as many as there can be.

    By dynamic programming over subsets of rows: after each column, the least cost of every set of rows used
    so far. All n tables advance together, in p q 2^(q-1) operations each.

    Raises
    ------
    InputError : more than 12 rows, whose subsets would be too many.

    >>> least_matching(torch.tensor([[[1.0, 5.0, 2.0], [4.0, 3.0, 9.0]]]), torch.tensor([3])).item()
    4.0
    """
    n, q, p = cost.shape
    if q > MOST_SLOTS:
        raise InputError(f"has {q} rows", field="cost", remedy=f"use at most {MOST_SLOTS} slots")
    subsets = torch.arange(2**q, device=cost.device)
    halves = []
    for row in range(q):
        having = subsets[(subsets >> row) & 1 == 1]
        halves.append(_Halves(having, having - 2**row))
    best, columns = cost.new_full((2**q, n), torch.inf), cost.permute(2, 1, 0).contiguous()
    best[0] = 0.0
    for column in range(p):
        after = best.clone()
        for row, half in enumerate(halves):
            taken = best[half.lacking] + columns[column, row]
            after[half.having] = torch.minimum(after[half.having], taken)
        best = torch.where(column < length, after, best)
    used = torch.stack([(subsets >> row) & 1 for row in range(q)]).sum(0)
    full = used[:, None] == length.clamp(max=q)
    return best.masked_fill(~full, torch.inf).amin(0)


def _huber(gap: Tensor) -> Tensor:
    size = gap.abs()
    return torch.where(size < 1, 0.5 * size.square(), size - 0.5)
