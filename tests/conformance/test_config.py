"""Configurations: strict, complete, and every field earns its place."""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.base import clone
from watched import WatchedRun, weights

from visus import catalogue
from visus.errors import InputError
from visus.records import from_plain, from_yaml, override, to_plain, to_yaml


@pytest.mark.parametrize("preset", ["smoke", "demo", "gpu", "paper"])
def test_presets_round_trip_through_yaml(estimator: Any, preset: str) -> None:
    config = estimator.preset(preset)
    assert type(config) is estimator.Config
    assert from_yaml(estimator.Config, to_yaml(config)) == config


def test_unknown_keys_and_wrong_types_are_refused(estimator: Any) -> None:
    plain = to_plain(estimator.preset("smoke"))
    with pytest.raises(InputError, match="no_such_field"):
        from_plain(estimator.Config, {**plain, "no_such_field": 1})
    number = next(key for key, value in plain.items() if isinstance(value, int) and not isinstance(value, bool))
    with pytest.raises(InputError, match=number):
        from_plain(estimator.Config, {**plain, number: "many"})
    with pytest.raises(InputError, match="preset"):
        estimator.preset("no-such-preset")


def test_estimator_is_cloneable(estimator: Any) -> None:
    made = estimator(estimator.preset("smoke"))
    other = clone(made)
    assert other is not made
    assert other.get_params()["config"] == made.get_params()["config"]
    with pytest.raises(Exception, match="not fitted"):
        other.parts()


def test_every_field_changes_something_or_is_declared_inert(
    estimator: Any, facts: Any, fit: Any, fitted: Any, tmp_path: Path
) -> None:
    names = {field.name for field in dataclasses.fields(estimator.Config)}
    unknown = (set(facts.inert) | set(facts.alternatives) | set(facts.context)) - names
    assert not unknown, f"the specimen speaks of fields that do not exist: {unknown}"
    base: dict[tuple[str, ...], Any] = {(): signature(fitted, estimator, tmp_path / "base")}
    idle = []
    for field in sorted(names - set(facts.inert)):
        context = tuple(facts.context.get(field, ()))
        if context not in base:
            model = fit(tmp_path / f"context-{len(base)}", settings=context)
            base[context] = signature(model, estimator, tmp_path / f"context-model-{len(base)}")
        config = override(estimator.preset("smoke"), [*facts.micro, *context])
        value = facts.alternatives.get(field, _another(typing.get_type_hints(estimator.Config)[field], getattr(config, field)))
        changed = override(config, {field: to_plain(value) if dataclasses.is_dataclass(value) else value})
        assert getattr(changed, field) != getattr(config, field), f"{field}: the alternative equals the value"
        model = estimator(changed)
        model.fit(estimator.example("train"), WatchedRun(tmp_path / field))
        if same(signature(model, estimator, tmp_path / f"{field}-model"), base[context]):
            idle.append(field)
    assert not idle, f"these fields change nothing; use them, drop them or declare them inert with a reason: {idle}"


def signature(model: Any, estimator: Any, folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any], dict[str, float]]:
    """All that a fit leaves behind: weights, predictions, scores."""
    test = estimator.example("test")
    predicted = {k: torch.as_tensor(v) for k, v in model.predict(test).items() if not isinstance(v, list)}
    return weights(model, folder), predicted, model.evaluate(test)


def same(one: Any, other: Any) -> bool:
    for left, right in zip(one[:2], other[:2]):
        if left.keys() != right.keys():
            return False
        for key in left:
            if left[key].shape != right[key].shape or not torch.equal(left[key], right[key]):
                return False
    return one[2] == other[2]


def _another(kind: Any, value: Any) -> Any:
    """Another legal value of a field's type."""
    options = [option for option in typing.get_args(kind) if option is not type(None)]
    if typing.get_origin(kind) is typing.Literal:
        return next(option for option in typing.get_args(kind) if option != value)
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        literals = [o for option in options for o in (typing.get_args(option) if typing.get_origin(option) is typing.Literal else ())]
        if literals:
            return next(option for option in literals if option != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value * 2 if value else 1
    if isinstance(value, float):
        return value / 2 if value else 0.1
    raise AssertionError("the specimen must give an alternative for this field")


def test_declared_claims_are_well_formed(slug: str, estimator: Any) -> None:
    experiments = {experiment.name: experiment for experiment in estimator.experiments()}
    claims = estimator.claims()
    assert claims
    assert len({claim.id for claim in claims}) == len(claims)
    for claim in claims:
        experiment = experiments[claim.experiment]
        assert claim.candidate in experiment.arms
        assert claim.reference in experiment.arms
        assert claim.statement
        assert claim.statement_zh
        assert claim.smallest_effect >= 0
        assert set(experiment.seeds) >= {"smoke", "demo", "gpu"}
        assert claim.exact or experiment.seeds["demo"] >= 3 or experiment.seeds["demo"] == 0
        assert "<" not in experiment.measure.__qualname__, "measure must be a module-level function"
    assert set(experiments) == {claim.experiment for claim in claims}, "an experiment without a claim is not evidence"
    assert catalogue.get(slug).estimator == estimator.__name__
