"""Every arm is what its name says, against slow transcriptions, and learns what it is taught."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from visus.data.worlds.scenes import SceneImages
from visus.errors import InputError
from visus.methods.nsi.baselines import (
    Grounded,
    SetPredictor,
    box_means,
    least_matching,
    matching_table,
    pairwise_costs,
)
from visus.methods.nsi.claims.contest import build
from visus.methods.nsi.claims.data import SMOKE
from visus.methods.nsi.claims.laws import random_scenes
from visus.methods.nsi.losses import contrastive, matching_costs, reconstruction, set_prediction
from visus.methods.nsi.model import Categorical, ProgramHeads, Schema, bilevel_scores
from visus.methods.nsi.model.named import scenes

SCHEMA = scenes(most=6)
ARMS = ("nsi", "hmc", "pooled", "boxes", "ungrounded", "no_transformer", "no_position", "hungarian")


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def data(count: int = 6, schema: Schema = SCHEMA):
    images = torch.rand(count, 3, 32, 32, generator=seeded(1))
    corners = torch.rand(count, 6, 2, 2, generator=seeded(2)).sort(2).values
    programs = schema.encode(random_scenes(count, 3))
    return images, programs, corners.flatten(2) * programs.mask[..., None]


def made(arm: str, **changes):
    torch.manual_seed(0)
    return build(arm, replace(SMOKE, **changes))


# ---- matching ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("q", "p"), [(1, 1), (1, 5), (4, 6), (5, 3), (3, 3)])
def test_least_matching_is_the_hungarian_one(q, p):
    cost = torch.randn(40, q, p, generator=seeded(q)).double()
    length = torch.randint(0, p + 1, (40,), generator=seeded(p))
    found = least_matching(cost, length)
    for table, count, value in zip(cost.numpy(), length.tolist(), found.tolist()):
        rows, columns = linear_sum_assignment(table[:, :count])
        assert value == pytest.approx(table[rows, columns].sum(), abs=1e-9)
    with pytest.raises(InputError, match="at most 12"):
        least_matching(torch.zeros(1, 13, 2), torch.tensor([2]))


def test_costs_of_pairs_are_written_out():
    heads = ProgramHeads(SCHEMA, 8).double()
    with torch.no_grad():
        emissions = heads(torch.randn(2, 3, 8, generator=seeded()).double())
    programs = SCHEMA.encode(random_scenes(2, 1))
    table = pairwise_costs(emissions, programs, SCHEMA)
    for a, b, q in itertools.product(range(2), range(2), range(3)):
        for p in range(int(programs.length[b])):
            cost = -emissions.presence[a, q]
            for column in range(4):
                logits = emissions.categories[column][a, q]
                cost = cost - (logits - logits.logsumexp(0))[programs.categories[b, p, column]]
            for column in range(3):
                gap = abs(float(emissions.mean[a, q, column]) - float(programs.values[b, p, column]))
                cost = cost + (gap**2 / 2 if gap < 1 else gap - 0.5)
            assert table[a, b, q, p].item() == pytest.approx(float(cost), rel=1e-6)


@pytest.mark.parametrize("slots", [2, 4, 7])
def test_table_of_all_pairs_equals_the_losses_own_loop(slots):
    emissions = ProgramHeads(SCHEMA, 8)(torch.randn(5, slots, 8, generator=seeded(slots)))
    programs = SCHEMA.encode(random_scenes(9, 2))
    found = matching_table(emissions, programs, SCHEMA)
    torch.testing.assert_close(found, matching_costs(emissions, programs, SCHEMA), rtol=1e-5, atol=1e-4)


def test_optional_attributes_are_refused():
    schema = Schema((Categorical("color", ("red", "blue"), optional=True),), 3)
    emissions = ProgramHeads(schema, 4)(torch.zeros(1, 2, 4))
    with pytest.raises(InputError, match="optional"):
        pairwise_costs(emissions, schema.encode([[{"color": "red"}]]), schema)


# ---- boxes ------------------------------------------------------------------------------------------------


def test_box_means_are_integrals_over_the_grid():
    fine, grid = 40, (4, 5)
    tokens = torch.randn(2, 20, 3, generator=seeded()).double()
    # corners on a fine grid, so that a count of fine cells is the exact integral
    corners = torch.randint(0, fine + 1, (2, 3, 2, 2), generator=seeded(1)).sort(2).values
    corners[:, :, 1] = (corners[:, :, 1]).clamp(min=1)
    corners[:, :, 0] = torch.minimum(corners[:, :, 0], corners[:, :, 1] - 1)
    found = box_means(tokens, corners.flatten(2).double() / fine, grid)
    for i, m in itertools.product(range(2), range(3)):
        (top, left), (low, right) = corners[i, m].tolist()
        cells = [
            tokens[i, (y * grid[0] // fine) * grid[1] + x * grid[1] // fine]
            for y in range(top, low)
            for x in range(left, right)
        ]
        torch.testing.assert_close(found[i, m], torch.stack(cells).mean(0))


def test_absent_boxes_repeat_the_first_and_win_nothing():
    tokens = torch.randn(1, 16, 5, generator=seeded())
    boxes = torch.tensor([[[0.0, 0.0, 0.5, 0.5], [0.2, 0.4, 0.9, 1.0], [0.0] * 4, [0.0] * 4]])
    found = box_means(tokens, boxes, (4, 4))
    assert torch.equal(found[:, 2], found[:, 0])
    assert torch.equal(found[:, 3], found[:, 0])
    rows, length = torch.randn(3, 4, 5, generator=seeded(1)), torch.tensor([4, 2, 1])
    assert torch.equal(bilevel_scores(found, rows, length), bilevel_scores(found[:, :2], rows, length))
    nothing = box_means(tokens, torch.zeros(1, 2, 4), (4, 4))
    torch.testing.assert_close(nothing[0, 1], tokens.mean(1)[0])


# ---- arms -------------------------------------------------------------------------------------------------


def test_all_arms_of_a_seed_begin_with_the_same_image_side():
    reference = made("nsi").images.state_dict()
    for arm in (*ARMS, "patches", "random"):
        for name, weight in made(arm).images.state_dict().items():
            assert torch.equal(weight, reference[name]), (arm, name)


@pytest.mark.parametrize("arm", ARMS)
def test_every_weight_that_the_arm_uses_gets_a_gradient(arm):
    contender = made(arm).train()
    images, programs, boxes = data(schema=contender.schema)
    contender.loss(images, programs, boxes, generator=seeded(), beta=1.0).backward()
    idle = {
        name.split(".")[1] for name, p in contender.named_parameters() if p.grad is None and "images" in name
    }
    expected = {
        "hmc": {"head"},
        "ungrounded": {"head"},
        "pooled": {"start", "attention", "decoder", "head"},
        "boxes": {"start", "attention", "decoder", "head"},
    }
    assert idle == expected.get(arm, set())
    others = [name for name, p in contender.named_parameters() if p.grad is None and "images" not in name]
    # set prediction does not use the variances; presence of optional attributes is never asked for
    assert {name.split(".")[1] for name in others} <= {"log_variance", "primitives"}
    assert all("missing" in name for name in others if "primitives" in name)


def test_losses_are_their_formulas():
    images, programs, boxes = data()
    nsi, hmc = made("nsi").eval(), made("hmc").eval()
    found = nsi.images(images, generator=seeded(5), decode=True)
    lost = reconstruction(found.decoded.output, nsi.images.target(images))
    scores = bilevel_scores(found.embeddings, nsi.programs(programs), programs.length)
    expected = contrastive(scores, temperature=nsi.temperature) + 3 * lost
    torch.testing.assert_close(nsi.loss(images, programs, boxes, generator=seeded(5), beta=3.0), expected)
    alone = nsi.loss(images, programs, boxes, generator=seeded(5), beta=0.0)
    torch.testing.assert_close(alone, contrastive(scores, temperature=nsi.temperature))
    found = hmc.images(images, generator=seeded(5), decode=True)
    lost = reconstruction(found.decoded.output, hmc.images.target(images))
    expected = set_prediction(hmc.heads(found.slots), programs, hmc.schema) + 3 * lost
    torch.testing.assert_close(hmc.loss(images, programs, boxes, generator=seeded(5), beta=3.0), expected)


def test_pooled_scores_are_products_of_means():
    images, programs, boxes = data()
    pooled = made("pooled").eval().requires_grad_(False)
    table = pooled.score(pooled.embed(images, boxes), programs)
    rows = pooled.programs(programs)
    for a, b in itertools.product(range(6), range(6)):
        picture = pooled.head(pooled.images.tokens(images[a : a + 1]).mean(1))[0]
        program = rows[b, : int(programs.length[b])].mean(0)
        assert table[a, b].item() == pytest.approx(float(picture @ program), rel=1e-4, abs=1e-5)


def test_what_changes_between_variants_of_the_interpreter():
    assert len(made("no_transformer").programs.blocks) == 0
    assert "position" not in made("no_position").schema.by_name
    assert (made("hungarian").assign, made("nsi").assign) == ("hungarian", "max")
    images, programs, boxes = data()
    nsi, one = made("nsi").eval(), made("hungarian").eval()
    assert (
        nsi.score(nsi.embed(images, boxes), programs) >= one.score(one.embed(images, boxes), programs)
    ).any()


@pytest.mark.parametrize("arm", ["nsi", "pooled", "boxes"])
def test_scores_of_a_gallery_do_not_depend_on_its_company(arm):
    images, programs, boxes = data()
    contender = made(arm).eval()
    whole = contender.score(contender.embed(images, boxes), programs)
    part = contender.score(contender.embed(images[2:3], boxes[2:3]), programs[[4, 1]])
    torch.testing.assert_close(part, whole[2:3, [4, 1]], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("arm", "steps"), [("nsi", 250), ("pooled", 60), ("boxes", 60), ("hmc", 100)])
def test_every_arm_learns_one_batch_by_heart(arm, steps):
    batch = SceneImages(4, seed=0, size=32, objects=(1, 6)).batch(range(4))
    images, programs, boxes = batch["image"], SCHEMA.encode(batch["objects"]), batch["boxes"]
    contender = made(arm).eval()
    with torch.no_grad():
        contender.images.start.log_sigma.fill_(-2.0)  # at first the noise is louder than the picture
    optimizer = torch.optim.Adam(contender.parameters(), lr=2e-3)
    losses = []
    for step in range(steps):
        optimizer.zero_grad()
        loss = contender.loss(images, programs, boxes, generator=seeded(step), beta=0.0)
        loss.backward()
        losses.append(loss.item())
        torch.nn.utils.clip_grad_norm_(contender.parameters(), 1.0)
        optimizer.step()
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    if arm != "hmc":  # matching costs of programs of different length compare poorly
        with torch.no_grad():
            table = contender.score(contender.embed(images, boxes), programs)
        assert table.argmax(1).tolist() == table.argmax(0).tolist() == [0, 1, 2, 3]


def test_arms_without_programs_say_so():
    contender = made("ungrounded")
    assert not contender.retrieves
    with pytest.raises(TypeError, match="does not retrieve"):
        contender.embed(torch.zeros(1, 3, 32, 32), torch.zeros(1, 6, 4))
    assert isinstance(made("random"), Grounded)
    assert isinstance(made("hmc"), SetPredictor)
    assert made("patches").vectors(torch.zeros(1, 3, 32, 32)).shape == (1, 64, 16)
    assert contender.vectors(torch.zeros(1, 3, 32, 32)).shape == (1, 4, 32)
