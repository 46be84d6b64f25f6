"""COCO's masks against hand-made cases and slow transcriptions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from visus.data.formats.rle import decode_mask, encode_mask, fill_polygons, pack, unpack
from visus.errors import InputError

MASKS = arrays.arrays(bool, st.tuples(st.integers(0, 9), st.integers(0, 9)))


def slow_counts(mask):
    counts, value = [0], False
    for x in range(mask.shape[1]):
        for y in range(mask.shape[0]):
            if mask[y, x] != value:
                counts.append(0)
                value = mask[y, x]
            counts[-1] += 1
    return counts


def slow_pack(counts):
    text = ""
    for i, count in enumerate(counts):
        rest = count if i <= 2 else count - counts[i - 2]
        while True:
            group = rest % 32
            rest = (rest - group) // 32
            done = rest == 0 if group < 16 else rest == -1
            text += chr(48 + group + (0 if done else 32))
            if done:
                break
    return text


@given(MASKS)
def test_masks_round_trip_and_equal_the_slow_walk(mask):
    plain = encode_mask(mask, packed=False)
    assert plain["size"] == list(mask.shape)
    assert plain["counts"] == slow_counts(mask)
    packed = encode_mask(mask)
    assert packed["counts"] == slow_pack(slow_counts(mask))
    for rle in (plain, packed, {**packed, "counts": packed["counts"].encode()}):
        assert np.array_equal(decode_mask(rle), mask)


@given(st.lists(st.integers(0, 2**40), max_size=12))
def test_packed_counts_round_trip(counts):
    assert unpack(pack(counts)) == counts
    assert pack(counts) == slow_pack(counts)


def test_hand_made_masks_are_column_major():
    mask = np.array([[0, 1, 1], [0, 0, 1]], dtype=bool)
    assert encode_mask(mask, packed=False) == {"size": [2, 3], "counts": [2, 1, 1, 2]}
    assert encode_mask(mask)["counts"] == "2111"  # the fourth number is stored as 2 - 1
    assert encode_mask(~mask, packed=False)["counts"] == [0, 2, 1, 1, 2]
    assert encode_mask(np.ones((2, 2), bool))["counts"] == "04"
    assert pack([16]) == "`0"  # 16 sets the sign bit of its group, so an empty group must follow
    assert pack([0, 40, 1, 8]) == "0X11PO"  # 8 - 40 = -32: a group 0 with more to follow, then -1


@pytest.mark.parametrize(
    ("rle", "said"),
    [
        ({"counts": [4]}, "size is None"),
        ({"size": [2], "counts": [4]}, "not \\[height, width\\]"),
        ({"size": [2, -2], "counts": [4]}, "not \\[height, width\\]"),
        ({"size": [2, 2], "counts": [3]}, "cover 3 of 2 x 2"),
        ({"size": [2, 2], "counts": [5, -1]}, "neither a text nor"),
        ({"size": [2, 2], "counts": 4}, "neither a text nor"),
        ({"size": [2, 2], "counts": "4 "}, "character 2"),
        ({"size": [2, 2], "counts": "4é"}, "character 2"),
        ({"size": [2, 2], "counts": "P"}, "cut off"),
        ({"size": [2, 2], "counts": "N"}, "below 0"),
    ],
)
def test_malformed_run_lengths_name_file_and_field(rle, said):
    with pytest.raises(InputError, match=said) as caught:
        decode_mask(rle, file="a.json", field="annotations[3]")
    assert (caught.value.file, caught.value.field) == ("a.json", "annotations[3]")


def side_of_center(polygon, y, x):
    """Even-odd rule by a ray to the right, in fractions; None for a center that lies on an edge."""
    inside = False
    points = list(zip(polygon[::2], polygon[1::2]))
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1]):
        if (y0 > y) != (y1 > y):
            crossing = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
            if crossing == x:
                return None
            inside ^= x < crossing
    return inside


COORDINATES = st.integers(-30, 130).map(lambda tenth: Fraction(tenth, 10) + Fraction(1, 77))


@settings(max_examples=60)
@given(st.lists(COORDINATES, min_size=6, max_size=12).filter(lambda given: len(given) % 2 == 0))
def test_polygons_hold_the_pixels_whose_centers_lie_inside(polygon):
    mask = fill_polygons([[float(part) for part in polygon]], 9, 11)
    for y in range(9):
        for x in range(11):
            side = side_of_center(polygon, y + Fraction(1, 2), x + Fraction(1, 2))
            assert side is None or mask[y, x] == side


def test_a_polygon_walked_both_ways_is_empty():
    """Rounding must not leave single pixels where the centers lie on the line."""
    assert not fill_polygons([[9.513, 9.513, 0.013, 0.013, 0.013, 0.013]], 9, 11).any()


def test_polygons_unite_and_are_cut_at_the_border():
    squares = [[0, 0, 2, 0, 2, 2, 0, 2], [1, 1, 9, 1, 9, 9, 1, 9]]
    mask = fill_polygons(squares, 3, 4)
    assert mask.astype(int).tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [0, 1, 1, 1]]
    assert not fill_polygons([], 3, 4).any()
    half = fill_polygons([[0.5, 0.5, 1.5, 0.5, 1.5, 1.5, 0.5, 1.5]], 2, 2)  # centers on all four edges
    assert half.astype(int).tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize("polygon", [[0, 0, 1, 1], [0, 0, 1, 1, 2], [0, 0, 1, 1, 2, np.nan]])
def test_malformed_polygons(polygon):
    with pytest.raises(InputError, match="at least three corners"):
        fill_polygons([polygon], 4, 4, file="a.json")
