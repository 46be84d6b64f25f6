from __future__ import annotations

import pytest

from visus.data.provided import provided
from visus.errors import MissingData


def test_a_file_is_found_below_the_folder_that_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("VISUS_DATA", str(tmp_path))
    with pytest.raises(MissingData, match=r"needs things/trials.tsv \(THINGS.*docs/data.md"):
        provided("things/trials.tsv")
    (tmp_path / "things").mkdir()
    (tmp_path / "things" / "trials.tsv").touch()
    assert provided("things/trials.tsv") == tmp_path / "things" / "trials.tsv"


def test_without_a_folder_the_message_says_what_to_set(monkeypatch):
    monkeypatch.delenv("VISUS_DATA", raising=False)
    with pytest.raises(MissingData, match="set VISUS_DATA to the folder"):
        provided("own/file.npy")
