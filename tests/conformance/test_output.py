"""Predictions, saved models, and the formulas behind them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import checks
from method import Fitted, Method


def test_predictions_have_their_documented_form_at_odd_sizes_and_batch_one(
    method: Method, fitted: Fitted, odd: Sequence[tuple[Any, Fitted]]
) -> None:
    assert len(odd) >= 2
    test = method.estimator.example("test")
    for source, model in [(test, fitted.model), *((source, fit.model) for source, fit in odd)]:
        for inputs, count in ((source, len(source)), (source.batch([0]), 1)):
            found = model.predict(inputs)
            checks.finite(found)
            method.facts.check_prediction(found, count)


def test_a_prediction_does_not_depend_on_batch_mates(
    method: Method, fitted: Fitted, odd: Sequence[tuple[Any, Fitted]]
) -> None:
    checks.mates_do_not_matter(fitted.model, method.estimator.example("test"))
    for source, fit in odd:
        checks.mates_do_not_matter(fit.model, source)


def test_saved_and_loaded_models_predict_the_same(
    method: Method, fitted: Fitted, odd: Sequence[tuple[Any, Fitted]], tmp_path: Path
) -> None:
    checks.survives_saving(fitted.model, method.estimator.example("test"), tmp_path / "model")
    for i, (source, fit) in enumerate(odd):
        checks.survives_saving(fit.model, source, tmp_path / str(i))


def test_without_its_ingredient_the_method_is_its_baseline(method: Method) -> None:
    checks.is_baseline(*method.facts.ingredient_off())


def test_losses_equal_a_slow_transcription(method: Method) -> None:
    checks.losses_agree(method.facts.losses())
