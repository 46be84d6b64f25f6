"""Which sentence of a contrastive answer belongs to which class."""

from __future__ import annotations

import pytest
from vgloss_lexicon import CRANE, HERON, MACHINE, SHARK, TIGER_SHARK

from visus.errors import InputError
from visus.methods.vgloss.model.contrast import ordered_pairs, split_sides

LEFT, RIGHT = "The crane has a red cap.", "The heron has a black stripe."


@pytest.mark.parametrize(
    "answer",
    [
        f"{LEFT}\nheron: {RIGHT}",
        f"crane: {LEFT}\nheron: {RIGHT}",
        f"heron: {RIGHT}\ncrane: {LEFT}",
        f"**Crane:** {LEFT}\n**Heron:** {RIGHT}",
        f"- The crane: {LEFT}\n- A heron: {RIGHT}",
        f"1. crane - {LEFT}\n2. heron - {RIGHT}",
        f"A: {LEFT}\nB: {RIGHT}",
        f"1: {LEFT}\n2: {RIGHT}",
        f"{LEFT}\n{RIGHT}",
        f"{LEFT} {RIGHT}",
        f"\n  {LEFT}\n\n{RIGHT}\nmore words",
        f"crane: {LEFT}\ncrane: again\nheron: {RIGHT}",
        f"crane:\n{LEFT}\nheron:\n{RIGHT}",
    ],
)
def test_sides_are_found_in_many_forms(answer):
    sides = split_sides(answer, CRANE, HERON)
    assert (sides.one, sides.other) == (LEFT, RIGHT)
    assert sides.dropped == ()


def test_a_sentence_naming_the_other_class_is_dropped_and_told():
    answer = f"Unlike herons, it has a red cap.\nheron: {RIGHT}"
    sides = split_sides(answer, CRANE, HERON)
    assert sides.one is None
    assert sides.other == RIGHT
    assert sides.dropped == (("one", "Unlike herons, it has a red cap.", "names the other"),)


def test_swapped_answers_enter_neither_class():
    sides = split_sides(f"crane: {RIGHT}\nheron: {LEFT}", CRANE, HERON)
    assert (sides.one, sides.other) == (None, None)
    assert [fault for *_, fault in sides.dropped] == ["names the other"] * 2


@pytest.mark.parametrize("answer", ["", "\n\n", "crane:", "heron:"])
def test_missing_sides_are_told(answer):
    sides = split_sides(answer, CRANE, HERON)
    assert [fault for *_, fault in sides.dropped] == ["missing", "missing"]


def test_one_line_about_the_first_says_nothing_of_the_other():
    sides = split_sides(f"{LEFT} It has long legs.", CRANE, HERON)
    assert sides.one == f"{LEFT} It has long legs." or sides.one == LEFT
    assert sides.other is None


def test_a_name_within_the_own_name_is_the_own_name():
    sides = split_sides("shark: A grey shark.\ntiger shark: A tiger shark has stripes.", SHARK, TIGER_SHARK)
    assert sides.one == "A grey shark."
    assert sides.other == "A tiger shark has stripes."
    assert split_sides("Not a tiger shark.", SHARK, TIGER_SHARK).one is None
    assert split_sides("x\nGrey, no shark.", SHARK, TIGER_SHARK).other is None


def test_shared_names_do_not_count():
    answer = "A crane with wings.\ncrane (lifting device): A crane made of steel."
    sides = split_sides(answer, CRANE, MACHINE)
    assert sides.one == "A crane with wings."
    assert sides.other == "A crane made of steel."


def test_a_colon_in_a_sentence_is_no_label():
    sides = split_sides("It shows two colors: red and grey.\nAnother thing: white.", CRANE, HERON)
    assert sides.one == "It shows two colors: red and grey."
    assert sides.other == "Another thing: white."


def test_pairs_are_unordered_once_and_in_the_order_of_classes():
    keys = ["c", "a", "b"]
    pairs = [frozenset("ab"), frozenset("ba"), frozenset("cb")]
    assert ordered_pairs(pairs, keys) == [("c", "b"), ("a", "b")]
    assert ordered_pairs([], keys) == []
    with pytest.raises(InputError, match="'z' is not a class"):
        ordered_pairs([frozenset("az")], keys)
    with pytest.raises(InputError, match="not a pair"):
        ordered_pairs([frozenset("a")], keys)
