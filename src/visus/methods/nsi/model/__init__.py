"""Schemas and programs, the two encoders, their score, the generator and the classifier on slots."""

from visus.methods.nsi.model.attributes import Attribute, Categorical, Continuous, Primitive, Scene
from visus.methods.nsi.model.backbones import FrozenBackbone
from visus.methods.nsi.model.encoder import PrimitiveEmbedding, ProgramEncoder, ProjectionHead
from visus.methods.nsi.model.fewshot import SlotClassifier
from visus.methods.nsi.model.generator import (
    Emissions,
    Generated,
    ProgramGenerator,
    ProgramHeads,
    generate,
    write,
)
from visus.methods.nsi.model.images import (
    FeatureTokens,
    SlotImageEncoder,
    SlotImages,
    feature_slots,
    picture_slots,
    segment,
)
from visus.methods.nsi.model.named import clevr_hans, clevrtex, coco, movi, scenes
from visus.methods.nsi.model.programs import parse, parse_json, read_program, serialize, to_json
from visus.methods.nsi.model.schema import Schema
from visus.methods.nsi.model.scores import associate, bilevel_scores, similarities
from visus.methods.nsi.model.tensors import Programs

__all__ = [
    "Attribute",
    "Categorical",
    "Continuous",
    "Emissions",
    "FeatureTokens",
    "FrozenBackbone",
    "Generated",
    "Primitive",
    "PrimitiveEmbedding",
    "ProgramEncoder",
    "ProgramGenerator",
    "ProgramHeads",
    "Programs",
    "ProjectionHead",
    "Scene",
    "Schema",
    "SlotClassifier",
    "SlotImageEncoder",
    "SlotImages",
    "associate",
    "bilevel_scores",
    "clevr_hans",
    "clevrtex",
    "coco",
    "feature_slots",
    "generate",
    "movi",
    "parse",
    "parse_json",
    "picture_slots",
    "read_program",
    "scenes",
    "segment",
    "serialize",
    "similarities",
    "to_json",
    "write",
]
