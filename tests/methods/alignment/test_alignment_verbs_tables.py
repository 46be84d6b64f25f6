"""`compare` and `rsa` on files, against slow counts of the same things."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from alignment_commands import cosines, done, odd_positions, page_of, refused
from scipy.stats import pearsonr, spearmanr

from visus.data.corpora.similarity_judgments import read_cichy
from visus.data.features import embeddings_in, read_embeddings, write_embeddings
from visus.data.triplets import read_triplets
from visus.methods.alignment.verbs import VERBS
from visus.methods.alignment.verbs.attributes import raw_attributes, read_attributes


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    VERBS["example"](out=folder)
    return folder


@pytest.fixture(scope="module")
def trials(study):
    return study / "things" / "trials.tsv"


# ---- compare ----------------------------------------------------------------------------------------------


def test_models_are_compared_on_the_same_trials(study, trials, tmp_path, capsys):
    out = tmp_path / "compared"
    done("compare", study / "networks", "--triplets", trials, "--out", out, "--resamples", "200")
    rows = read_triplets(trials, objects=120).rows
    table = pd.read_csv(out / "models.csv").set_index("model")
    for name, made in embeddings_in(study / "networks").items():
        expected = (odd_positions(cosines(made.values.double().numpy()), rows) == 2).mean()
        assert table.loc[name, "accuracy"] == pytest.approx(expected, abs=1e-6)
    assert table["accuracy"].is_monotonic_decreasing
    assert table.index[0].startswith("image-text")
    assert table.index[-1].startswith("untrained")
    effects = pd.read_csv(out / "effects.csv").set_index(["attribute", "level"])
    untrained = effects.loc[("objective", "untrained")]
    assert untrained["high"] < -0.05
    size = effects.loc[("log10 parameters", "per unit")]
    assert size["low"] < 0 < size["high"]
    assert "objective: untrained, not image-text" in capsys.readouterr().out
    page = page_of(out)
    assert page.count("<svg") == 5
    assert "fall of R2 without it" in page


def test_models_may_hold_different_objects_and_no_attributes(study, trials, tmp_path):
    folder = tmp_path / "networks"
    shutil.copytree(study / "networks", folder, ignore=shutil.ignore_patterns("attributes.csv", "untrained*"))
    made = embeddings_in(folder)
    cut = made["image-text-1"].subset(list(range(100, -1, -1)))
    write_embeddings(folder / "image-text-1.npy", cut)
    names = study / "things" / "things_concepts.tsv"
    out = tmp_path / "out"
    assert "outside" in refused("compare", folder, "--triplets", trials, "--out", out)
    done("compare", folder, "--triplets", trials, "--objects", names, "--out", out, "--resamples", "50")
    rows = read_triplets(trials, objects=120).rows
    rows = rows[(rows <= 100).all(axis=1)]
    table = pd.read_csv(out / "models.csv").set_index("model")
    for name in ("image-text-1", "supervised-2"):
        expected = (odd_positions(cosines(made[name].values.double().numpy()), rows) == 2).mean()
        assert table.loc[name, "accuracy"] == pytest.approx(expected, abs=1e-6)
    assert pd.read_csv(out / "effects.csv").empty


def test_tables_of_attributes_are_checked(study, trials, tmp_path):
    models = list(embeddings_in(study / "networks"))
    file = tmp_path / "attributes.csv"
    frame = pd.read_csv(study / "networks" / "attributes.csv")
    frame.assign(same="x").to_csv(file, index=False)
    assert "same" not in read_attributes(file, models, use=None, keep=None)
    found = read_attributes(file, models, use=["parameters"], keep="objective")
    assert list(found.columns) == ["log10 parameters", "objective"]
    assert found.iloc[0, 0] == pytest.approx(np.log10(frame["parameters"][0]))
    words = ["compare", study / "networks", "--triplets", trials, "--out", tmp_path / "out"]
    message = refused(*words, "--attributes", file, "--use", "depth")
    assert "attributes: objective, architecture, parameters, same" in message
    assert "same for every model" in refused(*words, "--attributes", file, "--use", "same")
    frame.drop(index=3).to_csv(file, index=False)
    assert "no row for" in refused(*words, "--attributes", file)
    frame.rename(columns={"model": "net"}).to_csv(file, index=False)
    assert "no column named like" in refused(*words, "--attributes", file)
    pd.concat([frame, frame[:1]]).to_csv(file, index=False)
    assert "two rows for" in refused(*words, "--attributes", file)
    frame.assign(model=[f"{name}.npy" for name in frame["model"]]).to_csv(file, index=False)
    assert raw_attributes(file, models) is not None


# ---- rsa --------------------------------------------------------------------------------------------------


def upper(square):
    return np.array([square[i, j] for i, j in itertools.combinations(range(len(square)), 2)])


def test_rsa_is_the_mean_correlation_with_people(study, tmp_path, capsys):
    pictures, out = study / "pictures", tmp_path / "rsa"
    file = pictures / "judgments_general.mat"
    words = ["rsa", pictures / "network.npy", "--judgments", file, "--resamples", "50", "--tests", "0"]
    done(*words, "--out", out)
    x = read_embeddings(pictures / "network.npy").values.double().numpy()
    mine = upper(1 - np.corrcoef(x))
    people = read_cichy(file)
    theirs = [upper(values) for values in people.values]
    scores = json.loads((out / "scores.json").read_text())
    for measure, slow in (("spearman", spearmanr), ("pearson", pearsonr)):
        found = scores[measure]["models"]["embedding"]
        assert found["value"] == pytest.approx(np.mean([slow(mine, one)[0] for one in theirs]))
        average = slow(mine, np.mean(theirs, axis=0))[0]
        assert scores[measure]["average_person"]["embedding"] == pytest.approx(average)
    table = pd.read_csv(out / "pairs.csv")
    assert np.allclose(table["people"], np.mean(theirs, axis=0), atol=1e-6)
    assert np.allclose(table["embedding"], mine, atol=1e-6)
    assert "noise ceiling" in capsys.readouterr().out
    assert page_of(out).count("<svg") == 2


def test_similarities_and_distances_are_never_mixed_up(study, tmp_path):
    pictures = study / "pictures"
    people = read_cichy(pictures / "judgments_general.mat")
    mean = people.mean()
    np.save(tmp_path / "apart.npy", mean)
    np.save(tmp_path / "alike.npy", mean.max() - mean)
    values = []
    for name, kind in (("apart", "distance"), ("alike", "similarity")):
        given = ["--judgments", tmp_path / f"{name}.npy", "--values", kind, "--resamples", "20"]
        done("rsa", pictures / "network.npy", *given, "--out", tmp_path / name)
        found = json.loads((tmp_path / name / "scores.json").read_text())
        assert found["people"] == 1
        values.append(found["spearman"]["models"]["embedding"]["value"])
        assert found["spearman"]["models"]["embedding"]["ceiling"] is None
    assert values[0] == pytest.approx(values[1])
    out = tmp_path / "out"
    words = ["rsa", pictures / "network.npy", "--out", out, "--judgments"]
    alike = mean.max() - mean + np.eye(len(mean))
    np.save(tmp_path / "alike.npy", alike)
    message = refused(*words, tmp_path / "alike.npy", "--values", "distance")
    assert "state --values similarity" in message
    assert "--values distance or --values similarity" in refused(*words, tmp_path / "apart.npy")
    mat = pictures / "judgments_general.mat"
    assert "only for .npy" in refused(*words, mat, "--values", "distance")
    (tmp_path / "odd.txt").write_text("1 2")
    assert "no known kind" in refused(*words, tmp_path / "odd.txt")
    few = tmp_path / "few.npy"
    write_embeddings(few, read_embeddings(pictures / "network.npy").subset(list(range(20))))
    assert "20 rows for 30 judged pictures" in refused("rsa", few, "--judgments", mat, "--out", out)


def test_pairs_that_somebody_did_not_judge_are_left_out(study, tmp_path, capsys):
    pictures = study / "pictures"
    values = read_cichy(pictures / "judgments_general.mat").values.copy()
    values[0, 1, 2] = values[0, 2, 1] = values[3, 4, 5] = values[3, 5, 4] = np.nan
    np.save(tmp_path / "gaps.npy", values)
    words = ["--judgments", tmp_path / "gaps.npy", "--values", "distance", "--resamples", "20"]
    done("rsa", pictures / "network.npy", *words, "--tests", "10", "--out", tmp_path / "out")
    assert "No tests: rsatoolbox needs every pair" in capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert math.isfinite(found["spearman"]["models"]["embedding"]["value"])


def test_rsatoolbox_tests_the_models_where_it_is_installed(study, tmp_path):
    pytest.importorskip("rsatoolbox")
    pictures = study / "pictures"
    file = pictures / "judgments_general.mat"
    words = ["rsa", pictures / "network.npy", "--judgments", file, "--resamples", "20", "--tests", "20"]
    done(*words, "--out", tmp_path / "rsa")
    tests = json.loads((tmp_path / "rsa" / "scores.json").read_text())["rsatoolbox"]
    assert tests["resamples"] == 20
    assert "Tests by rsatoolbox" in page_of(tmp_path / "rsa")


def test_without_rsatoolbox_a_note_says_so(study, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rsatoolbox", None)
    pictures = study / "pictures"
    file = pictures / "judgments_general.mat"
    words = ["rsa", pictures / "network.npy", "--judgments", file, "--resamples", "20"]
    done(*words, "--out", tmp_path / "rsa")
    assert "visus[rsa]" in page_of(tmp_path / "rsa")
    assert "rsatoolbox" not in json.loads((tmp_path / "rsa" / "scores.json").read_text())
