"""Words to tokens."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from visus.data.text import WordTokenizer, words
from visus.errors import InputError

TEXTS = ["A good, GOOD film.<br /><br />Really!", "a bad film"]


def test_words():
    assert words(TEXTS[0]) == ["a", "good", "good", "film", "really"]
    assert words("Don’t stop__now 3.5", lowercase=False) == ["Don’t", "stop", "now", "3", "5"]
    assert words("这是good电影") == ["这", "是", "good", "电", "影"]
    assert words("<br>...") == []


def test_vocabulary_is_by_frequency_then_alphabet_and_ignores_the_order_of_texts():
    one, two = WordTokenizer().fit(TEXTS), WordTokenizer().fit(TEXTS[::-1])
    assert one.vocabulary_ == ["a", "film", "good", "bad", "really"] == two.vocabulary_
    assert len(one) == 7
    small = WordTokenizer(size=4).fit(TEXTS)
    assert small.vocabulary_ == ["a", "film"]
    assert small.encode(["a bad film"])["tokens"].tolist() == [[2, 1, 3]]


def test_cut_and_padding():
    first = WordTokenizer(length=3, keep="first").fit(TEXTS)
    last = WordTokenizer(length=3, keep="last").fit(TEXTS)
    assert first.decode(first.encode(TEXTS)["tokens"]) == ["a good good", "a bad film"]
    assert last.decode(last.encode(TEXTS)["tokens"]) == ["good film really", "a bad film"]
    coded = WordTokenizer(length=5).fit(TEXTS).encode(["a film", ""])
    assert coded["tokens"].dtype == torch.int64
    assert coded["tokens"].tolist() == [[2, 3, 0, 0, 0], [1, 0, 0, 0, 0]]
    assert coded["padding"].tolist() == [[False, False, True, True, True], [False] + [True] * 4]
    assert WordTokenizer(length=5).fit(TEXTS).encode([])["tokens"].shape == (0, 5)


@given(
    texts=st.lists(st.text(max_size=30), min_size=1, max_size=5),
    length=st.integers(1, 6),
    keep=st.sampled_from(["first", "last"]),
)
def test_any_text_encodes_to_the_same_tokens_alone_and_after_a_round_trip(texts, length, keep):
    tokenizer = WordTokenizer(length=length, keep=keep).fit(["word", *texts])
    coded = tokenizer.encode(texts)
    assert coded["tokens"].shape == (len(texts), length)
    assert int(coded["tokens"].max()) < len(tokenizer)
    assert not coded["padding"][:, 0].any()
    again = WordTokenizer.from_state(json.loads(json.dumps(tokenizer.state())))
    for i, text in enumerate(texts):
        assert again.encode([text])["tokens"][0].equal(coded["tokens"][i])


def test_bad_input():
    with pytest.raises(InputError, match="not fitted"):
        WordTokenizer().encode(["a"])
    with pytest.raises(InputError, match="holds no words"):
        WordTokenizer().fit(["..."])
    with pytest.raises((InputError, TypeError)):  # a type error where calls are type-checked
        WordTokenizer().fit(["a", None])
    with pytest.raises(InputError, match="size"):
        WordTokenizer(size=2)
    with pytest.raises(InputError, match="length"):
        WordTokenizer(length=0)
    with pytest.raises((InputError, TypeError)):
        WordTokenizer(keep="middle")
    with pytest.raises(InputError, match="not the state"):
        WordTokenizer.from_state({"size": 3})
    state = WordTokenizer().fit(TEXTS).state()
    with pytest.raises(InputError, match="doubled"):
        WordTokenizer.from_state({**state, "vocabulary": ["a", "a"]})
