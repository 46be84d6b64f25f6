"""Stopped in any stage, or killed, and run again: the same weights, temperature and lineage as without."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from chestxray_samples import phantoms, small

from visus.engine import Run
from visus.errors import Interrupted
from visus.methods.chestxray import ChestXrayReader

SETTINGS = ("classify_epochs=2", "saliency_epochs=2", "final_epochs=2", "dropout=0.2", "plateau=1")
STAGES = ("contrastive", "classify", "saliency", "final")


class StoppingRun(Run):
    """Asks `stop` at every step whether to act, by (stage, step of the stage from 1)."""

    def __init__(self, folder: Path, stop: Callable[[str, int], None], **more: Any) -> None:
        super().__init__(folder, progress=False, device="cpu", **more)
        self.stop, self.steps = stop, 0

    def train(self, trainable: Any, source: Any, phases: Any, *, check: Any = None) -> Any:
        plain = trainable.step

        def step(batch: Any, turn: Any) -> Any:
            self.steps += 1
            self.stop(turn.phase, turn.step + 1)
            return plain(batch, turn)

        trainable.step = step
        return super().train(trainable, source, phases, check=check)


def fit(run: Run) -> ChestXrayReader:
    torch.set_num_threads(1)
    return ChestXrayReader(small(*SETTINGS)).fit(phantoms(32, with_gaze=0.8), run)


def left(model: ChestXrayReader) -> tuple[Any, ...]:
    return model.lineage_, model.temperature_, model.sigmas_, model.abilities_


def same(one: ChestXrayReader, other: ChestXrayReader) -> None:
    assert left(one) == left(other)
    ours, theirs = one.net_.state_dict(), other.net_.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[ChestXrayReader, StoppingRun]:
    run = StoppingRun(tmp_path_factory.mktemp("whole"), lambda stage, step: None)
    return fit(run), run


@pytest.mark.parametrize("step", [1, 2, "last"])
@pytest.mark.parametrize("stage", STAGES)
def test_stopped_in_a_stage_and_resumed_is_uninterrupted(
    stage: str, step: int | str, tmp_path: Path, whole: tuple[ChestXrayReader, StoppingRun]
) -> None:
    """Also in a stage's last step, after which the checkpoint stands between two stages."""
    last = 3 if stage == "contrastive" else 6
    wanted = last if step == "last" else step

    def stop(where: str, count: int) -> None:
        if (where, count) == (stage, wanted):
            os.kill(os.getpid(), signal.SIGINT)

    first = StoppingRun(tmp_path / "run", stop)
    with pytest.raises(Interrupted):
        fit(first)
    second = StoppingRun(tmp_path / "run", lambda stage, step: None)
    same(whole[0], fit(second))
    assert first.steps + second.steps == whole[1].steps == 3 + 6 * 3


def test_a_finished_run_gives_its_model_without_a_step(
    whole: tuple[ChestXrayReader, StoppingRun],
) -> None:
    again = StoppingRun(whole[1].folder, lambda stage, step: None)
    same(whole[0], fit(again))
    assert again.steps == 0


def test_killed_while_it_learns_the_gaze_and_resumed_is_uninterrupted(
    tmp_path: Path, whole: tuple[ChestXrayReader, StoppingRun]
) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_chestxray_resume import StoppingRun, fit\n"
        "def die(stage, step):\n"
        "    if (stage, step) == ('saliency', 5): os.kill(os.getpid(), signal.SIGKILL)\n"
        f"fit(StoppingRun(Path({str(tmp_path / 'run')!r}), die, checkpoint_steps=2))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    rest = StoppingRun(tmp_path / "run", lambda stage, step: None, checkpoint_steps=2)
    same(whole[0], fit(rest))
    assert 0 < rest.steps < whole[1].steps
