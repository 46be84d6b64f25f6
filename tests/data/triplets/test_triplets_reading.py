"""Every public layout, and every slip that such files invite."""

import numpy as np
import pytest

from visus.data.triplets import read_triplets
from visus.errors import InputError

ROWS = [[0, 1, 2], [3, 1, 0], [2, 4, 3]]


def text(tmp_path, content, name="t.txt", encoding="utf-8"):
    (tmp_path / name).write_text(content, encoding=encoding, newline="")
    return tmp_path / name


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint16, np.float32, ">i8"])
def test_npy_of_any_number_type(tmp_path, kind):
    np.save(tmp_path / "t.npy", np.array(ROWS, dtype=kind))
    found = read_triplets(tmp_path / "t.npy")
    assert found.rows.tolist() == ROWS
    assert (found.rows.dtype, found.objects, found.file) == (np.int64, 5, tmp_path / "t.npy")


def test_npy_of_int64_stays_on_disk_and_is_never_written_to(tmp_path):
    np.save(tmp_path / "t.npy", np.array(ROWS))
    before = (tmp_path / "t.npy").read_bytes()
    found = read_triplets(tmp_path / "t.npy")
    base = found.rows
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    found.rows[0, 0] = 4
    assert (tmp_path / "t.npy").read_bytes() == before


@pytest.mark.parametrize("mark", [" ", "\t", ",", ";", "   ", ", "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_text_with_any_separator(tmp_path, mark, end):
    content = end.join(mark.join(map(str, row)) for row in ROWS) + end
    assert read_triplets(text(tmp_path, content)).rows.tolist() == ROWS
    assert read_triplets(text(tmp_path, content, encoding="utf-8-sig")).rows.tolist() == ROWS
    assert read_triplets(text(tmp_path, content.strip(), encoding="utf-16")).rows.tolist() == ROWS


def test_indented_and_blank_lines(tmp_path):
    content = "\n  0 1 2\n\n  3 1 0 \n\n  2 4 3\n\n"
    assert read_triplets(text(tmp_path, content)).rows.tolist() == ROWS
    with pytest.raises(InputError, match="column 3, line 4: has no value"):
        read_triplets(text(tmp_path, "\n 0 1 2\n\n 3 1\n"))


TRIALS = "1\t2\t3\t3\t17\n1\t4\t2\t1\t9\n5\t4\t3\t2\t17\n"


@pytest.mark.parametrize(
    "content",
    [
        TRIALS,
        "image1\timage2\timage3\tchoice\tsubject_id\n" + TRIALS,
        "obj1\tobj2\tobj3\tchoice\tparticipant\n" + TRIALS,
        TRIALS.replace("\t", ","),
        '"image1","image2","image3","choice","subject"\n' + TRIALS.replace("\t", ","),
    ],
)
def test_raw_trials_with_and_without_header(tmp_path, content):
    found = read_triplets(text(tmp_path, content, "t.csv"), objects=5)
    assert found.rows.tolist() == [[0, 1, 2], [3, 1, 0], [4, 2, 3]]
    assert found.participants.tolist() == [17, 9, 17]


def test_columns_of_a_header_are_found_in_any_order_and_others_are_ignored(tmp_path):
    content = "trial,subject,choice,image3,image1,image2,rt\n1,p1,3,3,1,2,0.5\n2,p2,1,2,1,4,slow\n"
    found = read_triplets(text(tmp_path, content, "t.csv"), base=1)
    assert found.rows.tolist() == [[0, 1, 2], [3, 1, 0]]
    assert found.participants.tolist() == ["p1", "p2"]


def test_four_columns_of_npy_hold_the_choice(tmp_path):
    np.save(tmp_path / "t.npy", np.array([[1, 2, 3, 1], [1, 4, 2, 2]]))
    assert read_triplets(tmp_path / "t.npy", objects=4).rows.tolist() == [[1, 2, 0], [0, 1, 3]]


def test_the_odd_one_first_as_in_cblearn(tmp_path):
    np.save(tmp_path / "t.npy", np.array([[2, 0, 1], [0, 3, 1]]))
    assert read_triplets(tmp_path / "t.npy", odd="first").rows.tolist() == [[0, 1, 2], [3, 1, 0]]


def test_the_base_is_found_out_where_it_can_be(tmp_path):
    one = text(tmp_path, "1 2 3\n4 2 1\n3 5 4\n")
    assert read_triplets(one, objects=5).rows.tolist() == ROWS
    assert read_triplets(one, names=list("abcde")).names == tuple("abcde")
    assert read_triplets(one, base=1).objects == 5
    assert read_triplets(one, objects=6, base=0).rows.min() == 1
    assert read_triplets(text(tmp_path, "0 1 2\n"), objects=9).objects == 9


UNDECIDED = "cannot tell whether objects are counted from 0 or from 1"


@pytest.mark.parametrize(
    ("content", "settings", "says"),
    [
        ("1 2 3\n", {}, rf"{UNDECIDED}.*not known.*base=0 or base=1"),
        ("1 2 3\n", {"objects": 4}, rf"{UNDECIDED}.*largest is 3 of 4"),
        ("0 1 2\n3 2 1\n", {"objects": 3}, r"line 2: object 3 is outside 0\.\.2"),
        (
            "1 2 4\n\n5 4 3\n",
            {"objects": 5, "base": 0},
            r"line 3: object 5 .*counts from 1.*read it with base=1",
        ),
        (
            "1 2 4\n0 4 3\n",
            {"objects": 5, "base": 1},
            r"line 2: object 0 .*counts from 0.*read it with base=0",
        ),
        ("1 2 9\n", {"objects": 5}, r"line 1: object 9 is outside 1\.\.5"),
        ("0 1 2\n0 -1 2\n", {}, "line 2: object -1 is outside"),
        ("0 1 2\n\n2 0 2\n", {}, r"line 3: \[2, 0, 2\] names an object twice.*drop this line"),
        ("0 1 2\n0 1\n", {}, "column 3, line 2: has no value.*complete or delete"),
        ("0 1 2\n0 1 2 3\n", {}, "line 2: has 4 fields, not 3"),
        ("0,1,2\n0,1,\n", {}, "column 3, line 2: has no value"),
        ("0,1,2\n0,1,x\n", {}, "column 3, line 2: 'x' is not a whole number"),
        ("0,1,2\n0,1,2.5\n", {}, "line 2: '?2.5'? is not a whole number"),
        ("0 1\n", {}, "2 columns, expected at least 3"),
        ("1 2 3 1 5 6\n", {}, "6 columns without a header"),
        ("x,y,z,choice\n1,2,3,1\n", {}, "header: has no column image1, image2, image3"),
        ("image1,image2,image3,choice\n", {}, "header but no rows"),
        ("1 2 3 4\n1 2 3 7\n", {"base": 1}, "choice, line 1: choice 4 is not 1, 2 or 3"),
        ("1 2 3 0\n1 2 3 2\n", {"base": 1}, "choice, line 1: .*counted from 0.*add 1"),
        ("7 2 5 7\n8 5 9 9\n", {"base": 1}, "own number, not the position"),
        ("1 2 3 1 5\n1 2 3 1\n", {"base": 1}, "participant, line 2: has no value"),
        ("1,2,3,1,5\n1,2,3,1,\n", {"base": 1}, "participant, line 2: has no value"),
        ("1 2 3 1\n", {"base": 1, "odd": "last"}, "a fourth column tells the odd one.*choice"),
        ("1 2 3\n", {"base": 1, "odd": "choice"}, "no fourth column"),
        ("1 2 3\n", {"base": 2}, "unknown base"),
        ("0 1 2\n", {"names": ["a", "b"]}, r"object 2 is outside 0\.\.1"),
        ("", {}, "is empty"),
    ],
)
def test_slips_are_named_with_their_line(tmp_path, content, settings, says):
    path = text(tmp_path, content)
    with pytest.raises(InputError, match=says) as caught:
        read_triplets(path, **settings)
    if "unknown base" not in says:
        assert caught.value.file == path


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.array([[0, 1], [1, 2]]), r"shape \(2, 2\)"),
        (np.zeros((0, 3), dtype=int), r"shape \(0, 3\)"),
        (np.array([[0, 1, 2], [1, 0, 1]]), r"row 1: \[1, 0, 1\] names an object twice"),
        (np.array([[0, 1, 2], [1, 0, 2.5]]), "row 1: is not a whole number"),
        (np.array([["a", "b", "c"]]), "not numbers"),
        (np.array([[0, 1, 2], [0, 1, 9]]), r"row 1: object 9 is outside 0\.\.4"),
    ],
)
def test_slips_of_arrays_are_named_with_their_row(tmp_path, values, says):
    np.save(tmp_path / "t.npy", values)
    with pytest.raises(InputError, match=says):
        read_triplets(tmp_path / "t.npy", objects=5)


def test_damaged_files(tmp_path):
    np.save(tmp_path / "t.npy", np.array(ROWS))
    whole = (tmp_path / "t.npy").read_bytes()
    (tmp_path / "t.npy").write_bytes(whole[:-9])
    with pytest.raises(InputError, match="not a complete NumPy file"):
        read_triplets(tmp_path / "t.npy")
    (tmp_path / "t.txt").write_bytes(b"\x00\x01\x02\x00")
    with pytest.raises(InputError, match="binary"):
        read_triplets(tmp_path / "t.txt")
    with pytest.raises(InputError, match="does not exist"):
        read_triplets(tmp_path / "none.npy")
    np.save(tmp_path / "o.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="Python objects"):
        read_triplets(tmp_path / "o.npy")


def test_the_real_trials(shared):
    path = shared / "data" / "things" / "odd_one_out_trials.tsv"
    if not path.is_file():
        pytest.skip("the shared folder has no THINGS trials")
    found = read_triplets(path, objects=1854)
    assert (len(found), found.objects, len(set(found.participants.tolist()))) == (20_000, 1854, 325)
    first = [int(cell) for cell in path.read_text().split("\n")[0].split("\t")]
    assert found.rows[0].tolist() == [first[1] - 1, first[2] - 1, first[0] - 1]
    counts = np.bincount(found.groups())
    assert (len(counts), counts.min(), counts.max()) == (1000, 14, 25)
    with pytest.raises(InputError, match=r"counts from 1.*base=1"):
        read_triplets(path, objects=1854, base=0)
