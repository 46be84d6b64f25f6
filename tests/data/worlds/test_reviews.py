"""Reviews: a second reader, written from the rules, agrees with every label; counting words does not."""

from __future__ import annotations

import re

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from visus.data.worlds import reviews
from visus.errors import InputError

STRONG, HEDGED = set(reviews.STRONG), set(reviews.HEDGES)


def of(word: str) -> int:
    good = {*reviews.GOOD, *reviews.LIKE, *reviews.LIKED}
    bad = {*reviews.BAD, *reviews.LOATHE, *reviews.LOATHED}
    return (word in good) - (word in bad)


def statement(text: str) -> float:
    """`the plot was [not | truly | ...] dull`."""
    words = text.split()
    assert words[2] == "was"
    adverbs = words[3:-1]
    if adverbs and (set(adverbs) & {"not", "never", "hardly"} or adverbs == ["far", "from"]):
        return -of(words[-1])
    return of(words[-1]) * (2 if set(adverbs) & STRONG else 0.5 if set(adverbs) & HEDGED else 1)


def sentence(text: str) -> float:
    words = text.split()
    if text.startswith("at first it seemed"):
        return 2 * of(words[-1])
    if text.startswith("although"):
        return 2 * statement(text.split(" , ")[1])
    if " even though " in text:
        return 2 * statement(text.split(" even though ")[0])
    if " but " in text:
        return 2 * statement(text.split(" but ")[1])
    if text.startswith("i would"):
        return -2 if words[2] == "not" else 2
    if match := re.fullmatch(r"(.+) is (?:far |much )?(better|worse) than (.+)", text):
        return (1 if match[2] == "better" else -1) * (1 if match[1] == "this film" else -1)
    if text.startswith("i did not"):
        return -of(words[3])
    if words[0] == "i":
        return of(words[1])
    if match := re.search(r"nothing (\w+) about|nobody could call .* (\w+)$", text):
        return -of(match[1] or match[2])
    if re.search(r" (called|found|considered) it |promised something|story follows|it runs for", text):
        return 0
    return statement(text)


def read(text: str) -> float:
    return sum(sentence(part.strip()) for part in text.split(" .") if part.strip())


def test_a_reader_written_from_the_rules_agrees_with_every_score():
    drawn = reviews.draw(600)
    for review in drawn:
        assert read(review.text) == review.score, review.text
        assert review.label == int(review.score > 0)
        assert abs(review.score) >= 1
        assert review.score == sum(weight * polarity for _, weight, polarity, _ in review.clauses)
    assert {kind for review in drawn for kind, *_ in review.clauses} == {
        *("plain", "negated", "feeling", "comparison", "conceded", "kept", "before", "after"),
        *("hearsay", "promise", "fact", "advice"),
    }


def test_length_balance_and_vocabulary():
    texts, labels = reviews.make(1000, seed=3)
    lengths = [len(text.split()) for text in texts]
    assert min(lengths) >= 20
    assert max(lengths) <= 60
    assert sum(labels) == 500
    assert 200 <= len({word for text in texts for word in text.split()}) <= 500
    assert len(set(texts)) == len(texts)


def test_words_help_and_order_helps_more():
    texts, labels = reviews.make(1600)
    accuracy = {}
    for longest in (1, 3):
        counter = CountVectorizer(ngram_range=(1, longest), token_pattern=r"\S+").fit(texts[:1000])
        model = LogisticRegression(max_iter=2000, C=0.1).fit(counter.transform(texts[:1000]), labels[:1000])
        accuracy[longest] = model.score(counter.transform(texts[1000:]), labels[1000:])
    assert 0.55 < accuracy[1] < 0.72
    assert accuracy[1] + 0.05 < accuracy[3] < 0.9


def test_a_review_is_a_function_of_seed_and_number():
    texts, labels = reviews.make(30, seed=5)
    assert reviews.make(10, seed=5, first=20) == (texts[20:], labels[20:])
    assert reviews.make(30, seed=5) == (texts, labels)
    assert set(reviews.make(30, seed=6)[0]).isdisjoint(texts)


def test_label_noise_turns_the_asked_share_of_labels():
    clean, noisy = reviews.draw(2000), reviews.draw(2000, label_noise=0.2)
    assert [review.text for review in clean] == [review.text for review in noisy]
    share = sum(a.label != b.label for a, b in zip(clean, noisy)) / 2000
    assert abs(share - 0.2) < 0.03


def test_written_as_the_imdb_folder(tmp_path):
    assert reviews.write(tmp_path / "aclImdb", n_train=20, n_test=10, seed=1) == tmp_path / "aclImdb"
    texts, labels = reviews.make(30, seed=1)
    for part, chosen in (("train", range(20)), ("test", range(20, 30))):
        for name, label in (("pos", 1), ("neg", 0)):
            files = sorted(
                (tmp_path / "aclImdb" / part / name).iterdir(), key=lambda f: int(f.stem.split("_")[0])
            )
            assert [file.read_text() for file in files] == [texts[i] for i in chosen if labels[i] == label]
            ratings = {int(file.stem.split("_")[1]) for file in files}
            assert ratings <= (set(range(7, 11)) if label else set(range(1, 5)))


def test_impossible_wishes():
    with pytest.raises(InputError, match="label_noise"):
        reviews.make(3, label_noise=0.7)
    with pytest.raises(InputError, match="n: must not be negative"):
        reviews.make(-1)
    assert reviews.make(0) == ([], [])
