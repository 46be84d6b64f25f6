"""Text files of any common encoding."""

from __future__ import annotations

from pathlib import Path

from visus.data.formats.picture import present
from visus.errors import InputError


def decode(content: bytes, *, file: str | Path | None = None) -> str:
    """Bytes as text: UTF-16 and UTF-8 by their marks, UTF-8 if valid, else Latin-1; line ends become \\n."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            text = content.decode("utf-16")
        except UnicodeDecodeError:
            raise InputError("is cut off or not UTF-16 text", file=file, remedy="save it as UTF-8") from None
    else:
        if b"\0" in content:
            raise InputError(
                "is a binary file, not text", file=file, remedy="give a text file saved as UTF-8"
            )
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_text(path: str | Path) -> str:
    """A text file's content. An absent, empty or binary file is an `InputError`."""
    return decode(present(path).read_bytes(), file=path)
