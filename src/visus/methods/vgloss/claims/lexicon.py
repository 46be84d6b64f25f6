"""What holds of class labels and WordNet: ids resolve, the company of a label decides its meaning."""

from __future__ import annotations

from typing import Any

import numpy as np

from visus.data.wordnet import wu_palmer, wu_palmer_matrix
from visus.errors import InputError
from visus.methods.vgloss.claims.data import wordnet_3_0
from visus.methods.vgloss.model.concepts import ConceptMapper
from visus.methods.vgloss.model.labels import label_set

BIRDS = ("crane", "heron", "stork", "pelican", "flamingo")
MACHINES = ("crane", "bulldozer", "forklift", "tractor", "excavator")
STATED: dict[str, float] = {
    "ids_resolved": 1000.0,
    "definitions": 1000.0,
    "crane_among_birds": 1.0,
    "crane_among_machines": 1.0,
    "meanings_of_crane": 2.0,
    "order_changes": 0.0,
    "shared_meaning_refused": 1.0,
    "unknown_id_refused": 1.0,
    "wu_palmer_error": 0.0,
    "asymmetry": 0.0,
}


def measured() -> dict[str, float]:
    """What the implementation does, under the names of `STATED`.

    Raises
    ------
    MissingData : WordNet 3.0 is not there.
    """
    wordnet = wordnet_3_0()
    mapper, ids = ConceptMapper(wordnet), [wnid for wnid in label_set("imagenet").wnids or () if wnid]
    synsets = [wordnet.of_wnid(wnid) for wnid in ids]
    bird, machine = (mapper.map(list(labels))[0].synset for labels in (BIRDS, MACHINES))
    turned = {concept.label: concept.synset for concept in mapper.map(list(reversed(BIRDS)))}
    straight = {concept.label: concept.synset for concept in mapper.map(list(BIRDS))}
    some = synsets[:: len(synsets) // 20][:20]
    matrix = wu_palmer_matrix(some)
    plain = np.array([[wu_palmer(one, other) for other in some] for one in some])
    return {
        "ids_resolved": float(sum(synset.wnid == wnid for synset, wnid in zip(synsets, ids))),
        "definitions": float(sum(bool(synset.definition.strip()) for synset in synsets)),
        "crane_among_birds": float(bird is not None and bird.lexfile == "noun.animal"),
        "crane_among_machines": float(machine is not None and machine.lexfile == "noun.artifact"),
        "meanings_of_crane": float(len({bird, machine})),
        "order_changes": float(sum(straight[label] != turned[label] for label in BIRDS)),
        "shared_meaning_refused": float(_refused(mapper.map, ["auto", "automobile"])),
        "unknown_id_refused": float(_refused(wordnet.of_wnid, "n99999999")),
        "wu_palmer_error": _rounded(np.abs(matrix - plain).max()),
        "asymmetry": _rounded(np.abs(matrix - matrix.T).max()),
    }


def _refused(call: Any, given: Any) -> bool:
    try:
        call(given)
    except InputError:
        return True
    return False


def _rounded(error: float) -> float:
    return 0.0 if error < 1e-6 else float(error)
