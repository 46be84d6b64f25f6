"""The server of processes that get killed, started once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)}


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def victim() -> Iterator[Callable[..., dict]]:
    """Train the toy in another process and send it a signal; see victims.py for request and answer."""
    command = [sys.executable, str(HERE / "victims.py")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as server:

        def ask(*arguments: object, beats: int = 0, wait: float = 0.0, signal: int = 0) -> dict:
            request = {
                "arguments": [*map(str, arguments)],
                "beats": beats,
                "wait": wait,
                "signal": int(signal),
            }
            server.stdin.write(json.dumps(request) + "\n")
            server.stdin.flush()
            return json.loads(server.stdout.readline())

        yield ask
        server.stdin.close()
