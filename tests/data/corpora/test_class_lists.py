"""The lists of class names, and the order they are in."""

import pytest

from visus.data.corpora.class_lists import SETS, check_order, class_list
from visus.errors import InputError


@pytest.mark.parametrize(
    ("name", "count", "first", "last"),
    [
        ("imagenet", 1000, "tench", "toilet tissue"),
        ("stl10", 10, "airplane", "truck"),
        ("cifar10", 10, "airplane", "truck"),
        ("cifar100", 100, "apple", "worm"),
        ("flowers102", 102, "pink primrose", "blackberry lily"),
        ("aircraft", 100, "707-320", "Yak-42"),
    ],
)
def test_lists(name, count, first, last):
    found = class_list(name)
    assert (len(found.names), len(set(found.names)), len(found.wnids)) == (count, count, count)
    assert (found.names[0], found.names[-1]) == (first, last)
    known = [wnid for wnid in found.wnids if wnid is not None]
    assert len(known) == len(set(known)) == {"cifar100": 99, "flowers102": 0, "aircraft": 0}.get(name, count)
    if name in ("imagenet", "aircraft", "stl10", "cifar100"):
        order = known if name == "imagenet" else list(found.names)
        assert order == sorted(order)


def test_unknown_list():
    with pytest.raises(InputError, match=f"no label set is named 'cub'.*{SETS[0]}"):
        class_list("cub")


def test_another_order_is_refused_and_other_names_pass():
    names = list(class_list("stl10").names)
    check_order(names, "stl10", file="class_names.txt")
    check_order(["my", "classes"], "stl10", file="class_names.txt")
    names[1], names[2] = names[2], names[1]
    with pytest.raises(
        InputError, match=r"class_names.txt: line 2: has 'car' where the published order has 'bird'"
    ):
        check_order(names, "stl10", file="class_names.txt")
