"""Schemas: inference, scenes to tensors and back, and what is refused."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from nsi_samples import SCHEMA, random_scenes

from visus.errors import InputError
from visus.methods.nsi.model import (
    Categorical,
    Continuous,
    Programs,
    Schema,
    clevr_hans,
    clevrtex,
    coco,
    movi,
    scenes,
)


def close(one, other):
    """Scenes equal up to single precision."""
    assert len(one) == len(other)
    for a, b in zip(one, other):
        assert list(a) == list(b)
        for name, value in a.items():
            assert value == b[name] if isinstance(value, str) else np.allclose(value, b[name], atol=1e-6)


def test_inferred_vocabularies_are_sorted_and_ranges_tight():
    train = [
        [{"color": "red", "at": (0.0, 5.0), "mass": 2}, {"color": "blue", "at": (1.0, 5.0)}],
        [],
        [{"color": "red", "at": np.array([-1.0, 5.0]), "mass": None}],
    ]
    schema = Schema.infer(train)
    assert schema.attributes == (
        Categorical("color", ("blue", "red")),
        Continuous("at", 2, (-1.0, 5.0), (1.0, 5.0)),
        Continuous("mass", 1, (2.0,), (2.0,), optional=True),
    )
    assert schema.most == 2
    # what varies nowhere becomes 0, and comes back as it was
    programs = schema.encode(train)
    assert programs.values[..., 1:].abs().max() == 0
    assert schema.decode(programs)[0][0] == {"color": "red", "at": (0.0, 5.0), "mass": 2.0}
    assert Schema.infer(train, attributes=["at", "color"], most=7) == Schema(
        (schema.attributes[1], schema.attributes[0]), 7
    )


def test_encoding_by_hand():
    programs = SCHEMA.encode([[{"size": "large", "position": (0, 6, 1), "weight": 0.5}], []])
    assert programs.categories.tolist()[0][0] == [1, 0]
    assert programs.values.tolist()[0][0] == [0.5, 1.0, 0.0, 0.25]
    assert programs.present.tolist()[0] == [[True, False, True, True]] + [[False] * 4] * 4
    assert programs.length.tolist() == [1, 0]
    assert programs.mask.tolist() == [[True, False, False, False, False], [False] * 5]
    assert SCHEMA.columns == {"position": slice(0, 3), "weight": slice(3, 4)}


def test_scenes_come_back_from_tensors():
    given = random_scenes(200)
    for before, after in zip(given, SCHEMA.decode(SCHEMA.encode(given)), strict=True):
        close(SCHEMA.check(before), after)


def test_batches_are_cut_joined_and_moved():
    programs = SCHEMA.encode(random_scenes(6))
    joined = Programs.cat(
        [programs[:2], programs[torch.tensor([2, 3])].trimmed(), programs[[4]], programs[5]]
    )
    for field in ("categories", "values", "present", "length"):
        assert torch.equal(getattr(joined, field), getattr(programs, field)), field
    assert len(joined) == 6
    assert joined.to("meta").device.type == "meta"
    assert programs.trimmed().categories.shape[1] == programs.length.max()


def test_an_attribute_less_needs_no_other_code():
    given = random_scenes(20)
    less = SCHEMA.without("position", "weight")
    assert [each.name for each in less.attributes] == ["size", "color"]
    assert less == SCHEMA.only("color", "size")
    programs = less.encode(given)
    assert programs.values.shape == (20, 5, 0)
    kept = [
        tuple({n: v for n, v in each.items() if n in ("size", "color")} for each in scene) for scene in given
    ]
    assert less.decode(programs) == kept


def test_plain_form_round_trip():
    plain = json.loads(json.dumps(SCHEMA.to_plain()))
    assert Schema.from_plain(plain) == SCHEMA


def conforms(value, schema) -> bool:
    """The part of JSON schema that `Schema.json_schema` uses, read from its specification."""
    if "enum" in schema and value not in schema["enum"]:
        return False
    kinds = {"object": dict, "array": list, "string": str, "number": (int, float)}
    if not isinstance(value, kinds[schema["type"]]) or isinstance(value, bool):
        return False
    if isinstance(value, dict):
        known, count = schema["properties"], len(value)
        return (
            all(name in value for name in schema["required"])
            and (set(value) <= set(known) or schema["additionalProperties"])
            and count >= schema.get("minProperties", 0)
            and all(conforms(each, known[name]) for name, each in value.items())
        )
    if isinstance(value, list):
        least, most = schema.get("minItems", 0), schema.get("maxItems", np.inf)
        return least <= len(value) <= most and all(conforms(each, schema["items"]) for each in value)
    return True


GOOD = {"size": "small", "color": "red", "position": [0.0, 1.0, 2.0], "weight": 1}


@pytest.mark.parametrize(
    "objects",
    [
        [],
        [GOOD] * 5,
        [{"size": "small", "position": [9.0, 1.0, 2.0]}],
        [GOOD] * 6,
        [{**GOOD, "size": "tiny"}],
        [{**GOOD, "position": [1.0, 2.0]}],
        [{**GOOD, "position": "(1,2,3)"}],
        [{**GOOD, "mass": 1.0}],
        [{"size": "small"}],
        [{**GOOD, "weight": True}],
        [{}],
    ],
)
def test_json_schema_and_check_agree(objects):
    schema = json.loads(json.dumps(SCHEMA.json_schema()))
    try:
        SCHEMA.check(objects)
        fits = True
    except InputError:
        fits = False
    assert conforms({"objects": objects}, schema) is fits
    assert not conforms({"things": []}, schema)
    assert not conforms({"objects": [], "more": 1}, schema)


def test_json_schema_is_accepted_by_a_validator():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(SCHEMA.json_schema())
    jsonschema.validate({"objects": [GOOD]}, SCHEMA.json_schema())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SCHEMA.check([{**GOOD, "colour": "red"}]), "object 1: unknown attribute 'colour'.*'color'"),
        (
            lambda: SCHEMA.check([GOOD, {**GOOD, "size": "smaall"}]),
            "object 2, size: is 'smaall'.*'small'.*large",
        ),
        (lambda: SCHEMA.check([{"size": "small"}]), "object 1: lacks the attribute 'position'"),
        (lambda: SCHEMA.check([{**GOOD, "position": (1, 2)}]), "position: is \\(1, 2\\), not 3 numbers"),
        (lambda: SCHEMA.check([{**GOOD, "weight": float("nan")}]), "not finite"),
        (lambda: SCHEMA.check([{**GOOD, "weight": 10**400}]), "not one number"),
        (lambda: SCHEMA.check([{**GOOD, "weight": True}]), "not one number"),
        (lambda: SCHEMA.check([{}], partial=True), "object 1: has no attribute"),
        (lambda: SCHEMA.check([GOOD] * 6), "scene: has 6 objects, the schema allows 5"),
        (lambda: SCHEMA.encode([[], [GOOD] * 6]), "scene 2: has 6 objects"),
        (lambda: SCHEMA.encode([[], [{**GOOD, "color": "pink"}]]), "scene 2, object 1, color: is 'pink'"),
        (lambda: SCHEMA.without("shape"), "unknown attribute 'shape'"),
        (lambda: SCHEMA.without("size", "color", "position", "weight"), "has no attribute"),
        (lambda: Schema((Categorical("a", ("x",)),) * 2, 1), "names an attribute twice"),
        (lambda: Schema((Categorical("a", ("x",)),), 0), "most: is 0"),
        (lambda: Categorical("a", ("x", "x")), "none twice"),
        (lambda: Categorical("a", ("x\0",)), "control characters"),
        (lambda: Categorical("a b", ("x",)), "cannot be a tag"),
        (lambda: Categorical("xmlname", ("x",)), "cannot be a tag"),
        (lambda: Continuous("a", 2, (0.0,), (1.0,)), "size 2, 1 low and 1 high"),
        (lambda: Continuous("a", 1, (2.0,), (1.0,)), "range"),
        (lambda: Schema.infer([[], []]), "no object is described"),
        (lambda: Schema.infer([[{"a": "x"}, {"a": 1.0}]]), "a: mixes kinds of values: 1.0, 'x'|'x', 1.0"),
        (lambda: Schema.infer([[{"a": (1.0, 2.0)}, {"a": 1.0}]]), "a: mixes kinds"),
        (lambda: Schema.infer([[{"a": "x"}]], attributes=["b"]), "b: no object has it"),
        (lambda: Schema.from_plain({"most": 1}, file="s.json"), "s.json: schema: is not a schema"),
        (lambda: Schema.from_plain({"most": 1, "attributes": [{"kind": "odd", "name": "a"}]}), "kind 'odd'"),
        (
            lambda: Schema.from_plain({"most": 1, "attributes": [{"kind": "categorical", "name": "a"}]}),
            "attribute 'a': cannot be read",
        ),
    ],
)
def test_refusals_name_the_place(make, message):
    with pytest.raises(InputError, match=re.compile(message, re.DOTALL)):
        make()


def test_unknown_values_become_missing_when_asked():
    programs = SCHEMA.encode([[{**GOOD, "color": "pink", "size": "huge"}]], unknown="missing")
    assert programs.present[0, 0].tolist() == [False, False, True, True]
    # a query may name anything less
    partial = SCHEMA.encode([[{"color": "red"}]], partial=True)
    assert partial.present[0, 0].tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("schema", "names", "most"),
    [
        (clevrtex(["wood", "brick"]), ["size", "shape", "material", "position"], 10),
        (clevr_hans(), ["shape", "size", "material", "color", "position"], 10),
        (movi("a"), ["size", "shape", "color", "material", "image_position"], 10),
        (movi("b"), ["shape", "color", "material", "scale", "image_position"], 10),
        (movi("c"), ["category", "scale", "image_position"], 10),
        (coco(["dog", "cat"]), ["category", "box"], 10),
        (scenes(), ["shape", "size", "color", "material", "position"], 8),
    ],
)
def test_named_schemas(schema, names, most):
    assert [each.name for each in schema.attributes] == names
    assert schema.most == most
    given = random_scenes(5, least=3, schema=schema)
    for before, after in zip(given, schema.decode(schema.encode(given)), strict=True):
        close(before, after)


def test_published_sizes_of_named_schemas():
    assert [len(each.values) for each in clevrtex([f"m{n:02d}" for n in range(60)]).categorical] == [3, 4, 60]
    assert [len(each.values) for each in clevr_hans().categorical] == [3, 2, 2, 8]
    assert len(movi("c").categorical[0].values) == 17
    scaled = clevrtex(["wood"]).encode(
        [[{"size": "small", "shape": "cube", "material": "wood", "position": (-3, 0, 1.5)}]]
    )
    assert scaled.values[0, 0].tolist() == [0.0, 0.5, 0.75]
    with pytest.raises(InputError, match="choose from a, b, c, d, e"):
        movi("f")


def test_the_world_fits_its_schema():
    from visus.data.worlds.scenes.images import SceneImages

    objects = SceneImages(6, size=32).batch(range(6))["objects"]
    programs = scenes().encode(objects)
    assert programs.values.min() >= 0
    assert programs.values[programs.mask].max() <= 1
    for before, after in zip(objects, scenes().decode(programs), strict=True):
        close(scenes().check(before), after)
