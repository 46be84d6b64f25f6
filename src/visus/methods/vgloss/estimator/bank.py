"""The fitted classifier's tensors: texts of the classes in the pictures' space, and one row per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from visus.methods.vgloss.config import VGlossConfig
from visus.methods.vgloss.model.builder import ClassWeights, TextClassifierBuilder, average
from visus.methods.vgloss.model.classes import ClassTexts

_BUFFERS = ("weights", "embeddings", "owner", "share", "contrast", "one", "other")


class Bank(nn.Module):
    """What predictions need of the classes; buffers alone, nothing is trained.

    weights (c, e), embeddings (n, e), owner (n,), share (n,) : as in `ClassWeights`.
    contrast (m, e), one (m,), other (m,) : contrastive texts, the class each describes and the class it
        describes it against.
    """

    weights: Float[Tensor, "c e"]
    embeddings: Float[Tensor, "n e"]
    owner: Int64[Tensor, " n"]
    share: Float[Tensor, " n"]
    contrast: Float[Tensor, "m e"]
    one: Int64[Tensor, " m"]
    other: Int64[Tensor, " m"]

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        for name in _BUFFERS:
            self.register_buffer(name, tensors[name])

    @classmethod
    def empty(cls, plain: dict[str, Any]) -> Self:
        """Room for the buffers of a bank with this `to_plain`."""
        whole = {"owner", "one", "other"}
        return cls(
            {
                name: torch.zeros(tuple(shape), dtype=torch.long if name in whole else torch.float32)
                for name, shape in plain.items()
            }
        )

    def to_plain(self) -> dict[str, Any]:
        """Shapes of the buffers."""
        return {name: list(getattr(self, name).shape) for name in _BUFFERS}


@dataclass(frozen=True)
class Told:
    """The texts of every class as they go to the encoder."""

    descriptions: dict[str, list[str]]
    templates: dict[str, list[str]]
    contrast: list[tuple[int, int, str]]

    @classmethod
    def of(cls, classes: ClassTexts, config: VGlossConfig) -> Self:
        """Fill in forms and templates, and choose the texts that the configuration uses.

        A class without contrastive texts keeps its normal ones; equal texts of a class count once.
        """
        number = {name: i for i, name in enumerate(classes.names)}
        called = dict(zip(classes.names, classes.called))
        chosen = {name: _chosen(classes, i, config.use) for i, name in enumerate(classes.names)}
        forms = {
            name: [_filled(config.form, called[name], text) for text in texts]
            for name, texts in chosen.items()
        }
        templates = {
            name: [_filled(template, called[name]) for template in config.templates] for name in classes.names
        }
        contrast = [
            (number[one], number[other], _filled(config.form, called[one], text))
            for (one, other), texts in sorted(classes.contrastive.items())
            for text in texts
        ]
        return cls(forms, templates if config.templates else {}, contrast if config.follow_up else [])


def build_bank(
    classes: ClassTexts, config: VGlossConfig, builder: TextClassifierBuilder
) -> tuple[Bank, ClassWeights]:
    """Encode the texts and pool them.

    Raises
    ------
    InputError : see `TextClassifierBuilder`; pooling `max` with averaged templates.
    """
    told, spoken = Told.of(classes, config), dict(zip(classes.names, classes.called))
    if told.templates and config.ensemble == "pool":
        joined = {name: [*texts, *told.templates[name]] for name, texts in told.descriptions.items()}
        made = builder.build(joined, spoken=spoken)
    else:
        made = builder.build(told.descriptions, spoken=spoken)
        if told.templates:
            made = average(made, builder.build(told.templates, spoken=spoken))
    contrast = made.embeddings[:0]
    if told.contrast:
        contrast = builder.embed([text for _, _, text in told.contrast])
        contrast = contrast if builder.project is None else F.normalize(builder.project(contrast), dim=-1)
    pairs = torch.tensor([pair[:2] for pair in told.contrast], dtype=torch.long).view(-1, 2)
    tensors = {"weights": made.weights, "embeddings": made.embeddings, "owner": made.owner}
    tensors |= {"share": made.share, "contrast": contrast, "one": pairs[:, 0], "other": pairs[:, 1]}
    return Bank({name: value.clone() for name, value in tensors.items()}), made


def _chosen(classes: ClassTexts, i: int, use: str) -> Sequence[str]:
    normal = classes.normal[i]
    against = [text for texts in classes.against(classes.names[i]).values() for text in texts]
    told = {"normal": normal, "contrastive": against or normal, "both": (*normal, *against)}[use]
    return tuple(dict.fromkeys(told))


def _filled(form: str, name: str, description: str = "") -> str:
    """One replacement of each place: braces in a name or description stay what they are."""
    before, _, after = form.partition("{description}")
    between = description if "{description}" in form else ""
    return before.replace("{c}", name) + between + after.replace("{c}", name)
