"""Judgments from the layouts in which they were published, written here with SciPy and read back."""

import pickle

import numpy as np
import pytest
from scipy.io import savemat
from scipy.spatial.distance import squareform

from visus.data.corpora.similarity_judgments import (
    Judgments,
    judged_pictures,
    read_cichy,
    read_king,
    read_peterson,
    read_rdms_92,
    write_cichy,
)
from visus.data.provided import provided
from visus.errors import InputError, MissingData


def condensed(people=3, n=6, seed=0):
    return np.random.default_rng(seed).random((people, n * (n - 1) // 2))


def squares(people=3, n=6, seed=0):
    return np.stack([squareform(row) for row in condensed(people, n, seed)])


def test_cichy(tmp_path):
    savemat(tmp_path / "judgments_general.mat", {"judgments": squares(4, 118)})
    found = read_cichy(tmp_path / "judgments_general.mat")
    assert (found.values.shape, found.kind, len(found)) == ((4, 118, 118), "distance", 118)
    assert np.array_equal(found.values, squares(4, 118))
    write_cichy(tmp_path / "again.mat", found)
    assert np.array_equal(read_cichy(tmp_path / "again.mat").values, found.values)
    assert found.as_distances() is found


def test_king(tmp_path):
    one, two = condensed(5, 144, seed=1), condensed(4, 144, seed=2)
    sets = {"set1": {"pairwisedistances": one}, "set2": {"pairwisedistances": two, "other": "text"}}
    savemat(tmp_path / "BEHAVIOR.mat", {"BEHAVIOR": sets})
    assert one.shape == (5, 10296)
    for part, rows in (("set1", one), ("set2", two)):
        found = read_king(tmp_path / "BEHAVIOR.mat", part=part)
        assert found.kind == "distance"
        assert np.array_equal(found.values, np.stack([squareform(row) for row in rows]))
        assert np.array_equal(found.condensed(), rows)
    with pytest.raises(InputError, match=r"no struct with the field set3.*set1, set2"):
        read_king(tmp_path / "BEHAVIOR.mat", part="set3")
    savemat(tmp_path / "b.mat", {"BEHAVIOR": {"set1": {"pairwisedistances": np.ones((2, 11))}}})
    with pytest.raises(InputError, match="11 pairs belong to no number of pictures"):
        read_king(tmp_path / "b.mat")


def test_peterson_matrix_is_a_similarity(tmp_path):
    rated = squares(1, 120)[0] * 10
    savemat(tmp_path / "animals_sim.mat", {"similarity": rated, "n": 120})
    found = read_peterson(tmp_path / "animals_sim.mat")
    assert (found.kind, found.top, found.values.shape) == ("similarity", 10.0, (1, 120, 120))
    apart = found.as_distances()
    assert (apart.kind, apart.top) == ("distance", None)
    off = ~np.eye(120, dtype=bool)
    assert np.allclose(apart.mean()[off], 10 - rated[off])
    assert (np.diag(apart.mean()) == 0).all()
    savemat(tmp_path / "two_sim.mat", {"a": rated, "b": rated})
    with pytest.raises(InputError, match="2 square matrices"):
        read_peterson(tmp_path / "two_sim.mat")
    savemat(tmp_path / "scale_sim.mat", {"a": rated * 2})
    with pytest.raises(InputError, match="above the top of 10"):
        read_peterson(tmp_path / "scale_sim.mat")


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("start", [0, 1])
def test_peterson_ratings_in_a_pickle(tmp_path, protocol, start):
    ratings = {
        f"{start},{start + 1}": [4, 6],
        f"{start + 2},{start}": np.array([1.0, 2.0, 3.0]),
        f"{start + 1}, {start + 2}": [np.float64(9)],
        f"{start + 2},{start + 1}": [7],
        f"{start},{start}": [10],
    }
    (tmp_path / "fruits.pickle").write_bytes(pickle.dumps(ratings, protocol=protocol))
    found = read_peterson(tmp_path / "fruits.pickle")
    assert found.mean().tolist() == [[10, 5, 2], [5, 10, 8], [2, 8, 10]]
    assert found.as_distances().mean().tolist() == [[0, 5, 8], [5, 0, 2], [8, 2, 0]]


@pytest.mark.parametrize(
    ("ratings", "says"),
    [
        ({"0 and 1": [1]}, "key '0 and 1': names no pair"),
        ({"0,1": ["x"]}, "key '0,1': holds no ratings"),
        ({"0,1": [1], "1,3": [2], "0,3": [1]}, "3 picture numbers with gaps"),
        ({"4,5": [1], "5,6": [2]}, "with gaps"),
        ({}, "0 picture numbers"),
        ({"0,1": [-1], "0,2": [1], "1,2": [2]}, "pictures 0 and 1: is below 0"),
    ],
)
def test_ratings_that_cannot_be_read(tmp_path, ratings, says):
    (tmp_path / "r.pickle").write_bytes(pickle.dumps(ratings))
    with pytest.raises(InputError, match=says):
        read_peterson(tmp_path / "r.pickle")


def struct_array(rdms):
    people = np.zeros((1, len(rdms)), dtype=[("RDM", object), ("name", object), ("color", object)])
    for i, rdm in enumerate(rdms):
        people[0, i] = (rdm, f"simJudge | subject{i + 1}", np.zeros((1, 3)))
    return people


@pytest.mark.parametrize("form", ["square", "row", "column"])
def test_the_struct_array_of_92_images(tmp_path, form):
    rows = condensed(5, 92)
    rdms = {"square": [squareform(row) for row in rows], "row": list(rows), "column": list(rows[:, :, None])}
    savemat(tmp_path / "r.mat", {"rdms_behav_92": struct_array(rdms[form])})
    found = read_rdms_92(tmp_path / "r.mat")
    assert np.array_equal(found.condensed(), rows)
    assert found.participants[4] == "simJudge | subject5"
    mixed = [*rdms["square"], squareform(condensed(1, 5)[0])]
    savemat(tmp_path / "m.mat", {"rdms_behav_92": struct_array(mixed)})
    with pytest.raises(InputError, match="matrices differ in shape"):
        read_rdms_92(tmp_path / "m.mat")
    savemat(tmp_path / "m.mat", {"rdms_behav_92": rows})
    with pytest.raises(InputError, match="no struct array with the field RDM"):
        read_rdms_92(tmp_path / "m.mat")


def test_the_real_92_images():
    try:
        path = provided("92images/92_behavRDMs.mat")
    except MissingData as missing:
        pytest.skip(str(missing))
    found = read_rdms_92(path)
    assert (found.values.shape, found.kind, len(found.participants)) == ((16, 92, 92), "distance", 16)
    assert np.isfinite(found.values).all()


def test_pairs_that_some_or_all_did_not_judge():
    values = squares(3, 4)
    values[0, 1, 2] = values[0, 2, 1] = np.nan
    values[:, 0, 3] = values[:, 3, 0] = np.nan
    found = Judgments(values=values, kind="distance")
    mean = found.mean()
    assert mean[1, 2] == pytest.approx(values[1:, 1, 2].mean())
    assert np.isnan(mean[0, 3])
    assert mean[0, 1] == pytest.approx(values[:, 0, 1].mean())
    assert np.isnan(found.condensed()).sum() == 4


def test_rounding_is_evened_out_and_unjudged_diagonals_become_zero():
    values = squares(2, 5)
    values[0, 1, 2] += 1e-9
    values[1, np.arange(5), np.arange(5)] = np.nan
    found = Judgments(values=values, kind="distance").values
    assert np.array_equal(found, found.transpose(0, 2, 1))
    assert (found[:, np.arange(5), np.arange(5)] == 0).all()


def test_subset_keeps_order_and_names():
    found = Judgments(values=squares(2, 5), kind="distance", names=tuple("abcde"), participants=("x", "y"))
    part = found.subset([3, 0, 2])
    assert part.names == ("d", "a", "c")
    assert part.values[1, 0, 2] == found.values[1, 3, 2]
    assert found.subset(np.array([True, False, True, True, False])).names == ("a", "c", "d")


def changed(i, j, value, both=False):
    values = squares(2, 4)
    values[1, i, j] = value
    if both:
        values[1, j, i] = value
    return values


@pytest.mark.parametrize(
    ("values", "kind", "says"),
    [
        (changed(1, 2, 0.9), "distance", "participant 1, pictures 1 and 2: differs from the same pair"),
        (changed(1, 2, np.nan), "distance", "pictures 1 and 2: differs"),
        (changed(2, 2, 0.5), "distance", "pictures 2 and 2: the diagonal is not 0.*are these similarities"),
        (changed(0, 1, np.inf, True), "similarity", "pictures 0 and 1: is infinite"),
        (changed(0, 1, -0.5, True), "distance", "is below 0"),
        (squares(2, 4) * np.array([1, np.nan])[:, None, None], "distance", "participant 1: judged no pair"),
        (squares(2, 4)[:, :3], "distance", "shape"),
        (np.zeros((0, 4, 4)), "distance", "shape"),
        (squares(2, 4), "both", "unknown kind"),
    ],
)
def test_what_judgments_refuse(values, kind, says):
    with pytest.raises(InputError, match=says):
        Judgments(values=values, kind=kind)


def test_names_and_participants_of_another_number(tmp_path):
    savemat(tmp_path / "j.mat", {"judgments": squares(2, 4)})
    assert read_cichy(tmp_path / "j.mat", names="abcd").names == ("a", "b", "c", "d")
    with pytest.raises(InputError, match="3 names for 4") as caught:
        read_cichy(tmp_path / "j.mat", names="abc")
    assert caught.value.file == tmp_path / "j.mat"
    with pytest.raises(InputError, match="3 participants for 2"):
        Judgments(values=squares(2, 4), kind="distance", participants=("a", "b", "c"))
    savemat(tmp_path / "k.mat", {"other": squares()})
    with pytest.raises(InputError, match="no variable judgments"):
        read_cichy(tmp_path / "k.mat")
    savemat(tmp_path / "k.mat", {"judgments": "text"})
    with pytest.raises(InputError, match="not numbers"):
        read_cichy(tmp_path / "k.mat")
    rated = Judgments(values=squares(1, 4), kind="similarity")
    with pytest.raises(InputError, match="are similarities"):
        write_cichy(tmp_path / "s.mat", rated)
    assert not (tmp_path / "s.mat").exists()


def test_pictures_are_taken_in_the_order_of_their_names(tmp_path):
    for name in ("b.jpg", "a.png", "c.JPG", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in judged_pictures(tmp_path, 3)] == ["a.png", "b.jpg", "c.JPG"]
    with pytest.raises(InputError, match="holds 3 pictures, expected 118 pictures"):
        judged_pictures(tmp_path, 118)
    with pytest.raises(InputError, match="is no folder"):
        judged_pictures(tmp_path / "none")
