"""Training: quick, complete, reproducible, resumable, indifferent to processes."""

from __future__ import annotations

import math
import random
import signal
import time
from functools import partial
from pathlib import Path

import checks
import processes
from method import Fitted, Method, by_slug
from watched import WatchedRun, weights


def test_smoke_fit_is_quick_and_scores_are_finite(method: Method, tmp_path: Path) -> None:
    config, started = method.estimator.preset("smoke"), time.process_time()
    model = method.fit_config(config, tmp_path).model
    assert time.process_time() - started < 20
    scores = model.evaluate(method.estimator.example("test"))
    assert scores
    assert all(isinstance(key, str) and math.isfinite(value) for key, value in scores.items())


def test_every_parameter_gets_a_gradient(method: Method, fitted: Fitted, tmp_path: Path) -> None:
    checks.gradients_reach_all(fitted, method.facts.without_gradient)
    assert all(reason.strip() for reason in method.facts.without_gradient.values())
    for name, settings in method.facts.variants.items():
        checks.gradients_reach_all(method.fit(tmp_path / name, *settings), ())


def test_one_batch_can_be_learned_by_heart(method: Method, tmp_path: Path) -> None:
    checks.learned_by_heart(method, tmp_path)


def test_same_seed_is_bit_equal_and_another_differs(method: Method, fitted: Fitted, tmp_path: Path) -> None:
    checks.seed_decides(method, fitted, tmp_path)


def test_stopped_after_eleven_steps_and_resumed_equals_uninterrupted(
    method: Method, fitted: Fitted, tmp_path: Path
) -> None:
    checks.resumes(method, fitted, tmp_path)


def test_killed_at_random_steps_and_resumed_equals_uninterrupted(
    slug: str, method: Method, fitted: Fitted, tmp_path: Path
) -> None:
    chance = random.Random(slug)
    victims = [{"step": chance.randint(4, 9)}, {"seconds": chance.uniform(0.1, 0.4)}]
    for victim in victims:
        process = processes.start(processes.fit_until_killed, partial(by_slug, slug), tmp_path, victim)
        assert processes.finish(process) == -signal.SIGKILL, f"{victim} did not kill the fit"
        assert list((tmp_path / "run").rglob("step-*/tensors.safetensors")), (
            "no checkpoint was written before"
        )
        assert not list((tmp_path / "run").rglob("step-*-done")), "the fit was over before it was killed"
    rest = WatchedRun(tmp_path / "run", checkpoint_steps=2)
    model = method.fit(tmp_path, run=rest).model
    assert 0 < rest.counts["steps"] < fitted.run.counts["steps"], "nothing was resumed"
    checks.same_training(fitted.run.folder, tmp_path / "run")
    assert checks.equal(weights(fitted.model, tmp_path / "a"), weights(model, tmp_path / "b"))


def test_two_processes_train_as_one(slug: str, method: Method, tmp_path: Path) -> None:
    checks.processes_are_one(method, partial(by_slug, slug), tmp_path)
