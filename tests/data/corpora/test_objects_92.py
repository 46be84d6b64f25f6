"""The 92 object pictures."""

import numpy as np
import pytest
from scipy.io import savemat

from visus.data.corpora.objects_92 import read_objects_92
from visus.data.provided import provided
from visus.errors import InputError, MissingData

FIELDS = ("category", "human", "face", "animal", "natural", "image")


def stimuli(pictures, fields=FIELDS):
    array = np.zeros((1, len(pictures)), dtype=[(name, object) for name in fields])
    kinds = ("human face", "artificial inanimate")
    for i, picture in enumerate(pictures):
        flags = [np.uint8([[i % 2 == 0]])] * (len(fields) - 2)
        array[0, i] = (kinds[i % 2], *flags, picture)
    return {"stimuli_92objs": array, "categoryLabels": np.array([["a"]], dtype=object)}


def test_pictures_categories_and_flags(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (5, 7, 6, 3), dtype=np.uint8)
    savemat(tmp_path / "k.mat", stimuli(pictures))
    found = read_objects_92(tmp_path / "k.mat")
    assert np.array_equal(found.pictures, pictures)
    assert found.categories[:2] == ("human face", "artificial inanimate")
    assert found.names == (
        "human face 1",
        "artificial inanimate 1",
        "human face 2",
        "artificial inanimate 2",
        "human face 3",
    )
    assert set(found.flags) == {"human", "face", "animal", "natural"}
    assert found.flags["face"].tolist() == [True, False, True, False, True]
    assert np.array_equal(np.asarray(found.images()[3]), pictures[3])


def test_files_of_another_form(tmp_path):
    whole = np.zeros((2, 7, 6, 3), dtype=np.uint8)
    savemat(tmp_path / "k.mat", stimuli([whole[0], whole[1, :5]]))
    with pytest.raises(InputError, match="not uint8 RGB of one size"):
        read_objects_92(tmp_path / "k.mat")
    savemat(tmp_path / "k.mat", stimuli(whole.astype(np.float64)))
    with pytest.raises(InputError, match="not uint8 RGB"):
        read_objects_92(tmp_path / "k.mat")
    savemat(tmp_path / "k.mat", stimuli(whole, fields=("kind", "human", "picture")))
    with pytest.raises(InputError, match="has no field image"):
        read_objects_92(tmp_path / "k.mat")
    savemat(tmp_path / "k.mat", {"other": 1})
    with pytest.raises(InputError, match="no variable stimuli_92objs"):
        read_objects_92(tmp_path / "k.mat")


def test_the_real_pictures():
    try:
        path = provided("92images/Kriegeskorte_Neuron2008_supplementalData.mat")
    except MissingData as missing:
        pytest.skip(str(missing))
    found = read_objects_92(path)
    assert found.pictures.shape == (92, 175, 175, 3)
    assert {name: int(flag.sum()) for name, flag in found.flags.items()} == {
        "human": 24,
        "face": 24,
        "animal": 48,
        "natural": 71,
    }
    assert len(set(found.categories)) == 6
    assert len(set(found.names)) == 92
