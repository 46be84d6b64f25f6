"""What every estimator inherits: parameters, saving, loading, the Hub's layout."""

from __future__ import annotations

import json
import stat

import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn
from toy import quiet, same, source

from visus.engine import TorchEstimator
from visus.errors import InputError
from visus.protocols import Phase
from visus.records import record


@record
class LineConfig:
    width: int = 3
    rate: float = 0.1


class Line(TorchEstimator):
    """A tied two-layer regression."""

    slug, arxiv, Config = "line", "2401.00000", LineConfig
    PRESETS = {"smoke": LineConfig(width=2), "demo": LineConfig()}  # noqa: RUF012

    def _build(self, columns):
        self.network_ = nn.Sequential(
            nn.Linear(columns, self.settings.width), nn.BatchNorm1d(self.settings.width)
        )
        self.head_ = nn.Linear(columns, self.settings.width)
        self.head_.weight = self.network_[0].weight
        self.columns_ = columns

    def fit(self, data, run=None):
        run = run or quiet()
        with run.seeded("init"):
            self._build(data["x"].shape[1])
        run.train(self, data, [Phase(epochs=2)])
        return self

    def parts(self):
        if not hasattr(self, "network_"):
            return super().parts()
        return {"network": self.network_, "head": self.head_}

    def optimizers(self):
        return {"network": torch.optim.SGD(self.network_.parameters(), lr=self.settings.rate)}

    def step(self, batch, turn):
        loss = turn.mean((self.network_(batch["x"]).sum(1) - batch["y"]) ** 2)
        turn.update("network", loss)
        return {"loss": loss}

    def predict(self, inputs):
        with torch.no_grad():
            return {"value": self.network_(inputs["x"]).sum(1) + self.head_(inputs["x"]).sum(1)}

    def _state(self):
        return {"columns": self.columns_}

    def _restore(self, state):
        self._build(state["columns"])


class Other(Line):
    pass


@pytest.fixture
def saved(tmp_path):
    model = Line(LineConfig(width=4)).fit(source())
    model.save(tmp_path / "model")
    return model, tmp_path / "model"


def test_constructor_stores_and_clone_forgets():
    config = LineConfig(width=5)
    model = Line(config).fit(source())
    assert model.get_params() == {"config": config}
    assert model.config is config
    fresh = clone(model)
    assert fresh.config == config
    assert not hasattr(fresh, "network_")
    assert Line().set_params(config=config).settings is config
    with pytest.raises(NotFittedError, match="Line is not fitted"):
        fresh.parts()


def test_presets():
    assert Line.preset("smoke").width == 2
    with pytest.raises(InputError, match="one of smoke, demo"):
        Line.preset("paper")
    with pytest.raises(InputError, match="expected LineConfig, got dict"):
        Line({"width": 3}).settings  # noqa: B018


def test_saved_and_loaded_are_identical(saved):
    model, folder = saved
    loaded = Line.load(folder)
    batch = source().batch(range(7))
    assert torch.equal(model.predict(batch)["value"], loaded.predict(batch)["value"])
    assert loaded.config == LineConfig(width=4)
    for name, part in model.parts().items():
        assert same(part.state_dict(), loaded.parts()[name].state_dict())
    assert not any(module.training for part in loaded.parts().values() for module in part.modules())


def test_layout_is_the_hubs(saved):
    _, folder = saved
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in folder.iterdir())
    assert [path.name for path in folder.parent.iterdir()] == ["model"], "drafts are left"
    told = json.loads((folder / "config.json").read_text())
    assert told["config"] == {"width": 4, "rate": 0.1}
    assert (told["method"], told["estimator"], told["state"]) == ("line", "Line", {"columns": 4})
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: visus\n")
    assert "arXiv:2401.00000" in card
    assert "from visus.methods.line import Line" in card


def test_saving_leaves_other_files_alone(saved):
    model, folder = saved
    (folder / "mine.txt").write_text("keep")
    model.config = LineConfig(width=4, rate=0.5)
    model.save(folder)
    assert (folder / "mine.txt").read_text() == "keep"
    assert Line.load(folder).config.rate == 0.5


def test_failed_saving_leaves_the_old_model(saved, monkeypatch):
    model, folder = saved
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(Line, "_state", lambda self: {"columns": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        model.save(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_saving_where_a_file_is(saved, tmp_path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(InputError, match=r"taken.*not a folder"):
        saved[0].save(tmp_path / "taken")
    with pytest.raises(NotFittedError):
        Line().save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def edit(file, change):
    plain = json.loads(file.read_text())
    change(plain)
    file.write_text(json.dumps(plain))


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("how", ["missing", "truncated", "empty", "garbage"])
def test_damaged_files_are_named(saved, file, how):
    path = saved[1] / file
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {"truncated": content[: len(content) // 2], "empty": b"", "garbage": b"\xff\x00\xfe"}[how]
        )
    with pytest.raises(InputError) as caught:
        Line.load(saved[1])
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda plain: plain["config"].update(depth=2), "depth"),
        (lambda plain: plain["config"].update(width="wide"), "width"),
        (lambda plain: plain.pop("config"), r"config\.json"),
        (lambda plain: plain.pop("state"), "state"),
        (lambda plain: plain["state"].clear(), "lacks 'columns'"),
        (lambda plain: plain["state"].update(columns=9), r"model\.safetensors.*fit and save the model again"),
    ],
)
def test_edited_config_is_told(saved, change, told):
    edit(saved[1] / "config.json", change)
    with pytest.raises(InputError, match=told):
        Line.load(saved[1])


def test_model_of_another_class(saved):
    with pytest.raises(InputError, match=r"config\.json: estimator: holds a model of Line, not of Other"):
        Other.load(saved[1])
    (saved[1] / "config.json").write_text("[]")
    with pytest.raises(InputError, match="holds a model of None"):
        Line.load(saved[1])


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match="give the folder that fit wrote"):
        Line.load(tmp_path / "nowhere")


def test_from_pretrained(saved, monkeypatch, tmp_path):
    import huggingface_hub

    model, folder = saved
    batch = source().batch([0, 1])
    local = Line.from_pretrained(folder)
    assert torch.equal(local.predict(batch)["value"], model.predict(batch)["value"])
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: {"some/model": folder}[name])
    assert torch.equal(
        Line.from_pretrained("some/model").predict(batch)["value"], model.predict(batch)["value"]
    )


def test_from_pretrained_without_the_hub(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"nobody/nothing-at-all.*neither a local folder"):
        Line.from_pretrained("nobody/nothing-at-all")
    with pytest.raises(InputError, match="neither a local folder"):
        Line.from_pretrained("no such folder!")


def test_push_uploads_what_save_writes(saved, monkeypatch):
    import huggingface_hub

    told = {}

    def upload(*, repo_id, folder_path, **options):
        from pathlib import Path

        told.update(repo=repo_id, files=sorted(path.name for path in Path(folder_path).iterdir()), **options)
        return "https://hub/some/model"

    monkeypatch.setattr(huggingface_hub, "create_repo", lambda name, exist_ok: told.update(created=name))
    monkeypatch.setattr(huggingface_hub, "upload_folder", upload)
    assert saved[0].push_to_hub("some/model", private=True) == "https://hub/some/model"
    assert told == {
        "created": "some/model",
        "repo": "some/model",
        "files": ["README.md", "config.json", "model.safetensors"],
        "private": True,
    }


def test_a_model_is_opened_from_its_own_folder_and_from_its_run(tmp_path):
    made = Line(LineConfig())
    made._build(2)
    made.save(tmp_path / "run" / "model")
    for folder in (tmp_path / "run", tmp_path / "run" / "model"):
        found = Line.open(folder, device="cpu")
        assert torch.equal(found.head_.weight, made.head_.weight)
        assert found.head_.weight.device.type == "cpu"
    with pytest.raises(InputError, match=r"config\.json"):
        Line.open(tmp_path, device="cpu")
