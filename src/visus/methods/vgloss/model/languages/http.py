"""A language model behind an OpenAI-compatible server, over the standard library's HTTP client."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from visus.engine.seeds import derive_seed
from visus.errors import InputError
from visus.methods.vgloss.model.languages.protocol import LINE, check_settings, cut

PATHS = {"/chat/completions": True, "/completions": False}
"""How an endpoint's path ends -> whether it takes messages."""
AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""HTTP statuses after which asking again may help."""
MOST_BYTES = 16 * 2**20
LONGEST_WAIT = 120.0
SHOWN = 200
"""Characters of a server's message that an error repeats."""
MOST_SEED = 2**31


class HttpLM:
    """Answers from `/v1/chat/completions` or `/v1/completions`.

    The key is read from an environment variable when a request is made; it is in no error, identity or cache.
    Redirects are refused, so that it goes to the named server alone.

    Parameters
    ----------
    url : the server's base (`http://localhost:8000/v1`) or the full address of either endpoint.
    model : the name the server knows the model by; None asks the server, which must offer exactly one.
    key : the environment variable that holds the key; None sends none.
    timeout : seconds one request may take in all.
    retries : further tries after a time-out, a broken connection or an answer that says to come back
        (429 and 5xx). The wait doubles from `backoff` seconds, or is what Retry-After asks for (at most 120 s).
    chat : False uses plain completions; the path of a full address decides by itself.

    Raises
    ------
    InputError : the address is not one, or the environment variable is not set.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        key: str | None = None,
        timeout: float = 60.0,
        retries: int = 5,
        backoff: float = 1.0,
        chat: bool = True,
    ) -> None:
        self.url, self.chat = _endpoint(url, chat)
        self.key, self.timeout, self.retries, self.backoff = key, timeout, retries, backoff
        if timeout <= 0 or retries < 0 or backoff < 0:
            raise InputError("timeout must be above 0, retries and backoff not below", field="timeout")
        self._headers()
        self.sleep: Callable[[float], None] = time.sleep
        self._open = urllib.request.build_opener(_NoRedirect).open
        self.model = model or self._only_model()

    @property
    def identity(self) -> str:
        """The model's name and the server's address."""
        return f"http:{self.model}@{self.url}"

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
        """For every prompt `n` answers, or one if `temperature` is 0; see `LanguageModel`.

        A server that ignores `n` is asked again, with another seed, until there are enough.

        Raises
        ------
        InputError : the server refuses (401, 403, 404, 400), does not answer after all tries, or answers
            something else than completions.
        """
        check_settings(n=n, temperature=temperature, top_p=top_p, max_new_tokens=max_new_tokens)
        settings = {
            "temperature": temperature,
            "top_p": top_p,
            "max_tokens": max_new_tokens,
            "stop": list(stop),
        }
        wanted = n if temperature > 0 else 1
        return [self._answers(prompt, wanted, settings, seed) for prompt in prompts]

    def _answers(self, prompt: str, wanted: int, settings: Mapping[str, Any], seed: int) -> list[str]:
        asked = {"messages": [{"role": "user", "content": prompt}]} if self.chat else {"prompt": prompt}
        texts: list[str] = []
        while len(texts) < wanted:
            body = {
                "model": self.model,
                **asked,
                **settings,
                "n": wanted - len(texts),
                "seed": derive_seed(seed, "answer", prompt, len(texts)) % MOST_SEED,
            }
            texts += self._texts(self._request(self.url, body))
        return [cut(text, settings["stop"]) for text in texts[:wanted]]

    def _texts(self, answer: Any) -> list[str]:
        """The choices' texts; a choice without text (a refusal) is an empty one."""
        try:
            choices = sorted(answer["choices"], key=lambda choice: choice.get("index", 0))
            found = [choice["message"]["content"] if self.chat else choice["text"] for choice in choices]
        except (AttributeError, KeyError, TypeError):
            found = []
        if not found or not all(text is None or isinstance(text, str) for text in found):
            raise InputError(
                f"answered without completions: {self._shown(json.dumps(answer))}",
                file=self.url,
                remedy="check that the address is an OpenAI-compatible endpoint",
            )
        return [text or "" for text in found]

    def _only_model(self) -> str:
        base = next(self.url.removesuffix(path) for path in PATHS if self.url.endswith(path))
        answer = self._request(f"{base}/models", None)
        rows = answer.get("data") if isinstance(answer, dict) else None
        names = [str(row["id"]) for row in rows or [] if isinstance(row, dict) and "id" in row]
        if len(names) != 1:
            told = f"offers {', '.join(names[:10])}" if names else "names no model"
            raise InputError(told, file=self.url, field="model", remedy="name the model to use")
        return names[0]

    def _request(self, url: str, body: Mapping[str, Any] | None) -> Any:
        """POST `body` (GET without one) and read JSON, with tries and waits."""
        for attempt in range(self.retries + 1):
            wait: float | None = None
            try:
                return self._once(url, body)
            except urllib.error.HTTPError as error:
                if error.code not in AGAIN:
                    raise self._refused(url, error) from None
                wait, trouble = _retry_after(error.headers.get("Retry-After")), f"HTTP {error.code}"
                error.close()
            except (OSError, HTTPException) as error:  # time-outs, resets, cut answers, refused connections
                reason = getattr(error, "reason", error)
                trouble = self._shown(str(reason) or type(reason).__name__)
            if attempt < self.retries:
                self.sleep(min(self.backoff * 2**attempt if wait is None else wait, LONGEST_WAIT))
        raise InputError(
            f"did not answer in {self.retries + 1} tries ({trouble})",
            file=url,
            remedy="check that the server runs and is reachable, or raise timeout and retries",
        )

    def _once(self, url: str, body: Mapping[str, Any] | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, headers=self._headers())
        until = time.monotonic() + self.timeout
        read = bytearray()
        with self._open(request, timeout=self.timeout) as answer:
            while part := answer.read1(2**16):
                read += part
                if len(read) > MOST_BYTES:
                    raise InputError(f"answered more than {MOST_BYTES >> 20} MiB", file=url)
                if time.monotonic() > until:
                    raise TimeoutError("timed out")
            length = answer.headers.get("Content-Length", "")
            if length.isdigit() and len(read) < int(length):
                raise ConnectionError("the answer was cut off")
        try:
            return json.loads(read)
        except ValueError:
            shown = self._shown(read.decode("utf-8", "replace"))
            raise InputError(
                f"did not answer JSON: {shown}",
                file=url,
                remedy="check that the address is an OpenAI-compatible endpoint",
            ) from None

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": "visus"}
        if self.key:
            headers["Authorization"] = f"Bearer {self._secret()}"
        return headers

    def _secret(self) -> str:
        secret = os.environ.get(self.key or "", "").strip()
        if not secret:
            raise InputError(
                "is not set", field=f"environment variable {self.key}", remedy="put the server's key into it"
            )
        return secret

    def _shown(self, text: str) -> str:
        """A server's words, short and without the key, should it repeat it."""
        if self.key:
            text = text.replace(self._secret(), "(key)")
        text = " ".join(text.split())
        return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."

    def _refused(self, url: str, error: urllib.error.HTTPError) -> InputError:
        with error:
            try:
                told = error.read(MOST_BYTES).decode("utf-8", "replace")
            except (OSError, HTTPException):
                told = ""
        model = getattr(self, "model", None)
        remedy = {
            401: f"set the environment variable {self.key} to a valid key"
            if self.key
            else "name the variable of a key",
            403: "use a key that may use this model",
            404: f"check the address and that the server offers the model {model!r}"
            if model
            else "name the model",
        }.get(error.code, "see the server's message")
        if 300 <= error.code < 400:
            remedy = "give the address it redirects to"
        return InputError(f"refused with HTTP {error.code}: {self._shown(told)}", file=url, remedy=remedy)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would send the key to whatever server is named there."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _endpoint(url: str, chat: bool) -> tuple[str, bool]:
    """The full address and whether it takes messages."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError("is not an http address", field=f"url {url!r}", remedy="write http://host:port/v1")
    if parts.username or parts.password or parts.query:
        raise InputError(
            "must not carry a user, a password or a query",
            field="url",
            remedy="put the key into an environment variable",
        )
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    for path, takes in PATHS.items():
        if base.endswith(path):
            return base, takes
    if not parts.path.strip("/"):
        base = f"{base}/v1"
    return base + next(path for path, takes in PATHS.items() if takes is chat), chat


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait by a Retry-After header: a number or a date.

    >>> _retry_after("2"), _retry_after("soon"), _retry_after("Wed, 21 Oct 2015 07:28:00 GMT")
    (2.0, None, 0.0)
    """
    if value is None:
        return None
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass
    try:
        return max((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return None
