"""Close pictures with captions: pure functions of the options, words that fit, kinds kept apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from visus.data.worlds.captions import (
    KINDS,
    WORDS,
    CaptionedThings,
    Kind,
    coined_names,
    difference,
    phrase,
    unseen_kinds,
)
from visus.data.worlds.scenes.sprites import Sprite, place
from visus.errors import InputError

MEANS = {word: value for value, words in WORDS.items() for word in words}


def test_all_kinds():
    assert len(KINDS) == len(set(KINDS)) == 3 * 8 * 2 * 6


@pytest.mark.parametrize("drop", [0.0, 0.5])
def test_a_phrase_says_nothing_that_is_not_so(drop):
    rng, seen = np.random.default_rng(0), set()
    for kind in KINDS:
        words = phrase(kind, rng, drop=drop).split()
        said = [MEANS.get(word, word) for word in words if word not in ("a", "that", "is", "and", "thing")]
        assert set(said) <= set(kind)
        assert len(set(said)) == len(said)
        if not drop:
            assert set(said) == set(kind)
        seen.add(len(said))
    assert seen == ({4} if not drop else {0, 1, 2, 3, 4})


def test_phrases_vary_in_words_and_order():
    rng = np.random.default_rng(0)
    kind = Kind("large", "gray", "metal", "sphere")
    found = {phrase(kind, rng) for _ in range(200)}
    assert len(found) > 60
    words = {word for text in found for word in text.split()}
    assert {"large", "big", "huge", "gray", "grey", "metal", "shiny", "sphere", "ball"} <= words


def test_a_difference_names_what_differs():
    rng = np.random.default_rng(0)
    one, other = Kind("small", "red", "metal", "cone"), Kind("small", "blue", "metal", "cube")
    assert difference(one, other, rng) == "a red cone"
    assert difference(one, one, rng) == "a thing"


def test_unseen_kinds_and_coined_names():
    assert unseen_kinds(24, seed=1) == unseen_kinds(24, seed=1) != unseen_kinds(24, seed=2)
    assert unseen_kinds(24, seed=1)[:8] == unseen_kinds(8, seed=1)
    names = coined_names(200, seed=3)
    assert len(set(names)) == 200
    assert not set(names) & (set(MEANS) | {value for kind in KINDS for value in kind})
    for count in (0, 200):
        with pytest.raises(InputError, match="unseen"):
            unseen_kinds(count)


def test_an_item_is_a_pure_function_of_its_place():
    source = CaptionedThings(30, kinds=KINDS[:7], seed=5, wordings=3)
    batch = source.batch([11, 3])
    again = CaptionedThings(30, kinds=KINDS[:7], seed=5, wordings=3).batch([3])
    assert torch.equal(batch["image"][1], again["image"][0])
    assert batch["caption"][1] == again["caption"][0]
    assert batch["target"].tolist() == [4, 3]
    assert batch["kind"] == [KINDS[4], KINDS[3]]
    assert [len(told) for told in batch["caption"]] == [3, 3]
    other = CaptionedThings(30, kinds=KINDS[:7], seed=5, wordings=3, part="test").batch([3])
    assert not torch.equal(other["image"], again["image"])
    assert source.fingerprint() != CaptionedThings(30, kinds=KINDS[:8], seed=5, wordings=3).fingerprint()


def test_the_thing_is_in_the_picture_and_sizes_differ():
    """Red things on surfaces of muted colors: the larger the kind, the more red pixels, at every place."""
    counts = {}
    for size in ("small", "medium", "large"):
        kind = Kind(size, "red", "rubber", "sphere")
        image = CaptionedThings(12, kinds=[kind], seed=2, size=48).batch(range(12))["image"]
        assert image.shape == (12, 3, 48, 48)
        assert image.min() >= 0
        assert image.max() <= 1
        red = (image[:, 0] > 0.25) & (image[:, 1] < 0.5 * image[:, 0]) & (image[:, 2] < 0.5 * image[:, 0])
        counts[size] = red.flatten(1).sum(1)
    assert counts["small"].min() > 80
    assert counts["small"].max() < counts["medium"].min()
    assert counts["medium"].max() < counts["large"].min()


@pytest.mark.parametrize(("row", "samples"), [(44.5, 37), (47.0, 40), (24.0, 76)])
def test_a_sprite_that_begins_on_the_center_of_a_pixel_is_placed(row, samples):
    """Where rounding puts its first sample a hair before the first pixel's center."""
    layers = np.ones((6, samples, samples), np.float32)
    patch = place(Sprite(layers, 1.0), row=row, column=row, size=80)
    assert patch is not None
    near = place(Sprite(layers, 1.0), row=row + 1e-6, column=row + 1e-6, size=80)
    assert near is not None
    assert patch.color.shape == (
        3,
        patch.rows.stop - patch.rows.start,
        patch.columns.stop - patch.columns.start,
    )
    np.testing.assert_allclose(patch.color, 1.0, atol=1e-6)
    assert abs((patch.rows.stop - patch.rows.start) - (near.rows.stop - near.rows.start)) <= 1


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"count": 0}, "count"),
        ({"size": 8}, "size"),
        ({"kinds": []}, "kinds"),
        ({"wordings": 0}, "wordings"),
        ({"drop": 1.0}, "drop"),
        ({"part": "valid"}, "part"),
    ],
)
def test_refusals(options, field):
    with pytest.raises(InputError, match=field):
        CaptionedThings(**{"count": 3, **options})
