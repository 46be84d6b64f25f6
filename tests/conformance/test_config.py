"""Configurations: strict, complete, and every field earns its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import checks
import pytest
from method import Fitted, Method
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from visus import catalogue
from visus.study.verdict import check_claim


def test_presets_round_trip_through_yaml_and_are_strict(method: Method) -> None:
    made = method.estimator
    assert set(made.PRESETS) >= {"smoke", "demo", "gpu", "paper"}
    for preset in made.PRESETS:
        checks.config_is_strict(made.Config, made.preset(preset))
    checks.refused(lambda: made.preset("no-such-preset"), "preset")
    checks.refused(lambda: method.config("no_such_field=1"), "no_such_field")


def test_estimator_is_cloneable(method: Method) -> None:
    made = method.estimator(method.config())
    other = clone(made)
    assert other is not made
    assert other.get_params()["config"] == made.get_params()["config"]
    with pytest.raises(NotFittedError):
        other.parts()


def test_every_field_changes_something_or_is_declared_inert(
    method: Method, fitted: Fitted, tmp_path: Path
) -> None:
    checks.fields_matter(method, fitted, tmp_path)


def test_declared_claims_are_well_formed(slug: str, method: Method) -> None:
    made: Any = method.estimator
    experiments = {experiment.name: experiment for experiment in made.experiments()}
    claims = made.claims()
    assert claims
    assert len({claim.id for claim in claims}) == len(claims)
    for claim in claims:
        experiment = experiments[claim.experiment]
        assert claim.candidate in experiment.arms
        assert claim.reference in experiment.arms
        assert claim.statement
        assert claim.statement_zh
        check_claim(claim)
        assert set(experiment.seeds) >= {"smoke", "demo", "gpu"}
        assert claim.exact or experiment.seeds["demo"] >= 3 or experiment.seeds["demo"] == 0
        assert "<" not in experiment.measure.__qualname__, "measure must be a module-level function"
    assert set(experiments) == {claim.experiment for claim in claims}, (
        "an experiment without a claim is not evidence"
    )
    assert catalogue.get(slug).estimator == made.__name__
