"""The dual-encoder network against its description, pixel by pixel, and at sizes it was not made for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from chestxray_slow import (
    FixedMap,
    double_conv,
    dual_net,
    padded,
    pooled,
    res_se,
    shaken,
    up_block,
    weights_of,
)
from torch import nn

from visus.errors import InputError
from visus.methods.chestxray.model import (
    DoubleConv,
    DualNet,
    Encoder,
    ResSE,
    SaliencyHead,
    UpBlock,
    build_backbone,
    covered_mean,
    crop,
    log_density,
    pad_to_multiple,
    padded_size,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def small(**options) -> DualNet:
    return DualNet(build_backbone("compact"), **{"classes": 3, "base_channels": 4, **options})


def count(modules) -> int:
    return sum(value.numel() for module in modules for value in module.parameters())


@pytest.fixture(scope="module")
def published() -> DualNet:
    pytest.importorskip("monai")
    with torch.device("meta"):
        return DualNet(build_backbone("densenet201"), classes=3)


def test_the_published_network_has_66643143_parameters(published):
    parts = {name: count(modules) for name, modules in published.groups().items()}
    assert count([published]) == 66_643_143 == sum(parts.values())
    # the dense network's own three-way head is part of the number
    assert parts["dense"] + parts["dense_head"] == 18_098_691
    assert parts["encoder"] == 25_294_016
    assert parts["decoder"] == 23_086_080
    assert parts["saliency"] + parts["fusion"] == 164_356
    assert published.fusion[0].in_features == 1984


def test_the_published_shapes_at_640_by_512(published):
    shapes: dict[str, tuple[int, ...]] = {}
    merged: list[int] = []

    def note(name):
        def hook(module, args, output):
            shapes[name] = tuple(output.shape[1:])

        return hook

    handles = [published.backbone.register_forward_hook(note("F"))]
    for i in range(5):
        step = published.decoder.levels[i]
        handles.append(published.encoder.levels[i].register_forward_hook(note(f"E{i + 1}")))
        handles.append(step.register_forward_hook(note(f"D{5 - i}")))
        handles.append(step.merge.register_forward_pre_hook(lambda m, args: merged.append(args[0].shape[1])))
    reading = published(torch.empty(2, 1, 640, 512, device="meta"))
    for handle in handles:
        handle.remove()
    assert shapes == {
        "F": (1920, 20, 16),
        "E1": (64, 640, 512),
        "E2": (128, 320, 256),
        "E3": (256, 160, 128),
        "E4": (512, 80, 64),
        "E5": (1024, 40, 32),
        "D5": (512, 40, 32),
        "D4": (256, 80, 64),
        "D3": (128, 160, 128),
        "D2": (64, 320, 256),
        "D1": (64, 640, 512),
    }
    assert merged == [1536, 768, 384, 192, 128]
    assert [tuple(part.shape) for part in reading] == [(2, 3), (2, 640, 512), (2, 1920)]


@pytest.mark.parametrize(("i", "o"), [(1, 3), (3, 3), (2, 32)])
def test_residual_block_is_its_formula(i, o):
    block = shaken(ResSE(i, o))
    x = torch.randn(2, i, 6, 5, dtype=torch.float64)
    weights = {f"block.{name}": value for name, value in weights_of(block).items()}
    slow = np.stack([res_se(item, weights, "block") for item in x.numpy()])
    assert np.allclose(block(x).detach(), slow, atol=1e-12)
    assert block.excite[0].out_features == 4
    assert ResSE(2, 128).excite[0].out_features == 8


@pytest.mark.parametrize("seed", range(8))
def test_no_block_starts_dead(seed):
    torch.manual_seed(seed)
    encoder = Encoder(4)
    sum(level.square().sum() for level in encoder(torch.rand(2, 1, 32, 32))).backward()
    for level in encoder.levels:
        assert (level.excite[0].weight.grad.abs().sum(1) > 0).all()  # each unit of it


def test_double_convolution_is_its_formula():
    block = shaken(DoubleConv(2, 3))
    x = torch.randn(1, 2, 5, 4, dtype=torch.float64)
    slow = double_conv(x[0].numpy(), {f"block.{n}": v for n, v in weights_of(block).items()}, "block")
    assert np.allclose(block(x)[0].detach(), slow, atol=1e-12)


def test_up_block_puts_the_encoder_first():
    block = shaken(UpBlock(5, 2, 3))
    x, skip = torch.randn(1, 5, 2, 3).double(), torch.randn(1, 2, 4, 6).double()
    weights = {f"block.{name}": value for name, value in weights_of(block).items()}
    slow = up_block(x[0].numpy(), skip[0].numpy(), weights, "block")
    assert np.allclose(block(x, skip)[0].detach(), slow, atol=1e-12)
    assert block.merge[0][0].in_channels == 2 + 3


@pytest.mark.parametrize("size", [(32, 64), (40, 33), (17, 5)])
@pytest.mark.parametrize("use_decoder", [True, False])
def test_the_whole_network_is_its_description_at_any_size(size, use_decoder):
    rows, columns = (side // 32 for side in padded_size(size, 32))
    top = torch.rand(1, 6, rows, columns, dtype=torch.float64)
    net = DualNet(FixedMap(top), classes=3, base_channels=2, hidden=5, use_decoder=use_decoder)
    shaken(net)
    image = torch.rand(1, 1, *size, dtype=torch.float64)
    with torch.no_grad():
        reading = net(image)
        own = net.classify(image)
    slow = dual_net(image[0, 0].numpy(), top[0].numpy(), weights_of(net), decoder=use_decoder)
    for fast, expected in zip(reading, slow):
        assert np.allclose(fast[0], expected, atol=1e-10)
    weights = weights_of(net)
    assert np.allclose(own.logits[0], weights["dense_head.weight"] @ slow[2] + weights["dense_head.bias"])
    assert torch.equal(own.embedding, reading.embedding)
    assert torch.equal(net.embed(image), reading.embedding)
    assert own.log_density is None


@pytest.mark.parametrize("stride", [16, 64])
def test_backbones_of_other_strides(stride):
    size = (70, 100)
    rows, columns = (side // stride for side in padded_size(size, stride))
    top = torch.rand(1, 3, rows, columns, dtype=torch.float64)
    net = shaken(DualNet(FixedMap(top, stride), classes=2, base_channels=1))
    image = torch.rand(1, 1, *size, dtype=torch.float64)
    slow = dual_net(image[0, 0].numpy(), top[0].numpy(), weights_of(net), stride)
    for fast, expected in zip(net(image), slow):
        assert np.allclose(fast[0].detach(), expected, atol=1e-10)


@pytest.mark.parametrize("stride", [0, 8, 24])
def test_strides_that_the_decoder_cannot_continue_are_refused(stride):
    with pytest.raises(InputError, match=f"backbone.stride: is {stride}, not a power of 2 from 16 on"):
        DualNet(FixedMap(torch.zeros(1, 3, 1, 1), stride), classes=2)


@pytest.mark.parametrize("field", ["classes", "base_channels", "hidden"])
def test_sizes_below_one_are_refused(field):
    with pytest.raises(InputError, match=f"{field}: is 0"):
        small(**{field: 0})


@pytest.mark.parametrize("size", [(64, 64), (50, 70), (1, 1), (97, 33)])
def test_densities_sum_to_one_over_the_true_pixels(size):
    net = small().eval()
    with torch.no_grad():
        reading = net(torch.rand(2, 1, *size))
    assert reading.log_density.shape == (2, *size)
    assert reading.log_density.double().exp().sum((1, 2)) == pytest.approx([1, 1], abs=1e-5)
    assert reading.logits.isfinite().all()
    assert reading.embedding.isfinite().all()


def test_multiples_run_unpadded():
    image = torch.rand(1, 1, 64, 96)
    assert pad_to_multiple(image, 32) is image
    top = torch.rand(2, 3, 2, 3)
    assert torch.equal(covered_mean(top, (64, 96), 32), top.mean((2, 3)))


def test_padding_repeats_the_border_at_the_bottom_and_the_right():
    image = torch.rand(2, 1, 5, 7)
    grown = pad_to_multiple(image, 4)
    for before, after in zip(image, grown):
        assert np.array_equal(after[0], padded(before[0].numpy(), 4).astype(np.float32))
    assert torch.equal(crop(grown, (5, 7)), image)


@pytest.mark.parametrize("size", [(33, 64), (1, 32), (63, 90)])
def test_pooling_counts_the_true_pixels_only(size):
    rows, columns = (side // 32 for side in padded_size(size, 32))
    top = torch.rand(2, 3, rows, columns, dtype=torch.float64)
    slow = np.stack([pooled(item, size, 32) for item in top.numpy()])
    assert np.allclose(covered_mean(top, size, 32), slow, atol=1e-14)


def test_strict_networks_refuse_other_sizes():
    net = small(strict=True).eval()
    net(torch.rand(1, 1, 32, 64))
    with pytest.raises(InputError, match=r"image: is 40 x 64 .* multiples of 32.*resize it to 64 x 64"):
        net(torch.rand(1, 1, 40, 64))


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (1, 64, 64), (64, 64)])
@pytest.mark.parametrize("way", ["forward", "classify", "embed"])
def test_images_that_are_not_gray_batches_are_refused(shape, way):
    with pytest.raises(InputError, match=r"image: has the shape"):
        getattr(small(), way)(torch.rand(shape))


def test_empty_images_are_refused():
    with pytest.raises(InputError, match="image: is empty"):
        small()(torch.rand(1, 1, 0, 64))


def test_every_parameter_is_in_one_group_and_gets_a_gradient():
    net = small()
    own = [id(value) for part in net.groups().values() for module in part for value in module.parameters()]
    assert sorted(own) == sorted(id(value) for value in net.parameters())
    assert list(net.groups()) == ["dense", "dense_head", "encoder", "decoder", "saliency", "fusion"]
    image = torch.rand(4, 1, 64, 64)
    reading, dense = net(image), net.classify(image)
    loss = (reading.logits.square().sum() + dense.logits.square().sum()) - reading.log_density[:, 3, 4].sum()
    loss.backward()
    still = [
        name for name, value in net.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0
    ]
    assert still == []


def test_without_the_decoder_the_logits_depend_on_the_dense_features_alone():
    net = small(use_decoder=False)
    assert net.fusion[0].in_features == net.backbone.channels
    net(torch.rand(2, 1, 64, 64)).logits.sum().backward()
    for name in ("encoder", "decoder", "saliency", "dense_head"):
        assert all(value.grad is None for part in net.groups()[name] for value in part.parameters())


def test_the_two_parts_of_the_fused_features_have_their_places():
    net = small().eval()
    with torch.no_grad():
        net.fusion[0].weight[:, net.backbone.channels :] = 0
        image = torch.rand(1, 1, 64, 64)
        before = net(image)
        for value in net.decoder.parameters():
            value.mul_(1.5)
        after = net(image)
    assert torch.equal(before.logits, after.logits)
    assert not torch.allclose(before.log_density, after.log_density)


def test_evaluation_changes_no_state_and_leaves_batch_mates_alone():
    net = small().eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    image = torch.rand(3, 1, 50, 64)
    with torch.no_grad():
        together, alone = net(image), net(image[1:2])
        net.classify(image)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    for many, one in zip(together, alone):
        assert torch.allclose(many[1], one[0], atol=1e-5)


def test_a_frozen_backbone_builds_no_graph_and_does_not_drift():
    net = small().train()
    net.backbone.eval().requires_grad_(False)
    before = {name: value.clone() for name, value in net.backbone.state_dict().items()}
    reading = net(torch.rand(2, 1, 64, 64))
    assert not reading.embedding.requires_grad
    reading.log_density[:, 0, 0].sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in net.backbone.state_dict().items())
    assert net.decoder.levels[0].up[0].weight.grad.abs().sum() > 0


def test_channels_last_gives_the_same_and_stays_in_that_order():
    net = small().eval()
    image = torch.rand(2, 1, 64, 96)
    with torch.no_grad():
        plain = net(image)
        net.to(memory_format=torch.channels_last)
        orders = []
        for module in [*net.encoder.levels, *net.decoder.levels, net.backbone]:
            module.register_forward_hook(
                lambda m, args, output: orders.append(output.is_contiguous(memory_format=torch.channels_last))
            )
        other = net(image.contiguous(memory_format=torch.channels_last))
    assert len(orders) == 11
    assert all(orders)
    for one, two in zip(plain, other):
        assert torch.allclose(one, two, atol=1e-4)


def test_half_precision_keeps_densities_in_float32():
    net = small().eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        reading = net(torch.rand(1, 1, 64, 64))
    assert reading.log_density.dtype == torch.float32
    assert reading.log_density.exp().sum().item() == pytest.approx(1, abs=1e-4)


def test_log_density_is_log_softmax_over_all_pixels():
    logits = torch.randn(2, 3, 4, dtype=torch.float64) * 30
    for item, result in zip(logits, log_density(logits)):
        shift = item.max()
        total = sum(float(torch.exp(value - shift)) for value in item.flatten())
        assert torch.allclose(result, item - shift - np.log(total), atol=1e-12)
    assert log_density(logits.bfloat16()).dtype == torch.float32


def test_saliency_head_takes_any_map():
    head = SaliencyHead(3).eval()
    assert head(torch.rand(2, 3, 5, 9)).exp().sum((1, 2)).tolist() == pytest.approx([1, 1], abs=1e-5)


def test_encoders_of_plain_blocks():
    encoder = Encoder(2, block=DoubleConv)
    maps = encoder(torch.rand(1, 1, 32, 16))
    assert [tuple(x.shape[1:]) for x in maps] == [
        (2, 32, 16),
        (4, 16, 8),
        (8, 8, 4),
        (16, 4, 2),
        (32, 2, 1),
    ]
    assert not any(isinstance(module, ResSE) for module in encoder.modules())
    assert isinstance(encoder.levels[0], nn.Sequential)
