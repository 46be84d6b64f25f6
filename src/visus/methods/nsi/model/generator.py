"""The program of a picture: every slot emits primitives, all slots are looked at."""

from __future__ import annotations

from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from visus.errors import InputError
from visus.methods.nsi.model.attributes import Scene
from visus.methods.nsi.model.schema import Schema
from visus.methods.nsi.model.tensors import Programs
from visus.nn.slots import CrossAttention, mlp

LOG_VARIANCE = (-7.0, 7.0)
"""Ends at which a predicted log-variance is cut: a deviation of 3 % of the range at least. Without the lower one the
numbers of a few scenes learned by heart outweigh all else, and the loss jumps when one of them moves."""


class Emissions(NamedTuple):
    """What may be primitives: q candidates per picture and the distribution of each attribute.

    presence : (b, q) logits that the candidate is an object.
    categories : per categorical attribute (b, q, values) logits.
    mean, log_variance : (b, q, numbers) Gaussians of the continuous attributes scaled to 0..1.
    given : (b, q, attributes) logits that the object has the attribute; only optional ones are asked.
    slot : (q,) the slot a candidate comes from.
    """

    presence: Float[Tensor, "b q"]
    categories: tuple[Float[Tensor, "b q v"], ...]
    mean: Float[Tensor, "b q n"]
    log_variance: Float[Tensor, "b q n"]
    given: Float[Tensor, "b q a"]
    slot: Int[Tensor, " q"]

    def rows(self, rows: slice | Int[Tensor, " n"]) -> Emissions:
        """Some pictures."""
        categories = tuple(each[rows] for each in self.categories)
        gaussians = self.mean[rows], self.log_variance[rows]
        return Emissions(self.presence[rows], categories, *gaussians, self.given[rows], self.slot)


class Generated(NamedTuple):
    """Written programs; per row the slot it came from and how sure it is an object (-1 and 0 in padding)."""

    programs: Programs
    slot: Int[Tensor, "b p"]
    score: Float[Tensor, "b p"]


class ProgramHeads(nn.Module):
    """Vectors of candidates into `Emissions`: one linear map per attribute.

    Parameters
    ----------
    schema : the attributes.
    width : of the vectors.
    per_slot : candidates per slot; they lie side by side.
    """

    def __init__(self, schema: Schema, width: int, *, per_slot: int = 1) -> None:
        super().__init__()
        self.schema, self.per_slot = schema, per_slot
        self.presence = nn.Linear(width, 1)
        self.categories = nn.ModuleList(nn.Linear(width, len(each.values)) for each in schema.categorical)
        self.gaussian = nn.Linear(width, 2 * schema.width) if schema.width else None
        self.optional = [number for number, each in enumerate(schema.attributes) if each.optional]
        self.given = nn.Linear(width, len(self.optional)) if self.optional else None

    def forward(self, x: Float[Tensor, "b q d"]) -> Emissions:
        gaussian = x.new_zeros(*x.shape[:2], 0) if self.gaussian is None else self.gaussian(x)
        mean, log_variance = gaussian.chunk(2, -1)
        given = x.new_full((*x.shape[:2], len(self.schema.attributes)), torch.inf)
        if self.given is not None:
            columns = torch.tensor(self.optional, device=x.device)
            given = given.index_copy(2, columns, self.given(x))
        return Emissions(
            self.presence(x).squeeze(-1),
            tuple(head(x) for head in self.categories),
            mean,
            log_variance.clamp(*LOG_VARIANCE),
            given,
            torch.arange(x.shape[1], device=x.device) // self.per_slot,
        )


class ProgramGenerator(nn.Module):
    """Slots into programs: R queries per slot attend to each other and to all slots, and read out attributes.

        x_{k,r} = W s_k + query_r;   x = blocks(x; self-attention, cross-attention to W' s);   heads(LN x_{k,r})

    No slot has a position, so permuting slots permutes the candidates.

    Source: the program generator that version 1 of 2403.07887 announces; its details are not published, the
    layout here is ours: presence by a logit, categories by softmax, numbers by a Gaussian.

    Parameters
    ----------
    schema : what a primitive is made of.
    slots : width of the slots.
    per_slot : candidates R per slot: one slot may host several objects.
    width, blocks, heads : of the transformer.

    Memory: (b, heads, kR, kR) per block.
    """

    def __init__(
        self,
        schema: Schema,
        slots: int,
        *,
        per_slot: int = 2,
        width: int = 192,
        blocks: int = 4,
        heads: int = 8,
    ) -> None:
        super().__init__()
        if per_slot < 1:
            raise InputError(f"is {per_slot}", field="per_slot", remedy="let a slot emit at least one object")
        self.schema = schema
        self.queries = nn.Parameter(torch.randn(per_slot, width) * width**-0.5)
        self.own, self.context = nn.Linear(slots, width), nn.Linear(slots, width)
        self.blocks = nn.ModuleList(EmissionBlock(width, heads=heads) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.heads = ProgramHeads(schema, width, per_slot=per_slot)

    def forward(self, slots: Float[Tensor, "b k d"]) -> Emissions:
        x = rearrange(self.own(slots)[:, :, None] + self.queries, "b k r d -> b (k r) d")
        context = self.context(slots)
        for block in self.blocks:
            x = block(x, context)
        return self.heads(self.norm(x))


class EmissionBlock(nn.Module):
    """Pre-norm self-attention among the candidates, cross-attention to the slots, ReLU MLP; residuals."""

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        self.among, self.across = (CrossAttention(width, heads=heads) for _ in range(2))
        self.mlp = mlp(width, 4 * width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))

    def forward(self, x: Float[Tensor, "b q d"], context: Float[Tensor, "b k d"]) -> Float[Tensor, "b q d"]:
        normed = self.norms[0](x)
        x = x + self.among(normed, normed)
        x = x + self.across(self.norms[1](x), context)
        return x + self.mlp(self.norms[2](x))


@torch.no_grad()
def generate(emissions: Emissions, schema: Schema, *, threshold: float = 0.5) -> Generated:
    """The most likely programs: candidates more likely objects than `threshold`, best first, `most` at most.

    Categories by argmax, numbers by the mean, optional attributes where they are more likely there than not.
    """
    score, order = emissions.presence.sigmoid().sort(dim=1, descending=True, stable=True)
    order, score = order[:, : schema.most], score[:, : schema.most]
    missing = schema.most - order.shape[1]
    length = (score > threshold).sum(1)
    kept = torch.arange(order.shape[1], device=order.device) < length[:, None]

    def pick(values: Tensor) -> Tensor:
        chosen = values.gather(1, order[..., None].expand(-1, -1, values.shape[2]))
        chosen = chosen.masked_fill(~kept[..., None], 0)
        return nn.functional.pad(chosen, (0, 0, 0, missing))

    classes = [each.argmax(-1) for each in emissions.categories]
    shape = (*emissions.presence.shape, 0)
    categories = torch.stack(classes, -1) if classes else order.new_zeros(shape)
    given = pick(emissions.given > 0)
    programs = Programs(pick(categories), pick(emissions.mean).float(), given, length)
    slot = emissions.slot[order].masked_fill(~kept, -1)
    return Generated(
        programs,
        nn.functional.pad(slot, (0, missing), value=-1),
        nn.functional.pad(score * kept, (0, missing)),
    )


def write(emissions: Emissions, schema: Schema, *, threshold: float = 0.5) -> list[Scene]:
    """The scenes of `generate`, ready for `serialize`."""
    return schema.decode(generate(emissions, schema, threshold=threshold).programs)
