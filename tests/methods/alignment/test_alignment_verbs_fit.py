"""`fit`, `apply`, `predict` and `evaluate` on files: what is left in the folder, and that it is what it says."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
import torch
from alignment_commands import contents, done, refused
from PIL import Image

from visus.data.corpora.things import read_vice
from visus.data.features import read_embeddings, write_embeddings
from visus.data.triplets import OddOneOutData, read_triplets
from visus.methods.alignment import Aligner
from visus.methods.alignment.verbs import VERBS, embedding
from visus.methods.alignment.verbs.embedding import Counting, Given, open_transform
from visus.methods.alignment.verbs.fitting import configured, grid_of
from visus.methods.alignment.verbs.predicting import _all_or_some

QUICK = ["--preset", "smoke", "--device", "cpu", "--set", "batch_size=256"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    VERBS["example"](out=folder, seed=1)
    return folder


@pytest.fixture(scope="module")
def network(study):
    return study / "networks" / "supervised-1.npy"


@pytest.fixture(scope="module")
def train(study):
    return study / "things" / "triplets" / "train_90.npy"


@pytest.fixture(scope="module")
def run(study, network, train, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "probe"
    done("fit", network, "--triplets", train, "--out", out, *QUICK)
    return out


@pytest.fixture(scope="module")
def ridge(study, network, train, tmp_path_factory):
    out, things = tmp_path_factory.mktemp("runs") / "ridge", study / "things"
    given = ["--reference", things / "reference.npy", "--judged", things / "trials.tsv"]
    done("fit", network, "--triplets", train, "--aligner", "ridge", *given, "--out", out)
    return out


def test_a_fit_leaves_scores_transform_model_and_page(run, train):
    names = {path.name for path in run.iterdir()}
    assert names >= {"index.html", "scores.json", "choices.npy", "transform.npz", "model", "run.json"}
    scores = json.loads((run / "scores.json").read_text())
    chosen, rows = np.load(run / "choices.npy"), read_triplets(train, objects=120, base=0).rows
    assert len(chosen) == len(rows)
    assert scores["scores"]["accuracy"] == pytest.approx((chosen == 2).sum() / (chosen != -2).sum())
    assert scores["noise_ceiling"] is None  # nothing was repeated on purpose
    assert len(scores["folds"]) == len(scores["steps"]) == 3
    assert scores["final_steps"] == sorted(scores["steps"])[1]
    page = (run / "index.html").read_text()
    assert page.count("<svg") == 1
    assert "<script" not in page


def test_whoever_judges_a_triplet_has_seen_none_of_its_objects(run, train):
    """Judged triplets fall into as many sets without a common object as there are folds; the others mix them."""
    chosen, rows = np.load(run / "choices.npy"), read_triplets(train, objects=120, base=0).rows
    fold = np.arange(120)
    for _ in range(120):  # objects of a judged triplet are of one fold
        before = fold.copy()
        for row in rows[chosen != -2]:
            fold[row] = fold[row].min()
        if np.array_equal(before, fold):
            break
    assert len(np.unique(fold)) == 3
    mixed = np.array([len(set(fold[row])) > 1 for row in rows])
    assert np.array_equal(mixed, chosen == -2)


def test_the_transform_file_gives_what_apply_gives(run, study, tmp_path):
    given = study / "pictures" / "network.npy"
    arrays = np.load(run / "transform.npz")
    assert set(arrays.files) <= {"weights", "bias", "mean", "std"}
    x = read_embeddings(given)
    expected = ((x.values.numpy() - arrays["mean"]) / arrays["std"]) @ arrays["weights"]
    for source, ending in ((run, ".npy"), (run / "transform.npz", ".safetensors"), (run / "model", ".npz")):
        out = tmp_path / f"mapped{ending}"
        done("apply", source, given, "--out", out)
        found = read_embeddings(out)
        assert found.names == x.names
        assert np.allclose(found.values, expected, atol=1e-5)
    scores = tmp_path / "scored"
    trials = study / "things" / "trials.tsv"
    network = study / "networks" / "supervised-1.npy"
    words = ["--triplets", trials, "--kind", "dot", "--out", scores]
    done("score", network, "--transform", run, *words)
    direct = Aligner.open(run).predict(
        OddOneOutData(read_embeddings(network).values, read_triplets(trials, objects=120))
    )
    assert np.array_equal(np.load(scores / "choices.npy"), direct["label"].numpy())


def test_running_again_finds_nothing_to_do_and_other_settings_are_refused(run, network, train):
    kept = {path for path in contents(run) or {} if "run.json" not in path.name}
    before = {path: content for path, content in (contents(run) or {}).items() if path in kept}
    done("fit", network, "--triplets", train, "--out", run, *QUICK)
    after = contents(run) or {}
    assert {path: after[path] for path in before} == before
    message = refused(
        "fit", network, "--triplets", train, "--out", run, *QUICK, "--set", "penalty_weight=0.5"
    )
    assert "penalty_weight" in message


def test_ridge_predicts_every_object_unseen(ridge, study, network):
    predicted = read_embeddings(ridge / "predicted.npy")
    assert predicted.values.shape == (120, 16)
    trials = read_triplets(study / "things" / "trials.tsv", objects=120)
    scores = json.loads((ridge / "scores.json").read_text())
    z = predicted.values.double().numpy()
    a, b, c = trials.rows.T
    similar = np.stack([(z[b] * z[c]).sum(1), (z[a] * z[c]).sum(1), (z[a] * z[b]).sum(1)])
    assert scores["predicted"]["accuracy"] == pytest.approx((similar.argmax(axis=0) == 2).mean())
    assert scores["predicted"]["gain_low"] > 0.1
    assert scores["reference_accuracy"] > scores["scores"]["accuracy"] - 0.1
    assert len(np.load(ridge / "choices.npy")) == len(trials)
    final = open_transform(ridge).apply(read_embeddings(network).values)
    vice = torch.from_numpy(read_vice(study / "things" / "reference.npy"))
    assert torch.corrcoef(torch.stack([final.flatten(), vice.flatten()]))[0, 1] > 0.8


def test_a_search_takes_the_lowest_cross_entropy(study, network, train, tmp_path, capsys):
    out = tmp_path / "searched"
    grid = ["--grid", "penalty_weight=[10.0,0.01]", "--folds", "2"]
    done("fit", network, "--triplets", train, "--out", out, *QUICK, "--set", "epochs=3", *grid)
    scores = json.loads((out / "scores.json").read_text())
    points = scores["search"]
    best = min(points, key=lambda point: point["cross_entropy"])
    assert scores["config"]["penalty_weight"] == best["settings"]["penalty_weight"]
    assert scores["scores"]["cross_entropy"] == pytest.approx(best["cross_entropy"], abs=1e-6)
    assert "is best of 2" in capsys.readouterr().out
    assert "Search" in (out / "index.html").read_text()


def test_grids_and_settings_are_checked():
    probe = configured("probe", "smoke", [])
    assert grid_of(probe, None) == {"penalty_weight": [1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5]}
    assert grid_of(probe, ["bias=true"]) == {"bias": [True]}
    assert configured("glocal", "paper", []).optimizer == "sgd"
    assert configured("glocal", "demo", ["epochs=3"]).epochs == 3
    for grid, words in ((["epochs"], "setting="), (["speed=[1]"], "speed"), (["penalty=[most]"], "penalty")):
        with pytest.raises(ValueError, match=words):
            grid_of(probe, grid)
    with pytest.raises(ValueError, match="nothing to search"):
        grid_of(configured("ridge", "smoke", []), None)


def test_a_refused_fit_leaves_no_folder(study, network, train, tmp_path):
    out = tmp_path / "run"
    words = ["fit", network, "--triplets", train, "--out", out, *QUICK]
    assert "--reference" in refused(*words, "--aligner", "ridge")
    assert "clip" in refused(*words, "--set", "clip=-1")
    assert "no such setting" in refused(*words, "--set", "speed=1")
    assert "folds" in refused(*words, "--folds", "50")
    few = tmp_path / "few.npy"
    np.save(few, read_triplets(train, objects=120, base=0).rows[:40])
    message = refused("fit", network, "--triplets", few, "--base", "0", "--out", out, *QUICK, "--folds", "2")
    assert "triplets" in message
    assert not out.exists()


def test_how_judged_trials_count_is_told_by_the_reference(study, network, tmp_path):
    middle, train = tmp_path / "middle.npy", study / "things" / "triplets" / "train_90.npy"
    rows = read_triplets(study / "things" / "trials.tsv", objects=120).rows
    np.save(middle, rows[(rows > 0).all(axis=1) & (rows < 119).all(axis=1)])
    words = ["fit", network, "--triplets", train, "--judged", middle, "--aligner", "center"]
    message = refused(*words, "--base", "0", "--out", tmp_path / "run")
    assert "give --reference" in message
    assert "state --base" not in message
    done(*words, "--reference", study / "things" / "reference.npy", "--out", tmp_path / "run")
    assert (tmp_path / "run" / "transform.npz").is_file()


def test_evaluate_says_what_the_estimator_says(run, study, network, tmp_path, capsys):
    test = study / "things" / "triplets" / "test_10.npy"
    found = done(
        "evaluate", network, "--model", run, "--triplets", test, "--out", tmp_path / "s.json", "--base", "0"
    )
    data = OddOneOutData(read_embeddings(network).values, read_triplets(test, objects=120, base=0))
    assert found == Aligner.open(run).evaluate(data)
    assert json.loads((tmp_path / "s.json").read_text()) == found
    assert "900 triplets" in capsys.readouterr().out
    words = ["evaluate", study / "pictures" / "network.npy", "--model", run, "--triplets", test]
    assert "outside" in refused(*words, "--base", "0", "--out", tmp_path / "no.json")


def test_predict_finds_the_odd_one_of_three(run, study, tmp_path):
    given = read_embeddings(study / "pictures" / "network.npy")
    three = tmp_path / "three.npz"
    write_embeddings(three, given.subset([4, 9, 17]))
    done("predict", three, "--model", run, "--out", tmp_path / "odd.csv")
    model = Aligner.open(run)
    direct = model.predict(OddOneOutData(given.values[[4, 9, 17]], np.array([[0, 1, 2]])))
    table = pd.read_csv(tmp_path / "odd.csv")
    assert table["item"].tolist() == [given.names[i] for i in (4, 9, 17)]
    assert np.allclose(table["odd"], direct["probabilities"][0], atol=1e-6)
    assert table["odd"].sum() == pytest.approx(1, abs=1e-5)
    np.save(tmp_path / "rows.npy", np.array([[2, 0, 1], [5, 6, 7]]))
    words = [study / "pictures" / "network.npy", "--model", run, "--triplets", tmp_path / "rows.npy"]
    done("predict", *words, "--out", tmp_path / "rows.csv")
    rows = pd.read_csv(tmp_path / "rows.csv")
    asked = model.predict(OddOneOutData(given.values, np.load(tmp_path / "rows.npy")))
    assert np.allclose(rows[["p_1", "p_2", "p_3"]], asked["probabilities"], atol=1e-6)
    names = [[given.names[i] for i in row] for row in np.load(tmp_path / "rows.npy")]
    assert rows["label"].tolist() == [row[i] for row, i in zip(names, asked["label"].tolist(), strict=True)]
    # numbers from 1, told where they can be, else asked for
    np.save(tmp_path / "rows.npy", np.array([[3, 1, 2], [6, 7, 8]]))
    assert "--base 0 or --base 1" in refused("predict", *words, "--out", tmp_path / "no.csv")
    done("predict", *words, "--base", "1", "--out", tmp_path / "again.csv")
    assert pd.read_csv(tmp_path / "again.csv").equals(rows)
    np.save(tmp_path / "rows.npy", np.array([[30, 1, 2]]))
    done("predict", *words, "--out", tmp_path / "last.csv")
    assert pd.read_csv(tmp_path / "last.csv")["items"][0].startswith(given.names[29])
    write_embeddings(three, given.subset([1, 2]))
    assert "three objects" in refused("predict", three, "--model", run, "--out", tmp_path / "no.csv")


def test_a_folder_with_one_file_of_vectors_is_that_file(run, study, tmp_path):
    folder = tmp_path / "sent"
    folder.mkdir()
    np.save(folder / "features.npy", read_embeddings(study / "pictures" / "network.npy").values.numpy())
    done("predict", folder, "--model", run, "--out", tmp_path / "odd.csv")
    assert len(pd.read_csv(tmp_path / "odd.csv")) == 30


def test_among_many_objects_every_one_is_asked_for_equally_often():
    assert len(_all_or_some(7, 0)) == 35
    rows = _all_or_some(50, 3)
    assert (np.bincount(rows[:, 0], minlength=50) == 200).all()
    assert all(len({*row}) == 3 for row in rows.tolist())
    assert (rows >= 0).all()
    assert (rows < 50).all()


def test_inputs_of_apply_and_predict_are_checked(run, study, network, tmp_path):
    out = tmp_path / "mapped.npy"
    wide = tmp_path / "wide.npy"
    np.save(wide, np.ones((5, 33), dtype=np.float32))
    assert "takes 32 numbers" in refused("apply", run, wide, "--out", out)
    assert "33" in refused("predict", wide, "--model", run, "--out", tmp_path / "p.csv")
    assert "ends in .txt" in refused("apply", run, network, "--out", tmp_path / "x.txt")
    assert "written over" in refused("apply", run, network, "--out", network)
    assert "neither transform.npz" in refused("apply", study, network, "--out", out)
    (tmp_path / "cut.npz").write_bytes((run / "transform.npz").read_bytes()[:200])
    assert "cut.npz" in refused("apply", tmp_path / "cut.npz", network, "--out", out)
    np.savez(tmp_path / "other.npz", w=np.eye(32))
    assert "weights" in refused("apply", tmp_path / "other.npz", network, "--out", out)


# ---- pictures and texts -----------------------------------------------------------------------------------


class Averages:
    """An encoder of pictures without a network: the means of 32 columns of pixels."""

    identity, width = "averages", 32

    def images(self, pictures):
        levels = [np.asarray(picture.convert("L").resize((32, 4)), dtype=np.float32) for picture in pictures]
        return torch.from_numpy(np.stack(levels)).mean(dim=1) / 255


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    folder = tmp_path / "pictures"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(6):
        Image.fromarray(draw.integers(0, 255, (8, 32, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    monkeypatch.setattr("visus.data.features.open_encoder", lambda name, **_: Averages())
    return folder


def test_pictures_are_encoded_once_and_kept(run, pictures, tmp_path, monkeypatch):
    out, cache = tmp_path / "mapped.npz", tmp_path / "cache"
    words = ["apply", run, pictures, "--encoder", "averages", "--out", out, "--cache", cache]
    done(*words)
    first = read_embeddings(out)
    assert first.names == tuple(f"{number}.png" for number in range(6))
    x = Averages().images([Image.open(path) for path in sorted(pictures.iterdir())])
    assert torch.allclose(first.values, open_transform(run).apply(x), atol=1e-5)
    monkeypatch.setattr(Averages, "images", lambda self, pictures: pytest.fail("encoded again"))
    done(*words)
    assert torch.equal(read_embeddings(out).values, first.values)


def test_a_run_remembers_its_encoder(pictures, tmp_path, monkeypatch):
    triplets = tmp_path / "triplets.npy"
    np.save(triplets, np.array(list(itertools.permutations(range(6), 3))))
    words = [pictures, "--encoder", "averages", "--triplets", triplets, "--aligner", "center", "--folds", "2"]
    done("fit", *words, "--out", tmp_path / "run")
    known = json.loads((tmp_path / "run" / "scores.json").read_text())["encoder"]
    assert known == {"name": "averages", "layer": None, "identity": "averages"}
    for model in (tmp_path / "run", tmp_path / "run" / "model"):
        done("predict", pictures, "--model", model, "--out", tmp_path / "odd.csv")
        assert pd.read_csv(tmp_path / "odd.csv")["item"].tolist() == [f"{n}.png" for n in range(6)]
    done("apply", tmp_path / "run", pictures, "--out", tmp_path / "mapped.npy")
    assert len(read_embeddings(tmp_path / "mapped.npy")) == 6
    monkeypatch.setattr(Averages, "identity", "averages, retrained")
    message = refused("predict", pictures, "--model", tmp_path / "run", "--out", tmp_path / "no.csv")
    assert "other weights" in message


def test_texts_and_pictures_go_to_encoders_that_read_them(pictures, tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("cat\ta small animal\ndog\n\npea\ta vegetable\n")
    given = Given(file, encoder="averages")
    assert given.names == ("cat", "dog", "pea")
    assert given._items == ["a small animal", "dog", "a vegetable"]
    with pytest.raises(ValueError, match="not texts"):
        given.embeddings()
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="holds no pictures"):
        Given(tmp_path / "none", encoder="averages")


def test_long_encodings_tell_how_far_they_are(capsys, monkeypatch):
    clock = iter([0.0, 2.0, 6.0, 7.0])
    monkeypatch.setattr(embedding.time, "monotonic", lambda: next(clock))
    counting = Counting("encoding")
    counting(10, 100)
    counting(50, 100)
    counting(100, 100)
    assert capsys.readouterr().err == "encoding: 50 of 100, about 6 s left\n"
