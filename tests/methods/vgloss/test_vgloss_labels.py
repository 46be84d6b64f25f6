"""Ready label sets, their sentences, and the published ones of an installed package."""

import importlib.metadata
import sys

import pytest

from visus.data.corpora.class_lists import SETS, class_list
from visus.data.wordnet import HOW_TO_GET, WordNet, find_wordnet
from visus.errors import InputError, MissingData
from visus.methods.vgloss.model import labels
from visus.methods.vgloss.model.concepts import ConceptMapper
from visus.methods.vgloss.model.labels import label_set, names_of, published_names, published_templates


@pytest.fixture(scope="module")
def real():
    folder = find_wordnet()
    words = WordNet.open(folder) if folder else None
    if words is None or words.version != "3.0":
        pytest.skip("WordNet 3.0 is not on this machine: " + HOW_TO_GET)
    return words


@pytest.fixture
def package():
    try:
        importlib.metadata.version("clip-benchmark")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("clip-benchmark is not installed")


@pytest.mark.parametrize("name", SETS)
def test_every_label_set_is_whole(name):
    found = label_set(name)
    assert found.names == class_list(name).names
    assert len(found) == len(found.names)
    assert found.wnids is None or len(found.wnids) == len(found)
    assert (found.wnids is None) == (name in ("flowers102", "aircraft")) == (found.parent is not None)
    assert len(found.templates) >= 2
    assert all(template.count("{c}") == 1 for template in found.templates)
    assert len(set(found.texts("moon_orchid"))) == len(found.templates)
    assert all("moon orchid" in text for text in found.texts("moon_orchid"))


def test_label_sets_that_are_refused():
    with pytest.raises(InputError, match="no label set is named 'cub'"):
        label_set("cub")
    with pytest.raises(InputError, match="only the classes of imagenet"):
        label_set("stl10", wnids=["n02691156"])
    for wnids in (["n02012849", "n01440764"], ["n01440764", "n01440764"], []):
        with pytest.raises(InputError, match="wnids: are not in sorted order"):
            label_set("imagenet", wnids=wnids)


def test_imagenet_names_are_those_of_wordnet(real):
    known = label_set("imagenet")
    assert known.wnids is not None
    assert names_of(real, [wnid for wnid in known.wnids if wnid]) == known.names
    assert len({name.lower() for name in known.names}) == 1000
    chosen = label_set("imagenet", wnids=["n01440764", "n02012849", "n03126707"])
    assert chosen.names == ("tench", "crane (wading bird)", "crane (lifting device)")
    other = label_set(
        "imagenet", wnids=["n01440764", "n02084071"], wordnet=real
    )  # the dog is not a class of the 1,000
    assert other.names == ("tench", "dog")


def test_all_label_sets_map_to_concepts(real):
    mapper = ConceptMapper(real)
    for name in SETS:
        found = label_set(name)
        concepts = mapper.map(found.names, found.wnids, parent=found.parent)
        assert [concept.label for concept in concepts] == list(found.names)
        assert all(concept.gloss for concept in concepts)
        known = sum(concept.synset is not None for concept in concepts)
        assert known == {"imagenet": 1000, "cifar100": 99, "flowers102": 69, "aircraft": 0}.get(
            name, len(found)
        )


def test_published_texts_are_read_without_importing_the_package(package):
    counts = {"imagenet": 80, "cifar10": 18, "cifar100": 18, "stl10": 2, "flowers102": 1, "aircraft": 2}
    for name, count in counts.items():
        found = published_templates(name)
        assert len(found) == count
        assert all("{c}" in template for template in found)
    assert len(published_names("imagenet")) == 1000
    assert published_names("flowers102") == label_set("flowers102").names
    assert "clip_benchmark" not in sys.modules
    with pytest.raises(InputError, match=r"has nothing for 'cub'.*stl10"):
        published_templates("cub")


def test_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(labels, "PACKAGE", "no-such-package-here")
    labels._package_file.cache_clear()
    with pytest.raises(MissingData, match="pip install --no-deps no-such-package-here"):
        published_templates("imagenet")
    labels._package_file.cache_clear()
