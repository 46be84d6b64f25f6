"""The commands on example files: what they write and say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import torch

from visus.data.corpora.clevr import write_clevr
from visus.errors import InputError
from visus.methods.nsi import NSI, SceneIndex, parse
from visus.methods.nsi.verbs import VERBS
from visus.methods.nsi.verbs.common import read_schema, stems
from visus.serve.intake import read_signature


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Example files and a model of one epoch."""
    folder = tmp_path_factory.mktemp("nsi")
    VERBS["example"](out=folder)
    settings = ["epochs=1", "generator_epochs=1", "strides=[2,2,2]"]
    VERBS["fit"](folder / "scenes", out=folder / "run", preset="smoke", set=settings, device="cpu")
    return folder


def test_fit_writes_a_model_and_the_schema_of_programs(files: Path):
    schema = json.loads((files / "run" / "schema.json").read_text())
    attributes = schema["properties"]["objects"]["items"]["properties"]
    assert set(attributes) == {"shape", "size", "color", "material", "position"}
    assert "red" in attributes["color"]["enum"]
    made = NSI.open(files / "run", device="cpu").schema_
    assert list(made.by_name) == list(attributes)
    assert read_schema(files / "run" / "attributes.json") == made
    with pytest.raises(InputError, match=r"schema\.json: schema: is not a schema.*attributes\.json"):
        read_schema(files / "run" / "schema.json")


def test_predict_writes_a_row_per_picture_and_fits_the_web_form(files: Path, tmp_path: Path):
    VERBS["predict"](files / "scenes", model=files / "run", out=tmp_path / "p.csv", device="cpu")
    table = pd.read_csv(tmp_path / "p.csv")
    assert list(table) == ["item", "objects", "program"]
    assert len(table) == 64
    schema = NSI.open(files / "run", device="cpu").schema_
    assert [len(parse(text, schema)) for text in table["program"]] == table["objects"].tolist()
    asked = read_signature(VERBS["predict"], "nsi")
    assert (asked.data, asked.positional, asked.needs_table) == ("data", True, False)


def test_one_picture_can_be_described(files: Path, tmp_path: Path):
    picture = files / "scenes" / "test" / "test_0_000003.png"
    VERBS["describe"](picture, model=files / "run", out=tmp_path, device="cpu")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test_0_000003.svg", "test_0_000003.xml"]
    VERBS["describe"](picture, model=files / "run", out=tmp_path / "b", device="cpu", pictures=False)
    assert len(list((tmp_path / "b").iterdir())) == 1


def test_align_tells_every_object_and_draws_it(files: Path, tmp_path: Path):
    VERBS["align"](files / "scenes", model=files / "run", out=tmp_path, device="cpu")
    table = pd.read_csv(tmp_path / "alignment.csv")
    programs = sorted((files / "scenes" / "test").glob("*.xml"))
    assert len(table) == sum(file.read_text().count("<object>") for file in programs)
    assert table["slot"].between(0, 3).all()
    drawing = (tmp_path / "test_0_000000.svg").read_text()
    first = table[table["item"].str.endswith("test_0_000000.png")]
    assert len(re.findall(r"slot \d:", drawing)) == len(first)
    assert first["color"].iloc[0] in drawing
    assert drawing.count("<image") == 2


def test_align_names_the_picture_whose_program_the_model_does_not_know(files: Path, tmp_path: Path):
    for file in sorted((files / "scenes" / "test").glob("*_00000[0-9].*")):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    program = tmp_path / "test_0_000007.xml"
    program.write_text(program.read_text().replace("<color>", "<color>x", 1))
    with pytest.raises(InputError, match=r"test_0_000007, object 1, color: is .x.*did you mean"):
        VERBS["align"](tmp_path, model=files / "run", out=tmp_path / "out", device="cpu")
    VERBS["retrieve"](model=files / "run", index=tmp_path / "index", build=tmp_path, device="cpu")
    assert len(SceneIndex.load(tmp_path / "index")) == 10


def test_drawings_of_pictures_of_one_name_do_not_overwrite_each_other():
    assert stems(["x/a.png", "y/a.png", "z/a-2.png", "a.png"]) == ["a", "a-2", "a-2-2", "a-3"]


def test_retrieve_builds_saves_and_searches_both_ways(files: Path, tmp_path: Path, capsys):
    place = {"model": files / "run", "index": tmp_path / "index", "device": "cpu"}
    VERBS["retrieve"](build=files / "scenes", **place)
    assert len(SceneIndex.load(tmp_path / "index")) == 64
    query = ["color=red shape=cube, size=small", str(files / "scenes" / "test" / "test_0_000000.png")]
    VERBS["retrieve"](query=query, top=3, out=tmp_path / "found.csv", **place)
    table = pd.read_csv(tmp_path / "found.csv")
    assert table["rank"].tolist() == [1, 2, 3] * 2
    assert table.groupby("query")["score"].apply(lambda s: s.is_monotonic_decreasing).all()
    with pytest.raises(InputError, match="nothing is asked"):
        VERBS["retrieve"](**place)
    other = NSI.open(files / "run", device="cpu")
    with torch.no_grad():
        other.network_.programs.norm.bias.add_(1)
    other.save(tmp_path / "other")
    with pytest.raises(InputError, match="index: was built with another model"):
        VERBS["retrieve"](query=query, **{**place, "model": tmp_path / "other"})
    loose = tmp_path / "loose"
    loose.mkdir()
    for file in sorted((files / "scenes" / "test").glob("*.png"))[:5]:
        (loose / file.name).write_bytes(file.read_bytes())
    VERBS["retrieve"](build=loose, **place)
    with pytest.raises(InputError, match="holds no programs"):
        VERBS["retrieve"](query=query[1:], **place)


def test_the_corpus_that_has_no_test_part_is_read_by_part(files: Path, tmp_path: Path):
    write_clevr(tmp_path / "clevr", NSI.example("test").subset(range(4)), part="validation")
    place = {"model": files / "run", "device": "cpu"}
    with pytest.raises(InputError, match="use validation"):
        VERBS["predict"](tmp_path / "clevr", out=tmp_path / "p.csv", **place)
    VERBS["predict"](tmp_path / "clevr", out=tmp_path / "p.csv", part="validation", **place)
    assert len(pd.read_csv(tmp_path / "p.csv")) == 4


def test_fewshot_learns_scores_and_classifies(files: Path, tmp_path: Path):
    common = {"model": files / "run", "preset": "smoke", "device": "cpu"}
    VERBS["fewshot"](files / "kinds", out=tmp_path / "few", shots=4, set=["epochs=3"], **common)
    scores = json.loads((tmp_path / "few" / "scores.json").read_text())
    assert len(scores["learned_from"]) == 12
    assert 0 <= scores["accuracy"] <= 1
    VERBS["predict"](files / "kinds", model=tmp_path / "few", out=tmp_path / "k.csv", device="cpu")
    table = pd.read_csv(tmp_path / "k.csv")
    assert len(table) == 36
    assert set(table["label"]) <= {"cube and cylinder", "metal cube and sphere", "blue and yellow spheres"}


def test_a_model_without_a_generator_says_so(files: Path, tmp_path: Path):
    settings = ["epochs=1", "generator_epochs=0", "strides=[2,2,2]"]
    run = tmp_path / "run"
    VERBS["fit"](files / "scenes", out=run, preset="smoke", set=settings, device="cpu")
    with pytest.raises(InputError, match="generator_epochs"):
        VERBS["predict"](files / "scenes", model=run, out=tmp_path / "p.csv", device="cpu")
    assert not (tmp_path / "p.csv").exists()


def test_a_schema_file_fixes_the_vocabulary(files: Path, tmp_path: Path):
    plain = {
        "most": 6,
        "attributes": [
            {"kind": "categorical", "name": "color", "values": ["red", "green"], "optional": False},
        ],
    }
    (tmp_path / "schema.json").write_text(json.dumps(plain))
    with pytest.raises(InputError, match=r"train_0_\d+\.xml: line 2"):
        VERBS["fit"](
            files / "scenes",
            out=tmp_path / "run",
            preset="smoke",
            schema=tmp_path / "schema.json",
            device="cpu",
        )
    assert not (tmp_path / "run").exists()
