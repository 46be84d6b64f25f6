"""Every layout that is written is read back into equal triplets."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from visus.data.triplets import Triplets, read_triplets, write_triplets
from visus.errors import InputError

ONCE = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def triplet_sets(draw):
    objects = draw(st.integers(3, 3000))
    row = st.lists(st.integers(0, objects - 1), min_size=3, max_size=3, unique=True)
    rows = draw(st.lists(row, min_size=1, max_size=12))
    people = draw(st.none() | st.lists(st.integers(0, 9), min_size=len(rows), max_size=len(rows)))
    people = None if people is None else np.array(people)
    return Triplets(rows=np.array(rows, dtype=np.int64), objects=objects, participants=people)


@ONCE
@given(triplet_sets(), st.sampled_from([".npy", ".txt", ".csv", ".tsv"]))
def test_things_and_cblearn(tmp_path, triplets, suffix):
    for layout, odd in (("things", "last"), ("cblearn", "first")):
        write_triplets(tmp_path / f"t{suffix}", triplets, layout=layout)
        found = read_triplets(tmp_path / f"t{suffix}", objects=triplets.objects, base=0, odd=odd)
        assert found.rows.tolist() == triplets.rows.tolist()


@ONCE
@given(triplet_sets(), st.sampled_from([".npy", ".txt", ".csv", ".tsv"]), st.booleans())
def test_raw_trials(tmp_path, triplets, suffix, header):
    write_triplets(tmp_path / f"t{suffix}", triplets, layout="trials", header=header)
    found = read_triplets(tmp_path / f"t{suffix}", objects=triplets.objects, base=1)
    assert found.rows.tolist() == triplets.rows.tolist()
    if triplets.participants is not None:
        assert found.participants.tolist() == triplets.participants.tolist()


def test_files_are_those_of_the_published_layouts(tmp_path):
    triplets = Triplets(
        rows=np.array([[0, 1, 2], [3, 1, 0], [2, 4, 3]]), objects=5, participants=np.array(["p", "q", "p"])
    )
    write_triplets(tmp_path / "t.npy", triplets, layout="cblearn")
    assert np.load(tmp_path / "t.npy").tolist() == [[2, 0, 1], [0, 3, 1], [3, 2, 4]]
    write_triplets(tmp_path / "t.txt", triplets)
    assert (tmp_path / "t.txt").read_text() == "0 1 2\n3 1 0\n2 4 3\n"
    write_triplets(tmp_path / "t.tsv", triplets, layout="trials", header=False)
    assert (tmp_path / "t.tsv").read_text() == "3\t1\t2\t1\tp\n4\t1\t2\t2\tq\n3\t5\t4\t3\tp\n"
    assert read_triplets(tmp_path / "t.tsv", objects=5).participants.tolist() == ["p", "q", "p"]
    with pytest.raises(InputError, match="participants are text"):
        write_triplets(tmp_path / "t.npy", triplets, layout="trials")
    with pytest.raises(InputError, match="unknown suffix"):
        write_triplets(tmp_path / "t.json", triplets)
    with pytest.raises(InputError, match="unknown layout"):
        write_triplets(tmp_path / "t.npy", triplets, layout="spose")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.npy", "t.tsv", "t.txt"]
