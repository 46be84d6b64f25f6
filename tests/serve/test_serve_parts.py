"""Finding models, reading signatures, taming names and tables, one by one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import serve_needs  # noqa: F401
from hypothesis import given
from hypothesis import strategies as st

from visus.errors import InputError
from visus.serve import finding
from visus.serve.guard import own_names
from visus.serve.intake import first_lines, intake, read_signature
from visus.serve.predicting import Result
from visus.serve.uploads import Upload, contain, receive, safe_name


def model(folder: Path, **changes) -> Path:
    folder.mkdir(parents=True)
    record = {"library": "visus", "version": "1", "method": "attention", "estimator": "E", **changes}
    (folder / "config.json").write_text(json.dumps(record))
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def names(*roots: Path) -> list[str]:
    return [found.name for found in finding.search(roots).models]


def test_search_finds_models_and_only_those_of_visus(tmp_path):
    root = tmp_path / "root"
    model(root / "b" / "model")
    model(root / "a")
    model(root / ".hidden")
    model(root / "other", library="transformers")
    model(root / "planned", method="guidegen")
    model(root / "unknown", method="../../etc")
    model(root / "list", method=["attention"])
    (model(root / "unfinished") / "model.safetensors").unlink()
    (model(root / "damaged") / "config.json").write_text("{")
    (model(root / "array") / "config.json").write_text("[" * 100_000)
    assert names(root) == ["root/a", "root/b/model"]
    assert names(root, root / "a") == ["root/a", "root/b/model"]
    ids = [found.id for found in finding.search([root]).models]
    assert ids == [found.id for found in finding.search([root]).models]
    assert len(set(ids)) == 2


def test_search_follows_no_links(tmp_path):
    outside = model(tmp_path / "outside")
    (outside / "report.html").write_text("secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(outside, target_is_directory=True)
    inside = root / "inside"
    inside.mkdir()
    for name in ("config.json", "model.safetensors", "report.html"):
        (inside / name).symlink_to(outside / name)
    (model(root / "run") / "model").symlink_to(outside, target_is_directory=True)
    found = finding.search([root])
    assert (found.models, found.documents) == ([], [])
    (tmp_path / "way").symlink_to(outside, target_is_directory=True)
    assert names(tmp_path / "way") == ["outside"]  # a link that the user names is the user's wish


def test_ensembles_are_one_model_and_reach_nowhere_else(tmp_path):
    for name, members in (
        ("good", ["member-1", "member-2"]),
        ("out", ["../good/member-1"]),
        ("gone", ["member-1", "member-9"]),
        ("odd", [1]),
        ("none", []),
    ):
        for member in ("member-1", "member-2"):
            model(tmp_path / "r" / name / member)
        (tmp_path / "r" / name / "ensemble.json").write_text(json.dumps({"members": members}))
    assert names(tmp_path / "r") == ["r/good"]


def test_search_stops_somewhere(tmp_path, monkeypatch):
    for name in "abc":
        model(tmp_path / name)
    monkeypatch.setattr(finding, "MAX_FOLDERS", 2)
    found = finding.search([tmp_path])
    assert not found.complete
    assert len(found.models) == 1


def test_signatures():
    def positional(data: Path, /, *, model: Path, out: Path, text_column: str | None = None) -> None:
        """Predict.

        Args:
            text_column: column with the texts.
        """
        calls.append((data, model, out, text_column))

    def named(*, model: Path, table: Path, out: Path, image_column: str | None = None) -> None:
        calls.append((table, model, out, image_column))

    def followed(videos: Path, /, *, model: Path, out: Path, boxes: Path | None = None) -> None:
        calls.append((videos, model, out, boxes))

    def greedy(*, model: Path, table: Path, image_column: str, out: Path) -> None: ...
    def aimless(data: Path, /) -> None: ...

    calls: list[tuple] = []
    first, second = read_signature(positional, "a"), read_signature(named, "b")
    assert (first.positional, first.needs_table, dict(first.columns)) == (
        True,
        False,
        {"text_column": "column with the texts."},
    )
    assert (second.positional, second.needs_table, list(second.columns)) == (False, True, ["image_column"])
    d, m, o = Path("d"), Path("m"), Path("o")
    first.call(d, model=m, out=o, columns={"text_column": "t"})
    second.call(d, model=m, out=o, columns={})
    assert calls == [(d, m, o, "t"), (d, m, o, None)]
    assert not first.videos
    filmed = read_signature(followed, "v")
    assert filmed.videos
    filmed.call(d, model=m, out=o, columns={}, boxes=Path("b"))
    filmed.call(d, model=m, out=o, columns={})
    assert calls[2:] == [(d, m, o, Path("b")), (d, m, o, None)]
    for odd in (greedy, aimless):
        with pytest.raises(InputError, match="cannot be used from a form"):
            read_signature(odd, "c")


def test_the_commands_of_methods():
    assert intake("attention").data == "data"
    assert first_lines("attention")["fit"].startswith("Train a classifier")
    with pytest.raises(InputError, match="cannot be loaded"):
        intake("guidegen")
    assert first_lines("guidegen") == {}


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("a.png", "a.png"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\a b.png", "a b.png"),
        ("C:\\x.png", "x.png"),
        ("...x", "x"),
        ("a\0b\n.png", "ab.png"),
        ("\u202egnp.exe", "gnp.exe"),
        ("图.png", "图.png"),
    ],
)
def test_safe_names(given_name, kept):
    assert safe_name(given_name) == kept


@given(st.text(max_size=300))
def test_no_name_leads_elsewhere(text):
    try:
        name = safe_name(text)
    except InputError:
        return
    folder = Path("base") / "in"
    target = os.path.normpath(folder / name)
    assert os.path.dirname(target) == str(folder)
    assert not name.startswith(".")
    assert len(name.encode("utf-8", "replace")) <= 200


def test_receive_sorts_the_files(tmp_path):
    targets, upload = receive(tmp_path, ["x/b.png", "T.CSV", "a.nii.gz"])
    assert targets == [tmp_path / "b.png", tmp_path / "T.CSV", tmp_path / "a.nii.gz"]
    assert (upload.pictures, upload.table, upload.data) == (
        ("b.png", "a.nii.gz"),
        "T.CSV",
        tmp_path / "T.CSV",
    )
    assert receive(tmp_path, ["b.png"])[1].data == tmp_path
    assert receive(tmp_path, ["b.MP4", "t.csv"], videos=True)[1].pictures == ("b.MP4",)
    for name, videos, kinds in (("b.mp4", False, r"send .*\.png"), ("b.png", True, r"send .*\.mp4")):
        with pytest.raises(InputError, match=kinds):
            receive(tmp_path, [name], videos=videos)


def test_a_table_without_paths_stays_as_it_was(tmp_path):
    content = 'text;label\n"a; ""b"" n/a";x\n\n'.encode("utf-16")
    (tmp_path / "t.csv").write_bytes(content)
    contain(Upload(folder=tmp_path, pictures=("a.png",), table="t.csv"))
    assert (tmp_path / "t.csv").read_bytes() == content


def test_paths_in_a_table_become_names(tmp_path):
    (tmp_path / "t.csv").write_text('path;note\n/data/a.png;"x;y"\nsub\\b.png;z\na.png;1,5\n')
    contain(Upload(folder=tmp_path, pictures=("a.png", "b.png"), table="t.csv"))
    assert (tmp_path / "t.csv").read_text() == 'path;note\na.png;"x;y"\nb.png;z\na.png;1,5\n'


def test_results_as_json():
    columns = ("item", "label", "p", "some", "odd")
    rows = [["007", "3", "0.5", "1e-3", "nan"], ["8", "4", "1.0", "", "0.5"]]
    assert Result(columns=columns, rows=rows).records() == [
        {"item": "007", "label": "3", "p": 0.5, "some": 0.001, "odd": "nan"},
        {"item": "8", "label": "4", "p": 1.0, "some": None, "odd": "0.5"},
    ]
    assert Result(columns=("a", "b"), rows=[["x,y", '"']]).csv == 'a,b\n"x,y",""""\n'


def test_names_of_the_server():
    assert own_names("127.0.0.1") == own_names("localhost") == {"localhost", "127.0.0.1", "::1"}
    assert "127.0.0.2" in own_names("127.0.0.2")
    assert own_names("0.0.0.0") == own_names("192.168.1.5") == own_names("example.org") == frozenset()
