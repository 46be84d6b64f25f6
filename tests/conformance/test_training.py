"""Training: reproducible, resumable, complete, indifferent to processes and batch mates."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from watched import WatchedRun, stop_at, weights

from visus.data.loader import Subset
from visus.errors import Interrupted

DRIVER = Path(__file__).parent / "watched.py"


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def command(slug: str, folder: Path, settings: Any, *, delay: float = 0.0) -> list[str]:
    return [str(DRIVER), slug, str(folder), "--delay", str(delay), "--set", *settings]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}


def test_smoke_fit_is_quick_and_scores_are_finite(estimator: Any, tmp_path: Path) -> None:
    started = time.process_time()
    model = estimator(estimator.preset("smoke")).fit(estimator.example("train"), WatchedRun(tmp_path))
    assert time.process_time() - started < 40  # 20 s on two cores
    scores = model.evaluate(estimator.example("test"))
    assert scores
    assert all(isinstance(key, str) and math.isfinite(value) for key, value in scores.items())


def test_predictions_have_their_documented_form_at_odd_sizes_and_batch_one(
    estimator: Any, facts: Any, fit: Any, fitted: Any, tmp_path: Path
) -> None:
    for number, (source, settings) in enumerate(facts.odd()):
        model = fit(tmp_path / str(number), settings=settings, source=source)
        facts.check_prediction(model.predict(source), len(source))
    one = estimator.example("test").batch([0])
    facts.check_prediction(fitted.predict(one), 1)


def test_every_parameter_gets_a_gradient(fit: Any, facts: Any, tmp_path: Path) -> None:
    run = WatchedRun(tmp_path)
    fit(tmp_path, run=run)
    assert run.gradients
    idle = [
        name
        for name, seen in run.gradients.items()
        if not seen and not any(name.split("/", 1)[1].startswith(prefix) for prefix in facts.without_gradient)
    ]
    assert not idle, f"no gradient ever reached {idle}"


def test_one_batch_can_be_learned_by_heart(estimator: Any, facts: Any, fit: Any, tmp_path: Path) -> None:
    task = facts.overfit
    source = task.source()
    score = fit(tmp_path, settings=task.settings, source=source).evaluate(source)[task.metric]
    if task.at_least is not None:
        assert score >= task.at_least
    else:
        assert score <= task.at_most


def test_same_seed_is_bit_equal_and_another_differs(fit: Any, fitted: Any, tmp_path: Path) -> None:
    first = weights(fitted, tmp_path / "a")
    assert equal(first, weights(fit(tmp_path / "again"), tmp_path / "b"))
    assert not equal(first, weights(fit(tmp_path / "other", seed=1), tmp_path / "c"))


def test_stopped_after_eleven_steps_and_resumed_equals_uninterrupted(fit: Any, fitted: Any, tmp_path: Path) -> None:
    run = WatchedRun(tmp_path / "run")
    run.before_step = stop_at(11)
    with pytest.raises(Interrupted):
        fit(tmp_path, run=run)
    assert run.counts["steps"] == 11
    again = WatchedRun(tmp_path / "run")
    model = fit(tmp_path, run=again)
    assert again.counts["steps"] >= 9, "the micro fit must have at least 20 steps"
    assert equal(weights(fitted, tmp_path / "a"), weights(model, tmp_path / "b"))
    rested = WatchedRun(tmp_path / "run")
    assert equal(weights(fit(tmp_path, run=rested), tmp_path / "c"), weights(model, tmp_path / "b"))
    assert rested.counts["steps"] == 0, "a finished run has nothing left to do"


def test_killed_at_random_steps_and_resumed_equals_uninterrupted(
    slug: str, facts: Any, fitted: Any, tmp_path: Path
) -> None:
    wanted = weights(fitted, tmp_path / "wanted")
    chance = random.Random(5)
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, *command(slug, tmp_path, facts.micro, delay=0.1)], env=environment()
        )
        deadline = time.monotonic() + 90
        seen = set(tmp_path.rglob("step-*"))
        while process.poll() is None and set(tmp_path.rglob("step-*")) <= seen and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(chance.uniform(0.0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "model").exists()
    subprocess.run([sys.executable, *command(slug, tmp_path, facts.micro)], env=environment(), check=True)
    assert equal(wanted, load_file(tmp_path / "model" / "model.safetensors"))


def test_two_processes_train_as_one(slug: str, estimator: Any, facts: Any, fit: Any, tmp_path: Path) -> None:
    settings = [*facts.micro, *facts.steady]
    alone = fit(tmp_path / "alone", settings=facts.steady)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*launcher, *command(slug, tmp_path / "pair", settings)], env=environment(), check=True)
    pair = type(alone).load(tmp_path / "pair" / "model")
    test = estimator.example("test")
    one, two = alone.predict(test), pair.predict(test)
    for key in one:
        if not isinstance(one[key], list) and torch.as_tensor(one[key]).is_floating_point():
            torch.testing.assert_close(torch.as_tensor(one[key]), torch.as_tensor(two[key]), rtol=1e-3, atol=1e-3)


def test_a_prediction_does_not_depend_on_batch_mates(estimator: Any, fitted: Any) -> None:
    test = estimator.example("test")
    count = min(6, len(test))
    together = fitted.predict(test.batch(range(count)))
    alone = [fitted.predict(test.batch([index])) for index in range(count)]
    turned = fitted.predict(Subset(test, list(range(count))[::-1]))
    for key, value in together.items():
        if isinstance(value, list):
            assert value == [one[key][0] for one in alone]
            continue
        value = torch.as_tensor(value)
        torch.testing.assert_close(value, torch.cat([torch.as_tensor(one[key]) for one in alone]), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(value, torch.as_tensor(turned[key]).flip(0), rtol=1e-5, atol=1e-5)


def test_saved_and_loaded_models_predict_the_same(estimator: Any, fitted: Any, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model")
    loaded = estimator.load(tmp_path / "model")
    assert loaded.settings == fitted.settings
    test = estimator.example("test")
    before, after = fitted.predict(test), loaded.predict(test)
    assert before.keys() == after.keys()
    for key, value in before.items():
        if isinstance(value, list):
            assert value == after[key]
        else:
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(after[key]))
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"config.json", "model.safetensors", "README.md"}


def test_without_its_ingredient_the_method_is_its_baseline(facts: Any) -> None:
    method, baseline = facts.ingredient_off()
    assert torch.equal(method, baseline)


def test_losses_equal_a_slow_transcription(facts: Any) -> None:
    checked = facts.losses()
    assert checked
    for name, fast, slow in checked:
        assert fast.dtype == torch.float64, name
        torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-10, msg=lambda text, name=name: f"{name}: {text}")
