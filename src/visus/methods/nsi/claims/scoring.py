"""What is asked of a trained arm: retrieval both ways, discovery, grounding, and classes from few pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from visus.engine.seeds import derive_seed, seeded
from visus.methods.nsi.baselines import Contender, Grounded
from visus.methods.nsi.claims.data import Size, scenes_of
from visus.methods.nsi.estimator import scoring
from visus.methods.nsi.model import Programs, SlotClassifier, associate, segment
from visus.metrics.retrieval import recall_at_k
from visus.protocols import Scores

if TYPE_CHECKING:
    from visus.data.loader import Tensors

AT_ONCE = 250
CUTS = (1, 5, 10)


@torch.inference_mode()
def embedded(contender: Contender, found: Tensors) -> Any:
    """All pictures of a gallery as the arm keeps them."""
    device = next(contender.parameters()).device
    parts = []
    for start in range(0, len(found), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        inputs = found["image"][rows].to(device).float() / 255
        parts.append(contender.embed(inputs, found["boxes"][rows].to(device)))
    return torch.cat(parts)


@torch.inference_mode()
def scored(contender: Contender, pictures: Tensor, programs: Programs) -> Float[Tensor, "a b"]:
    """Scores of all pictures with all programs; programs in turns."""
    device = pictures.device
    columns = [
        contender.score(pictures, programs[start : start + AT_ONCE].to(device))
        for start in range(0, len(programs), AT_ONCE)
    ]
    return torch.cat(columns, 1).float().cpu()


def retrieval(contender: Contender, found: Tensors, queries: int, prefix: str = "") -> Scores:
    """Recall of the first `queries` pictures and programs, each searched for in the whole gallery."""
    pictures, programs = embedded(contender, found), contender.schema.encode(found["objects"])
    asked = min(queries, len(found))
    of_pictures = scored(contender, pictures[:asked], programs)
    of_programs = scored(contender, pictures, programs[:asked]).T
    own = torch.arange(asked)
    scores: Scores = {}
    for way, table in (("image_to_program", of_pictures), ("program_to_image", of_programs)):
        for cut, share in recall_at_k(table, k=CUTS, target=own).items():
            scores[f"{prefix}{way}@{cut}"] = share
    return scores


def color_use(contender: Contender, found: Tensors, queries: int, seed: int) -> float:
    """Recall@10 of pictures by their programs, less that by programs whose colors went to other objects."""
    pictures, asked = embedded(contender, found), found["objects"][: min(queries, len(found))]
    shuffled = with_shuffled(asked, "color", seed)
    own, recalls = torch.arange(len(asked)), []
    for objects in (asked, shuffled):
        table = scored(contender, pictures, contender.schema.encode(objects)).T
        recalls.append(recall_at_k(table, k=(10,), target=own)[10])
    return recalls[0] - recalls[1]


def with_shuffled(scenes: list[Any], name: str, seed: int) -> list[list[dict[str, Any]]]:
    """The scenes with one attribute's values dealt out anew among all objects."""
    values = [thing[name] for objects in scenes for thing in objects]
    order = iter(np.random.default_rng(derive_seed(seed, "shuffled", name)).permutation(len(values)))
    return [[{**thing, name: values[next(order)]} for thing in objects] for objects in scenes]


@torch.inference_mode()
def discovery(contender: Contender, found: Tensors, count: int) -> Scores:
    """FG-ARI and mBO of the decoder's alphas (not of Slot Attention's maps) on the first `count` pictures.

    For an interpreter also `grounding` and its chance, see `visus.methods.nsi.estimator.scoring.grounding`.
    """
    device, maps, truths = next(contender.parameters()).device, [], []
    carried, lengths = [], []
    for start in range(0, min(count, len(found)), AT_ONCE):
        rows = slice(start, min(count, len(found), start + AT_ONCE))
        seen = contender.images(found["image"][rows].to(device).float() / 255, decode=True)
        truth = found["segmentation"][rows].long()
        masks = contender.images.decoder_masks(seen.decoded)
        maps.append(segment(masks, size=(truth.shape[-2], truth.shape[-1])).cpu())
        truths.append(truth)
        if isinstance(contender, Grounded):
            programs = contender.schema.encode(found["objects"][rows]).to(device)
            carried.append(associate(seen.embeddings, contender.programs(programs), programs.length).cpu())
            lengths.append(programs.length.cpu())
    scores = scoring.discovery(maps, truths)
    if carried:
        scores |= scoring.grounding(torch.cat(carried), torch.cat(lengths), maps, truths)
    return scores


def few_shot(contender: Contender, size: Size, seed: int) -> Scores:
    """Accuracy of a small transformer on the arm's frozen vectors, from `shots` pictures per class."""
    learned, judged = scenes_of("shots", size, seed), scenes_of("judged", size, seed)
    names = sorted(set(learned["target"]))
    x, unseen = frozen(contender, learned), frozen(contender, judged)
    center, spread = x.mean((0, 1)), x.std((0, 1)).clamp(min=1e-6)
    x, unseen = (x - center) / spread, (unseen - center) / spread
    target = torch.tensor([names.index(name) for name in learned["target"]], device=x.device)
    with seeded(seed, "few-shot"):
        classifier = SlotClassifier(x.shape[-1], len(names), width=48, blocks=2, heads=4, dropout=0.1)
        classifier.to(x.device).train()
        optimizer = torch.optim.AdamW(classifier.parameters(), lr=2e-3, weight_decay=0.05)
        for _ in range(size.classes):
            optimizer.zero_grad()
            F.cross_entropy(classifier(x), target).backward()
            optimizer.step()
    with torch.inference_mode():
        guessed = classifier.eval()(unseen).argmax(-1).tolist()
    hits = [names[guess] == name for guess, name in zip(guessed, judged["target"])]
    return {"few_shot": float(np.mean(hits))}


@torch.no_grad()
def frozen(contender: Contender, found: Tensors) -> Float[Tensor, "n k d"]:
    """The vectors that a classifier is given of every picture."""
    device = next(contender.parameters()).device
    parts = [
        contender.vectors(found["image"][start : start + AT_ONCE].to(device).float() / 255)
        for start in range(0, len(found), AT_ONCE)
    ]
    return torch.cat(parts)
