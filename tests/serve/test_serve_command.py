"""`visus serve` as a process."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import serve_needs  # noqa: F401

from visus.errors import InputError, MissingExtra
from visus.serve.command import listen, serve

COMMAND = [sys.executable, "-m", "visus", "serve"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_and_stops_in_order(tmp_path, how):
    (tmp_path / "runs").mkdir()
    (tmp_path / "tmp").mkdir()
    words = [*COMMAND, str(tmp_path / "runs"), "--port", "0", "--lang", "zh"]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            address = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
            with urllib.request.urlopen(address, timeout=20) as answer:
                assert "可以直接使用的论文" in answer.read().decode()
            assert len(list((tmp_path / "tmp").iterdir())) == 1
            process.send_signal(how)
            out, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, out, errors) == (0, "stopped\n", "")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_port_in_use_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*COMMAND, str(tmp_path), "--port", str(port)], capture_output=True, text=True, timeout=30
        )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        f"error: --port: cannot listen at 127.0.0.1:{port} (Address already in use)"
    )
    assert "give another --port" in done.stderr


def test_wrong_arguments(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        serve([tmp_path / "nothing"])
    with pytest.raises(InputError, match="--max-megabytes: 0 is too small"):
        serve([tmp_path], max_megabytes=0)
    for port in (-1, 70_000):
        with pytest.raises(InputError, match=r"--port: -1|--port: 70000"):
            listen("127.0.0.1", port)
    with pytest.raises(InputError, match=r"--port: cannot listen at 203\.0\.113\.1"):
        listen("203.0.113.1", 0)


def test_missing_packages_are_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(MissingExtra, match=r'the web app needs fastapi: pip install "visus\[serve\]"'):
        serve([tmp_path])


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom visus.cli import main\ncode = main(['serve', '--help'])\n"
        "heavy = ('torch', 'numpy', 'pandas', 'fastapi', 'uvicorn', 'starlette', 'jinja2')\n"
        "print('HEAVY', code, [name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("HEAVY 0 []")
    assert "where saved models" in done.stdout


def test_the_server_starts_without_torch(tmp_path):
    code = "import sys, visus.serve.app\nprint([m for m in ('torch', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_templates_are_packaged(root: Path):
    text = (root / "pyproject.toml").read_text()
    kinds = {path.suffix for path in (root / "src/visus/serve/templates").iterdir()}
    assert all(f'"**/*{kind}"' in text for kind in kinds)
