"""arXiv identifiers in the forms in which pages write them."""

from __future__ import annotations

import pytest

from visus.catalogue import read_arxiv
from visus.catalogue.arxiv import is_arxiv_host


@pytest.mark.parametrize(
    ("text", "number", "version"),
    [
        ("2306.06077", "2306.06077", None),
        (" 2306.06077v12 ", "2306.06077", 12),
        ("0704.0001", "0704.0001", None),
        ("arXiv:2306.06077v1", "2306.06077", 1),
        ("arxiv: 2306.06077", "2306.06077", None),
        ("https://arxiv.org/abs/2306.06077", "2306.06077", None),
        ("http://arxiv.org/2306.06077", "2306.06077", None),
        ("http://www.arxiv.org/abs/2306.06077v3/", "2306.06077", 3),
        ("https://export.arxiv.org/pdf/2306.06077v2.pdf", "2306.06077", 2),
        ("https://arxiv.org/html/2306.06077?query=1#S2", "2306.06077", None),
        ("https://doi.org/10.48550/arXiv.2306.06077", "2306.06077", None),
        ("cs/0501001", "cs/0501001", None),
        ("math.GT/0309136v2", "math.GT/0309136", 2),
        ("https://arxiv.org/abs/cond-mat/9901001", "cond-mat/9901001", None),
    ],
)
def test_identifiers_are_read(text, number, version):
    assert read_arxiv(text) == (number, version)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2306.060",
        "2306.060771",
        "x2306.06077",
        "https://arxiv.org/abs/",
        "https://arxiv.org/list/cs.CV/new",
        "https://example.org/abs/2306.06077",
        "https://notarxiv.org/abs/2306.06077",
        "https://arxiv.org.example.com/abs/2306.06077",
        "https://doi.org/10.1000/2306.06077",
        "http://[broken/abs/2306.06077",
    ],
)
def test_what_is_no_identifier_is_none(text):
    assert read_arxiv(text) is None


def test_the_host_decides():
    assert is_arxiv_host("https://export.arxiv.org/abs/1")
    assert not is_arxiv_host("https://myarxiv.org/abs/1")
