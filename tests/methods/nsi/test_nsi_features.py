"""Features of a frozen network: computed once, kept on disk, cut like the pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from visus.data import Tensors
from visus.engine import Run
from visus.errors import InputError
from visus.methods.nsi import NSI, FrozenFeatures
from visus.methods.nsi.estimator.reading import write_pictures
from visus.methods.nsi.model.schema import Schema
from visus.methods.nsi.verbs import VERBS
from visus.records import override

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """A tiny ViT in a folder, as transformers saves it."""
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        image_size=16,
        patch_size=4,
    )
    folder = tmp_path_factory.mktemp("vit")
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pictures() -> Tensors:
    return NSI.example("train").subset(range(24))


def test_features_are_the_networks_and_come_from_the_file_the_second_time(backbone, pictures, tmp_path):
    plain = FrozenFeatures(pictures, backbone)
    kept = FrozenFeatures(pictures, backbone, cache=tmp_path)
    wanted = plain.batch([3, 1])["features"]
    assert wanted.shape == (2, 16, 12)
    torch.testing.assert_close(kept.batch([3, 1])["features"], wanted, rtol=1e-2, atol=2e-3)
    (file,) = tmp_path.iterdir()
    assert np.load(file).shape == (24, 16, 12)
    again = FrozenFeatures(pictures, backbone, cache=tmp_path)
    again.network.forward = None  # the file alone answers
    assert torch.equal(again.batch([3])["features"], kept.batch([3])["features"])
    file.write_bytes(b"short")
    with pytest.raises(InputError, match="delete the file"):
        FrozenFeatures(pictures, backbone, cache=tmp_path).batch([0])


def test_other_pictures_or_sizes_have_files_of_their_own(backbone, pictures, tmp_path):
    names = {
        FrozenFeatures(source, backbone, size=size, cache=tmp_path).file
        for source in (pictures, pictures.subset(range(5)))
        for size in (16, 32)
    }
    assert len(names) == 4


def test_masks_are_cut_to_what_the_network_sees(backbone):
    masks = torch.zeros(1, 8, 12, dtype=torch.uint8)
    masks[..., 2:10] = 1
    source = FrozenFeatures(Tensors({"image": torch.rand(1, 3, 8, 12), "segmentation": masks}), backbone)
    assert source.batch([0])["segmentation"].shape == (1, 8, 8)
    assert source.batch([0])["segmentation"].all()


def test_an_interpreter_learns_from_features(backbone, pictures):
    source = FrozenFeatures(pictures, backbone)
    config = override(NSI.preset("smoke"), {"epochs": 1, "generator_epochs": 1, "batch_size": 8})
    made = NSI(config).fit(source, Run(device="cpu", progress=False))
    assert made.inputs_.cells == (4, 4)
    assert {"fg_ari", "image_to_program@1"} <= set(made.evaluate(source))


def test_the_commands_remember_the_network(backbone, pictures, tmp_path, capsys):
    data, run = tmp_path / "data", tmp_path / "run"
    write_pictures(data, pictures, Schema.infer(pictures["objects"]))
    settings = ["epochs=1", "generator_epochs=1", "batch_size=8"]
    common = {"preset": "smoke", "device": "cpu", "set": settings}
    VERBS["fit"](data, out=run, backbone=backbone, **common)
    VERBS["evaluate"](data, model=run, device="cpu")
    VERBS["predict"](data, model=run, out=tmp_path / "p.csv", device="cpu")
    assert "image_to_program@1" in capsys.readouterr().out
    other = tmp_path / "other"
    other.mkdir()
    for file in backbone.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    config = json.loads((other / "config.json").read_text())
    torch.manual_seed(9)
    model = transformers.ViTModel(transformers.ViTConfig(**config), add_pooling_layer=False)
    model.save_pretrained(other)
    with pytest.raises(InputError, match="another network"):
        VERBS["evaluate"](data, model=run, device="cpu", backbone=other)
    with pytest.raises(InputError, match="config"):
        VERBS["evaluate"](data, model=run, device="cpu", backbone=tmp_path)
