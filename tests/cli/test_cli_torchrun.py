"""`torchrun -m visus ...`: two processes train one model, and one of them writes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from visus.cli import main
from visus.methods.attention.verbs import example


def test_two_processes_fit_as_one(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    example(out=Path("files"))
    fit = ["attention", "fit", "files/digits", "--preset", "smoke", "--device", "cpu", "--set", "dropout=0"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, "-m", "visus", *fit, "--out", "pair"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.count("learned 10 classes") == 1, "only the main process speaks"
    assert main([*fit, "--out", "alone"]) == 0

    def scores(run: str) -> dict[str, float]:
        capsys.readouterr()
        assert main(["attention", "evaluate", "files/digits", "--model", run]) == 0
        rows = (line.split() for line in capsys.readouterr().out.splitlines())
        return {name: float(value) for name, value in rows}

    alone, pair = scores("alone"), scores("pair")
    assert alone.keys() == pair.keys()
    assert all(abs(alone[name] - pair[name]) < 2e-3 for name in alone)
