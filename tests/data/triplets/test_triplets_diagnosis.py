"""The reading that an embedding agrees with is found and named."""

import numpy as np
import pytest

from visus.data.triplets import Triplets, diagnose, read_triplets, sample_triplets, write_triplets
from visus.errors import InputError


@pytest.fixture(scope="module")
def reference():
    return np.random.default_rng(0).gamma(0.4, 1.0, (60, 8))


@pytest.fixture(scope="module")
def judged(reference):
    among = np.arange(60) < 59
    return sample_triplets(reference, 3000, seed=1, temperature=0.5, among=among)


def test_a_right_reading_is_confirmed(reference, judged):
    found = diagnose(judged, reference)
    assert found.as_given is True
    assert found.verdict.startswith("fits as read")
    a, b, odd = (reference[judged.rows[:, i]] for i in range(3))
    expected = ((a * b).sum(1) > np.maximum((a * odd).sum(1), (b * odd).sum(1))).mean()
    assert found.fits.accuracy == pytest.approx(expected)
    assert found.fits.accuracy == max(reading.accuracy for reading in found.readings) > 0.55


@pytest.mark.parametrize(
    ("shift", "word"), [(1, "one too high: the file counts from 1"), (-1, "one too low")]
)
def test_a_file_read_off_by_one_is_named_as_such(reference, judged, shift, word):
    rows = judged.rows[(judged.rows >= 1).all(axis=1)] + shift
    found = diagnose(Triplets(rows=rows, objects=61), reference)
    assert (found.as_given, found.fits.base, found.fits.odd) == (False, shift, "last")
    assert "off by one" in found.verdict
    assert word in found.verdict


@pytest.mark.parametrize(("order", "place"), [([2, 0, 1], "first"), ([0, 2, 1], "middle")])
def test_the_wrong_column_is_named(reference, judged, order, place):
    found = diagnose(judged.rows[:, order], reference)
    assert (found.as_given, found.fits.odd) == (False, place)
    assert "wrong column" in found.verdict
    shifted = diagnose(judged.rows[:, order] + 1, reference)
    assert (shifted.fits.base, shifted.fits.odd) == (1, place)
    assert f"{place} column" in shifted.verdict


def test_files_are_diagnosed_before_they_are_read(tmp_path, reference, judged):
    write_triplets(tmp_path / "t.csv", judged, layout="trials")
    found = diagnose(tmp_path / "t.csv", reference)
    assert (found.as_given, found.fits.base, found.fits.odd) == (None, 1, "choice")
    content = np.loadtxt(tmp_path / "t.csv", delimiter=",", skiprows=1, dtype=int)
    from_zero, own = content.copy(), content.copy()
    from_zero[:, 3] -= 1
    own[:, 3] = content[np.arange(len(content)), content[:, 3] - 1]
    for values, odd in ((from_zero, "choice from 0"), (own, "choice as object")):
        np.save(tmp_path / "t.npy", values)
        assert diagnose(tmp_path / "t.npy", reference).fits.odd == odd
    write_triplets(tmp_path / "c.txt", judged, layout="cblearn")
    found = diagnose(tmp_path / "c.txt", reference)
    assert (found.fits.base, found.fits.odd) == (0, "first")
    fixed = read_triplets(tmp_path / "c.txt", objects=60, base=0, odd=found.fits.odd)
    assert diagnose(fixed, reference).as_given


def test_nothing_fits_an_embedding_of_other_objects(reference, judged):
    found = diagnose(judged, np.random.default_rng(5).permutation(reference))
    assert found.fits is None
    assert found.as_given is False
    assert "no reading stands out" in found.verdict


def test_what_cannot_be_diagnosed(reference, judged):
    with pytest.raises(InputError, match=r"numbers 0 to 5\d for 12 objects"):
        diagnose(judged, reference[:12])
    with pytest.raises(InputError, match="expected a finite"):
        diagnose(judged, np.full((60, 3), np.nan))
    with pytest.raises(InputError, match="no triplets"):
        diagnose(np.zeros((0, 3), dtype=int), reference)


def test_the_real_trials_and_what_an_off_by_one_does_to_them(shared):
    folder = shared / "data" / "things"
    if not folder.is_dir():
        pytest.skip("the shared folder has no THINGS data")
    vice, path = np.load(folder / "final_embedding.npy"), folder / "odd_one_out_trials.tsv"
    found = diagnose(path, vice)
    assert (found.fits.base, found.fits.odd) == (1, "choice")
    assert 0.6356 <= found.fits.accuracy <= 0.6357
    read = read_triplets(path, objects=1854)
    assert diagnose(read, vice).as_given
    slipped = Triplets(rows=read.rows + 1, objects=1855)
    assert (
        diagnose(Triplets(rows=slipped.rows[(slipped.rows < 1854).all(1)], objects=1854), vice).fits.base == 1
    )
    assert "off by one" in diagnose(slipped, vice).verdict
