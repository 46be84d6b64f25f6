"""Programs as text: exact round trips, and errors that name line and tag."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nsi_samples import SCHEMA, random_scenes

from visus.errors import InputError
from visus.methods.nsi.model import Categorical, Continuous, Schema, parse, parse_json, serialize, to_json
from visus.methods.nsi.model.programs import read_program

WRITABLE = st.characters(
    exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"
) | st.sampled_from("\t\n\r <>&\"']]>")
WORDS = st.text(WRITABLE, min_size=1, max_size=8)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True).filter(
    lambda name: not name.lower().startswith("xml")
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def schemas_and_scenes(draw):
    """Any schema, and a scene that fits it."""
    attributes = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)):
        if draw(st.booleans()):
            values = draw(st.lists(WORDS, min_size=1, max_size=4, unique=True))
            attributes.append(Categorical(name, tuple(values), draw(st.booleans())))
        else:
            size = draw(st.integers(1, 3))
            attributes.append(Continuous(name, size, (0.0,) * size, (1.0,) * size, draw(st.booleans())))
    schema = Schema(tuple(attributes), most=3)
    scene = []
    for _ in range(draw(st.integers(0, 3))):
        made = {}
        for each in attributes:
            if each.optional and draw(st.booleans()):
                continue
            if isinstance(each, Categorical):
                made[each.name] = draw(st.sampled_from(each.values))
            elif each.size == 1:
                made[each.name] = draw(NUMBERS)
            else:
                made[each.name] = draw(st.tuples(*[NUMBERS] * each.size))
        if made:
            scene.append(made)
    return schema, tuple(scene)


@given(schemas_and_scenes())
@settings(max_examples=1000, deadline=None)
def test_round_trip_is_exact(pair):
    schema, scene = pair
    text = serialize(scene, schema)
    assert parse(text, schema) == scene
    assert repr(parse(text, schema)) == repr(schema.check(scene))  # signs of zeros too
    assert serialize(parse(text, schema), schema) == text
    assert parse_json(to_json(scene, schema), schema) == scene


def test_round_trip_of_thousands_of_scenes():
    for scene in random_scenes(3000):
        assert parse(serialize(scene, SCHEMA), SCHEMA) == scene


def test_what_a_person_writes():
    text = """<?xml version="1.0" encoding="UTF-8"?>
    <!-- one object, attributes in another order -->
    <scene>
      <object>
        <weight> 1 </weight>
        <position> ( 1, -2.5e0 ,+3 ) </position>
        <size>
          large
        </size>
        <color><![CDATA[red]]></color>
      </object>
    </scene>
    """
    want = {"size": "large", "color": "red", "position": (1.0, -2.5, 3.0), "weight": 1.0}
    (scene,) = parse(text.strip(), SCHEMA)
    assert scene == want
    assert list(scene) == list(want)


def test_blanks_count_where_the_vocabulary_has_them():
    schema = Schema((Categorical("a", ("x", " x", "x y")),), 3)
    scene = ({"a": " x"}, {"a": "x"}, {"a": "x y"})
    assert parse(serialize(scene, schema), schema) == scene
    assert parse("<scene><object><a> x y\n</a></object></scene>", schema) == ({"a": "x y"},)


def test_a_query_may_lack_attributes():
    query = "<scene><object><color>red</color></object><object><size>small</size></object></scene>"
    assert parse(query, SCHEMA, partial=True) == ({"color": "red"}, {"size": "small"})
    assert serialize([{"color": "red"}], SCHEMA, partial=True).count("<object>") == 1
    assert parse_json('{"objects": [{"color": "red"}]}', SCHEMA, partial=True) == ({"color": "red"},)
    with pytest.raises(InputError, match="line 1, <object>: lacks the attribute 'size'"):
        parse(query, SCHEMA)


def inside(content: str) -> str:
    return f"<scene>\n<object>\n{content}\n</object></scene>"


FULL = "<size>small</size><position>(0,0,1)</position>"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            inside("<colour>red</colour>"),
            "p.xml: line 3, <colour>: unknown tag.*'color'.*size, color, position",
        ),
        (inside("<size>smaall</size>"), "p.xml: line 3, <size>: is 'smaall'.*'small'.*small, large"),
        (inside("<position>(0,0)</position>"), "line 3, <position>: is '\\(0,0\\)'|not 3 numbers"),
        (inside("<position>(0,0,nan)</position>"), "line 3, <position>.*not 3 numbers"),
        (inside("<position>(0,0,1e999)</position>"), "line 3, <position>.*not finite"),
        (inside("<position>(0,0,1_0)</position>"), "line 3, <position>.*not 3 numbers"),
        (inside("<weight></weight>"), "line 3, <weight>: is '', not one number"),
        (inside("<size>small</size>"), "line 4, <object>: lacks the attribute 'position'.*<position>"),
        (inside("<size>small</size>" * 2), "line 3, <size>: stands twice"),
        (inside(""), "line 4, <object>: has no attribute"),
        (inside("<size><b>small</b></size>"), "line 3, <b>: stands inside <size>"),
        (inside('<size unit="m">small</size>'), "line 3, <size>: has unit= inside the tag"),
        (inside(f"{FULL} red"), "line \\d, <object>: holds the text 'red'"),
        (inside("<size>small</color>"), "line 3, column \\d+: is not well-formed \\(mismatched tag"),
        ("<scene><object>", "line 1, column 16: is not well-formed"),
        ("", "is not well-formed"),
        ("<program/>", "line 1, <program>: unknown tag.*<scene>"),
        ("<scene>\n<thing/></scene>", "line 2, <thing>: unknown tag.*<object>"),
        ("<scene/><scene/>", "not well-formed \\(junk"),
        (f"<scene>{'<object>' + FULL + '</object>'}</scene>".replace("</scene>", ""), "not well-formed"),
        (
            "<scene>" + f"<object>{FULL}</object>\n" * 6 + "</scene>",
            "line 6, <object>: is object 6, the schema allows 5",
        ),
        ('<!DOCTYPE scene SYSTEM "file:///etc/passwd"><scene/>', "line 1: has a document type"),
        ('<!DOCTYPE s [<!ENTITY a "b">]>\n<scene>&a;</scene>', "has a document type"),
        ("<scene>&a;</scene>", "undefined entity"),
        ("<scene><?run it?></scene>", "has a processing instruction"),
        ("<scene>\udc80</scene>", "holds the text"),
    ],
)
def test_refusals_name_line_and_tag(text, message):
    with pytest.raises(InputError, match=re.compile(message, re.DOTALL)):
        parse(text, SCHEMA, file="p.xml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"objects": [}', "p.json: line 1: is not valid JSON"),
        ("[]", "p.json: objects: is not a scene"),
        ('{"objects": [], "x": 1}', "is not a scene"),
        ('{"objects": [1]}', "is not a scene"),
        ('{"objects": [{"size": "small", "position": [0, 0, NaN]}]}', "not finite"),
        ('{"objects": [{"size": 3, "position": [0, 0, 1]}]}', "object 1, size: is 3"),
        ('{"objects": ' + "[" * 100_000, "p.json: cannot be read"),
        ('{"objects": ' + "9" * 5000, "p.json: cannot be read"),
    ],
)
def test_json_refusals(text, message):
    with pytest.raises(InputError, match=message):
        parse_json(text, SCHEMA, file="p.json")


def test_scenes_that_do_not_fit_are_not_written():
    for write in (serialize, to_json):
        with pytest.raises(InputError, match="object 1, size: is 'tiny'"):
            write([{"size": "tiny", "position": (0, 0, 1)}], SCHEMA)


def test_files(tmp_path):
    scene = random_scenes(1, least=3)[0]
    (tmp_path / "a.xml").write_text("\ufeff" + serialize(scene, SCHEMA), encoding="utf-8")
    (tmp_path / "a.json").write_text(to_json(scene, SCHEMA), encoding="utf-8")
    assert read_program(tmp_path / "a.xml", SCHEMA) == scene
    assert read_program(tmp_path / "a.json", SCHEMA) == scene
    (tmp_path / "b.xml").write_bytes(b"<scene>\xff</scene>")
    with pytest.raises(InputError, match=r"b.xml: is not UTF-8"):
        read_program(tmp_path / "b.xml", SCHEMA)
    with pytest.raises(InputError, match=r"c.xml: cannot be read"):
        read_program(tmp_path / "c.xml", SCHEMA)
