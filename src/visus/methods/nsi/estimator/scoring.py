"""How well a fitted model retrieves, writes, discovers and grounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from visus.methods.nsi.estimator.inference import embed_programs, run_images, widened
from visus.methods.nsi.model.generator import Emissions
from visus.methods.nsi.model.images import segment
from visus.methods.nsi.model.schema import Schema
from visus.methods.nsi.model.scores import associate, bilevel_scores
from visus.methods.nsi.model.tensors import Programs
from visus.methods.nsi.training.data import read_objects
from visus.metrics import (
    Boxes,
    box_average_precision,
    foreground_ari,
    mean_best_overlap,
    overlaps,
    property_average_precision,
    two_way_recall,
)
from visus.metrics.detection import DISTANCES
from visus.protocols import Scores, Source

if TYPE_CHECKING:
    from visus.methods.nsi.estimator.nsi import NSI

PLACE = "position"
BOX, CATEGORY = "box", "category"


def score(model: NSI, data: Source) -> Scores:
    """All scores that the data allow; see `NSI.evaluate`."""
    network, config = model._fitted(), model.settings
    slots, scenes, emitted, maps, truths = [], [], [], [], []
    for batch, found in run_images(network.images, data, config, model.inputs_, decode=True):
        scenes += read_objects(batch, len(scenes))
        slots.append(found.embeddings.cpu())
        if network.generator is not None:
            with torch.no_grad():
                emitted.append(_on_cpu(network.generator.eval()(found.slots)))
        if "segmentation" in batch:
            truth = torch.as_tensor(batch["segmentation"])
            masks = model._masks(batch, found)
            height, width = truth.shape[-2:]
            maps.append(segment(masks, size=(height, width)).cpu())
            truths.append(truth)
    embeddings = torch.cat(slots)
    programs = widened(model.schema_, scenes).encode(scenes, partial=True, unknown="missing").trimmed()
    primitives = embed_programs(network.programs, programs)
    settings = {"assign": config.assign, "normalize": config.normalize}
    scores = retrieval(
        bilevel_scores(embeddings, primitives, programs.length, reduce=config.reduce, **settings)
    )
    if emitted:
        emissions = _joined(emitted)
        scores |= properties(emissions, programs, model.schema_) | boxes(emissions, programs, model.schema_)
    if maps:
        own = associate(embeddings, primitives, programs.length, **settings)
        scores |= discovery(maps, truths) | grounding(own, programs.length, maps, truths)
    return {name: value for name, value in scores.items() if math.isfinite(value)}


def retrieval(scores: Float[Tensor, "n n"], k: Sequence[int] = (1, 5)) -> Scores:
    """Recall of the own program among all programs, and of the own picture among all pictures."""
    names = {"forward": "image_to_program", "backward": "program_to_image"}
    found = two_way_recall(scores, k=k)
    return {f"{names[way]}@{cut}": found[f"{way}@{cut}"] for way in names for cut in k}


def discovery(maps: Sequence[Tensor], truths: Sequence[Tensor]) -> Scores:
    """Foreground ARI and mean best overlap of slots with objects, mean over pictures."""
    ari = torch.cat([foreground_ari(truth, found) for truth, found in zip(truths, maps)])
    mbo = torch.cat([mean_best_overlap(truth, found) for truth, found in zip(truths, maps)])
    return {"fg_ari": float(ari.nanmean()), "mbo": float(mbo.nanmean())}


def grounding(
    own: Int[Tensor, "n p"], length: Int[Tensor, " n"], maps: Sequence[Tensor], truths: Sequence[Tensor]
) -> Scores:
    """How often an object's slot is the one that covers most of it, and how often the next object's slot is.

    Where one slot covers everything and carries every object, the first number is 1 and says nothing: then
    `grounding_chance` is 1 as well.
    """
    exchanged = _exchanged(own, length)
    return {
        "grounding": grounded(own, maps, truths),
        "grounding_chance": grounded(exchanged, maps, truths),
    }


def grounded(own: Int[Tensor, "n p"], maps: Sequence[Tensor], truths: Sequence[Tensor]) -> float:
    """Share of visible objects whose slot is the one that covers most of their pixels.

    Object j of a program is the segment of number j + 1.
    """
    right, total, start = 0, 0, 0
    for truth, found in zip(truths, maps):
        objects = max(int(truth.max()), own.shape[1])
        covered = overlaps(truth, found, objects=objects).sum(1)[:, 1 : own.shape[1] + 1]
        slot = own[start : start + len(truth)]
        asked = (slot >= 0) & (covered.sum(-1) > 0)
        right += int((covered.argmax(-1) == slot)[asked].sum())
        total, start = total + int(asked.sum()), start + len(truth)
    return right / total if total else math.nan


def _exchanged(own: Int[Tensor, "n p"], length: Int[Tensor, " n"]) -> Int[Tensor, "n p"]:
    """Every object with the slot of the next one of its picture; -1 where there is no other."""
    place, count = torch.arange(own.shape[1]), length[:, None]
    following = own.gather(1, (place + 1) % count.clamp(min=1))
    return following.masked_fill((place >= count) | (count < 2), -1)


def properties(emissions: Emissions, programs: Programs, schema: Schema) -> Scores:
    """Average precision of written objects: every category right, and the place nearer than a distance.

    Distances are in the unit of the attribute `position`; without one only `ap@inf` is told.
    """
    truth = _classes(programs.categories, programs.present, schema)
    classes = [logits.argmax(-1) for logits in emissions.categories]
    stacked = (
        torch.stack(classes, -1) if classes else emissions.presence.new_zeros(*emissions.presence.shape, 0)
    )
    predicted = _classes(stacked, emissions.given > 0, schema)
    placed = PLACE in schema.columns
    where, real = (_places(values, schema) for values in (emissions.mean, programs.values))
    found = property_average_precision(
        predicted,
        where,
        emissions.presence.sigmoid(),
        truth,
        real,
        programs.mask,
        distances=DISTANCES if placed else DISTANCES[:1],
    )
    return {f"ap@{distance:g}": value for distance, value in found.items()}


def boxes(emissions: Emissions, programs: Programs, schema: Schema) -> Scores:
    """`ap50` where objects have a `box` (x, y, width, height) and a class."""
    if BOX not in schema.columns or not schema.categorical:
        return {}
    names = [each.name for each in schema.categorical]
    column = names.index(CATEGORY) if CATEGORY in names else 0
    truth, detections = [], []
    real, found = (_corners(values, schema) for values in (programs.values, emissions.mean))
    labels, scores = emissions.categories[column].argmax(-1), emissions.presence.sigmoid()
    for i, length in enumerate(programs.length.tolist()):
        truth.append(Boxes(real[i, :length], programs.categories[i, :length, column]))
        detections.append(Boxes(found[i], labels[i], scores[i]))
    return {"ap50": box_average_precision(truth, detections).mean}


def _classes(categories: Tensor, present: Tensor, schema: Schema) -> dict[str, Tensor]:
    """Class numbers by attribute; -1 where the attribute is missing."""
    return {
        each.name: categories[..., column].masked_fill(~present[..., schema.places[each.name]], -1)
        for column, each in enumerate(schema.categorical)
    }


def _places(values: Float[Tensor, "b p n"], schema: Schema) -> Float[Tensor, "b p d"]:
    if PLACE not in schema.columns:
        return values.new_zeros(*values.shape[:2], 1)
    attribute = next(each for each in schema.continuous if each.name == PLACE)
    scaled = values[..., schema.columns[PLACE]].double()
    return torch.tensor(attribute.low).double() + scaled * torch.tensor(attribute.span).double()


def _corners(values: Float[Tensor, "b p n"], schema: Schema) -> Float[Tensor, "b p 4"]:
    attribute = next(each for each in schema.continuous if each.name == BOX)
    box = values[..., schema.columns[BOX]].double() * torch.tensor(attribute.span).double()
    box = box + torch.tensor(attribute.low).double()
    return torch.cat([box[..., :2], box[..., :2] + box[..., 2:].clamp(min=0)], -1)


def _on_cpu(emissions: Emissions) -> Emissions:
    return _mapped([emissions], lambda parts: parts[0].cpu())


def _joined(parts: Sequence[Emissions]) -> Emissions:
    slot = parts[0].slot
    return _mapped(parts, torch.cat)._replace(slot=slot)


def _mapped(parts: Sequence[Emissions], function: Any) -> Emissions:
    made = {}
    for name in Emissions._fields:
        values = [getattr(part, name) for part in parts]
        nested = isinstance(values[0], tuple)
        made[name] = tuple(function(list(column)) for column in zip(*values)) if nested else function(values)
    return Emissions(**made)
