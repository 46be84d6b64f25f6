"""The user's folders of pictures with programs, and queries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from visus.data.formats import write_image
from visus.data.formats.images import write_labels
from visus.errors import InputError
from visus.methods.nsi import NSI, Categorical, Continuous, Schema, parse
from visus.methods.nsi.estimator.reading import (
    read_classes,
    read_data,
    read_loose,
    read_query,
    serialize_loosely,
    write_pictures,
)

PROGRAM = "<scene>\n <object><kind>a cat</kind><at>(0.5, 2)</at></object>\n</scene>"


def picture(path: Path, *, height: int = 6, width: int = 8) -> None:
    rng = np.random.default_rng(len(path.name))
    write_image(path, rng.random((3, height, width), dtype=np.float32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b", "a", "sub/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.xml").write_text(PROGRAM)
    return tmp_path


def test_a_program_beside_every_picture(folder: Path):
    source = read_data(folder, part="train", size=4)
    batch = source.batch(range(3))
    assert batch["name"] == ["a", "b", "sub/c"]
    assert batch["image"].shape == (3, 3, 4, 4)
    assert batch["objects"] == [[{"kind": "a cat", "at": (0.5, 2.0)}]] * 3
    assert "segmentation" not in batch


@pytest.mark.parametrize("name", ["a.json", "a.jpg"])
def test_two_files_of_one_name_are_refused(folder: Path, name: str):
    if name.endswith("json"):
        (folder / name).write_text("[]")
    else:
        (folder / name).write_bytes((folder / "a.png").read_bytes())
    with pytest.raises(InputError, match="has the same name as a") as refused:
        read_data(folder, part="train", size=8)
    assert "a." in str(refused.value)


def test_json_programs_say_the_same(folder: Path):
    wanted = read_data(folder, part="train", size=4).batch([0])["objects"]
    (folder / "a.xml").unlink()
    (folder / "a.json").write_text(json.dumps({"objects": [{"kind": "a cat", "at": [0.5, 2.0]}]}))
    assert read_data(folder, part="train", size=4).batch([0])["objects"] == wanted


def test_a_table_of_programs(folder: Path):
    for file in folder.rglob("*.xml"):
        file.unlink()
    lines = [{"image": "sub/c.png", "objects": [{"kind": "a"}]}, {"image": "a.png", "program": PROGRAM}]
    (folder / "programs.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    batch = read_data(folder, part="train", size=4).batch([0, 1])
    assert batch["name"] == ["sub/c", "a"]
    assert batch["objects"] == [[{"kind": "a"}], [{"kind": "a cat", "at": (0.5, 2.0)}]]


def test_masks_are_read_when_every_picture_has_one(folder: Path):
    mask = np.zeros((6, 8), dtype=np.int64)
    mask[:3] = 1
    for name in ("a", "b"):
        write_labels(folder / "masks" / f"{name}.png", mask)
    assert "segmentation" not in read_data(folder, part="train", size=4).batch([0])
    write_labels(folder / "masks" / "sub" / "c.png", mask)
    found = read_data(folder, part="train", size=4).batch([0])["segmentation"]
    assert found[0].tolist() == [[1] * 4, [1] * 4, [0] * 4, [0] * 4]


def test_parts_are_folders(folder: Path, tmp_path: Path):
    whole = tmp_path / "whole"
    whole.mkdir()
    for name in ("a.png", "a.xml"):
        (whole / "train").mkdir(exist_ok=True)
        (whole / "train" / name).write_bytes((folder / name).read_bytes())
    assert len(read_data(whole, part="train", size=4)) == 1
    (whole / "test").mkdir()
    with pytest.raises(InputError, match="no pictures with programs"):
        read_data(whole, part="test", size=4)


def test_a_given_schema_refuses_other_values_by_line(folder: Path):
    schema = Schema((Categorical("kind", ("a cat", "a dog")),), most=3)
    with pytest.raises(InputError, match=r"a\.xml: line 2, <at>: unknown tag"):
        read_data(folder, part="train", size=4, schema=schema)
    for file in folder.rglob("*.xml"):
        file.unlink()
        file.with_suffix(".json").write_text('{"objects": [{"kind": "a cat"}]}')
    (folder / "b.json").write_text('{"objects": [{"kind": "a cap"}]}')
    with pytest.raises(InputError, match=r"b\.json: object 1, kind: is 'a cap'.*did you mean 'a cat'"):
        read_data(folder, part="train", size=4, schema=schema)
    (folder / "programs.jsonl").write_text('{"image": "b.png", "objects": [{"kind": "a cap"}]}')
    with pytest.raises(InputError, match=r"programs\.jsonl, line 1: object 1, kind"):
        read_data(folder, part="train", size=4, schema=schema)


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (PROGRAM.replace("(0.5, 2)", "here"), r"b\.png: object 1, at: is 'here', a text, but a vector of 2"),
        (PROGRAM.replace("0.5", "nan"), r"b\.png: object 1, at"),
        (PROGRAM.replace("</kind>", "</knid>"), r"b\.xml: line 2"),
        (PROGRAM.replace("<at>", "<kind>").replace("</at>", "</kind>"), "stands twice"),
        ('<!DOCTYPE x [<!ENTITY a "b">]>' + PROGRAM, "document type"),
    ],
)
def test_programs_that_cannot_be(folder: Path, program: str, says: str):
    (folder / "b.xml").write_text(program)
    with pytest.raises(InputError, match=says):
        read_data(folder, part="train", size=4)


def test_pictures_written_are_pictures_read(tmp_path: Path):
    source = NSI.example("test").subset(range(6))
    schema = Schema.infer(source["objects"])
    assert write_pictures(tmp_path, source, schema) == 6
    read = read_data(tmp_path, part="test", size=32).batch(range(6))
    assert [list(each) for each in read["objects"]] == source["objects"]
    assert torch.equal(read["segmentation"], source["segmentation"])
    torch.testing.assert_close(read["image"], source["image"], rtol=0, atol=0.5 / 255 + 1e-6)
    assert len(read_loose(tmp_path, part="test", size=16)) == 6
    assert len(read_loose(tmp_path / f"{source['name'][0]}.png", part="test", size=16)) == 1


def test_classes_are_sub_folders(tmp_path: Path):
    for name in ("x/1.png", "y/2.png"):
        (tmp_path / name).parent.mkdir()
        picture(tmp_path / name)
    assert read_classes(tmp_path, part="train", size=4).batch([0, 1])["target"] == ["x", "y"]


# ---- queries ----------------------------------------------------------------------------------------------


def test_queries_are_words_xml_or_files(tmp_path: Path):
    wanted = "<scene><object><color>red</color></object></scene>"
    assert read_query("color=red") == (wanted, None)
    assert read_query(f" {wanted}")[0].strip() == wanted
    (tmp_path / "q.xml").write_text(wanted)
    (tmp_path / "q.json").write_text('{"objects": [{"color": "red"}]}')
    for name in ("q.xml", "q.json"):
        assert read_query(str(tmp_path / name)) == (wanted, str(tmp_path / name))


def test_queries_hold_vectors_and_several_objects():
    schema = Schema((Categorical("kind", ("a", "b")), Continuous("at", 2, (0, 0), (1, 1))), most=3)
    found = parse(read_query("kind=a at=(0.2,0.6), at=(1,0) ,kind=b")[0], schema, partial=True)
    assert found == ({"kind": "a", "at": (0.2, 0.6)}, {"at": (1.0, 0.0)}, {"kind": "b"})


@pytest.mark.parametrize(
    "text",
    ["red", "color=", "=red", "color=red,", "nowhere.xml", "color=red color=blue", "a<b=1", "", "at=(1, 2)"],
)
def test_words_that_are_no_query(text: str):
    with pytest.raises(InputError, match="What to do"):
        read_query(text)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["a & b", "<c>", "d"]), min_size=1, max_size=4))
def test_loose_xml_is_parsed_back(values: list[str]):
    schema = Schema((Categorical("kind", ("a & b", "<c>", "d")),), most=4)
    scene = parse(serialize_loosely([{"kind": value} for value in values]), schema)
    assert [each["kind"] for each in scene] == values
