"""Records: strict YAML and JSON, overrides, files that are old or new and nothing between."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import FrozenInstanceError
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visus.errors import InputError
from visus.records import (
    from_plain,
    from_yaml,
    leaving_nothing,
    override,
    read_json,
    record,
    schema,
    to_plain,
    to_yaml,
    write_atomically,
    write_json,
)


@record
class Inner:
    sizes: tuple[int, ...] = (1, 2)
    label: str | None = None


@record
class Outer:
    epochs: int = 3
    rate: float = 1e-3
    fusion: Literal["film", "concat"] = "film"
    names: dict[str, float] | None = None
    inner: Inner = Inner()


text = st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=8)


@settings(deadline=None)  # the first example builds the reader, which a busy machine does slowly
@given(
    st.builds(
        Outer,
        epochs=st.integers(-(2**53), 2**53),
        rate=st.floats(allow_nan=False, allow_infinity=False),
        fusion=st.sampled_from(["film", "concat"]),
        names=st.none() | st.dictionaries(text, st.floats(-1e300, 1e300), max_size=3),
        inner=st.builds(
            Inner, sizes=st.lists(st.integers(0, 99), max_size=3).map(tuple), label=st.none() | text
        ),
    )
)
def test_yaml_and_json_round_trip(value):
    assert from_yaml(Outer, to_yaml(value)) == value
    assert from_plain(Outer, json.loads(json.dumps(to_plain(value)))) == value


def test_records_are_frozen_and_keyword_only():
    with pytest.raises(FrozenInstanceError):
        Outer().epochs = 4
    with pytest.raises(TypeError):
        Outer(4)
    assert hash(Inner()) == hash(Inner())


def test_empty_text_is_the_defaults_and_other_text_is_not():
    assert from_yaml(Outer, "") == Outer()
    assert from_yaml(Outer, "# only a comment\n") == Outer()
    for wrong in ("[]", "0", "word", "false"):
        with pytest.raises(InputError, match="dictionary"):
            from_yaml(Outer, wrong)


@pytest.mark.parametrize(
    ("yaml", "field", "told"),
    [
        ("epoch: 4", "epoch", "known fields: epochs, rate, fusion, names, inner"),
        ("epochs: many", "epochs", "integer"),
        ("epochs: 1.5", "epochs", "integer"),
        ("rate: [1]", "rate", "number"),
        ("fusion: flim", "fusion", "'film' or 'concat'"),
        ("inner: {size: 3}", "inner.size", "Unexpected|not permitted"),
        ("inner: {sizes: [1, x]}", r"inner\.sizes\.1", "integer"),
        ("inner: 3", "inner", "dictionary"),
        ("names: {a: b}", r"names\.a", "number"),
    ],
)
def test_wrong_content_names_file_and_field(yaml, field, told):
    with pytest.raises(InputError, match=f"settings.yaml: {field}: .*({told})") as caught:
        from_yaml(Outer, yaml, file="settings.yaml")
    assert caught.value.remedy


def test_broken_yaml_names_the_line():
    with pytest.raises(InputError, match=r"s\.yaml: line 2: is not valid YAML"):
        from_yaml(Outer, "epochs: 3\n  rate: 1\n", file="s.yaml")


def test_numbers_without_a_point_are_numbers():
    """YAML 1.1 reads 1e-3 as text."""
    assert from_yaml(Outer, "rate: 1e-3").rate == 1e-3
    assert override(Outer(), ["rate=5e-4"]).rate == 5e-4


def test_override():
    value = Outer(names={"a": 1.0})
    changed = override(value, ["epochs=5", "fusion = concat", "inner.sizes=[4, 5]", "names.a=2"])
    assert changed == Outer(epochs=5, fusion="concat", inner=Inner(sizes=(4, 5)), names={"a": 2.0})
    assert value == Outer(names={"a": 1.0})
    assert override(value, {"epochs": 7, "inner.label": "epochs=9"}).inner.label == "epochs=9"
    assert override(value, ["inner.label=null"]).inner.label is None
    assert override(value, []) == value


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("epoch=5", "epoch: no such setting.*known settings: epochs, rate"),
        ("inner.size=5", r"inner\.size: no such setting.*known settings: sizes, label"),
        ("epochs.size=5", r"epochs\.size: no such setting"),
        ("names.a=5", r"names\.a: no such setting"),
        ("a.b.c=5", r"a\.b\.c: no such setting"),
        ("epochs", "--set epochs: is not of the form key=value"),
        ("epochs=many", "epochs: .*integer"),
        ("fusion=flim", "fusion"),
        ("rate=[1", "rate: .*is not valid YAML"),
    ],
)
def test_override_that_cannot_be(setting, told):
    with pytest.raises(InputError, match=told):
        override(Outer(), [setting])


def test_schema_lists_fields():
    told = schema(Outer)
    assert set(told["properties"]) == {"epochs", "rate", "fusion", "names", "inner"}
    assert told["additionalProperties"] is False


def test_files_round_trip(tmp_path):
    write_json(tmp_path / "new" / "a.json", {"x": [1, None, "é漢"], "rate": 0.1 + 0.2})
    assert read_json(tmp_path / "new" / "a.json") == {"x": [1, None, "é漢"], "rate": 0.1 + 0.2}
    assert stat.S_IMODE((tmp_path / "new" / "a.json").stat().st_mode) == 0o644
    write_atomically(tmp_path / "b", b"\x00\xff")
    assert (tmp_path / "b").read_bytes() == b"\x00\xff"


@pytest.mark.parametrize("operation", ["fsync", "replace", "chmod", "fdopen"])
def test_failed_writing_keeps_the_old_file(tmp_path, monkeypatch, operation):
    file = tmp_path / "a.json"
    write_json(file, {"old": 1})

    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(os, operation, fail)
        with pytest.raises(OSError, match="disk full"):
            write_json(file, {"new": 2})
    assert read_json(file) == {"old": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"], "a draft is left"


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"out: is a folder\. What to do: name a file"):
        write_atomically(tmp_path / "out", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="lies below a file"):
        write_atomically(tmp_path / "file" / "a.json", "text")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_place_that_may_not_be_written(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("visus.records.tempfile.mkstemp", refuse)
    with pytest.raises(InputError, match=r"a\.json: may not be written"):
        write_atomically(tmp_path / "a.json", "text")


def test_a_wrong_word_tells_the_allowed_ones():
    with pytest.raises(InputError) as caught:
        override(Outer(), ["fusion=flim"])
    assert caught.value.remedy == "allowed: 'film' or 'concat'"
    with pytest.raises(InputError) as caught:
        override(Outer(), ["epochs=many"])
    assert caught.value.remedy == "known fields: epochs, rate, fusion, names, inner"


def test_what_json_lacks_is_refused_before_writing(tmp_path):
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"score": float("nan")})
    assert read_json(tmp_path / "a.json") == {"old": 1}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "does not exist"),
        (b'{"a": 1,\n"b"', "line 2: is not valid JSON"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_unreadable_json(tmp_path, content, told):
    file = tmp_path / "a.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.json: {told}"):
        read_json(file)
    with pytest.raises(InputError, match="cannot be read"):
        read_json(tmp_path)


@pytest.mark.parametrize(("written", "left"), [(False, False), (True, True)])
def test_a_refused_run_leaves_no_empty_folder(tmp_path, written, left):
    out = tmp_path / "run"

    def refuse():
        with leaving_nothing(out):
            out.mkdir()
            if written:
                (out / "log").touch()
            raise InputError("no")

    with pytest.raises(InputError, match="no"):
        refuse()
    assert out.exists() is left
    kept = tmp_path / "kept"
    kept.mkdir()
    with pytest.raises(InputError), leaving_nothing(kept):
        raise InputError("no")
    assert kept.is_dir()
