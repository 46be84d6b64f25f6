"""Digest pages: a Markdown table of papers with footnotes, read and written without loss.

A page is a summary heading, a table (reference, linked title, summary, further columns), a details heading
and one footnote per row: translated title, title, address, summary, a gap, translated abstract, abstract, and
what was measured under `EVIDENCE_MARK`. For every page `parse(write(parse(text))) == parse(text)`.
"""

from visus.report.page.form import EVIDENCE_MARK, Entry, Page
from visus.report.page.reader import parse, read
from visus.report.page.writer import page_of, write

__all__ = ["EVIDENCE_MARK", "Entry", "Page", "page_of", "parse", "read", "write"]
