"""What the commands refuse, before any work and without a trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vgloss_files import write_npz

from visus.errors import InputError
from visus.methods.vgloss.verbs import VERBS
from visus.methods.vgloss.verbs.labels import read_labels


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "names.txt").write_text("owl\n# comment\n\ncrane\n")
    (tmp_path / "twice.txt").write_text("owl\nowl\n")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "table.csv").write_text("word,gloss\nowl,a bird\n")
    (tmp_path / "set.json").write_text(json.dumps({"owl": ["An owl."], "crane": ["A crane."]}))
    (tmp_path / "void").mkdir()
    write_npz(tmp_path / "f.npz", classes=6)
    return tmp_path


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("describe", {"classes": "nothing.txt", "out": "o.json"}, "--classes.*does not exist"),
    ("describe", {"classes": "names.txt", "out": "o.csv"}, "end the name in .json"),
    ("describe", {"classes": "twice.txt", "out": "o.json"}, "'owl' twice"),
    ("describe", {"classes": "empty.txt", "out": "o.json"}, "no names"),
    ("describe", {"classes": "table.csv", "out": "o.json"}, "no column with the classes' names"),
    ("describe", {"classes": "names.txt", "out": "o.json", "glosses": "gloss"}, "--glosses"),
    ("describe", {"classes": "stl10", "out": "o.json", "wnids": "id"}, "--wnids"),
    ("describe", {"classes": "names.txt", "out": "o.json", "temperature": -1.0}, "--temperature"),
    ("describe", {"classes": "names.txt", "out": "o.json", "contrastive": -1}, "--contrastive"),
    ("describe", {"classes": "names.txt", "out": "o.json", "quantile": 2.0}, "--quantile"),
    ("describe", {"classes": "names.txt", "out": "o.json", "exemplars": 40}, "--exemplars"),
    ("describe", {"classes": "names.txt", "out": "o.json", "language": "replay:no.json"}, "no.json"),
    ("build", {"descriptions": "no.json", "model": "clip", "out": "o"}, "no.json.*does not exist"),
    ("build", {"descriptions": "set.json", "model": "void", "out": "o", "text_model": "minilm"}, "--seen"),
    ("build", {"descriptions": "set.json", "model": "void", "out": "names.txt"}, "is a file"),
    ("build", {"descriptions": "set.json", "model": "void", "out": "o", "set": ["pooling=sum"]}, "pooling"),
    ("classify", {"images": "void", "model": "void", "out": "o"}, "holds no pictures"),
    ("classify", {"images": "no", "model": "void", "out": "o"}, "--images.*does not exist"),
    ("classify", {"images": "void", "model": "void", "out": "void"}, "where the input is read from"),
    ("classify", {"images": "void", "model": "void", "out": "o", "top": 0}, "--top"),
    ("explain", {"images": "void", "model": "void", "out": "o", "limit": 0}, "--limit"),
    ("predict", {"images": "void", "model": "no", "out": "o.csv"}, "--model.*does not exist"),
    ("predict", {"images": "void", "model": "void", "out": "o.txt"}, "end the name in .csv"),
    ("compare", {"images": "f.npz", "descriptions": [], "model": "minilm", "out": "o"}, "--descriptions"),
    (
        "compare",
        {"images": "f.npz", "descriptions": ["a=no"], "model": "minilm", "out": "o"},
        "does not exist",
    ),
    ("compare", {"images": "no", "descriptions": ["set.json"], "model": "m", "out": "o"}, "--images"),
    (
        "compare",
        {"images": "f.npz", "descriptions": ["set.json"], "model": "m", "out": "o"},
        "says nothing of",
    ),
    (
        "compare",
        {"images": "f.npz", "descriptions": ["set.json"], "model": "m", "out": "o", "folds": 1},
        "--folds",
    ),
    (
        "compare",
        {"images": "f.npz", "descriptions": ["a=set.json", "a=set.json"], "model": "m", "out": "o"},
        "stands twice",
    ),
]
PATHS = {"out", "images", "descriptions", "data"}


@pytest.mark.parametrize(("verb", "options", "says"), REFUSED, ids=[f"{v}: {s}" for v, _, s in REFUSED])
def test_refused_in_words_and_nothing_written(verb, options, says, place, monkeypatch) -> None:
    monkeypatch.chdir(place)
    before = sorted(place.rglob("*"))
    named = {
        name: Path(value) if name in PATHS and isinstance(value, str) else value
        for name, value in options.items()
    }
    if verb == "predict":
        named["model"] = Path(named["model"])
    first = [named.pop(name) for name in {"build": ["descriptions"], "predict": ["images"]}.get(verb, [])]
    with pytest.raises(InputError, match=f"(?s){says}"):
        VERBS[verb](*first, **named)
    assert sorted(place.rglob("*")) == before


def test_lists_and_tables_of_classes(place: Path) -> None:
    assert read_labels(str(place / "names.txt")).names == ("owl", "crane")
    known = read_labels("stl10")
    assert len(known.names) == 10
    assert all(known.wnids)
    table = place / "full.csv"
    table.write_text("label,id,synset,gloss,parent\ncrane,n02012849,,,\nowl,,owl.n.01,my own words,\n")
    found = read_labels(str(table), wnids="id", parent="bird")
    assert found.wnids == ("n02012849", None)
    assert found.given()["owl"].gloss == "my own words"
    assert found.parent == "bird"
    assert list(found.given()) == ["owl"]


def test_a_model_that_reads_no_texts_is_refused(place: Path, monkeypatch) -> None:
    class Eyes:
        identity, width = "eyes", 8

        def images(self, pictures):
            return np.zeros((len(pictures), 8))

    monkeypatch.setattr("visus.data.features.open_encoder", lambda name, device: Eyes())
    (place / "things.json").write_text(json.dumps({f"thing {i:02d}": ["A thing."] for i in range(6)}))
    with pytest.raises(InputError, match="add --text-model minilm"):
        VERBS["compare"](
            images=place / "f.npz", descriptions=[str(place / "things.json")], model="eyes", out=place / "o"
        )
    assert not (place / "o").exists()
