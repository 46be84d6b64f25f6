"""One HTML page with everything in it: text, tables, drawings and pictures. It needs no other file and no network."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path

from visus.records import write_atomically

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;color:#1b1f24;background:#fff;max-width:60rem;margin:2rem auto;"
    "padding:0 1rem}table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .8rem;text-align:right;"
    "border-bottom:1px solid #d5dae0}td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}"
    ".note{border-left:4px solid #d55e00;padding:.4rem .8rem;background:#fdf3ec}figure{margin:1.5rem 0}"
    "pre{overflow:auto;background:#f4f6f8;padding:.8rem;font-size:13px}"
    ".row{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,12rem),1fr));gap:.8rem;margin:1rem 0}"
    ".row figure{margin:0}.row img{width:100%;height:auto;display:block;background:#000}"
    ".wide{overflow-x:auto}figcaption{color:#55606c;font-size:.9rem}"
)


class Page:
    """Sections in the order in which they are added.

    >>> Page("a < b").add_text("text").text.count("&lt;")
    2
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>"]
        self._drawings = 0

    def add_text(self, text: str, *, note: bool = False) -> Page:
        """A paragraph; `note` makes it stand out."""
        kind = ' class="note"' if note else ""
        self._parts.append(f"<p{kind}>{html.escape(text)}</p>")
        return self

    def add_heading(self, text: str) -> Page:
        """The heading of a section."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")
        return self

    def add_table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Page:
        """A table of texts."""
        cells = ["".join(f"<th>{html.escape(cell)}</th>" for cell in head)]
        cells += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
        lines = "".join(f"<tr>{row}</tr>" for row in cells)
        self._parts.append(f'<div class="wide"><table>{lines}</table></div>')
        return self

    def add_drawing(self, svg: str, caption: str) -> Page:
        """An SVG with what it shows; its identifiers are made its own, so drawings do not mix."""
        self._drawings += 1
        own = f"d{self._drawings}-"
        svg = re.sub(r'\bid="', f'id="{own}', svg)
        svg = re.sub(r"url\(#", f"url(#{own}", svg)
        svg = re.sub(r'href="#', f'href="#{own}', svg)
        self._parts.append(f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>")
        return self

    def add_pictures(self, pictures: Sequence[tuple[bytes, str]]) -> Page:
        """PNG files with captions, side by side where there is room."""
        shown = []
        for png, caption in pictures:
            source = "data:image/png;base64," + base64.b64encode(png).decode()
            words = html.escape(caption)
            shown.append(
                f'<figure><img src="{source}" alt="{words}"><figcaption>{words}</figcaption></figure>'
            )
        self._parts.append(f'<div class="row">{"".join(shown)}</div>')
        return self

    def add_code(self, text: str, *, title: str) -> Page:
        """Text as it stands, folded under its title."""
        summary = f"<summary>{html.escape(title)}</summary>"
        self._parts.append(f"<details>{summary}<pre>{html.escape(text)}</pre></details>")
        return self

    @property
    def text(self) -> str:
        """The page."""
        head = (
            f'<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<title>{html.escape(self.title)}</title><style>{_STYLE}</style>"
        )
        return (
            f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(self._parts)}</body></html>\n'
        )

    def write(self, path: Path) -> None:
        """Write the page, whole or not at all."""
        write_atomically(path, self.text)
