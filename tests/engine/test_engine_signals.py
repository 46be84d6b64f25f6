"""Killed, interrupted, told to end: run again and nothing is different."""

from __future__ import annotations

import os
import random
import signal
import threading
import time

import pytest
from toy import read_log, steps_of

from visus.engine.signals import StopWish

EVERY = 3


def leftovers(folder):
    """Drafts of a process that died while writing."""
    return list(folder.rglob(".*"))


def test_killed_twenty_times(victim, tmp_path):
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    common = ["--epochs", 24, "--checkpoint-steps", EVERY]
    assert victim(whole, *common)["code"] == 0
    choose = random.Random(0)
    began = 0
    for _ in range(20):
        beats, wait = choose.randint(1, 12), choose.uniform(0.0, 0.012)
        life = victim(torn, *common, "--delay", 0.002, beats=beats, wait=wait, signal=signal.SIGKILL)
        assert life["code"] == -signal.SIGKILL
        first, last = life["steps"][0], life["steps"][-1]
        # step `last` had begun, so `last` steps were complete and the checkpoints they earned must be there
        assert first >= began // EVERY * EVERY
        assert first <= began + 1
        assert life["steps"] == list(range(first, last + 1))
        began = last
        names = [path.name for path in (torn / "checkpoints").glob("step-*")] if last >= EVERY else []
        assert last < EVERY or max(int(name.split("-")[1]) for name in names) >= last // EVERY * EVERY
    assert began < 24 * 7 - 1, "the training ended before all kills"
    life = victim(torn, *common)
    assert life["code"] == 0
    assert (torn / "final.json").read_text() == (whole / "final.json").read_text()
    assert steps_of(read_log(torn)) == [("train", step) for step in range(1, 24 * 7 + 1)]
    losses = [[row["loss"] for row in read_log(folder)] for folder in (whole, torn)]
    assert losses[0] == losses[1]
    assert leftovers(torn) == []
    assert [path.name for path in (torn / "checkpoints").iterdir()] == ["step-000000168-00-done"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop(victim, tmp_path, number):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert victim(whole, "--epochs", 2)["code"] == 0
    # no checkpoint is due in between: the one found was written because of the signal
    common = [stopped, "--epochs", 2, "--checkpoint-steps", 1000]
    life = victim(*common, "--delay", 0.02, beats=5, wait=0.01, signal=number)
    assert life["code"] == 130
    assert life["steps"] == [0, 1, 2, 3, 4]
    assert [path.name for path in (stopped / "checkpoints").iterdir()] == ["step-000000005-00"]
    life = victim(*common)
    assert life["code"] == 0
    assert life["steps"][0] == 5
    assert (stopped / "final.json").read_text() == (whole / "final.json").read_text()
    assert steps_of(read_log(stopped)) == [("train", step) for step in range(1, 15)]


def test_asked_to_stop_in_the_last_step(victim, tmp_path):
    """The wish is not lost although the training is complete; running again finds it done."""
    life = victim(tmp_path, "--epochs", 1, "--delay", 0.05, beats=7, wait=0.01, signal=signal.SIGINT)
    assert life["code"] == 130
    assert not (tmp_path / "final.json").exists()
    assert victim(tmp_path, "--epochs", 1) == {"steps": [], "code": 0}
    assert (tmp_path / "final.json").exists()


def test_second_interrupt_stops_at_once():
    before = signal.getsignal(signal.SIGINT)
    with StopWish() as wish:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        assert wish.wanted == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_leave_signals_alone():
    seen = []

    def work():
        with StopWish() as wish:
            seen.append((wish.wanted, signal.getsignal(signal.SIGTERM)))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(None, before)]
