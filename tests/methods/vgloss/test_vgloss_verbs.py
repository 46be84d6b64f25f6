"""The commands on files: what they write, and that they go on where they stopped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from vgloss_files import made

from visus.cli import main
from visus.errors import InputError
from visus.methods.vgloss import ClassTexts, VGlossClassifier
from visus.methods.vgloss.model.silver import Silver
from visus.methods.vgloss.verbs import VERBS
from visus.methods.vgloss.verbs.describing import describe
from visus.records import read_json

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def files() -> Path:
    return made()


@pytest.fixture(scope="module")
def built(files: Path) -> Path:
    out = files / "built"
    command = ["vgloss", "build", str(files / "kinds.json"), "--model", str(files / "run" / "clip")]
    assert main([*command, "--out", str(out), "--device", "cpu"]) == 0
    return out


def test_the_card_lists_the_verbs(root: Path) -> None:
    from visus import catalogue

    assert list(VERBS) == list(catalogue.get("vgloss").verbs)


def test_the_built_classifier_is_the_fitted_one(files: Path, built: Path) -> None:
    one, other = (VGlossClassifier.open(files / name, device="cpu") for name in ("run", "built"))
    torch.testing.assert_close(one.weights().weights, other.weights().weights, rtol=1e-4, atol=1e-5)
    with np.load(built / "open_clip.npz", allow_pickle=False) as matrix:
        np.testing.assert_allclose(matrix["weights"], other.weights().weights.T.numpy())
        assert matrix["names"].tolist() == list(other.classes_.names)
        assert matrix["weights"].shape == (32, 8)


def test_tables_hold_what_the_classifier_says(files: Path, built: Path, tmp_path: Path) -> None:
    model = VGlossClassifier.open(built, device="cpu")
    paths = sorted((files / "test").rglob("*.png"))
    expected = model.predict([str(path) for path in paths])
    out, cards = tmp_path / "p.csv", tmp_path / "cards"
    VERBS["predict"](files / "test", model=built, out=out, pictures=cards, device="cpu")
    VERBS["classify"](images=files / "test", model=str(built), out=tmp_path / "c", device="cpu", top=2)
    plain, told = pd.read_csv(out), pd.read_csv(tmp_path / "c" / "predictions.csv")
    for table in (plain, told):
        assert table["image"].tolist() == [str(path) for path in paths]
        assert table["label"].tolist() == expected["name"]
        shares = table[[f"p_{name}" for name in model.classes_.names]].to_numpy()
        np.testing.assert_allclose(shares, expected["probabilities"].numpy(), atol=2e-6)
    best = told["best"][0].split(" | ")
    assert len(best) == 2
    assert best[0].startswith(expected["name"][0])
    assert len(list(cards.glob("*.png"))) == len(paths)
    assert (cards / f"{paths[0].stem}.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "c" / "index.html").read_text()
    assert page.count("<img") == len(paths)


def test_classification_goes_on_from_its_cache(files: Path, built: Path, tmp_path: Path, monkeypatch) -> None:
    from visus.data.features.encoders.towers import TowerEncoder

    encode, seen = TowerEncoder.images, []

    def stopping(self, pictures):
        if len(seen) >= 1:
            raise KeyboardInterrupt
        seen.append(len(pictures))
        return encode(self, pictures)

    import visus.data.features.extraction as extraction

    whole = extraction.extract
    monkeypatch.setattr(
        "visus.methods.vgloss.estimator.encoders.extract",
        lambda encoder, items, **options: whole(encoder, items, batch_size=20, **options),
    )
    monkeypatch.setattr(TowerEncoder, "images", stopping)
    options = {"images": files / "test", "model": str(built), "out": tmp_path / "c", "device": "cpu"}
    with pytest.raises(KeyboardInterrupt):
        VERBS["classify"](**options)
    assert not (tmp_path / "c" / "predictions.csv").exists()
    monkeypatch.setattr(TowerEncoder, "images", lambda self, p: seen.append(len(p)) or encode(self, p))
    VERBS["classify"](**options)
    assert sum(seen) == len(pd.read_csv(tmp_path / "c" / "predictions.csv"))
    before = list(seen)
    VERBS["classify"](**options)
    assert seen == before, "a second time nothing is encoded"


def test_other_descriptions_make_another_classifier(files: Path, built: Path, tmp_path: Path) -> None:
    texts = {"red thing": ["a red cube"], "blue thing": ["a blue ball"]}
    (tmp_path / "two.json").write_text(json.dumps(texts))
    for model in (str(built), str(files / "run" / "clip")):
        out = tmp_path / Path(model).name
        two = tmp_path / "two.json"
        VERBS["classify"](images=files / "test", model=model, descriptions=two, out=out, device="cpu")
        table = pd.read_csv(out / "predictions.csv")
        assert set(table["label"]) <= set(texts)
        assert {"p_red thing", "p_blue thing"} < set(table.columns)
    assert set(pd.read_csv(tmp_path / "built" / "predictions.csv")["label"]) == set(texts)


def test_explanations_add_up(files: Path, built: Path, tmp_path: Path) -> None:
    VERBS["explain"](
        images=files / "test",
        model=str(built),
        out=tmp_path / "e",
        limit=3,
        cache=tmp_path / "f",
        device="cpu",
    )
    found = read_json(tmp_path / "e" / "explanations.json")
    assert len(found) == 3
    model = VGlossClassifier.open(built, device="cpu")
    for each in found:
        rows = model.features([each["image"]])
        cosines = model.weights().similarities(rows)[0]
        place = {name: i for i, name in enumerate(model.classes_.names)}
        margin = float(cosines[place[each["label"]]] - cosines[place[each["runner_up"]]])
        assert each["margin"] == pytest.approx(margin, abs=1e-5)
        assert {e["name"] for e in each["evidence"]} == {each["label"], each["runner_up"]}
    assert len(list((tmp_path / "e").glob("*.svg"))) == 3
    assert "said of" in (tmp_path / "e" / "index.html").read_text()


def test_evaluate_counts_what_predict_says(files: Path, built: Path, tmp_path: Path) -> None:
    found = VERBS["evaluate"](files / "test", model=built, out=tmp_path / "s.json", device="cpu")
    VERBS["predict"](files / "test", model=built, out=tmp_path / "p.csv", device="cpu")
    table = pd.read_csv(tmp_path / "p.csv")
    right = (table["label"] == [Path(path).parent.name for path in table["image"]]).mean()
    assert found["top1"] == pytest.approx(right)
    assert found["top1_low"] <= found["top1"] <= found["top1_high"]
    assert read_json(tmp_path / "s.json")["top1"] == found["top1"]
    labels = VERBS["evaluate"](files / "labels.csv", model=built, device="cpu")
    assert labels["top1"] == found["top1"], "the table lists the same pictures"
    features = VGlossClassifier.open(built, device="cpu").features(
        [str(files / path) for path in pd.read_csv(files / "labels.csv")["path"]]
    )
    told = pd.read_csv(files / "labels.csv")["label"].to_numpy(dtype="U")
    np.savez(tmp_path / "f.npz", features=features.numpy(), label=told)
    again = VERBS["evaluate"](tmp_path / "f.npz", model=built, device="cpu")
    assert again["top1"] == found["top1"]


def test_texts_beside_pictures_are_captions_too(files: Path, tmp_path: Path) -> None:
    from visus.methods.vgloss.verbs.captions import read_captioned

    table = pd.read_csv(files / "captions.csv")
    for path, told in list(table.groupby("path"))[:5]:
        source = files / str(path)
        (tmp_path / source.name).write_bytes(source.read_bytes())
        (tmp_path / source.with_suffix(".txt").name).write_text("\n".join(told["caption"]))
    classes = ClassTexts.of(["a", "b"])
    beside = read_captioned(tmp_path, classes, size=32)
    whole = read_captioned(files, classes, size=32)
    assert len(beside) == 5
    names = whole.table.frame["name"].tolist()
    for i, name in enumerate(beside.table.frame["name"]):
        place = names.index(name)
        assert beside.captions[i] == whole.captions[place]
        assert torch.equal(beside.batch([i])["image"], whole.batch([place])["image"])


def test_describe_writes_meanings_descriptions_and_quality(tmp_path: Path, capsys) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("name;meaning\nlurp;a small red cube of metal\nbazun;a large blue ball of rubber\n")
    out = tmp_path / "s.json"
    describe(classes=str(table), glosses="meaning", out=out, device="cpu")
    silver = Silver.read(out)
    assert [each.name for each in silver.classes.values()] == ["lurp", "bazun"]
    assert all("cube" in text or "lurp" in text for text in silver.classes["lurp"].normal)
    assert silver.meta["lm"] == "lexical-2"
    concepts = pd.read_csv(tmp_path / "s.concepts.csv")
    assert concepts["gloss"].tolist() == ["a small red cube of metal", "a large blue ball of rubber"]
    assert concepts["how"].tolist() == ["given", "given"]
    assert read_json(tmp_path / "s.quality.json")["classes"] == 2
    page = (tmp_path / "s.html").read_text()
    assert "lurp" in page
    assert "<svg" in page
    first = out.read_bytes()
    capsys.readouterr()
    describe(classes=str(tmp_path / "s.concepts.csv"), out=out, device="cpu")
    assert out.read_bytes() == first, "the table that was written says the same when it is read again"
    assert "had been answered before" in capsys.readouterr().out
    corrected = concepts.assign(gloss=["a small green ring", concepts["gloss"][1]])
    corrected.to_csv(tmp_path / "s.concepts.csv", index=False)
    changed = (tmp_path / "s.concepts.csv").read_bytes()
    with pytest.raises(InputError, match="would be lost"):
        describe(classes=str(table), glosses="meaning", out=out, device="cpu")
    describe(classes=str(tmp_path / "s.concepts.csv"), out=out, device="cpu")
    assert Silver.read(out).classes["lurp"].gloss == "a small green ring"
    assert (tmp_path / "s.concepts.csv").read_bytes() == changed


def test_an_interrupted_description_goes_on(tmp_path: Path, monkeypatch, capsys) -> None:
    from visus.methods.vgloss.model.languages.lexical import LexicalLM

    names = [f"class {i}" for i in range(40)]
    table = tmp_path / "many.csv"
    pd.DataFrame({"label": names, "gloss": [f"a red thing of kind {i}" for i in range(40)]}).to_csv(table)
    whole, asked = LexicalLM.generate, []

    def stopping(self, prompts, **settings):
        if len(asked) > 20:
            raise KeyboardInterrupt
        asked.extend(prompts)
        return whole(self, prompts, **settings)

    monkeypatch.setattr(LexicalLM, "generate", stopping)
    options = {"classes": str(table), "out": tmp_path / "s.json", "temperature": 0.0, "device": "cpu"}
    with pytest.raises(KeyboardInterrupt):
        describe(**options)
    assert not (tmp_path / "s.json").exists()
    assert "goes on from there" in capsys.readouterr().out
    monkeypatch.setattr(LexicalLM, "generate", lambda self, p, **s: asked.extend(p) or whole(self, p, **s))
    describe(**options)
    assert sorted(asked) == sorted(set(asked)), "no prompt is asked twice"
    assert len(Silver.read(tmp_path / "s.json").classes) == 40
