"""Descriptions to rows: against slow transcriptions, and what must not change anything."""

from __future__ import annotations

import math

import pytest
import torch
from vgloss_towers import Letters, towers

from visus.errors import InputError
from visus.methods.vgloss.baselines import SEVEN, templates
from visus.methods.vgloss.model.builder import (
    EmptyClassWarning,
    TextClassifierBuilder,
    average,
    pool,
    shares,
)

TOLD = {
    "crane": ["a tall bird", "long legs and a long neck", "gray feathers"],
    "truck": ["a lorry with large wheels"],
    "zebra": ["black and white stripes", "a striped horse"],
}


def rows_of(texts: list[str]) -> list[list[float]]:
    return Letters().texts(texts).double().tolist()


def unit(row: list[float]) -> list[float]:
    length = math.sqrt(sum(x * x for x in row))
    return [x / length for x in row]


def mean(rows: list[list[float]]) -> list[float]:
    return [sum(column) / len(rows) for column in zip(*rows)]


def test_mean_is_normalize_average_normalize():
    made = TextClassifierBuilder(Letters()).build(TOLD)
    slow = [unit(mean([unit(row) for row in rows_of(texts)])) for texts in TOLD.values()]
    torch.testing.assert_close(made.weights, torch.tensor(slow), rtol=0, atol=1e-6)
    torch.testing.assert_close(made.weights.norm(dim=1), torch.ones(3))
    before = [unit(mean(rows_of(texts))) for texts in TOLD.values()]
    assert (made.weights - torch.tensor(before)).abs().max() > 1e-3, (
        "averaging before normalizing would differ"
    )


def test_similarity_mean_is_the_mean_of_similarities():
    """DCLIP's score: it differs from `mean` by the length of each class's mean, and by nothing else."""
    made = TextClassifierBuilder(Letters(), pooling="similarity_mean").build(TOLD)
    images = torch.randn(5, 27, generator=torch.Generator().manual_seed(0))
    slow = [
        [
            sum(sum(a * b for a, b in zip(unit(image), unit(row))) for row in rows_of(texts)) / len(texts)
            for texts in TOLD.values()
        ]
        for image in images.double().tolist()
    ]
    torch.testing.assert_close(made.similarities(images), torch.tensor(slow), rtol=0, atol=1e-6)
    renormalized = TextClassifierBuilder(Letters()).build(TOLD).similarities(images)
    lengths = made.weights.norm(dim=1)
    assert lengths.min() < 0.999
    torch.testing.assert_close(made.similarities(images), renormalized * lengths, rtol=0, atol=1e-6)


def test_max_takes_the_nearest_text():
    made = TextClassifierBuilder(Letters(), pooling="max").build(TOLD)
    images = torch.randn(6, 27, generator=torch.Generator().manual_seed(1))
    slow = [
        [
            max(sum(a * b for a, b in zip(unit(image), unit(row))) for row in rows_of(texts))
            for texts in TOLD.values()
        ]
        for image in images.double().tolist()
    ]
    torch.testing.assert_close(made.similarities(images), torch.tensor(slow), rtol=0, atol=1e-6)
    with pytest.raises(InputError, match="one row per class"):
        made.for_open_clip()


def test_weights_of_a_person_count():
    given = {"crane": [3.0, 1.0, 0.0], "truck": [2.0]}
    made = TextClassifierBuilder(Letters(), pooling="weighted").build(TOLD, weights=given)
    crane = [unit(row) for row in rows_of(TOLD["crane"])]
    slow = unit([(3 * a + b) / 4 for a, b in zip(crane[0], crane[1])])
    torch.testing.assert_close(made.weights[0], torch.tensor(slow), rtol=0, atol=1e-6)
    for wrong in ([1.0], [-1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [math.nan] * 3):
        with pytest.raises(InputError, match="weights of crane"):
            TextClassifierBuilder(Letters(), pooling="weighted").build(TOLD, weights={"crane": wrong})


def test_weighted_counts_a_sentence_less_that_could_be_of_another_class():
    told = {"a": ["aaaa", "aaab", "bbbb"], "b": ["bbbb", "bbbc"]}
    made = TextClassifierBuilder(Letters(), pooling="weighted").build(told)
    assert made.share[2] < made.share[1] < made.share[0]
    torch.testing.assert_close(made.share[:3].sum(), torch.tensor(1.0))
    rows = made.embeddings.double().tolist()
    means = {"a": unit(mean(rows[:3])), "b": unit(mean(rows[3:]))}
    worth = [
        math.exp(
            (sum(x * y for x, y in zip(row, means["a"])) - sum(x * y for x, y in zip(row, means["b"]))) / 0.1
        )
        for row in rows[:3]
    ]
    slow = [value / sum(worth) for value in worth]
    torch.testing.assert_close(made.share[:3], torch.tensor(slow), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "similarity_mean", "max", "weighted"])
def test_order_and_repetition_of_a_list_change_nothing(pooling):
    images = torch.randn(4, 27, generator=torch.Generator().manual_seed(2))
    build = TextClassifierBuilder(Letters(), pooling=pooling).build
    plain = build(TOLD).similarities(images)
    backwards = build({name: texts[::-1] for name, texts in TOLD.items()}).similarities(images)
    twice = build({name: texts * 2 for name, texts in TOLD.items()}).similarities(images)
    turned = build(dict(reversed(TOLD.items()))).similarities(images)
    for other in (backwards, twice, turned.flip(1)):
        torch.testing.assert_close(plain, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("count", [1, 80])
def test_equals_the_builder_of_open_clip(count):
    """Same tower, templates for every class: normalize, mean over templates, normalize; logits = 100 f W."""
    encoder, names = towers(), ["large cube", "ball", "crane"]
    sentences = [*SEVEN, *(f"picture {i} of the {{c}}" for i in range(73))][:count]
    made = TextClassifierBuilder(encoder).build(templates(names, sentences))
    columns = []
    for name in names:
        embedded = encoder.texts([sentence.replace("{c}", name) for sentence in sentences]).double()
        embedded = embedded / embedded.norm(dim=-1, keepdim=True)
        row = embedded.mean(dim=0)
        columns.append(row / row.norm())
    slow = torch.stack(columns, dim=1).float()
    assert made.for_open_clip().shape == (12, 3)
    torch.testing.assert_close(made.for_open_clip(), slow, rtol=0, atol=1e-5)


def test_a_text_is_encoded_once():
    encoder = Letters()
    builder = TextClassifierBuilder(encoder)
    builder.build({"a": ["same text", "same text", "own text"], "b": ["same text"]})
    builder.build({"c": ["own text", "new text"]})
    assert sorted(encoder.asked) == ["new text", "own text", "same text"]


def test_a_class_without_descriptions_goes_by_its_name():
    told = {"zebra": ["stripes"], "n02012849": [], "truck": ["  "]}
    with pytest.warns(EmptyClassWarning, match=r"2 of 3 classes.*n02012849, truck"):
        made = TextClassifierBuilder(Letters()).build(told, spoken={"n02012849": "crane"})
    assert made.texts == ("stripes", "crane", "truck")
    torch.testing.assert_close(made.weights.norm(dim=1), torch.ones(3))


def test_opposite_texts_do_not_give_a_zero_row():
    rows, owner = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0, 1])
    share = shares(rows, owner, 2)
    for pooling in ("mean", "similarity_mean"):
        assert torch.equal(pool(rows, owner, 2, share, pooling), torch.tensor([[1.0, 0.0], [0.0, 1.0]]))


def test_pooling_all_texts_and_averaging_two_classifiers_are_different_ensembles():
    builder = TextClassifierBuilder(Letters())
    one, other = builder.build(TOLD), builder.build(templates(list(TOLD)))
    both = average(one, other)
    slow = torch.stack([(a + b) / (a + b).norm() for a, b in zip(one.weights, other.weights)])
    torch.testing.assert_close(both.weights, slow)
    pooled = builder.build({name: [*TOLD[name], f"a photo of a {name}."] for name in TOLD})
    assert (pooled.weights[0] - both.weights[0]).abs().max() > 1e-3  # three texts and one
    torch.testing.assert_close(pooled.weights[1], both.weights[1])  # one and one
    assert both.texts[3:] == ("a photo of a crane.", "a lorry with large wheels", *both.texts[5:])
    assert both.owner.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 2]
    rows = both.embeddings * both.share[:, None]
    again = torch.stack([rows[both.owner == i].sum(0) for i in range(3)])
    torch.testing.assert_close(again / again.norm(dim=1, keepdim=True), both.weights)
    torch.testing.assert_close(torch.zeros(3).index_add(0, both.owner, both.share), torch.ones(3))
    with pytest.raises(InputError, match="averaged"):
        average(one, builder.build({"other": ["x"]}))


def test_refusals():
    with pytest.raises(InputError, match="mean, similarity_mean"):
        TextClassifierBuilder(Letters(), pooling="median")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="at least one class"):
        TextClassifierBuilder(Letters()).build({})
    with pytest.raises(InputError, match="embedding zero"):
        TextClassifierBuilder(_Zero()).build({"a": ["..."]})


class _Zero(Letters):
    def texts(self, texts):
        return torch.zeros(len(texts), 27)
