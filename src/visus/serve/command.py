"""`visus serve`."""

from __future__ import annotations

import contextlib
import signal
import socket
import tempfile
from pathlib import Path
from typing import Literal

from visus.errors import InputError
from visus.extras import need

STOP_SECONDS = 10


def serve(
    folders: list[Path] | None = None,
    /,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    lang: Literal["en", "zh"] = "en",
    max_files: int = 200,
    max_megabytes: int = 256,
) -> int:
    """A web app on this machine: the catalogue, reports, and predictions with saved models.

    Ctrl-C (or SIGTERM) stops it with exit code 0. There is no password: give another host than the default only in a
    network whose members may use the models and see the reports.

    Args:
        folders: where saved models, report.html and evidence.json are looked for; by default here.
        host: address to listen at.
        port: port to listen at; 0 takes a free one.
        lang: language of pages that are opened without a choice.
        max_files: most files in one prediction.
        max_megabytes: most megabytes in one prediction.
    """
    for module in ("uvicorn", "fastapi", "python_multipart"):
        need(module, extra="serve", purpose="the web app")
    roots = tuple(folders or [Path()])
    for root in roots:
        if not root.is_dir():
            raise InputError("is not a folder", file=root, remedy="give folders that exist")
    for name, value in (("--max-files", max_files), ("--max-megabytes", max_megabytes)):
        if value < 1:
            raise InputError(f"{value} is too small", field=name, remedy="give 1 or more")
    listening = listen(host, port)

    from visus.serve.app import Settings, create

    with listening, tempfile.TemporaryDirectory(prefix="visus-serve-") as scratch:
        settings = Settings(
            roots=roots,
            scratch=Path(scratch),
            host=host,
            lang=lang,
            max_files=max_files,
            max_megabytes=max_megabytes,
        )
        _run(create(settings), listening, _address(host, listening))
    return 0


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, or an `InputError` that says why not."""
    if not 0 <= port < 2**16:
        raise InputError(
            f"{port} is no port", field="--port", remedy="give 1024 to 65535, or 0 for a free one"
        )
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise InputError(f"{host!r} is no address", field="--host", remedy="give --host 127.0.0.1") from None
    listening = socket.socket(family, kind)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(128)
    except OSError as error:
        listening.close()
        remedy = "give another --port (0 takes a free one), or stop the program that uses this one"
        problem = f"cannot listen at {host}:{port} ({error.strerror})"
        raise InputError(problem, field="--port", remedy=remedy) from None
    return listening


def _run(app: object, listening: socket.socket, address: str) -> None:
    import uvicorn

    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    print(f"visus is at {address} (Ctrl-C stops it)", flush=True)
    # the server stops in order and then raises the signal again: end here, and leave no folder behind
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])
    print("stopped")


def _address(host: str, listening: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listening.getsockname()[1]}/"
