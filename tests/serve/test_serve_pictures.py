"""Commands that draw their predictions: pictures on the page and, when asked for, in the JSON."""

from __future__ import annotations

import base64
import csv
import io
import re
from pathlib import Path

import pytest
import serve_needs  # noqa: F401
from PIL import Image
from serve_client import served

from visus.serve import predicting
from visus.serve.intake import read_signature


def red(size: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (size, size), (200, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def drawing(data: Path, /, *, model: Path, out: Path, pictures: Path | None = None) -> None:
    """Predict, and draw a picture per file in a folder of its own."""
    names = sorted(path.name for path in data.iterdir())
    out.write_text("item\n" + "".join(f"{name}\n" for name in names), encoding="utf-8")
    if pictures is not None:
        for size, name in enumerate(names, 1):
            (pictures / name).mkdir(parents=True)
            (pictures / name / "drawn.png").write_bytes(red(size))
            (pictures / name / "numbers.npy").write_bytes(b"x")


def plain(data: Path, /, *, model: Path, out: Path) -> None: ...


def flagged(data: Path, /, *, model: Path, out: Path, pictures: bool = True) -> None: ...


@pytest.fixture
def draws(monkeypatch):
    from visus.serve import app

    monkeypatch.setattr(app, "intake", lambda slug: read_signature(drawing, slug))


def test_only_a_folder_for_pictures_counts():
    assert read_signature(drawing, "a").draws
    assert not read_signature(plain, "a").draws
    assert not read_signature(flagged, "a").draws


def test_the_page_shows_the_pictures_and_gives_them_as_files(site, attention, draws):
    page = site.send(f"/models/{attention}", [("<b>.png", b"x"), ("a.png", b"x")])
    assert page.status == 200
    shown = re.findall(r'<img src="data:image/png;base64,([^"]+)"', page.text)
    given = re.findall(r'<a href="data:image/png;base64,([^"]+)" download="([^"]+)"', page.text)
    assert [base64.b64decode(text) for text in shown] == [red(1), red(2)]
    assert [text for text, _ in given] == shown
    assert [name for _, name in given] == ["&lt;b&gt;.png-drawn.png", "a.png-drawn.png"]
    assert "<b>" not in page.text
    assert "img-src 'self' data:" in page.headers["content-security-policy"]
    assert list(site.scratch.iterdir()) == []


def test_json_has_pictures_only_when_asked(site, attention, draws):
    path = f"/api/models/{attention}/predict"
    files = [("a.png", b"x"), ("b.png", b"x")]
    assert "pictures" not in site.send(path, files).json
    found = site.send(f"{path}?pictures=true", files).json["pictures"]
    assert [item["name"] for item in found] == ["a.png/drawn.png", "b.png/drawn.png"]
    assert base64.b64decode(found[1]["png"]) == red(2)
    (model,) = [model for model in site.ask("/api/models").json if model["id"] == attention]
    assert model["draws"] is True


def test_without_the_wish_nothing_is_drawn(tmp_path, monkeypatch):
    from visus.serve.finding import SavedModel
    from visus.serve.uploads import Upload

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"x")
    upload = Upload(folder=tmp_path / "in", pictures=("a.png",), table=None)
    model = SavedModel(id="1", folder=tmp_path, name="m", slug="attention", estimator="E", version="1")
    asked = read_signature(drawing, "attention")
    result = predicting.predict(tmp_path, asked, model, upload, {}, draw=False)
    assert (result.pictures, result.drawn) == ((), 0)
    assert not (tmp_path / "pictures").exists()


@pytest.mark.parametrize("bound", ["MOST_PICTURES", "MOST_PICTURE_BYTES"])
def test_the_first_pictures_are_shown_and_the_others_counted(site, attention, draws, monkeypatch, bound):
    monkeypatch.setattr(predicting, bound, 2 if bound == "MOST_PICTURES" else len(red(1)) + len(red(2)))
    files = [(f"{name}.png", b"x") for name in "abcd"]
    page = site.send(f"/models/{attention}?lang=zh", files).text
    assert page.count("<img ") == 2
    assert "共 4 张，此处显示前 2 张。" in page


def test_a_method_without_pictures_shows_none(site, attention, loose):
    page = site.send(f"/models/{attention}", loose).text
    assert "<img" not in page
    assert "pictures" not in site.send(f"/api/models/{attention}/predict", loose).json


def test_a_radiograph_comes_back_with_what_was_drawn_of_it(tmp_path):
    """A real model: a picture and a DICOM file in, probabilities and maps out; a damaged file is told in its row."""
    pytest.importorskip("pydicom", reason="DICOM files need the extra medical")
    from visus.catalogue import get
    from visus.methods.chestxray import verbs as commands

    if not get("chestxray").implemented:
        pytest.skip("chestxray is not among the methods that work yet")
    data, runs, scratch = tmp_path / "data", tmp_path / "runs", tmp_path / "scratch"
    commands.example(out=data)
    short = [
        f"{stage}_epochs={count}" for stage, count in (("contrastive", 0), ("classify", 0), ("final", 1))
    ]
    commands.fit(
        data / "files", out=runs / "chest", preset="smoke", set=[*short, "saliency_epochs=0"], device="cpu"
    )
    scratch.mkdir()
    picture = sorted((data / "files" / "images").iterdir())[0]
    sent = [("a.png", picture.read_bytes()), ("b.dcm", (data / "one.dcm").read_bytes())]
    commands.predict(
        picture, model=runs / "chest", out=tmp_path / "p.csv", pictures=tmp_path / "p", device="cpu"
    )
    with served(runs, scratch) as site:
        (model,) = site.ask("/api/models").json
        assert (model["method"], model["files"], model["draws"]) == ("chestxray", "pictures", True)
        found = site.send(model["predict"] + "?pictures=true", [*sent, ("cut.dcm", sent[1][1][:900])]).json
        names = {item["name"] for item in found["pictures"]}
        assert {"a-gaze.png", "a-gradcam.png", "b-gaze.png", "b-gradcam.png"} <= names
        rows = {row["image"]: row for row in found["rows"]}
        (expected,) = csv.DictReader((tmp_path / "p.csv").open(encoding="utf-8"))
        for name in ("p_CHF", "p_Normal", "p_pneumonia", "gaze_left"):
            assert rows["a.png"][name] == pytest.approx(float(expected[name]), abs=2e-5)
        (drawn,) = [item for item in found["pictures"] if item["name"] == "a-gaze.png"]
        assert base64.b64decode(drawn["png"]) == (tmp_path / "p" / f"{picture.stem}-gaze.png").read_bytes()
        assert "cut off or damaged" in rows["cut.dcm"]["problem"]
        assert rows["cut.dcm"]["p_CHF"] is None
        page = site.send(f"/models/{model['id']}", sent)
        assert page.text.count("<img ") == 6
        assert str(tmp_path) not in page.text
        alone = site.send(model["predict"], [("cut.dcm", sent[1][1][:900])])
        assert (alone.status, str(tmp_path) in alone.text) == (400, False)
        assert "cut.dcm" in alone.json["error"]
    assert list(scratch.iterdir()) == []
