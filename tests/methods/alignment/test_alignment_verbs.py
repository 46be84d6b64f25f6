"""`example`, `score` and `concepts` on files, against slow counts of the same things."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from alignment_commands import cosines, done, odd_positions, page_of, refused

from visus.data.corpora.similarity_judgments import read_cichy
from visus.data.corpora.things import read_vice, things_concepts
from visus.data.features import Embeddings, embeddings_in, read_embeddings, write_embeddings
from visus.data.triplets import read_triplets
from visus.methods.alignment.verbs import VERBS
from visus.methods.alignment.verbs.attributes import raw_attributes
from visus.methods.alignment.verbs.explaining import concept_names
from visus.methods.alignment.verbs.study import ceiling_of, plain_name, read_names


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    commands = VERBS["example"](out=folder)
    assert {command[2] for command in commands} == VERBS.keys() - {"example"}
    return folder


@pytest.fixture(scope="module")
def network(study):
    return study / "networks" / "supervised-1.npy"


@pytest.fixture(scope="module")
def trials(study):
    return study / "things" / "trials.tsv"


def test_the_example_is_laid_out_as_the_real_sets(study):
    concepts = things_concepts(study / "things" / "things_concepts.tsv")
    reference = read_vice(study / "things" / "reference.npy", objects=len(concepts))
    train = read_triplets(study / "things" / "triplets" / "train_90.npy", objects=len(concepts), base=0)
    test = read_triplets(study / "things" / "triplets" / "test_10.npy", objects=len(concepts), base=0)
    assert (len(train), len(test)) == (8100, 900)
    raw = np.loadtxt(study / "things" / "trials.tsv", dtype=int)
    assert raw.shape == (3600, 5)
    assert set(raw[:, 3]) == {1, 2, 3}
    assert raw[:, :3].min() >= 1
    networks = embeddings_in(study / "networks")
    assert {len(made) for made in networks.values()} == {len(concepts)} == {len(reference)}
    assert {made.names for made in networks.values()} == {concepts.unique_ids}
    table = raw_attributes(study / "networks" / "attributes.csv", list(networks))
    assert table is not None
    assert list(table.index) == list(networks)
    assert {path.suffix for path in (study / "networks").iterdir()} > {".npy", ".npz", ".safetensors", ".csv"}
    assert len(read_cichy(study / "pictures" / "judgments_general.mat")) == 30


def test_a_score_is_what_slow_counting_finds(study, network, trials, tmp_path, capsys):
    names, reference = study / "things" / "things_concepts.tsv", study / "things" / "reference.npy"
    out = tmp_path / "deep" / "scored"
    done("score", network, "--triplets", trials, "--objects", names, "--reference", reference, "--out", out)
    said = capsys.readouterr().out
    rows = read_triplets(trials, objects=120).rows
    expected = odd_positions(cosines(read_embeddings(network).values.double().numpy()), rows)
    assert np.array_equal(np.load(out / "choices.npy"), expected)
    scores = json.loads((out / "scores.json").read_text())
    assert scores["accuracy"] == pytest.approx((expected == 2).mean())
    low, high = scores["accuracy_interval"]
    assert low < scores["accuracy"] < high
    answers: dict[tuple[int, ...], Counter] = {}
    for row in rows.tolist():
        answers.setdefault(tuple(sorted(row)), Counter())[row[2]] += 1
    ceiling = np.mean([max(own.values()) / sum(own.values()) for own in answers.values()])
    assert scores["noise_ceiling"]["ceiling"] == pytest.approx(ceiling)
    assert scores["ceiling_normalized"] == pytest.approx((scores["accuracy"] - 1 / 3) / (ceiling - 1 / 3))
    vice = read_vice(reference).astype(float)
    assert scores["reference"]["accuracy"] == pytest.approx((odd_positions(vice @ vice.T, rows) == 2).mean())
    assert "fits as read" in said
    assert f"{100 * ceiling:.1f} %" in said
    table = pd.read_csv(out / "objects.csv")
    mine = (rows == 5).any(axis=1)
    assert table.loc[5, "trials"] == mine.sum()
    assert table.loc[5, "error"] == pytest.approx((expected != 2)[mine].mean(), abs=1e-6)
    assert table["name"].tolist() == list(things_concepts(names).unique_ids)
    assert page_of(out).count("<svg") == 2


def test_rows_are_found_by_name_and_absent_objects_are_told(study, network, trials, tmp_path, capsys):
    names = study / "things" / "things_concepts.tsv"
    given = read_embeddings(network)
    order = np.random.default_rng(0).permutation(len(given))
    write_embeddings(tmp_path / "shuffled.npz", given.subset(order))
    files = tuple(f"images/{name}.jpg" for name in given.names)
    write_embeddings(tmp_path / "files.npz", Embeddings(given.values, files))
    scores = {}
    for name in (network, tmp_path / "shuffled.npz", tmp_path / "files.npz"):
        out = tmp_path / name.stem
        done("score", name, "--triplets", trials, "--objects", names, "--out", out)
        scores[name.stem] = json.loads((out / "scores.json").read_text())["accuracy"]
    assert len(set(scores.values())) == 1
    np.save(tmp_path / "numbered.npy", given.values.numpy())
    capsys.readouterr()
    words = ["--triplets", trials, "--objects", names, "--out", tmp_path / "numbered"]
    done("score", tmp_path / "numbered.npy", *words)
    assert "row i is taken for object i" in capsys.readouterr().out
    assert json.loads((tmp_path / "numbered" / "scores.json").read_text())["accuracy"] in scores.values()
    assert pd.read_csv(tmp_path / "numbered" / "objects.csv")["name"].tolist() == [*given.names]
    np.save(tmp_path / "numbered.npy", given.values[:90].numpy())
    assert "named like an object" in refused("score", tmp_path / "numbered.npy", *words)
    kept = np.sort(order[:90])
    write_embeddings(tmp_path / "some.npz", given.subset(kept))
    capsys.readouterr()
    done("score", tmp_path / "some.npz", "--triplets", trials, "--objects", names, "--out", tmp_path / "some")
    rows = read_triplets(trials, objects=120).rows
    inside = np.isin(rows, kept).all(axis=1)
    assert f"{(~inside).sum():,} of 3,600 triplets are left out" in capsys.readouterr().out
    expected = odd_positions(cosines(given.values.double().numpy()), rows[inside])
    assert np.array_equal(np.load(tmp_path / "some" / "choices.npy"), expected)


def test_a_name_of_two_different_rows_is_refused(study, network, trials, tmp_path):
    names = study / "things" / "things_concepts.tsv"
    given = read_embeddings(network)
    files = (f"a/{given.names[1]}.png", *(f"b/{name}.png" for name in given.names[1:]))
    write_embeddings(tmp_path / "twice.npz", Embeddings(given.values, files))
    words = ["score", tmp_path / "twice.npz", "--triplets", trials, "--out", tmp_path / "out"]
    assert f"{given.names[1]} may be any of 2 rows" in refused(*words, "--objects", names)
    assert plain_name("b/two.words.jpeg") == "two.words"
    assert plain_name("no.ending") == "no.ending"


def test_a_ceiling_needs_triplets_repeated_on_purpose(study, network, trials, tmp_path):
    train = study / "things" / "triplets" / "train_90.npy"
    rows = read_triplets(train, objects=120, base=0).rows
    assert len({tuple(sorted(row)) for row in rows.tolist()}) < len(rows)  # some come twice by chance
    assert ceiling_of(rows) is None
    found = ceiling_of(read_triplets(trials, objects=120).rows)
    assert found is not None
    assert found.triplets == 300
    done("score", network, "--triplets", train, "--ceiling", "0.69", "--base", "0", "--out", tmp_path / "s")
    scores = json.loads((tmp_path / "s" / "scores.json").read_text())
    assert scores["noise_ceiling"] is None
    assert scores["ceiling_normalized"] == pytest.approx((scores["accuracy"] - 1 / 3) / (0.69 - 1 / 3))


def test_slips_of_counting_are_refused_in_words(study, network, trials, tmp_path):
    reference, out = study / "things" / "reference.npy", tmp_path / "out"
    words = ["score", network, "--out", out, "--triplets"]
    turned = tmp_path / "turned.npy"
    single = read_triplets(study / "things" / "triplets" / "train_90.npy", objects=120, base=0).rows
    np.save(turned, single[:, [0, 2, 1]])
    assert "wrong column" in refused(*words, turned, "--base", "0", "--reference", reference)
    assert "counts from 1" in refused(*words, trials, "--base", "0")
    assert "--base 1" in refused(*words, trials, "--base", "0")
    first = tmp_path / "first.npy"
    rows = read_triplets(trials, objects=120).rows
    np.save(first, rows[:, [2, 0, 1]])
    assert "--odd first" in refused(*words, first, "--base", "0", "--reference", reference)
    done(*words, first, "--base", "0", "--odd", "first", "--reference", reference)
    # where 0 and the last number are both unused the reference decides
    middle = tmp_path / "middle.npy"
    np.save(middle, rows[(rows > 0).all(axis=1) & (rows < 119).all(axis=1)])
    assert "--base 0 or --base 1, or give --reference" in refused(*words, middle)
    assert "reference" not in refused("compare", study / "networks", "--triplets", middle, "--out", out)
    done(*words, middle, "--reference", reference)
    mine = rows[(rows > 0).all(axis=1) & (rows < 119).all(axis=1)]
    expected = odd_positions(cosines(read_embeddings(network).values.double().numpy()), mine)
    assert np.array_equal(np.load(out / "choices.npy"), expected)


def test_bad_input_is_refused_before_anything_is_written(study, network, trials, tmp_path):
    out, names = tmp_path / "out", tmp_path / "names.txt"
    names.write_text("a\nb\na\n")
    score = ["score", network, "--triplets", trials, "--out", out]
    assert "names a twice" in refused(*score, "--objects", names)
    names.write_text("\n".join(f"thing {i}" for i in range(120)))
    assert "named like an object" in refused(*score, "--objects", names)
    assert "does not exist" in refused(*score, "--reference", tmp_path / "no.npy")
    assert "above 1/3" in refused(*score, "--ceiling", "0.2")
    few = tmp_path / "few.npy"
    np.save(few, read_embeddings(network).values[:100].numpy())
    message = refused("score", few, "--triplets", trials, "--out", out)
    assert "trials.tsv" in message
    assert "outside" in message
    assert "is a folder" in refused("score", study / "networks", "--triplets", trials, "--out", out)
    assert "--encoder" in refused("score", names, "--triplets", trials, "--out", out)
    assert "vectors already" in refused(*score, "--encoder", "minilm")
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert "is a file" in refused("score", network, "--triplets", trials, "--out", blocked)
    assert "lies below a file" in refused("score", network, "--triplets", trials, "--out", blocked / "x")
    assert "written over" in refused("score", network, "--triplets", trials, "--out", trials.parent)
    holed = tmp_path / "holed.npy"
    np.save(holed, np.full((120, 3), np.nan))
    assert "not finite" in refused("score", holed, "--triplets", trials, "--out", out)
    assert not out.exists()


def test_names_of_objects_come_from_tables_and_lists(study, tmp_path):
    table = things_concepts(study / "things" / "things_concepts.tsv")
    assert read_names(table.file) == table.unique_ids
    (tmp_path / "own.csv").write_text("id,name\n1,cat\n2,007\n")
    assert read_names(tmp_path / "own.csv") == ("cat", "007")
    (tmp_path / "bare.csv").write_text("id,what\n1,cat\n")
    with pytest.raises(ValueError, match="name the column"):
        read_names(tmp_path / "bare.csv")


# ---- concepts ---------------------------------------------------------------------------------------------


def test_concepts_split_the_errors_without_losing_one(study, network, tmp_path, capsys):
    things, out = study / "things", tmp_path / "concepts"
    train, names = things / "triplets" / "train_90.npy", things / "things_concepts.tsv"
    reference = things / "reference.npy"
    given = [network, "--triplets", train, "--reference", reference, "--objects", names]
    done("concepts", *given, "--out", out)
    rows = read_triplets(train, objects=120, base=0).rows
    vice, names_ = read_vice(reference).astype(float), things_concepts(names).unique_ids
    right = odd_positions(cosines(read_embeddings(network).values.double().numpy()), rows) == 2
    deciding = np.array([int(np.argmax((vice[a] + vice[b]) / 2)) for a, b, _ in rows.tolist()])
    table = pd.read_csv(out / "concepts.csv").set_index("dimension")
    for dimension, row in table.iterrows():
        mine = deciding == dimension
        assert (row["count"], row["hits"]) == (mine.sum(), right[mine].sum())
        assert row["error"] == pytest.approx(1 - right[mine].mean(), abs=1e-6)
        assert row["error_low"] <= row["error"] <= row["error_high"]
        assert row["triplets"] == len({tuple(sorted(triplet)) for triplet in rows[mine].tolist()})
    assert table["count"].sum() == len(rows)
    assert table["error"].is_monotonic_decreasing
    summary = json.loads((out / "summary.json").read_text())
    assert summary["error"] == pytest.approx(1 - right.mean())
    assert summary["error_from_table"] == pytest.approx(summary["error"])
    largest = np.argsort(-vice[:, table.index[0]], kind="stable")[:6]
    assert table["name"].iloc[0] == ", ".join(names_[i] for i in largest)
    assert table["name"].iloc[0] in capsys.readouterr().out
    bins = pd.read_csv(out / "uncertainty.csv")
    assert bins["count"].sum() == len(rows)
    assert (bins["count"] * bins["error"]).sum() / len(rows) == pytest.approx(1 - right.mean(), abs=1e-5)
    assert page_of(out).count("<svg") == 2
    done("concepts", *given, "--top", "2", "--no-decode", "--out", out)
    again = pd.read_csv(out / "concepts.csv")
    assert again["count"].sum() == 2 * len(rows)
    assert "r2" not in again


def test_concepts_are_named_by_their_strongest_objects():
    reference = np.array([[0.0, 2.0], [3.0, 1.0], [1.0, 0.0]])
    assert concept_names(reference, ("a.jpg", "b.jpg", "c.jpg"), shown=2) == ["b, c", "a, b"]
