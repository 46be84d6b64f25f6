"""Priors: tables, blocks behind layers, and how much they know."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from visus.errors import InputError
from visus.methods.gptnas.model.chooser import BlockChooser, legal_openings
from visus.methods.gptnas.model.gpt import LayerGPT
from visus.methods.gptnas.search.priors import (
    FAINT_NATS,
    BlockPrior,
    Prior,
    TabulatedPrior,
    UniformPrior,
    information,
    warning_about,
)
from visus.methods.gptnas.search.regrow import regrow
from visus.methods.gptnas.search.space import Space

SPACE = Space("cells", ("a", "b", "c"), 4, 4)
VARIED = Space("blocks", ("w", "x", "y", "z"), 1, 4)
PAD, BEGIN, END = 0, 1, 2
EXPANSIONS = [[3, 4], [3], [5, 3, 4], [4, 4]]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def sharp(gpt):
    for parameter in gpt.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return gpt.eval()


def expand(individual):
    return [BEGIN, *(token for symbol in individual for token in EXPANSIONS[symbol])]


@pytest.fixture
def blocks():
    gpt = sharp(LayerGPT(6, width=8, depth=1, heads=2, window=3))
    legal = legal_openings([expansion[:1] for expansion in EXPANSIONS], size=6)
    chooser = sharp(BlockChooser(legal, width=8, window=3, hidden=(8, 8)))
    return BlockPrior(gpt, chooser, expand, padding=PAD, end=END, information=0.3)


def test_uniform():
    prior = UniformPrior(SPACE)
    assert prior.distribution((0, 1)).tolist() == [1 / 3] * 3
    assert UniformPrior(VARIED).distribution(()).tolist() == [0.2] * 5
    assert prior.information == 0.0


def test_the_table_is_the_model():
    gpt = sharp(LayerGPT(4, width=8, depth=2, heads=2, window=5))
    prior = TabulatedPrior.of_gpt(gpt, SPACE, information=0.5)
    assert sum(len(level) for level in prior.levels) == 1 + 3 + 9 + 27
    for length in range(4):
        for prefix in itertools.product(range(3), repeat=length):
            with torch.no_grad():
                logits = gpt.next(torch.tensor([3, *prefix]))[:3]
            assert np.allclose(prior.distribution(prefix), logits.softmax(-1).numpy(), atol=1e-5)


def test_spaces_that_cannot_be_tabulated():
    gpt = LayerGPT(4, width=8, depth=1, heads=2)
    for space in (Space("v", ("a", "b", "c"), 1, 4), Space("l", ("a", "b", "c"), 20, 20)):
        with pytest.raises(InputError, match="too many prefixes, or lengths that vary"):
            TabulatedPrior.of_gpt(gpt, space, information=0.5)


def test_a_block_is_a_layer_and_then_a_block_that_begins_with_it(blocks):
    """The marginal against a loop over layers and blocks with the networks called one by one."""
    for prefix in ((), (2,), (1, 3, 0)):
        tokens = expand(prefix)
        with torch.no_grad():
            logits = blocks.gpt.next(torch.tensor(tokens)).double()
        allowed = [3, 4, 5, END]
        total = sum(float(logits[token].exp()) for token in allowed)
        want = np.zeros(5)
        context = ([PAD] * 3 + tokens)[-3:]
        for layer in (3, 4, 5):
            share = float(logits[layer].exp()) / total
            with torch.no_grad():
                scores = blocks.chooser.scores(
                    torch.tensor([context]), torch.tensor([layer]), embedding=blocks.gpt.embedding
                )[0].double()
            fitting = [block for block in range(4) if EXPANSIONS[block][0] == layer]
            inside = sum(float(scores[block].exp()) for block in fitting)
            for block in fitting:
                want[block] += share * float(scores[block].exp()) / inside
        want[4] = float(logits[END].exp()) / total
        assert np.allclose(blocks.distribution(prefix), want, atol=1e-6)
        assert blocks.distribution(prefix).sum() == pytest.approx(1.0)


def test_blocks_are_legal_expansions_of_the_predicted_layer(blocks):
    for prefix in ((), (0,), (3, 3, 2)):
        found = blocks.blocks(prefix)
        assert blocks.openings == [3, 4, 5]
        for row, layer in enumerate(blocks.openings):
            for block in range(4):
                assert (found[row, block] > 0) == (EXPANSIONS[block][0] == layer)
        assert np.allclose(found.sum(1), 1.0)


def test_fixed_lengths_have_no_end(blocks):
    plain = BlockPrior(blocks.gpt, blocks.chooser, expand, padding=PAD, information=0.3)
    p, q = plain.distribution((1,)), blocks.distribution((1,))
    assert p.shape == (4,)
    assert np.allclose(p, q[:4] / q[:4].sum())


def test_regrowing_blocks_sees_the_new_blocks(blocks):
    rng = np.random.default_rng(0)
    made, written = regrow((0, 0, 0, 0), blocks, VARIED, rng, rate=1.0)
    assert written == (True,) * 4
    assert {made[:n] for n in range(4)} <= set(blocks._known)


def test_priors_are_priors(blocks):
    table = TabulatedPrior.of_gpt(LayerGPT(4, width=8, depth=1, heads=2), SPACE, information=0.5)
    assert all(isinstance(prior, Prior) for prior in (blocks, table, UniformPrior(SPACE)))


def test_information_is_log_v_minus_the_cross_entropy():
    gpt = sharp(LayerGPT(6, width=8, depth=1, heads=2, window=3)).double()
    sequences = [[1, 3, 4, 5, 2], [1, 4, 2], [1, 5, 5, 3, 4, 4, 2]]
    terms = []
    for sequence in sequences:
        for place in range(1, len(sequence)):
            with torch.no_grad():
                p = gpt.next(torch.tensor(sequence[:place])).softmax(-1)
            terms.append(-np.log(float(p[sequence[place]])))
    known = information(gpt, sequences, symbols=4, padding=PAD)
    assert known == pytest.approx(np.log(4) - np.mean(terms), abs=1e-9)
    assert information(gpt, sequences * 400, symbols=4, padding=PAD) == pytest.approx(known, abs=1e-9)


def test_a_prior_that_knows_nothing_is_told_of(blocks):
    assert warning_about(None) is None
    assert warning_about(blocks) is None
    assert "0.000 nats per symbol" in (warning_about(UniformPrior(SPACE)) or "")
    blocks.information = FAINT_NATS * 0.9
    assert "no better than random regrowth" in (warning_about(blocks) or "")
