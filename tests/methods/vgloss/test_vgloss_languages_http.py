"""The HTTP adapter against a server on a real socket that misbehaves in every way."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from visus.errors import InputError
from visus.methods.vgloss.model.languages import CachedLM, HttpLM

SECRET = "sk-very-secret-0815"
VARIABLE = "VISUS_TEST_KEY"


class Handler(BaseHTTPRequestHandler):
    """Hands every request to the server's `act`, in turn; the last act stays."""

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length) or "null")
        self.server.seen.append((self.path, dict(self.headers), body))  # type: ignore[attr-defined]
        acts = self.server.acts  # type: ignore[attr-defined]
        (acts.pop(0) if len(acts) > 1 else acts[0])(self, body)

    do_GET = do_POST

    def log_message(self, *args: Any) -> None:
        """Keep tests quiet."""

    def reply(self, content: Any, status: int = 200, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)


Act = Callable[[Handler, Any], None]


def chat(*texts: str | None) -> Act:
    choices = [{"index": i, "message": {"content": text}} for i, text in enumerate(texts)]
    return lambda handler, body: handler.reply({"choices": choices})


def status(code: int, content: Any = "trouble", **headers: str) -> Act:
    return lambda handler, body: handler.reply(content, code, **headers)


def reset(handler: Handler, body: Any) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    handler.connection.close()
    handler.close_connection = True


def cut_off(handler: Handler, body: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


def hang(handler: Handler, body: Any) -> None:
    time.sleep(0.8)
    handler.close_connection = True


def drip(handler: Handler, body: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(12):
        try:
            handler.wfile.write(b" ")
        except OSError:
            break
        time.sleep(0.1)
    handler.close_connection = True


@contextmanager
def server(*acts: Act) -> Iterator[tuple[str, list[tuple[str, dict, Any]]]]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.acts, made.seen = list(acts), []  # type: ignore[attr-defined]
    made.handle_error = lambda *args: None  # type: ignore[method-assign]
    thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_port}", made.seen  # type: ignore[attr-defined]
    finally:
        made.shutdown()
        made.server_close()
        thread.join()


def model(url: str, waits: list[float] | None = None, **options: Any) -> HttpLM:
    lm = HttpLM(url, **{"model": "small", "timeout": 5.0, "retries": 3, **options})
    lm.sleep = (waits if waits is not None else []).append
    return lm


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


def test_chat_request_and_answer():
    with server(chat("\n A tall bird. \nName: x", "b", "c")) as (url, seen):
        texts = model(url).generate(
            ["Name: crane"], n=3, temperature=0.7, top_p=0.9, max_new_tokens=9, seed=4
        )
    assert texts == [["A tall bird.", "b", "c"]]
    path, _, body = seen[0]
    assert path == "/v1/chat/completions"
    assert body["messages"] == [{"role": "user", "content": "Name: crane"}]
    told = {key: body[key] for key in ("model", "n", "temperature", "top_p", "max_tokens", "stop")}
    assert told == {
        "model": "small", "n": 3, "temperature": 0.7, "top_p": 0.9, "max_tokens": 9, "stop": ["\n"]
    }  # fmt: skip
    assert len(seen) == 1


def test_plain_completions_and_full_addresses():
    with server(lambda handler, body: handler.reply({"choices": [{"text": "x"}]})) as (url, seen):
        assert model(url, chat=False).generate(["p"]) == [["x"]]
        assert model(f"{url}/api/completions").generate(["p"]) == [["x"]]
        assert model(f"{url}/other/v1/", chat=False).generate(["p"]) == [["x"]]
    assert [path for path, *_ in seen] == ["/v1/completions", "/api/completions", "/other/v1/completions"]
    assert seen[0][2]["prompt"] == "p"


def test_seed_belongs_to_the_prompt_and_greedy_is_one_answer():
    with server(chat("x")) as (url, seen):
        lm = model(url)
        assert lm.generate(["a", "b"], n=5) == [["x"], ["x"]]
        lm.generate(["b"], n=1)
        lm.generate(["b"], n=1, seed=1)
    seeds = [body["seed"] for *_, body in seen]
    assert seeds[1] == seeds[2]
    assert len({seeds[0], seeds[1], seeds[3]}) == 3


def test_server_that_ignores_n_is_asked_again():
    with server(chat("a"), chat("b", "c"), chat("d")) as (url, seen):
        assert model(url).generate(["p"], n=3, temperature=1.0) == [["a", "b", "c"]]
    assert [body["n"] for *_, body in seen] == [3, 2]
    assert seen[0][2]["seed"] != seen[1][2]["seed"]


def test_choices_are_ordered_and_refusals_are_empty():
    rows = [{"index": 1, "message": {"content": "b"}}, {"index": 0, "message": {"content": None}}]
    with server(lambda handler, body: handler.reply({"choices": rows})) as (url, _):
        assert model(url).generate(["p"], n=2, temperature=1.0) == [["", "b"]]


@pytest.mark.parametrize("trouble", [status(429), status(500), status(503), status(408), reset, cut_off])
def test_passing_trouble_is_tried_again(trouble):
    waits: list[float] = []
    with server(trouble, trouble, chat("fine")) as (url, seen):
        assert model(url, waits, backoff=0.5).generate(["p"]) == [["fine"]]
    assert len(seen) == 3
    assert waits == [0.5, 1.0]


@pytest.mark.parametrize("slow", [hang, drip])
def test_time_out_covers_the_whole_request(slow):
    start = time.monotonic()
    with server(slow, chat("fine")) as (url, _):
        assert model(url, timeout=0.3).generate(["p"]) == [["fine"]]
        assert time.monotonic() - start < 0.75


def test_retry_after_is_honored_within_reason():
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    acts = [status(429, Retry_After=value) for value in ("7", date, "9000", "soon")]
    waits: list[float] = []
    with server(*acts, chat("fine")) as (url, _):
        assert model(url, waits, retries=4, backoff=0.25).generate(["p"]) == [["fine"]]
    assert waits[0] == 7
    assert 35 < waits[1] <= 40
    assert waits[2] == 120
    assert waits[3] == 2.0


def test_giving_up_says_what_happened():
    waits: list[float] = []
    with server(status(503)) as (url, seen), pytest.raises(InputError) as error:
        model(url, waits, retries=2).generate(["p"])
    assert "did not answer in 3 tries (HTTP 503)" in str(error.value)
    assert len(seen) == 3
    assert len(waits) == 2
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(InputError, match=r"tries \(.*refused.*check that the server runs"):
        model(closed, retries=1).generate(["p"])


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (401, f"set the environment variable {VARIABLE}"),
        (403, "may use this model"),
        (404, "offers the model 'small'"),
        (400, "server's message"),
        (422, "server's message"),
    ],
)
def test_refusals_are_not_repeated_and_never_show_the_key(monkeypatch, code, remedy):
    monkeypatch.setenv(VARIABLE, SECRET)
    with (
        server(status(code, {"error": f"no good: Bearer {SECRET}"})) as (url, seen),
        pytest.raises(InputError) as error,
    ):
        model(url, key=VARIABLE).generate(["p"])
    assert f"HTTP {code}" in str(error.value)
    assert "no good" in str(error.value)
    assert remedy in str(error.value)
    assert SECRET not in str(error.value)
    assert len(seen) == 1
    assert seen[0][1]["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"<html>welcome</html>", "did not answer JSON: <html>welcome"),
        (b"", "did not answer JSON"),
        (b'{"choices": [', "did not answer JSON"),
        (b'{"choices": []}', "without completions"),
        (b'{"choices": [{"text": "x"}]}', "without completions"),
        (b'{"error": "overloaded"}', "without completions.*overloaded"),
        (b"[]", "without completions"),
        (b'{"choices": [{"message": {"content": 3}}]}', "without completions"),
    ],
)
def test_other_answers_are_shown(content, problem):
    with server(lambda handler, body: handler.reply(content)) as (url, seen):
        with pytest.raises(InputError, match=problem):
            model(url).generate(["p"])
        assert len(seen) == 1


def test_endless_answers_are_refused(monkeypatch):
    monkeypatch.setattr("visus.methods.vgloss.model.languages.http.MOST_BYTES", 2**20)
    with (
        server(lambda handler, body: handler.reply(b" " * 2**21)) as (url, _),
        pytest.raises(InputError, match="more than 1 MiB"),
    ):
        model(url).generate(["p"])


def test_redirects_are_refused_so_the_key_stays_here(monkeypatch):
    monkeypatch.setenv(VARIABLE, SECRET)
    with server(chat("x")) as (other, stolen), server(status(307, Location=f"{other}/v1")) as (url, _):
        with pytest.raises(InputError, match=r"HTTP 307.*redirects"):
            model(url, key=VARIABLE).generate(["p"])
        assert stolen == []


def test_key_is_only_in_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(InputError, match=f"environment variable {VARIABLE}: is not set"):
        HttpLM("http://localhost:1", model="m", key=VARIABLE)
    monkeypatch.setenv(VARIABLE, SECRET)
    with server(chat("x")) as (url, _):
        lm = model(url, key=VARIABLE)
        CachedLM(lm, tmp_path).generate(["p"])
        assert SECRET not in lm.identity + repr(vars(lm))
    for file in tmp_path.iterdir():
        assert SECRET.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://x/v1", "http://", "http://me:pw@x/v1", "http://x/v1?key=1"]
)
def test_strange_addresses_are_refused(url):
    with pytest.raises(InputError, match="url") as error:
        HttpLM(url, model="m")
    assert "me:pw" not in str(error.value)


def test_the_only_model_is_found_and_several_are_listed():
    def models(*names: str) -> Act:
        return lambda handler, body: handler.reply({"data": [{"id": name} for name in names]})

    with server(models("tiny")) as (url, seen):
        assert HttpLM(url).model == "tiny"
        assert seen[0][0] == "/v1/models"
    with server(models("a", "b")) as (url, _), pytest.raises(InputError, match="model: offers a, b"):
        HttpLM(url)
    with server(status(404)) as (url, _), pytest.raises(InputError, match="HTTP 404"):
        HttpLM(url, retries=0)


def test_settings_out_of_range_are_refused():
    for options in ({"timeout": 0}, {"retries": -1}):
        with pytest.raises(InputError):
            HttpLM("http://localhost:1", model="m", **options)
