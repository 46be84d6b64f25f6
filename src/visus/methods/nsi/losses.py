"""The equations NSI trains with."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from visus.errors import InputError
from visus.methods.nsi.model.generator import Emissions
from visus.methods.nsi.model.schema import Schema
from visus.methods.nsi.model.tensors import Programs

FORBIDDEN = 1e9
"""Cost of a pair that may not be: far above any other, so that as few as possible are taken."""
CELLS = 2**22


def contrastive(scores: Float[Tensor, "b b"], *, temperature: float = 0.1) -> Float[Tensor, ""]:
    """Symmetric InfoNCE: (CE(S / tau, diagonal) + CE(S^T / tau, diagonal)) / 2.

    Paper: 2403.07887, tau = 0.1.

    Raises
    ------
    InputError : the scores are not square.

    >>> round(contrastive(torch.zeros(8, 8)).item(), 4), round(math.log(8), 4)
    (2.0794, 2.0794)
    """
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1]:
        problem = f"have the shape {tuple(scores.shape)}"
        raise InputError(problem, field="scores", remedy="give one program per picture")
    own, logits = torch.arange(len(scores), device=scores.device), scores / temperature
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def reconstruction(output: Float[Tensor, b * cells], target: Float[Tensor, b * cells]) -> Float[Tensor, ""]:
    """Squared error summed over channels, averaged over items and tokens (or pixels).

    Channels are the last axis of tokens (b, n, c) and axis 1 of pictures (b, c, h, w).

    Paper: 2403.07887, L_rec with the sum over the features' 768 channels.
    """
    if output.shape != target.shape:
        problem = f"have the shapes {tuple(output.shape)} and {tuple(target.shape)}"
        raise InputError(problem, field="output, target", remedy="decode at the target's resolution")
    return (output - target).square().sum(1 if output.ndim == 4 else -1).mean()


class GeneratorLoss(NamedTuple):
    """Negative log-likelihood of programs, each term a sum over a picture, averaged over pictures.

    presence : of every candidate.
    categories, values : of the matched candidates' attributes, those the object has.
    given : whether the object has its optional attributes.
    """

    presence: Float[Tensor, ""]
    categories: Float[Tensor, ""]
    values: Float[Tensor, ""]
    given: Float[Tensor, ""]

    @property
    def total(self) -> Float[Tensor, ""]:
        """The sum of all."""
        return self.presence + self.categories + self.values + self.given


def generator_loss(
    emissions: Emissions,
    programs: Programs,
    schema: Schema,
    association: Int[Tensor, "b p"] | None = None,
) -> GeneratorLoss:
    """Negative log-likelihood of the paired programs.

    BCE of the presence, cross-entropy per categorical attribute, -log N(x; mean, variance) per number. Which
    candidate answers for which primitive is the assignment of least cost; with `association` a candidate may
    answer only for primitives that its own slot carries (so matching orders objects inside a slot, and nothing
    more), without it for any: the Hungarian baseline. Primitives beyond the candidates they may have are left
    out. Candidates without a primitive are to be absent.

    Parameters
    ----------
    association : slot of each primitive, -1 for none, as `associate` gives it.
    """
    cost = _attribute_costs(emissions, programs, schema)
    allowed = None
    if association is not None:
        allowed = emissions.slot[None, :, None] == association[:, None, :]
    total = (cost.categories + cost.values + cost.given).detach() - emissions.presence.detach()[..., None]
    candidate = match(total, programs.length, allowed)
    matched, index = candidate >= 0, candidate.clamp(min=0)[:, None]

    def taken(each: Float[Tensor, "b q p"]) -> Float[Tensor, ""]:
        return (each.gather(1, index)[:, 0] * matched).sum(1).mean()

    presence = F.binary_cross_entropy_with_logits(
        emissions.presence, _targets(candidate, emissions.presence), reduction="none"
    )
    return GeneratorLoss(
        presence.sum(1).mean(), taken(cost.categories), taken(cost.values), taken(cost.given)
    )


def set_prediction(emissions: Emissions, programs: Programs, schema: Schema) -> Float[Tensor, ""]:
    """Loss of the set-prediction baseline: Hungarian matching, Huber on numbers, cross-entropy on the rest.

    Each picture's costs are summed over its candidates; unmatched ones are to be absent. The means of
    `emissions` are the predicted numbers, its variances are not used.

    Source: set prediction of Slot Attention (2006.15055), the baseline HMC of 2403.07887.
    """
    cost = _set_costs(emissions, programs, schema)
    candidate = match(cost.detach(), programs.length)
    matched = (cost.gather(1, candidate.clamp(min=0)[:, None])[:, 0] * (candidate >= 0)).sum(1)
    # cost holds presence relative to absence, so the absences of all candidates complete the sum
    return (matched + F.softplus(emissions.presence).sum(1)).mean()


@torch.no_grad()
def matching_costs(emissions: Emissions, programs: Programs, schema: Schema) -> Float[Tensor, "a b"]:
    """Least matching cost of every picture with every program: what the baseline retrieves by (low is near).

    Terms as in `set_prediction`, absences of all candidates included; primitives beyond the candidates cost
    as much as the average matched one, so that long programs are not cheap.
    """
    pictures, candidates = emissions.presence.shape
    count, rows = programs.categories.shape[:2]
    costs = emissions.presence.new_zeros(pictures, count)
    step = max(1, CELLS // max(1, count * candidates * rows))
    for some in torch.arange(pictures).split(step):
        paired = emissions.rows(some.repeat_interleave(count))
        every = programs[torch.arange(count).repeat(len(some))]
        cost = _set_costs(paired, every, schema)
        candidate = match(cost, every.length)
        hit = candidate >= 0
        matched = (cost.gather(1, candidate.clamp(min=0)[:, None])[:, 0] * hit).sum(1)
        matched = matched * every.length / hit.sum(1).clamp(min=1)
        total = matched + F.softplus(paired.presence).sum(1)
        costs[some] = total.view(len(some), count)
    return costs


def match(
    cost: Float[Tensor, "b q p"], length: Int[Tensor, " b"], allowed: Bool[Tensor, "b q p"] | None = None
) -> Int[Tensor, "b p"]:
    """Candidate of each primitive in the one-to-one assignment of least cost; -1 without one.

    As many primitives as possible are matched first; rows past `length` never are.
    """
    tables = cost.double().nan_to_num(FORBIDDEN)  # a diverged training is for its loss to tell
    if allowed is not None:
        tables = tables.masked_fill(~allowed, FORBIDDEN)
    tables, lengths = tables.cpu().numpy(), length.tolist()
    candidate = np.full((cost.shape[0], cost.shape[2]), -1, np.int64)
    for item, (table, count) in enumerate(zip(tables, lengths)):
        rows, columns = linear_sum_assignment(table[:, :count])
        fine = table[rows, columns] < FORBIDDEN / 2
        candidate[item, columns[fine]] = rows[fine]
    return torch.from_numpy(candidate).to(cost.device)


class _Costs(NamedTuple):
    """Of every candidate answering for every primitive."""

    categories: Float[Tensor, "b q p"]
    values: Float[Tensor, "b q p"]
    given: Float[Tensor, "b q p"]


def _attribute_costs(
    emissions: Emissions, programs: Programs, schema: Schema, *, huber: bool = False
) -> _Costs:
    """Cross-entropies, Gaussian negative log-likelihoods (or Huber losses) and BCE; 0 for missing attributes."""
    there = programs.present.to(emissions.mean.dtype)[:, None]
    categories = emissions.presence.new_zeros(*emissions.presence.shape, programs.present.shape[1])
    for logits, classes, each in zip(
        emissions.categories, programs.categories.unbind(-1), schema.categorical
    ):
        right = classes[:, None].expand_as(categories)
        likelihood = logits.log_softmax(-1).gather(2, right)
        categories = categories - likelihood * there[..., schema.places[each.name]]
    mean, truth = emissions.mean[:, :, None], programs.values[:, None].to(emissions.mean.dtype)
    if huber:
        each_value = F.huber_loss(*torch.broadcast_tensors(mean, truth), reduction="none")
    else:
        log_variance = emissions.log_variance[:, :, None]
        spread = (truth - mean).square() * (-log_variance).exp()
        each_value = (spread + log_variance + math.log(2 * math.pi)) / 2
    columns = [schema.places[each.name] for each in schema.continuous for _ in range(each.size)]
    values = (each_value * there[..., columns]).sum(-1)
    asked = emissions.given.isfinite()
    given = emissions.given.masked_fill(~asked, 0.0)[:, :, None]
    doubt = F.binary_cross_entropy_with_logits(*torch.broadcast_tensors(given, there), reduction="none")
    return _Costs(categories, values, (doubt * asked[:, :, None]).sum(-1))


def _set_costs(emissions: Emissions, programs: Programs, schema: Schema) -> Float[Tensor, "b q p"]:
    """Costs of the set prediction, and what a candidate's being present costs beyond its being absent."""
    return sum(_attribute_costs(emissions, programs, schema, huber=True)) - emissions.presence[..., None]


def _targets(candidate: Int[Tensor, "b p"], presence: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
    """1 at matched candidates."""
    padded = presence.new_zeros(presence.shape[0], presence.shape[1] + 1)
    column = candidate.masked_fill(candidate < 0, presence.shape[1])
    return padded.scatter(1, column, 1.0)[:, :-1]
