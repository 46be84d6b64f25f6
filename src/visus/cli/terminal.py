"""How the command writes: rich on a terminal, plain text that other programs can read anywhere else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

READABLE = 100
"""Columns beyond which running text is not stretched."""

_WIDE = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef"
_OPENING, _CLOSING = "（《「“", "，。；：、）》」”！？"
_PIECES = re.compile(
    rf"\s+|[{_OPENING}]*[{_WIDE}][{_CLOSING}]*|[^\s{_WIDE}]+?(?=[{_OPENING}][{_WIDE}])|[^\s{_WIDE}]+[{_CLOSING}]*"
)


def console(*, stderr: bool = False) -> Console:
    """A console on the present standard output (or error) that colors nothing by itself."""
    return Console(stderr=stderr, highlight=False)


def error_line(message: str) -> None:
    """`error: message` on standard error, unbroken so that it can be searched and copied."""
    line = Text.assemble(("error: ", "bold red"), message)
    console(stderr=True).print(line, soft_wrap=True)


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns: English breaks at spaces, Chinese anywhere but before punctuation.

    >>> wrap("在 CSV 表格上做分类，并支持集成。", 14)
    ['在 CSV 表格上', '做分类，并支持', '集成。']
    """
    lines, line = [], ""
    for piece in _PIECES.findall(text):
        if line and cell_len(line + piece.rstrip()) > width:
            lines.append(line.rstrip())
            line = ""
        line += piece if line else piece.lstrip()
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, spare: int | None = None) -> None:
    """A table whose last column wraps; columns separated by tabs where the output is no terminal.

    `spare` is the index of a column that a narrow terminal (below `READABLE` columns) leaves out.
    """
    rows, screen = [tuple(columns), *map(tuple, rows)], console()
    if not screen.is_terminal:
        for row in rows:
            print("\t".join(row))
        return
    if spare is not None and screen.width < READABLE:
        rows = [row[:spare] + row[spare + 1 :] for row in rows]
    used = sum(2 + max(map(cell_len, column)) for column in list(zip(*rows, strict=True))[:-1])
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="cyan")
    for _ in rows[0][1:]:
        grid.add_column(no_wrap=True)
    for index, row in enumerate(rows):
        last = "\n".join(wrap(row[-1], max(20, screen.width - used)))
        grid.add_row(*map(Text, (*row[:-1], last)), style="bold" if index == 0 else "")
    screen.print(grid)


def heading(text: str) -> None:
    """A line that begins a section."""
    screen = console()
    for line in wrap(text, screen.width) if screen.is_terminal else [text]:
        screen.print(Text(line, style="bold"), soft_wrap=True)


def paragraph(text: str) -> None:
    """Indented running text; one line where the output is no terminal."""
    screen = console()
    for line in wrap(text, min(screen.width, READABLE) - 2) if screen.is_terminal else [text]:
        screen.print(Text(f"  {line}"), soft_wrap=True)


def listing(rows: Iterable[tuple[str, str]]) -> None:
    """Names at the left, what they mean at the right, both indented."""
    rows, screen = list(rows), console()
    widest = max((cell_len(name) for name, _ in rows), default=0)
    room = max(20, min(screen.width, READABLE) - widest - 4)
    for name, text in rows:
        lines = wrap(text, room) if screen.is_terminal else [text]
        left = Text.assemble("  ", (name, "cyan"), " " * (widest - cell_len(name) + 2))
        for line in lines:
            screen.print(left + Text(line), soft_wrap=True)
            left = Text(" " * (widest + 4))
