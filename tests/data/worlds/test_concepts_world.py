"""The planted world of concepts: its truth is exact, its views hide it, a linear map finds it."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from visus.data.corpora.similarity_judgments import read_cichy, write_cichy
from visus.data.corpora.things import things_concepts, write_things_concepts
from visus.data.triplets import diagnose, read_triplets, split_objects, within, write_triplets
from visus.data.worlds.concepts import CATEGORIES, DIMENSIONS, make, odd_one_out
from visus.errors import InputError
from visus.metrics.triplet_choices import hits, pair_similarities


@pytest.fixture(scope="module")
def world():
    return make(seed=3)


def accuracy(values, rows, kind="dot"):
    similar = pair_similarities(torch.as_tensor(np.asarray(values, dtype=np.float64)), rows, kind=kind)
    return float(hits(similar).double().mean())


def test_the_hidden_embedding_is_sparse_non_negative_and_correlated(world):
    assert world.hidden.shape == (240, 16)
    assert world.dimensions == DIMENSIONS
    assert world.hidden.min() >= 0
    assert 0.15 < (world.hidden >= 0.3).mean() < 0.3
    correlation = np.corrcoef(world.hidden.T)
    for category, traits in CATEGORIES.items():
        others = [trait for trait in DIMENSIONS[8:] if trait not in traits]
        row = correlation[DIMENSIONS.index(category)]
        typical = np.mean([row[DIMENSIONS.index(trait)] for trait in traits])
        assert typical > np.mean([row[DIMENSIONS.index(trait)] for trait in others]) + 0.15
    counts = np.unique(world.concepts.words, return_counts=True)[1]
    assert (len(counts), counts.min() > 15) == (8, True)


def test_concepts_say_what_the_embedding_says(world):
    assert len(set(world.concepts.unique_ids)) == 240
    for i in range(0, 240, 17):
        true = {name for name, value in zip(DIMENSIONS, world.hidden[i]) if value >= 0.3}
        said = set(world.concepts.definitions[i].replace(",", "").split()) & set(DIMENSIONS)
        assert said == true
        assert set(world.concepts.categories[i]) == true & set(CATEGORIES)


def test_judgments_follow_the_stated_probabilities(world):
    rows = world.trials.rows
    shares = world.probabilities(rows)
    a, b, odd = (world.hidden[rows[:, i]].astype(np.float64) for i in range(3))
    weight = np.exp(np.stack([(b * odd).sum(1), (a * odd).sum(1), (a * b).sum(1)], 1) / world.temperature)
    assert np.allclose(shares, weight / weight.sum(1, keepdims=True), atol=1e-6)
    # What people chose is column 2; whatever the triplet, its probability is that of being chosen.
    first = rows[::20]
    again = np.stack([world.sample(1, seed, among=first[0]).rows[0] for seed in range(300)])
    likeliest = world.probabilities(first[:1]).max()
    picked = np.bincount(again[:, 2], minlength=240)
    assert picked.max() / 300 == pytest.approx(likeliest, abs=0.12)


def test_repeated_trials_give_the_ceiling(world):
    groups = world.trials.groups()
    assert np.bincount(groups).tolist() == [20] * 400
    majority = [np.bincount(world.trials.rows[groups == i, 2]).max() / 20 for i in range(400)]
    assert 0 <= np.mean(majority) - world.ceiling() < 0.035
    assert 0.6 < world.ceiling() < 0.75
    people = world.trials.participants
    assert all(len(set(people[groups == i].tolist())) == 20 for i in range(0, 400, 40))
    assert accuracy(world.hidden, world.trials.rows) == pytest.approx(world.ceiling(), abs=0.02)


@pytest.mark.parametrize("view", ["network", "second"])
def test_a_view_hides_what_a_linear_map_of_other_objects_finds(world, view):
    parts = split_objects(240, {"train": 0.75, "test": 0.25}, 0)
    rows = world.sample(20_000, 1, among=parts["test"]).rows
    seen, ceiling = world.views[view].features.astype(np.float64), accuracy(world.hidden, rows)
    for kind in ("cosine", "dot"):
        assert 0.34 < accuracy(seen, rows, kind) < ceiling - 0.1
        assert accuracy(seen - seen.mean(0), rows, kind) < ceiling - 0.1
    one = np.hstack([seen, np.ones((240, 1))])
    train = one[parts["train"]]
    ridge = np.linalg.solve(
        train.T @ train + 0.1 * np.eye(one.shape[1]), train.T @ world.hidden[parts["train"]]
    )
    assert accuracy(one @ ridge, rows) >= 0.95 * ceiling
    assert accuracy(world.views[view].recovered(seen), rows) >= 0.97 * ceiling


def test_a_view_without_noise_is_inverted_exactly():
    clean = make(24, triplets=5, trials=2, seed=0, noise=0.0)
    for view in clean.views.values():
        assert np.allclose(view.recovered(view.features), clean.hidden, atol=1e-4)
    stacked = np.concatenate([clean.views["network"].features, clean.judged.features["network"]])
    both = clean.views["network"].recovered(stacked)
    assert np.allclose(both, np.concatenate([clean.hidden, clean.judged.hidden]), atol=1e-4)


def test_other_objects_are_judged_by_distance(world):
    judged = world.judged
    assert (judged.hidden.shape, judged.judgments.kind) == ((60, 16), "distance")
    assert judged.judgments.values.shape == (12, 60, 60)
    assert not set(judged.concepts.unique_ids) & set(world.concepts.unique_ids)
    unit = judged.hidden / np.linalg.norm(judged.hidden, axis=1, keepdims=True)
    pairs = np.triu_indices(60, 1)
    truth = (1 - unit @ unit.T)[pairs]
    mean = judged.judgments.mean()[pairs]
    assert spearmanr(mean, truth).statistic > 0.9
    alone = [spearmanr(person, truth).statistic for person in judged.judgments.condensed()]
    assert max(alone) < spearmanr(mean, truth).statistic


def test_the_parts_share_no_object():
    train, test = odd_one_out("train", seed=5), odd_one_out("test", seed=5)
    assert not set(train.origin.tolist()) & set(test.origin.tolist())
    assert (train.objects, test.objects, len(train), len(test)) == (180, 60, 9000, 3000)
    assert not set(train.names) & set(test.names)
    whole = make(240, triplets=1, trials=1, repeats=1, seed=5)
    for part in (train, test):
        assert torch.equal(part.reference, torch.from_numpy(whole.hidden)[part.origin])
        assert torch.equal(part.features, torch.from_numpy(whole.views["network"].features)[part.origin])
    assert train.fingerprint() == odd_one_out("train", seed=5).fingerprint()
    assert train.fingerprint() != odd_one_out("train", seed=6).fingerprint()
    assert odd_one_out("test", view="second", objects=40, triplets=100).features.shape == (10, 48)


def test_objects_do_not_depend_on_the_number_of_judgments():
    one, two = make(24, triplets=5, trials=2, seed=0), make(24, triplets=9, trials=3, repeats=2, seed=0)
    assert np.array_equal(one.hidden, two.hidden)
    assert np.array_equal(one.views["second"].features, two.views["second"].features)
    assert not np.array_equal(one.hidden, make(24, triplets=5, trials=2, seed=1).hidden)


def test_data_of_a_view(world):
    among = world.hidden[:, DIMENSIONS.index("animal")] > 0.3
    chosen = world.sample(50, 0, among=among)
    assert within(chosen, among).all()
    data = world.data("second", chosen)
    assert (len(data), data.features.shape, data.names) == (50, (240, 48), world.concepts.unique_ids)
    assert len(world.data()) == 20_000
    with pytest.raises(InputError, match=r"no view 'third'.*network or second"):
        world.data("third")


def test_the_world_goes_through_the_files_of_the_real_sets(world, tmp_path):
    write_things_concepts(tmp_path / "c.tsv", world.concepts)
    assert things_concepts(tmp_path / "c.tsv").definitions == world.concepts.definitions
    write_triplets(tmp_path / "t.tsv", world.trials, layout="trials")
    found = read_triplets(tmp_path / "t.tsv", names=world.concepts.unique_ids, base=1)
    assert np.array_equal(found.rows, world.trials.rows)
    assert np.array_equal(found.participants, world.trials.participants)
    assert diagnose(tmp_path / "t.tsv", world.hidden).fits.base == 1
    write_cichy(tmp_path / "j.mat", world.judged.judgments)
    assert np.allclose(read_cichy(tmp_path / "j.mat").values, world.judged.judgments.values)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"objects": 11}, "objects: is 11"),
        ({"triplets": 0}, "triplets: is 0"),
        ({"trials": 0}, "trials: is 0"),
        ({"repeats": 0}, "repeats: is 0"),
        ({"temperature": 0.0}, "temperature: is 0"),
        ({"noise": -1.0}, "noise: is -1"),
        ({"nuisance": np.inf}, "nuisance: is inf"),
        ({"objects": 12, "trials": 221}, "there are 220"),
    ],
)
def test_worlds_that_cannot_be_drawn(settings, says):
    with pytest.raises(InputError, match=says):
        make(**settings)
    with pytest.raises(InputError, match="unknown part"):
        odd_one_out("check")
