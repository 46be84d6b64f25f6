"""The silver file: equal content gives equal bytes, and nothing strange is read."""

from __future__ import annotations

import json

import pytest

from visus.errors import InputError
from visus.methods.vgloss.model.silver import Silver, SilverClass


def silver() -> Silver:
    return Silver(
        classes={
            "n2": SilverClass(
                name="crane",
                synset="crane.n.05",
                lemmas=("crane",),
                gloss="a bird",
                normal=("A tall bird.", "Ein großer Vogel."),
                contrastive={"x": ("Not x.",), "n1": ("Red cap.", "A tall bird.")},
            ),
            "n1": SilverClass(name="heron", normal=("A grey bird.",)),
            "x": SilverClass(name="blorp", normal=()),
        },
        meta={"lm": "scripted", "decoding": {"seed": 0, "n": 5}, "created": None},
    )


def test_round_trip_is_equal_and_byte_identical(tmp_path):
    text = silver().to_json()
    again = Silver.from_json(text)
    assert again.to_json() == text
    assert again.classes["n1"] == silver().classes["n1"]
    silver().write(tmp_path / "s.json")
    assert (tmp_path / "s.json").read_bytes() == text.encode()
    assert Silver.read(tmp_path / "s.json").to_json() == text
    assert "großer" in text


def test_bytes_do_not_depend_on_the_order_of_settings_or_pairs():
    one = silver()
    first = one.classes["n2"]
    turned = SilverClass(
        **{**vars(first), "contrastive": dict(reversed(list(first.contrastive.items())))},
    )
    other = Silver(
        classes={"n2": turned, "n1": one.classes["n1"], "x": one.classes["x"]},
        meta={"created": None, "decoding": {"n": 5, "seed": 0}, "lm": "scripted"},
    )
    assert other.to_json() == one.to_json()


def test_uses_of_the_texts():
    made = silver()
    assert made.texts("normal")["n2"] == ["A tall bird.", "Ein großer Vogel."]
    assert made.texts("contrastive")["n2"] == ["Not x.", "Red cap.", "A tall bird."]
    assert made.texts("both")["n2"] == ["A tall bird.", "Ein großer Vogel.", "Not x.", "Red cap."]
    assert made.texts("contrastive")["n1"] == ["A grey bird."]
    assert made.pairs() == {frozenset(("n2", "x")), frozenset(("n2", "n1"))}
    with pytest.raises(InputError, match="use"):
        made.texts("all")  # type: ignore[arg-type]


def test_without_contrast_all_uses_are_the_same():
    plain = silver().restricted_to(["n1"])
    assert plain.texts("normal") == plain.texts("contrastive") == plain.texts("both")


def test_restriction_drops_contrasts_with_the_others():
    part = silver().restricted_to(["n1", "n2"])
    assert list(part.classes) == ["n1", "n2"]
    assert list(part.classes["n2"].contrastive) == ["n1"]
    assert Silver.from_json(part.to_json()).to_json() == part.to_json()
    with pytest.raises(InputError, match="'z' is not a class"):
        silver().restricted_to(["z"])


def change(path: str, value) -> str:
    plain = json.loads(silver().to_json())
    *way, last = path.split("/")
    place = plain
    for each in way:
        place = place[each]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(plain)


@pytest.mark.parametrize(
    ("text", "field", "problem"),
    [
        (change("classes/n1/name", ...), "class 'n1'", "no field 'name'"),
        (change("classes/n1/normal", ...), "class 'n1'", "no field 'normal'"),
        (change("classes/n1/colour", 1), "class 'n1'", "unknown field 'colour'"),
        (change("classes/n1/normal", "text"), "class 'n1', normal", "not a list"),
        (change("classes/n1/normal", ["a", 3]), "class 'n1', normal, item 1", "not a text"),
        (change("classes/n1/normal", ["  "]), "class 'n1', normal, item 0", "not a text"),
        (change("classes/n1/gloss", None), "class 'n1', gloss", "not text"),
        (change("classes/n1/contrastive", []), "class 'n1', contrastive", "not an object"),
        (change("classes/n1/contrastive", {"z": ["a"]}), "class 'n1', contrastive, 'z'", "not a class"),
        (
            change("classes/n1/contrastive", {"n1": ["a"]}),
            "class 'n1', contrastive, 'n1'",
            "the class itself",
        ),
        (change("classes", {}), "classes", "with classes"),
        (change("classes/n1", []), "class 'n1'", "not an object"),
        (change("meta", []), "meta", "not an object"),
        (change("more", 1), "file", "unknown field 'more'"),
        ("[]", "file", "not an object"),
        ('{"classes":\n {', "line 2", "not valid JSON"),
        ('{"classes": {"a": 1, "a": 2}}', "'a'", "appears twice"),
    ],
)
def test_strange_files_are_refused_by_class_and_field(tmp_path, text, field, problem):
    file = tmp_path / "s.json"
    file.write_text(text)
    with pytest.raises(InputError) as error:
        Silver.read(file)
    assert error.value.file == file
    assert error.value.field == field
    assert problem in str(error.value)


def test_absent_and_unreadable_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.json: does not exist"):
        Silver.read(tmp_path / "absent.json")
    (tmp_path / "bad.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(InputError, match="cannot be read"):
        Silver.read(tmp_path / "bad.json")
