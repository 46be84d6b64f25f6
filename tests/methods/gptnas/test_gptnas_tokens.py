"""Words and numbers of layers, and the corpora made of them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from visus.errors import InputError
from visus.methods.gptnas.model.blocks import BLOCKS, index_of
from visus.methods.gptnas.model.cells import cell_architecture, cell_corpus, vertex_channels
from visus.methods.gptnas.model.corpus import (
    block_architectures,
    block_corpus,
    expand,
    layer_corpus,
    openings,
    search_vocabulary,
)
from visus.methods.gptnas.model.network import BlockNetwork
from visus.methods.gptnas.model.rebuild import build
from visus.methods.gptnas.model.records import SOURCE, Layer
from visus.methods.gptnas.model.tokens import BOS, EOS, PAD, SPECIAL, UNKNOWN, Vocabulary, token_of
from visus.methods.gptnas.model.tracing import trace
from visus.methods.gptnas.model.zoo import zoo_architecture, zoo_architectures


def conv(c_in=8, c_out=16, **fields):
    usual = {
        "family": "conv",
        "id": 0,
        "in_size": (c_in, 9, 9),
        "out_size": (c_out, 9, 9),
        "inputs": (SOURCE,),
        "kernel": (3, 3),
        "stride": (1, 1),
        "padding": (1, 1, 1, 1),
        "dilation": (1, 1),
        "groups": 1,
        "bias_used": False,
    }
    return Layer(**{**usual, **fields})


@pytest.mark.parametrize(
    ("layer", "word"),
    [
        (conv(), "conv k3x3 s1x1 p1 x2"),
        (conv(bias_used=True), "conv k3x3 s1x1 p1 bias x2"),
        (conv(8, 8, groups=8), "conv k3x3 s1x1 p1 dw x1"),
        (conv(8, 8, groups=4), "conv k3x3 s1x1 p1 gr x1"),
        (conv(8, 1), "conv k3x3 s1x1 p1 x1/8"),
        (conv(padding=(2, 2, 2, 2), dilation=(2, 2)), "conv k3x3 s1x1 p2 d2x2 x2"),
        (conv(padding=(0, 1, 1, 1), kernel=(2, 3)), "conv k2x3 s1x1 p0,1,1,1 x2"),
        (conv(value=(("transposed", True),)), "conv transposed k3x3 s1x1 p1 x2"),
        (
            Layer(family="fc", id=0, in_size=(7, 512), out_size=(7, 1000), inputs=(SOURCE,), bias_used=True),
            "fc bias x2",
        ),
        (
            Layer(
                family="pool",
                id=0,
                type="AVG",
                in_size=(4, 7, 7),
                out_size=(4, 1, 1),
                inputs=(SOURCE,),
                value=(("output", (1, 1)),),
            ),
            "pool AVG to1x1",
        ),
        (
            Layer(family="other", id=0, name="cat", in_size=(4, 7, 7), out_size=(8, 7, 7), inputs=(-1, -1)),
            "cat of2",
        ),
        (Layer(family="other", id=0, name="ReLU", in_size=(4,), out_size=(4,), inputs=(-1,)), "ReLU"),
    ],
)
def test_words_are_readable(layer, word):
    assert token_of(layer) == word


@pytest.mark.parametrize(
    ("c_in", "c_out", "ratio"),
    [
        (10, 10, "x1"),
        (10, 14, "x1"),
        (10, 15, "x2"),
        (10, 28, "x2"),
        (10, 29, "x4"),
        (10, 7, "x1/2"),
        (3, 64, "x16"),
    ],
)
def test_ratios_are_rounded_to_powers_of_two(c_in, c_out, ratio):
    """Borders lie at sqrt(2) between neighbors: 14 < 10 sqrt(2) < 15."""
    assert token_of(conv(c_in, c_out)).split()[-1] == ratio


def test_sizes_and_places_do_not_matter():
    record = zoo_architecture("resnet18")
    small = trace(build(record), (3, 64, 64))
    vocabulary = Vocabulary.fit([record])
    assert vocabulary.tokens(small.layers) == vocabulary.tokens(record.layers)
    assert small.layers != record.layers


def test_the_zoo_has_few_words():
    vocabulary = Vocabulary.fit(zoo_architectures())
    assert len(vocabulary) - len(SPECIAL) == 57
    assert vocabulary.words[:4] == SPECIAL
    assert (PAD, BOS, EOS, UNKNOWN) == (0, 1, 2, 3)


def test_numbers_depend_on_the_set_of_words_alone():
    records = [zoo_architecture(name) for name in ("resnet18", "googlenet", "efficientnet_b0")]
    one = Vocabulary.fit(records)
    assert one == Vocabulary.fit([*reversed(records), records[0]])
    assert hash(one) == hash(Vocabulary.fit(records))
    assert one != Vocabulary.fit(records[:1])
    assert Vocabulary.from_plain(json.loads(json.dumps(one.to_plain()))) == one


def test_sentences_can_be_read_back():
    record = zoo_architecture("resnet18")
    vocabulary = Vocabulary.fit([record])
    sentence = vocabulary.sentence(record)
    assert sentence[0] == BOS
    assert sentence[-1] == EOS
    assert vocabulary.describe(sentence)[1:3] == ["conv k7x7 s2x2 p3 x16", "BatchNorm2d"]
    assert len(sentence) == len(record.layers) + 2
    assert UNKNOWN not in sentence
    assert Vocabulary.fit([record]).token(conv(dilation=(3, 3), padding=(3, 3, 3, 3))) == UNKNOWN


@pytest.mark.parametrize("plain", [None, [], {}, {"words": "ab"}, {"words": ["a", 1]}, {"words": ["a", "a"]}])
def test_a_broken_vocabulary_is_refused(plain):
    with pytest.raises(InputError, match="words"):
        Vocabulary.from_plain(plain)
    with pytest.raises(InputError):
        Vocabulary.from_plain({"words": ["<pad>"]})


# ---- corpora ------------------------------------------------------------------------------------------------


def test_block_corpus_by_hand():
    record = zoo_architecture("resnet18")
    vocabulary = Vocabulary.fit([record])
    found = block_corpus([record], vocabulary)
    words = [(len(prefix), vocabulary.words[token], BLOCKS[block].name) for prefix, token, block in found[:6]]
    assert words == [
        (1, "conv k7x7 s2x2 p3 x16", "Conv"),
        (2, "BatchNorm2d", "BatchNorm"),
        (3, "ReLU", "ReLU"),
        (4, "pool MAX k3x3 s2x2 p1", "MaxPool"),
        (5, "conv k3x3 s1x1 p1 x1", "BasicBlock"),
        (12, "conv k3x3 s1x1 p1 x1", "BasicBlock"),
    ]
    sentence = vocabulary.sentence(record)
    for prefix, token, _ in found:
        assert [*prefix, token] == sentence[: len(prefix) + 1]
    cut = block_corpus([record], vocabulary, window=10)
    assert [(p[-10:], t, b) for p, t, b in found] == cut
    named = record.with_blocks([("of my own", 0, 2), ("ReLU", 2, 3)])
    assert [block for _, _, block in block_corpus([named], vocabulary)] == [index_of("ReLU")]


def test_the_second_stage_has_an_opening_per_block():
    records = zoo_architectures()
    vocabulary = search_vocabulary()
    assert len(block_corpus(records, vocabulary)) == sum(len(record.blocks) for record in records)
    sentences = layer_corpus(records, vocabulary)
    assert [len(sentence) for sentence in sentences] == [len(record.layers) + 2 for record in records]
    assert all(UNKNOWN not in sentence for sentence in sentences)


def test_every_block_can_begin_with_what_it_begins_with():
    records = zoo_architectures()
    vocabulary = search_vocabulary(records)
    legal = openings(vocabulary, records)
    assert len(legal) == len(BLOCKS)
    assert all(legal)
    for _, token, block in block_corpus([*records, *block_architectures(repaired=False)], vocabulary):
        assert token in legal[block]
    assert vocabulary.describe(legal[index_of("ReLU")]) == ["ReLU"], "a projection in front is no beginning"
    assert vocabulary.describe(legal[index_of("AvgPool")]) == [
        "pool AVG k3x3 s1x1 p1",
        "pool AVG k3x3 s2x2 p1",
        "pool AVG to1x1",
    ]


@pytest.mark.parametrize("blocks", [[13], [1, 2, 3, 12, 13, 11, 0, 6], list(range(15))])
def test_a_plan_expands_to_the_sentence_of_its_network(blocks):
    network = BlockNetwork(blocks, in_channels=3, num_classes=10, image_size=16, width=8)
    record = network.architecture()
    vocabulary = Vocabulary.fit([record])
    expanded = expand(network.plan, vocabulary)
    assert len(expanded) == len(blocks)
    head = 3  # pool, flatten, linear
    assert [BOS, *(t for tokens in expanded for t in tokens)] == vocabulary.sentence(record)[: -head - 1]
    assert [stop - start for _, start, stop in record.blocks] == [len(tokens) for tokens in expanded]


# ---- cells ----------------------------------------------------------------------------------------------------

MATRIX = (
    (0, 1, 0, 0, 1, 1, 0),
    (0, 0, 1, 0, 0, 0, 0),
    (0, 0, 0, 1, 0, 0, 1),
    (0, 0, 0, 0, 0, 1, 0),
    (0, 0, 0, 0, 0, 1, 0),
    (0, 0, 0, 0, 0, 0, 1),
    (0, 0, 0, 0, 0, 0, 0),
)
NAMES = (
    "input",
    "conv3x3-bn-relu",
    "maxpool3x3",
    "conv3x3-bn-relu",
    "conv3x3-bn-relu",
    "conv1x1-bn-relu",
    "output",
)


def test_a_cell_network_has_the_published_parameters():
    """A cell of NAS-Bench-101 with the parameters its table gives."""
    record = cell_architecture(MATRIX, NAMES)
    assert record.num_params == 8_555_530
    made = build(cell_architecture(MATRIX, NAMES, channels=6, side=8, cells=2))
    assert trace(made, (3, 8, 8)).layers == made.architecture.layers


def test_odd_channels_are_cut_and_the_input_is_added():
    matrix = ((0, 1, 1, 1, 1), (0, 0, 0, 1, 1), (0, 0, 0, 0, 1), (0, 0, 0, 0, 1), (0, 0, 0, 0, 0))
    names = ("input", "conv1x1-bn-relu", "maxpool3x3", "conv3x3-bn-relu", "output")
    assert vertex_channels(4, 8, matrix) == [4, 3, 3, 2, 8]
    record = cell_architecture(matrix, names, channels=8, side=8, stacks=1, cells=1)
    kinds = [layer.name or layer.family for layer in record.layers]
    assert kinds.count("slice") == 1
    assert kinds.count("add") == 2
    assert kinds[-3:] == ["add", "mean", "fc"]
    made = build(record)
    assert trace(made, (3, 8, 8)).layers == record.layers


def test_a_cell_of_an_edge_is_a_projection():
    record = cell_architecture(((0, 1), (0, 0)), ("input", "output"), channels=4, side=8, stacks=2, cells=1)
    assert record.num_params == 3 * 4 * 9 + 8 + 4 * 4 + 8 + 4 * 8 + 16 + 8 * 10 + 10


class Tried:
    adjacency, operations = MATRIX, NAMES

    def __init__(self, validation):
        self.validation = validation


def test_cells_above_the_threshold_become_sentences():
    cells = [Tried(0.91), Tried(0.9), Tried(0.89)]
    sentences, vocabulary = cell_corpus(cells)
    assert len(sentences) == 2
    assert sentences[0] == vocabulary.sentence(cell_architecture(MATRIX, NAMES, stacks=1, cells=1))
    wide = search_vocabulary()
    again, same = cell_corpus(iter(cells), wide, threshold=0.0)
    assert len(again) == 3
    assert same is wide
    # the ways in which a cell differs from the published networks are few
    assert {vocabulary.words[t] for s, z in zip(sentences, again) for t, u in zip(s, z) if u == UNKNOWN} <= {
        "conv k1x1 s1x1 p0 x1/2",
        "fc bias x1/16",
        "conv k3x3 s1x1 p1 x32",
    }


@pytest.mark.parametrize(
    ("matrix", "names", "field"),
    [
        (((0, 1), (1, 0)), ("input", "output"), "adjacency"),
        (((0, 1, 0), (0, 0, 1)), ("input", "maxpool3x3", "output"), "adjacency"),
        (((0, 0, 1), (0, 0, 1), (0, 0, 0)), ("input", "maxpool3x3", "output"), "adjacency"),
        (((0, 1, 1), (0, 0, 0), (0, 0, 0)), ("input", "maxpool3x3", "output"), "adjacency"),
        (((0, 1, 0), (0, 0, 1), (0, 0, 0)), ("input", "conv5x5", "output"), "operations"),
    ],
)
def test_an_impossible_cell_is_refused(matrix, names, field):
    with pytest.raises(InputError) as error:
        cell_architecture(matrix, names)
    assert error.value.field == field


def test_a_word_depends_on_no_other_field():
    """Replacing what a word leaves out leaves the word."""
    layer = conv()
    wider = replace(layer, id=5, in_size=(80, 30, 9), out_size=(160, 30, 9), inputs=(3, 4))
    assert token_of(wider) == token_of(layer)
