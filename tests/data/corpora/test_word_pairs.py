"""Rated pairs of words, found in an installed package that is not imported."""

import importlib.metadata
import sys

import numpy as np
import pytest

from visus.data.corpora.word_pairs import read_word_pairs, simlex999, wordsim353
from visus.errors import InputError, MissingData


def test_a_file_with_comments(tmp_path):
    (tmp_path / "p.tsv").write_text("# about\n\nold\tnew\t1.58\nsmart\tintelligent\t9.2\nnew\told\t2\n")
    found = read_word_pairs(tmp_path / "p.tsv")
    assert (found.first, found.second) == (("old", "smart", "new"), ("new", "intelligent", "old"))
    assert found.rating.tolist() == [1.58, 9.2, 2.0]
    assert found.words == ("old", "new", "smart", "intelligent")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("old\tnew\t1\nsmart\t2\n", "line 2: .*no rated pair"),
        ("old\tnew\tx\n", "line 1"),
        ("old\tnew\tnan\n", "line 1"),
        ("\tnew\t3\n", "line 1"),
        ("# only\n", "has no pairs"),
    ],
)
def test_broken_lines(tmp_path, content, says):
    (tmp_path / "p.tsv").write_text(content)
    with pytest.raises(InputError, match=says):
        read_word_pairs(tmp_path / "p.tsv")


def test_the_real_files():
    try:
        simlex, wordsim = simlex999(), wordsim353()
    except MissingData as missing:
        pytest.skip(str(missing))
    assert (len(simlex), len(wordsim)) == (999, 353)
    assert (simlex.first[0], simlex.second[0], simlex.rating[0]) == ("old", "new", 1.58)
    for found in (simlex, wordsim):
        assert ((found.rating >= 0) & (found.rating <= 10)).all()
    assert dict(zip(zip(wordsim.first, wordsim.second), wordsim.rating))["tiger", "cat"] == 7.35
    assert np.corrcoef(simlex.rating[:-1], simlex.rating[1:])[0, 1] < 0.5
    assert "gensim" not in sys.modules


def test_an_absent_package_is_named(monkeypatch, tmp_path):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", absent)
    with pytest.raises(MissingData, match="pip install --no-deps gensim"):
        simlex999()
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [])
    with pytest.raises(MissingData, match="came without it"):
        wordsim353()
