"""The commands, on files in the layouts people have."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from visus.data.corpora.image_folder import write_image_folder
from visus.errors import InputError
from visus.methods.attention import verbs
from visus.methods.attention.claims import digits, reviews


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    source = digits("train").subset(range(80))
    write_image_folder(folder / "by-class", source["image"].numpy(), source["target"])
    return folder


@pytest.fixture(scope="module")
def image_model(pictures) -> Path:
    verbs.fit(pictures / "by-class", out=pictures / "run", preset="smoke", device="cpu")
    return pictures / "run"


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def write(path: Path, rows: list[list[str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return path


def test_pictures_by_class(pictures, image_model, tmp_path, capsys):
    verbs.predict(pictures / "by-class", model=image_model, out=tmp_path / "p.csv", device="cpu")
    rows = table(tmp_path / "p.csv")
    assert len(rows) == 80
    assert sum(float(rows[0][f"p_{digit}"]) for digit in range(10)) == pytest.approx(1.0, abs=1e-4)
    assert max(float(rows[0][f"p_{digit}"]) for digit in range(10)) == pytest.approx(
        float(rows[0]["probability"])
    )
    verbs.evaluate(pictures / "by-class", model=image_model, out=tmp_path / "s.json", device="cpu")
    assert json.loads((tmp_path / "s.json").read_text())["accuracy"] >= 0.0
    assert "accuracy" in capsys.readouterr().out


def test_unlabeled_pictures_a_single_one_and_tables_of_paths(pictures, image_model, tmp_path):
    files = sorted((pictures / "by-class").rglob("*.png"))[:3]
    for file in files:
        shutil.copy(file, tmp_path / file.name)
    verbs.predict(tmp_path, model=image_model, out=tmp_path / "out" / "p.csv", device="cpu")
    assert [Path(row["item"]).name for row in table(tmp_path / "out" / "p.csv")] == sorted(
        f.name for f in files
    )
    verbs.predict(files[0], model=image_model / "model", out=tmp_path / "one.csv", device="cpu")
    assert len(table(tmp_path / "one.csv")) == 1
    listed = write(
        tmp_path / "t.csv", [["path", "label"], *([str(file), file.parent.name] for file in files)]
    )
    verbs.predict(listed, model=image_model, out=tmp_path / "t-out.csv", device="cpu")
    loose, named = (table(tmp_path / place) for place in ("out/p.csv", "t-out.csv"))
    assert {Path(row["item"]).name: row["label"] for row in loose} == {
        Path(row["item"]).name: row["label"] for row in named
    }
    verbs.evaluate(listed, model=image_model, device="cpu")
    with pytest.raises(InputError, match="one picture"):
        verbs.evaluate(files[0], model=image_model, device="cpu")


def test_larger_pictures_are_told_to_be_reduced(tmp_path, capsys):
    rng = np.random.default_rng(0)
    write_image_folder(tmp_path / "data", rng.random((12, 1, 12, 20)).astype(np.float32), ["a", "b"] * 6)
    settings = ["epochs=1"]
    verbs.fit(tmp_path / "data", out=tmp_path / "run", preset="smoke", set=settings, device="cpu")
    assert "pictures of 20x12 are reduced to 8x8; --set image_size=32 patch=4 keeps more" in (
        capsys.readouterr().out.splitlines()
    )
    settings += ["image_size=20", "patch=4"]
    verbs.fit(tmp_path / "data", out=tmp_path / "run-20", preset="smoke", set=settings, device="cpu")
    assert "reduced" not in capsys.readouterr().out


def test_items_of_the_training_are_recognized(pictures, image_model, tmp_path, capsys):
    warning = "warning: these are the items the model was trained on"
    for model in (image_model, image_model / "model"):
        verbs.evaluate(pictures / "by-class", model=model, device="cpu")
        assert warning in capsys.readouterr().out.splitlines()
    source = digits("train").subset(range(80, 120))
    write_image_folder(tmp_path / "others", source["image"].numpy(), source["target"])
    verbs.evaluate(tmp_path / "others", model=image_model, device="cpu")
    assert "warning" not in capsys.readouterr().out
    shutil.copytree(image_model / "model", tmp_path / "alone")
    verbs.evaluate(pictures / "by-class", model=tmp_path / "alone", device="cpu")
    assert "warning" not in capsys.readouterr().out


def test_text_items_of_the_training_are_recognized(tmp_path, capsys):
    source = reviews("train", n=60)
    rows = [list(row) for row in zip(source["text"], source["target"], strict=True)]
    own = write(tmp_path / "own.csv", [["text", "label"], *rows])
    verbs.fit(own, out=tmp_path / "run", preset="smoke", set=["epochs=1"], device="cpu")
    verbs.evaluate(own, model=tmp_path / "run", device="cpu")
    assert "trained on" in capsys.readouterr().out
    fewer = write(tmp_path / "fewer.csv", [["text", "label"], *rows[:40]])
    verbs.evaluate(fewer, model=tmp_path / "run", device="cpu")
    assert "trained on" not in capsys.readouterr().out


def test_an_absent_part_is_named(pictures, image_model, tmp_path):
    shutil.copytree(pictures / "by-class", tmp_path / "train")
    with pytest.raises(InputError, match="no test"):
        verbs.evaluate(tmp_path, model=image_model, device="cpu")
    with pytest.raises(InputError, match="no test"):
        verbs.predict(tmp_path, model=image_model, out=tmp_path / "p.csv", device="cpu")
    verbs.evaluate(tmp_path, model=image_model, part="train", device="cpu")


def test_precision_and_tensorboard_reach_the_run(pictures, tmp_path, monkeypatch):
    from visus import engine

    asked = []

    class Watched(engine.Run):
        def __init__(self, *args, **options):
            asked.append((options.get("precision", "no"), options.get("tensorboard", False)))
            super().__init__(*args, **{**options, "tensorboard": False})

    monkeypatch.setattr(engine, "Run", Watched)
    options = {"preset": "smoke", "set": ["epochs=1"], "device": "cpu"}
    verbs.fit(pictures / "by-class", out=tmp_path / "a", precision="bf16", tensorboard=True, **options)
    assert asked == [("bf16", True)]
    assert json.loads((tmp_path / "a" / "run.json").read_text())["settings"]["precision"] == "bf16"


def test_text_tables(tmp_path):
    source = reviews("train", n=120)
    own = write(
        tmp_path / "own.csv", [["words", "mood"], *zip(source["text"], source["target"], strict=True)]
    )
    settings = ["epochs=1", "kind=efficient"]
    verbs.fit(
        own,
        out=tmp_path / "run",
        preset="smoke",
        set=settings,
        device="cpu",
        text_column="words",
        label_column="mood",
    )
    verbs.predict(own, model=tmp_path / "run", out=tmp_path / "p.csv", device="cpu", text_column="words")
    assert {row["label"] for row in table(tmp_path / "p.csv")} <= {"neg", "pos"}
    names = {"neg": "negative", "pos": "positive"}
    kaggle = write(
        tmp_path / "k.csv",
        [
            ["review", "sentiment"],
            *([t, names[y]] for t, y in zip(source["text"], source["target"], strict=True)),
        ],
    )
    verbs.evaluate(kaggle, model=tmp_path / "run", device="cpu")  # knows positive as pos
    verbs.predict(kaggle, model=tmp_path / "run", out=tmp_path / "k-out.csv", device="cpu")
    assert len(table(tmp_path / "k-out.csv")) == 120


def test_bad_input_names_the_place(tmp_path, image_model):
    with pytest.raises(InputError, match="does not exist"):
        verbs.fit(tmp_path / "absent", out=tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no sub-folders"):
        verbs.fit(tmp_path / "empty", out=tmp_path / "run")
    with pytest.raises(InputError, match="no such setting"):
        verbs.fit(tmp_path, out=tmp_path / "run", set=["speed=9"])
    with pytest.raises(InputError, match="learning_rate"):
        verbs.fit(tmp_path, out=tmp_path / "out-of-bounds", set=["learning_rate=0"])
    assert not (tmp_path / "out-of-bounds").exists()
    broken = tmp_path / "broken" / "a"
    broken.mkdir(parents=True)
    (broken / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    with pytest.raises(InputError, match=r"x\.png"):
        verbs.fit(tmp_path / "broken", out=tmp_path / "run", device="cpu")
    with pytest.raises(InputError, match="is not a folder with a saved model"):
        verbs.predict(tmp_path / "broken", model=tmp_path / "none", out=tmp_path / "p.csv")
    assert not list((tmp_path / "run").rglob("*.json"))
    assert not (tmp_path / "p.csv").exists()


def test_cost_prints_and_writes(tmp_path, capsys):
    verbs.cost(width=32, length=100, wa_bias=True, out=tmp_path / "c.json")
    shown = capsys.readouterr().out
    assert "4,224" in shown
    assert "does not pay" in shown
    kinds = json.loads((tmp_path / "c.json").read_text())["kinds"]
    assert [row["kind"] for row in kinds] == ["standard", "optimized", "efficient", "super"]


def test_replacing_in_a_saved_model(tmp_path, capsys):
    transformers = pytest.importorskip("transformers")
    from visus.nn.attention import load_replaced

    torch.manual_seed(0)
    config = transformers.BertConfig(
        hidden_size=16,
        num_attention_heads=1,
        num_hidden_layers=2,
        intermediate_size=8,
        vocab_size=20,
        max_position_embeddings=12,
        num_labels=3,
    )
    model = transformers.BertForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path / "bert")
    verbs.replace(tmp_path / "bert")
    assert "1 heads of 16" in capsys.readouterr().out
    verbs.replace(tmp_path / "bert", kind="super", weights="exact", out=tmp_path / "new")
    shown = capsys.readouterr().out
    assert "changes what the model computes" not in shown
    again = load_replaced(tmp_path / "new")
    assert f"{sum(p.numel() for p in again.parameters()):,}" in shown
    tokens = torch.randint(0, 20, (2, 7))
    with torch.no_grad():
        torch.testing.assert_close(again(tokens).logits, model(tokens).logits, atol=1e-5, rtol=0)
    record = json.loads((tmp_path / "new" / "replacement.json").read_text())
    assert len(record["modules"]) == 2
    with pytest.raises(InputError, match="original"):
        verbs.replace(tmp_path / "bert", out=tmp_path / "bert")
    with pytest.raises(InputError, match="not a folder with a Hugging Face model"):
        verbs.replace(tmp_path)
    (tmp_path / "new" / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match="does not fit"):
        load_replaced(tmp_path / "new")


def test_a_vit_with_several_heads_is_reported_as_changed(tmp_path, capsys):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16,
        num_attention_heads=2,
        num_hidden_layers=1,
        intermediate_size=8,
        image_size=8,
        patch_size=4,
    )
    transformers.ViTModel(config).save_pretrained(tmp_path / "vit")
    verbs.replace(tmp_path / "vit", out=tmp_path / "new")
    assert "changes what the model computes" in capsys.readouterr().out
    with pytest.raises(InputError, match="not exact"):
        verbs.replace(tmp_path / "vit", weights="exact", out=tmp_path / "third")


def test_help_needs_no_torch():
    check = (
        "import sys; from visus.methods.attention.verbs import VERBS; "
        "assert list(VERBS) == ['fit', 'predict', 'evaluate', 'example', 'cost', 'replace']; "
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


def test_example_writes_real_layouts(tmp_path, capsys):
    commands = verbs.example(out=tmp_path)
    assert [command[2] for command in commands] == ["fit", "predict", "evaluate"] * 2
    assert len(list((tmp_path / "digits" / "train").iterdir())) == 10
    assert (tmp_path / "aclImdb" / "test" / "neg").is_dir()
    assert capsys.readouterr().out.count("visus attention") == 6
