"""A plain HTTP client, a real server in a thread, and evidence with text that needs escaping."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visus.catalogue import get
from visus.protocols import Claim, Evidence, PaperEvidence

NASTY = "<script>alert('x')</script> & more"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Client:
    """Speaks to a server; `scratch` is its folder for running requests."""

    port: int
    scratch: Path

    def ask(
        self, path: str, *, body: bytes | None = None, headers: dict[str, str] | None = None, method: str = ""
    ) -> Answer:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(link):
            link.request(method or ("GET" if body is None else "POST"), path, body, headers or {})
            got = link.getresponse()
            text = got.read().decode()
            return Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, text)

    def send(
        self,
        path: str,
        files: Sequence[tuple[str, bytes]],
        headers: dict[str, str] | None = None,
        **fields: str,
    ) -> Answer:
        mark = uuid.uuid4().hex
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
            + content
            + b"\r\n"
            for name, content in files
        ]
        parts += [
            f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
            for name, text in fields.items()
        ]
        body = b"".join(parts) + f"--{mark}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        return self.ask(path, body=body, headers={**kind, **(headers or {})})


@contextlib.contextmanager
def served(folder: Path, scratch: Path, **settings: Any) -> Iterator[Client]:
    """A real server on a free port of this machine."""
    import uvicorn

    from visus.serve.app import Settings, create
    from visus.serve.command import listen

    listening = listen("127.0.0.1", 0)
    app = create(Settings(roots=(folder,), scratch=scratch, **settings))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield Client(listening.getsockname()[1], scratch)
    finally:
        server.should_exit = True
        thread.join(15)
        listening.close()
    assert not thread.is_alive()


def paper(slug: str = "attention") -> PaperEvidence:
    claim = Claim(
        id="super-better",
        statement=f"Super is better. {NASTY}",
        statement_zh="超级注意力更好。",
        experiment="digits",
        candidate="super",
        reference="standard",
        metric="accuracy",
        direction="higher",
        smallest_effect=0.01,
    )
    arms = {"super": [0.96, 0.95, 0.97], "standard": [0.92, 0.91, 0.93]}
    found = Evidence(claim=claim, arms=arms, effect=0.04, interval=(0.03, 0.05), verdict="holds")
    return PaperEvidence(slug=slug, arxiv=get(slug).arxiv, claims=[found], seconds=1.0)
