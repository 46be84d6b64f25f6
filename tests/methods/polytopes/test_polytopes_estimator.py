"""The classifier on a table: its cells against an independent geometry, no leaks, resume, refusals."""

from __future__ import annotations

import itertools
import os
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import linprog
from scipy.spatial import ConvexHull, HalfspaceIntersection

from visus.data.corpora.compas import load_compas
from visus.data.loader import Subset, Tensors
from visus.data.tables.source import RowTable
from visus.engine import Run
from visus.errors import InputError, Interrupted
from visus.methods.polytopes import Polytopes, PolytopesConfig
from visus.methods.polytopes.config import PRESETS, check
from visus.methods.polytopes.estimator.rows import held_out
from visus.records import override


def quiet(folder=None, **options):
    return Run(folder, progress=False, device="cpu", **options)


def fitted(source, run=None, **settings):
    config = PolytopesConfig(**{"hidden": (6, 5), "epochs": 3, "batch_size": 64, **settings})
    return Polytopes(config).fit(source, run or quiet())


def cloud(n=120, inputs=3, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(5, 3, (n, inputs)), columns=list("abcd"[:inputs]))
    frame["y"] = np.where(frame.iloc[:, 0] + frame.iloc[:, 1] > 10, "high", "low")
    return frame


def cell_of(model, x):
    """Facets, volume and vertices of the cell around x, by one linear program and qhull: {z : A z <= b}."""
    low, high = (np.array(end) for end in model.box_)
    rows = [np.vstack([np.eye(len(x)), -np.eye(len(x))])]
    bounds = [np.concatenate([high, -low])]
    slope, offset = np.eye(len(x)), np.zeros(len(x))
    for layer in model.model_.hidden:
        weight = layer.linear.weight.detach().double().numpy()
        bias = layer.linear.bias.detach().double().numpy()
        before = weight @ slope, weight @ offset + bias
        active = before[0] @ x + before[1] > 0
        sign = np.where(active, -1.0, 1.0)
        rows.append(sign[:, None] * before[0])
        bounds.append(-sign * before[1])
        branch = active[:, None] * before[0], active * before[1]
        slope = branch[0] + slope if layer.shortcut else branch[0]
        offset = branch[1] + offset if layer.shortcut else branch[1]
    a, b = np.vstack(rows), np.concatenate(bounds)
    norm = np.linalg.norm(a, axis=1)
    a, b, norm = a[norm > 0], b[norm > 0], norm[norm > 0]
    most = linprog(
        [*np.zeros(len(x)), -1.0],
        A_ub=np.c_[a, norm],
        b_ub=b,
        bounds=[(None, None)] * len(x) + [(0, None)],
    )
    corners = HalfspaceIntersection(np.c_[a, -b], most.x[:-1]).intersections
    touching = np.abs(corners @ a.T - b) < 1e-8
    sets = {frozenset(np.flatnonzero(column)) for column in touching.T if column.sum() >= len(x)}
    facets = [group for group in sets if not any(group < other for other in sets)]
    return len(facets), ConvexHull(corners).volume, len(np.unique(corners.round(8), axis=0))


@pytest.mark.parametrize(("inputs", "shortcuts"), [(2, False), (3, False), (3, True)])
def test_rows_get_the_cell_they_lie_in(inputs, shortcuts):
    source = RowTable(cloud(inputs=inputs), target="y")
    model = fitted(source, hidden=(6, 6), shortcuts=shortcuts)
    found = model.predict(source)
    values = model._values(source.features).double().numpy()
    for row in range(0, 24, 2):
        if not found["inside"][row]:
            continue
        facets, volume, vertices = cell_of(model, values[row])
        assert found["facets"][row] == facets
        assert found["volume"][row].item() == pytest.approx(volume, rel=1e-6)
        if inputs == 2:
            assert found["simplices"][row] == vertices - 2


def test_rows_outside_the_box_lie_in_no_cell():
    frame = cloud()
    model = fitted(RowTable(frame, target="y"), box=1.0)
    found = model.predict(RowTable(frame))
    values = model._values(frame)
    assert found["inside"].equal((values.abs() <= 1).all(1))
    assert 0 < found["inside"].sum() < len(frame)
    for name in ("facets", "simplices", "volume"):
        assert not found[name][~found["inside"]].any()
        assert (found[name][found["inside"]] > 0).all()
    assert model.complex_.volumes.sum().item() == pytest.approx(8.0)


def test_the_box_of_the_data():
    frame = cloud(inputs=2)
    model = fitted(RowTable(frame, target="y"), box=0.0)
    assert model.predict(RowTable(frame))["inside"].all()
    values = model._values(frame)
    assert np.allclose(model.box_, [values.amin(0), values.amax(0)])
    assert model.complex_.volumes.sum().item() == pytest.approx(
        float((values.amax(0) - values.amin(0)).prod())
    )


def test_statistics_come_from_the_training_rows_alone():
    frame = cloud(n=100)
    frame.loc[::7, "a"] = np.nan
    train, held = held_out(frame["y"].tolist(), None, 0.3, seed=0)
    frame.loc[held.tolist(), "b"] += 1000.0
    model = fitted(RowTable(frame, target="y"), validation=0.3)
    for name in "abc":
        learned = frame[name].iloc[train.tolist()].dropna()
        kept = model.table_.fitted_[name]
        assert kept["mean"] == pytest.approx(learned.mean())
        assert kept["std"] == pytest.approx(learned.std(ddof=0))
    median = (
        frame["a"].iloc[train.tolist()].median() - model.table_.fitted_["a"]["mean"]
    ) / model.table_.fitted_["a"]["std"]
    values = model._values(frame)
    assert values.shape == (100, 3)
    assert values[0, 0].item() == pytest.approx(median, rel=1e-5)


def test_groups_are_not_torn_apart_by_the_validation_split():
    frame = cloud(n=80).assign(person=[i // 4 for i in range(80)])
    source = RowTable(frame, target="y", group="person")
    train, held = held_out(source.targets, source.groups, 0.25, seed=3)
    assert not {source.groups[i] for i in train} & {source.groups[i] for i in held}
    assert fitted(source, validation=0.25).columns_ == ["a", "b", "c"]


def test_the_history_is_kept_and_scores_are_those_of_the_cells(tmp_path):
    source = RowTable(cloud(), target="y")
    model = fitted(source, census_epochs=(0, 2), epochs=4)
    assert [row["epoch"] for row in model.history_] == [0, 2, 4]
    assert sorted(model.tallies_) == [0, 2, 4]
    assert model.complex_.num_cells == model.history_[-1]["num_cells"]
    scores = model.evaluate(source)
    assert scores["num_cells"] == model.complex_.num_cells
    assert scores["mean_facets"] == pytest.approx(model.complex_.num_facets.double().mean().item())
    simple = model.complex_.num_simplices() <= 7
    assert scores["share_simple"] == pytest.approx(simple.double().mean().item())
    shares = model.complex_.volumes / model.complex_.volumes.sum()
    assert scores["share_simple_by_volume"] == pytest.approx(shares[simple].sum().item())
    assert scores["accuracy"] == pytest.approx(model.history_[-1]["accuracy"])
    model.save(tmp_path / "model")
    loaded = Polytopes.load(tmp_path / "model")
    assert loaded.history_ == model.history_
    assert loaded.tallies_[2].to_plain() == model.tallies_[2].to_plain()
    assert loaded.evaluate(source) == scores
    assert loaded.box_ == model.box_


class Stopping(Polytopes):
    """Asks for a stop after so many scored epochs, as Ctrl-C does."""

    left = 0

    def _accuracy(self, learned):
        type(self).left -= 1
        if type(self).left == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return super()._accuracy(learned)


@pytest.mark.parametrize("calls", [2, 4, 6])
def test_a_fit_that_was_stopped_ends_with_the_same_history(tmp_path, calls, monkeypatch):
    source = RowTable(cloud(), target="y")
    config = PolytopesConfig(
        hidden=(6, 5), epochs=6, batch_size=64, census_epochs=(0, 1, 3, 5), validation=0.2
    )
    whole = Polytopes(config).fit(source, quiet(tmp_path / "whole"))
    monkeypatch.setattr(Stopping, "left", calls)
    with pytest.raises(Interrupted):
        Stopping(config).fit(source, quiet(tmp_path / "run"))
    again = Polytopes(config).fit(source, quiet(tmp_path / "run"))
    assert [row["epoch"] for row in whole.history_] == [0, 1, 3, 5, 6]
    assert again.history_ == whole.history_
    assert again.census_.to_plain() == whole.census_.to_plain()
    assert (tmp_path / "run" / "census.json").read_bytes() == (
        tmp_path / "whole" / "census.json"
    ).read_bytes()
    for name, value in whole.model_.state_dict().items():
        assert value.equal(again.model_.state_dict()[name])


def test_too_many_cells_leave_a_classifier_without_geometry(tmp_path):
    source = RowTable(cloud(), target="y")
    model = fitted(source, max_cells=3)
    assert all(row["given_up"] == "more than 3 cells" for row in model.history_)
    found = model.predict(source)
    assert not found["volume"].any()
    assert found["inside"].any()
    assert set(model.evaluate(source)) == {"accuracy", "balanced_accuracy", "macro_f1", "loss"}
    model.save(tmp_path / "m")
    assert Polytopes.load(tmp_path / "m").history_ == model.history_


def test_it_learns_and_regularizers_do_what_they_say():
    source = Polytopes.example("train")
    strong = fitted(source, hidden=(16, 16), epochs=20, census_epochs=())
    assert strong.evaluate(Polytopes.example("test"))["accuracy"] > 0.9
    size = {
        name: sum(layer.weight.abs().sum().item() for layer in model.model_.linears())
        for name, model in {
            "plain": strong,
            "l1": fitted(source, hidden=(16, 16), epochs=20, census_epochs=(), l1=0.01),
            "decay": fitted(source, hidden=(16, 16), epochs=20, census_epochs=(), weight_decay=3.0),
        }.items()
    }
    assert size["l1"] < 0.7 * size["plain"]
    assert size["decay"] < 0.9 * size["plain"]


def test_classes_of_any_name_and_rows_of_any_source():
    frame = cloud().assign(y=lambda table: np.arange(len(table)) % 11)
    model = fitted(RowTable(frame, target="y"), columns=("c", "a"))
    assert model.classes_ == [str(i) for i in range(11)]
    assert model.columns_ == ["c", "a"]
    rows = [{"a": 1.0, "c": 2.0, "else": "x"}, {"c": None, "a": 4.0}]
    found = model.predict({"row": rows})
    assert len(found["name"]) == 2
    assert model.predict({"row": rows[1:]})["name"] == found["name"][1:]
    plain = Tensors(
        {"row": [{"a": i**1.5, "c": -(i**0.5)} for i in range(30)], "target": [i > 9 for i in range(30)]}
    )
    model = fitted(Subset(plain, range(5, 30)))
    assert model.classes_ == ["False", "True"]
    assert model.columns_ == ["a", "c"]


def test_refusals_name_the_file_and_the_line(tmp_path):
    frame = cloud()
    cases = {
        "5 numeric columns (a, b, c, e, f)": (frame.assign(e=frame["a"] ** 2, f=frame["b"] ** 2), {}),
        "1 numeric columns (a)": (frame[["a", "y"]], {}),
        "column zz: no such column": (frame, {"columns": ("a", "zz")}),
        "column s, line 2: 'odd' is not a number": (
            frame.assign(s=list(itertools.islice(itertools.cycle(["odd", "even"]), len(frame)))),
            {"columns": ("a", "s")},
        ),
        "column c: has one value throughout": (frame.assign(c=2.0), {"columns": ("a", "c")}),
        "one class only (low)": (frame.assign(y="low"), {}),
    }
    for words, (changed, settings) in cases.items():
        changed.to_csv(tmp_path / "t.csv", index=False)
        source = RowTable.from_csv(tmp_path / "t.csv", target="y")
        with pytest.raises(InputError) as caught:
            fitted(source, quiet(tmp_path / "run"), **settings)
        assert words in str(caught.value)
        assert "t.csv" in str(caught.value)
        assert not list((tmp_path / "run").iterdir())
    model = fitted(RowTable(frame, target="y"))
    with pytest.raises(InputError, match="column of the training table"):
        model.predict({"row": [{"a": 1.0, "b": 2.0}]})
    with pytest.raises(InputError, match=r"column b, line 3: 'x' is not a number"):
        model.predict({"row": [{"a": 1.0, "b": 2.0, "c": 0.0}, {"a": 1.0, "b": "x", "c": 0.0}]})
    with pytest.raises(InputError, match="target: is absent"):
        model.evaluate(Tensors({"row": [{"a": 1.0, "b": 2.0, "c": 0.0}]}))


@pytest.mark.parametrize(
    "setting",
    [
        *("hidden=[]", "hidden=[0]", "columns=[a]", "columns=[a,b,c,d,e]", "columns=[a,a]", "dropout=1.0"),
        *("l1=-1", "weight_decay=-.1", "epochs=0", "batch_size=0", "learning_rate=0", "validation=1.0"),
        *("box=-1", "census_epochs=[-1]", "max_cells=0", "bias=.inf"),
    ],
)
def test_settings_out_of_bounds(setting):
    with pytest.raises(InputError) as caught:
        check(override(PRESETS["demo"], [setting]))
    assert str(caught.value).startswith(setting.split("=")[0])
    for preset in PRESETS.values():
        check(preset)


def test_the_real_recidivism_table(extra_data):
    table = load_compas(extra_data("compas-scores-two-years.csv"))
    parts = table.split({"train": 0.7, "test": 0.3}, seed=0)
    model = fitted(parts["train"], hidden=(10, 6), epochs=3, batch_size=256)
    scores = model.evaluate(parts["test"])
    assert scores["accuracy"] > 0.62
    assert model.columns_ == ["age", "priors_count", "juv_misd_count"]
    assert model.predict(parts["test"])["inside"].double().mean() > 0.9
    assert torch.isfinite(model.predict(parts["test"])["volume"]).all()
