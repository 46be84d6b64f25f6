"""Odd-one-out triplets: people's judgments of which of three objects differs from the other two.

Everywhere a row is (a, b, odd), numbers from 0: a and b were judged most alike.
"""

from visus.data.triplets.diagnosis import Diagnosis, Reading, diagnose
from visus.data.triplets.partition import object_folds, object_mask, split_objects, within
from visus.data.triplets.reading import read_triplets
from visus.data.triplets.record import Triplets
from visus.data.triplets.sampling import cifar_coarse, sample_triplets
from visus.data.triplets.source import OddOneOutData
from visus.data.triplets.writing import write_triplets

__all__ = [
    "Diagnosis",
    "OddOneOutData",
    "Reading",
    "Triplets",
    "cifar_coarse",
    "diagnose",
    "object_folds",
    "object_mask",
    "read_triplets",
    "sample_triplets",
    "split_objects",
    "within",
    "write_triplets",
]
