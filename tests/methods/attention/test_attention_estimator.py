"""The classifier on pictures and texts: fits, forgets nothing, says no in words."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from visus.data import Subset, Tensors
from visus.engine import Run
from visus.errors import InputError
from visus.methods.attention import AttentionClassifier
from visus.methods.attention.config import AT_LEAST_ONE, PRESETS, SMOKE, Kind, check
from visus.methods.attention.estimator import scored
from visus.methods.attention.training import cross_entropy


def run(folder=None, seed=0):
    return Run(folder, seed=seed, device="cpu", progress=False)


@pytest.fixture(scope="module")
def images():
    config = replace(SMOKE, epochs=8, learning_rate=5e-3)
    return AttentionClassifier(config).fit(AttentionClassifier.example("train"), run())


@pytest.fixture(scope="module")
def texts():
    source = AttentionClassifier.example("train", task="text")
    return AttentionClassifier(SMOKE).fit(Subset(source, range(300)), run())


def test_digits_are_learned(images):
    scores = images.evaluate(AttentionClassifier.example("test"))
    assert set(scores) == {"accuracy", "balanced_accuracy", "macro_f1", "loss", "top5_accuracy"}
    assert scores["accuracy"] > 0.5
    assert images.classes_ == [str(digit) for digit in range(10)]


@pytest.mark.parametrize("kind", ["images", "texts"])
def test_predictions_have_their_form_and_survive_saving(kind, request, tmp_path):
    made = request.getfixturevalue(kind)
    test = AttentionClassifier.example("test", task=kind[:-1])
    found = made.predict(test.batch(range(5)))
    assert found["probabilities"].shape == (5, len(made.classes_))
    torch.testing.assert_close(found["probabilities"].sum(1), torch.ones(5))
    assert found["name"] == [made.classes_[i] for i in found["label"].tolist()]
    made.save(tmp_path / "model")
    again = AttentionClassifier.load(tmp_path / "model")
    assert again.classes_ == made.classes_
    assert torch.equal(again.predict(test.batch(range(5)))["probabilities"], found["probabilities"])
    alone = made.predict(test.batch([3]))["probabilities"][0]
    torch.testing.assert_close(alone, found["probabilities"][3], rtol=1e-5, atol=1e-6)


def test_one_batch_is_learned_by_heart():
    source = Subset(AttentionClassifier.example("train"), range(24))
    config = replace(SMOKE, width=32, epochs=60, learning_rate=5e-3, dropout=0.0, validation=0.0)
    assert AttentionClassifier(config).fit(source, run()).evaluate(source)["loss"] < 0.05


def test_same_seed_same_weights_and_resumed_runs_finish():
    source = Subset(AttentionClassifier.example("train"), range(100))
    weights = []
    for seed in (0, 0, 1):
        made = AttentionClassifier(SMOKE).fit(source, run(seed=seed))
        weights.append(torch.cat([p.detach().flatten() for p in made.model_.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_folder_belongs_to_its_settings_and_data(tmp_path):
    source = Subset(AttentionClassifier.example("train"), range(60))
    AttentionClassifier(SMOKE).fit(source, run(tmp_path))
    AttentionClassifier(SMOKE).fit(source, run(tmp_path))
    with pytest.raises(InputError, match="other settings"):
        AttentionClassifier(replace(SMOKE, epochs=3)).fit(source, run(tmp_path))
    with pytest.raises(InputError, match="other settings"):
        AttentionClassifier(SMOKE).fit(Subset(source, range(59)), run(tmp_path))


def test_vocabulary_and_pixels_come_from_the_training_part_alone():
    texts = [f"word{i} common" for i in range(40)]
    source = Tensors({"text": texts, "target": ["a", "b"] * 20})
    made = AttentionClassifier(replace(SMOKE, validation=0.25, epochs=1)).fit(source, run())
    assert len(made.tokenizer_.vocabulary_) == 31  # 30 training texts of one own word, and the common one
    pictures = torch.zeros(40, 1, 8, 8)
    pictures[:, 0, 0, 0] = torch.arange(40.0)
    images = Tensors({"image": pictures, "target": ["a", "b"] * 20})
    made = AttentionClassifier(replace(SMOKE, validation=0.25, epochs=1)).fit(images, run())
    everything = pictures.mean().item()
    assert made.pixels_["mean"][0] != pytest.approx(everything, rel=1e-6)


def test_odd_sizes_colors_and_class_names():
    pictures = torch.rand(30, 3, 13, 7)
    source = Tensors({"image": pictures, "target": torch.arange(30) % 3 * 10})
    made = AttentionClassifier(replace(SMOKE, image_size=9, patch=3)).fit(source, run())
    assert made.classes_ == ["0", "10", "20"]
    assert made.predict({"image": pictures[:1]})["probabilities"].shape == (1, 3)


def test_few_items_train_without_validation():
    source = Tensors({"image": torch.rand(6, 1, 8, 8), "target": ["a", "b"] * 3})
    assert AttentionClassifier(SMOKE).fit(source, run()).predict(source)["label"].shape == (6,)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"image": torch.rand(20, 1, 8, 8)}, "target"),
        ({"image": torch.rand(20, 1, 8, 8), "target": ["a"] * 20}, "one class only"),
        ({"image": torch.rand(20, 8, 8), "target": ["a", "b"] * 10}, "shape"),
        ({"image": torch.full((20, 1, 8, 8), float("nan")), "target": ["a", "b"] * 10}, "not finite"),
        ({"x": torch.rand(20), "target": ["a", "b"] * 10}, "neither images nor texts"),
        ({"text": ["..."] * 20, "target": ["a", "b"] * 10}, "no words"),
    ],
)
def test_bad_data_are_refused_before_anything_is_written(fields, says, tmp_path):
    with pytest.raises(InputError, match=says):
        AttentionClassifier(SMOKE).fit(Tensors(fields), run(tmp_path))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_bad_predictions_are_refused(images, texts):
    with pytest.raises(InputError, match="trained on images"):
        images.predict({"text": ["good"]})
    with pytest.raises(InputError, match="trained on texts"):
        texts.predict({"image": torch.rand(1, 1, 8, 8)})
    with pytest.raises(InputError, match="channels"):
        images.predict({"image": torch.rand(1, 3, 8, 8)})
    with pytest.raises(InputError, match="does not know"):
        images.evaluate(Tensors({"image": torch.rand(1, 1, 8, 8), "target": ["cat"]}))
    with pytest.raises(InputError, match="validation"):
        AttentionClassifier(replace(SMOKE, validation=1.0)).fit(AttentionClassifier.example(), run())


def test_unknown_words_and_long_texts_are_harmless(texts):
    found = texts.predict({"text": ["zzz", "good " * 500, "bad"]})
    assert torch.isfinite(found["probabilities"]).all()


def test_scores_agree_with_a_slow_transcription():
    generator = np.random.default_rng(0)
    scores = torch.from_numpy(generator.normal(size=(30, 7)))
    target = torch.from_numpy(generator.integers(0, 7, size=30))
    found = scored(scores, target)
    loss, hits, top = 0.0, 0, 0
    for row, goal in zip(scores.tolist(), target.tolist(), strict=True):
        loss -= np.log(np.exp(row[goal]) / sum(np.exp(row))) / 30
        hits += row.index(max(row)) == goal
        top += goal in sorted(range(7), key=lambda k, row=row: -row[k])[:5]
    assert found["loss"] == pytest.approx(loss, abs=1e-10)
    assert found["accuracy"] == pytest.approx(hits / 30)
    assert found["top5_accuracy"] == pytest.approx(top / 30)
    assert cross_entropy(scores, target).shape == (30,)


def test_shuffled_tokens_do_not_matter_to_a_set():
    source = Subset(AttentionClassifier.example("train"), range(120))
    made = AttentionClassifier(replace(SMOKE, kind="efficient")).fit(source, run())
    assert made.permuted_accuracy(source) == pytest.approx(made.evaluate(source)["accuracy"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, 0) for name in AT_LEAST_ONE),
        ("head", -1),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("weight_decay", -1e-4),
        ("clip_norm", -1.0),
        ("validation", 1.0),
        ("num_heads", 3),
    ],
)
def test_settings_out_of_bounds_are_refused_before_anything_is_written(field, value, tmp_path):
    made = AttentionClassifier(replace(SMOKE, **{field: value}))
    with pytest.raises(InputError) as caught:
        made.fit(AttentionClassifier.example("train"), run(tmp_path))
    assert caught.value.field == field
    assert caught.value.remedy
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", get_args(Kind))
def test_heads_must_divide_the_width_whatever_the_kind(kind):
    for heads in (0, 3):
        with pytest.raises(InputError, match="num_heads"):
            check(replace(SMOKE, kind=kind, num_heads=heads))
    check(replace(SMOKE, kind=kind, head=0, dropout=0.0, weight_decay=0.0, clip_norm=0.0, validation=0.0))


def test_presets_are_within_bounds():
    for config in PRESETS.values():
        check(config)
