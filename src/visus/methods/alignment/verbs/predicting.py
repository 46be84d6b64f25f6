"""`visus alignment predict | evaluate`: a fitted aligner on other objects and other triplets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from visus.errors import InputError
from visus.methods.alignment.verbs.embedding import given_for
from visus.methods.alignment.verbs.study import Base, Odd, read_rows
from visus.methods.alignment.verbs.words import points, ranged, told
from visus.outputs import check_inputs, check_out, finite, say

if TYPE_CHECKING:
    import pandas as pd

    from visus.data.features import Embeddings
    from visus.methods.alignment.estimator import Aligner

EXACT = 40
"""Up to so many objects every triplet of them is asked for how much an object stands out."""
DRAWN = 200
"""Pairs of others drawn per object above that."""


def predict(
    embeddings: Path,
    /,
    *,
    model: Path,
    out: Path,
    triplets: Path | None = None,
    base: Base = "auto",
    encoder: str | None = None,
    layer: str | None = None,
    cache: Path | None = None,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Say which object of three is odd, or how much each object stands out among all that are given.

    With --triplets a row per triplet: items (its three objects), label (the odd one; empty for a tie), probability,
    and p_1, p_2, p_3. Without, a row per object: item, odd (probability to be the odd one beside two of the others;
    of three objects the odd one has the largest), most_alike (the nearest other object) and similarity.

    Args:
        embeddings: of any objects, by the network that the model was fitted on: .npy, .npz, .safetensors or .csv; a
            folder of pictures where the model was fitted with an encoder, or --encoder is given.
        model: the folder given to fit as --out, or the model folder in it.
        out: table to write (.csv).
        triplets: triplets of these objects by their numbers; the order of the columns says nothing.
        base: what the first object is called, where that cannot be told.
        encoder: network that makes the embeddings; the one that the model was fitted with if left out.
        layer: of the encoder.
        cache: folder where features are kept, so that a stopped command goes on.
        seed: of the draws among more than 40 objects.
        device: auto, cpu or cuda.
    """
    from visus.data.formats import write_table

    check_inputs(EMBEDDINGS=embeddings, model=model, triplets=triplets)
    check_out(out, kind="file", inputs=[embeddings, triplets])
    made = opened(model)
    given = given_for(embeddings, model, encoder=encoder, layer=layer, device=device)
    if len(given) < 3:
        problem = f"holds {len(given)} objects"
        raise InputError(problem, file=embeddings, remedy="an odd one out needs three objects or more")
    rows = None if triplets is None else np.array(read_rows(triplets, len(given), base).rows)
    found = given.embeddings(cache=cache)
    table = standing_out(made, found, seed=seed) if rows is None else judged(made, found, rows)
    write_table(out, table)
    print(f"{len(table):,} {'objects' if rows is None else 'triplets'}: {out}")


def evaluate(
    embeddings: Path,
    /,
    *,
    model: Path,
    triplets: Path,
    out: Path | None = None,
    objects: Path | None = None,
    base: Base = "auto",
    odd: Odd = "auto",
    encoder: str | None = None,
    layer: str | None = None,
    cache: Path | None = None,
    device: str = "auto",
) -> dict[str, float]:
    """Score a fitted aligner on further triplets.

    Objects that it was fitted on look better than others would: the folds of fit tell how it does on unseen ones.

    Args:
        embeddings: as for fit, by the same network.
        model: the folder given to fit as --out, or the model folder in it.
        triplets: as for fit.
        out: also write the scores to this file (.json).
        objects: names of the objects in the order of their numbers; see score.
        base: what the first object is called, where that cannot be told.
        odd: where the odd one stands, where that cannot be told.
        encoder: network that makes the embeddings; the one that the model was fitted with if left out.
        layer: of the encoder.
        cache: folder where features are kept, so that a stopped command goes on.
        device: auto, cpu or cuda.
    """
    from visus.methods.alignment.verbs.study import read_judged
    from visus.records import write_json

    check_inputs(EMBEDDINGS=embeddings, model=model, triplets=triplets, objects=objects)
    if out is not None:
        check_out(out, kind="file", inputs=[embeddings, triplets, objects])
    made = opened(model)
    given = given_for(embeddings, model, encoder=encoder, layer=layer, device=device)
    read = read_judged(triplets, objects=objects, base=base, odd=odd, count=len(given), ways=["--base"])
    study = read.with_embeddings(given.embeddings(cache=cache), file=embeddings)
    scores = made.evaluate(study.data)
    for note in study.notes:
        print(f"note: {note}")
    print(f"{len(study.triplets):,} triplets of {study.triplets.objects:,} objects")
    interval = ranged((scores["accuracy_low"], scores["accuracy_high"]), percent=True)
    say(
        [
            ("accuracy", told(scores["accuracy"], percent=True), interval),
            ("accuracy, zero-shot", told(scores["zero_shot_accuracy"], percent=True), ""),
            ("gain [points]", *points(scores["gain"], (scores["gain_low"], scores["gain_high"]))),
            ("cross-entropy [nats]", told(scores["cross_entropy"]), ""),
            ("calibration error", told(scores["ece"]), ""),
        ]
    )
    if out is not None:
        write_json(out, finite(scores))
        print(f"scores: {out}")
    return scores


def opened(model: Path) -> Aligner:
    """The aligner of a run's folder, or of a saved model's own, on the CPU: it is one matrix product."""
    from visus.methods.alignment.estimator import Aligner

    return Aligner.open(model, device="cpu")


def judged(made: Aligner, given: Embeddings, rows: np.ndarray) -> pd.DataFrame:
    """A row per triplet."""
    import pandas as pd

    from visus.data.triplets import OddOneOutData

    found = made.predict(OddOneOutData(given.values, rows))
    shares, label = found["probabilities"].double().numpy(), found["label"].numpy()
    names = [[given.names[i] for i in row] for row in rows.tolist()]
    return pd.DataFrame(
        {
            "items": [" | ".join(row) for row in names],
            "label": ["" if place < 0 else row[place] for row, place in zip(names, label, strict=True)],
            "probability": shares.max(axis=1).round(6),
            **{f"p_{place + 1}": shares[:, place].round(6) for place in range(3)},
        }
    )


def standing_out(made: Aligner, given: Embeddings, *, seed: int = 0) -> pd.DataFrame:
    """A row per object: how often it would be the odd one beside two of the others, and its nearest."""
    import pandas as pd
    import torch

    from visus.data.triplets import OddOneOutData
    from visus.methods.alignment.config import similarity_of
    from visus.metrics.similarity import similarity

    count = len(given)
    rows = _all_or_some(count, seed)
    shares = made.predict(OddOneOutData(given.values, rows))["probabilities"].double().numpy()
    total, seen = np.zeros(count), np.zeros(count)
    for place in range(3):
        np.add.at(total, rows[:, place], shares[:, place])
        np.add.at(seen, rows[:, place], 1)
    alike = similarity(made.transform(given.values), kind=similarity_of(made.settings))
    value, place = alike.fill_diagonal_(-torch.inf).max(dim=1)
    return pd.DataFrame(
        {
            "item": given.names,
            "odd": (total / seen).round(6),
            "most_alike": [given.names[i] for i in place.tolist()],
            "similarity": value.double().numpy().round(6),
        }
    )


def _all_or_some(count: int, seed: int) -> np.ndarray:
    """Triplets in which every object occurs: all of them, or `DRAWN` with every object first."""
    from itertools import combinations

    if count <= EXACT:
        return np.array(list(combinations(range(count), 3)), dtype=np.int64)
    rng = np.random.default_rng(seed)
    first = np.arange(count).repeat(DRAWN)
    second = (first + rng.integers(1, count, size=len(first))) % count
    step = rng.integers(1, count - 1, size=len(first))
    third = (first + step + (step >= (second - first) % count)) % count
    return np.stack([first, second, third], axis=1)
