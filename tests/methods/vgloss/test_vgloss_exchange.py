"""CuPL, DCLIP and FuDD files: read, written back, and their names matched to classes."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest

from visus.errors import InputError
from visus.methods.vgloss.model.exchange import (
    FuddPair,
    dclip_sentence,
    match_names,
    named_classes,
    read_descriptions,
    read_fudd,
    to_descriptions,
    to_fudd,
    with_descriptions,
    with_fudd,
    write_descriptions,
    write_fudd,
)

DCLIP = {"tench": ["a freshwater fish", "small eyes"], "T-shirt": ["short sleeves"]}
FUDD = {
    "2_0": {
        "classes": [2, 0],
        "prompt_pairs": [
            {"attr_type": "color", "prompt_pair": ["a green c.", "a grey a."]},
            {"attr_type": "shape", "prompt_pair": ["a round c.", "a long a."]},
        ],
    },
    "0_1": {"classes": [0, 1], "prompt_pairs": [{"attr_type": "size", "prompt_pair": ["big", "small"]}]},
}


def written(path: Path, plain) -> Path:
    path.write_text(json.dumps(plain))
    return path


def packaged(name: str) -> Path:
    try:
        files = importlib.metadata.files("clip-benchmark") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found = [Path(str(file.locate())) for file in files if file.name == name]
    if not found:
        pytest.skip("the package clip-benchmark is not installed")
    return found[0]


def test_descriptions_round_trip(tmp_path):
    read = read_descriptions(written(tmp_path / "a.json", DCLIP))
    assert read == DCLIP
    write_descriptions(tmp_path / "b.json", read)
    assert read_descriptions(tmp_path / "b.json") == DCLIP
    assert list(read_descriptions(tmp_path / "b.json")) == list(DCLIP)


def test_a_file_of_several_sets_asks_which(tmp_path):
    one = written(tmp_path / "one.json", {"imagenet1k": DCLIP})
    two = written(tmp_path / "two.json", {"a": DCLIP, "b": {"x": ["y"]}})
    assert read_descriptions(one) == DCLIP
    assert read_descriptions(two, dataset="b") == {"x": ["y"]}
    with pytest.raises(InputError, match="holds the sets a, b"):
        read_descriptions(two)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "not an object"),
        ("{}", "not an object"),
        ('{"a": []}', "class 'a': is not a list of texts"),
        ('{"a": ["b", 1]}', "class 'a': is not a list of texts"),
        ('{"a": ["b"], "a": ["c"]}', "class 'a': appears twice"),
        ('{"a": ', "not valid JSON"),
    ],
)
def test_strange_descriptions_are_refused(tmp_path, text, problem):
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(InputError, match=problem):
        read_descriptions(file)


def test_fudd_round_trip(tmp_path):
    file = written(tmp_path / "a.json", FUDD)
    pairs = read_fudd(file, classes=3)
    assert pairs[0] == FuddPair(
        classes=(2, 0), prompts=(("color", "a green c.", "a grey a."), ("shape", "a round c.", "a long a."))
    )
    write_fudd(tmp_path / "b.json", pairs)
    assert json.loads((tmp_path / "b.json").read_text()) == FUDD
    assert read_fudd(tmp_path / "b.json") == pairs


@pytest.mark.parametrize(
    ("plain", "problem"),
    [
        ([], "not an object of pairs"),
        ({"0_1": {"classes": [0, 2], "prompt_pairs": []}}, "'0_1': is not a pair"),
        ({"0_1": {"classes": [0, 1]}}, "'0_1': is not a pair"),
        ({"0_0": {"classes": [0, 0], "prompt_pairs": []}}, "two of the classes"),
        ({"0_9": {"classes": [0, 9], "prompt_pairs": []}}, "two of the classes"),
        ({"0_1": {"classes": [0, 1], "prompt_pairs": [{"attr_type": "x", "prompt_pair": ["a"]}]}}, "'0_1'"),
        (
            {
                "0_1": {"classes": [0, 1], "prompt_pairs": []},
                "1_0": {"classes": [1, 0], "prompt_pairs": []},
            },
            "'1_0': appears twice",
        ),
    ],
)
def test_strange_pairs_are_refused(tmp_path, plain, problem):
    with pytest.raises(InputError, match=problem):
        read_fudd(written(tmp_path / "a.json", plain), classes=3)


def test_fudd_sentences_enter_their_own_class_alone():
    pairs = [FuddPair(classes=(2, 0), prompts=(("color", "c1", "a1"), ("shape", "c2", "a2")))]
    silver = with_fudd(named_classes(["a", "b", "c"]), pairs)
    assert dict(silver.classes["a"].contrastive) == {"c": ("a1", "a2")}
    assert dict(silver.classes["b"].contrastive) == {}
    assert dict(silver.classes["c"].contrastive) == {"a": ("c1", "c2")}
    back = to_fudd(silver)
    assert back == [FuddPair(classes=(0, 2), prompts=(("visual", "a1", "c1"), ("visual", "a2", "c2")))]
    with pytest.raises(InputError, match="names class 2 of 2"):
        with_fudd(named_classes(["a", "b"]), pairs)


def test_fudd_export_repeats_the_shorter_side():
    silver = with_fudd(named_classes(["a", "b"]), [FuddPair(classes=(0, 1), prompts=(("x", "a1", "b1"),))])
    longer = {**silver.classes["a"].contrastive, "b": ("a1", "a2")}
    classes = {**silver.classes, "a": type(silver.classes["a"])(name="a", contrastive=longer)}
    uneven = type(silver)(classes=classes)
    assert to_fudd(uneven)[0].prompts == (("visual", "a1", "b1"), ("visual", "a2", "b1"))


def test_names_match_as_written_and_loosely():
    found = match_names(
        ["T-shirt", "fire_truck", "Crane", "crane"], ["t shirt", "Fire truck", "crane", "CRANE"]
    )
    assert found.found == {0: "T-shirt", 1: "fire_truck", 2: "crane"}
    assert found.missing == ("CRANE",)  # two names are as near: none is taken
    assert found.unused == ("Crane",)
    assert found.doubled == ()


def test_missing_and_doubled_names_are_listed():
    found = match_names(["sunglasses", "newt"], ["sunglasses", "sunglasses", "eft"])
    assert found.doubled == ("sunglasses",)
    assert found.missing == ("eft",)
    with pytest.raises(InputError) as error:
        found.require("cupl.json")
    assert "lacks 1 classes (eft)" in str(error.value)
    assert "one name apart (sunglasses)" in str(error.value)
    assert "newt" in str(error.value)
    assert match_names(["a"], ["a"]).require().found == {0: "a"}


def test_published_texts_become_a_set(tmp_path):
    silver, matched = with_descriptions(
        named_classes(["t-shirt", "tench", "eft"]), DCLIP, form=dclip_sentence
    )
    assert silver.texts() == {
        "t-shirt": ["t-shirt, which has short sleeves"],
        "tench": ["tench, which is a freshwater fish", "tench, which has small eyes"],
        "eft": [],
    }
    assert matched.missing == ("eft",)
    assert to_descriptions(silver)["eft"] == []


def test_classes_of_one_name_get_the_same_texts_and_cannot_be_exported_by_name():
    silver, matched = with_descriptions(named_classes(["a", "a", "b"]), {"a": ["x"], "b": ["y"]})
    assert silver.texts() == {"a (0)": ["x"], "a (1)": ["x"], "b": ["y"]}
    assert matched.doubled == ("a",)
    with pytest.raises(InputError, match=r"share one \(a\)"):
        to_descriptions(silver)


def test_real_cupl_file_has_998_entries_for_1000_classes(tmp_path):
    cupl = read_descriptions(packaged("cupl_prompts.json"))
    names = json.loads(packaged("en_classnames.json").read_text())["imagenet1k"]
    matched = match_names(cupl, names)
    assert len(cupl) == 998
    assert len(names) == len(matched.found) == 1000
    assert set(matched.doubled) == {"missile", "sunglasses"}
    assert matched.missing == matched.unused == ()
    write_descriptions(tmp_path / "again.json", cupl)
    assert read_descriptions(tmp_path / "again.json") == cupl


@pytest.mark.parametrize(
    ("file", "classes", "fewest", "most"), [("dclip_imagenet", 1000, 2, 11), ("cupl_cifar10", 10, 30, 30)]
)
def test_real_description_files_round_trip(extra_data, tmp_path, file, classes, fewest, most):
    path = extra_data(f"descriptions/{file}.json")
    read = read_descriptions(path)
    assert len(read) == classes
    assert {min(map(len, read.values())), max(map(len, read.values()))} == {fewest, most}
    write_descriptions(tmp_path / "b.json", read)
    assert (tmp_path / "b.json").read_bytes() == path.read_bytes()


def test_real_fudd_file_round_trips(extra_data, tmp_path):
    path = extra_data("descriptions/fudd_eurosat.json")
    pairs = read_fudd(path, classes=10)
    assert len(pairs) == 45
    write_fudd(tmp_path / "b.json", pairs)
    assert json.loads((tmp_path / "b.json").read_text()) == json.loads(path.read_text())
