"""The twelve checks that decide whether this is the method and not one that resembles it."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from visus.data.worlds.scenes import SceneImages
from visus.errors import InputError
from visus.methods.nsi.claims.laws import looped, random_scenes
from visus.methods.nsi.claims.scoring import with_shuffled
from visus.methods.nsi.losses import contrastive, reconstruction
from visus.methods.nsi.model import (
    ProgramEncoder,
    Programs,
    Schema,
    SlotClassifier,
    bilevel_scores,
    parse,
    picture_slots,
    serialize,
)
from visus.methods.nsi.model.named import scenes
from visus.metrics.detection import property_average_precision
from visus.metrics.retrieval import recall_at_k, two_way_recall

SCHEMA = scenes(most=6)


def tensors(seed: int = 0, *, a: int = 6, k: int = 4, b: int = 5, p: int = 7, width: int = 8):
    generator = torch.Generator().manual_seed(seed)
    slots = torch.randn(a, k, width, generator=generator).double()
    rows = torch.randn(b, p, width, generator=generator).double()
    return slots, rows, torch.randint(1, p + 1, (b,), generator=generator)


def encoder(**options) -> ProgramEncoder:
    torch.manual_seed(0)
    return (
        ProgramEncoder(SCHEMA, width=24, heads=3, blocks=3, size=16, **options).eval().requires_grad_(False)
    )


def test_1_score_is_the_triple_loop_and_both_sides_are_sets():
    slots, rows, length = tensors()
    found = bilevel_scores(slots, rows, length)
    torch.testing.assert_close(found, looped(slots, rows, length), rtol=0, atol=1e-6)
    noisy = torch.where(torch.arange(7)[None, :, None] < length[:, None, None], rows, torch.nan)
    assert torch.equal(bilevel_scores(slots, noisy.nan_to_num(1e6), length), found)
    order = torch.randperm(4)
    torch.testing.assert_close(bilevel_scores(slots[:, order], rows, length), found, rtol=0, atol=1e-5)
    objects = [list(scene) for scene in random_scenes(5, 1)]
    plain = encoder()(SCHEMA.encode(objects))
    mixed = encoder()(SCHEMA.encode([scene[::-1] for scene in objects]))
    lengths = torch.tensor([len(scene) for scene in objects])
    images = torch.randn(6, 4, 16, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(
        bilevel_scores(images, mixed, lengths), bilevel_scores(images, plain, lengths), rtol=1e-5, atol=1e-5
    )


def test_2_padding_is_hidden_unless_legacy():
    objects = random_scenes(4, 2)
    narrow, wide = SCHEMA.encode(objects), scenes(most=11).encode(objects)
    for legacy in (False, True):
        made = encoder(legacy_padding=legacy)
        few, many = made(narrow), made(wide)[:, :6]
        same = torch.allclose(few, many, atol=1e-5)
        assert same is not legacy


def test_3_loss_at_equal_scores_is_log_b_and_symmetric():
    for batch in (2, 64):
        assert contrastive(torch.full((batch, batch), 7.0)).item() == pytest.approx(math.log(batch), rel=1e-5)
    scores = torch.randn(9, 9).double()
    assert contrastive(scores).item() == pytest.approx(contrastive(scores.T).item(), abs=1e-12)


def test_4_slots_that_win_nothing_get_no_gradient():
    slots, rows, length = tensors(4)
    slots.requires_grad_()
    score = bilevel_scores(slots, rows, length)
    for a, b in itertools.product(range(6), range(5)):
        (gradient,) = torch.autograd.grad(score[a, b], slots, retain_graph=True)
        winners = (slots[a].detach() @ rows[b, : length[b]].T).argmax(0).unique()
        moved = gradient.abs().sum(-1).nonzero().tolist()
        assert sorted(moved) == sorted([a, i] for i in winners.tolist())


def test_5_max_is_at_least_hungarian_and_equal_for_distinct_winners():
    slots, rows, length = tensors(5, k=7)
    best = bilevel_scores(slots, rows, length)
    matched = bilevel_scores(slots, rows, length, assign="hungarian")
    assert (best >= matched - 1e-12).all()
    winners = torch.einsum("aid,bjd->abij", slots, rows).argmax(2)
    distinct = torch.tensor(
        [[len(set(row[: int(n)].tolist())) == int(n) for row, n in zip(image, length)] for image in winners]
    )
    assert distinct.any()
    assert not distinct.all()
    torch.testing.assert_close(best[distinct], matched[distinct])
    assert (best[~distinct] > matched[~distinct]).all()


@pytest.mark.parametrize("slots", [1, 4])
def test_6_a_duplicate_adds_its_best_again(slots):
    images, rows, _ = tensors(6, k=slots)
    once = bilevel_scores(images, rows[:, :1], torch.ones(5).long())
    for copies in (2, 3, 7):
        again = bilevel_scores(images, rows[:, :1].expand(-1, copies, -1), torch.full((5,), copies))
        torch.testing.assert_close(again, copies * once)
    if slots == 1:
        length = torch.tensor([7, 3, 1, 5, 2])
        summed = torch.stack([(images[:, 0] @ p[:n].T).sum(1) for p, n in zip(rows, length)], 1)
        torch.testing.assert_close(bilevel_scores(images, rows, length), summed)


def test_7_thousand_programs_round_trip_and_errors_name_the_line():
    for scene in random_scenes(1000, 7):
        objects = SCHEMA.check(scene)
        assert parse(serialize(objects, SCHEMA), SCHEMA) == objects
    text = serialize(SCHEMA.check(random_scenes(1, 8)[0]), SCHEMA)
    with pytest.raises(InputError, match="shade"):
        parse(text.replace("<color>", "<shade>", 1).replace("</color>", "</shade>", 1), SCHEMA)
    with pytest.raises(InputError, match="line"):
        parse(text.replace("</object>", "", 1), SCHEMA)


class Pair(torch.nn.Module):
    """Both encoders at the size of a test."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.images = picture_slots(
            image=(32, 32),
            count=4,
            size=32,
            joint=32,
            iterations=2,
            channels=16,
            strides=(2, 2),
            decoder="none",
        )
        with torch.no_grad():
            self.images.start.log_sigma.fill_(-2.0)  # at first the noise is louder than the picture
        self.programs = ProgramEncoder(SCHEMA, width=32, heads=4, blocks=1, size=32)

    def scores(self, images: torch.Tensor, programs: Programs, step: int | None = None) -> torch.Tensor:
        noise = None if step is None else torch.Generator().manual_seed(step)
        found = self.images(images, generator=noise).embeddings
        return bilevel_scores(found, self.programs(programs), programs.length)

    def loss(self, images: torch.Tensor, programs: Programs, step: int | None = None) -> torch.Tensor:
        return contrastive(self.scores(images, programs, step), temperature=1.0)

    def fit(self, images: torch.Tensor, programs: Programs, steps: int, rate: float = 2e-3) -> Pair:
        optimizer = torch.optim.Adam(self.parameters(), lr=rate)
        for step in range(steps):
            optimizer.zero_grad()
            self.loss(images, programs, step).backward()
            torch.nn.utils.clip_grad_norm_(self.parameters(), 1.0)
            optimizer.step()
        return self


def test_8_one_batch_is_learned_by_heart_and_shuffled_pairs_teach_nothing():
    batch = SceneImages(44, seed=0, size=32, objects=(1, 6)).batch(range(44))
    programs = SCHEMA.encode(batch["objects"])
    images, few = batch["image"], programs[:4]
    before = Pair().eval().loss(images[:4], few)
    after = Pair().eval().fit(images[:4], few, 5, rate=5e-4).loss(images[:4], few)
    assert after < before
    pair = Pair().eval().fit(images[:4], few, 250)
    with torch.no_grad():
        found = two_way_recall(pair.scores(images[:4], few), k=(1,))
    assert found == {"forward@1": 1.0, "backward@1": 1.0}
    # a mapping learned from wrong pairs says nothing about pictures it has not seen
    pair = Pair().eval().fit(images[:4], few[torch.arange(4).roll(1)], 60)
    with torch.no_grad():
        table = pair.scores(images[4:], programs[torch.arange(4, 44)])
    assert recall_at_k(table, k=(1,))[1] < 4 / 40  # chance is 1 / 40


def test_9_alphas_sum_to_one_and_the_error_is_a_sum_over_channels():
    torch.manual_seed(0)
    images = picture_slots(image=(32, 32), count=5, size=16, channels=8, cells=(8, 8), hidden=(16,))
    seen = images(torch.rand(2, 3, 32, 32), decode=True)
    masks = images.decoder_masks(seen.decoded)
    assert masks.shape == (2, 5, 8, 8)
    torch.testing.assert_close(masks.sum(1), torch.ones(2, 8, 8))
    output, target = torch.randn(2, 784, 768), torch.randn(2, 784, 768)
    mean = (output - target).square().mean()
    torch.testing.assert_close(reconstruction(output, target), 768 * mean)


def test_10_average_precision_falls_with_the_distance_allowed():
    generator = torch.Generator().manual_seed(0)
    truth = {"shape": torch.randint(0, 3, (20, 5), generator=generator)}
    places = torch.rand(20, 5, 3, generator=generator) * 4
    present = torch.arange(5) < torch.randint(1, 6, (20, 1), generator=generator)
    scores = torch.rand(20, 5, generator=generator)
    rough = places + 0.3 * torch.randn(places.shape, generator=generator)
    values = list(property_average_precision(truth, rough, scores, truth, places, present).values())
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1] > 0
    perfect = property_average_precision(truth, places, present.float(), truth, places, present)
    assert set(perfect.values()) == {1.0}
    nothing = {"shape": torch.full((20, 5), 9)}
    empty = property_average_precision(nothing, places, scores, truth, places, present)
    assert set(empty.values()) == {0.0}


def recall_by_heart(schema: Schema, objects: list, told: list) -> float:
    """Recall@1 of scenes whose slots are their primitives' own vectors, by the programs `told` of them."""
    torch.manual_seed(0)
    made = ProgramEncoder(schema, width=24, heads=3, blocks=1, size=24).eval().requires_grad_(False)
    programs = schema.encode(objects)
    asked = made(schema.encode(told))
    table = bilevel_scores(made(programs), asked, programs.length, reduce="mean", normalize=True)
    return recall_at_k(table.T, k=(1,))[1]


@pytest.mark.parametrize(
    "schema",
    [SCHEMA, SCHEMA.without("position"), SCHEMA.only("color", "shape", "size")],
    ids=["all", "no position", "three"],
)
def test_11_attributes_matter_and_may_be_left_out(schema):
    objects = random_scenes(200, 11)
    known = recall_by_heart(schema, objects, objects)
    shuffled = recall_by_heart(schema, objects, with_shuffled(objects, "color", 0))
    assert known > 0.5
    assert shuffled < 0.5 * known


def test_12_the_order_of_slots_does_not_change_the_classes():
    torch.manual_seed(0)
    classifier = SlotClassifier(16, 3, width=32, blocks=2).eval()
    slots = torch.randn(4, 9, 16)
    torch.testing.assert_close(
        classifier(slots), classifier(slots[:, torch.randperm(9)]), atol=1e-5, rtol=1e-5
    )
