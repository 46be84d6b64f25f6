"""What a digest page consists of, and the marks of its Markdown form."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from visus.catalogue import ArxivId, read_arxiv
from visus.errors import InputError

EVIDENCE_MARK = "<!-- visus: evidence -->"
"""The line of a footnote after which the measured part begins; invisible when the page is rendered."""
INDENT = "    "
"""Of everything that belongs to a footnote; alone on a line it parts summary and abstracts."""

_SUFFIX = re.compile(r"\s*\((arXiv:\S+[^()]*)\)\s*$")


@dataclass(frozen=True)
class Entry:
    """One paper of a page: its table row and its footnote."""

    ref: str
    """The footnote's name, without brackets and caret."""
    title: str
    """As in the table."""
    address: str
    summary: str = ""
    extra: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Further table columns: name -> cell (Markdown)."""
    translated_title: str = ""
    full_title: str = ""
    """As in the footnote, where it may carry `(arXiv:2306.06077v1 [cs.CV])`."""
    detail_summary: str | None = None
    """The footnote's summary where it differs from the table's."""
    translated_abstract: str = ""
    abstract: str = ""
    """As found, also where the page cut it short."""
    evidence: str = ""
    """Markdown paragraphs that say what was measured."""

    def __post_init__(self) -> None:
        for name in ("ref", "title", "address", "summary", "translated_title", "full_title"):
            object.__setattr__(self, name, _one_line(getattr(self, name)))
        object.__setattr__(
            self, "extra", {_one_line(key): _one_line(cell) for key, cell in self.extra.items()}
        )
        object.__setattr__(self, "evidence", _trim(self.evidence))
        if self.detail_summary == self.summary:
            object.__setattr__(self, "detail_summary", None)

    @property
    def identifier(self) -> ArxivId | None:
        """arXiv number and version, from the address or the footnote's title; None for other papers."""
        found, named = read_arxiv(self.address), self._named()
        return found._replace(version=found.version or named.version) if found and named else found or named

    @property
    def arxiv(self) -> str | None:
        """arXiv number without version; None for a paper from elsewhere."""
        return self.identifier.number if self.identifier else None

    @property
    def version(self) -> int | None:
        """Version of the paper, if the page states it."""
        return self.identifier.version if self.identifier else None

    @property
    def plain_title(self) -> str:
        """The title without arXiv suffix and closing period."""
        return _SUFFIX.sub("", self.title).removesuffix(".")

    def _named(self) -> ArxivId | None:
        suffix = _SUFFIX.search(self.full_title)
        return read_arxiv(suffix[1].split()[0]) if suffix else None


@dataclass(frozen=True)
class Page:
    """A digest page. Text blocks outside the entries are kept as they are."""

    entries: tuple[Entry, ...]
    columns: tuple[str, ...] = ("Ref", "Title", "Summary")
    heading: str = "Summary"
    details: str = "Details"
    preface: str = ""
    """Text before the summary heading."""
    intro: str = ""
    """Text between the summary heading and the table."""
    note: str = ""
    """Text between the table and the details heading."""

    def __post_init__(self) -> None:
        columns = tuple(map(_one_line, self.columns))
        further = columns[3:]
        for entry in self.entries:
            for name in entry.extra:
                if name not in further:
                    known = ", ".join(further) or "none"
                    raise InputError(
                        f"there is no such column; further columns: {known}",
                        field=f"entry {entry.ref}, {name}",
                    )
        filled = (
            dataclasses.replace(entry, extra={name: entry.extra.get(name, "") for name in further})
            for entry in self.entries
        )
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "entries", tuple(filled))
        for name in ("preface", "intro", "note"):
            object.__setattr__(self, name, _trim(getattr(self, name)))

    @property
    def lang(self) -> Literal["en", "zh"]:
        """The language of the page, judged by its headings."""
        return "zh" if re.search("[\u4e00-\u9fff]", self.heading + self.details) else "en"

    def with_column(self, name: str, cells: Mapping[str, str]) -> Page:
        """A copy with a further column, or new cells in an existing one; `cells`: reference -> Markdown."""
        columns = self.columns if name in self.columns[3:] else (*self.columns, name)
        entries = tuple(
            dataclasses.replace(entry, extra={**entry.extra, name: cells.get(entry.ref, "")})
            for entry in self.entries
        )
        return dataclasses.replace(self, columns=columns, entries=entries)

    def with_evidence(self, evidence: Mapping[str, str]) -> Page:
        """A copy with this evidence instead of what was there; `evidence`: reference -> Markdown."""
        entries = (dataclasses.replace(entry, evidence=evidence.get(entry.ref, "")) for entry in self.entries)
        return dataclasses.replace(self, entries=tuple(entries))


def unescape(text: str, special: str = "|") -> str:
    return re.sub(rf"\\([\\{re.escape(special)}])", r"\1", text)


def escape(text: str, special: str = "|") -> str:
    special = re.escape(special)
    return re.sub(rf"\\(?=[\\{special}]|$)|[{special}]", lambda match: "\\" + match[0], text)


def _one_line(text: str) -> str:
    return re.sub(r"\s*[\r\n]+\s*", " ", text.strip())


def _trim(text: str) -> str:
    """Without blank lines at both ends; blank lines inside carry no spaces."""
    return "\n".join(line if line.strip() else "" for line in text.split("\n")).strip("\n")
