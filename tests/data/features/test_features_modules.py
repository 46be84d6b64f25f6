"""Any torch module as an encoder, the layer that is read, pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_encoders import noise
from torch import nn

from visus.data.features import Preparation, raw_pixels, wrap_module
from visus.data.features.encoders.base import randomize
from visus.errors import InputError
from visus.nn.reaching import output_at

PICTURES = noise((20, 20), (24, 20))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 5, 4, stride=4), nn.BatchNorm2d(5), nn.Dropout(0.5))
        self.head = nn.Linear(5, 2)
        self.spare = nn.Identity()
        self.tokens = nn.Identity()
        self.pair = nn.LSTM(5, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.tokens(self.body(x).flatten(2).transpose(1, 2))
        self.pair(y)
        return self.head(y.mean(1))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


def prepared() -> torch.Tensor:
    """By hand: the shorter side is 16 already, the middle 16 x 16, ImageNet's numbers."""
    crops = [np.asarray(p.crop(((p.width - 20) // 2 + 2, 2, (p.width - 20) // 2 + 18, 18))) for p in PICTURES]
    x = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (x - mean[:, None, None]) / std[:, None, None]


PREPARE = Preparation(crop=(16, 16), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def test_layers_become_rows(net):
    x, net = prepared(), net.train()
    made = {
        layer: wrap_module(net, layer=layer, preprocess=PREPARE, tokens=tokens).images(PICTURES)
        for layer, tokens in (
            ("", None),
            ("body", None),
            ("body.0", None),
            ("tokens", "mean"),
            ("pair", "class"),
        )
    }
    assert net.training  # as it was
    assert not net.body._forward_hooks
    net.eval()
    with torch.no_grad():
        maps = net.body(x)
        assert torch.allclose(made[""], net(x), atol=1e-6)
        assert torch.allclose(made["body"], maps.mean((2, 3)), atol=1e-6)
        assert torch.allclose(made["body.0"], net.body[0](x).mean((2, 3)), atol=1e-6)
        assert torch.allclose(made["tokens"], maps.mean((2, 3)), atol=1e-6)
        assert torch.allclose(made["pair"], net.pair(maps.flatten(2).transpose(1, 2))[0][:, 0], atol=1e-6)


def test_size_mean_and_std(net):
    encoder = wrap_module(net, size=16, mean=(0.0,) * 3, std=(1.0,) * 3)
    assert encoder.preprocess == Preparation(resize=16, crop=(16, 16))
    assert encoder.width == 2


def test_the_module_keeps_its_precision(net):
    encoder = wrap_module(net.double(), preprocess=PREPARE)
    assert encoder.images(PICTURES).dtype == torch.float32
    assert next(net.parameters()).dtype == torch.float64


def test_identity_follows_the_weights_as_they_are_trained_on(net):
    encoder = wrap_module(net, size=16)
    before = encoder.identity
    assert before == wrap_module(net, size=16).identity
    with torch.no_grad():
        net.head.bias[0] += 1
    others = [
        encoder.identity,
        wrap_module(net, size=8).identity,
        wrap_module(net, size=16, layer="body").identity,
        wrap_module(net, size=16, layer="tokens", tokens="mean").identity,
        wrap_module(net, size=16, layer="tokens", tokens="class").identity,
        wrap_module(net, size=16, identity="mine").identity,
    ]
    assert len({before, *others}) == 7
    net.body[2].p = 0.1
    assert wrap_module(net, size=16).identity not in others  # structure counts, not only tensors
    assert wrap_module(net, size=16, identity="mine").identity == others[-1]


def test_functions_as_preprocessing(net):
    def prepare(picture: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.array(picture.resize((16, 16)))).permute(2, 0, 1) / 255

    class Told:
        def __call__(self, picture: Image.Image) -> torch.Tensor:
            return prepare(picture)

        def __repr__(self) -> str:
            return "Told(16)"

    with pytest.raises(InputError, match="preprocess: is a function"):
        wrap_module(net, preprocess=prepare)
    named, told = wrap_module(net, preprocess=prepare, identity="x"), wrap_module(net, preprocess=Told())
    assert torch.equal(named.images(PICTURES), told.images(PICTURES))
    assert "Told(16)" in told.identity


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("bodies", r"layer: is 'bodies', which the Net does not have.*body\.0"),
        ("spare", "layer spare: is never reached"),
        ("tokens", r'gives tokens of shape \(2, 16, 5\).*say tokens="class"'),
    ],
)
def test_layers_that_do_not_fit(net, layer, message):
    with pytest.raises(InputError, match=message):
        wrap_module(net, layer=layer, preprocess=PREPARE).images(PICTURES)
    assert not any(part._forward_hooks for part in net.modules())


def test_outputs_that_are_no_features():
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"x": x}

    with pytest.raises(InputError, match="the network: gives dict, no features"):
        wrap_module(Odd(), preprocess=PREPARE).images(PICTURES)

    class Shrinking(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1)[:1]

    with pytest.raises(InputError, match=r"gives shape \(1, 768\) for 2 items"):
        wrap_module(Shrinking(), preprocess=PREPARE).images(PICTURES)


def test_what_follows_the_layer_is_not_computed(net):
    net.head.forward = None  # would fail
    assert output_at(net, "body", prepared()).shape == (2, 5, 4, 4)


def test_raw_pixels():
    encoder = raw_pixels((2, 3))
    picture = Image.fromarray(np.arange(18, dtype=np.uint8).reshape(2, 3, 3))
    expected = (np.arange(18).reshape(2, 3, 3) / 255).transpose(2, 0, 1).reshape(-1)
    assert encoder.images([picture])[0].numpy() == pytest.approx(expected, abs=1e-7)
    assert encoder.width == 18
    assert raw_pixels(2).identity != encoder.identity == raw_pixels((2, 3)).identity
    with pytest.raises(InputError, match="size: is 0"):
        raw_pixels(0)


def test_random_weights(net):
    net.body(prepared())  # moves the running statistics
    randomize(net, seed=3)
    first = {name: value.clone() for name, value in net.state_dict().items()}
    randomize(net, seed=3)
    assert all(torch.equal(value, first[name]) for name, value in net.state_dict().items())
    assert first["body.1.running_mean"].abs().sum() == 0
    assert first["body.1.weight"].eq(1).all()
    assert first["head.bias"].eq(0).all()
    wide = nn.Linear(400, 300)
    randomize(wide, seed=0)
    assert wide.weight.std().item() == pytest.approx(1 / 20, rel=0.02)
