"""What must come out: a planted truth is found again, and real human judgments are predicted better."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path

import pytest
import torch

from visus.data.triplets import OddOneOutData, read_triplets, sample_triplets
from visus.data.worlds import concepts
from visus.methods.alignment import Aligner, AlignmentConfig, baselines, concept_table, cross_validate
from visus.methods.alignment.config import PRESETS
from visus.methods.alignment.estimator.scores import gain_scores
from visus.metrics.odd_one_out import hits, pair_similarities


def accuracy(x: torch.Tensor, data: OddOneOutData, kind: str) -> float:
    return float(hits(pair_similarities(x, data.triplets, kind=kind)).double().mean())  # type: ignore[arg-type]


def test_a_planted_embedding_is_found_again_for_unseen_objects():
    train, test = (
        concepts.odd_one_out(part, seed=0, objects=320, triplets=100_000) for part in ("train", "test")
    )
    assert test.reference is not None
    hidden, plain = accuracy(test.reference, test, "dot"), accuracy(test.features, test, "cosine")
    probe = dataclasses.replace(
        PRESETS["paper"], learning_rate=1e-2, batch_size=1024, check_every=20, patience=8, epochs=20
    )
    found = Aligner(probe).fit(train).evaluate(test)["accuracy"]
    assert found >= 0.95 * hidden
    assert plain <= hidden - 0.1
    assert plain <= found - 0.1
    ridge = Aligner(PRESETS["ridge"]).fit(train).evaluate(test)["accuracy"]
    assert ridge >= 0.95 * hidden


def test_a_shuffled_reference_teaches_nothing():
    train, test = concepts.odd_one_out("train"), concepts.odd_one_out("test")
    assert train.reference is not None
    mixed = baselines.shuffled_reference(train.reference, seed=0)
    wrong = OddOneOutData(train.features, train.triplets, reference=mixed)
    config = PRESETS["ridge"]
    honest, fooled = (Aligner(config).fit(data).evaluate(test) for data in (train, wrong))
    assert honest["gain_low"] > 0.2
    assert fooled["gain"] < 0.05


def test_the_closed_form_takes_seconds_at_the_size_of_things():
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(1854, 768, generator=draw), torch.rand(1854, 42, generator=draw)
    data = OddOneOutData(x, torch.tensor([[0, 1, 2]]), reference=y)
    started = time.process_time()
    Aligner(PRESETS["ridge"]).fit(data)
    assert time.process_time() - started < 10


# ---- real judgments ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def things(shared: Path) -> Path:
    folder = shared / "data" / "things"
    if not (folder / "odd_one_out_trials.tsv").is_file():
        pytest.skip("the real THINGS trials are not beside this checkout")
    return folder


@pytest.fixture(scope="module")
def human(things: Path) -> tuple[torch.Tensor, OddOneOutData]:
    """VICE, and the 20,000 real trials with MiniLM features of "name: definition"."""
    from visus.data.corpora.things import read_vice, things_concepts
    from visus.data.features import extract, open_encoder
    from visus.errors import VisusError

    pytest.importorskip("transformers")
    try:
        encoder = open_encoder("minilm")
    except VisusError as error:
        pytest.skip(str(error))
    told = things_concepts(things / "things_concepts.tsv")
    texts = [f"{word}: {text}" for word, text in zip(told.words, told.definitions or ())]
    features = extract(encoder, texts, kind="texts", cache=None).values
    vice = torch.from_numpy(read_vice(things / "final_embedding.npy").copy())
    trials = read_triplets(things / "odd_one_out_trials.tsv", objects=len(vice))
    return vice, OddOneOutData(features, trials, reference=vice)


@pytest.mark.slow
def test_ridge_brings_text_closer_to_real_people_for_objects_held_out(human):
    vice, data = human
    found = cross_validate(PRESETS["ridge"], data, folds=3, refit=False)
    scores = gain_scores(
        pair_similarities(found.embedding, data.triplets, kind="dot"), found.zero_shot, data.triplets
    )
    assert scores["zero_shot_accuracy"] == pytest.approx(0.494, abs=0.005)
    assert scores["gain"] >= 0.04
    assert scores["gain_low"] > 0
    assert scores["accuracy"] < float(
        hits(pair_similarities(vice, data.triplets, kind="dot")).double().mean()
    )


@pytest.mark.slow
def test_a_trained_map_predicts_unseen_objects_of_real_people_better_than_nothing(human):
    """Triplets sampled from VICE train; held-out objects are judged on triplets of their own."""
    vice, data = human
    sampled = OddOneOutData(data.features, sample_triplets(vice, 250_000, seed=0), reference=vice)
    config = AlignmentConfig(batch_size=512, check_every=40, patience=2, epochs=8)
    found = cross_validate(config, sampled, folds=2, refit=False)
    assert found.scores["gain_low"] > 0
    assert found.scores["cross_entropy"] < math.log(3)
    table = concept_table(vice, sampled.triplets[found.scored], found.choices == 2)
    assert table.count.sum() == int(found.scored.sum())
    assert table.overall_error == pytest.approx(1 - found.scores["accuracy"], abs=1e-12)
