"""The commands on real files: pictures and volumes, gaps, folds, refusals, resume."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from visus.cli import main
from visus.data.formats import write_image
from visus.errors import InputError
from visus.methods.hyperfusion import HyperFusion, explain
from visus.methods.hyperfusion.verbs import VERBS, example

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
    blind = HyperFusion(HyperFusion.preset("smoke").__class__(fusion="image", width=2, blocks=2, epochs=1))
    with pytest.raises(InputError, match="does not read the table"):
        explain(blind.fit(HyperFusion.example("train")), data)
