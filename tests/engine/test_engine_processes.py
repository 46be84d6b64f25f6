"""Two processes are one at equal global batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pair
import pytest
import torch
from safetensors.torch import load_file
from toy import Toy, quiet, read_log, source, steps_of

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """Folder with what two processes started by torchrun wrote."""
    folder = tmp_path_factory.mktemp("pair")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launch, str(HERE / "pair.py"), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def assert_close(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.allclose(found[key].double(), value.double(), rtol=0, atol=tolerance), key


@pytest.mark.parametrize("case", pair.CASES)
def test_training_equals_one_process(results, case):
    toy, rows = pair.train(case, None)
    expected = {**toy.weights(), "losses": torch.tensor([row["loss"] for row in rows if "loss" in row])}
    for rank in range(2):
        assert_close(load_file(results / f"{case}.{rank}.safetensors"), expected, 1e-5)
    assert steps_of(read_log(results / "runs" / case)) == steps_of(rows)


def test_unreached_parameters_are_not_decayed():
    toy, _ = pair.train("unreached parameters", None)
    assert toy.extra["none"].item() == 1.0
    assert toy.extra["some"].item() < 1.0


@pytest.mark.parametrize("name", pair.NORMS)
def test_synced_batch_norm_is_batch_norm_of_the_joint_batch(results, name):
    found = [load_file(results / f"norm {name}.{rank}.safetensors") for rank in range(2)]
    expected = pair.normalize(name, 0, 1)
    for key, value in expected.items():
        if key in ("out", "input gradient", "evaluated"):
            assert torch.allclose(torch.cat([part[key] for part in found]), value, rtol=0, atol=1e-9), key
        elif key.startswith("gradient"):
            assert torch.allclose(found[0][key] + found[1][key], value, rtol=0, atol=1e-9), key
        else:
            for part in found:
                assert torch.allclose(part[key], value, rtol=0, atol=1e-12), key


def test_a_signal_to_one_process_stops_both_and_they_resume(results):
    assert (results / "interrupted.0").exists()
    assert (results / "interrupted.1").exists()
    toy = Toy(dropout=0.0)
    rows = quiet().train(toy, source(), [pair.PLAIN])
    for rank in range(2):
        assert_close(load_file(results / f"resumed.{rank}.safetensors"), toy.weights(), 1e-5)
    assert steps_of(read_log(results / "stopped")) == steps_of(rows)


def test_processes_share_a_temporary_folder(results):
    folders = {(results / f"temporary.{rank}").read_text() for rank in range(2)}
    assert len(folders) == 1
