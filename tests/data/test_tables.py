"""Tables: what columns are taken for, and that every number comes from the training rows."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer

from visus.data.tables import ColumnWarning, Imputer, TablePreprocessor, infer_columns
from visus.errors import InputError


def clinical(n: int, seed: int) -> pd.DataFrame:
    """A table like a memory clinic's: correlated markers with gaps, censored text, categories."""
    rng = np.random.default_rng(seed)
    load = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "age": 70 + 8 * rng.normal(size=n),
            "sex": rng.choice(["F", "M"], size=n),
            "apoe4": rng.integers(0, 3, size=n).astype(float),
            "tau": 300 + 80 * load + 20 * rng.normal(size=n),
            "fdg": 1.2 - 0.1 * load + 0.03 * rng.normal(size=n),
            "smoker": rng.random(n) < 0.3,
        }
    )
    frame["abeta"] = [f">{1700}" if value > 1700 else f"{value:.1f}" for value in 1000 - 400 * load]
    for name, share in {"apoe4": 0.1, "tau": 0.4, "fdg": 0.3, "abeta": 0.4}.items():
        frame[name] = frame[name].astype(object if name == "abeta" else float).mask(rng.random(n) < share)
    frame["site"] = rng.choice(["north", "south", "east"], size=n)
    frame["site"] = frame["site"].mask(rng.random(n) < 0.1)
    return frame


KINDS = {
    "age": "continuous",
    "sex": "categorical",
    "apoe4": "continuous",
    "tau": "continuous",
    "fdg": "continuous",
    "smoker": "binary",
    "abeta": "continuous",
    "site": "categorical",
}


def test_a_clinical_table_is_understood_without_declarations():
    assert infer_columns(clinical(60, 0)) == KINDS


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2.5", "-3e2", None], "continuous"),
        (["<8.2", ">1700", "12", ""], "continuous"),
        ([1.0, float("inf"), 3.0, 4.0], "continuous"),
        (["1", "inf", "3", "4"], "continuous"),
        ([0, 1, 0, 1], "binary"),
        ([1.0, 2.0, None, 2.0], "binary"),
        (["yes", "No", "no", None], "categorical"),
        (["yes", "no", "no", None], "binary"),
        (["Y", "N", "N", "Y"], "binary"),
        ([True, None, False, True], "binary"),
        (["a", "b", "a", "c"], "categorical"),
        (["positive", None, None, "positive"], "categorical"),
        ([3.0, None, 3.0, 3.0], "categorical"),
        (["1", "2", "3a", "3b"], "categorical"),
    ],
)
def test_kinds_of_cells(cells, kind):
    if kind == "categorical" and cells[0] == "yes":  # two spellings of "no" are three categories, not a pair
        cells = ["yes", "No", "no", "maybe"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert infer_columns(pd.DataFrame({"x": cells})) == {"x": kind}


@pytest.mark.parametrize(
    ("name", "cells", "reason"),
    [
        ("x", [None] * 12, "no value"),
        ("x", ["inf", "", "nan"] * 4, "no value"),
        ("x", [7] * 12, "one value throughout"),
        ("x", ["same"] * 12, "one value throughout"),
        ("visit", [f"2021-03-{day:02d}" for day in range(1, 13)], "dates"),
        ("visit", [f"{day:02d}.03.2021 10:15" for day in range(1, 13)], "dates"),
        ("visit", pd.date_range("2021-03-01", periods=12), "dates"),
        ("patient_id", [4, 8, 15, 16, 23, 42] * 2, "identifier"),
        ("Subject", [f"s{i % 5}" for i in range(12)], "identifier"),
        ("x", list(range(100, 112)), "identifier: counts the rows"),
        ("x", [f"code {i}" for i in range(12)], "every text differs"),
        ("note", [f"text {i // 2}" for i in range(80)], "free text"),
    ],
)
def test_columns_that_cannot_describe_a_new_row_are_named_and_left_out(name, cells, reason):
    frame = pd.DataFrame({"age": np.linspace(1, 2, len(cells)) ** 2, name: cells})
    with pytest.warns(ColumnWarning, match=rf"{name} \({reason}"):
        assert infer_columns(frame)[name] == "ignore"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert infer_columns(frame, {name: "ignore"})[name] == "ignore"
        assert infer_columns(frame, {name: "categorical"})[name] == "categorical"


def test_a_stray_word_among_numbers_is_an_error_naming_the_cell():
    cells = [str(i**2) for i in range(30)]
    cells[4] = "see note"
    with pytest.raises(InputError, match=r"dose, row 5: 'see note' is not a number"):
        infer_columns(pd.DataFrame({"dose": cells}))


def test_bad_declarations():
    frame = pd.DataFrame({"a": [1.0, 2.5]})
    with pytest.raises(InputError, match="b: is declared"):
        infer_columns(frame, {"b": "continuous"})
    with pytest.raises(InputError, match="unknown kind 'number'"):
        infer_columns(frame, {"a": "number"})
    with pytest.raises(InputError, match="more than once"):
        infer_columns(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(InputError, match="is not text"):
        infer_columns(pd.DataFrame([[1, 2]]))


def test_statistics_are_those_of_the_training_rows():
    train, test = clinical(120, 1), clinical(50, 2)
    tau, age = train["tau"].to_numpy(), train["age"].to_numpy()
    prepared = TablePreprocessor(KINDS, max_iter=5).fit(train)
    rows = prepared.transform(test)
    names = prepared.names
    seen = test["tau"].notna().to_numpy()
    expected = (test["tau"].to_numpy()[seen] - np.nanmean(tau)) / np.nanstd(tau)
    np.testing.assert_allclose(rows[seen, names.index("tau")], expected, rtol=1e-5)
    np.testing.assert_allclose(rows[:, names.index("age")], (test["age"] - age.mean()) / age.std(), rtol=1e-5)
    # the same table beside other test rows, and after looking at them, gives the same numbers
    np.testing.assert_array_equal(prepared.transform(test.iloc[:7]), rows[:7])
    np.testing.assert_array_equal(prepared.transform(test.iloc[::-1])[::-1], rows)


def test_layout_one_hot_and_indicators():
    train = clinical(120, 1)
    prepared = TablePreprocessor(KINDS, max_iter=5).fit(train)
    rows, names = prepared.transform(train), prepared.names
    assert names == [
        *("age", "sex=F", "sex=M", "apoe4", "tau", "fdg", "smoker", "abeta"),
        *("site=east", "site=north", "site=south", "site=missing"),
        *("apoe4:missing", "tau:missing", "fdg:missing", "abeta:missing"),
    ]
    assert rows.shape == (120, len(names))
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    for name in ("apoe4", "tau", "fdg", "abeta"):
        np.testing.assert_array_equal(rows[:, names.index(f"{name}:missing")], train[name].isna())
    np.testing.assert_array_equal(rows[:, names.index("site=missing")], train["site"].isna())
    np.testing.assert_array_equal(rows[:, names.index("site=east")], train["site"] == "east")
    np.testing.assert_array_equal(rows[:, names.index("smoker")], train["smoker"])
    np.testing.assert_array_equal(
        rows[:, [names.index(f"site={v}") for v in ("east", "north", "south", "missing")]].sum(1), 1
    )


def scaled(frame: pd.DataFrame, train: pd.DataFrame) -> np.ndarray:
    """The numbers before imputation, written out once more."""

    def number(cell):
        return np.nan if pd.isna(cell) else float(str(cell).lstrip("<>"))

    blocks = []
    for name, kind in KINDS.items():
        if kind == "continuous":
            known = np.array([number(cell) for cell in train[name]])
            blocks.append(
                (np.array([number(cell) for cell in frame[name]]) - np.nanmean(known)) / np.nanstd(known)
            )
        elif kind == "binary":
            blocks.append(frame[name].to_numpy(dtype=float))
        else:
            blocks += [
                (frame[name] == value).to_numpy(dtype=float)
                for value in sorted(train[name].dropna().unique())
            ]
            blocks += [frame[name].isna().to_numpy(dtype=float)] if train[name].isna().any() else []
    return np.column_stack(blocks)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_imputation_equals_scikit_learn_on_new_rows():
    train, test = clinical(150, 3), clinical(80, 4)
    known = scaled(train, train)
    binary = [set(np.unique(column)) <= {0.0, 1.0} for column in known.T]
    low = np.where(binary, 0.0, np.nanmin(known, axis=0))
    high = np.where(binary, 1.0, np.nanmax(known, axis=0))
    oracle = IterativeImputer(
        max_iter=20, initial_strategy="median", random_state=0, min_value=low, max_value=high
    ).fit(known)
    prepared = TablePreprocessor(KINDS, max_iter=20).fit(train)
    expected = oracle.transform(scaled(test, train))
    rows = prepared.transform(test)[:, : expected.shape[1]]
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-6)
    medians = TablePreprocessor(KINDS, imputer="median").fit(train).transform(test)[:, : expected.shape[1]]
    assert np.abs(medians - expected).max() > 0.5, (
        "regressions should differ from medians on correlated columns"
    )


def test_exported_regressions_equal_scikit_learn_to_rounding():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6))
    values[rng.random(values.shape) < 0.3] = np.nan
    train, test = values[:120], values[120:]
    low, high = np.nanmin(train, axis=0), np.nanmax(train, axis=0)
    oracle = IterativeImputer(
        max_iter=200, initial_strategy="median", random_state=0, min_value=low, max_value=high
    ).fit(train)
    ours = Imputer().fit(train, (low, high))
    np.testing.assert_allclose(ours.transform(test), oracle.transform(test), rtol=0, atol=1e-10)
    np.testing.assert_array_equal(ours.transform(test)[~np.isnan(test)], test[~np.isnan(test)])
    restored = Imputer.from_state(json.loads(json.dumps(ours.to_state())))
    np.testing.assert_array_equal(restored.transform(test), ours.transform(test))


def test_regressions_recover_a_linear_relation_that_medians_miss():
    rng = np.random.default_rng(1)
    a = rng.normal(size=300)
    frame = pd.DataFrame({"a": a, "b": 3 * a + 0.01 * rng.normal(size=300)})
    frame.loc[::3, "b"] = np.nan
    fitted = TablePreprocessor({"a": "continuous", "b": "continuous"}).fit(frame)
    rows = fitted.transform(pd.DataFrame({"a": [-1.0, 0.5], "b": [np.nan, np.nan]}))
    kept = frame["b"].dropna()
    np.testing.assert_allclose(rows[:, 1] * kept.std(ddof=0) + kept.mean(), [-3.0, 1.5], atol=0.05)


def test_a_row_without_any_value_is_finite_alone_and_among_others():
    train = clinical(80, 5)
    prepared = TablePreprocessor(KINDS, max_iter=5).fit(train)
    empty = pd.DataFrame({name: [None] for name in KINDS})
    alone = prepared.transform(empty)
    assert np.isfinite(alone).all()
    together = prepared.transform(pd.concat([train.iloc[:3].astype(object), empty]))
    np.testing.assert_array_equal(together[3], alone[0])
    for name in ("sex=F", "sex=M"):  # sex was never missing in training
        assert alone[0, prepared.names.index(name)] == 0
    assert alone[0, prepared.names.index("site=missing")] == 1


def test_unseen_categories():
    train = pd.DataFrame({"site": ["a", "b", "a"], "x": [1.0, 2.0, 4.0]})
    kinds = {"site": "categorical", "x": "continuous"}
    new = pd.DataFrame({"site": ["z", "a", None], "x": [1.0, 1.0, 1.0]})
    plain = TablePreprocessor(kinds).fit(train)
    assert plain.transform(new)[:, :2].tolist() == [[0, 0], [1, 0], [0, 0]]
    flagged = TablePreprocessor(kinds, unknown_column=True).fit(train)
    assert flagged.names[:3] == ["site=a", "site=b", "site=unknown"]
    assert flagged.transform(new)[:, :3].tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]


def test_one_category_whatever_its_spelling_as_a_number():
    train = pd.DataFrame({"stage": [1, 2, 3]})
    fitted = TablePreprocessor({"stage": "categorical"}).fit(train)
    assert fitted.names == ["stage=1", "stage=2", "stage=3"]
    for cells in ([2, 3], [2.0, 3.0], ["2", "3.0"]):
        assert fitted.transform(pd.DataFrame({"stage": cells})).argmax(1).tolist() == [1, 2]


def test_binary_codes():
    fitted = TablePreprocessor({"x": "binary"}).fit(pd.DataFrame({"x": [2, 1, 2]}))
    assert fitted.transform(pd.DataFrame({"x": [1.0, 2.0]})).tolist() == [[0], [1]]
    assert np.isfinite(fitted.transform(pd.DataFrame({"x": [9]}))).all()
    only_yes = TablePreprocessor({"x": "binary"}).fit(pd.DataFrame({"x": ["Yes", "Yes"]}))
    assert only_yes.transform(pd.DataFrame({"x": ["Yes", "No"]})).tolist() == [[1], [0]]
    with pytest.raises(InputError, match="declared binary but has 3 values"):
        TablePreprocessor({"x": "binary"}).fit(pd.DataFrame({"x": ["a", "b", "c"]}))


def test_columns_empty_or_constant_in_training_stay_finite():
    train = pd.DataFrame({"a": [1.0, 2.0, 4.0], "empty": [None] * 3, "same": [0.1 + 0.2] * 3})
    fitted = TablePreprocessor(dict.fromkeys(train.columns, "continuous")).fit(train)
    assert fitted.names == ["a", "empty", "same"]
    rows = fitted.transform(pd.DataFrame({"a": [None, 1.0], "empty": [5.0, None], "same": [None, 1e6]}))
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(rows[:, 1:], 0, atol=2e-6)
    gaps = TablePreprocessor({"same": "continuous"}).fit(pd.DataFrame({"same": [3.0, None, 3.0]}))
    assert gaps.names == ["same", "same:missing"]
    assert gaps.transform(pd.DataFrame({"same": [None, 4.0]})).tolist() == [[0, 1], [0, 0]]


@pytest.mark.parametrize("imputer", ["iterative", "median"])
def test_state_survives_json(imputer):
    train, test = clinical(60, 6), clinical(20, 7)
    fitted = TablePreprocessor(KINDS, imputer=imputer, max_iter=5, unknown_column=True).fit(train)
    text = json.dumps(fitted.to_state(), allow_nan=False)
    restored = TablePreprocessor.from_state(json.loads(text))
    assert restored.names == fitted.names
    np.testing.assert_array_equal(restored.transform(test), fitted.transform(test))
    assert restored.to_state() == fitted.to_state()


def test_rows_of_a_batch_as_dicts():
    train = clinical(40, 8)
    fitted = TablePreprocessor(KINDS, max_iter=5).fit(train)
    dicts = [{k: None if pd.isna(v) else v for k, v in row.items()} for row in train.to_dict("records")]
    np.testing.assert_array_equal(fitted.transform(dicts), fitted.transform(train))


def test_bad_tables_at_prediction():
    train = clinical(40, 9)
    fitted = TablePreprocessor(KINDS, max_iter=5).fit(train)
    extra = train.assign(note="x")[["note", *reversed(list(KINDS))]]
    np.testing.assert_array_equal(fitted.transform(extra), fitted.transform(train))
    with pytest.raises(InputError, match="fdg: the table lacks this column"):
        fitted.transform(train.drop(columns="fdg"))
    wrong = train.astype({"age": object})
    wrong.iloc[2, wrong.columns.get_loc("age")] = "old"
    with pytest.raises(InputError, match="age, row 3: 'old' is not a number"):
        fitted.transform(wrong)
    with pytest.raises(InputError, match="no rows"):
        TablePreprocessor(KINDS, max_iter=5).fit(train.iloc[:0])
    assert fitted.transform(train.iloc[:0]).shape == (0, len(fitted.names))
    with pytest.raises(InputError, match="unknown imputer"):
        TablePreprocessor(KINDS, imputer="mean")


def test_kinds_are_inferred_when_not_given():
    train = clinical(60, 10)
    assert (
        TablePreprocessor(max_iter=5).fit(train).names
        == TablePreprocessor(KINDS, max_iter=5).fit(train).names
    )


@pytest.mark.parametrize("n", [1, 2])
def test_very_few_rows(n):
    train = clinical(30, 11).iloc[:n]
    fitted = TablePreprocessor(KINDS, max_iter=5).fit(train)
    assert np.isfinite(fitted.transform(clinical(5, 12))).all()
