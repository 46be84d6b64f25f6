"""From Markdown text to a `Page`, with the line of everything that is wrong."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from visus.catalogue import read_arxiv
from visus.catalogue.arxiv import is_arxiv_host
from visus.errors import InputError
from visus.report.page.form import EVIDENCE_MARK, INDENT, Entry, Page, unescape

SUMMARY_HEADINGS = ("摘要", "概要", "summary", "abstract", "summaries", "abstracts")
DETAIL_HEADINGS = ("详细", "详情", "详细信息", "details", "detail")

_HEADING = re.compile(r" {0,3}#{1,6}[ \t]*(.*?)[ \t]*#*[ \t]*")
_REFERENCE = re.compile(r"\[\^([^\]\s]+)\]")
_FOOTNOTE = re.compile(r" {0,3}\[\^([^\]\s]+)\]:(.*)")
_TARGET = r"(?:[^()\s]|\([^()\s]*\))+"
_LINK = re.compile(rf"\[(.*)\]\(({_TARGET})\)")
_BARE_LINK = re.compile(r"<?(https?://[^\s<>]+)>?")


def read(path: str | Path) -> Page:
    """Read a page from a UTF-8 file; what is wrong with it is an `InputError` naming file and line."""
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(
            "does not exist", file=path, remedy="give the path of a digest page (Markdown)"
        ) from None
    except IsADirectoryError:
        raise InputError(
            "is a folder", file=path, remedy="give the path of a digest page (Markdown)"
        ) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path) from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"byte 0x{raw[error.start]:02x} is not UTF-8 text",
            file=path,
            field=f"line {line}",
            remedy="save the page with the encoding UTF-8",
        ) from None
    return parse(text, file=path)


def parse(text: str, *, file: str | Path | None = None) -> Page:
    """Read a page from text.

    Line ends may be LF or CRLF, a byte order mark is ignored, headings may be Chinese or English.
    Raises `InputError` with `field="line N"` for: an empty page, no heading, no table, a wrong number of
    columns, a row without reference or link, a reference given twice or on one side only, a footnote without
    address or with that of another paper, and an arXiv address without a paper's number. Addresses of other
    sites are kept, with `arxiv=None`.
    """
    return _Parser(text, file).page()


class _Parser:
    def __init__(self, text: str, file: str | Path | None) -> None:
        self.file = file
        self.lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")

    def error(self, index: int, problem: str, remedy: str) -> InputError:
        return InputError(problem, file=self.file, field=f"line {index + 1}", remedy=remedy)

    def page(self) -> Page:
        if not any(line.strip() for line in self.lines):
            raise self.error(0, "the page is empty", "give a page with a summary table and details")
        top = self.heading(0, SUMMARY_HEADINGS)
        if top is None:
            raise self.error(0, "the page has no summary heading", "begin it with `# Summary` or `# 摘要`")
        bottom = self.heading(top + 1, DETAIL_HEADINGS)
        table = next(
            (i for i in range(top + 1, len(self.lines) if bottom is None else bottom) if self.is_row(i)), None
        )
        if table is None:
            raise self.error(
                top, "no table follows the summary heading", "write | Ref | Title | Summary | below it"
            )
        end = next((i for i in range(table, len(self.lines)) if not self.is_row(i)), len(self.lines))
        columns, rows = self.table(table, end)
        if bottom is None:
            raise self.error(
                end - 1,
                "no details follow the table",
                "add `# Details` or `# 详细` with one footnote per row",
            )
        notes = self.footnotes(bottom + 1)
        return Page(
            entries=self.entries(rows, notes),
            columns=columns,
            heading=self.title(top),
            details=self.title(bottom),
            preface="\n".join(self.lines[:top]),
            intro="\n".join(self.lines[top + 1 : table]),
            note="\n".join(self.lines[end:bottom]),
        )

    def title(self, index: int) -> str:
        match = _HEADING.fullmatch(self.lines[index])
        return match[1] if match else ""

    def heading(self, start: int, names: Sequence[str]) -> int | None:
        found = (
            i
            for i in range(start, len(self.lines))
            if self.title(i).rstrip(":：").strip().casefold() in names
        )
        return next(found, None)

    def is_row(self, index: int) -> bool:
        return self.lines[index].lstrip().startswith("|")

    def table(self, start: int, end: int) -> tuple[tuple[str, ...], dict[str, tuple[int, Entry]]]:
        columns = tuple(unescape(cell) for cell in _cells(self.lines[start]))
        if len(columns) < 3:
            raise self.error(
                start, f"the table has {len(columns)} columns", "write at least | Ref | Title | Summary |"
            )
        if len(set(columns[3:])) != len(columns[3:]):
            raise self.error(start, "two columns have the same name", "give every column a name of its own")
        rule = _cells(self.lines[start + 1]) if start + 1 < end else []
        if len(rule) != len(columns) or not all(re.fullmatch(":?-+:?", cell) for cell in rule):
            raise self.error(
                start, "no rule follows the table's header", "write | --- | --- | --- | below it"
            )
        rows: dict[str, tuple[int, Entry]] = {}
        for index in range(start + 2, end):
            entry = self.row(index, columns)
            if entry.ref in rows:
                first = rows[entry.ref][0] + 1
                raise self.error(
                    index, f"[^{entry.ref}] is already the row of line {first}", "number every row once"
                )
            rows[entry.ref] = index, entry
        if not rows:
            raise self.error(start, "the table has no rows", "add a row per paper")
        return columns, rows

    def row(self, index: int, columns: tuple[str, ...]) -> Entry:
        cells = _cells(self.lines[index])
        if len(cells) != len(columns):
            problem = f"the row has {len(cells)} cells, the header {len(columns)}"
            raise self.error(index, problem, r"write one cell per column, and \| for a bar inside a cell")
        reference, link = _REFERENCE.fullmatch(cells[0]), _LINK.fullmatch(cells[1])
        if reference is None:
            raise self.error(index, f"{cells[0]!r} is no footnote reference", "write [^1] in the first cell")
        if link is None:
            raise self.error(index, "the title has no link", "write [title](https://arxiv.org/abs/...)")
        address = unescape(link[2])
        if is_arxiv_host(address) and read_arxiv(address) is None:
            raise self.error(
                index, f"{address} names no paper of arXiv", "write https://arxiv.org/abs/NUMBER"
            )
        return Entry(
            ref=reference[1],
            title=unescape(link[1], "[]|"),
            address=address,
            summary=unescape(cells[2]),
            extra=dict(zip(columns[3:], map(unescape, cells[3:]))),
        )

    def footnotes(self, start: int) -> dict[str, tuple[int, list[str]]]:
        """Reference -> first line and the footnote's lines without indentation."""
        notes: dict[str, tuple[int, list[str]]] = {}
        body: list[str] | None = None
        for index in range(start, len(self.lines)):
            line = self.lines[index]
            opening = _FOOTNOTE.fullmatch(line)
            if opening:
                ref, body = opening[1], [opening[2].strip()]
                if ref in notes:
                    first = notes[ref][0] + 1
                    raise self.error(
                        index, f"[^{ref}] is already the footnote of line {first}", "keep one of the two"
                    )
                notes[ref] = index, body
            elif not line.strip():
                if body is not None:
                    body.append("")
            elif body is not None and line.startswith((INDENT, "\t")):
                body.append(line[1:] if line[0] == "\t" else line[len(INDENT) :])
            elif body is not None and body[-1] and not _HEADING.fullmatch(line):
                body.append(line.lstrip())  # Markdown's lazy continuation of a paragraph
            else:
                raise self.error(
                    index, "the text belongs to no footnote", "begin it with [^1]: or indent it by 4 spaces"
                )
        return notes

    def entries(
        self, rows: dict[str, tuple[int, Entry]], notes: dict[str, tuple[int, list[str]]]
    ) -> tuple[Entry, ...]:
        for ref, (index, _) in rows.items():
            if ref not in notes:
                raise self.error(
                    index, f"[^{ref}] has no footnote in the details", f"add [^{ref}]: or drop the row"
                )
        for ref, (index, _) in notes.items():
            if ref not in rows:
                raise self.error(
                    index, f"[^{ref}] has no row in the table", "add the row or drop the footnote"
                )
        return tuple(self.entry(entry, *notes[ref]) for ref, (_, entry) in rows.items())

    def entry(self, row: Entry, index: int, body: list[str]) -> Entry:
        mark = next((i for i, line in enumerate(body) if line.strip() == EVIDENCE_MARK), len(body))
        paragraphs = _paragraphs(body[:mark])
        links = (
            (i, _LINK.fullmatch(text) or _BARE_LINK.fullmatch(text)) for i, (text, _) in enumerate(paragraphs)
        )
        at, link = next(((i, link) for i, link in links if link), (0, None))
        if link is None:
            raise self.error(
                index, f"[^{row.ref}] has no address", "write [address](address) on a line of its own"
            )
        titles = ([] if body[0] else [""]) + [text for text, _ in paragraphs[:at]]
        if len(titles) > 2:
            problem = f"[^{row.ref}] has {at} paragraphs before the address"
            raise self.error(index, problem, "write the translated title and the title there")
        if _paper(link[link.re.groups]) != _paper(row.address):
            raise self.error(
                index, f"[^{row.ref}] has another address than its row", "give both the same address"
            )
        gap = next((i for i in range(at, len(paragraphs)) if paragraphs[i][1] > 1), None)
        rest = [text for text, _ in paragraphs[at + 1 :]]
        split = gap - at if gap is not None else min(1, len(rest))
        abstracts = rest[split:]
        return dataclasses.replace(
            row,
            translated_title=titles[0] if titles else "",
            full_title=titles[1] if titles[1:] else "",
            detail_summary="\n\n".join(rest[:split]),
            translated_abstract=abstracts[0] if abstracts[1:] else "",
            abstract="\n\n".join(abstracts[1:] or abstracts),
            evidence="\n".join(body[mark + 1 :]),
        )


def _cells(line: str) -> list[str]:
    cells, cell, escaped = [], "", False
    for letter in line.strip()[1:]:
        if letter == "|" and not escaped:
            cells.append(cell.strip())
            cell = ""
        else:
            cell += letter
        escaped = letter == "\\" and not escaped
    return [*cells, cell.strip()] if cell.strip() else cells


def _paragraphs(lines: list[str]) -> list[tuple[str, int]]:
    """Paragraphs with the number of blank lines after each."""
    found: list[tuple[list[str], int]] = []
    fresh = True
    for line in lines:
        if not line.strip():
            fresh = True
            if found:
                found[-1] = found[-1][0], found[-1][1] + 1
        elif fresh:
            found.append(([line], 0))
            fresh = False
        else:
            found[-1][0].append(line)
    return [("\n".join(text), blank) for text, blank in found]


def _paper(address: str) -> str:
    """Equal for two addresses of one paper."""
    found = read_arxiv(address)
    return found.number if found else re.sub(r"^https?://(?:www\.)?|/$", "", address)
