"""The quality report: its numbers against counts by hand, and when it warns."""

from __future__ import annotations

import numpy as np
import pytest

from visus.errors import InputError
from visus.methods.vgloss.model.quality import Thresholds, quality_report
from visus.methods.vgloss.model.silver import Silver, SilverClass
from visus.methods.vgloss.model.visual import VisualLexicon

LEXICON = VisualLexicon.built_in()
TEXTS = {
    "cat": ["A cat with fur and a tail.", "It chases the dog.", "A nice one."],
    "dog": ["A nice one!", "A brown dog."],
    "car": [],
}


def test_numbers_are_those_counted_by_hand():
    report = quality_report(TEXTS, lexicon=LEXICON)
    assert (report.classes, report.texts) == (3, 5)
    assert report.per_class == (0, pytest.approx(5 / 3), 3)
    assert report.words == (3, pytest.approx((7 + 4 + 3 + 3 + 3) / 5), 7)
    assert report.duplicates == pytest.approx(2 / 5)
    assert report.leakage == pytest.approx(1 / 5)
    assert report.leaks == (("cat", "dog", "It chases the dog."),)
    assert report.visual == pytest.approx(2 / 5)
    assert report.empty == ("car",)
    assert report.unrelated is report.overlap is report.distinctness is None


def test_warnings_name_what_is_out_of_bounds():
    report = quality_report(TEXTS, lexicon=LEXICON)
    told = " | ".join(report.warnings)
    for part in (
        "1 classes have no text (car)",
        "cat names dog",
        "40% of the texts are duplicates",
        "only 40%",
    ):
        assert part in told
    easy = Thresholds(leakage=1, duplicates=1, visual=0, shortest=1)
    assert len(quality_report(TEXTS, lexicon=LEXICON, thresholds=easy).warnings) == 1


def test_a_good_set_passes_without_a_warning():
    good = {"cat": ["A small animal with soft fur."], "car": ["A red thing with four wheels."]}
    assert quality_report(good, lexicon=LEXICON).warnings == ()


def test_distinctness_is_the_mean_off_diagonal():
    similarity = np.array([[1, 0.9, 0.2], [0.9, 1, 0.4], [0.2, 0.4, 1]])
    report = quality_report(TEXTS, similarity=similarity, lexicon=LEXICON)
    assert report.overlap == pytest.approx(0.5)
    assert report.distinctness == pytest.approx(0.5)
    assert report.closest == ("cat", "dog", 0.9)
    alike = quality_report(TEXTS, similarity=np.full((3, 3), 0.95), lexicon=LEXICON)
    assert any("nearly alike" in each for each in alike.warnings)
    for wrong in (np.eye(2), np.full((3, 3), np.nan)):
        with pytest.raises(InputError, match="similarity"):
            quality_report(TEXTS, similarity=wrong, lexicon=LEXICON)


def test_shared_names_are_no_leak_and_given_names_count():
    texts = {"n1": ["A crane with wings."], "n2": ["A crane of steel."], "n3": ["A grey ox."]}
    names = {"n1": ["crane"], "n2": ["crane"], "n3": ["ox", "steel"]}
    report = quality_report(texts, names, lexicon=LEXICON)
    assert report.leaks == (("n2", "n3", "A crane of steel."),)


def test_unrelated_texts_and_dropped_answers_of_a_silver_set():
    contrast = {"pairs": 2, "sides": 8, "dropped": {"missing": 5, "names the other": 1}}
    silver = Silver(
        classes={
            "n1": SilverClass(
                name="zebra", gloss="striped African equine", normal=("A white sheep.", "Striped legs.")
            ),
            "n2": SilverClass(name="crane", gloss="wading bird", normal=("crane: wading bird",)),
        },
        meta={"answers": 10, "dropped": {"refusal": 5, "empty": 2}, "fallback": ["n2"], "contrast": contrast},
    )
    report = quality_report(silver, lexicon=LEXICON)
    assert report.unrelated == pytest.approx(1 / 3)
    assert report.dropped == {"empty": 0.2, "refusal": 0.5}
    told = " | ".join(report.warnings)
    assert report.contrast_dropped == 0.75
    assert "75% of the contrastive sentences" in told
    for part in ("33% of the texts share no word", "70% of the model's answers", "gloss only (crane)"):
        assert part in told
    assert ("answers dropped: refusal", "50.0%") in report.rows()


def test_contrastive_texts_count_too():
    silver = Silver(
        classes={
            "a": SilverClass(name="cat", normal=("Soft fur.",), contrastive={"b": ("Unlike a dog, small.",)}),
            "b": SilverClass(name="dog", normal=("Brown fur.",)),
        }
    )
    assert quality_report(silver, lexicon=LEXICON).leaks == (("a", "b", "Unlike a dog, small."),)


def test_thousand_classes_take_no_square_of_time():
    names = {f"n{i}": [f"thing {i} of row {i % 37}"] for i in range(1000)}
    texts = {key: [f"A {each[0]} with a red lid."] * 3 for key, each in names.items()}
    report = quality_report(texts, names, lexicon=LEXICON)
    assert report.leakage == 0
    assert report.duplicates == 1


def test_no_classes_is_an_error():
    with pytest.raises(InputError, match="no classes"):
        quality_report({})
