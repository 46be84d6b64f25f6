"""The commands on real files: pictures and volumes, gaps, folds, refusals, resume."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from visus.cli import main
from visus.data.formats import write_image
from visus.engine import Run
from visus.errors import InputError
from visus.methods.hyperfusion import Ensemble, HyperFusion, explain
from visus.methods.hyperfusion.verbs import VERBS, _moved, _plain_notes, example

TINY = ["--preset", "smoke", "--set", "epochs=1", "width=2", "blocks=2"]


@pytest.fixture
def clinic(tmp_path):
    """Volumes in three formats beside a table with gaps and semicolons."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(30):
        name = f"scans/{i}.{('nii.gz', 'npy')[i % 2]}"
        (tmp_path / "scans").mkdir(exist_ok=True)
        write_image(tmp_path / name, rng.random((1, 8, 9, 7)).astype(np.float32))
        rows.append(
            {"scan": name, "age": f"{50 + i},5", "tau": "<8" if i % 5 == 0 else i, "who": f"p{i // 2}"}
        )
        rows[-1]["sex"] = ["F", "M", ""][i % 3]
        rows[-1]["dx"] = ["CN", "AD"][i % 4 // 2]
    table = tmp_path / "clinic.csv"
    pd.DataFrame(rows).to_csv(table, sep=";", index=False)
    return table


def run(*words):
    return main(["hyperfusion", *map(str, words)])


def fit_words(clinic, out, *more):
    kinds = ["age=continuous", "tau=continuous", "sex=categorical"]
    return [
        "fit",
        "--table",
        clinic,
        "--image-column",
        "scan",
        "--target",
        "dx",
        "--group",
        "who",
        "--out",
        out,
        "--columns",
        *kinds,
        *TINY,
        *more,
    ]


def test_example_writes_real_files_and_commands_that_name_them(tmp_path, capsys):
    commands = example(out=tmp_path)
    printed = capsys.readouterr().out.splitlines()
    assert printed == [" ".join(command) for command in commands]
    assert [command[2] for command in commands] == ["fit", "predict", "evaluate", "explain"]
    table = pd.read_csv(tmp_path / "train.csv")
    assert len(table) == 400
    assert table["key"].isna().mean() == pytest.approx(0.1)
    assert (tmp_path / table["image"][0]).exists()


def test_volumes_with_gaps_from_fit_to_explanation(clinic, tmp_path, capsys):
    out = tmp_path / "run"
    assert run(*fit_words(clinic, out)) == 0
    assert run("predict", "--model", out, "--table", clinic, "--out", tmp_path / "p.csv") == 0
    predictions = pd.read_csv(tmp_path / "p.csv")
    assert list(predictions) == ["scan", "prediction", "probability=AD", "probability=CN"]
    assert len(predictions) == 30
    np.testing.assert_allclose(predictions.filter(like="probability").sum(axis=1), 1, atol=1e-5)
    assert run("evaluate", "--model", out, "--table", clinic, "--out", tmp_path / "s.json") == 0
    scores = json.loads((tmp_path / "s.json").read_text())
    assert {"balanced_accuracy", "auc_low", "macro_f1_high"} <= set(scores)
    assert run("explain", "--model", out, "--table", clinic, "--out", tmp_path / "e.png", "--items", 5) == 0
    assert (tmp_path / "e.png").stat().st_size > 1000
    plain = json.loads((tmp_path / "e.json").read_text())
    assert {row["column"] for row in plain} == {"age", "tau", "sex"}
    assert "figure" in capsys.readouterr().out


def test_a_table_to_predict_needs_no_target(clinic, tmp_path):
    assert run(*fit_words(clinic, tmp_path / "run")) == 0
    pd.read_csv(clinic, sep=";", decimal=",").drop(columns=["dx", "who"]).to_csv(
        tmp_path / "new.csv", index=False
    )
    words = ["--model", tmp_path / "run", "--table", tmp_path / "new.csv", "--out", tmp_path / "p.csv"]
    assert run("predict", *words) == 0
    assert len(pd.read_csv(tmp_path / "p.csv")) == 30


def test_folds_write_held_out_predictions_and_an_ensemble(clinic, tmp_path, capsys):
    out = tmp_path / "run"
    assert run(*fit_words(clinic, out, "--folds", 2, "--mode", "mean")) == 0
    held = pd.read_csv(out / "held_out.csv")
    assert list(held["scan"]) == list(pd.read_csv(clinic, sep=";")["scan"])
    scores = json.loads((out / "scores.json").read_text())
    assert len(scores["folds"]) == 2
    said = float((held["prediction"] == pd.read_csv(clinic, sep=";")["dx"]).mean())
    assert scores["held_out"]["accuracy"] == pytest.approx(said)
    assert json.loads((out / "model" / "ensemble.json").read_text())["mode"] == "mean"
    assert run("evaluate", "--model", out, "--table", clinic) == 0


def test_running_again_resumes_and_other_settings_are_refused(clinic, tmp_path, capsys):
    out = tmp_path / "run"
    assert run(*fit_words(clinic, out)) == 0
    first = (out / "model" / "model.safetensors").read_bytes()
    assert run(*fit_words(clinic, out)) == 0
    assert (out / "model" / "model.safetensors").read_bytes() == first
    assert run(*fit_words(clinic, out, "--fusion", "film")) == 2
    assert "other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--target", "diagnosis"], "diagnosis"),
        (["--columns", "age"], "name=kind"),
        (["--columns", "weight=continuous"], "no such column"),
        (["--columns", "age=number"], "columns"),
        (["--set", "epoch=3"], "epoch"),
    ],
)
def test_wrong_words_end_with_the_field_and_leave_nothing(clinic, tmp_path, capsys, change, words):
    line = fit_words(clinic, tmp_path / "run")
    if change[0] in line:
        at = line.index(change[0])
        line = (
            [*line[:at], *line[at + 2 if change[0] == "--target" else at + 4 :]]
            if change[0] != "--set"
            else line
        )
    assert run(*line, *change) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run" / "model").exists()


def test_missing_models_and_figures_of_unknown_kind_are_refused(clinic, tmp_path):
    with pytest.raises(InputError, match=r"config\.json: does not exist"):
        VERBS["predict"](model=tmp_path, table=clinic, out=tmp_path / "p.csv")
    with pytest.raises(InputError, match="not a kind of figure"):
        VERBS["explain"](model=tmp_path, table=clinic, out=tmp_path / "e.docx")


def test_explanation_equals_predictions_with_the_column_replaced():
    data = HyperFusion.example("test").subset(range(12))
    model = HyperFusion(HyperFusion.preset("smoke")).fit(HyperFusion.example("train"))
    (response,) = explain(model, data)
    assert response.column == "key"
    assert response.values == ["0", "1"]
    batch = data.batch(range(12))
    for value, curve in zip((0, 1), response.curves):
        wanted = model.predict({"image": batch["image"], "row": [{"key": value}] * 12})["probabilities"]
        torch.testing.assert_close(curve, wanted)
    assert response.effect == pytest.approx(float((response.mean[1] - response.mean[0]).abs().max()))
    with pytest.raises(InputError, match="not a column"):
        explain(model, data, columns=["lock"])
    for wrong in ({"points": 1}, {"items": 0}, {"seed": -1}):
        with pytest.raises(InputError, match=f"{next(iter(wrong))}: .* or more"):
            explain(model, data, **wrong)
    with pytest.raises(InputError, match="seed: -1"):
        model.evaluate(data, seed=-1)
    blind = HyperFusion(HyperFusion.preset("smoke").__class__(fusion="image", width=2, blocks=2, epochs=1))
    with pytest.raises(InputError, match="does not read the table"):
        explain(blind.fit(HyperFusion.example("train")), data)


def test_device_precision_and_event_files(clinic, tmp_path, capsys):
    out = tmp_path / "run"
    words = ["--device", "cpu", "--precision", "bf16", "--tensorboard"]
    assert run(*fit_words(clinic, out, *words)) == 0
    assert list(out.rglob("events.out.tfevents*"))
    assert json.loads((out / "run.json").read_text())["settings"]["precision"] == "bf16"
    assert "preset gpu" not in capsys.readouterr().out
    for verb, rest in (
        ("predict", ["--out", tmp_path / "p.csv"]),
        ("evaluate", []),
        ("explain", ["--out", tmp_path / "e.svg", "--items", 2, "--points", 2]),
    ):
        line = [verb, "--model", out, "--table", clinic, *rest, "--device"]
        assert run(*line, "cpu") == 0
        assert run(*line, "cuda:99") == 2
        assert "is not available" in capsys.readouterr().err


def test_every_member_of_an_ensemble_is_moved():
    data = HyperFusion.example("train").subset(range(40))
    config = HyperFusion.preset("smoke").__class__(width=2, blocks=2, epochs=1, stem_pool=False)
    members = [HyperFusion(config).fit(data, Run(progress=False, seed=seed)) for seed in range(2)]
    _moved(Ensemble(members), torch.device("meta"))
    assert all(weight.is_meta for member in members for weight in member.parts()["net"].parameters())


def test_the_default_preset_on_a_cpu_is_said(clinic, tmp_path, capsys):
    line = fit_words(clinic, tmp_path / "run", "--device", "cpu")
    line[line.index("smoke")] = "gpu"
    line.insert(line.index("epochs=1"), "stem_pool=false")
    assert run(*line) == 0
    assert "preset gpu on the CPU; --preset demo is quicker" in capsys.readouterr().out


@pytest.mark.parametrize("folds", [[], ["--folds", 2]])
def test_columns_left_out_are_said_once_in_plain_words(clinic, tmp_path, capsys, folds):
    frame = pd.read_csv(clinic, sep=";")
    frame.assign(note=[f"free text {i}" for i in range(len(frame))]).to_csv(clinic, sep=";", index=False)
    assert run(*fit_words(clinic, tmp_path / "run", *folds)) == 0
    said = capsys.readouterr()
    assert said.out.count("note: columns left out: ") == 1
    assert "ColumnWarning" not in said.out + said.err


def test_other_warnings_and_other_processes_are_left_alone(capsys):
    from visus.data.tables import ColumnWarning

    with warnings.catch_warnings(record=True) as passed:
        warnings.simplefilter("always")
        with _plain_notes(False):
            warnings.warn("columns left out", ColumnWarning, stacklevel=1)
            warnings.warn("something else", stacklevel=1)
    assert [str(warning.message) for warning in passed] == ["something else"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("folds", [0, 2])
def test_only_the_main_process_writes_the_model(clinic, tmp_path, monkeypatch, folds):
    monkeypatch.setattr(Run, "is_main", property(lambda self: False))
    # other processes write no checkpoint to choose an epoch from
    sizes = ["epochs=1", "width=2", "blocks=2", "validation=0"]
    kinds = ["age=continuous", "tau=continuous", "sex=categorical"]
    out = tmp_path / "run"
    where = {"table": clinic, "image_column": "scan", "target": "dx", "columns": kinds, "out": out}
    VERBS["fit"](**where, preset="smoke", set=sizes, folds=folds)
    assert not (out / "model").exists()
    assert not (out / "layout.json").exists()


def test_a_layout_that_is_no_object_is_refused(clinic, tmp_path):
    assert run(*fit_words(clinic, tmp_path / "run")) == 0
    (tmp_path / "run" / "layout.json").write_text("[1]")
    with pytest.raises(InputError, match=r"layout\.json: is not a JSON object"):
        VERBS["evaluate"](model=tmp_path / "run", table=clinic)


def test_settings_out_of_bounds_leave_no_folder(clinic, tmp_path, capsys):
    line = fit_words(clinic, tmp_path / "run")
    line[line.index("epochs=1")] = "epochs=0"
    assert run(*line) == 2
    assert "epochs: 0 is not 1 or more" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
