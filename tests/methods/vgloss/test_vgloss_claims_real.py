"""The comparisons on real classes, on a few made-up ones in their place: what each arm says and how it is scored."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from vgloss_towers import Letters

from visus.engine import Run
from visus.errors import MissingData
from visus.methods.vgloss.claims import CLAIMS, EXPERIMENTS, contrast, data, language, measures, proxy, texts
from visus.methods.vgloss.claims.arms import CONFUSABLE, FOLDS, LANGUAGE, PROXY, SMOKE, WRITTEN
from visus.methods.vgloss.claims.samples import HITS, TEXTS, read_kept
from visus.methods.vgloss.model.concepts import Concept
from visus.methods.vgloss.model.prompter import CUE
from visus.protocols import Trial

COUNT, WIDTH = 30, 20
KINDS = ("bird", "tool", "boat")
BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}


def made_up() -> data.Real:
    """Classes whose pictures follow the letters of their definitions."""
    colors, shapes = (
        ("red", "green", "blue", "pink", "gray", "tan"),
        ("round", "flat", "long", "bent", "tiny"),
    )
    concepts = tuple(
        Concept(
            f"zorp{i:02d}",
            gloss=f"{colors[i % 6]} {KINDS[i % 3]} with {shapes[i // 6]} parts",
            lemmas=(f"zorp{i:02d}", f"vlim{i:02d}"),
            hypernyms=(KINDS[i % 3],),
            hyponyms=(f"small zorp{i:02d}", f"large zorp{i:02d}") if i % 2 else (),
            parts=("handle",),
            how="given",
            confidence=1.0,
        )
        for i in range(COUNT)
    )
    draw = torch.Generator().manual_seed(0)
    turn = torch.randn(Letters.width, WIDTH, generator=draw)
    rows = F.normalize(Letters().texts([concept.gloss for concept in concepts]), dim=-1) @ turn
    photos = rows + 0.02 * torch.randn(rows.shape, generator=draw)
    names = tuple(concept.label for concept in concepts)
    return data.Real(names, concepts, photos, F.normalize(rows, dim=-1))


class Answering:
    """A language model that says what its prompt told, counts its openings, and fails on some classes."""

    identity = "answering"
    opened = 0

    def generate(self, prompts, **settings):
        answers = []
        for prompt in prompts:
            told = prompt.split("\n\n")[-1]
            name = told.split("Name: ")[1].split("\n")[0]
            meaning = told.split("Meaning: ")[1].split("\n")[0] if "Meaning: " in told else "thing"
            answers.append([f"A {name} is a {meaning}." if not name.endswith("7") else "I cannot say."])
        return answers


@pytest.fixture
def real(monkeypatch):
    """Made-up classes, an encoder that counts letters, published texts and a language model that answers at once."""
    found = made_up()
    published = {name: [f"a {name} of sort {i}" for i in range(6)] for name in found.names[1:]}
    for module in (data, proxy, contrast, language):
        for name, value in (("real_classes", lambda _: found), ("text_encoder", Letters)):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(texts, "published_file", lambda name: name)
    monkeypatch.setattr(texts, "provided", lambda name: name)
    monkeypatch.setattr(texts, "read_descriptions", lambda _: published)
    Answering.opened = 0

    def opened(*_, **__):
        Answering.opened += 1
        return Answering()

    monkeypatch.setattr(language, "open_language", opened)
    monkeypatch.setattr(language, "smollm2", lambda: "a file")
    monkeypatch.setattr(language, "_digest", lambda file: f"hash of {file}")
    return found


@pytest.fixture
def run(tmp_path):
    made = Run(tmp_path / "trial", seed=0, device="cpu", progress=False)
    made.cache = tmp_path / "cache"
    return made


def measured(experiment, arm, run):
    trial = Trial(slug="vgloss", experiment=experiment, arm=arm, seed=run.seed, preset="smoke")
    return BY_NAME[experiment].measure(trial, run)


def claimed(experiment, arm):
    return {
        claim.metric
        for claim in CLAIMS
        if claim.experiment == experiment and arm in (claim.candidate, claim.reference)
    }


# ---- arms -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", PROXY)
def test_every_arm_of_the_proxy_is_measured(arm, real, run):
    scores = measured("proxy", arm, run)
    assert claimed("proxy", arm) | {"top1", "top5", "prototype_top1"} == set(scores)
    assert all(0 <= value <= 1 for value in scores.values())
    assert scores["top5"] >= scores["top1"]
    hits = read_kept(run.folder, HITS)
    assert list(hits) == real.names
    assert np.mean(list(hits.values())) == pytest.approx(scores["top1"])


@pytest.mark.parametrize("arm", CONFUSABLE)
def test_every_arm_of_confusable_classes_is_measured(arm, real, run):
    scores = measured("confusable", arm, run)
    assert claimed("confusable", arm) <= set(scores)
    assert all(0 <= value <= 1 for value in scores.values())


@pytest.mark.parametrize("arm", LANGUAGE)
def test_every_arm_of_the_language_model_is_measured(arm, real, run):
    scores = measured("language", arm, run)
    assert claimed("language", arm) <= set(scores)
    left = read_kept(run.folder, TEXTS)
    assert left["quality"] == scores
    assert list(left["texts"]) == [
        real.names[i] for i in language.classes_of(0, real, dataclasses.replace(SMOKE))
    ]
    assert Answering.opened <= (arm in WRITTEN)


def test_meaning_finds_pictures_that_names_cannot(real, run):
    scores = {arm: proxy.measured(arm, SMOKE, run)[0]["top1"] for arm in ("name", "gloss", "shuffled")}
    assert scores["gloss"] > scores["name"] + 0.2
    assert scores["shuffled"] < scores["gloss"] - 0.2


def test_arms_say_what_they_are_called_by(real):
    told = {arm: texts.texts_of(arm, real, SMOKE) for arm in PROXY if arm != "both"}
    assert all(list(each) == real.names for each in told.values())
    name, concept = real.names[3], real.concepts[3]
    assert told["name"][name] == [name]
    assert told["gloss"][name] == [concept.gloss]
    assert concept.gloss in told["semantic"][name][0]
    assert concept.gloss not in told["shuffled"][name][0]
    assert told["semantic4"][name] == [
        f"a photo of a {name}.",
        *told["hypernym"][name],
        *told["gloss"][name],
        *told["semantic"][name],
    ]
    for arm in ("semantic4", "waffle", "cupl4"):
        assert {len(each) for each in told[arm].values()} == {4}, arm
    assert all(1 <= len(each) <= 4 for each in told["dclip4"].values())
    assert set(told["cupl4"][name]) <= {f"a {name} of sort {i}" for i in range(6)}
    assert told["cupl4"][real.names[0]] == ["a photo of a zorp00."] * 4  # not in the published set
    assert len(told["chils"][name]) == 2
    assert told["chils"][real.names[0]] == ["a photo of a zorp00."]
    assert {len(each) for each in told["lexical"].values()} == {SMOKE.lexical}


def test_both_is_the_mean_of_two_unit_rows(real, run):
    one, other, both = (
        proxy.class_rows(arm, real, SMOKE, run.cache) for arm in ("semantic", "cupl4", "both")
    )
    torch.testing.assert_close(both, F.normalize(one + other, dim=-1))


# ---- folds and scores -------------------------------------------------------------------------------------


def test_folds_show_every_class_once_and_learn_from_the_others():
    parts = data.folds(COUNT, 3)
    assert len(parts) == FOLDS
    assert sorted(torch.cat(parts).tolist()) == list(range(COUNT))
    assert not all(torch.equal(a, b) for a, b in zip(parts, data.folds(COUNT, 4)))
    for part in parts:
        seen = data.others(part, COUNT).tolist()
        assert not set(seen) & set(part.tolist())
        assert len(seen) + len(part) == COUNT


def test_the_map_never_sees_an_unseen_class(real, run):
    rows = proxy.class_rows("gloss", real, SMOKE, run.cache)
    unseen = data.folds(COUNT, 0)[0]
    bridge = proxy.learned(rows, real, unseen, SMOKE)
    changed = dataclasses.replace(real, prototypes=real.prototypes.clone())
    changed.prototypes[unseen] = F.normalize(torch.ones(len(unseen), WIDTH), dim=-1)
    moved = rows.clone()
    moved[unseen] = rows.flip(0)[unseen]
    again = proxy.learned(moved, changed, unseen, SMOKE)
    torch.testing.assert_close(bridge(rows), again(rows))


def test_places_count_equal_scores_against_the_class():
    scores = torch.tensor([[0.9, 0.1, 0.9], [0.3, 0.2, 0.1], [0.0, 0.0, 1.0]])
    assert proxy.places(scores).tolist() == [1, 1, 0]


def test_sub_classes_are_mapped_up_as_by_a_loop(real, run):
    unseen = data.folds(COUNT, 1)[2]
    found = proxy.scorer("chils", real, SMOKE, run.cache)(unseen, real.photos[unseen])
    told = texts.texts_of("chils", real, SMOKE)
    rows = proxy.class_rows("template", real, SMOKE, run.cache)
    bridge, units = proxy.learned(rows, real, unseen, SMOKE), F.normalize(real.photos[unseen], dim=-1)
    names = [real.names[i] for i in unseen.tolist()]
    flat = [(number, text) for number, name in enumerate(names) for text in told[name]]
    sub = 100 * units @ bridge(F.normalize(Letters().texts([text for _, text in flat]), dim=-1)).T
    shares, whole = sub.softmax(1), (100 * units @ bridge(rows[unseen]).T).softmax(1)
    for number in range(len(names)):
        own = [i for i, (owner, _) in enumerate(flat) if owner == number]
        torch.testing.assert_close(found[:, number], shares[:, own].amax(1) * whole[:, number])


# ---- the language model -----------------------------------------------------------------------------------


def test_a_plain_prompt_tells_the_name_alone(real, run, monkeypatch):
    asked: dict[str, list[str]] = {}

    class Noting(Answering):
        def generate(self, prompts, **settings):
            asked[arm] += prompts
            return super().generate(prompts, **settings)

    monkeypatch.setattr(language, "open_language", lambda *_, **__: Noting())
    chosen = language.classes_of(0, real, SMOKE)
    for arm in WRITTEN:
        asked[arm] = []
        language.written(arm, real, chosen, SMOKE, run.cache)
    assert len(asked["smollm2"]) == len(asked["smollm2_plain"]) == len(chosen)
    for rich, plain in zip(asked["smollm2"], asked["smollm2_plain"]):
        assert "Meaning: " in rich
        assert "Kind of: " in rich
        assert "Meaning: " not in plain
        assert "Kind of: " not in plain
        assert plain.endswith(CUE)


def test_a_class_without_an_answer_goes_by_its_name_and_not_by_the_dictionary(real, run):
    chosen = [7, 8]
    for arm in WRITTEN:
        told = language.told(arm, real, chosen, SMOKE, run.cache)
        assert told["zorp07"] == ["zorp07"]
        assert told["zorp08"] != ["zorp08"]


def test_answers_are_asked_for_once_for_all_seeds(real, run):
    language.ask(0, SMOKE, run.cache)
    assert Answering.opened == 1
    for seed in range(language.TOGETHER):
        language.ask(seed, SMOKE, run.cache)
        for arm in WRITTEN:
            language.told(arm, real, language.classes_of(seed, real, SMOKE), SMOKE, run.cache)
    assert Answering.opened == 1


# ---- absent data ------------------------------------------------------------------------------------------


def test_without_the_data_nothing_is_measured(monkeypatch, run):
    monkeypatch.delenv("VISUS_DATA", raising=False)
    data.real_classes.cache_clear()
    for experiment in ("proxy", "confusable"):
        with pytest.raises(MissingData):
            measured(experiment, BY_NAME[experiment].arms[0], run)
    assert measures.measure_contrast is BY_NAME["contrast"].measure


def test_the_real_classes_are_what_they_are_called(root, monkeypatch):
    folder = root.parent / "shared" / "data"
    if not (folder / data.FEATURES).exists():
        pytest.skip("the features of ImageNet photographs are not beside the checkout")
    monkeypatch.setenv("VISUS_DATA", str(folder))
    data.real_classes.cache_clear()
    try:
        found = data.real_classes(1000)
    except MissingData as missing:
        pytest.skip(str(missing))
    finally:
        data.real_classes.cache_clear()
    assert len(set(found.names)) == len(found) == 1000
    assert all(concept.how == "wnid" and concept.gloss for concept in found.concepts)
    torch.testing.assert_close(found.prototypes.norm(dim=1), torch.ones(1000))
    scores = F.normalize(found.photos, dim=-1) @ found.prototypes.T
    assert float((proxy.places(scores) < 1).double().mean()) > 0.7  # a photograph's own row is the best one
