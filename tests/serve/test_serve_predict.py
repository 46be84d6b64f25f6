"""Uploads and predictions through a real socket."""

from __future__ import annotations

import csv
import io
import re
import threading
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
import serve_needs  # noqa: F401
from serve_client import served

from visus.methods.attention import verbs


@pytest.fixture(autouse=True)
def nothing_stays(site):
    yield
    assert list(site.scratch.iterdir()) == []


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_json_equals_the_command(site, attention, loose, pictures, folder, tmp_path):
    verbs.predict(pictures / "loose", model=folder / "digits", out=tmp_path / "p.csv", device="cpu")
    expected = rows_of(tmp_path / "p.csv")
    answer = site.send(f"/api/models/{attention}/predict", loose)
    assert answer.status == 200
    found = answer.json
    assert (found["model"], found["method"]) == (attention, "attention")
    assert found["columns"] == list(expected[0])
    assert len(found["rows"]) == len(expected) == 6
    for ours, theirs in zip(found["rows"], expected, strict=True):
        assert ours["item"] == Path(theirs["item"]).name
        assert ours["label"] == theirs["label"]
        for name in found["columns"][2:]:
            assert ours[name] == pytest.approx(float(theirs[name]), abs=1e-6)


def test_the_page_shows_the_table_and_gives_it_as_a_file(site, attention, loose):
    page = site.send(f"/models/{attention}?lang=zh", loose)
    assert page.status == 200
    cells = [re.findall(r"<td>([^<]*)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", page.text)]
    shown = [row for row in cells if row]
    (address,) = re.findall(r'href="data:text/csv;charset=utf-8,([^"]+)"', page.text)
    head, *rows = csv.reader(io.StringIO(unquote(address)))
    assert rows == shown
    assert [row[0] for row in rows] == [name for name, _ in loose]
    assert head[:3] == ["item", "label", "probability"]
    assert "6 行" in page.text
    form = site.ask(f"/models/{attention}").text
    assert 'enctype="multipart/form-data"' in form
    assert 'name="image_column"' in form
    assert "<td>" not in form


def test_a_table_names_the_pictures_wherever_they_were(site, attention, loose):
    lines = ["picture,note", *(f'"scans/{name}","a, b"' for name, _ in loose[:3]), f"C:\\x\\{loose[3][0]},c"]
    files = [*loose, ("list.csv", "\n".join(lines).encode())]
    path = f"/api/models/{attention}/predict"
    answer = site.send(path, files, image_column="picture")
    assert [row["item"] for row in answer.json["rows"]] == [name for name, _ in loose[:4]]
    refused = site.send(path, files)
    assert refused.status == 400
    assert "no column is named like" in refused.json["error"]


@pytest.mark.parametrize(
    "cell", ["/etc/hostname", "../../secret.png", "..\\..\\secret.png", "a/../../b", ".."]
)
def test_a_table_cannot_name_files_of_the_machine(site, attention, loose, cell):
    files = [*loose, ("list.csv", f"path\n{cell}\n".encode())]
    answer = site.send(f"/api/models/{attention}/predict", files)
    assert answer.status == 400
    assert answer.json["error"].startswith("list.csv: line 2: names a file that was not sent.")


def test_names_lead_nowhere(site, attention, loose, tmp_path):
    content = loose[0][1]
    outside = site.scratch.parent / "evil.png"
    names = ["../../evil.png", "..\\\\..\\\\other.png", "/etc/third.png", ".hidden.png", "<b>&.png"]
    answer = site.send(f"/api/models/{attention}/predict", [(name, content) for name in names])
    assert answer.status == 200
    assert sorted(row["item"] for row in answer.json["rows"]) == [
        "<b>&.png",
        "evil.png",
        "hidden.png",
        "other.png",
        "third.png",
    ]
    assert not outside.exists()
    page = site.send(f"/models/{attention}", [("<b>&.png", content)])
    assert "<b>" not in page.text
    assert "<td><b>&.png</td>" in unescape(page.text)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "no file was sent"),
        ([("", b"")], "no file was sent"),
        ([("a.exe", b"x")], "a.exe: is of a kind that cannot be read"),
        ([("..", b"x")], "no usable name"),
        ([("a.png", b"x"), ("A.PNG", b"x")], "was sent twice"),
        ([("a.csv", b"x"), ("b.csv", b"x")], "b.csv: is a second table"),
        ([("broken.png", b"not a picture")], "broken.png): is not a picture, or is damaged"),
        ([("cut.png", b"\x89PNG\r\n\x1a\n\0\0")], "cut.png"),
        ([("empty.csv", b"")], "empty.csv"),
        ([("sheet.csv", b"PK\x03\x04...")], "is a spreadsheet"),
    ],
)
def test_bad_input_is_told_in_words(site, attention, files, said):
    answer = site.send(f"/api/models/{attention}/predict", files)
    assert answer.status == 400
    assert said in answer.json["error"]
    assert str(site.scratch) not in answer.text
    page = site.send(f"/models/{attention}", files)
    assert page.status == 400
    assert said in unescape(page.text)
    assert 'type="file"' in page.text
    assert str(site.scratch) not in page.text


def test_a_damaged_form(site, attention):
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = site.ask(f"/api/models/{attention}/predict", body=b"--y\r\nnothing", headers=headers)
    assert answer.status == 400
    headers = {"Content-Type": "multipart/form-data"}
    answer = site.ask(f"/api/models/{attention}/predict", body=b"--y\r\nnothing", headers=headers)
    assert (answer.status, "damaged" in answer.json["error"]) == (400, True)


def test_too_much_is_told(site, attention, loose):
    big = [("big.png", b"0" * (2**20 + 1))]
    for answer in (
        site.send(f"/api/models/{attention}/predict", big),
        site.send(f"/api/models/{attention}/predict", [(f"{i}.png", b"x") for i in range(11)]),
        site.send(f"/api/models/{attention}/predict", [(f"{i}.png", b"x") for i in range(30)]),
    ):
        assert answer.status == 413
        assert answer.json["error"] == "Too much was sent: at most 10 files and 1 MB at a time."
    page = site.send(f"/models/{attention}?lang=zh", big)
    assert page.status == 413
    assert "最多 10 个文件" in page.text
    assert site.send(f"/api/models/{attention}/predict", loose).status == 200


def test_too_much_without_a_stated_length(site, attention):
    start = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    chunks = [start, *([b"0" * 65536] * 20), b"\r\n--x--\r\n"]
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = site.ask(f"/api/models/{attention}/predict", body=iter(chunks), headers=headers)
    assert answer.status == 413


def test_unknown_models(site, loose):
    answer = site.send("/api/models/0123456789ab/predict", loose)
    assert (answer.status, "There is no such model" in answer.json["error"]) == (404, True)
    page = site.send("/models/0123456789ab?lang=zh", loose)
    assert (page.status, "没有这个模型" in page.text) == (404, True)


class Slow:
    """A command `predict` that waits, and notices when it runs twice at a time."""

    def __init__(self) -> None:
        self.running = self.most = self.calls = 0
        self.go, self.begun = threading.Event(), threading.Event()

    def predict(self, data: Path, /, *, model: Path, out: Path) -> None:
        self.running += 1
        self.calls += 1
        self.most = max(self.most, self.running)
        self.begun.set()
        assert self.go.wait(20)
        self.running -= 1
        out.write_text(f"item\n{sorted(path.name for path in data.iterdir())[0]}\n", encoding="utf-8")


def use(monkeypatch, predict) -> None:
    from visus.serve import app
    from visus.serve.intake import read_signature

    monkeypatch.setattr(app, "intake", lambda slug: read_signature(predict, slug))


def test_one_prediction_at_a_time_and_a_short_queue(folder, attention, tmp_path, monkeypatch):
    slow, answers = Slow(), {}
    use(monkeypatch, slow.predict)
    with served(folder, tmp_path, waiting=2) as site:
        path = f"/api/models/{attention}/predict"

        def ask(name: str) -> None:
            answers[name] = site.send(path, [(f"{name}.png", b"x")])

        threads = [threading.Thread(target=ask, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        assert slow.begun.wait(20)
        while len(list(tmp_path.iterdir())) < 3:  # all three have their place
            pass
        refused = site.send(path, [("d.png", b"x" * 2**20)])
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) > 0
        assert "waiting" in refused.json["error"]
        assert site.ask("/").status == 200  # pages do not wait
        slow.go.set()
        for thread in threads:
            thread.join()
        assert {name: answer.json["rows"][0]["item"] for name, answer in answers.items()} == {
            name: f"{name}.png" for name in "abc"
        }
        assert (slow.most, slow.calls) == (1, 3)
        assert site.send(path, [("e.png", b"x")]).status == 200
    assert list(tmp_path.iterdir()) == []


def test_a_crash_is_a_500_that_tells_and_logs_no_names(site, attention, monkeypatch, caplog):
    def predict(data: Path, /, *, model: Path, out: Path) -> None:
        raise RuntimeError(f"cannot digest {next(data.iterdir())}")

    use(monkeypatch, predict)
    for path in (f"/api/models/{attention}/predict", f"/models/{attention}"):
        answer = site.send(path, [("secret.png", b"x")])
        assert answer.status == 500
        assert "RuntimeError" in answer.text
        assert "secret" not in answer.text
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_uploads_that_never_arrive_are_given_up(folder, attention, tmp_path):
    with served(folder, tmp_path, upload_seconds=0.2) as site:
        headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": "1000"}
        answer = site.ask(f"/api/models/{attention}/predict", body=b"--x\r\n", headers=headers)
        assert answer.status == 408
        assert list(tmp_path.iterdir()) == []


def test_a_method_that_needs_a_table(pictures, tmp_path):
    """One model and an ensemble of two."""
    commands = pytest.importorskip(
        "visus.methods.hyperfusion.verbs", reason="hyperfusion has no commands yet"
    )
    runs, shown = tmp_path / "runs", sorted((pictures / "by-class").rglob("*.png"))[:40]
    rows = [f"{path},{50 + i},{'ab'[i % 2]}" for i, path in enumerate(shown)]
    (tmp_path / "train.csv").write_text("\n".join(["image,age,y", *rows]) + "\n")
    few = ["image,age", *(f"some/where/{path.name},{60 + i}" for i, path in enumerate(shown[:5]))]
    (tmp_path / "few.csv").write_text("\n".join(few) + "\n")
    given = {"table": tmp_path / "train.csv", "image_column": "image", "target": "y", "device": "cpu"}
    small = {"preset": "smoke", "set": ["epochs=1"]}
    commands.fit(out=runs / "one", **given, **small)
    commands.fit(out=runs / "two", folds=2, **given, **small)
    files = [(path.name, path.read_bytes()) for path in shown[:5]]
    here = tmp_path / "some" / "where"
    here.mkdir(parents=True)
    for name, content in files:
        (here / name).write_bytes(content)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with served(runs, scratch) as site:
        models = {model["name"]: model for model in site.ask("/api/models").json}
        assert sorted(models) == ["runs/one/model", "runs/two/model"]
        for run in ("one", "two"):
            model = models[f"runs/{run}/model"]
            assert model["table"] == "needed"
            refused = site.send(model["predict"], files)
            assert (refused.status, "no table was sent" in refused.json["error"]) == (400, True)
            found = site.send(
                model["predict"], [*files, ("few.csv", (tmp_path / "few.csv").read_bytes())]
            ).json
            commands.predict(model=runs / run, table=tmp_path / "few.csv", out=tmp_path / f"{run}.csv")
            expected = rows_of(tmp_path / f"{run}.csv")
            assert len(expected) == 5
            for ours, theirs in zip(found["rows"], expected, strict=True):
                assert ours["image"] == Path(theirs["image"]).name
                assert ours["prediction"] == theirs["prediction"]
                assert ours["probability=b"] == pytest.approx(float(theirs["probability=b"]), abs=1e-6)
        assert "required" in site.ask(f"/models/{models['runs/one/model']['id']}").text
    assert list(scratch.iterdir()) == []


def test_objects_are_followed_through_an_uploaded_video(tmp_path):
    """A model that needs boxes: refused in words without them, the command's table with them."""
    pytest.importorskip("av", reason="video files need the extra video")
    from visus.methods.statm import verbs as commands

    data, runs, scratch = tmp_path / "data", tmp_path / "runs", tmp_path / "scratch"
    commands.example(out=data)
    small = ["image_size=[12,12]", "steps=2", "clip_length=3", "batch_size=2"]
    commands.fit(data, out=runs / "videos", preset="smoke", set=small, device="cpu")
    scratch.mkdir()
    video = sorted((data / "test").glob("*.mp4"))[0]
    boxes = ("first.csv", (data / "first.csv").read_bytes())
    with served(runs, scratch) as site:
        (model,) = site.ask("/api/models").json
        assert (model["method"], model["files"], model["table"]) == ("statm", "videos", "optional")
        form = site.ask(f"/models/{model['id']}").text
        assert ".mp4" in form
        assert "Boxes of the objects in the first frame" in form
        alone = site.send(model["predict"], [(video.name, video.read_bytes())])
        assert (alone.status, "lacks boxes" in alone.json["error"]) == (400, True)
        cut = site.send(model["predict"], [(video.name, video.read_bytes()[:3000]), boxes])
        assert (cut.status, str(tmp_path) in cut.text) == (400, False)
        picture = site.send(model["predict"], [("a.png", b"x")])
        assert "is of a kind that cannot be read" in picture.json["error"]
        found = site.send(model["predict"], [(video.name, video.read_bytes()), boxes])
        assert found.status == 200, found.text
        commands.predict(
            video, model=runs / "videos", boxes=data / "first.csv", out=tmp_path / "p.csv", device="cpu"
        )
        expected = rows_of(tmp_path / "p.csv")
        assert len(found.json["rows"]) == len(expected) > 0
        for ours, theirs in zip(found.json["rows"], expected, strict=True):
            assert ours["video"] == theirs["video"]
            assert ours["pixels"] == theirs["pixels"]
            assert ours["ymin"] == pytest.approx(float(theirs["ymin"]))
    assert list(scratch.iterdir()) == []
