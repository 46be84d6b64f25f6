"""The networks and maps that the dual-encoder network is compared with."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from visus.errors import InputError
from visus.methods.chestxray.baselines import (
    DenseClassifier,
    GazeMTL,
    MTUNet,
    ResSENet,
    SaliencyUNet,
    center_prior,
    gaze_features,
    mean_gaze_map,
)
from visus.methods.chestxray.baselines.maps import FLOOR
from visus.methods.chestxray.model import DoubleConv, ResSE, build_backbone

CLASSES = 3


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    small = {"classes": CLASSES, "base_channels": 2, "hidden": 4}
    return {
        "mtunet": lambda: MTUNet(**small),
        "res_se": lambda: ResSENet(**small),
        "unet": lambda: SaliencyUNet(base_channels=2),
        "dense": lambda: DenseClassifier(build_backbone("compact"), classes=CLASSES),
        "gaze_mtl": lambda: GazeMTL(build_backbone("compact"), classes=CLASSES),
    }[name]()


NAMES = ("mtunet", "res_se", "unet", "dense", "gaze_mtl")
MAPPED = ("mtunet", "res_se", "unet")


def uniform(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


# ---- networks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(32, 64), (45, 70), (33, 31)])
def test_readings_have_the_documented_shapes(name, size):
    net = made(name).eval()
    reading = net(uniform(2, 1, *size))
    assert (reading.logits is None) == (name == "unet")
    if reading.logits is not None:
        assert reading.logits.shape == (2, CLASSES)
    assert (reading.log_density is None) == (name not in MAPPED)
    if reading.log_density is not None:
        assert reading.log_density.shape == (2, *size)
        torch.testing.assert_close(reading.log_density.exp().sum((1, 2)), torch.ones(2))
    assert reading.embedding.ndim == 2


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_in_one_group_and_learns(name):
    net = made(name)
    owned = [id(w) for modules in net.groups().values() for part in modules for w in part.parameters()]
    assert len(owned) == len(set(owned))
    assert set(owned) == {id(weight) for weight in net.parameters()}
    image, gaze = uniform(4, 1, 64, 64), uniform(4, 64, 64)
    reading = net(image)
    loss = reading.embedding.sum() * 0
    if reading.logits is not None:
        loss = loss + reading.logits.square().sum()
    if reading.log_density is not None:
        loss = loss + (gaze * reading.log_density).sum()
    if name == "gaze_mtl":
        looked = [torch.tensor([[3.0, 4.0, 0.5]])] * 4
        batch = {"gaze": gaze, "has_gaze": torch.ones(4, dtype=torch.bool), "fixations": looked}
        loss = loss + net.auxiliary_loss(reading, batch).sum()
    loss.backward()
    for weight_name, weight in net.named_parameters():
        assert weight.grad is not None, weight_name
        assert torch.isfinite(weight.grad).all(), weight_name


@pytest.mark.parametrize("name", NAMES)
def test_batch_mates_do_not_matter(name):
    net, image = made(name).double().eval(), uniform(3, 1, 40, 48).double()
    together, alone = net(image), net(image[1:2])
    for one, other in zip(together, alone):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one[1:2], other)


def test_published_sizes_of_the_unets():
    with torch.device("meta"):
        plain, residual = MTUNet(classes=3), ResSENet(classes=3)
    for net, block in ((plain, DoubleConv), (residual, ResSE)):
        first, last = net.fusion[0], net.fusion[-1]
        assert (first.in_features, first.out_features) == (1024 + 64, 64)
        assert last.out_features == 3
        assert all(type(level) is block for level in net.encoder.levels)
        assert len(net.decoder) == 4


def test_a_unet_is_what_it_says():
    """The forward pass against its formula, step by step."""
    net, image = made("mtunet").double().eval(), uniform(2, 1, 32, 48).double()
    maps, x = [], image
    for i, level in enumerate(net.encoder.levels):
        x = level(nn.functional.max_pool2d(x, 2) if i else x)
        maps.append(x)
    y = maps[-1]
    for step, skip in zip(net.decoder, maps[-2::-1]):
        up = step.up(y.repeat_interleave(2, 2).repeat_interleave(2, 3))
        y = step.merge(torch.cat([skip, up], 1))
    scores = net.saliency[1](net.saliency[0](y))[:, 0].flatten(1)
    expected = scores - scores.exp().sum(1, keepdim=True).log()
    reading = net(image)
    torch.testing.assert_close(reading.log_density.flatten(1), expected)
    pooled = torch.cat([maps[-1].mean((2, 3)), y.mean((2, 3))], 1)
    hidden = (pooled @ net.fusion[0].weight.T + net.fusion[0].bias).clamp(min=0)
    torch.testing.assert_close(reading.logits, hidden @ net.fusion[-1].weight.T + net.fusion[-1].bias)


def test_the_classifier_is_linear_in_the_mean_feature():
    net, image = made("dense").eval(), uniform(2, 1, 64, 64)
    feature = net.backbone(image).mean((2, 3))
    reading = net(image)
    torch.testing.assert_close(reading.embedding, feature)
    torch.testing.assert_close(reading.logits, net.head(feature))


# ---- gaze as labels ---------------------------------------------------------------------------------------


def test_gaze_features_are_sums_over_cells():
    gaze = uniform(3, 8, 12)
    gaze = gaze / gaze.sum((1, 2), keepdim=True)
    gaze[2] = 0
    looked = [torch.tensor([[1.0, 1.0, 2.0], [3.0, 2.0, 3.0]]), torch.zeros(0, 3), torch.zeros(0, 3)]
    found = gaze_features(gaze, looked, grid=(2, 3))
    for i in range(2):
        cells = [gaze[i, r : r + 4, c : c + 4].sum() for r in (0, 4) for c in (0, 4, 8)]
        torch.testing.assert_close(found.share[i], torch.stack(cells))
    assert not found.share[2].any()
    assert found.has_amounts.tolist() == [True, False, False]
    assert found.amounts[0].tolist() == pytest.approx([math.log(2 / 30), math.log(5 / 10)])
    assert not gaze_features(gaze).has_amounts.any()


def test_cells_of_unequal_size_still_sum_to_one():
    gaze = uniform(2, 9, 13)
    torch.testing.assert_close(gaze_features(gaze, grid=(4, 4)).share.sum(1), torch.ones(2))


@torch.no_grad()
def test_auxiliary_loss_equals_its_formula():
    net = made("gaze_mtl").double().eval()
    gaze = uniform(2, 32, 32).double()
    looked = [torch.tensor([[1.0, 1.0, 4.0]] * 6), torch.zeros(0, 3)]
    reading = net(uniform(2, 1, 32, 32).double())
    batch = {"gaze": gaze, "has_gaze": torch.tensor([True, True]), "fixations": looked}
    found = net.auxiliary_loss(reading, batch)
    for i in range(2):
        p = torch.stack(
            [gaze[i, r : r + 8, c : c + 8].sum() for r in range(0, 32, 8) for c in range(0, 32, 8)]
        )
        p = p / p.sum()
        logits = net.share_head(reading.embedding[i])
        q = logits.exp() / logits.exp().sum()
        expected = float((p * (p / q).log()).sum())
        if i == 0:
            for value, target in zip(
                net.amount_head(reading.embedding[i]), (math.log(6 / 30), math.log(24 / 10))
            ):
                gap = abs(float(value) - target)
                expected += (gap**2 / 2 if gap < 1 else gap - 0.5) / 2
        assert float(found[i]) == pytest.approx(expected, rel=1e-6)


def test_items_without_gaze_teach_nothing():
    net = made("gaze_mtl")
    reading = net(uniform(2, 1, 64, 64))
    batch = {"gaze": torch.zeros(2, 64, 64), "has_gaze": torch.tensor([False, False])}
    loss = net.auxiliary_loss(reading, batch)
    assert loss.tolist() == [0.0, 0.0]
    loss.sum().backward()
    assert all(w.grad is None or not w.grad.any() for w in net.parameters())


# ---- maps that look at no image ---------------------------------------------------------------------------


def test_the_mean_map_counts_every_image_once_and_none_without_gaze():
    gaze = uniform(3, 6, 5)
    gaze[2] = 7.0
    found = mean_gaze_map(
        gaze * torch.tensor([1.0, 9.0, 1.0])[:, None, None], torch.tensor([True, True, False])
    )
    mean = (gaze[0] / gaze[0].sum() + gaze[1] / gaze[1].sum()) / 2
    torch.testing.assert_close(found, (1 - FLOOR) * mean + FLOOR / 30)
    assert float(found.sum()) == pytest.approx(1.0, abs=1e-6)


def test_the_center_prior_has_the_mean_map_s_moments():
    rows, columns = np.mgrid[0:60, 0:48] + 0.5
    looked = np.exp(-((rows - 25) ** 2) / 50 - ((columns - 28) ** 2) / 32 - (rows - 25) * (columns - 28) / 90)
    gaze = torch.tensor(looked / looked.sum())[None]
    found = center_prior(gaze, torch.tensor([True])).numpy()
    assert found.sum() == pytest.approx(1.0)
    for axis, places in ((0, rows), (1, columns)):
        mean = (gaze[0].numpy() * places).sum()
        assert (found * places).sum() == pytest.approx(mean, abs=0.2), axis
    assert np.corrcoef(found.ravel(), gaze.numpy().ravel())[0, 1] > 0.99


def test_no_gaze_no_map():
    for make in (mean_gaze_map, center_prior):
        with pytest.raises(InputError, match="gaze"):
            make(torch.zeros(2, 4, 4), torch.tensor([False, False]))
