"""The estimator with encoders that are trained already: texts in, scores, second looks and reasons out."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from vgloss_towers import Letters, towers

from visus.data import Tensors
from visus.data.features import FeatureCache
from visus.errors import InputError
from visus.methods.vgloss import ClassTexts, EncoderPair, SeenClasses, Silver, VGlossClassifier, VGlossConfig
from visus.methods.vgloss.estimator.bank import Bank, Told
from visus.methods.vgloss.estimator.scoring import look_again, pair_accuracy, scores_of
from visus.methods.vgloss.model.planted import plant
from visus.methods.vgloss.model.silver import SilverClass

TOLD = {
    "red": ["a large red cube", "red"],
    "blue": ["a small blue ball", "shiny"],
    "tall": ["the crane of a harbor"],
}
PLAIN = VGlossConfig(model="given")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("clip") / "towers"
    towers().export(path)
    return str(path)


def pictures(count: int = 6) -> torch.Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_a_clip_folder_needs_class_texts_and_no_picture(folder, tmp_path):
    model = VGlossClassifier(VGlossConfig(model=folder)).fit(TOLD)
    encoder = towers()
    image = (pictures() * 255).round() / 255
    found = model.predict({"image": image})
    assert found["name"] == [list(TOLD)[i] for i in found["label"].tolist()]
    rows = torch.nn.functional.normalize(encoder.tensors(image), dim=1)
    weights = torch.stack(
        [
            torch.nn.functional.normalize(
                torch.nn.functional.normalize(encoder.texts(texts), dim=1).mean(0), dim=0
            )
            for texts in TOLD.values()
        ]
    )
    torch.testing.assert_close(found["logits"], encoder.logit_scale * rows @ weights.T, rtol=1e-5, atol=1e-4)
    paths = []
    for i, picture in enumerate((image * 255).byte().permute(0, 2, 3, 1).numpy()):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(picture).save(paths[-1])
    torch.testing.assert_close(model.predict(paths)["logits"], found["logits"], rtol=1e-5, atol=1e-4)
    assert torch.equal(model.predict_proba({"image": image}), found["probabilities"])


def test_saved_and_loaded_without_training(folder, tmp_path):
    config = VGlossConfig(model=folder, templates=("a {c}",), ensemble="average", follow_up=2)
    model = VGlossClassifier(config).fit(TOLD)
    model.save(tmp_path / "model")
    loaded = VGlossClassifier.load(tmp_path / "model")
    image = {"image": pictures()}
    assert torch.equal(model.predict(image)["logits"], loaded.predict(image)["logits"])
    assert (tmp_path / "model" / "model.safetensors").stat().st_size < 20_000, (
        "the given encoder is not saved"
    )
    with pytest.raises(InputError, match="not trained here"):
        model.export_clip(tmp_path / "clip")


def test_a_changed_encoder_is_refused(tmp_path):
    first, moved = tmp_path / "clip", tmp_path / "moved"
    towers(0).export(first)
    model = VGlossClassifier(VGlossConfig(model=str(first))).fit(TOLD)
    model.save(tmp_path / "model")
    first.rename(moved)
    towers(1).export(first)
    loaded = VGlossClassifier.load(tmp_path / "model")
    with pytest.raises(InputError, match="another than"):
        loaded.predict({"image": pictures()})
    with pytest.raises(InputError, match="another than"):
        loaded.attach(towers(2))
    assert torch.equal(
        loaded.attach(towers(0)).predict({"image": pictures()})["label"],
        model.predict({"image": pictures()})["label"],
    )


def test_texts_and_settings_as_json(folder):
    classes = ClassTexts(
        ("n1", "n2"), (("a red cube",), ("a ball",)), {("n1", "n2"): ("red",)}, ("cube", "ball")
    )
    model = VGlossClassifier(VGlossConfig(model=folder, use="both")).fit(classes)
    again = VGlossClassifier.from_json(model.to_json())
    assert again.to_json() == model.to_json()
    assert again.classes_ == classes
    assert torch.equal(again.bank_.weights, model.bank_.weights)
    for text in ("{", "{}", '{"config": {}, "classes": {"names": []}}', "[]"):
        with pytest.raises(InputError):
            VGlossClassifier.from_json(text)


def test_the_order_of_classes_permutes_columns_alone(folder):
    one = VGlossClassifier(VGlossConfig(model=folder)).fit(TOLD).predict({"image": pictures()})
    other = VGlossClassifier(VGlossConfig(model=folder)).fit(dict(reversed(TOLD.items())))
    found = other.predict({"image": pictures()})
    torch.testing.assert_close(one["probabilities"], found["probabilities"].flip(1))
    assert one["name"] == found["name"]


def test_the_logit_scale_moves_no_label():
    world = plant(pairs=4, pictures=50)
    labels = []
    for scale in (1.0, 100.0):
        model = VGlossClassifier(replace(PLAIN, logit_scale=scale)).fit(world.classes, encoder=world.encoder)
        labels.append(model.predict(world.pictures)["label"])
    assert torch.equal(*labels)
    assert len(set(labels[0].tolist())) > 3


def test_a_silver_record_is_a_set_of_classes():
    silver = Silver(
        classes={
            "n1": SilverClass(name="crane", normal=("tall",), contrastive={"n2": ("with a hook",)}),
            "n2": SilverClass(name="heron", normal=("gray", "slender")),
        }
    )
    classes = ClassTexts.of(silver)
    assert classes.names == ("n1", "n2")
    assert classes.called == ("crane", "heron")
    assert classes.normal == (("tall",), ("gray", "slender"))
    assert classes.contrastive == {("n1", "n2"): ("with a hook",)}
    assert ClassTexts.from_plain(classes.to_plain()) == classes


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, {"a": ["one", "two"], "b": ["three"]}),
        ({"use": "contrastive"}, {"a": ["not b"], "b": ["three"]}),
        ({"use": "both"}, {"a": ["one", "two", "not b"], "b": ["three"]}),
        ({"form": "{c}: {description}"}, {"a": ["A {x}: one", "A {x}: two"], "b": ["B: three"]}),
    ],
)
def test_which_texts_are_encoded(settings, wanted):
    classes = ClassTexts(
        ("a", "b"), (("one", "two", "one"), ("three",)), {("a", "b"): ("not b",)}, ("A {x}", "B")
    )
    told = Told.of(classes, replace(PLAIN, templates=("a {c}!",), follow_up=2, **settings))
    assert told.descriptions == wanted
    assert told.templates == {"a": ["a A {x}!"], "b": ["a B!"]}
    assert [pair[:2] for pair in told.contrast] == [(0, 1)]


def test_a_second_look_shares_out_the_probability_of_linked_classes():
    generator = torch.Generator().manual_seed(0)
    logits, rows = torch.randn(7, 6, generator=generator), torch.randn(7, 4, generator=generator)
    contrast = torch.nn.functional.normalize(torch.randn(7, 4, generator=generator), dim=1)
    one, other = [0, 0, 1, 1, 2, 4, 5], [1, 2, 0, 0, 0, 5, 4]
    tensors = {name: torch.zeros(1, 4) for name in ("weights", "embeddings")}
    tensors |= {"owner": torch.zeros(1, dtype=torch.long), "share": torch.ones(1), "contrast": contrast}
    bank = Bank({**tensors, "one": torch.tensor(one), "other": torch.tensor(other)})
    found = look_again(logits, rows, bank, k=4, scale=3.0)
    for i in range(7):
        best = set(logits[i].topk(4).indices.tolist())
        wanted = logits[i].softmax(0).tolist()
        for group in ({0, 1, 2}, {4, 5}):
            told = {c: [n for n in range(7) if one[n] == c and other[n] in best] for c in group & best}
            told = {c: numbers for c, numbers in told.items() if numbers}
            if len(told) < 2:
                continue
            scores = {}
            for c, numbers in told.items():
                v = contrast[numbers].double().mean(0)
                scores[c] = math.exp(3 * float(rows[i].double() @ v / rows[i].double().norm() / v.norm()))
            mass = sum(wanted[c] for c in told)
            for c in told:
                wanted[c] = mass * scores[c] / sum(scores.values())
        torch.testing.assert_close(found[i].softmax(0), torch.tensor(wanted), rtol=1e-4, atol=1e-6)
    assert not torch.equal(found, logits)
    assert torch.equal(look_again(logits, rows, bank, k=1, scale=3.0), logits)


def test_scores_are_those_of_a_slow_count():
    logits = torch.randn(40, 7, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([i % 6 for i in range(40)])  # no picture of the last class
    found = scores_of(logits, target, frozenset({(0, 1), (2, 6)}))
    ranks = [sum(float(v) > float(row[t]) for v in row) for row, t in zip(logits, target.tolist())]
    hits = [rank == 0 for rank in ranks]
    assert found["top1"] == pytest.approx(sum(hits) / 40)
    assert found["top5"] == pytest.approx(sum(rank < 5 for rank in ranks) / 40)
    per_class = [np.mean([hit for hit, t in zip(hits, target.tolist()) if t == c]) for c in range(6)]
    assert found["mean_per_class"] == pytest.approx(np.mean(per_class))
    sides = {
        (own, rival): np.mean([float(row[own] > row[rival]) for row in logits[target == own]])
        for own, rival in ((0, 1), (1, 0), (2, 6))
    }
    assert found["pairs"] == pytest.approx(((sides[0, 1] + sides[1, 0]) / 2 + sides[2, 6]) / 2)
    assert pair_accuracy(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]), [(0, 1)]) == {(0, 1): 0.5}
    assert "pairs" not in scores_of(logits, target, frozenset())


@pytest.mark.parametrize("pooling", ["mean", "similarity_mean", "max"])
def test_an_explanation_leaves_every_text_out_in_turn(pooling):
    told = {"one": ["aab", "abc", "xyz a"], "two": ["ccd", "dde"]}
    config = replace(PLAIN, pooling=pooling, logit_scale=5.0)
    model = VGlossClassifier(config).fit(told, encoder=Letters())
    rows = torch.rand(4, 27, generator=torch.Generator().manual_seed(0))
    for row, found in zip(rows, model.explain({"features": rows})):
        assert {found.label, found.runner_up} == {"one", "two"}
        scores = dict(zip(told, model.weights().similarities(row[None])[0].tolist()))
        assert found.margin == pytest.approx(scores[found.label] - scores[found.runner_up], abs=1e-5)
        assert len(found.evidence) == 5
        for each in found.evidence:
            fewer = {
                name: [t for t in texts if (name, t) != (each.name, each.text)]
                for name, texts in told.items()
            }
            other = VGlossClassifier(config).fit(fewer, encoder=Letters()).weights()
            less = dict(zip(told, other.similarities(row[None])[0].tolist()))
            left = less[found.label] - less[found.runner_up]
            assert each.effect == pytest.approx(found.margin - left, abs=1e-5)
        own = [each for each in found.evidence if each.name == found.label]
        assert found.decided.effect == max(each.effect for each in own)


def test_one_class_leaves_nothing_to_explain(folder):
    model = VGlossClassifier(VGlossConfig(model=folder)).fit({"red": ["a red cube"]})
    assert model.predict({"image": pictures()})["probabilities"].eq(1).all()
    with pytest.raises(InputError, match="two or more"):
        model.explain({"image": pictures()})


def test_a_text_encoder_is_bridged_to_features(tmp_path):
    rng = np.random.default_rng(0)
    names = ["".join(chr(97 + rng.integers(26)) for _ in range(12)) for _ in range(60)]
    mapped = Letters().texts(names).double().numpy() @ rng.normal(size=(27, 9))
    prototypes = torch.from_numpy(mapped).float()
    seen = SeenClasses(ClassTexts.of({name: [name] for name in names[:50]}), prototypes[:50])
    classes = ClassTexts.of({name: [name] for name in names[50:]})
    data = Tensors({"features": prototypes[50:], "target": names[50:]})
    model = VGlossClassifier(PLAIN).fit(classes, seen=seen, encoder=Letters())
    assert model.score(data) > 0.5  # chance 0.1
    assert model.bank_.weights.shape == (10, 9)
    assert model.bridge_ is not None
    model.save(tmp_path / "model")
    loaded = VGlossClassifier.load(tmp_path / "model")
    assert torch.equal(loaded.predict(data)["logits"], model.predict(data)["logits"])
    rebuilt = loaded.attach(Letters()).rebuild({name: [name] for name in names[:4]})
    assert rebuilt.bank_.weights.shape == (4, 9)
    with pytest.raises(InputError, match="no encoder"):
        model.predict({"image": pictures()})
    with pytest.raises(InputError, match="have 5 numbers"):
        model.predict({"features": torch.rand(2, 5)})


def test_two_encoders_that_do_not_meet_are_refused(folder):
    config = VGlossConfig(model=folder, text_model=folder)
    with pytest.raises(InputError, match="needs classes to learn from"):
        VGlossClassifier(config).fit(TOLD)
    with pytest.raises(InputError, match="text_model"):
        VGlossClassifier(VGlossConfig(text_model=folder)).fit(VGlossClassifier.example())
    pair = EncoderPair(Letters(), towers())
    assert pair.identity.startswith("letters | ")


def test_texts_are_cached_on_disk(tmp_path):
    first, second = Letters(), Letters()
    cache = FeatureCache(tmp_path / "cache")
    VGlossClassifier(PLAIN).fit(TOLD, encoder=first, cache=cache)
    VGlossClassifier(PLAIN).fit(TOLD, encoder=second, cache=cache)
    assert first.asked
    assert not second.asked


def test_rebuilding_trains_nothing_and_keeps_the_towers():
    source = VGlossClassifier.example("train")
    model = VGlossClassifier(replace(VGlossClassifier.preset("smoke"), epochs=1)).fit(source)
    before = model.towers_
    names = {name: [f"a {name}"] for name in source.classes.names}
    other = model.rebuild(names)
    assert other.towers_ is before
    assert other.classes_.normal[0] == (f"a {source.classes.names[0]}",)
    with pytest.raises(InputError, match="it was trained"):
        VGlossClassifier.from_json(model.to_json())
    again = VGlossClassifier.from_json(model.to_json(), encoder=before)
    torch.testing.assert_close(again.bank_.weights, model.bank_.weights)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([], "at least one class"),
        (["a", "a"], "twice: a"),
        ("crane", "list of names"),
        (7, "list of names"),
    ],
)
def test_classes_that_are_none(data, says):
    with pytest.raises(InputError, match=says):
        VGlossClassifier(PLAIN).fit(data, encoder=Letters())


def test_pictures_and_captions_that_cannot_be_used():
    fit = VGlossClassifier(VGlossClassifier.preset("smoke")).fit
    fine = {"image": torch.rand(8, 3, 32, 32), "caption": ["a cube"] * 8}
    for field, value, says in (
        ("caption", ["a cube"] * 7 + [" "], "caption of item 7"),
        ("caption", [["a cube"]] * 7 + [[]], "caption of item 7"),
        ("image", torch.full((8, 3, 32, 32), torch.nan), "item 0 has values"),
        ("image", torch.zeros(8, 3, 32, 32, dtype=torch.uint8), "divide bytes by 255"),
        ("image", torch.zeros(8, 2, 32, 32), "shape"),
    ):
        with pytest.raises(InputError, match=says):
            fit(Tensors({**fine, field: value}), classes=TOLD)
    with pytest.raises(InputError, match="classes: are missing"):
        fit(Tensors(fine))
    with pytest.raises(InputError, match="has 1 items"):
        fit(Tensors(fine).subset([0]), classes=TOLD)
    with pytest.raises(InputError, match="caption: is missing"):
        fit(Tensors({"image": fine["image"]}), classes=TOLD)


def test_targets_the_classifier_does_not_know():
    model = VGlossClassifier(PLAIN).fit(TOLD, encoder=Letters())
    rows = torch.rand(2, 27)
    assert model.evaluate(Tensors({"features": rows, "target": ["red", "tall"]})) == model.evaluate(
        Tensors({"features": rows, "target": torch.tensor([0, 2])})
    )
    for target in (["red", "green"], torch.tensor([0, 3]), [True, False]):
        with pytest.raises(InputError, match="no class of this classifier"):
            model.evaluate(Tensors({"features": rows, "target": target}))
    with pytest.raises(InputError, match="target: is missing"):
        model.evaluate(Tensors({"features": rows}))


def test_settings_that_make_no_sense():
    for settings, says in (
        ({"heads": 5}, "divides width"),
        ({"patch": 5}, "divides image_size"),
        ({"form": "{c}"}, "no {description}"),
        ({"form": "{description} {x}"}, "other braces"),
        ({"templates": ("photo",)}, "no {c}"),
        ({"templates": ("{c} {description}",)}, "other braces"),
        ({"temperature": 0.0}, "above 0"),
        ({"warmup": 1.0}, "share"),
        ({"text_length": 2}, "from 3"),
    ):
        with pytest.raises(InputError, match=says):
            VGlossClassifier(replace(PLAIN, **settings)).fit(TOLD, encoder=Letters())


def test_no_path_of_this_machine_is_in_a_saved_classifier_with_a_given_encoder(tmp_path):
    VGlossClassifier(PLAIN).fit(TOLD, encoder=Letters()).save(tmp_path / "model")
    assert str(Path.cwd()) not in (tmp_path / "model" / "config.json").read_text()
