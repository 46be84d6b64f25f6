"""`visus alignment example`: a small made-up study in the layouts of the real ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from visus.outputs import check_out

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32

    from visus.data.worlds.concepts import ConceptsWorld

OBJECTS, TRIPLETS, TRIALS, REPEATS = 120, 9000, 300, 12
KNOWN = {"image-text": 1.6, "supervised": 1.0, "self-supervised": 0.7, "untrained": 0.15}
"""Objective -> how strongly its networks see what people judge by."""
SIZES = (2_000_000, 20_000_000, 200_000_000)
ENDINGS = (".npy", ".npz", ".safetensors", ".csv")


def example(*, out: Path, seed: int = 0) -> list[list[str]]:
    """Write a made-up study and print commands that use it.

    OUT/things is laid out as THINGS: things_concepts.tsv, triplets/train_90.npy and test_10.npy (a, b, odd, from 0),
    trials.tsv (repeated trials, from 1, choice 1 to 3 and person) and reference.npy (in place of VICE).
    OUT/networks holds embeddings of the same objects by several networks with attributes.csv. OUT/pictures holds
    judgments_general.mat (12 people, other objects, as Cichy's) and network.npy, the first network's embedding of
    them. People and networks are simulated: nothing here is data.

    Args:
        out: folder to write to.
        seed: chooses objects, people and networks.
    """
    import numpy as np

    from visus.data.corpora.similarity_judgments import write_cichy
    from visus.data.corpora.things import write_things_concepts, write_vice
    from visus.data.features import Embeddings, write_embeddings
    from visus.data.triplets import write_triplets
    from visus.data.worlds.concepts import make

    check_out(out, kind="folder")
    world = make(OBJECTS, triplets=TRIPLETS, trials=TRIALS, repeats=REPEATS, seed=seed)
    things, networks, pictures = out / "things", out / "networks", out / "pictures"
    write_things_concepts(things / "things_concepts.tsv", world.concepts)
    write_vice(things / "reference.npy", world.hidden)
    chosen = np.random.default_rng([seed, 7]).permutation(TRIPLETS)
    cut = TRIPLETS * 9 // 10
    write_triplets(things / "triplets" / "train_90.npy", world.triplets.subset(np.sort(chosen[:cut])))
    write_triplets(things / "triplets" / "test_10.npy", world.triplets.subset(np.sort(chosen[cut:])))
    write_triplets(things / "trials.tsv", world.trials, layout="trials", header=False)
    _write_networks(networks, world, seed)
    judged = world.judged
    write_cichy(pictures / "judgments_general.mat", judged.judgments)
    import torch

    features = torch.from_numpy(judged.features["network"])
    write_embeddings(pictures / "network.npy", Embeddings(features, judged.concepts.unique_ids))
    commands = _commands(out)
    for command in commands:
        print(" ".join(command))
    return commands


def _commands(out: Path) -> list[list[str]]:
    start, things = ["visus", "alignment"], out / "things"
    network, trials = str(out / "networks" / "supervised-1.npy"), str(things / "trials.tsv")
    train, test = (str(things / "triplets" / name) for name in ("train_90.npy", "test_10.npy"))
    reference = ["--reference", str(things / "reference.npy")]
    objects = ["--objects", str(things / "things_concepts.tsv")]
    run, judged = str(out / "run"), out / "pictures"
    quick = ["--preset", "smoke", "--set", "epochs=60", "penalty_weight=0.01"]
    human = [*start, "score", network, "--triplets", trials, *objects, *reference]
    closed = [*start, "fit", network, "--triplets", train, "--aligner", "ridge", *reference]
    similar = [*start, "rsa", str(judged / "network.npy"), "--transform", run]
    similar += ["--resamples", "200", "--tests", "50", "--judgments", str(judged / "judgments_general.mat")]
    return [
        [*human, "--out", str(out / "scored")],
        [*start, "fit", network, "--triplets", train, *quick, "--out", run],
        [*closed, "--judged", trials, "--out", str(out / "ridge")],
        [*start, "evaluate", network, "--model", run, "--triplets", test, "--out", str(out / "test.json")],
        [*start, "predict", str(judged / "network.npy"), "--model", run, "--out", str(out / "odd.csv")],
        [*start, "apply", run, str(judged / "network.npy"), "--out", str(out / "mapped.npy")],
        [*similar, "--out", str(out / "rsa")],
        [
            *start,
            "concepts",
            network,
            "--triplets",
            train,
            *reference,
            *objects,
            "--out",
            str(out / "concepts"),
        ],
        [*start, "compare", str(out / "networks"), "--triplets", trials, "--out", str(out / "compared")],
    ]


def _write_networks(folder: Path, world: ConceptsWorld, seed: int) -> None:
    """Networks of four objectives and three sizes; what a network sees depends on the objective alone."""
    import pandas as pd
    import torch

    from visus.data.features import Embeddings, write_embeddings
    from visus.data.formats import write_table

    rows: list[dict[str, Any]] = []
    for objective, known in KNOWN.items():
        for number, size in enumerate(SIZES, 1):
            first = objective == "supervised" and number == 1
            name = f"{objective}-{number}"
            place = len(rows)
            values = world.views["network"].features if first else _view(world, known, [seed, 8, place])
            ending = ".npy" if first else ENDINGS[place % len(ENDINGS)]
            made = Embeddings(torch.from_numpy(values), world.concepts.unique_ids, origin=f"made-up {name}")
            write_embeddings(folder / f"{name}{ending}", made)
            kind = "transformer" if place % 2 else "convolutional"
            rows.append({"model": name, "objective": objective, "architecture": kind, "parameters": size})
    write_table(folder / "attributes.csv", pd.DataFrame(rows))


def _view(world: ConceptsWorld, known: float, seed: list[int], width: int = 32) -> Float32[np.ndarray, "m p"]:
    """What a network that knows so much sees: hidden values among others, mixed."""
    import numpy as np

    rng = np.random.default_rng(seed)
    hidden = world.hidden
    besides = rng.normal(size=(len(hidden), width - hidden.shape[1]))
    mix, _ = np.linalg.qr(rng.normal(size=(width, width)))
    centered = hidden - hidden.mean(axis=0)
    return (np.hstack([known * centered, 0.6 * besides]) @ mix).astype(np.float32)
