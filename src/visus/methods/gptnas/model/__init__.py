"""Architectures as data, the networks they describe, and the layer model over them."""

from visus.methods.gptnas.model.blocks import BLOCKS, Block, index_of
from visus.methods.gptnas.model.cells import cell_architecture, cell_corpus
from visus.methods.gptnas.model.corpus import (
    block_architectures,
    block_corpus,
    expand,
    layer_corpus,
    openings,
    search_vocabulary,
)
from visus.methods.gptnas.model.network import BlockNetwork, Step, Summary, plan
from visus.methods.gptnas.model.rebuild import build, copy_weights, obstacles
from visus.methods.gptnas.model.records import SOURCE, Architecture, Layer
from visus.methods.gptnas.model.tokens import BOS, EOS, PAD, UNKNOWN, Vocabulary, token_of
from visus.methods.gptnas.model.tracing import trace
from visus.methods.gptnas.model.zoo import ZOO, make_network, zoo_architecture, zoo_architectures

__all__ = [
    "BLOCKS",
    "BOS",
    "EOS",
    "PAD",
    "SOURCE",
    "UNKNOWN",
    "ZOO",
    "Architecture",
    "Block",
    "BlockNetwork",
    "Layer",
    "Step",
    "Summary",
    "Vocabulary",
    "block_architectures",
    "block_corpus",
    "build",
    "cell_architecture",
    "cell_corpus",
    "copy_weights",
    "expand",
    "index_of",
    "layer_corpus",
    "make_network",
    "obstacles",
    "openings",
    "plan",
    "search_vocabulary",
    "token_of",
    "trace",
    "zoo_architecture",
    "zoo_architectures",
]
