"""Contrastive texts where the truth is known: they tell confusable classes apart, and wrong ones do harm."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from visus.methods.vgloss import ClassTexts, VGlossClassifier, VGlossConfig
from visus.methods.vgloss.model.planted import PlantedWorld, plant

CONFIG = VGlossConfig(model="planted")


def scores(world: PlantedWorld, classes: ClassTexts, **settings) -> dict[str, float]:
    model = VGlossClassifier(replace(CONFIG, **settings)).fit(classes, encoder=world.encoder)
    return model.evaluate(world.pictures, pairs=world.pairs)


@pytest.mark.parametrize("seed", [91_000, 91_001, 91_002])
def test_contrastive_texts_help_and_swapped_ones_harm(seed):
    world = plant(seed=seed)
    normal, both = scores(world, world.classes), scores(world, world.classes, use="both")
    again = scores(world, world.classes, follow_up=5)
    for better in (both, again):
        assert better["pairs"] >= normal["pairs"] + 0.10
        assert better["top1"] >= normal["top1"]
    for wrong in (scores(world, world.swapped(), use="both"), scores(world, world.swapped(), follow_up=5)):
        assert wrong["pairs"] < normal["pairs"] - 0.10
        assert wrong["top1"] < normal["top1"]


def test_the_pairs_differ_in_one_attribute_and_the_texts_say_which():
    world = plant(pairs=5, attributes=4, values=3, pictures=10, descriptions=20, mentioned=2, seed=1)
    said = [{word for text in texts for word in text.split()} for texts in world.classes.normal]
    assert all(len(words) == 4 for words in said), "twenty texts of two mention all four attributes"
    for i, j in world.pairs:
        assert len(said[i] - said[j]) == 1
        names = world.classes.names
        assert set(world.classes.contrastive[names[i], names[j]]) == said[i] - said[j]
        assert (
            world.swapped().contrastive[names[i], names[j]] == world.classes.contrastive[names[j], names[i]]
        )
    assert len({frozenset(words) for words in said}) == 10


def test_without_contrastive_texts_nothing_changes():
    world = plant(pairs=4, pictures=40)
    plain = ClassTexts(world.classes.names, world.classes.normal)
    wanted = VGlossClassifier(CONFIG).fit(plain, encoder=world.encoder).predict(world.pictures)["logits"]
    for settings in ({"use": "both"}, {"use": "contrastive"}, {"follow_up": 3}):
        model = VGlossClassifier(replace(CONFIG, **settings)).fit(plain, encoder=world.encoder)
        assert torch.equal(model.predict(world.pictures)["logits"], wanted)


def test_a_world_is_a_function_of_its_seed():
    one, same, other = plant(pictures=20), plant(pictures=20), plant(pictures=20, seed=1)
    assert torch.equal(one.pictures["features"], same.pictures["features"])
    assert one.classes == same.classes
    assert torch.equal(one.encoder.texts(["quality0is1 x"]), same.encoder.texts(["quality0is1 x"]))
    assert one.classes != other.classes
