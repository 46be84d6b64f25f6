"""The source behind the aligners."""

import numpy as np
import pytest
import torch

from visus.data.loader import Subset, fingerprint, iterate
from visus.data.triplets import OddOneOutData, Triplets, object_mask, within
from visus.errors import InputError
from visus.protocols import Source


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    rows = np.array([rng.permutation(8)[:3] for _ in range(40)])
    return OddOneOutData(
        rng.normal(size=(8, 5)),
        Triplets(rows=rows, objects=8, names=tuple("abcdefgh"), participants=np.arange(40) % 3),
        reference=rng.random((8, 2)),
    )


def test_a_batch_holds_triplets_and_their_features(data):
    assert isinstance(data, Source)
    batch = data.batch([3, 0])
    assert batch["triplet"].dtype == torch.int64
    assert (batch["features"].shape, batch["features"].dtype) == ((2, 3, 5), torch.float32)
    for row, index in enumerate((3, 0)):
        for place in range(3):
            number = int(data.triplets[index, place])
            assert torch.equal(batch["features"][row, place], data.features[number])
    whole = [batch["triplet"] for batch in iterate(data, 7)]
    assert torch.equal(torch.cat(whole), data.triplets)
    with pytest.raises(IndexError):
        data.batch([40])


def test_restricted_to_leaves_nothing_of_other_objects(data):
    mask = object_mask([1, 2, 5, 6, 7], 8)
    part = data.restricted_to(mask)
    assert (part.objects, part.names) == (5, tuple("bcfgh"))
    assert part.origin.tolist() == [1, 2, 5, 6, 7]
    assert torch.equal(part.features, data.features[part.origin])
    assert torch.equal(part.reference, data.reference[part.origin])
    kept = torch.from_numpy(within(data.record, mask))
    assert torch.equal(part.origin[part.triplets], data.triplets[kept])
    assert part.participants.tolist() == data.participants[kept.numpy()].tolist()
    again = part.restricted_to([0, 2, 3, 4])
    assert again.origin.tolist() == [1, 5, 6, 7]
    assert torch.equal(again.features, data.features[again.origin])
    assert torch.equal(data.restricted_to(torch.from_numpy(mask)).triplets, part.triplets)
    with pytest.raises(InputError, match="no triplet lies among these 2 objects"):
        data.restricted_to([0, 1])


def test_subset_keeps_the_objects(data):
    part = data.subset([5, 1])
    assert torch.equal(part.triplets, data.triplets[[5, 1]])
    assert (part.objects, len(part), part.participants.tolist()) == (8, 2, [2, 1])
    assert torch.equal(part.batch([0])["features"], data.batch([5])["features"])
    assert fingerprint(Subset(data, [5, 1])) != fingerprint(data)


def test_the_fingerprint_tells_contents_apart(data):
    marks = [data.fingerprint(), data.subset([1, 0]).fingerprint(), data.subset([0, 1]).fingerprint()]
    marks.append(OddOneOutData(data.features + 1, data.record, reference=data.reference).fingerprint())
    marks.append(OddOneOutData(data.features, data.record).fingerprint())
    assert len(set(marks)) == 5
    same = OddOneOutData(data.features.double(), data.triplets, reference=data.reference.numpy())
    assert same.fingerprint() == data.fingerprint()


def test_groups_are_those_of_the_record(data):
    assert data.groups.tolist() == data.record.groups().tolist()


def test_read_only_arrays_are_taken_without_a_warning():
    features, rows = np.eye(4), np.array([[0, 1, 2]])
    features.setflags(write=False)
    rows.setflags(write=False)
    assert len(OddOneOutData(features, rows)) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"features": torch.eye(4)[0]}, r"shape \(4,\)"),
        ({"features": torch.eye(4).index_fill(0, torch.tensor([2]), torch.nan)}, "features, object 2"),
        ({"features": torch.eye(4) * torch.inf}, "features, object 0: is not a finite number"),
        ({"features": torch.eye(2), "triplets": [[0, 1, 0]]}, "describe 2 objects"),
        ({"features": torch.eye(3)}, r"object 3 is outside 0\.\.2"),
        (
            {"triplets": Triplets(rows=np.array([[0, 1, 2]]), objects=9)},
            "features of 4 objects, triplets of 9",
        ),
        ({"triplets": np.zeros((0, 3), dtype=int)}, "has no triplets"),
        ({"triplets": [[0, 1, 1]]}, "names an object twice"),
        ({"reference": torch.eye(3)}, "reference: 3 rows for 4 objects"),
        ({"reference": torch.eye(4) * torch.nan}, "reference, object 0"),
        ({"names": ["a"]}, "1 names for 4 objects"),
        ({"participants": [1, 2]}, r"shape \(2,\) for 1 triplets"),
    ],
)
def test_what_the_source_refuses(change, says):
    whole = {"features": torch.eye(4), "triplets": [[0, 1, 3]]}
    given = whole | change
    with pytest.raises(InputError, match=says):
        OddOneOutData(given.pop("features"), given.pop("triplets"), **given)
