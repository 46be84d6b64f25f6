"""Many pictures or texts through an encoder: each once, in batches, going on where an earlier run was stopped."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from visus.data.features.cache import FeatureCache
from visus.data.features.embeddings import Embeddings
from visus.data.features.encoders.base import ImageEncoder, TextEncoder
from visus.data.features.encoders.tokens import announced, warn_of_cut
from visus.data.features.pictures import read_rgb
from visus.data.formats.picture import present
from visus.errors import InputError

Items = Sequence[str | Path] | Sequence[str] | Sequence[Path] | Sequence[Image.Image]
KEEP_SECONDS = 2.0
"""Rows are put into the cache when this time has passed: what a killed process loses at most, and one batch."""


def extract(
    encoder: ImageEncoder | TextEncoder,
    items: Items,
    *,
    kind: Literal["images", "texts"] = "images",
    cache: FeatureCache | None = None,
    batch_size: int = 64,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 2,
) -> Embeddings:
    """Embeddings of pictures or texts, row i of item i; `names` are the paths or texts as given.

    Items of equal content are encoded once. With a cache, only what it lacks is encoded, and what was encoded
    before an error, an interruption or a kill stays in it.

    Parameters
    ----------
    items : paths of picture files (or PIL pictures, named by their number); texts for kind "texts".
    progress : called with (done, total), counted in items of different content.
    workers : threads that read pictures ahead.

    Raises
    ------
    InputError : no items, an absent or unreadable picture (names the file), an encoder of the other kind, or an
        embedding that is not finite.

    >>> from visus.data.features import raw_pixels
    >>> red, blue = (Image.new("RGB", (8, 8), color) for color in ("red", "blue"))
    >>> extract(raw_pixels(1), [red, blue, red]).values.tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    if kind not in ("images", "texts") or not hasattr(encoder, kind):
        remedy = "give kind images or texts, and an encoder that takes them"
        raise InputError(f"is {kind!r} for a {type(encoder).__name__}", field="kind", remedy=remedy)
    if not len(items) or batch_size < 1:
        field, problem = ("items", "there are none") if not len(items) else ("batch_size", f"is {batch_size}")
        raise InputError(problem, field=field, remedy="give at least one")
    given, identity = list(items), encoder.identity
    tell = progress or (lambda done, total: None)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        keys = list(pool.map(_picture_key if kind == "images" else _text_key, given))
        contents = dict(zip(reversed(keys), reversed(given)))  # key -> the first item of that content
        rows = cache.get_many(identity, keys) if cache is not None else {}
        tell(len(rows), len(contents))
        pending = [key for key in dict.fromkeys(keys) if key not in rows]
        if kind == "texts":
            _tell_of_cut(encoder, list(contents.values()))
            pending.sort(key=lambda key: len(str(contents[key])))  # texts of like length need little padding
        batches = [pending[start : start + batch_size] for start in range(0, len(pending), batch_size)]
        made = ([contents[key] for key in batch] for batch in batches)
        ready = _read_ahead(made, pool) if kind == "images" else made
        with _Keeping(cache, identity) as keeping, announced():
            for batch, prepared in zip(batches, ready):
                values = getattr(encoder, kind)(prepared).detach().cpu().float()
                new = dict(zip(batch, values, strict=True))
                _check_finite(new, contents)
                keeping.add(new)
                rows |= new
                tell(len(rows), len(contents))
    names = tuple(str(i) if isinstance(item, Image.Image) else str(item) for i, item in enumerate(given))
    return Embeddings(torch.stack([rows[key] for key in keys]), names, origin=identity)


class _Keeping:
    """Collects new rows and puts them into the cache now and then, and at the end however it comes."""

    def __init__(self, cache: FeatureCache | None, identity: str) -> None:
        self.cache, self.identity = cache, identity
        self.rows: dict[str, Tensor] = {}
        self.last = time.monotonic()

    def __enter__(self) -> _Keeping:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()

    def add(self, rows: Mapping[str, Tensor]) -> None:
        self.rows |= rows
        if time.monotonic() - self.last >= KEEP_SECONDS:
            self._flush()

    def _flush(self) -> None:
        if self.cache is not None:
            self.cache.put_many(self.identity, self.rows)
        self.rows, self.last = {}, time.monotonic()


def _read_ahead(batches: Iterable[Sequence[Any]], pool: ThreadPoolExecutor) -> Iterator[list[Image.Image]]:
    """Every batch of pictures, read; the next one is being read while the caller works on this one."""
    coming: list[Future[Image.Image]] = []
    for batch in batches:
        ready, coming = coming, [pool.submit(_picture, item) for item in batch]
        if ready:
            yield [picture.result() for picture in ready]
    if coming:
        yield [picture.result() for picture in coming]


def _picture(item: str | Path | Image.Image) -> Image.Image:
    return item if isinstance(item, Image.Image) else read_rgb(item)


def _picture_key(item: str | Path | Image.Image) -> str:
    if isinstance(item, Image.Image):
        palette = item.getpalette() if item.mode in ("P", "PA") else None
        head = f"{item.mode} {item.size} {palette} {item.info.get('transparency')}\n"
        return hashlib.sha256(head.encode() + item.tobytes()).hexdigest()
    with present(item).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _text_key(item: Any) -> str:
    if not isinstance(item, str):
        raise InputError(f"holds a {type(item).__name__}, not text", field="items")
    return hashlib.sha256(item.encode("utf-8", "surrogatepass")).hexdigest()


def _tell_of_cut(encoder: Any, texts: Sequence[Any]) -> None:
    """Warn once, of all texts together, cached ones too."""
    most = encoder.max_tokens
    # no tokenizer makes more tokens than ASCII has letters, but for the few it adds
    doubtful = [text for text in texts if len(text) + 8 > most or not text.isascii()]
    warn_of_cut(sum(encoder.count_tokens(text) > most for text in doubtful), len(texts), most)


def _check_finite(rows: Mapping[str, Tensor], contents: Mapping[str, Any]) -> None:
    for key, row in rows.items():
        if not torch.isfinite(row).all():
            item = contents[key]
            told = "a picture in memory" if isinstance(item, Image.Image) else str(item)
            problem = "its embedding holds values that are not finite numbers"
            raise InputError(problem, field=told, remedy="leave it out, or use another encoder")
