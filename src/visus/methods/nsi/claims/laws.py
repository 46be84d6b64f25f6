"""What holds for any weights: the score's laws, measured on random tensors and random scenes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

IMAGES, PROGRAMS, SLOTS, ROWS, WIDTH = 9, 7, 5, 8, 12
SCENES = 1000
EXACT = 1e-9
"""Below this a double-precision difference is rounding, and counts as none."""


def deviations(run: Any, seed: int) -> dict[str, float]:
    """The largest deviation from every law, 0 where it is rounding alone."""
    with run.seeded("laws"):
        found = {**score_laws(), **encoder_laws(seed), **loss_laws()}
    found["round_trips_lost"] = float(lost_round_trips(seed))
    return {name: 0.0 if abs(value) < EXACT else value for name, value in found.items()}


def score_laws() -> dict[str, float]:
    """Of the bi-level score on random tensors."""
    from visus.methods.nsi.model import bilevel_scores

    slots, rows = torch.randn(IMAGES, SLOTS, WIDTH).double(), torch.randn(PROGRAMS, ROWS, WIDTH).double()
    length = torch.randint(1, ROWS, (PROGRAMS,))
    best = bilevel_scores(slots, rows, length)
    few = length.clamp(max=SLOTS)  # with more objects than slots some are left out, and count 0
    above = bilevel_scores(slots, rows, few, assign="hungarian") - bilevel_scores(slots, rows, few)
    noisy = torch.where(torch.arange(ROWS)[None, :, None] < length[:, None, None], rows, 1e3)
    again = rows.clone()
    again[torch.arange(PROGRAMS), length] = rows[:, 0]
    own = torch.einsum("aid,bd->aib", slots, rows[:, 0]).amax(1)
    first = slots[:, :1]
    winner = torch.einsum("aid,bjd->abij", slots, rows).argmax(2)
    return {
        "loop_error": _gap(best, looped(slots, rows, length)),
        "hungarian_above_max": max(0.0, float(above.max())),
        "duplicate_error": _gap(bilevel_scores(slots, again, length + 1) - best, own),
        "one_slot_error": _gap(bilevel_scores(first, rows, length), looped_sum(first[:, 0], rows, length)),
        "slot_order_error": _gap(best, bilevel_scores(slots[:, torch.randperm(SLOTS)], rows, length)),
        "padding_error": _gap(best, bilevel_scores(slots, noisy, length)),
        "loser_gradient": loser_gradient(slots, rows, length, winner),
    }


def looped(slots: Tensor, rows: Tensor, length: Tensor) -> Tensor:
    """The score written as the three loops of its formula."""
    scores = torch.zeros(len(slots), len(rows), dtype=slots.dtype)
    for a, image in enumerate(slots):
        for b, program in enumerate(rows):
            for primitive in program[: int(length[b])]:
                scores[a, b] += max(float(slot @ primitive) for slot in image)
    return scores


def looped_sum(single: Tensor, rows: Tensor, length: Tensor) -> Tensor:
    """With one slot: the sum of its inner products."""
    return torch.stack([(single @ p[: int(n)].T).sum(1) for p, n in zip(rows, length)], 1)


def loser_gradient(slots: Tensor, rows: Tensor, length: Tensor, winner: Tensor) -> float:
    """Largest gradient of the first pair's score at a slot that no primitive of the program chose."""
    from visus.methods.nsi.model import bilevel_scores

    leaf = slots.clone().requires_grad_()
    bilevel_scores(leaf, rows, length)[0, 0].backward()
    assert leaf.grad is not None
    losers = sorted(set(range(SLOTS)) - set(winner[0, 0, : int(length[0])].tolist()))
    others = leaf.grad[1:].abs().max()
    return float(torch.cat([leaf.grad[0, losers].flatten().abs(), others[None]]).max())


def encoder_laws(seed: int) -> dict[str, float]:
    """Of the program encoder on random scenes: a set, and blind to padding."""
    from visus.methods.nsi.model import ProgramEncoder, Programs
    from visus.methods.nsi.model.named import scenes

    schema = scenes(most=6)
    programs = schema.encode(random_scenes(PROGRAMS, seed))
    encoder = ProgramEncoder(schema, width=WIDTH, heads=3, blocks=2, size=WIDTH).double().eval()
    with torch.no_grad():
        plain = encoder(programs)
        order = torch.randperm(6)
        order = torch.stack([_moved(order, int(n)) for n in programs.length])
        index = torch.arange(PROGRAMS)[:, None]
        categories, values = programs.categories[index, order], programs.values[index, order]
        mixed = encoder(Programs(categories, values, programs.present[index, order], programs.length))
        padded = encoder(replace(schema, most=11).encode(random_scenes(PROGRAMS, seed)))
    return {
        "object_order_error": _gap(mixed, plain[index, order]),
        "extra_rows_error": _gap(padded[:, :6], plain),
    }


def loss_laws() -> dict[str, float]:
    """Of the contrastive loss: log B for equal scores, and the same from both sides."""
    from visus.methods.nsi.losses import contrastive

    scores = torch.randn(IMAGES, IMAGES).double()
    return {
        "equal_scores_excess": float(contrastive(torch.full_like(scores, 3.0))) - math.log(IMAGES),
        "transposed_loss_change": float(contrastive(scores) - contrastive(scores.T)),
    }


def lost_round_trips(seed: int) -> int:
    """Random scenes that do not come back unchanged from their XML text."""
    from visus.methods.nsi.model import parse, serialize
    from visus.methods.nsi.model.named import scenes

    schema = scenes(most=6)
    drawn = [schema.check(objects) for objects in random_scenes(SCENES, seed)]
    return sum(parse(serialize(scene, schema), schema) != scene for scene in drawn)


def random_scenes(count: int, seed: int) -> list[list[dict[str, Any]]]:
    """Lists of one to six objects in the world's vocabulary."""
    from visus.data.worlds.scenes import COLORS, MATERIALS, SHAPES, SIZES

    rng = np.random.default_rng((seed, count))
    words = {"shape": SHAPES, "size": tuple(SIZES), "color": tuple(COLORS), "material": MATERIALS}

    def thing() -> dict[str, Any]:
        made: dict[str, Any] = {name: str(rng.choice(values)) for name, values in words.items()}
        return {**made, "position": tuple(map(float, rng.uniform((-3, 0, 0), (3, 6, 1.5))))}

    return [[thing() for _ in range(rng.integers(1, 7))] for _ in range(count)]


def _moved(order: Tensor, length: int) -> Tensor:
    """The order for the first `length` rows; padding stays behind."""
    kept = order[order < length]
    return torch.cat([kept, torch.arange(length, len(order))])


def _gap(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max())
