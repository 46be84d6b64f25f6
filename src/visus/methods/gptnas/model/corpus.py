"""Networks as training data: sentences of layers for the layer model, openings of blocks for the block chooser."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

from visus.methods.gptnas.model.blocks import BLOCKS, index_of
from visus.methods.gptnas.model.network import Step
from visus.methods.gptnas.model.records import Architecture
from visus.methods.gptnas.model.tokens import BOS, UNKNOWN, Vocabulary
from visus.methods.gptnas.model.zoo import zoo_architectures

Opening = tuple[tuple[int, ...], int, int]
"""(tokens before a block, token of its first layer, block number)."""


_USES = ((64, 64, 1), (64, 64, 2), (64, 128, 1), (64, 128, 2), (3, 16, 1))
"""Channels in and out, stride: same size, halved, wider, wider and halved, at a network's start."""


@functools.cache
def block_architectures(*, repaired: bool = True) -> tuple[Architecture, ...]:
    """Records of the blocks as the search uses them; `repaired=False` without those that need a projection."""
    return tuple(
        block.record(*use) for block in BLOCKS for use in _USES if repaired or not block.repaired(*use)
    )


def search_vocabulary(architectures: Iterable[Architecture] = ()) -> Vocabulary:
    """The words of these networks (the 36 of the zoo by default) and of the blocks themselves."""
    return Vocabulary.fit([*(tuple(architectures) or zoo_architectures()), *block_architectures()])


def layer_corpus(architectures: Iterable[Architecture], vocabulary: Vocabulary) -> list[list[int]]:
    """A sentence per network, from `BOS` to `EOS`, in the order in which the layers run."""
    return [vocabulary.sentence(network) for network in architectures]


def block_corpus(
    architectures: Iterable[Architecture], vocabulary: Vocabulary, *, window: int | None = None
) -> list[Opening]:
    """Every place where a known block begins.

    Parameters
    ----------
    architectures : with blocks marked; spans whose name is not in `BLOCKS` are passed over.
    window : keep so many of the tokens before the block; None keeps all, from `BOS` on.

    Paper: 2305.05351, sec. III-D: what the block chooser is trained on.
    """
    known = {block.name for block in BLOCKS}
    openings: list[Opening] = []
    for network in architectures:
        sentence = [BOS, *vocabulary.tokens(network.layers)]
        for name, start, _ in network.blocks:
            if name in known:
                first = 0 if window is None else max(0, start + 1 - window)
                prefix = tuple(sentence[first : start + 1])
                openings.append((prefix, sentence[start + 1], index_of(name)))
    return openings


def openings(vocabulary: Vocabulary, architectures: Iterable[Architecture] = ()) -> list[list[int]]:
    """For every block the tokens it can begin with: as published (in these networks) and as the search uses it.

    The projection that repairs a size is not a beginning. Unknown words are left out.
    """
    found: list[set[int]] = [set() for _ in BLOCKS]
    for _, token, block in block_corpus([*architectures, *block_architectures(repaired=False)], vocabulary):
        found[block].add(token)
    return [sorted(tokens - {UNKNOWN}) for tokens in found]


def expand(steps: Sequence[Step], vocabulary: Vocabulary) -> list[list[int]]:
    """The tokens of each block of a planned network, projections included.

    They are those of the network itself: joined, they are its sentence without `BOS`, head and `EOS`.
    """
    return [
        list(_expanded(step.block, step.in_channels, step.out_channels, step.stride, vocabulary))
        for step in steps
    ]


@functools.lru_cache(maxsize=4096)
def _expanded(
    block: int, in_channels: int, out_channels: int, stride: int, vocabulary: Vocabulary
) -> tuple[int, ...]:
    return tuple(vocabulary.tokens(BLOCKS[block].layers(in_channels, out_channels, stride)))
