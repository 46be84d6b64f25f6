"""Answers from a JSON file: hand-written, or exported from a cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from visus.errors import InputError
from visus.methods.vgloss.model.languages.protocol import LINE, check_settings, settings_key
from visus.records import read_json


class ReplayLM:
    """Repeats recorded answers; no model is needed.

    Two forms are read: `{prompt: [answer, ...]}`, whatever the settings, and what `CachedLM.export` writes,
    `{"identity", "answers": [{"prompt", "settings", "texts"}]}`, where the settings must agree.

    Raises
    ------
    InputError : the file is missing, or in neither form; names the place.
    """

    def __init__(self, path: str | Path) -> None:
        self.file = Path(path)
        plain = read_json(self.file)
        self._exact: dict[tuple[str, str], list[str]] = {}
        self._any: dict[str, list[str]] = {}
        self.identity = f"replay:{self.file.name}"
        if isinstance(plain, dict) and isinstance(plain.get("answers"), list):
            self.identity = str(plain.get("identity", self.identity))
            for i, row in enumerate(plain["answers"]):
                self._add(row, f"answers {i}")
        elif isinstance(plain, dict):
            for prompt, texts in plain.items():
                self._any[prompt] = self._texts(texts, f"prompt {prompt[-40:]!r}")
        else:
            raise InputError(
                "is not an object of prompts", file=self.file, remedy="write {prompt: [answers]}"
            )

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
        """The recorded answers, at most `n`.

        Raises
        ------
        InputError : no answer is recorded for a prompt (with these settings).
        """
        check_settings(n=n, temperature=temperature, top_p=top_p, max_new_tokens=max_new_tokens)
        settings = {"n": n, "temperature": temperature, "top_p": top_p, "max_new_tokens": max_new_tokens}
        key = repr(settings_key({**settings, "stop": stop, "seed": seed}))
        return [list(self._found(prompt, key)[:n]) for prompt in prompts]

    def _found(self, prompt: str, key: str) -> list[str]:
        found = self._exact.get((prompt, key), self._any.get(prompt))
        if found is None:
            known = any(each == prompt for each, _ in self._exact)
            raise InputError(
                "holds no answer with these settings" if known else "holds no answer",
                file=self.file,
                field=f"prompt ending in {prompt[-60:]!r}",
                remedy="record it with the model, through a cache",
            )
        return found

    def _add(self, row: Any, field: str) -> None:
        if not isinstance(row, dict) or not isinstance(row.get("prompt"), str):
            raise InputError("has no prompt", file=self.file, field=field)
        texts = self._texts(row.get("texts"), field)
        if row.get("settings") is None:
            self._any[row["prompt"]] = texts
            return
        try:
            key = repr(settings_key(row["settings"]))
        except (KeyError, TypeError, ValueError):
            raise InputError("has no usable settings", file=self.file, field=field) from None
        self._exact[row["prompt"], key] = texts

    def _texts(self, texts: Any, field: str) -> list[str]:
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise InputError("is not a list of texts", file=self.file, field=field)
        return texts
