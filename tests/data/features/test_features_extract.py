"""Extraction: order, duplicates, progress, what errors leave behind."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_encoders import Counting, noise, save_pictures

from visus.data.features import FeatureCache, extract, extraction, raw_pixels
from visus.errors import InputError


def test_rows_follow_the_items_and_equal_content_is_encoded_once(tmp_path):
    paths = save_pictures(tmp_path, 5)
    twin = tmp_path / "twin.png"
    twin.write_bytes(paths[3].read_bytes())
    items = [paths[4], twin, paths[0], paths[3], paths[4], str(paths[1])]
    encoder, told = Counting(), []
    made = extract(encoder, items, batch_size=2, progress=lambda done, total: told.append((done, total)))
    expected = [np.asarray(Image.open(path)).mean((0, 1)) for path in items]
    assert made.values.numpy() == pytest.approx(np.stack(expected), abs=1e-3)
    assert made.values.dtype == torch.float32
    assert encoder.seen == 4
    assert told == [(0, 4), (2, 4), (4, 4)]
    assert made.names == tuple(map(str, items))
    assert made.origin == encoder.identity


@pytest.mark.parametrize("batch_size", [1, 2, 3, 64])
@pytest.mark.parametrize("workers", [1, 3])
def test_batches_do_not_matter(tmp_path, batch_size, workers):
    paths = save_pictures(tmp_path, 7)
    made = extract(Counting(), paths, batch_size=batch_size, workers=workers)
    assert torch.equal(made.values, Counting().images([Image.open(path) for path in paths]))


def test_texts(tmp_path):
    texts = ["a longer text", "aeiou", "", "a longer text", "鳥", "xyz"]
    encoder = Counting()
    made = extract(encoder, texts, kind="texts", batch_size=2)
    assert torch.equal(made.values, Counting().texts(texts))
    assert made.names == tuple(texts)
    assert encoder.seen == 5


def test_the_cache_answers_for_its_encoder_only(tmp_path):
    paths, cache = save_pictures(tmp_path / "in", 6), FeatureCache(tmp_path / "cache")
    first, told = Counting(), []
    whole = extract(first, paths[:4], cache=cache)
    second = Counting()
    more = extract(second, paths, cache=cache, progress=lambda *both: told.append(both))
    assert (first.seen, second.seen) == (4, 2)
    assert told == [(4, 6), (6, 6)]
    assert torch.equal(more.values[:4], whole.values)
    other = Counting("counting 2")
    extract(other, paths, cache=cache)
    assert other.seen == 6
    paths[0].write_bytes(paths[1].read_bytes())  # other content under an old name
    third = Counting()
    changed = extract(third, paths, cache=FeatureCache(tmp_path / "cache"))
    assert third.seen == 0
    assert torch.equal(changed.values[0], more.values[1])


def test_texts_and_pictures_share_a_cache(tmp_path):
    cache, encoder = FeatureCache(tmp_path / "cache"), Counting()
    paths = save_pictures(tmp_path / "in", 2)
    for _ in range(2):
        images, texts = (
            extract(encoder, paths, cache=cache),
            extract(encoder, ["a", "b"], kind="texts", cache=cache),
        )
    assert encoder.seen == 4
    assert torch.equal(texts.values, Counting().texts(["a", "b"]))
    assert images.values.shape == (2, 3)


@pytest.mark.parametrize("content", [b"", b"no picture", None], ids=["empty", "text", "cut"])
def test_an_unreadable_picture_is_named_and_nothing_is_lost(tmp_path, content):
    paths = save_pictures(tmp_path / "in", 6)
    paths[4].write_bytes(paths[4].read_bytes()[:90] if content is None else content)
    cache, encoder = FeatureCache(tmp_path / "cache"), Counting()
    with pytest.raises(InputError, match=r"004\.png") as caught:
        extract(encoder, paths, cache=cache, batch_size=2)
    assert caught.value.file == paths[4]
    assert cache.stats.items == (
        0 if content == b"" else 4
    )  # an empty file is found before anything is encoded
    save_pictures(tmp_path / "in", 6)
    again = Counting()
    extract(again, paths, cache=cache)
    assert again.seen == 6 - encoder.seen
    with pytest.raises(InputError, match=r"gone\.png: does not exist"):
        extract(encoder, [*paths, tmp_path / "gone.png"])


def test_an_interruption_keeps_what_was_made(tmp_path):
    paths, cache = save_pictures(tmp_path / "in", 6), FeatureCache(tmp_path / "cache")

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(Counting(), paths, cache=cache, batch_size=2, progress=stop)
    assert cache.stats.items == 4


def test_rows_are_kept_from_time_to_time(tmp_path, monkeypatch):
    paths = save_pictures(tmp_path / "in", 6)
    extract(Counting(), paths, cache=FeatureCache(tmp_path / "late"), batch_size=1)
    assert FeatureCache(tmp_path / "late").stats.shards == 1
    monkeypatch.setattr(extraction, "KEEP_SECONDS", 0.0)
    extract(Counting(), paths, cache=FeatureCache(tmp_path / "soon"), batch_size=1)
    assert FeatureCache(tmp_path / "soon").stats.shards == 6


def test_values_that_are_not_finite_are_refused(tmp_path):
    class Broken(Counting):
        def texts(self, texts):
            return super().texts(texts) / torch.tensor([[len(text)] for text in texts])

    cache = FeatureCache(tmp_path)
    with pytest.raises(InputError, match="not finite"):
        extract(Broken(), ["", "b"], kind="texts", cache=cache)
    assert cache.stats.items == 0


def test_pictures_in_memory(tmp_path):
    one, other = noise((9, 9), (9, 9))
    cache = FeatureCache(tmp_path)
    made = extract(raw_pixels(3), [one, other, one.copy()], cache=cache)
    assert made.names == ("0", "1", "2")
    assert torch.equal(made.values[0], made.values[2])
    assert not torch.equal(made.values[0], made.values[1])
    assert cache.stats.items == 2


def test_wrong_calls(tmp_path):
    with pytest.raises(InputError, match="items: there are none"):
        extract(Counting(), [])
    with pytest.raises(InputError, match="batch_size: is 0"):
        extract(Counting(), ["a"], kind="texts", batch_size=0)
    with pytest.raises(InputError, match="kind: is 'texts' for a PixelEncoder"):
        extract(raw_pixels(2), ["a"], kind="texts")  # pyright: ignore
    with pytest.raises(InputError, match="kind: is 'sounds'"):
        extract(Counting(), ["a"], kind="sounds")  # pyright: ignore
    with pytest.raises(InputError, match="holds a PosixPath, not text"):
        extract(Counting(), [tmp_path], kind="texts")


def test_long_texts_are_counted_once_and_short_ones_not_at_all():
    class Short(Counting):
        max_tokens, counted = 12, 0

        def count_tokens(self, text: str) -> int:
            self.counted += 1
            return super().count_tokens(text)

    encoder = Short()
    with pytest.warns(UserWarning, match="1 of 3 texts are longer than 12 tokens"):
        extract(encoder, ["w " * 13, "abc", "word " * 11], kind="texts", batch_size=1)
    assert encoder.counted == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extract(encoder, ["abc"], kind="texts")
