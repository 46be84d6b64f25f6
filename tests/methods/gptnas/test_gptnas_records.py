"""Records: exact round trips, and errors that name layer and field."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visus.errors import InputError
from visus.methods.gptnas.model.records import SOURCE, Architecture, Layer
from visus.methods.gptnas.model.zoo import zoo_architecture


def conv(**fields):
    usual = {
        "family": "conv",
        "id": 0,
        "in_size": (3, 8, 8),
        "out_size": (4, 4, 4),
        "inputs": (SOURCE,),
        "kernel": (3, 3),
        "stride": (2, 2),
        "padding": (1, 1, 1, 1),
        "dilation": (1, 1),
        "groups": 1,
        "bias_used": True,
    }
    return Layer(**{**usual, **fields})


def relu(place, size, source, **fields):
    return Layer(
        family="other", id=place, name="ReLU", in_size=size, out_size=size, inputs=(source,), **fields
    )


SMALL = Architecture(
    name="a small one",
    input_size=(3, 8, 8),
    layers=(
        conv(),
        Layer(
            family="other",
            id=1,
            name="BatchNorm2d",
            in_size=(4, 4, 4),
            out_size=(4, 4, 4),
            inputs=(0,),
            value=(("eps", 1e-3), ("parameters", 8)),
        ),
        Layer(
            family="pool",
            id=2,
            type="MAX",
            in_size=(4, 4, 4),
            out_size=(4, 2, 2),
            inputs=(1,),
            kernel=(2, 2),
            stride=(2, 2),
            padding=(0, 0, 0, 0),
            dilation=(1, 1),
        ),
        Layer(
            family="pool",
            id=3,
            type="AVG",
            in_size=(4, 2, 2),
            out_size=(4, 1, 1),
            inputs=(2,),
            value=(("output", (1, 1)),),
        ),
        Layer(family="other", id=4, name="flatten", in_size=(4, 1, 1), out_size=(4,), inputs=(3,)),
        Layer(family="fc", id=5, in_size=(4,), out_size=(2,), inputs=(4,), bias_used=False),
    ),
    blocks=(("Conv", 0, 1), ("Bottleneck(ResNet)", 1, 3)),
)
TEXT = """\
architecture "a small one" input=3x8x8
0 conv in=3x8x8 out=4x4x4 kernel=3x3 stride=2x2 padding=1,1,1,1 dilation=1x1 groups=1 bias=yes from=input
1 other BatchNorm2d in=4x4x4 out=4x4x4 from=0 value={"eps":0.001,"parameters":8}
2 pool MAX in=4x4x4 out=4x2x2 kernel=2x2 stride=2x2 padding=0,0,0,0 dilation=1x1 from=1
3 pool AVG in=4x2x2 out=4x1x1 from=2 value={"output":[1,1]}
4 other flatten in=4x1x1 out=4 from=3
5 fc in=4 out=2 bias=no from=4
block "Conv" 0..1
block "Bottleneck(ResNet)" 1..3
"""


def test_the_text_is_the_documented_one():
    assert SMALL.to_text() == TEXT
    assert Architecture.from_text("# a comment\n\n" + TEXT) == SMALL


def test_parameters_are_counted():
    assert [layer.num_params for layer in SMALL.layers] == [3 * 4 * 9 + 4, 8, 0, 0, 0, 8]
    assert SMALL.num_params == 128
    assert conv(groups=1, bias_used=False, out_size=(6, 4, 4)).num_params == 3 * 6 * 9
    assert conv(groups=3, bias_used=False, out_size=(6, 4, 4)).num_params == 6 * 9
    assert conv(value=(("shared", 0),)).num_params == 0


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "efficientnet_b0", "googlenet", "regnet_y_400mf"])
def test_published_networks_survive_text_and_json(name):
    record = zoo_architecture(name)
    assert Architecture.from_text(record.to_text()) == record
    assert Architecture.from_plain(json.loads(json.dumps(record.to_plain(), allow_nan=False))) == record


words = st.text(min_size=1).filter(lambda text: text.strip())
numbers = (
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.none()
)
settings_of = st.dictionaries(
    st.text(min_size=1), numbers.filter(lambda x: x is not None) | st.lists(st.integers()).map(tuple)
).map(
    lambda found: {name: content for name, content in found.items() if name not in ("shared", "parameters")}
)


@settings(max_examples=60, deadline=None)
@given(
    name=words,
    block=words,
    size=st.lists(st.integers(1, 9), max_size=4).map(tuple),
    value=settings_of,
)
def test_any_record_survives_text_and_json(name, block, size, value):
    first = replace(
        relu(0, (2, 3), SOURCE), out_size=size, name="fold/ünusual-1", value=tuple(sorted(value.items()))
    )
    second = replace(relu(1, size, 0), inputs=(0, SOURCE, 0))
    record = Architecture(name=name, input_size=(2, 3), layers=(first, second), blocks=((block, 0, 2),))
    again = Architecture.from_text(record.to_text())
    assert again == record
    assert repr(again) == repr(record), "equality takes 1 for 1.0 and True"
    again = Architecture.from_plain(json.loads(json.dumps(record.to_plain())))
    assert again == record
    assert repr(again) == repr(record)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"family": "attention"}, "layer 0, family"),
        ({"kernel": None}, "layer 0, kernel"),
        ({"bias_used": None}, "layer 0, bias_used"),
        ({"name": "ReLU"}, "layer 0, name"),
        ({"in_size": (0, 8, 8)}, "layer 0, in_size"),
        ({"out_size": (4, 5, 4)}, "layer 0, out_size"),
        ({"out_size": (4, 4)}, "layer 0, out_size"),
        ({"stride": (0, 2)}, "layer 0, stride"),
        ({"stride": (2,)}, "layer 0, stride"),
        ({"padding": (1, 1)}, "layer 0, padding"),
        ({"padding": (1, 1, 1, -1)}, "layer 0, padding"),
        ({"groups": 2}, "layer 0, groups"),
        ({"groups": 0}, "layer 0, groups"),
        ({"value": (("b", 1), ("a", 2))}, "layer 0, value"),
        ({"value": (("a", float("nan")),)}, "layer 0, value a"),
    ],
)
def test_an_impossible_layer_is_named(change, field):
    with pytest.raises(InputError) as error:
        conv(**change)
    assert error.value.field == field


def test_a_pool_needs_a_window_for_its_numbers():
    with pytest.raises(InputError, match="layer 2, kernel"):
        replace(SMALL.layers[2], kernel=None)
    with pytest.raises(InputError, match="a pool keeps its channels"):
        replace(SMALL.layers[2], out_size=(5, 2, 2))


def test_names_are_single_words():
    for name in ("two words", "a=b", ""):
        with pytest.raises(InputError, match="layer 1, name"):
            replace(SMALL.layers[1], name=name)


@pytest.mark.parametrize(
    ("layers", "field"),
    [
        ((), "layers"),
        ((relu(1, (3, 8, 8), SOURCE),), "layer 1, id"),
        ((relu(0, (3, 8, 8), 0),), "layer 0, inputs"),
        ((relu(0, (3, 8, 8), -2),), "layer 0, inputs"),
        ((relu(0, (3, 8, 9), SOURCE),), "layer 0, in_size"),
        ((conv(), relu(1, (3, 8, 8), 0)), "layer 1, in_size"),
        ((replace(relu(0, (3, 8, 8), SOURCE), inputs=()),), "layer 0, inputs"),
        ((relu(0, (3, 8, 8), SOURCE, value=(("shared", 3),)),), "layer 0, value shared"),
    ],
)
def test_an_impossible_network_is_named(layers, field):
    with pytest.raises(InputError) as error:
        Architecture(name="n", input_size=(3, 8, 8), layers=layers)
    assert error.value.field == field


@pytest.mark.parametrize(
    "blocks", [(("a", 0, 9),), (("a", 2, 2),), (("a", 0, 2), ("b", 1, 3)), (("a", 2, 3), ("b", 0, 1))]
)
def test_impossible_blocks_are_named(blocks):
    with pytest.raises(InputError, match=r"block \d \([ab]\)"):
        SMALL.with_blocks(blocks)


@pytest.mark.parametrize(
    ("line", "broken", "words"),
    [
        (1, "architecture a small one input=3x8x8", "is not the head"),
        (2, "0 conv3 in=3x8x8", "is no layer"),
        (2, TEXT.splitlines()[1].replace("kernel=3x3", "kernel=3xthree"), "kernel=3xthree"),
        (2, TEXT.splitlines()[1].replace("bias=yes", "bias=perhaps"), "bias=perhaps"),
        (2, TEXT.splitlines()[1].replace(" from=input", ""), "lacks from="),
        (2, TEXT.splitlines()[1].replace("groups", "group"), "no field"),
        (2, TEXT.splitlines()[1] + " groups=1", "twice"),
        (2, TEXT.splitlines()[1].replace("out=4x4x4", "out=4x4x5"), "layer 0, out_size"),
        (3, TEXT.splitlines()[2][:-1], "Expecting"),
        (3, TEXT.splitlines()[2].replace("0.001", "null"), "eps is neither"),
        (8, 'block "Conv" 0-1', "is no block"),
    ],
)
def test_malformed_text_names_the_line(line, broken, words):
    lines = TEXT.splitlines()
    lines[line - 1] = broken
    with pytest.raises(InputError) as error:
        Architecture.from_text("\n".join(lines), file="net.txt")
    assert f"line {line}" in str(error.value)
    assert words in str(error.value)
    assert error.value.file == "net.txt"


def test_empty_text_is_refused():
    with pytest.raises(InputError, match="holds no architecture"):
        Architecture.from_text("# nothing\n")


def edited(edit):
    plain = json.loads(json.dumps(SMALL.to_plain()))
    edit(plain)
    return plain


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        (lambda p: p.pop("layers"), "layers"),
        (lambda p: p.update(color="red"), "color"),
        (lambda p: p.update(input_size=[3, 8.5, 8]), "input_size"),
        (lambda p: p.update(layers={}), "layers"),
        (lambda p: p["layers"].append(3), "layer 6"),
        (lambda p: p["layers"][0].update(color="red"), "layer 0, color"),
        (lambda p: p["layers"][0].pop("inputs"), "layer 0, inputs"),
        (lambda p: p["layers"][0].update(kernel="3x3"), "layer 0, kernel"),
        (lambda p: p["layers"][0].update(groups=True), "layer 0, groups"),
        (lambda p: p["layers"][0].update(bias_used=1), "layer 0, bias_used"),
        (lambda p: p["layers"][0].update(groups=2), "layer 0, groups"),
        (lambda p: p["layers"][1].update(value=[1]), "layer 1, value"),
        (lambda p: p["layers"][1].update(in_size=[9, 9, 9]), "layer 1, in_size"),
        (lambda p: p["blocks"].append(["x", 1]), "block 2"),
    ],
)
def test_malformed_plain_data_names_the_field(edit, field):
    with pytest.raises(InputError) as error:
        Architecture.from_plain(edited(edit), file="net.json")
    assert error.value.field == field
    assert error.value.file == "net.json"
    for nonsense in (None, [], "text"):
        with pytest.raises(InputError, match="is no architecture"):
            Architecture.from_plain(nonsense)
