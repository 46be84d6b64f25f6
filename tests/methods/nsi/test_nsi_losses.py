"""The losses against loops over pictures, candidates and primitives, in double precision."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from nsi_samples import SCHEMA, random_scenes
from torch.nn import functional as F

from visus.errors import InputError
from visus.methods.nsi.losses import (
    contrastive,
    generator_loss,
    match,
    matching_costs,
    reconstruction,
    set_prediction,
)
from visus.methods.nsi.model import Categorical, Emissions, ProgramEncoder, Programs, bilevel_scores


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_equal_scores_cost_log_b():
    for b in (1, 2, 7):
        assert contrastive(torch.full((b, b), 3.3)).item() == pytest.approx(math.log(b), abs=1e-6)


def test_contrastive_is_its_formula_and_symmetric():
    scores = torch.randn(5, 5, dtype=torch.float64)
    total = 0.0
    for i in range(5):
        for row in (scores[i], scores[:, i]):
            logits = [value / 0.1 for value in row.tolist()]
            total += math.log(sum(math.exp(v - max(logits)) for v in logits)) + max(logits) - logits[i]
    assert contrastive(scores).item() == pytest.approx(total / 5 / 2)
    assert contrastive(scores.T).item() == pytest.approx(contrastive(scores).item())
    assert contrastive(scores, temperature=0.2).item() == pytest.approx(contrastive(scores / 2).item())
    with pytest.raises(InputError, match=r"scores: have the shape \(5, 4\)"):
        contrastive(scores[:, :4])


def test_swapping_pictures_and_programs_leaves_the_loss():
    slots, primitives = torch.randn(4, 3, 6), torch.randn(4, 2, 6)
    scores = bilevel_scores(slots, primitives, torch.tensor([2, 1, 2, 0]))
    assert contrastive(scores).item() == pytest.approx(contrastive(scores.T).item())


def test_reconstruction_sums_over_channels():
    output, target = torch.randn(2, 2, 10, 768, dtype=torch.float64)
    value = reconstruction(output, target)
    assert value.item() == pytest.approx(768 * F.mse_loss(output, target).item())
    by_hand = sum(((output[b, n] - target[b, n]) ** 2).sum() for b in range(2) for n in range(10)) / 20
    assert value.item() == pytest.approx(by_hand.item())
    pictures = torch.rand(2, 2, 3, 8, 8)
    assert reconstruction(*pictures).item() == pytest.approx(3 * F.mse_loss(*pictures).item(), rel=1e-5)
    with pytest.raises(InputError, match="output, target"):
        reconstruction(output, target[:, :5])


# ---- programs -----------------------------------------------------------------------------------------------


def random_emissions(batch=4, slots=3, per_slot=2, *, schema=SCHEMA) -> Emissions:
    q = slots * per_slot

    def draw(*shape):
        return torch.randn(batch, q, *shape, dtype=torch.float64, requires_grad=True)

    given = draw(len(schema.attributes))
    required = torch.tensor([not each.optional for each in schema.attributes])
    return Emissions(
        draw(),
        tuple(draw(len(each.values)) for each in schema.categorical),
        draw(schema.width),
        draw(schema.width),
        torch.where(required, torch.inf, given),
        torch.arange(q) // per_slot,
    )


def programs_and_scenes(batch=4, *, least=0):
    scenes = random_scenes(batch, seed=3, least=least)
    programs = SCHEMA.encode(scenes)
    return Programs(programs.categories, programs.values.double(), programs.present, programs.length), scenes


def terms(emissions, b, q, primitive, *, huber=False):
    """(categories, values, given) costs of candidate q answering for an object given as a dict."""
    words = values = given = 0.0
    for number, each in enumerate(SCHEMA.attributes):
        there = each.name in primitive
        if each.optional:
            p = 1 / (1 + math.exp(-emissions.given[b, q, number].item()))
            given -= math.log(p if there else 1 - p)
        if there and isinstance(each, Categorical):
            logits = emissions.categories[SCHEMA.categorical.index(each)][b, q].tolist()
            right = logits[each.values.index(primitive[each.name])]
            words += math.log(sum(map(math.exp, logits))) - right
        elif there:
            value = primitive[each.name]
            value = value if isinstance(value, tuple) else (value,)
            for place, (v, low, span) in enumerate(zip(value, each.low, each.span)):
                column = SCHEMA.columns[each.name].start + place
                x, mean = (v - low) / span, emissions.mean[b, q, column].item()
                if huber:
                    gap = abs(x - mean)
                    values += gap**2 / 2 if gap <= 1 else gap - 0.5
                else:
                    sigma = math.exp(emissions.log_variance[b, q, column].item() / 2)
                    density = math.exp(-((x - mean) ** 2) / (2 * sigma**2)) / sigma / math.sqrt(2 * math.pi)
                    values -= math.log(density)
    return words, values, given


def log_loss(logit, there):
    return math.log(1 + math.exp(-logit if there else logit))


def slow_loss(emissions, scenes, association=None, *, huber=False):
    """Total per picture: the least over every way to let different candidates answer for the primitives."""
    totals = []
    for b, scene in enumerate(scenes):
        logits = emissions.presence[b].tolist()
        choices = []
        for j in range(len(scene)):
            mine = [
                q for q in range(len(logits)) if association is None or emissions.slot[q] == association[b][j]
            ]
            choices.append([*mine, None])
        best = None
        for each in itertools.product(*choices):
            used = [q for q in each if q is not None]
            if len(set(used)) < len(used):
                continue
            total = sum(log_loss(logit, q in used) for q, logit in enumerate(logits))
            total += sum(
                sum(terms(emissions, b, q, scene[j], huber=huber))
                for j, q in enumerate(each)
                if q is not None
            )
            key = (-len(used), total)
            best = key if best is None else min(best, key)
        totals.append(best[1])
    return totals


@pytest.mark.parametrize("kind", ["inside a slot", "global", "overflow"])
def test_generator_loss_is_the_least_over_all_orders(kind):
    emissions = random_emissions(per_slot=1 if kind == "overflow" else 2)
    programs, scenes = programs_and_scenes()
    association = None
    if kind != "global":
        association = torch.randint(0, 3, programs.categories.shape[:2]).masked_fill(~programs.mask, -1)
    if kind == "overflow":
        association = association.clamp(max=0)  # every object in slot 0, which has one candidate
    loss = generator_loss(emissions, programs, SCHEMA, association)
    want = slow_loss(emissions, scenes, None if association is None else association.tolist())
    assert loss.total.item() == pytest.approx(sum(want) / len(want), abs=1e-5)
    assert loss.total.item() == pytest.approx(
        (loss.presence + loss.categories + loss.values + loss.given).item()
    )


def test_set_prediction_is_the_least_over_all_assignments():
    emissions, (programs, scenes) = random_emissions(per_slot=2), programs_and_scenes()
    want = slow_loss(emissions, scenes, huber=True)
    assert set_prediction(emissions, programs, SCHEMA).item() == pytest.approx(sum(want) / 4, abs=1e-5)


@pytest.mark.parametrize("slots", [5, 2])
def test_matching_costs_of_all_pairs(slots, monkeypatch):
    emissions, (programs, scenes) = random_emissions(4, slots, 1), programs_and_scenes(5)
    costs = matching_costs(emissions, programs, SCHEMA)
    assert costs.shape == (4, 5)
    for b, scene in enumerate(scenes):
        repeated = Programs(*(getattr(programs[b], f).expand(4, *[-1] * (n - 1)) for f, n in
                              (("categories", 3), ("values", 3), ("present", 3), ("length", 1))))  # fmt: skip
        want = slow_loss(emissions, [scene] * 4, huber=True)
        if len(scene) <= slots:
            torch.testing.assert_close(
                costs[:, b], torch.tensor(want, dtype=torch.float64), atol=1e-5, rtol=0
            )
            own = set_prediction(emissions, repeated, SCHEMA)
            assert costs[:, b].mean().item() == pytest.approx(own.item())
    monkeypatch.setattr("visus.methods.nsi.losses.CELLS", 1)
    torch.testing.assert_close(matching_costs(emissions, programs, SCHEMA), costs)


def test_match_takes_as_many_as_possible_first():
    cost = torch.tensor([[[1.0, 500.0], [0.0, 900.0]]])
    allowed = torch.tensor([[[True, False], [True, True]]])
    assert match(cost, torch.tensor([2])).tolist() == [[1, 0]]
    assert match(cost, torch.tensor([2]), allowed).tolist() == [[0, 1]]
    assert match(cost, torch.tensor([1])).tolist() == [[1, -1]]
    assert match(cost, torch.tensor([0])).tolist() == [[-1, -1]]
    assert match(cost, torch.tensor([2]), torch.zeros_like(allowed)).tolist() == [[-1, -1]]
    assert match(cost[:, :1], torch.tensor([2])).tolist() == [[0, -1]]
    assert match(cost * torch.nan, torch.tensor([2])).shape == (1, 2)


def test_a_missing_attribute_costs_nothing_and_teaches_nothing():
    emissions = random_emissions(1, 1, 1)
    programs = SCHEMA.encode([[{"size": "small", "position": (0, 0, 1)}]])
    generator_loss(emissions, programs, SCHEMA, torch.tensor([[0, -1, -1, -1, -1]])).total.backward()
    color = emissions.categories[1]
    assert not color.grad.any()
    assert emissions.categories[0].grad.any()
    assert emissions.mean.grad[..., :3].any()
    assert not emissions.mean.grad[..., 3].any()


def test_a_scene_without_objects_only_teaches_absence():
    emissions = random_emissions(2)
    loss = generator_loss(emissions, SCHEMA.encode([[], []]), SCHEMA, torch.full((2, 5), -1))
    loss.total.backward()
    assert loss.categories == loss.values == loss.given == 0
    assert (emissions.presence.grad > 0).all()


def test_identical_encoders_give_log_b():
    model = ProgramEncoder(SCHEMA, width=16, heads=2, blocks=1, size=4).eval()
    programs = SCHEMA.encode(random_scenes(1, least=3) * 6)
    scores = bilevel_scores(torch.randn(1, 3, 4).expand(6, -1, -1), model(programs), programs.length)
    assert contrastive(scores).item() == pytest.approx(math.log(6), abs=1e-4)
