"""The commands on files, as a person uses them."""

from __future__ import annotations

import itertools
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from visus.cli import main
from visus.data.corpora.compas import write_compas
from visus.data.formats import write_image
from visus.data.formats.weights import write_network
from visus.methods.polytopes import Complex, Polytopes, Slice, Tally, census
from visus.methods.polytopes.verbs import VERBS


def network(*widths, seed=0):
    torch.manual_seed(seed)
    layers = [part for a, b in itertools.pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def done(*words):
    assert main(["polytopes", *map(str, words)]) == 0


def refused(capsys, *words):
    capsys.readouterr()
    assert main(["polytopes", *map(str, words)]) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "What to do:" in message
    return message


@pytest.fixture
def flat(tmp_path):
    model = network(2, 8, 6, 2)
    write_network(tmp_path / "flat.safetensors", model)
    return tmp_path / "flat.safetensors", model


@pytest.fixture
def solid(tmp_path):
    model = network(3, 6, 5, 1)
    write_network(tmp_path / "solid.safetensors", model)
    return tmp_path / "solid.safetensors", model


def test_a_census_leaves_tables_pictures_a_page_and_the_complex(solid, tmp_path, capsys):
    path, model = solid
    out = tmp_path / "deep" / "out"
    done("census", path, "--box", "-1", "2", "--out", out)
    assert {file.name for file in out.iterdir()} == {
        *("cells.csv", "summary.json", "complex.safetensors", "cells.svg", "histograms.svg", "report.html"),
    }
    cells = census(model, (-1, 2))
    said = capsys.readouterr().out
    assert f"{cells.num_cells:,} cells fill a volume of 27" in said
    table = pd.read_csv(out / "cells.csv")
    assert len(table) == cells.num_cells
    assert table["volume"].sum() == pytest.approx(27)
    assert table["facets"].tolist() == cells.num_facets.tolist()
    assert table["simplices"].tolist() == cells.num_simplices().tolist()
    assert np.allclose(table[["center_1", "center_2", "center_3"]], cells.centroids)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["f_vector"] == list(cells.f_vector)
    assert summary["box"] == [[-1.0] * 3, [2.0] * 3]
    assert summary["num_facets_mean"] == pytest.approx(cells.num_facets.double().mean().item())
    assert Tally.from_plain(summary["tally"]).num_cells == cells.num_cells
    assert Complex.load(out / "complex.safetensors").num_cells == cells.num_cells
    page = (out / "report.html").read_text()
    assert page.count("<svg") == 2
    assert not re.search(r"(src|href)=.(?!#)|@import|<script", page)  # nothing is fetched, nothing runs
    for name in ("cells.svg", "histograms.svg"):
        ElementTree.parse(out / name)


def test_boxes_rules_and_the_stream(flat, solid, tmp_path):
    path, model = flat
    done("census", path, "--box", "-1", "1", "0", "3", "--out", tmp_path / "a")
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert summary["box"] == [[-1.0, 0.0], [1.0, 3.0]]
    assert summary["num_cells"] == census(model, ([-1, 0], [1, 3])).num_cells
    path, model = solid
    exact = census(model)
    for rule in ("pull", "delaunay"):
        done("census", path, "--rule", rule, "--mode", "stream", "--out", tmp_path / rule)
        summary = json.loads((tmp_path / rule / "summary.json").read_text())
        assert summary["tally"]["rule"] == rule
        mean = exact.num_simplices(rule).double().mean().item()
        assert summary["num_simplices_mean"] == pytest.approx(mean)
        assert not (tmp_path / rule / "cells.csv").exists()


def test_a_sample_says_that_it_is_one(solid, tmp_path, capsys):
    path, model = solid
    done("census", path, "--mode", "sample", "--samples", "300", "--seed", "4", "--out", tmp_path / "s")
    said = capsys.readouterr().out
    assert "This is no census" in said
    summary = json.loads((tmp_path / "s" / "summary.json").read_text())
    assert summary["biased"] is True
    assert 0 < summary["cells_found"] < census(model).num_cells
    assert "no census" in (tmp_path / "s" / "report.html").read_text()
    assert {file.name for file in (tmp_path / "s").iterdir()} == {"summary.json", "report.html"}


def test_slices_through_arrays_tables_and_pictures(tmp_path):
    rng = np.random.default_rng(0)
    wide = network(9, 12, 8, 3)
    write_network(tmp_path / "wide.safetensors", wide)
    four = rng.normal(size=(4, 9))
    np.save(tmp_path / "four.npy", four)
    done("slice", tmp_path / "wide.safetensors", "--points", tmp_path / "four.npy", "--out", tmp_path / "a")
    flat = Slice(torch.from_numpy(four))
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert summary["num_cells"] == census(wide, slice=flat).num_cells
    assert np.allclose(summary["points"], flat.points)
    pd.DataFrame(four[:3]).to_csv(tmp_path / "three.csv", index=False)
    words = ["--points", tmp_path / "three.csv", "--margin", "0.5", "--out", tmp_path / "b"]
    done("slice", tmp_path / "wide.safetensors", *words)
    plane = Slice(torch.from_numpy(four[:3]), margin=0.5)
    summary = json.loads((tmp_path / "b" / "summary.json").read_text())
    assert np.allclose(summary["box"], plane.box)
    assert summary["volume"] == pytest.approx(np.prod(np.subtract(plane.box[1], plane.box[0])))
    torch.manual_seed(0)
    pictures = [tmp_path / f"{i}.png" for i in range(3)]
    for picture in pictures:
        write_image(picture, rng.random((1, 6, 5)).astype(np.float32))
    network_of_pictures = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 4))
    write_network(tmp_path / "conv.safetensors", network_of_pictures)
    done("slice", tmp_path / "conv.safetensors", "--points", *pictures, "--out", tmp_path / "c")
    assert json.loads((tmp_path / "c" / "summary.json").read_text())["num_cells"] > 3


def test_other_files_of_weights(tmp_path):
    onnx = pytest.importorskip("onnx")
    model = network(3, 4, 4, 1)
    wanted = census(model).num_cells
    arrays = {
        f"{name}{i}": tensor.detach().numpy()
        for i, layer in enumerate(model[::2])
        for name, tensor in (("W", layer.weight), ("b", layer.bias))
    }
    np.savez(tmp_path / "list.npz", **arrays)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    nodes, names = [], iter("abcdefgh")
    last = "x"
    for i in range(3):
        here = next(names)
        nodes.append(onnx.helper.make_node("Gemm", [last, f"W{i}", f"b{i}"], [here], transB=1))
        last = here
        if i < 2:
            last = next(names)
            nodes.append(onnx.helper.make_node("Relu", [here], [last], name=f"act{i}"))
    info = onnx.helper.make_tensor_value_info
    weights = [onnx.numpy_helper.from_array(value, name) for name, value in arrays.items()]
    graph = onnx.helper.make_graph(nodes, "g", [info("x", 1, (1, 3))], [info(last, 1, (1, 1))], weights)
    onnx.save(onnx.helper.make_model(graph), tmp_path / "net.onnx")
    for name in ("list.npz", "state.pt", "net.onnx"):
        done("census", tmp_path / name, "--out", tmp_path / name.split(".")[0])
        found = json.loads((tmp_path / name.split(".")[0] / "summary.json").read_text())
        assert found["num_cells"] == wanted, name


def test_smooth_and_unknown_onnx_operators_are_refused_by_name(tmp_path, capsys):
    onnx = pytest.importorskip("onnx")
    info = onnx.helper.make_tensor_value_info
    for kind, words in (
        ("Sigmoid", ["net.onnx", "sigmoid", "smooth", "0_bend"]),
        ("Erf", ["net.onnx", "node bend (Erf)", "not known"]),
    ):
        node = onnx.helper.make_node(kind, ["x"], ["y"], name="bend")
        graph = onnx.helper.make_graph([node], "g", [info("x", 1, (1, 2))], [info("y", 1, (1, 2))])
        onnx.save(onnx.helper.make_model(graph), tmp_path / "net.onnx")
        message = refused(capsys, "census", tmp_path / "net.onnx", "--out", tmp_path / "out")
        assert all(word in message for word in words)
        assert not (tmp_path / "out").exists()


def test_a_stopped_census_leaves_nothing(flat, tmp_path, capsys, monkeypatch):
    from visus.methods.polytopes.verbs import pages

    def stop(self, found, expected):
        raise KeyboardInterrupt

    monkeypatch.setattr(pages.Watch, "__call__", stop)
    assert main(["polytopes", "census", str(flat[0]), "--out", str(tmp_path / "out")]) == 130
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    done("census", flat[0], "--out", tmp_path / "out")
    assert (tmp_path / "out" / "report.html").exists()


def test_progress_tells_how_long_it_takes(monkeypatch, capsys):
    from visus.methods.polytopes.verbs import pages

    times = iter([0.0, 1.0, 10.0, 10.0])
    monkeypatch.setattr(pages.time, "monotonic", lambda: next(times))
    with pages.Watch() as watch:
        watch(10, 1000)
        watch(250, 1000)
    told = capsys.readouterr().err
    assert "250 cells of about 1,000, about 30 s left" in told
    assert "10 cells" not in told


def test_the_classifier_from_table_to_pictures(tmp_path, capsys):
    commands = VERBS["example"](out=tmp_path / "files", seed=1)
    assert VERBS["train"] is VERBS["fit"]
    files, run = tmp_path / "files", tmp_path / "run"
    flags = ["--target", "region", "--preset", "smoke", "--device", "cpu", "--out", run]
    done("train", files / "train.csv", *flags)
    said = capsys.readouterr().out
    assert "learned region from x, y of 400 rows" in said
    assert "cells" in said
    made = Polytopes.load(run / "model")
    page = (run / "report.html").read_text()
    for name in ("history", "histograms", "histograms_by_volume", "bounds"):
        ElementTree.parse(run / f"{name}.svg")
    assert page.count("<svg") == 4
    for row in made.history_:
        shown = (row["epoch"], f"{row['accuracy']:.3f}", f"{int(row['num_cells']):,}")
        assert "".join(f"<td>{cell}</td>" for cell in shown) in page
    done("evaluate", files / "test.csv", "--model", run, "--out", tmp_path / "s.json")
    scores = json.loads((tmp_path / "s.json").read_text())
    assert scores["num_cells"] == made.history_[-1]["num_cells"]
    done("evaluate", files / "test.csv", "--model", run / "model")
    done("predict", files / "test.csv", "--model", run, "--out", tmp_path / "p.csv")
    table = pd.read_csv(tmp_path / "p.csv")
    assert list(table) == [
        *(
            "x",
            "y",
            "prediction",
            "probability=in",
            "probability=out",
            "facets",
            "simplices",
            "volume",
            "inside",
        ),
    ]
    truth = pd.read_csv(files / "test.csv")["region"]
    assert (table["prediction"] == truth).mean() == pytest.approx(scores["accuracy"])
    assert np.allclose(table["probability=in"] + table["probability=out"], 1, atol=1e-6)
    done("census", run, "--out", tmp_path / "cells")
    summary = json.loads((tmp_path / "cells" / "summary.json").read_text())
    assert summary["num_cells"] == scores["num_cells"]
    assert summary["box"] == [[-3.0, -3.0], [3.0, 3.0]]
    assert len(commands) == 6


def test_columns_and_mistakes(tmp_path, capsys):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 5)), columns=list("abcde"))
    frame["y"] = np.where(frame["a"] > 0, "up", "down")
    frame["mail"] = [f"person{i}@example.org" for i in range(60)]
    frame.to_csv(tmp_path / "t.csv", index=False)
    flags = ["--target", "y", "--preset", "smoke", "--device", "cpu", "--out", tmp_path / "run"]
    message = refused(capsys, "fit", tmp_path / "t.csv", *flags)
    assert "t.csv" in message
    assert "5 numeric columns (a, b, c, d, e)" in message
    assert not any((tmp_path / "run").rglob("*"))
    done("fit", tmp_path / "t.csv", *flags, "--columns", "c", "a")
    made = Polytopes.load(tmp_path / "run" / "model")
    assert made.columns_ == ["c", "a"]
    done("predict", tmp_path / "t.csv", "--model", tmp_path / "run", "--out", tmp_path / "p.csv")
    assert list(pd.read_csv(tmp_path / "p.csv"))[:2] == ["c", "a"]
    message = refused(capsys, "fit", tmp_path / "t.csv", *flags, "--columns", "a", "b")
    assert "other settings (config.columns" in message
    message = refused(capsys, "evaluate", tmp_path / "t.csv", "--model", tmp_path / "run", "--target", "mail")
    assert "person0@example.org" in message
    (tmp_path / "run" / "layout.json").unlink()
    assert "--target" in refused(capsys, "evaluate", tmp_path / "t.csv", "--model", tmp_path / "run")


def test_the_recidivism_table_is_known(tmp_path, capsys):
    rows = [
        {
            "id": i,
            "name": f"p{i}",
            "age": 20 + (7 * i) % 40,
            "priors_count": (3 * i) % 8,
            "juv_misd_count": int(i % 9 == 0),
            "days_b_screening_arrest": 0 if i else 99,
            "c_charge_degree": "F",
            "score_text": "Low",
            "is_recid": i % 2,
            "two_year_recid": i % 2,
            "decile_score": 1,
        }
        for i in range(80)
    ]
    write_compas(tmp_path / "compas.csv", rows)
    flags = ["--target", "two_year_recid", "--preset", "smoke", "--device", "cpu", "--out", tmp_path / "run"]
    done("fit", tmp_path / "compas.csv", *flags)
    assert "from age, priors_count, juv_misd_count of 79 rows" in capsys.readouterr().out
    done("evaluate", tmp_path / "compas.csv", "--model", tmp_path / "run")
    done("predict", tmp_path / "compas.csv", "--model", tmp_path / "run", "--out", tmp_path / "p.csv")
    assert len(pd.read_csv(tmp_path / "p.csv")) == 80
    message = refused(capsys, "fit", tmp_path / "compas.csv", *flags, "--columns", "age", "is_recid")
    assert "tells the outcome" in message


def test_a_word_among_numbers_is_told_with_its_line(tmp_path, capsys):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["a", "b"]).astype(object)
    frame["y"] = ["up", "down"] * 30
    frame.loc[7, "b"] = "oops"
    frame.to_csv(tmp_path / "t.csv", index=False)
    message = refused(capsys, "fit", tmp_path / "t.csv", "--target", "y", "--out", tmp_path / "run")
    assert "column b, line 9" in message
    assert "categorical" not in message


def test_what_is_free_bounds_a_census(flat, tmp_path, capsys, monkeypatch):
    from visus.methods.polytopes.verbs import counting

    free = counting.free_memory()
    assert free is None or 0 < free < 1e6
    monkeypatch.setattr(counting, "free_memory", lambda: 0.0)
    assert "0 allowed" in refused(capsys, "census", flat[0], "--out", tmp_path / "out")
    done("census", flat[0], "--mode", "stream", "--out", tmp_path / "stream")
    done("census", flat[0], "--memory-gb", "1", "--out", tmp_path / "asked")
    monkeypatch.setattr(counting, "free_memory", lambda: None)
    done("census", flat[0], "--out", tmp_path / "unknown")


def test_a_history_without_counts_has_a_page(tmp_path):
    from visus.methods.polytopes.verbs.pages import write_history

    made = Polytopes(replace(Polytopes.preset("smoke"), max_cells=1)).fit(Polytopes.example("train"))
    write_history(tmp_path, made, name="t.csv", target="region")
    assert "more than 1 cells" in (tmp_path / "report.html").read_text()
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_mistakes_with_weights_and_points(flat, tmp_path, capsys):
    path, _ = flat
    out = ["--out", tmp_path / "out"]
    assert "one value per input dimension" in refused(
        capsys, "census", path, "--box", "0", "1", "0", "1", "0", "1", *out
    )
    assert "3 numbers" in refused(capsys, "census", path, "--box", "0", "1", "2", *out)
    assert "device" in refused(capsys, "census", path, "--device", "abacus", *out)
    np.savez(tmp_path / "square.npz", W0=np.eye(2), W1=np.ones((2, 2)))
    assert "out_in" in refused(capsys, "census", tmp_path / "square.npz", *out)
    np.save(tmp_path / "line.npy", np.outer([1.0, 2.0, 3.0], [1.0, 1.0]))
    assert "line.npy" in refused(capsys, "slice", path, "--points", tmp_path / "line.npy", *out)
    np.save(tmp_path / "two.npy", np.eye(2))
    assert "2 points" in refused(capsys, "slice", path, "--points", tmp_path / "two.npy", *out)
    np.save(tmp_path / "words.npy", np.array([["a"]]))
    assert "words.npy" in refused(capsys, "slice", path, "--points", tmp_path / "words.npy", *out)
    (tmp_path / "gap.csv").write_text("a,b\n1,2\n3,\n4,5\n")
    assert "column b" in refused(capsys, "slice", path, "--points", tmp_path / "gap.csv", *out)
    write_image(tmp_path / "a.png", np.zeros((1, 4, 4), np.float32))
    write_image(tmp_path / "b.png", np.zeros((1, 4, 5), np.float32))
    points = [tmp_path / "a.png", tmp_path / "b.png", tmp_path / "b.png"]
    assert "b.png" in refused(capsys, "slice", path, "--points", *points, *out)
    write_network(tmp_path / "conv.safetensors", nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()))
    assert "slice" in refused(capsys, "census", tmp_path / "conv.safetensors", *out)
    message = refused(capsys, "census", path, "--memory-gb", "1e-6", *out)
    assert "flat.safetensors" in message
    assert "--mode stream" in message
    message = refused(capsys, "census", path, "--box", "1", "-1", *out)
    assert "box, axis 0" in message
    assert "flat.safetensors" not in message  # the file is not at fault
    (tmp_path / "taken").write_text("x")
    assert "not a folder" in refused(capsys, "census", path, "--out", tmp_path / "taken")
    assert not (tmp_path / "out").exists()
