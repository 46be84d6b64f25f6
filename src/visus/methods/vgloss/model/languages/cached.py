"""Answers of a language model kept on disk: work goes on where it stopped, and replays without the model."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from visus.errors import InputError
from visus.methods.vgloss.model.languages.protocol import LINE, LanguageModel, check_settings, settings_key
from visus.records import write_json

FILE = "answers.sqlite"
TABLE = """CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, identity TEXT NOT NULL, prompt TEXT NOT NULL, settings TEXT NOT NULL, texts TEXT NOT NULL
) WITHOUT ROWID"""
PATIENCE = 60.0
"""Seconds to wait for another process that writes."""


class CachedLM:
    """A language model whose answers are read from a folder where they are there, and added where not.

    An answer is found by the model's identity, the prompt and all settings, so another temperature asks anew.
    Every answer is on disk before the next group of prompts is asked; a killed process loses one group at most,
    and two processes may share the folder (the first answer stored is the answer of both).

    Parameters
    ----------
    lm : the model, or its identity alone, as text: then nothing can be asked that is not there.
    folder : where `answers.sqlite` lies; made if needed.
    group : prompts the model is asked at once.
    """

    def __init__(self, lm: LanguageModel | str, folder: str | Path, *, group: int = 16) -> None:
        if group < 1:
            raise InputError(f"must be at least 1, got {group}", field="group")
        self.lm = None if isinstance(lm, str) else lm
        self.identity = lm if isinstance(lm, str) else lm.identity
        self.file, self.group = Path(folder) / FILE, group
        self.hits = self.misses = 0

    def generate(
        self,
        prompts: Sequence[str],
        *,
        n: int = 1,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_new_tokens: int = 50,
        stop: Sequence[str] = LINE,
        seed: int = 0,
    ) -> list[list[str]]:
        """Answers from the folder, the missing ones from the model; see `LanguageModel`.

        Raises
        ------
        InputError : an answer is missing and there is no model, or the file is not such a cache.
        """
        check_settings(n=n, temperature=temperature, top_p=top_p, max_new_tokens=max_new_tokens)
        settings: dict[str, Any] = {
            "n": n,
            "temperature": temperature,
            "top_p": top_p,
            "max_new_tokens": max_new_tokens,
            "stop": list(stop),
            "seed": seed,
        }
        written = json.dumps(settings_key(settings), sort_keys=True)
        keys = {prompt: answer_key(self.identity, prompt, written) for prompt in prompts}
        found = self._stored(keys, written)
        missing = [prompt for prompt in keys if prompt not in found]
        self.hits += len(keys) - len(missing)
        if missing and self.lm is None:
            raise InputError(
                f"holds no answer of {self.identity} to the prompt {missing[0][-60:]!r} with these settings",
                file=self.file,
                remedy="ask with the model once, or use the settings of that time",
            )
        for start in range(0, len(missing), self.group):
            part = missing[start : start + self.group]
            assert self.lm is not None  # refused above
            texts = self.lm.generate(part, **settings)
            self._store(
                [(keys[prompt], prompt, each) for prompt, each in zip(part, texts, strict=True)], written
            )
            self.misses += len(part)
            found |= self._stored({prompt: keys[prompt] for prompt in part}, written)
        return [list(found[prompt]) for prompt in prompts]

    def export(self, path: str | Path) -> None:
        """Write this model's answers as a file for `ReplayLM`, in an order that depends on the answers alone."""
        with self._open() as base:
            rows = base.execute(
                "SELECT prompt, settings, texts FROM answers WHERE identity = ? ORDER BY prompt, settings",
                (self.identity,),
            ).fetchall()
        answers = [
            {"prompt": prompt, "settings": json.loads(settings), "texts": json.loads(texts)}
            for prompt, settings, texts in rows
        ]
        write_json(Path(path), {"identity": self.identity, "answers": answers})

    def _stored(self, keys: dict[str, str], settings: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        with self._open() as base:
            for prompt, key in keys.items():
                row = base.execute("SELECT texts FROM answers WHERE key = ?", (key,)).fetchone()
                if row:
                    found[prompt] = json.loads(row[0])
        return found

    def _store(self, rows: Sequence[tuple[str, str, list[str]]], settings: str) -> None:
        with self._open() as base, base:
            base.executemany(
                "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?)",
                [(key, self.identity, prompt, settings, json.dumps(texts)) for key, prompt, texts in rows],
            )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own for every use: safe in threads and after a fork."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.file, timeout=PATIENCE)) as base:
                base.execute(TABLE)
                yield base
        except (sqlite3.DatabaseError, FileExistsError, NotADirectoryError) as error:
            raise InputError(
                f"cannot be used as a cache of answers ({error})",
                file=self.file,
                remedy="name another folder, or remove the file",
            ) from None


def answer_key(identity: str, prompt: str, settings: str) -> str:
    """Where an answer is found: a hash of the model's identity, the prompt and the settings as JSON text."""
    parts = json.dumps([identity, prompt, settings])
    return hashlib.sha256(parts.encode()).hexdigest()
