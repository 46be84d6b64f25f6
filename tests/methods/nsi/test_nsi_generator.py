"""Programs out of slots: symmetry, what is written, and that a small generator learns its scenes."""

from __future__ import annotations

import pytest
import torch
from nsi_samples import SCHEMA, random_scenes

from visus.errors import InputError
from visus.methods.nsi.losses import generator_loss
from visus.methods.nsi.model import Emissions, ProgramGenerator, generate, parse, serialize, write


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def generator(**options):
    settings = {"per_slot": 2, "width": 16, "blocks": 2, "heads": 2, **options}
    return ProgramGenerator(SCHEMA, 6, **settings).eval()


def test_shapes_and_slots():
    out = generator(per_slot=3)(torch.randn(2, 4, 6))
    assert out.presence.shape == (2, 12)
    assert [tuple(each.shape) for each in out.categories] == [(2, 12, 2), (2, 12, 3)]
    assert out.mean.shape == out.log_variance.shape == (2, 12, 4)
    assert out.slot.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    # required attributes are never in doubt
    assert out.given.isfinite().any(0).any(0).tolist() == [False, True, False, True]
    with pytest.raises(InputError, match="per_slot: is 0"):
        generator(per_slot=0)


def test_permuting_slots_permutes_their_candidates():
    model, slots = generator(), torch.randn(3, 4, 6)
    order = torch.tensor([2, 0, 3, 1])
    before, after = model(slots), model(slots[:, order])
    rows = (order[:, None] * 2 + torch.arange(2)).flatten()
    torch.testing.assert_close(after.presence, before.presence[:, rows], atol=1e-5, rtol=0)
    torch.testing.assert_close(after.mean, before.mean[:, rows], atol=1e-5, rtol=0)
    programs = SCHEMA.encode(random_scenes(3, seed=1))
    association = torch.randint(0, 4, (3, 5)).masked_fill(~programs.mask, -1)
    moved = torch.full_like(association, -1)
    for new, old in enumerate(order.tolist()):
        moved[association == old] = new
    one = generator_loss(before, programs, SCHEMA, association).total
    other = generator_loss(after, programs, SCHEMA, moved).total
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-5)


def test_candidates_see_other_slots_and_their_own():
    model, slots = generator(), torch.randn(1, 3, 6)
    changed = slots.clone()
    changed[:, 2] += 1
    before, after = model(slots), model(changed)
    assert (before.mean - after.mean).abs().flatten(2).amax(-1).min() > 1e-5
    # two candidates of one slot differ, by their queries
    assert (before.mean[:, 0] - before.mean[:, 1]).abs().max() > 1e-3


def test_writing_by_hand():
    presence = torch.tensor([[3.0, -2.0, 0.5, 1.0]])
    size = torch.zeros(1, 4, 2).scatter(2, torch.tensor([[[1], [0], [0], [1]]]), 5.0)
    color = torch.zeros(1, 4, 3).scatter(2, torch.tensor([[[2], [0], [1], [0]]]), 5.0)
    mean = torch.tensor([[[0.5, 0.5, 0.0, 0.25]] * 4])
    given = torch.tensor([[[torch.inf, 1.0, torch.inf, -1.0]] * 4])
    emissions = Emissions(presence, (size, color), mean, mean, given, torch.tensor([0, 0, 1, 1]))
    out = generate(emissions, SCHEMA)
    assert out.programs.length.tolist() == [3]
    assert out.slot.tolist() == [[0, 1, 1, -1, -1]]  # the surest first
    assert out.score[0, :3].tolist() == pytest.approx(presence[0, [0, 3, 2]].sigmoid().tolist())
    assert out.score[0, 3:].tolist() == [0, 0]
    (scene,) = write(emissions, SCHEMA)
    assert scene == tuple(
        {"size": size, "color": color, "position": (0.0, 3.0, 1.0)}
        for size, color in (("large", "blue"), ("large", "red"), ("small", "green"))
    )
    assert len(write(emissions, SCHEMA, threshold=0.9)[0]) == 1
    assert write(emissions, SCHEMA, threshold=0.99) == [()]


def test_no_more_objects_than_the_schema_allows():
    emissions = generator()(torch.randn(2, 9, 6))
    emissions = emissions._replace(presence=torch.randn(2, 18).abs())
    out = generate(emissions, SCHEMA)
    assert out.programs.length.tolist() == [5, 5]
    kept = emissions.presence.sigmoid().sort(descending=True).values[:, :5]
    torch.testing.assert_close(out.score, kept)
    for scene in write(emissions, SCHEMA):
        assert parse(serialize(scene, SCHEMA), SCHEMA) == scene


def test_a_schema_of_numbers_or_of_words_alone():
    slots = torch.randn(2, 3, 6)
    for names in (("size",), ("position",), ("size", "color")):
        schema = SCHEMA.only(*names)
        model = ProgramGenerator(schema, 6, width=16, blocks=1, heads=2)
        programs = schema.encode(random_scenes(2, least=1, schema=schema), partial=True)
        generator_loss(model(slots), programs, schema).total.backward()
        assert len(write(model(slots), schema)) == 2


def test_every_parameter_gets_a_gradient():
    model = generator(width=16)
    programs = SCHEMA.encode(random_scenes(8, least=3))
    association = torch.randint(0, 3, (8, 5)).masked_fill(~programs.mask, -1)
    generator_loss(model(torch.randn(8, 3, 6)), programs, SCHEMA, association).total.backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not idle


@pytest.mark.parametrize("dense", [True, False])
def test_a_few_scenes_are_learned_by_heart(dense):
    scenes = random_scenes(4, seed=5, least=2)
    programs, slots = SCHEMA.encode(scenes), torch.randn(4, 3, 6)
    association = (
        torch.arange(5).remainder(3).expand(4, -1).masked_fill(~programs.mask, -1) if dense else None
    )
    model = generator(width=32)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(300):
        optimizer.zero_grad()
        generator_loss(model(slots), programs, SCHEMA, association).total.backward()
        optimizer.step()

    def words(scene):
        return sorted((each["size"], each.get("color", ""), "weight" in each) for each in scene)

    written = write(model(slots), SCHEMA)
    assert [words(scene) for scene in written] == [words(scene) for scene in scenes]
    if dense:
        out = generate(model(slots), SCHEMA)
        assert [sorted(row[:n]) for row, n in zip(out.slot.tolist(), programs.length.tolist())] == [
            sorted(row[:n]) for row, n in zip(association.tolist(), programs.length.tolist())
        ]
