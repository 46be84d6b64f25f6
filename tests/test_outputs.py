"""What commands share: places to write to, checked before any work."""

from __future__ import annotations

import pytest

from visus.errors import InputError
from visus.outputs import check_inputs, check_out, emptied, say


def test_places_that_cannot_be_written_to_are_refused(tmp_path):
    file = tmp_path / "file.csv"
    file.touch()
    check_out(None, kind="folder")
    check_out(tmp_path / "new", kind="folder", inputs=[file, None, "a text, not a path"])
    for out, kind, message in (
        (file, "folder", "--out: is a file"),
        (tmp_path, "file", "--out: is a folder"),
        (file / "below" / "x", "folder", "lies below a file"),
    ):
        with pytest.raises(InputError, match=message):
            check_out(out, kind=kind)


def test_inputs_are_not_written_over(tmp_path):
    file = tmp_path / "file.csv"
    file.touch()
    for out, kind, read in ((file, "file", file), (tmp_path, "folder", file), (tmp_path, "folder", tmp_path)):
        with pytest.raises(InputError, match="--pictures: is where the input is read from"):
            check_out(out, kind=kind, inputs=[read], field="--pictures")


def test_absent_inputs_are_named_as_the_person_gave_them(tmp_path):
    check_inputs(DATA=tmp_path, model=None)
    with pytest.raises(InputError, match="DATA: does not exist"):
        check_inputs(DATA=tmp_path / "x")
    with pytest.raises(InputError, match="--model: does not exist"):
        check_inputs(DATA=tmp_path, model=tmp_path / "x")


def half_written(out):
    with emptied(out):
        out.mkdir(exist_ok=True)
        (out / "half").touch()
        raise InputError("is broken")


def test_a_refused_input_leaves_no_new_folder_and_takes_no_old_one(tmp_path):
    for name, stays in (("new", False), ("old", True)):
        out = tmp_path / name
        if stays:
            out.mkdir()
        with pytest.raises(InputError):
            half_written(out)
        assert out.exists() is stays


def test_rows_are_said_in_columns(capsys):
    say([("a", "1"), ("longer", "2")])
    say([])
    assert capsys.readouterr().out == "  a       1\n  longer  2\n"
