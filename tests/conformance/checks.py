"""The checks themselves: each takes a method or its output and fails with an `AssertionError` in words.

`test_suite_notices.py` runs them on methods that are wrong on purpose.
"""

from __future__ import annotations

import dataclasses
import math
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import processes
import pytest
import torch
from method import Fitted, Method
from specimen import REQUIRED_KINDS, BadInput
from watched import WatchedRun, last_checkpoints, log, stop_at, weights

from visus.data.loader import Subset
from visus.errors import InputError, Interrupted
from visus.protocols import Prediction, Source
from visus.records import from_plain, from_yaml, to_plain, to_yaml

MATES = 6
ROUNDING = 1e-5
"""Predictions beside other batch mates; a field must change more than this."""
PROCESSES = 1e-3
"""Losses and predictions of two processes and one."""
INERT = 1e-2
"""Predictions after a fit in which rounding differed from the first step on."""


def equal(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    """Whether two sets of tensors have the same names and bits."""
    return one.keys() == other.keys() and all(
        one[key].shape == other[key].shape and torch.equal(one[key], other[key]) for key in one
    )


# ---- configurations ---------------------------------------------------------------------------------------


def config_is_strict(record: type, config: Any) -> None:
    """Through YAML and back; unknown keys and wrong types are refused by name."""
    assert type(config) is record
    assert from_yaml(record, to_yaml(config)) == config
    plain = to_plain(config)
    refused(lambda: from_plain(record, {**plain, "no_such_field": 1}), "no_such_field")
    number = next(
        key for key, value in plain.items() if isinstance(value, int) and not isinstance(value, bool)
    )
    refused(lambda: from_plain(record, {**plain, number: "many"}), number)


def refused(call: Callable[[], Any], fragment: str) -> None:
    """The call raises an `InputError` that says `fragment`."""
    message = None
    try:
        call()
    except InputError as error:
        message = str(error)
    assert message is not None, f"{fragment}: nothing was refused"
    assert fragment in message, f"the refusal does not say {fragment!r}: {message}"


def fields_matter(method: Method, fitted: Fitted, folder: Path) -> None:
    """Every field changes what a fit leaves behind; those declared inert leave predictions as they are."""
    facts, record = method.facts, method.estimator.Config
    names = {field.name for field in dataclasses.fields(record)}
    unknown = {*facts.inert, *facts.alternatives, *facts.context, *facts.sources} - names
    assert not unknown, f"the specimen speaks of fields that do not exist: {sorted(unknown)}"
    plain = method.estimator.example
    bases: dict[Any, Any] = {((), plain): traces(fitted, plain("test"), folder / "base")}
    idle, alive = [], []
    for name in sorted(names):
        context, source = tuple(facts.context.get(name, ())), facts.sources.get(name, plain)
        config = method.config(*context)
        if (context, source) not in bases:
            where = folder / f"base-{len(bases)}"
            other = method.fit_config(config, where, source=source("train"))
            bases[context, source] = traces(other, source("test"), where / "model")
        changed = dataclasses.replace(config, **{name: _alternative(method, name, config)})
        assert from_plain(record, to_plain(changed)) == changed, f"{name}: the alternative is not legal"
        assert getattr(changed, name) != getattr(config, name), f"{name}: the alternative equals the value"
        fit = method.fit_config(changed, folder / name, source=source("train"))
        before, after = bases[context, source], traces(fit, source("test"), folder / name / "model")
        if name in facts.inert:
            assert facts.inert[name].strip(), f"{name}: declared inert without a reason"
            alive += [] if _close(before[1], after[1], INERT) else [name]
        elif all(_close(one, other, ROUNDING) for one, other in zip(before[:2], after[:2])):
            idle.append(name)
    assert not idle, (
        f"these fields change nothing; use them, drop them or declare them inert with a reason: {idle}"
    )
    assert not alive, f"these fields are declared inert and change predictions: {alive}"


def traces(
    fit: Fitted, test: Source, folder: Path
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """What a fit leaves behind: weights and predictions."""
    return weights(fit.model, folder), _numbers(fit.model.predict(test))


def _numbers(prediction: Prediction) -> dict[str, torch.Tensor]:
    return {key: torch.as_tensor(value) for key, value in prediction.items() if not isinstance(value, list)}


def _close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], tolerance: float) -> bool:
    """Same names and shapes, and real numbers that differ by no more than the tolerance."""
    real = [key for key, value in one.items() if value.is_floating_point()]
    return one.keys() == other.keys() and all(
        one[key].shape == other[key].shape
        and torch.allclose(one[key].double(), other[key].double(), rtol=tolerance, atol=tolerance)
        for key in real
    )


def _alternative(method: Method, name: str, config: Any) -> Any:
    if name in method.facts.alternatives:
        return method.facts.alternatives[name]
    return another(typing.get_type_hints(method.estimator.Config)[name], getattr(config, name), name)


def another(kind: Any, value: Any, name: str) -> Any:
    """Another legal value of a field's type."""
    kinds = typing.get_args(kind) if _is_union(kind) else (kind,)
    for option in kinds:
        if typing.get_origin(option) is typing.Literal and value in typing.get_args(option):
            return next(choice for choice in typing.get_args(option) if choice != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value * 2 if value else 1
    if isinstance(value, float):
        return value / 2 if value else 0.1
    raise AssertionError(f"the specimen must give an alternative for the field {name!r}")


def _is_union(kind: Any) -> bool:
    return isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union


# ---- training ---------------------------------------------------------------------------------------------


def gradients_reach_all(fitted: Fitted, excused: Iterable[str]) -> None:
    """Every trained parameter got a gradient other than zero; every parameter of the model was trained."""
    run, excused = fitted.run, tuple(excused)
    assert run.gradients, "nothing was trained"
    idle = [name for name, seen in run.gradients.items() if not seen and not _own(name).startswith(excused)]
    assert not idle, f"no gradient ever reached {idle}"
    untrained = [
        f"{part}/{name}"
        for part, module in fitted.model.parts().items()
        for name, weight in module.named_parameters()
        if id(weight) not in run.watched and not f"{part}/{name}".startswith(excused)
    ]
    assert not untrained, f"these parameters are part of the model but of no training: {untrained}"
    reasons = [
        prefix for prefix in excused if not any(_own(name).startswith(prefix) for name in run.gradients)
    ]
    assert not reasons, f"the specimen excuses parameters that do not exist: {reasons}"


def _own(name: str) -> str:
    return name.split("/", 1)[1]


def learned_by_heart(method: Method, folder: Path) -> None:
    """The stated score on one small batch is reached."""
    task = method.facts.overfit
    assert (task.at_least is None) != (task.at_most is None), "state a score to reach"
    source = task.source()
    score = method.fit(folder, *task.settings, source=source).model.evaluate(source)[task.metric]
    if task.at_least is not None:
        assert score >= task.at_least, f"{task.metric} is {score}, at least {task.at_least} was stated"
    else:
        assert score <= task.at_most, f"{task.metric} is {score}, at most {task.at_most} was stated"


def seed_decides(method: Method, fitted: Fitted, folder: Path) -> None:
    """The same seed gives the same bits whatever the global generators hold; another seed gives others."""
    first = weights(fitted.model, folder / "a")
    torch.manual_seed(20_060)
    np.random.seed(7)  # noqa: NPY002 - the global generator must not matter
    again = method.fit(folder / "again")
    assert equal(first, weights(again.model, folder / "b")), "the same seed gives other weights"
    other = method.fit(folder / "other", seed=1)
    assert not equal(first, weights(other.model, folder / "c")), "another seed gives the same weights"


def same_training(one: Path, other: Path) -> None:
    """Two run folders tell of the same training: every log row, last weights and optimizer states bit for bit."""
    left, right = log(one), log(other)
    assert left, f"no log in {one}"
    assert left == right, f"the logs differ: {_first_difference(left, right)}"
    left, right = last_checkpoints(one), last_checkpoints(other)
    assert left, f"no final checkpoint in {one}"
    assert equal(left, right), "the final checkpoints differ"


def _first_difference(left: list, right: list) -> str:
    pairs = ((a, b) for a, b in zip(left, right) if a != b)
    return str(next(pairs, f"{len(left)} and {len(right)} rows"))


def resumes(method: Method, whole: Fitted, folder: Path) -> None:
    """Stopped by Ctrl-C in step 11 and run again equals uninterrupted; a finished run does nothing more."""
    total = whole.run.counts["steps"]
    assert total >= 20, f"the micro fit has {total} steps, at least 20 are needed"
    run = WatchedRun(folder / "run")
    run.before_step = stop_at(11)
    with pytest.raises(Interrupted):
        method.fit(folder, run=run)
    assert run.counts["steps"] == 11
    again = method.fit(folder / "run")
    assert again.run.counts["steps"] == total - 11, "resuming took other than the remaining steps"
    same_training(whole.run.folder, folder / "run")
    wanted = weights(whole.model, folder / "a")
    assert equal(wanted, weights(again.model, folder / "b")), "resumed weights differ"
    rested = method.fit(folder / "run")
    assert rested.run.counts["steps"] == 0, "a finished run has nothing left to do"
    assert equal(wanted, weights(rested.model, folder / "c")), "a finished run gives other weights"


def processes_are_one(method: Method, make: processes.Make, folder: Path) -> None:
    """Two processes at the same global batch, shared out unequally, learn what one process learns."""
    settings = method.facts.steady
    assert method.config(*settings).batch_size % 2, "an odd batch size is needed for unequal shares"
    alone = method.fit(folder / "alone", *settings)
    processes.train_together(make, folder / "pair", settings)
    same_losses(alone.run.folder, folder / "pair" / "run")
    pair = type(alone.model).load(folder / "pair" / "model")
    source = method.estimator.example("test")
    one, two = (_numbers(model.predict(source)) for model in (alone.model, pair))
    real = [key for key, value in one.items() if value.is_floating_point()]
    assert real, "a prediction holds no real number"
    same_prediction({k: one[k] for k in real}, {k: two[k] for k in real}, PROCESSES)


def same_losses(one: Path, other: Path) -> None:
    """Two run folders tell of the same losses, up to the rounding of another order of sums."""
    left, right = log(one), log(other)
    assert left, f"no log in {one}"
    assert len(left) == len(right), f"{len(left)} and {len(right)} log rows"
    for a, b in zip(left, right):
        numbers = [key for key, value in a.items() if isinstance(value, float) and not a.get("check")]
        for key in numbers:
            near = math.isclose(a[key], b[key], rel_tol=PROCESSES, abs_tol=PROCESSES)
            assert near, f"step {a['step']}: {key} {a[key]} and {b[key]}"


# ---- predictions ------------------------------------------------------------------------------------------


def finite(prediction: Prediction) -> None:
    """No number of a prediction is infinite or not a number."""
    for key, value in _numbers(prediction).items():
        assert torch.isfinite(value.double()).all(), f"{key} holds values that are not finite"


def same_prediction(one: Prediction, other: Prediction, tolerance: float = 0.0) -> None:
    """Equal keys and values; with a tolerance, numbers that are floating may differ by it."""
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, list):
            assert value == other[key], f"{key}: {value} and {other[key]}"
            continue
        left, right = torch.as_tensor(value), torch.as_tensor(other[key])
        assert left.shape == right.shape, f"{key}: shapes {tuple(left.shape)} and {tuple(right.shape)}"
        if left.is_floating_point() and tolerance:
            near = torch.allclose(left, right, rtol=tolerance, atol=tolerance)
            assert near, f"{key} differs by {(left - right).abs().max():.3g}"
        else:
            assert torch.equal(left, right), f"{key} differs"


def mates_do_not_matter(model: Any, source: Source) -> None:
    """An item's prediction is the same alone, among others, and in another order."""
    count = min(MATES, len(source))
    together = model.predict(source.batch(range(count)))
    alone = [model.predict(source.batch([index])) for index in range(count)]
    turned = model.predict(Subset(source, list(range(count))[::-1]))
    same_prediction(together, {key: _joined([one[key] for one in alone]) for key in together}, ROUNDING)
    backwards = {
        key: value[::-1] if isinstance(value, list) else value.flip(0) for key, value in turned.items()
    }
    same_prediction(together, backwards, ROUNDING)


def _joined(values: list[Any]) -> Any:
    if isinstance(values[0], list):
        return [item for value in values for item in value]
    return torch.cat([torch.as_tensor(value) for value in values])


def survives_saving(model: Any, source: Source, folder: Path) -> None:
    """What was saved predicts the same bits after loading, and the folder holds the three documented files."""
    model.save(folder)
    loaded = type(model).load(folder)
    assert loaded.settings == model.settings
    same_prediction(model.predict(source), loaded.predict(source))
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", "README.md"}


# ---- formulas ---------------------------------------------------------------------------------------------


def losses_agree(values: Sequence[tuple[str, torch.Tensor, torch.Tensor]]) -> None:
    """Every loss equals its slow transcription in float64."""
    assert values, "no loss was transcribed"
    for name, fast, slow in values:
        assert fast.dtype == torch.float64, f"{name}: computed in {fast.dtype}"
        assert fast.numel(), f"{name}: nothing was compared"
        near = torch.allclose(fast, slow, rtol=1e-10, atol=1e-10)
        assert near, f"{name}: {fast} is not {slow}"


def is_baseline(method: torch.Tensor, baseline: torch.Tensor) -> None:
    """The method without its ingredient gives its baseline's bits, and these are not one number repeated."""
    assert method.unique().numel() > 1, "a constant output compares nothing"
    assert torch.equal(method, baseline), (
        f"differs from the baseline by {(method - baseline).abs().max():.3g}"
    )


# ---- files ------------------------------------------------------------------------------------------------


def files_in(*folders: Path) -> set[tuple[str, int, int]]:
    """Every file below the folders: path, size, time of the last change."""
    found = set()
    for folder in folders:
        for place, _, names in os.walk(folder):
            for name in names:
                path = Path(place, name)
                found.add((str(path), path.stat().st_size, path.stat().st_mtime_ns))
    return found


def bad_input_is_refused(
    cases: Sequence[BadInput],
    main: Callable[[Sequence[str]], int],
    messages: Callable[[], str],
    *watched: Path,
) -> None:
    """Exit code 2, a message with place, problem and remedy, and no file written or changed in `watched`.

    `messages` gives what was written to standard error since it was last called.
    """
    missing = REQUIRED_KINDS - {case.kind for case in cases}
    assert not missing, f"no case of {sorted(missing)}"
    faults = []
    for case in cases:
        messages()
        before = files_in(*watched)
        code = main(list(case.argv))
        message = " ".join(messages().split())
        unsaid = [fragment for fragment in (*case.says, "What to do:") if fragment not in message]
        left = sorted(path for path, *_ in files_in(*watched) - before)
        found = [f"exit code {code}"] if code != 2 else []
        found += ["a traceback"] if "Traceback" in message else []
        found += [f"does not say {unsaid}"] if unsaid or not case.says else []
        found += [f"leaves {left}"] if left else []
        faults += [f"{case.kind} ({case.name}): {', '.join(found)}: {message!r}"] if found else []
    assert not faults, "\n".join(faults)
