"""arXiv identifiers, in every form in which pages write them."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

NUMBER = r"(?P<number>\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Za-z-]+)?/\d{7})(?:v(?P<version>\d+))?"
"""New form (2306.06077v1) or the form used until 2007 (cs/0501001v2, math.GT/0309136)."""

_NUMBER = re.compile(NUMBER)
_PATH = re.compile(rf"/(?:(?:abs|pdf|html|format|ps)/)?{NUMBER}(?:\.pdf)?/?")
_DOI = re.compile(rf"/10\.48550/arxiv\.{NUMBER}/?", re.IGNORECASE)


class ArxivId(NamedTuple):
    """A paper's number and, if given, its version.

    >>> read_arxiv("https://arxiv.org/abs/2306.06077v1")
    ArxivId(number='2306.06077', version=1)
    """

    number: str
    version: int | None = None


def is_arxiv_host(address: str) -> bool:
    """Whether a web address leads to arXiv itself or to one of its mirrors."""
    host = _host(address)
    return host == "arxiv.org" or host.endswith(".arxiv.org")


def read_arxiv(text: str) -> ArxivId | None:
    """The identifier in a number, `arXiv:number` or an address of arXiv or its DOIs; None if there is none.

    >>> read_arxiv("arXiv:cs/0501001"), read_arxiv("http://arxiv.org/2306.06077v3"), read_arxiv("https://a.org")
    (ArxivId(number='cs/0501001', version=None), ArxivId(number='2306.06077', version=3), None)
    """
    text = text.strip()
    if "://" in text:
        path = urlsplit(text).path if _host(text) else ""
        if is_arxiv_host(text):
            match = _PATH.fullmatch(path)
        else:
            match = _DOI.fullmatch(path) if _host(text) in {"doi.org", "dx.doi.org", "www.doi.org"} else None
    else:
        match = _NUMBER.fullmatch(re.sub(r"^arxiv:\s*", "", text, flags=re.IGNORECASE))
    if match is None:
        return None
    version = match["version"]
    return ArxivId(match["number"], int(version) if version else None)


def _host(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:  # for example an unbalanced bracket in the host
        return ""
