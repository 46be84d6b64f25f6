"""Numbers, sentences and names that every page of the report is made of."""

from __future__ import annotations

import math
import statistics
import string
from dataclasses import replace

import pytest
import report_examples as examples
from hypothesis import given
from hypothesis import strategies as st

from visus.errors import InputError
from visus.report import format as text
from visus.report.listing import file_name
from visus.report.reading import pairs, per_seed, read
from visus.report.words import _CHINESE, _ENGLISH, counted, words
from visus.study import decide
from visus.study.verdict import contradicted, satisfied


def back(shown: str) -> float:
    return float(shown.replace(text.MINUS, "-").replace(",", "").replace("∞", "inf"))


@given(st.floats(allow_nan=False, allow_infinity=False, width=32), st.booleans())
def test_a_number_reads_back_as_what_it_was(value, signed):
    shown = text.number(value, signed=signed)
    assert back(shown) == pytest.approx(value, rel=5e-3, abs=0)
    assert "-" not in shown.replace("e-", "")
    assert (shown[0] == "+") == (signed and value > 0)


@given(st.floats(-1e6, 1e6), st.integers(0, 6))
def test_places_round_and_never_hide_an_effect(value, places):
    shown = text.number(value, places)
    assert abs(back(shown) - value) <= 0.5 * 10**-places * (1 + 1e-9) + 1e-9 * abs(value)
    assert (back(shown) == 0) == (value == 0)


def test_numbers_without_a_value():
    assert text.number(None) == text.span(None) == "–"
    assert text.number(math.nan) == "NaN"
    assert text.number(-math.inf) == "−∞"
    assert text.mean([]) is None
    assert text.deviation([1.0]) is None


def test_both_languages_say_everything():
    assert _ENGLISH.keys() == _CHINESE.keys()
    for key, english in _ENGLISH.items():
        fields = [
            {name for _, name, _, _ in string.Formatter().parse(t) if name} for t in (english, _CHINESE[key])
        ]
        assert fields[0] == fields[1] or key.endswith("_1"), key
    with pytest.raises(InputError, match="en or zh"):
        words("fr")


def test_counts_in_the_right_grammatical_number():
    assert [counted("en", "count_holds", n) for n in (0, 1, 4)] == ["0 hold", "1 holds", "4 hold"]
    assert counted("zh", "count_fails", 1) == "1 条不成立"


@given(st.text(max_size=20), st.text(max_size=20))
def test_file_names_are_safe_and_tell_apart(one, other):
    names = file_name("p", one), file_name("p", other)
    assert set("".join(names)) <= set(string.ascii_letters + string.digits + "-")
    assert (names[0] == names[1]) == (one == other)


def test_a_reading_has_the_record_and_nothing_else():
    evidence = examples.holds()
    reading = read(evidence, "en")
    assert [arm.name for arm in reading.arms] == list(evidence.arms)
    for arm in reading.arms:
        values = evidence.arms[arm.name]
        assert back(arm.mean) == pytest.approx(sum(values) / len(values), abs=5e-4)
        assert back(arm.deviation) == pytest.approx(statistics.stdev(values), abs=5e-4)
        assert [back(value) for value in arm.values] == pytest.approx(values, abs=5e-4)
        assert arm.count == 5
    assert (reading.effect, reading.interval, reading.smallest) == ("+0.046", "[+0.024, +0.067]", "0.01")
    assert [arm.role for arm in reading.arms] == ["candidate", "reference", "", ""]
    assert reading.caveat == ""
    assert read(examples.fails(), "zh").caveat == examples.fails().claim.caveat_zh
    assert read(examples.undecided(), "zh").caveat == examples.undecided().claim.caveat  # not translated


def test_seeds_without_a_value_stay_in_their_places():
    evidence = examples.gaps()
    reading = read(evidence, "en")
    assert [arm.count for arm in reading.arms] == [3, 3]
    assert reading.arms[0].values[1] == reading.arms[1].values[3] == "–"
    assert [seed for seed, _, _ in pairs(evidence)] == [0, 2]
    assert (reading.seeds, reading.paired) == (4, 2)
    assert back(reading.arms[0].mean) == pytest.approx((0.9 + 0.92 + 0.91) / 3, abs=5e-4)
    assert per_seed(evidence) == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize("direction", ["higher", "lower", "equal"])
@pytest.mark.parametrize(("comparison", "smallest"), [("difference", 0.01), ("ratio", 1.3), ("ratio", 0.8)])
@pytest.mark.parametrize("exact", [False, True])
def test_the_condition_in_words_agrees_with_the_verdict(direction, comparison, smallest, exact):
    """The printed inequality, evaluated, says the same as the function that decides."""
    claim = examples.claim(
        direction=direction,
        comparison=comparison,
        smallest_effect=smallest,
        exact=exact,
        candidate="effect",
        reference="none",
    )
    condition = read(replace(examples.one_seed(), claim=claim, arms={}), "en").condition
    formula = f"effect {'÷' if comparison == 'ratio' else text.MINUS} none"
    assert formula in condition
    said = condition.replace(formula, "effect").replace(text.MINUS, "-").replace("≤", "<=").replace("≥", ">=")
    for effect in (-1.0, -0.01, -0.005, 0.0, 0.005, 0.01, 0.5, 0.8, 0.9, 1.0, 1.1, 1.3, 2.0):
        bounds = [word for word in said.split() if word not in ("effect", "<", "<=", ">", ">=")]
        edge = any(math.isclose(float(bound), effect, rel_tol=1e-3) for bound in bounds)
        if edge and comparison == "ratio" and direction == "equal":
            continue  # 1 / 1.3 is printed rounded
        expected = bool(satisfied(claim, effect, effect, 1e-12, touching=exact))
        assert evaluate(said, effect) == expected, (said, effect)
        assert not (expected and bool(contradicted(claim, effect, effect, 1e-12)))


def evaluate(said: str, effect: float) -> bool:
    """`a < effect < b`, `effect >= a`, with the operators as they stand."""
    signs = {"<": float.__lt__, "<=": float.__le__, ">": float.__gt__, ">=": float.__ge__}
    parts = said.split()
    values = [effect if word == "effect" else float(word) for word in parts[::2]]
    return all(signs[sign](a, b) for a, sign, b in zip(values, parts[1::2], values[1:], strict=False))


def test_the_examples_are_what_a_study_would_say():
    """Verdicts of the synthetic records are those of the deciding function."""
    for make in examples.ALL:
        evidence = make()
        claim = evidence.claim
        arms = evidence.arms.get(claim.candidate, []), evidence.arms.get(claim.reference, [])
        if len(arms[0]) == len(arms[1]):
            decided = decide(claim, *arms)
            assert decided.verdict == evidence.verdict, claim.id
            assert decided.effect == pytest.approx(evidence.effect, abs=1e-3)
            if evidence.interval:
                assert decided.interval == pytest.approx(evidence.interval, abs=1e-3)
